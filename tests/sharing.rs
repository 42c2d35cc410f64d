//! A room of windows fetches a model once, hands it on, and catches who lies.

use super::{BROWSERS, DESKTOP, ask_anew, finished, ready, share_the_layers, shot};
use anyhow::{Context, Result, ensure};
use coordinator::swarm::Content;
use tests::browser::{Driver, Tier, Window, built_app};
use tests::liar::Liar;
use tests::models::{LARGE, Model, SMALL};
use tests::origin::Origin;
use tests::program::Server;

/// Three windows share a model of 64 MB, a fourth comes when the host is gone, and is reloaded.
#[tokio::test]
async fn a_room_of_windows_fills_itself_with_one_download() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let (server, driver) = (Server::start(&app)?, Driver::start()?);
    let model = Model::make("tales", LARGE)?;
    let (origin, link) = (Origin::start(&model.path())?, server.link("sharing"));

    let mut windows = Vec::new();
    for _ in 0..3 {
        let window = driver.open(&link, Tier::Cpu, DESKTOP).await?;
        ready(&window, Tier::Cpu).await?;
        windows.push(window);
    }
    share_the_layers(&windows[0]).await?;
    for window in &windows {
        load(window, &origin.url()).await?;
    }
    for window in &windows {
        window.until("list", "Peers", |text| text.matches("of 10").count() == 3).await?;
    }
    let written = ask_tale(&windows[0]).await?;
    let served = origin.served(|_| true);
    println!("the origin served {:.3} of the model", served as f64 / model.bytes as f64);
    ensure!(served * 10 <= model.bytes * 11, "{served} bytes of a model of {}", model.bytes);
    look(&windows[1], "sharing", "three").await?;

    origin.switch(false);
    let fourth = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&fourth, Tier::Cpu).await?;
    fourth.press("Use tales").await?;
    holds_a_part(&fourth).await?;
    fourth.until("list", "Shared models", |text| text.contains("here ·") && text.contains(" from ")).await?;
    let from = fourth.text("list", "Shared models").await?.context("it is there")?;
    ensure!(!from.contains("from where it lies"), "the host is gone: {from}");
    let again = ask_tale(&fourth).await?;
    ensure!(again == written, "with the fourth: {again:?}\nbefore: {written:?}");
    look(&fourth, "sharing", "fourth").await?;

    // A reloaded window finds what it had, without being told anything.
    fourth.reload().await?;
    holds_a_part(&fourth).await?;
    fourth.until("list", "Shared models", |text| text.contains("kept from before")).await?;
    look(&fourth, "sharing", "reloaded").await?;
    ensure!(origin.served(|_| true) == served, "nothing is fetched twice");
    fourth.close().await?;
    for window in windows {
        window.close().await?;
    }
    Ok(())
}

/// One window gives a person's own files to the room; another uses them, and is not deceived by a third.
#[tokio::test]
async fn own_files_are_given_to_the_room_and_a_liar_is_named() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let (server, driver) = (Server::start(&app)?, Driver::start()?);
    let model = Model::make("mine", SMALL)?;
    let link = server.link("given");
    let owner = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&owner, Tier::Cpu).await?;
    owner.script("document.querySelector('.chooser summary').click()").await?;
    owner.script("document.querySelector('#model-give').click()").await?;
    let files = ["config.json", "tokenizer.json", "model.safetensors"].map(|name| model.path().join(name));
    owner.choose_files("#model-files", &files).await?;
    owner.until("list", "Peers", |text| text.contains("all 8 layers")).await?;
    owner.until("list", "Shared models", |text| text.contains("llama from this room")).await?;
    let written = ask_tale(&owner).await?;
    look(&owner, "given", "owner").await?;

    let guest = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&guest, Tier::Cpu).await?;
    guest.until("list", "Shared models", |text| text.contains("llama from this room")).await?;
    look(&guest, "given", "offered").await?;
    let content = guest.script("return document.querySelector('.shared li').dataset.content").await?;
    let content = app::compute::source::content(content.as_str().context("its name")?);
    let content = content.map_err(anyhow::Error::msg)?.context("it is a content")?;
    let liar = Liar::join(0x0bad << 112, &link, Content(content))?;
    guest.until("list", "Shared models", |text| text.contains("2 others")).await?;
    guest.press("Use llama from this room").await?;
    guest.until("list", "Shared models", |text| text.contains("here ·") && text.contains(" from ")).await?;
    guest.until_script("return document.body.innerText.includes('not what they should be')").await?;
    ensure!(liar.sent() == 1, "it cost one block, not {}", liar.sent());
    let again = ask_tale(&guest).await?;
    ensure!(again == written, "the guest: {again:?}\nthe owner: {written:?}");
    look(&guest, "given", "used").await?;

    // What is kept is seen, and goes when the person wants it to go.
    // Whoever has loaded its part fetches nothing that would be kept after all was cleared.
    share_the_layers(&guest).await?;
    guest.until("list", "Peers", |text| text.matches("of 8").count() == 2).await?;
    guest.until("status", "Kept", |text| text.contains("MB of")).await?;
    guest.press("Clear").await?;
    guest.press("Clear all models?").await?;
    guest.until("status", "Kept", |text| text.starts_with("0 bytes")).await?;
    owner.close().await?;
    guest.close().await
}

/// Opens the model at an address.
pub async fn load(window: &Window, url: &str) -> Result<()> {
    window.script("document.querySelector('.chooser summary').click()").await?;
    window.fill("Address of a model", url).await?;
    window.press("Load").await
}

/// This window runs a part of the shared model, or all of it.
pub async fn holds_a_part(window: &Window) -> Result<()> {
    window.until_script("return /of 10|all 10/.test(document.querySelector('.peer').innerText)").await
}

/// A screenshot of what is shared.
async fn look(window: &Window, room: &str, name: &str) -> Result<()> {
    window.script("document.querySelector('.shared').scrollIntoView()").await?;
    shot(window, room, name).await
}

/// Asks for the tale of these tests, and waits for all of it.
async fn ask_tale(window: &Window) -> Result<String> {
    ask_anew(window).await?;
    let written = finished(window).await?;
    ensure!(!written.is_empty(), "something is written");
    Ok(written)
}
