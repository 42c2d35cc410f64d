//! The accept loop: bounded connections, patience with slow ones, an end in good order.

use crate::limits::Limits;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Serves until `shutdown` turns true; then waits `limits.shutdown` at most for what is under way.
///
/// `axum::serve` would do, had it a time limit for request heads and a bound on connections.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    mut shutdown: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let seats = Arc::new(Semaphore::new(limits.connections));
    loop {
        let stream = tokio::select! {
            stream = accept(&listener, &seats) => stream,
            _ = shutdown.wait_for(|now| *now) => break,
        };
        if let Some((stream, seat)) = stream {
            let service = TowerToHyperService::new(router.clone());
            let mut http = Builder::new(TokioExecutor::new()).http1_only();
            http.http1().timer(TokioTimer::new()).header_read_timeout(limits.patience);
            let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended");
                }
                drop(seat);
            });
        }
    }
    drop(listener);
    if timeout(limits.shutdown, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were cut at shutdown");
    }
}

type Seat = tokio::sync::OwnedSemaphorePermit;

/// The next connection that there is a seat for; None if there was none, or accepting failed.
async fn accept(listener: &TcpListener, seats: &Arc<Semaphore>) -> Option<(TcpStream, Seat)> {
    match listener.accept().await {
        Ok((stream, _)) => {
            let seat = seats.clone().try_acquire_owned().ok();
            if seat.is_none() {
                tracing::warn!("connection refused: too many");
            }
            let _ = stream.set_nodelay(true);
            Some((stream, seat?))
        }
        Err(error) => {
            // Out of descriptors, mostly: give others time to close.
            tracing::warn!(%error, "cannot accept");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
