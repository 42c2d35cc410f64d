//! The built app: compressed, cached for ever where the name carries a hash, asked for anew where it does not.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::path::Path;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

/// Serves the directory that `trunk build` made. A `.br` or `.gz` beside a file is used as it is; what has none is
/// compressed on the way.
pub(crate) fn router(app: &Path) -> Router {
    let files = ServeDir::new(app).precompressed_br().precompressed_gzip();
    Router::new().fallback_service(files).layer(CompressionLayer::new()).layer(from_fn(headers))
}

/// Headers that every answer carries. The policy forbids what the app never does; it leaves scripts alone, because
/// trunk's own inline module would need a nonce, and a nonce keeps workers from starting.
const FIXED: [(HeaderName, &str); 3] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        CONTENT_SECURITY_POLICY,
        "frame-ancestors 'none'; object-src 'none'; base-uri 'self'; form-action 'none'",
    ),
];

async fn headers(request: Request, next: Next) -> Response {
    let cache = cache_control(request.uri().path());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        response = not_found();
    } else if !response.status().is_server_error() {
        insert(response.headers_mut(), CACHE_CONTROL, cache);
    }
    for (name, value) in FIXED {
        insert(response.headers_mut(), name, value);
    }
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

fn not_found() -> Response {
    let mut response = Response::new("There is nothing at this address. Open the link of a room.\n".into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    insert(response.headers_mut(), CACHE_CONTROL, "no-store");
    insert(response.headers_mut(), axum::http::header::CONTENT_TYPE, "text/plain; charset=utf-8");
    response
}

/// How long a browser may keep a file: the page never, a hashed name for ever, the rest if the server says that
/// it has not changed.
fn cache_control(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || name.ends_with(".html") {
        "no-store"
    } else if has_hash(name) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// Whether trunk put a hash into the name: 8 to 32 hexadecimal digits between `-`, `_` or `.`, with a digit among
/// them so that a word like `defaced` is none.
fn has_hash(name: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.split(['-', '_', '.']).any(|part| {
        (8..=32).contains(&part.len())
            && part.bytes().all(lower_hex)
            && part.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::cache_control;

    #[test]
    fn what_is_kept_how_long() {
        const EVER: &str = "public, max-age=31536000, immutable";
        let rows = [
            ("/", "no-store", "the page"),
            ("/index.html", "no-store", "the page by its name"),
            ("/page-5c0ffee01234abcd.js", EVER, "trunk's hash"),
            ("/page-5c0ffee01234abcd_bg.wasm", EVER, "trunk's hash in the middle"),
            ("/style-0123456789abcdef.css", EVER, "digits only are a hash too"),
            ("/worker.js", "no-cache", "trunk does not hash workers"),
            ("/worker_bg.wasm", "no-cache", "nor their code"),
            ("/model-2.json", "no-cache", "a number is no hash"),
            ("/deadbeef/notes.txt", "no-cache", "only the name counts, not its folder"),
            ("/effaced-decade.txt", "no-cache", "a word of hexadecimal letters"),
        ];
        for (path, expected, why) in rows {
            assert_eq!(cache_control(path), expected, "{why}");
        }
    }
}
