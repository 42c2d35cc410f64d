//! An adapter that the room shares: each turns it on by itself, between two answers, and off again to the same text.

use super::weights;
use anyhow::{Context, Result, ensure};
use app::compute::{Adapters, asked};
use app::node::view::{Ask, View};
use std::path::PathBuf;
use std::time::Instant;
use tests::models;
use tests::peer::{LIMIT, Peer, request};
use tests::program::{Program, Server, story_checkpoint};

/// An adapter with its manifest; gone when the test is over.
struct Adapter {
    folder: PathBuf,
    content: String,
}

impl Adapter {
    fn make(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("manyhands-{name}-{}", std::process::id()));
        models::adapter(&folder)?;
        let path = folder.to_string_lossy();
        let mut made =
            Program::start("manyhands", &["manifest", &path, "--name", "wild", "--licence", "CC0-1.0"])?;
        let content = made.line(LIMIT, |line| line.starts_with("content:"))?;
        Ok(Self { folder, content })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks for the story of these tests, and waits for all of it.
async fn story(peer: &mut Peer) -> Result<String> {
    peer.ask(Ask::Write(request(3)));
    peer.until("the question", |view| view.cards.iter().any(|card| card.mine && card.end.is_none())).await?;
    Ok(peer.until_written().await?.text)
}

/// Turns these on and everything else off, and waits until that is so; says how long it took.
async fn adapt(peer: &mut Peer, adapters: Adapters) -> Result<View> {
    let asked_at = Instant::now();
    peer.ask(Ask::Adapt(adapters.clone()));
    let so = |view: &View| view.adapters.wanted.is_none() && asked(&view.adapters.worn) == adapters;
    let view = peer.until("other adapters", so).await?;
    println!("{} adapters on after {:.1} ms", adapters.len(), asked_at.elapsed().as_secs_f64() * 1e3);
    Ok(view)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_is_turned_on_by_each_alone_and_off_again_to_the_letter() -> Result<()> {
    let adapter = Adapter::make("wild")?;
    let server = Server::start(&tests::program::root())?;
    let link = server.link("adapters");
    let mut owner = Peer::join(1, &link, &story_checkpoint())?;
    owner.until("the owner", |view| view.model.is_some()).await?;
    let base = story(&mut owner).await?;
    let mine = |weight: f32| vec![(adapter.folder.to_string_lossy().into_owned(), weight)];

    // What is being written when it is turned on ends as it began.
    owner.ask(Ask::Write(request(3)));
    owner.until("the middle", |view| view.cards.last().is_some_and(|card| card.tokens >= 8)).await?;
    let view = adapt(&mut owner, mine(1.0)).await?;
    let before = view.cards.last().context("an answer")?;
    ensure!(before.end.is_some() && before.text == base, "{:?}, which was {base:?}", before.text);
    let changed = story(&mut owner).await?;
    ensure!(changed != base, "it changes nothing: {base:?}");
    adapt(&mut owner, mine(0.25)).await?;
    let quarter = story(&mut owner).await?;
    ensure!(quarter != base && quarter != changed, "a quarter of it: {quarter:?}");
    adapt(&mut owner, mine(1.0)).await?;
    ensure!(story(&mut owner).await? == changed, "as much as before");

    // Others see it, and are as they were.
    let mut guest = Peer::join(2, &link, &story_checkpoint())?;
    let told = |view: &View| {
        let about = view.weights.iter().find_map(|one| one.about.clone())?;
        about.adapts.map(|adapts| (about.name, about.licence, adapts.rank, adapts.model))
    };
    let view = guest.until("the adapter", |view| view.model.is_some() && told(view).is_some()).await?;
    let expected = ("wild".to_owned(), "CC0-1.0".to_owned(), 4, "manyhands/story".to_owned());
    ensure!(told(&view) == Some(expected), "{:?}", told(&view));
    ensure!(view.adapters.worn.is_empty() && weights(&view).is_none(), "nothing is fetched unasked");
    ensure!(story(&mut guest).await? == base, "the guest's is the base still");

    let theirs = vec![(format!("{}/", adapter.content), 1.0)];
    let view = adapt(&mut guest, theirs.clone()).await?;
    let [worn] = &view.adapters.worn[..] else { anyhow::bail!("one adapter: {:?}", view.adapters) };
    ensure!((worn.name.as_str(), worn.rank, worn.named) == ("wild", 4, false), "{worn:?}");
    let one = weights(&view).context("it is a content")?;
    let from = one.from_peers.values().sum::<u64>();
    let progress = one.progress;
    ensure!(from > 50_000 && progress.here == progress.wanted, "it came from the owner: {one:?}");
    // What is read ahead of the header comes before the rest is wanted.
    ensure!(progress.found < progress.here / 2, "and was not here before: {progress:?}");
    ensure!(story(&mut guest).await? == changed, "the same adapter writes the same");
    adapt(&mut guest, Vec::new()).await?;
    ensure!(story(&mut guest).await? == base, "off is off, to the letter");
    // Again, from what is here.
    adapt(&mut guest, theirs).await?;
    ensure!(story(&mut guest).await? == changed);
    Ok(())
}

/// What another model was changed by fits nowhere here, and nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_of_another_model_is_refused_in_plain_words() -> Result<()> {
    let mut peer = Peer::alone(3, &story_checkpoint());
    let view = peer.until("the worker", |view| view.model.is_some()).await?;
    let llama = tests::program::root().join("kernels/tests/data/adapters/llama/plain");
    peer.ask(Ask::Adapt(vec![(llama.to_string_lossy().into_owned(), 1.0)]));
    let said = |view: &View| view.notices.iter().any(|(_, text)| text.contains("cannot be used"));
    let after = peer.until("a word about it", said).await?;
    ensure!(after.adapters.wanted.is_none() && after.adapters.worn.is_empty(), "{:?}", after.adapters);
    ensure!(after.model == view.model, "the model is the same");
    Ok(())
}
