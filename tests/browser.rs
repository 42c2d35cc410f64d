//! Journeys of people in real Chromium windows, against the real signaling binary and the built app.

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use tests::browser::{Driver, Tier, Window};
use tests::program::Server;

const DESKTOP: (u32, u32) = (1280, 860);

/// The built app, or None where nobody built it: the tests then say so and pass over.
fn built_app() -> Option<PathBuf> {
    let app = std::env::var_os("MANYHANDS_DIST").map(PathBuf::from);
    if app.is_none() {
        eprintln!("skipped: MANYHANDS_DIST does not name a built app; `cargo xtask test` sets it");
    }
    app
}

#[tokio::test]
async fn two_windows_write_on_the_cpu_and_the_coordinator_is_closed() -> Result<()> {
    two_windows_write(Tier::Cpu, "cpu", 60).await
}

#[tokio::test]
async fn two_windows_write_on_software_webgpu_and_the_coordinator_is_closed() -> Result<()> {
    two_windows_write(Tier::Gpu, "gpu", 24).await
}

/// Two windows meet, each takes half of the layers, one asks. The other, which coordinates, is closed in
/// mid-story; the text is what one window alone writes.
async fn two_windows_write(tier: Tier, room: &str, tokens: u32) -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let alone = driver.open(&server.link(&format!("{room}-alone")), tier, DESKTOP).await?;
    ready(&alone, tier).await?;
    let expected = write(&alone, tokens).await?;
    alone.close().await?;

    let link = server.link(room);
    let first = driver.open(&link, tier, DESKTOP).await?;
    ready(&first, tier).await?;
    let second = driver.open(&link, tier, DESKTOP).await?;
    ready(&second, tier).await?;
    for window in [&first, &second] {
        window.until("list", "Peers", |text| text.contains("layers 1–4") && text.contains("layers 5–8")).await?;
        window.until("list", "Peers", |text| text.matches("coordinator").count() == 1).await?;
    }

    start(&second, tokens).await?;
    let middle = expected.chars().count() / 4;
    for window in [&first, &second] {
        window.until("region", "Answer", |text| story(text).chars().count() > middle).await?;
    }
    first.close().await?;
    let written = finished(&second).await?;
    ensure!(written == expected, "after a loss: {written:?}\nalone: {expected:?}");
    second.until("list", "Peers", |text| text.contains("layers 1–8")).await?;
    second.close().await
}
