//! Journeys of people in real Chromium windows, against the real signaling binary and the built app.

mod adapting;
mod offline;
mod pictures;
mod sharing;
mod speed;

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use tests::browser::{Driver, Tier, Window, built_app};
use tests::program::Server;

/// A software GPU takes all cores: one journey at a time.
static BROWSERS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const DESKTOP: (u32, u32) = (1280, 860);

/// The other way than the default for a room's devices to share the work, as the settings call it.
const EVERYONE: &str = "Every device takes a part";

#[tokio::test]
async fn two_windows_write_on_the_cpu_and_the_coordinator_is_closed() -> Result<()> {
    two_windows_write(Tier::Cpu, "cpu").await
}

#[tokio::test]
async fn two_windows_write_on_software_webgpu_and_the_coordinator_is_closed() -> Result<()> {
    two_windows_write(Tier::Gpu, "gpu").await
}

/// Without being told anything, two windows hold a whole model each. One asks; the one that writes is closed in
/// mid-story, and the text is what the other writes alone.
#[tokio::test]
async fn two_windows_hold_a_whole_model_each_and_the_one_that_writes_is_closed() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let link = server.link("whole");
    let first = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&first, Tier::Cpu).await?;
    let second = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&second, Tier::Cpu).await?;
    for window in [&first, &second] {
        let each = |text: &str| text.matches("Runs all 8 layers").count() == 2;
        window.until("list", "Peers", each).await?;
    }
    shot(&second, "whole", "ready").await?;

    let writes =
        "document.querySelector('[role=status][aria-label=Room]').innerText.includes('runs on this device')";
    for window in [&first, &second] {
        will_leave(window, 80, writes).await?;
    }
    ask(&second).await?;
    let (writer, other) =
        if one_has_left(&first, &second).await? { (first, second) } else { (second, first) };
    writer.close().await?;
    let written = finished(&other).await?;
    let figures = other.script("return [...document.querySelectorAll('.figures')].at(-1).innerText").await?;
    ensure!(figures.to_string().contains(" and "), "both worked on it, one after the other: {figures}");

    ask(&other).await?;
    other.until_script("return document.querySelectorAll('article').length === 2").await?;
    let alone = finished(&other).await?;
    ensure!(written == alone, "after the writer's loss: {written:?}\nalone: {alone:?}");
    other.close().await
}

/// The browser's GPU process crashes in mid-story: the compute worker starts again on the CPU, and the story goes on.
#[tokio::test]
async fn a_gpu_lost_in_mid_story_is_no_lost_story() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let window = driver.open(&server.link("lost"), Tier::Gpu, DESKTOP).await?;
    ready(&window, Tier::Gpu).await?;
    ask(&window).await?;
    let before = window.until("region", "Answer", |text| text.len() > 40).await?;
    window.command("Browser.crashGpuProcess", serde_json::json!({})).await?;
    ready(&window, Tier::Cpu).await.context("the device is the CPU now, and the page says so")?;
    shot(&window, "lost", "gpu").await?;
    let written = finished(&window).await?;
    ensure!(written.starts_with(&before), "what was written stays: {before:?}\nthen: {written:?}");
    ensure!(written.len() > before.len(), "and the story goes on: {written:?}");
    window.close().await
}

/// A person computes with a model of their own: what cannot be loaded is explained, and the first one is one press away.
#[tokio::test]
async fn a_person_brings_a_model() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let elsewhere = Server::start(&app)?;
    let driver = Driver::start()?;
    let window = driver.open(&server.link("own"), Tier::Cpu, DESKTOP).await?;
    ready(&window, Tier::Cpu).await?;
    window.script("document.querySelector('.chooser summary').click()").await?;
    let own = |port, path: &str| format!("http://127.0.0.1:{port}/{path}");
    for (address, said) in [
        ("model.gguf".to_owned(), "begins with https://"),
        (own(server.port, "nothing/here/"), "404"),
        (own(elsewhere.port, "story/"), "CORS"),
        (own(server.port, "page.gguf"), "cannot fetch page.gguf"),
    ] {
        window.fill("Address of a model", &address).await?;
        window.press("Load").await?;
        window.until_script(&format!("return document.body.innerText.includes('{said}')")).await?;
    }
    shot(&window, "own", "trouble").await?;
    let wrong = tests::program::story_checkpoint().join("config.json");
    window.choose_files("#model-files", &[wrong]).await?;
    window.until_script("return document.body.innerText.includes('no tokenizer.json among')").await?;
    window.press("Back to the first model").await?;
    first_model(&window).await?;

    let shared = tests::program::root().join("../shared/data/stories260K/stories260K-q8_0.gguf");
    if let Ok(shared) = shared.canonicalize() {
        window.choose_files("#model-files", &[shared]).await?;
        window.until("list", "Peers", |text| text.contains("all 5 layers")).await?;
        ask(&window).await?;
        let written = finished(&window).await?;
        ensure!(written.len() > 40, "the person's own model writes: {written:?}");
        shot(&window, "own", "written").await?;
        window.press("Back to the first model").await?;
        first_model(&window).await?;
    } else {
        eprintln!("not tried: a GGUF file; ../shared is not here");
    }
    let scratch = std::env::temp_dir().join(format!("manyhands-{}", std::process::id()));
    talk_to_own_files(&window, &scratch).await?;
    too_large_a_model(&window, &scratch).await?;
    std::fs::remove_dir_all(&scratch)?;
    window.close().await
}

