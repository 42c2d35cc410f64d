//! The one small server of Manyhands: rooms that peers meet in, and the static app.
//!
//! It relays sealed offers, answers and candidates between the peers of one room and computes nothing. It cannot
//! read what it relays (peers seal it with a key that never leaves them), and it logs names of reasons, ids and
//! counts, never a payload.
//!
//! | path | what |
//! |---|---|
//! | `/room/{name}` | WebSocket, matchbox's protocol: the room's peers, and messages between them |
//! | `/api/ice` | `{"urls", "username", "credential"}`: the STUN and TURN servers that peers of other networks need |
//! | `/api/health` | `{"status", "version", "uptime_s", "rooms", "peers", "refused"}` |
//! | anything else | the built app |
//!
//! Limits are in [`limits`], refusals in [`refusal`]. Addresses of people are neither kept nor limited: behind a
//! TLS proxy all are the proxy's, so limiting connections by address is the proxy's work.
//!
//! Reading order: `socket` (a request becomes a peer), `topology` (what its socket does), `rooms`, `outbox`;
//! beside them `files` (the app) and `server` (the accept loop).

mod bucket;
mod files;
pub mod limits;
mod outbox;
pub mod refusal;
mod rooms;
mod server;
mod socket;
mod topology;

pub use limits::Limits;
pub use refusal::Refusal;
pub use rooms::Counts;
pub use socket::is_room_name;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use rooms::Rooms;
use serde::Serialize;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How to serve.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The directory of the built app; None serves rooms and health only.
    pub app: Option<PathBuf>,
    /// The STUN and TURN servers that pages are told to use.
    pub ice: Ice,
    /// The bounds.
    pub limits: Limits,
}

/// STUN and TURN servers, for peers that are not in one network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ice {
    /// Such as `stun:host:3478` or `turn:host:3478`.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: Option<String>,
    /// For TURN. Everybody who opens the page learns it: give it a short life, or little to relay.
    pub credential: Option<String>,
}

/// Serves on `listener` until `shutdown` resolves and the sockets are closed.
///
/// # Errors
/// If `config.app` is no directory.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    if let Some(app) = config.app.as_ref().filter(|app| !app.is_dir()) {
        let text = format!("no directory {}: build the app first, or name another with --app", app.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let stop = Arc::new(watch::Sender::new(false));
    let stopper = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        stopper.send_replace(true);
    });
    let limits = Arc::new(config.limits);
    let router = router(config.app, config.ice, limits.clone(), stop.subscribe());
    server::run(listener, router, &limits, stop.subscribe()).await;
    // Every socket holds a receiver until it has closed in good order.
    if timeout(limits.shutdown, stop.closed()).await.is_err() {
        tracing::warn!("some sockets were cut at shutdown");
    }
    Ok(())
}

/// A server that runs in this process; dropping it cuts it off at once.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Binds `address` (port 0 picks one) and serves in a task.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn start(address: SocketAddr, config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        Ok(Self { address, stop: Some(stop), task: tokio::spawn(serve(listener, config, shutdown)) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// What [`serve`] returned.
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.stop.take());
        (&mut self.task).await.map_err(io::Error::other)?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
pub(crate) struct Shared {
    rooms: Rooms,
    limits: Arc<Limits>,
    sockets: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
    started: Instant,
}

fn router(app: Option<PathBuf>, ice: Ice, limits: Arc<Limits>, shutdown: watch::Receiver<bool>) -> Router {
    let sockets = Arc::new(Semaphore::new(limits.sockets));
    let shared = Shared { rooms: Rooms::default(), limits, sockets, shutdown, started: Instant::now() };
    let router = Router::new()
        .route("/room/{name}", get(socket::upgrade))
        .route("/api/health", get(health))
        .route("/api/ice", get(async move || ([(CACHE_CONTROL, "no-store")], Json(ice))))
        .with_state(shared);
    match app {
        Some(app) => router.fallback_service(files::router(&app)),
        None => router,
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    #[serde(flatten)]
    counts: Counts,
}

async fn health(State(shared): State<Shared>) -> impl IntoResponse {
    let health = Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: shared.started.elapsed().as_secs(),
        counts: shared.rooms.counts(),
    };
    ([(CACHE_CONTROL, "no-store")], Json(health))
}
