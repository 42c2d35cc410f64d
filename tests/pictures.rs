//! Journeys of people who ask for pictures.

use super::{BROWSERS, DESKTOP, HAS_LEFT, built_app, ready, share_the_layers, shot};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use tests::browser::{Driver, PICTURE, STEPS, Tier, Window};
use tests::program::Server;

const PROMPT: &str = "a red circle above a blue square";

/// Somebody alone asks for a picture: it sharpens, hangs in the gallery, and is saved with its settings.
#[tokio::test]
async fn a_person_paints_a_picture() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let window = driver.open(&server.link("picture"), Tier::Cpu, DESKTOP).await?;
    ready(&window, Tier::Cpu).await?;
    window.choose("Picture").await?;
    window.press("Paint").await?;
    window.until_script("return document.body.innerText.includes('Write what to paint')").await?;
    watch_previews(&window).await?;
    paint(&window).await?;
    shot(&window, "picture", "painting").await?;
    let pictures = painted(&window).await?;
    ensure!(pictures.len() == 1, "one was asked for: {}", pictures.len());
    let previews = window.script("return window.previews").await?.as_u64().context("it counts")?;
    ensure!(previews > 0, "it is seen while it sharpens");
    shot(&window, "picture", "painted").await?;

    window.press("Gallery (1)").await?;
    let gallery = window.until("region", "Gallery", |text| text.contains(PROMPT)).await?;
    ensure!(gallery.contains("seed 7"), "its seed stands below it: {gallery}");
    shot(&window, "picture", "gallery").await?;
    window.press("Paint again with these settings").await?;
    let prompt = window.script("return document.getElementById('prompt').value").await?;
    ensure!(prompt == PROMPT, "it is in the composer: {prompt}");
    window.press("Back to the feed").await?;

    let folder = std::env::temp_dir().join(format!("manyhands-pictures-{}", std::process::id()));
    let saved = window.save("article .pictures a[download]", &folder).await?;
    ensure!(saved.ends_with("a-red-circle-above-a-blue-square-seed-7.png"), "its name: {}", saved.display());
    has_its_settings(&saved)?;
    std::fs::remove_dir_all(&folder)?;
    window.close().await
}

/// Two people paint four pictures together, then one by the two halves of its guidance, of which one is lost half-way.
/// Every pixel is that of one window alone.
#[tokio::test]
async fn two_windows_paint_together_and_one_is_closed() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let link = server.link("pictures");
    let first = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&first, Tier::Cpu).await?;
    first.choose("Picture").await?;
    how_many(&first, 4).await?;
    paint(&first).await?;
    let alone = painted(&first).await?;
    ensure!(alone.len() == 4, "four were asked for: {}", alone.len());
    ensure!(
        alone.iter().enumerate().all(|(i, one)| !alone[..i].contains(one)),
        "each seed paints another picture"
    );

    let second = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&second, Tier::Cpu).await?;
    for window in [&first, &second] {
        window.until("list", "Peers", |text| text.matches("CPU").count() == 2).await?;
    }
    second.until("region", "Picture", |_| true).await.context("a newcomer sees what was painted before")?;
    second.choose("Picture").await?;
    how_many(&second, 4).await?;
    paint(&second).await?;
    shot(&second, "pictures", "painting").await?;
    let together = painted(&second).await?;
    both_worked(&second).await?;
    ensure!(together == alone, "two windows paint the pixels of one");
    ensure!(painted(&first).await? == alone, "and everyone sees them");
    shot(&second, "pictures", "painted").await?;

    // A picture this small is painted as soon by one as by two; now two shall take part all the same.
    share_the_layers(&second).await?;
    will_leave_half_way(&first).await?;
    how_many(&second, 1).await?;
    paint(&second).await?;
    first.until_script(HAS_LEFT).await.context("it leaves in the middle of the picture")?;
    first.close().await?;
    let halves = painted(&second).await?;
    shot(&second, "pictures", "after-a-loss").await?;
    both_worked(&second).await?;
    ensure!(halves == alone[..1], "a half of the guidance was lost, and no pixel");
    second.close().await
}