/// Nothing of it is loaded, and the page says what is missing; the first model is one press away.
async fn too_large_a_model(window: &Window, scratch: &Path) -> Result<()> {
    let files = tests::models::too_large(&scratch.join("large"))?;
    window.choose_files("#model-files", &files).await?;
    let needs = "return /needs 3.0 GB, (and )?the room/.test(document.querySelector('[role=status][aria-label=Room]').innerText)";
    window.until_script(needs).await?;
    shot(window, "own", "too-large").await?;
    window.press("Back to the first model").await?;
    first_model(window).await
}

/// The story model with a chat template beside it: a message is answered, and the reply to that is a second message.
async fn talk_to_own_files(window: &Window, scratch: &Path) -> Result<()> {
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\\n{% endfor %}";
    std::fs::create_dir_all(scratch)?;
    let described = scratch.join("tokenizer_config.json");
    std::fs::write(&described, format!(r#"{{"chat_template": "{template}"}}"#))?;
    let folder = ["config.json", "tokenizer.json", "model.safetensors"];
    let mut files = folder.map(|name| tests::program::story_checkpoint().join(name)).to_vec();
    files.push(described);
    window.choose_files("#model-files", &files).await?;
    window.until_script("return document.body.innerText.includes('your files, 8 layers')").await?;
    window.until("list", "Peers", |text| text.contains("all 8 layers")).await?;

    ask_anew(window).await?;
    let alone = finished(window).await?;
    window.press("Settings").await?;
    window.script("document.querySelector('.more summary').click()").await?;
    window.fill("Told before each conversation", "There is an owl.").await?;
    shot(window, "own", "settings").await?;
    window.press("Settings").await?;
    window.script("[...document.querySelectorAll('.actions button')].findLast(b => b.innerText === 'Reply').click()").await?;
    window
        .until_script("return document.body.innerText.includes('Goes on from “Once upon a time, there was”')")
        .await?;
    shot(window, "own", "reply").await?;
    ask_anew(window).await?;
    let reply = finished(window).await?;
    ensure!(reply.len() > 40 && reply != alone, "the same words after others are another message: {reply:?}");
    shot(window, "own", "replied").await
}

/// The window is back at the model that came with the page.
async fn first_model(window: &Window) -> Result<()> {
    window.until_script("return document.body.innerText.includes('story.gguf, 8 layers')").await?;
    window.until("list", "Peers", |text| text.contains("all 8 layers")).await.map(drop)
}

/// Two windows meet, each takes a part of the layers, one asks. The other, which coordinates, is closed in
/// mid-story; the text is what one window alone writes. Then the asker's window is closed in mid-story.
async fn two_windows_write(tier: Tier, room: &str) -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let link = server.link(room);
    let first = driver.open(&link, tier, DESKTOP).await?;
    ready(&first, tier).await?;
    first.until("list", "Peers", |text| text.contains("all 8 layers")).await?;
    ask(&first).await?;
    let alone = finished(&first).await?;
    ensure!(alone.len() > 40, "one window alone writes: {alone:?}");
    share_the_layers(&first).await?;

    let second = driver.open(&link, tier, DESKTOP).await?;
    ready(&second, tier).await?;
    meet(&first, &second).await?;
    knows_that_all_share(&second, room).await?;
    second
        .until("region", "Answer", |text| text == alone)
        .await
        .context("a newcomer sees what was written before")?;

    will_leave(&first, alone.len() / 3, "true").await?;
    ask(&second).await?;
    shot(&second, room, "writing").await?;
    first.until_script(HAS_LEFT).await.context("it leaves in the middle of the story")?;
    first.close().await?;
    let written = finished(&second).await?;
    shot(&second, room, "after-a-loss").await?;
    ensure!(written == alone, "after the coordinator's loss: {written:?}\nalone: {alone:?}");

    let third = driver.open(&link, tier, DESKTOP).await?;
    ready(&third, tier).await?;
    meet(&second, &third).await?;
    will_leave(&third, alone.len() / 3, "true").await?;
    ask(&third).await?;
    third.until_script(HAS_LEFT).await.context("the asker leaves in the middle of the story")?;
    third.close().await?;
    let written = finished(&second).await?;
    ensure!(written == alone, "after the asker's loss: {written:?}\nalone: {alone:?}");
    second.close().await
}

/// A picture for the documentation, where `MANYHANDS_SHOTS` names a folder.
async fn shot(window: &Window, room: &str, name: &str) -> Result<()> {
    match std::env::var_os("MANYHANDS_SHOTS") {
        Some(folder) => {
            // What was announced has been read by now.
            window
                .script("document.querySelectorAll('.notice button').forEach(button => button.click())")
                .await?;
            window.screenshot(&PathBuf::from(folder).join(format!("{room}-{name}.png"))).await
        }
        None => Ok(()),
    }
}

/// The window's device is ready, on the tier that the test is about.
async fn ready(window: &Window, tier: Tier) -> Result<()> {
    let device = if tier == Tier::Gpu { "WebGPU" } else { "CPU" };
    window.until("list", "Peers", |text| text.contains(device)).await?;
    window.until("button", "Write", |_| true).await?;
    Ok(())
}

/// This person wants every device of the room to take a part, until somebody wants something else.
async fn share_the_layers(window: &Window) -> Result<()> {
    window.press("Settings").await?;
    window.choose(EVERYONE).await?;
    window.press("Settings").await
}

/// This window's settings say so, whoever chose it.
async fn knows_that_all_share(window: &Window, room: &str) -> Result<()> {
    window.press("Settings").await?;
    let chosen = format!(
        "return [...document.querySelectorAll('[role=radiogroup] label')]
            .find(label => label.innerText.trim() === '{EVERYONE}').control.checked"
    );
    window.until_script(&chosen).await?;
    shot(window, room, "settings").await?;
    window.press("Settings").await
}

/// Both see two peers that share the layers, and one coordinator.
async fn meet(one: &Window, other: &Window) -> Result<()> {
    for window in [one, other] {
        let peers = window.until("list", "Peers", is_split).await?;
        let leaders = peers.to_lowercase().matches("coordinator").count();
        ensure!(leaders == 1, "one peer coordinates: {peers}");
    }
    Ok(())
}

/// Whether two peers run a part each; a busy machine may have measured one of them as slower.
fn is_split(peers: &str) -> bool {
    let layers = |start: u16, end: u16| match end - start {
        1 => format!("Runs layer {end} of 8"),
        _ => format!("Runs layers {}–{end} of 8", start + 1),
    };
    (1..8).any(|at| peers.contains(&layers(0, at)) && peers.contains(&layers(at, 8)))
}

/// Asks for the story of these tests: the same prompt, seed and settings every time.
async fn ask(window: &Window) -> Result<()> {
    window.fill("Prompt", "Once upon a time, there was").await?;
    window.press("Write").await?;
    window.until("region", "Answer", |_| true).await?;
    Ok(())
}

/// The same where there are answers already: waits for the new one.
async fn ask_anew(window: &Window) -> Result<()> {
    const CARDS: &str = "return document.querySelectorAll('article').length";
    let before = window.script(CARDS).await?;
    ask(window).await?;
    window.until_script(&format!("{CARDS} > {before}")).await
}

/// Whether the page is gone, as after a person left it.
const HAS_LEFT: &str = "return location.href === 'about:blank'";

/// The page will be left once it shows `length` characters of an answer that goes on, if `condition` holds from
/// the first character. Said beforehand, because a story may end between two looks from outside.
async fn will_leave(window: &Window, length: usize, condition: &str) -> Result<()> {
    let script = format!(
        "new MutationObserver((_, observer) => {{
            const answer = document.querySelector('article[data-open=\"true\"] [data-answer]');
            if (!answer || answer.innerText === '') return;
            const wanted = {condition};
            if (wanted && answer.innerText.length < {length}) return;
            observer.disconnect();
            if (wanted) location.replace('about:blank');
        }}).observe(document.body, {{ subtree: true, childList: true, characterData: true }})"
    );
    window.script(&script).await.map(drop)
}

/// Waits until one of the two has left, and says whether it is the first.
async fn one_has_left(first: &Window, second: &Window) -> Result<bool> {
    for _ in 0..2400 {
        for (window, is_first) in [(first, true), (second, false)] {
            if window.script(HAS_LEFT).await? == serde_json::json!(true) {
                return Ok(is_first);
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    anyhow::bail!("nobody left in the middle of the story")
}

/// Waits for the end of all answers, whoever asked, and returns the newest.
async fn finished(window: &Window) -> Result<String> {
    window.until_script("return document.querySelector('article[data-open=\"true\"]') === null").await?;
    window.text("region", "Answer").await?.context("the answer is there")
}
