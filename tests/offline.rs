//! The service worker: the app without a network, and another build of it.

use super::{BROWSERS, DESKTOP, ask, finished, ready, shot};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use tests::browser::{Driver, Tier, Window, built_app};
use tests::program::{Server, free_port, root};

/// Everything that a page needs is kept, and by this page.
const KEPT: &str = "return navigator.serviceWorker.controller !== null";

/// Which build a page is of.
const VERSION: &str = "return document.querySelector('meta[name=version]').content";

/// A second visit needs nobody: the page is there, and a story is written with the model that came with it.
#[tokio::test]
async fn the_app_works_without_a_network() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let server = Server::start(&app)?;
    let driver = Driver::start()?;
    let window = driver.open(&server.link("offline"), Tier::Cpu, DESKTOP).await?;
    ready(&window, Tier::Cpu).await?;
    ask(&window).await?;
    let with_network = finished(&window).await?;
    window.until_script(KEPT).await?;
    drop(server);
    window.script("location.reload()").await?;
    window.until_script("return document.querySelectorAll('article').length === 0").await?;
    ready(&window, Tier::Cpu).await.context("the page is there")?;
    ask(&window).await?;
    let written = finished(&window).await?;
    shot(&window, "offline", "written").await?;
    ensure!(written == with_network, "without a network: {written:?}\nwith one: {with_network:?}");
    window.close().await
}

/// Another build is there on the next visit, and no page gets parts of both, whichever answers.
#[tokio::test]
async fn no_page_is_of_two_builds() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let scratch = std::env::temp_dir().join(format!("manyhands-builds-{}", std::process::id()));
    let next = another_build(&app, &scratch)?;
    let (port, driver) = (free_port()?, Driver::start()?);
    let server = Server::start_on(port, &app)?;
    let window = driver.open(&server.link("builds"), Tier::Cpu, DESKTOP).await?;
    window.until_script(KEPT).await?;
    let first = window.script(VERSION).await?;
    ensure!(!marked(&window).await?, "the first build has no mark");

    drop(server);
    let server = Server::start_on(port, &next)?;
    window.script("location.reload()").await?;
    window
        .until_script(&format!("{VERSION} !== {first}"))
        .await
        .context("the next build is there at once")?;
    ensure!(marked(&window).await?, "with its own worker");
    let old = format!("worker_boot.js?v={}", first.as_str().unwrap_or_default());
    ensure!(!has_mark(&window, &old).await?, "a page of the first build that is still open gets its own");

    drop(server);
    window.script("location.reload()").await?;
    window.until_script("return document.readyState === 'complete'").await?;
    let kept = window.script(VERSION).await?;
    ensure!(marked(&window).await? == (kept != first), "what is kept is of one build: {kept}");
    std::fs::remove_dir_all(&scratch)?;
    window.close().await
}

/// Whether the worker that this page starts has the mark of the next build.
async fn marked(window: &Window) -> Result<bool> {
    let version = window.script(VERSION).await?;
    has_mark(window, &format!("worker_boot.js?v={}", version.as_str().unwrap_or_default())).await
}

async fn has_mark(window: &Window, address: &str) -> Result<bool> {
    let script = "const [address, done] = arguments;
        fetch(address).then(answer => answer.text()).then(text => done(text.includes('the next build')), error => done(String(error)))";
    let answer = window.script_async(script, vec![address.into()]).await?;
    answer.as_bool().with_context(|| format!("{address}: {answer}"))
}

/// The same app with another line in one file, stamped as trunk would.
fn another_build(app: &Path, scratch: &Path) -> Result<PathBuf> {
    copy(app, scratch)?;
    let read = |name: &str| std::fs::read_to_string(scratch.join(name));
    let page = read("index.html")?;
    let version = page.split("name=\"version\" content=\"").nth(1).and_then(|rest| rest.split('"').next());
    let page = page.replace(version.context("the page has a version")?, "BUILD-VERSION");
    std::fs::write(scratch.join("index.html"), page)?;
    std::fs::write(scratch.join("worker_boot.js"), read("worker_boot.js")? + "\n// the next build\n")?;
    std::fs::copy(root().join("app/service_worker.js"), scratch.join("service_worker.js"))?;
    let mut stamp = std::process::Command::new("sh");
    let stamped = stamp.arg(root().join("app/stamp.sh")).env("TRUNK_STAGING_DIR", scratch).status()?;
    ensure!(stamped.success(), "stamp.sh: {stamped}");
    Ok(scratch.to_owned())
}

/// All files of a folder, without those that are compressed from others.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let there = to.join(path.file_name().context("it has a name")?);
        if path.is_dir() {
            copy(&path, &there)?;
        } else if path.extension().is_none_or(|kind| kind != "br") {
            std::fs::copy(&path, there)?;
        }
    }
    Ok(())
}
