//! The `signaling` binary: parses the command line, serves until SIGTERM or ctrl-c.

use clap::Parser;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// The one small server of Manyhands: rooms that peers meet in, and the static app.
#[derive(Parser)]
#[command(name = "signaling", version)]
struct Arguments {
    /// Address and port to listen on. Put a TLS proxy in front of anything but this machine: browsers give
    /// WebGPU only to https and localhost.
    #[arg(long, default_value = "127.0.0.1:8080")]
    bind: SocketAddr,
    /// The directory of the built app. Without it, rooms and health only.
    #[arg(long)]
    app: Option<PathBuf>,
    /// A STUN or TURN server for peers in different networks, such as stun:host:3478; may be repeated.
    #[arg(long, value_name = "URL")]
    ice: Vec<String>,
    /// The name for TURN.
    #[arg(long, value_name = "NAME")]
    ice_username: Option<String>,
    /// The password for TURN; every page is told it.
    #[arg(long, value_name = "PASSWORD")]
    ice_credential: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("signaling: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.bind).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another with --bind", arguments.bind)
    })?;
    tracing::info!(address = %listener.local_addr()?, "serving");
    let ice = signaling::Ice {
        urls: arguments.ice,
        username: arguments.ice_username,
        credential: arguments.ice_credential,
    };
    let config = signaling::Config { app: arguments.app, ice, ..Default::default() };
    signaling::serve(listener, config, stop()).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves on ctrl-c, and on SIGTERM where there is such a thing.
async fn stop() {
    let interrupt = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {},
        () = terminate => {},
    }
}
