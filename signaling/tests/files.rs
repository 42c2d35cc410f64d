//! The app over HTTP: types, compression, caching, and what is not there.

mod support;

use serde_json::{Value, json};
use signaling::{Config, Ice};
use std::fs;
use support::{get, health, start_with};
use tempfile::TempDir;

const PAGE: &str = "<!doctype html><title>Manyhands</title>";

fn dist() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "console.log('manyhands');".repeat(200);
    let files: [(&str, &[u8]); 6] = [
        ("index.html", PAGE.as_bytes()),
        ("page-0123456789abcdef.js", text.as_bytes()),
        ("worker.js", text.as_bytes()),
        ("worker_bg.wasm", &[0, 97, 115, 109].repeat(500)),
        ("pre-0123456789abcdef.js", b"plain"),
        ("pre-0123456789abcdef.js.br", b"made by the build"),
    ];
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("written");
    }
    dir
}

#[tokio::test]
async fn what_is_served_how() {
    let dist = dist();
    let server = start_with(Config { app: Some(dist.path().into()), ..Config::default() }).await;
    const EVER: &str = "public, max-age=31536000, immutable";
    let rows = [
        ("/", 200, "text/html", None, "no-store", "the page"),
        ("/index.html", 200, "text/html", None, "no-store", "the page by name"),
        ("/page-0123456789abcdef.js", 200, "text/javascript", Some("br"), EVER, "a hashed file"),
        ("/worker.js", 200, "text/javascript", Some("br"), "no-cache", "a worker"),
        (
            "/worker_bg.wasm",
            200,
            "application/wasm",
            Some("br"),
            "no-cache",
            "code for streaming compilation",
        ),
        ("/pre-0123456789abcdef.js", 200, "text/javascript", Some("br"), EVER, "compressed by the build"),
        ("/nothing", 404, "text/plain", None, "no-store", "not there"),
        ("/../Cargo.toml", 404, "text/plain", None, "no-store", "outside the app"),
        ("/%2e%2e/Cargo.toml", 404, "text/plain", None, "no-store", "outside, in disguise"),
    ];
    for (path, status, kind, encoding, cache, why) in rows {
        let answer = get(&server, path, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(answer.status, status, "{why}");
        assert!(
            answer.header("content-type").is_some_and(|it| it.starts_with(kind)),
            "{why}: {}",
            answer.head
        );
        if encoding.is_some() {
            assert_eq!(answer.header("content-encoding"), encoding, "{why}");
        }
        assert_eq!(answer.header("cache-control"), Some(cache), "{why}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{why}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{why}");
    }
    let made = get(&server, "/pre-0123456789abcdef.js", &[("accept-encoding", "br")]).await;
    assert_eq!(made.body, b"made by the build");
}

#[tokio::test]
async fn an_unhashed_file_is_only_sent_again_if_it_changed() {
    let dist = dist();
    let server = start_with(Config { app: Some(dist.path().into()), ..Config::default() }).await;
    let first = get(&server, "/worker.js", &[]).await;
    let tag = first.header("etag").expect("an etag").to_owned();
    let again = get(&server, "/worker.js", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("cache-control"), Some("no-cache"));
    fs::write(dist.path().join("worker.js"), "changed").expect("written");
    let changed = get(&server, "/worker.js", &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, &*changed.body), (200, &b"changed"[..]));
}

#[tokio::test]
async fn health_is_counts_only() {
    let server = start_with(Config::default()).await;
    let health = health(&server).await;
    let mut keys: Vec<&String> = health.as_object().expect("an object").keys().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["peers", "refused", "rooms", "status", "uptime_s", "version"]);
    assert_eq!(health["status"], "ok");
}

#[tokio::test]
async fn peers_learn_the_ice_servers_and_no_cache_keeps_them() {
    let ice = Ice {
        urls: vec!["turn:relay.example:3478".to_owned()],
        username: Some("room".to_owned()),
        credential: None,
    };
    let server = start_with(Config { ice, ..Config::default() }).await;
    let answer = get(&server, "/api/ice", &[]).await;
    let expected = json!({ "urls": ["turn:relay.example:3478"], "username": "room", "credential": null });
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).expect("JSON"), expected);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_missing_app_is_said_at_the_start() {
    let server = start_with(Config { app: Some("no-such-directory".into()), ..Config::default() }).await;
    let error = server.stop().await.expect_err("nothing to serve");
    assert!(error.to_string().contains("build the app first"), "{error}");
}