async fn how_many(window: &Window, count: u16) -> Result<()> {
    let slide = format!(
        "const slider = document.getElementById('count');
        slider.value = '{count}';
        slider.dispatchEvent(new Event('input', {{ bubbles: true }}))"
    );
    window.script(&slide).await.map(drop)
}

/// Asks for the pictures of these tests, and waits until they are on the page.
async fn paint(window: &Window) -> Result<()> {
    const CARDS: &str = "return document.querySelectorAll('article').length";
    let before = window.script(CARDS).await?;
    window.fill("Prompt", PROMPT).await?;
    window.press("Paint").await?;
    window.until_script(&format!("{CARDS} > {before}")).await?;
    window.until("region", "Picture", |_| true).await.map(drop)
}

/// Waits for the end of everything, and returns the newest request's files, as base64.
async fn painted(window: &Window) -> Result<Vec<String>> {
    let whole = "const open = document.querySelector('article[data-open=\"true\"]');
        const pictures = [...[...document.querySelectorAll('article')].at(-1).querySelectorAll('.picture')];
        return open === null && pictures.length > 0
            && pictures.every(picture => picture.dataset.whole === 'true' && picture.querySelector('a[download]').href)";
    window.until_script(whole).await?;
    let read = "window.files = undefined;
        const links = [...[...document.querySelectorAll('article')].at(-1).querySelectorAll('a[download]')];
        Promise.all(links.map(async link => {
            const bytes = new Uint8Array(await (await fetch(link.href)).arrayBuffer());
            return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
        })).then(files => window.files = files)";
    window.script(read).await?;
    window.until_script("return window.files !== undefined").await?;
    let files = window.script("return window.files").await?;
    let read = |file: &Value| file.as_str().map(str::to_owned).context("a file");
    files.as_array().context("files")?.iter().map(read).collect()
}

/// The newest request's quiet line names two who painted.
async fn both_worked(window: &Window) -> Result<()> {
    let line = window.script("return [...document.querySelectorAll('.figures')].at(-1).innerText").await?;
    ensure!(line.as_str().is_some_and(|line| line.contains(" and ")), "both painted: {line}");
    Ok(())
}

/// The page counts the images that it shows of what is not whole yet.
async fn watch_previews(window: &Window) -> Result<()> {
    let watch = "window.previews = 0;
        new MutationObserver(() => {
            const shown = document.querySelector('.picture[data-whole=\"false\"] img[alt*=\"being painted: step\"]');
            if (shown && shown.src !== window.seen) { window.seen = shown.src; window.previews += 1 }
        }).observe(document.body, { subtree: true, childList: true, attributes: true })";
    window.script(watch).await.map(drop)
}

/// The page will be left once it shows half the steps of a picture. Said beforehand, because a picture may be painted between
/// two looks from outside.
async fn will_leave_half_way(window: &Window) -> Result<()> {
    let script = "new MutationObserver((_, observer) => {
            const bar = document.querySelector('article[data-open=\"true\"] .pictures progress');
            if (!bar || bar.value < bar.max / 2) return;
            observer.disconnect();
            location.replace('about:blank');
        }).observe(document.body, { subtree: true, childList: true, attributes: true })";
    window.script(script).await.map(drop)
}

/// The file is a picture of the size that was asked for, and says how it was made.
fn has_its_settings(file: &Path) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().context("a PNG file")?;
    let mut pixels = vec![0; reader.output_buffer_size().context("it has a size")?];
    let frame = reader.next_frame(&mut pixels)?;
    ensure!((frame.width, frame.height) == (PICTURE, PICTURE), "{} × {}", frame.width, frame.height);
    ensure!(pixels.iter().any(|value| *value != pixels[0]), "there is something on it");
    let mut texts = BTreeMap::new();
    for text in &reader.info().utf8_text {
        texts.insert(text.keyword.clone(), text.get_text()?);
    }
    ensure!(texts.get("Description").is_some_and(|text| text == PROMPT), "for people: {texts:?}");
    let settings: Value = serde_json::from_str(texts.get("Manyhands").context("for programs")?)?;
    let told = ["prompt", "width", "steps", "seed"].map(|name| settings[name].clone());
    let asked: [Value; 4] = [PROMPT.into(), PICTURE.into(), STEPS.into(), "7".into()];
    ensure!(told == asked, "for programs: {settings}");
    Ok(())
}
