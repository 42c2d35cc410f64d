//! A person brings an adapter and gives it to the room; another turns it on, and off again.

use super::{BROWSERS, DESKTOP, ask_anew, finished, ready, shot};
use anyhow::{Result, ensure};
use tests::browser::{Driver, Tier, Window, built_app};
use tests::program::Server;

#[tokio::test]
async fn an_adapter_is_shared_and_turned_on_by_each_alone() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let (server, driver) = (Server::start(&app)?, Driver::start()?);
    let link = server.link("adapters");
    let scratch = std::env::temp_dir().join(format!("manyhands-adapting-{}", std::process::id()));
    let files = tests::models::adapter(&scratch)?;
    let owner = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&owner, Tier::Cpu).await?;
    owner.until("list", "Peers", |text| text.contains("all 8 layers")).await?;
    let base = story(&owner).await?;

    owner.script("document.querySelector('.chooser summary').click()").await?;
    owner.script("document.querySelector('#model-give').click()").await?;
    owner.choose_files("#model-files", &files[..1]).await?;
    owner.until_script("return document.body.innerText.includes('no adapter_model.safetensors')").await?;
    owner.choose_files("#model-files", &files).await?;
    says(&owner, "On here").await?;
    owner.until("list", "Peers", |text| text.contains("all 8 layers")).await?;
    let changed = story(&owner).await?;
    ensure!(changed != base, "it changes nothing: {base:?}");
    look(&owner, "owner").await?;

    let guest = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&guest, Tier::Cpu).await?;
    says(&guest, "An adapter of rank 4 for manyhands/story").await?;
    says(&guest, "Off here").await?;
    guest.until("list", "Peers", |text| text.contains("all 8 layers")).await?;
    ensure!(story(&guest).await? == base, "what one turns on is on for nobody else");
    look(&guest, "offered").await?;

    guest.press("Turn on adapter").await?;
    says(&guest, "On here").await?;
    says(&guest, "from ").await?;
    let with = story(&guest).await?;
    ensure!(with == changed, "the guest: {with:?}\nthe owner: {changed:?}");
    says(&guest, "1 other here has").await?;
    look(&guest, "on").await?;

    guest.press("Turn off adapter").await?;
    says(&guest, "Off here").await?;
    let without = story(&guest).await?;
    ensure!(without == base, "off is off: {without:?}\nbefore: {base:?}");
    std::fs::remove_dir_all(&scratch)?;
    owner.close().await?;
    guest.close().await
}

/// The room's card of the adapter says this.
async fn says(window: &Window, words: &str) -> Result<()> {
    window.until("list", "Shared models", |text| text.contains(words)).await.map(drop)
}

/// Asks for the story of these tests, and waits for all of it.
async fn story(window: &Window) -> Result<String> {
    ask_anew(window).await?;
    let written = finished(window).await?;
    ensure!(!written.is_empty(), "something is written");
    Ok(written)
}

/// A screenshot of what is shared.
async fn look(window: &Window, name: &str) -> Result<()> {
    window.script("document.querySelector('.shared').scrollIntoView()").await?;
    shot(window, "adapters", name).await
}
