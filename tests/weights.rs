//! Rooms of native peers over real WebRTC that fetch a model once, hand it on, and outlive whoever brought it.

mod adapters;

use anyhow::{Context, Result, ensure};
use app::compute::Means;
use app::compute::swarm::Keep;
use app::node::view::{Ask, View, Weights, WriteRequest};
use app::sampling::Sampling;
use coordinator::io::Stage;
use std::time::{Duration, Instant};
use tests::greedy::Greedy;
use tests::liar::Liar;
use tests::models::{LARGE, Model, SMALL};
use tests::origin::Origin;
use tests::peer::{LIMIT, Peer, means, request, solo};
use tests::program::{Program, Server, root};

/// A peer in a process of its own, which can be killed, that lends so many MiB to the model.
fn peer_process(link: &str, name: &str, model: &str, memory: u64, store: &str) -> Result<Program> {
    let memory = memory.to_string();
    let arguments = ["peer", "--room", link, "--cpu", "--threads", "1", "--name", name, "--model", model];
    let more = ["--memory", &memory, "--store", store, "--only", "text"];
    let mut peer = Program::start("manyhands", &[&arguments[..], &more].concat())?;
    peer.line(LIMIT, |line| line.starts_with("compute: ready"))?;
    Ok(peer)
}

/// A text that does not end by itself.
fn endless(seed: u64) -> WriteRequest {
    let plain = request(seed);
    let sampling = Sampling { bias: vec![(0, -100.0), (1, -100.0)], ..plain.sampling };
    WriteRequest { max_new: 60, sampling, ..plain }
}

fn lending(model: &str, memory: u64) -> Means {
    Means { memory: Some(memory << 20), ..means(model) }
}

fn weights(view: &View) -> Option<&Weights> {
    view.weights.iter().find(|one| one.open)
}

/// True if all that this peer wants is here, and that is so much at least.
fn has(view: &View, bytes: u64) -> bool {
    weights(view).is_some_and(|one| one.progress.here == one.progress.wanted && one.progress.here >= bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_fills_itself_with_one_download() -> Result<()> {
    let model = Model::make("fill", LARGE)?;
    let expected = solo(&model.path(), &endless(5)).await?;
    let server = Server::start(&root())?;
    let (origin, link) = (Origin::start(&model.path())?, server.link("fill"));
    let url = origin.url();
    let mut first = peer_process(&link, "Ada", &url, 28, &model.store("ada"))?;
    let _second = peer_process(&link, "Ben", &url, 28, &model.store("ben"))?;
    let mut asker = Peer::join_with(1, &link, lending(&url, 28))?;
    asker.until("three peers", |view| view.model.is_some() && view.peers.peers.len() == 3).await?;
    asker.ask(Ask::Write(endless(5)));
    let written = asker.until_written().await?;
    ensure!(
        written.text == expected.text,
        "split over three: {:?}\nalone: {:?}",
        written.text,
        expected.text
    );
    ensure!(written.workers.len() == 3, "nobody could hold it alone: {:?}", written.workers);
    let served = origin.served(|_| true);
    println!("the origin served {:.3} of the model", served as f64 / model.bytes as f64);
    ensure!(served * 10 <= model.bytes * 11, "{served} bytes of a model of {}", model.bytes);

    // Killed and started again, a peer has what it had, and the room the rest.
    first.kill();
    asker.until("Ada is gone", |view| view.peers.peers.len() == 2).await?;
    let weights_served = |origin: &Origin| origin.served(|path| path.ends_with(".safetensors"));
    let before = weights_served(&origin);
    let _first = peer_process(&link, "Ada", &url, 28, &model.store("ada"))?;
    asker.until_room(3, 3).await?;
    ensure!(weights_served(&origin) == before, "nothing is fetched twice");

    // Without the origin the room is enough for whoever comes.
    origin.switch(false);
    let means =
        Means { keep: Keep { folder: Some(model.store("dee")), quota: None }, ..means(&model.content) };
    let mut last = Peer::join_with(4, &link, means)?;
    last.until("the fourth is ready", |view| view.model.is_some() && view.peers.peers.len() == 4).await?;
    last.ask(Ask::Write(endless(5)));
    let written = last.until_written().await?;
    ensure!(written.text == expected.text, "the fourth: {:?}\nalone: {:?}", written.text, expected.text);
    // The header was read on opening, and is not needed any more.
    let weights_bytes = model.bytes - (64 << 10);
    let view = last.until("all of it", |view| has(view, weights_bytes)).await?;
    let one = weights(&view).context("it is open")?;
    let from_peers: u64 = one.from_peers.values().sum();
    ensure!(one.from_origin == 0 && from_peers >= weights_bytes, "all from the room: {one:?}");
    let about = one.about.as_ref().context("it is known")?;
    ensure!((about.name.as_str(), about.licence.as_str()) == ("fill", "MIT"), "{about:?}");
    Ok(())
}

/// One peer has the model in a folder of its own, another says that it has it too, and sends something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_wrong_weights_is_named() -> Result<()> {
    let model = Model::make("liar", SMALL)?;
    let expected = solo(&model.path(), &endless(6)).await?;
    let server = Server::start(&root())?;
    let link = server.link("liar");
    let liar = Liar::join(0x0bad << 112, &link, model.id()?)?;
    let mut owner = Peer::join(2, &link, &model.path())?;
    owner.until("the owner", |view| weights(view).is_some() && view.model.is_some()).await?;
    let mut guest = Peer::join_with(1, &link, means(&model.content))?;
    guest.until("the guest", |view| view.model.is_some()).await?;
    // The owner gives its weights away and does not compute, so that the guest needs all of them.
    owner.ask(Ask::Share(false));
    guest.ask(Ask::Write(endless(6)));
    let written = guest.until_written().await?;
    ensure!(written.text == expected.text, "the guest: {:?}\nalone: {:?}", written.text, expected.text);
    let named = |view: &View| weights(view).is_some_and(|one| !one.liars.is_empty());
    let view = guest.until("the liar is named", named).await?;
    let said = |(_, text): &(u64, String)| text.contains("not what they should be");
    ensure!(view.notices.iter().filter(|notice| said(notice)).count() == 1, "{:?}", view.notices);
    ensure!(liar.sent() == 1, "it cost one block, not {}", liar.sent());
    Ok(())
}

/// A moderate room; [`ten_peers_of_which_five_leave`] is the whole one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_peers_of_which_two_leave() -> Result<()> {
    churn("churn", 6, 2, 8).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten peers take minutes on two cores; run it by name"]
async fn ten_peers_of_which_five_leave() -> Result<()> {
    for seed in 0..3 {
        churn("crowd", 10, 5, 5 + seed).await?;
    }
    Ok(())
}

/// `peers` hold a model that none of them could hold alone; `leave` of them, whichever, are killed while another joins.
async fn churn(name: &str, peers: usize, leave: usize, seed: u64) -> Result<()> {
    let model = Model::make(name, LARGE)?;
    let expected = solo(&model.path(), &endless(seed)).await?;
    let server = Server::start(&root())?;
    let (origin, link) = (Origin::start(&model.path())?, server.link(name));
    let url = origin.url();
    // Those who stay can hold it together, each with a layer more than it needs.
    let memory = 64 / (peers - leave) as u64 + 8;
    let start = |index: usize| {
        peer_process(&link, &format!("P{index}"), &url, memory, &model.store(&format!("p{index}")))
    };
    let mut others = (1..peers).map(start).collect::<Result<Vec<_>>>()?;
    let mut asker = Peer::join_with(1, &link, lending(&url, memory))?;
    asker.until("everyone", |view| view.model.is_some() && view.peers.peers.len() == peers).await?;
    asker.ask(Ask::Write(endless(seed)));
    asker.until("the middle", |view| view.cards.last().is_some_and(|card| card.tokens >= 12)).await?;
    for lost in 0..leave {
        let victim = (seed as usize * 7 + lost * 3) % others.len();
        others.swap_remove(victim).kill();
    }
    others.push(start(peers)?);
    let written = asker.until_written().await?;
    ensure!(written.text == expected.text, "with losses: {:?}\nalone: {:?}", written.text, expected.text);
    let served = origin.served(|path| path.ends_with(".safetensors"));
    println!("{name}, seed {seed}: the origin served {:.3} of the model", served as f64 / model.bytes as f64);
    Ok(())
}

/// How long an answer waits when a stage of 4 MB is lost: until that is noticed, until others have fetched its layers, and
/// the answer goes on. A measurement, printed; what has to hold is that every answer is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures twenty losses; run it by name"]
async fn a_lost_stage_is_healed() -> Result<()> {
    const LOSSES: usize = 20;
    let model = Model::make("heal", SMALL)?;
    let server = Server::start(&root())?;
    let (origin, link) = (Origin::start(&model.path())?, server.link("heal"));
    let url = origin.url();
    let start = |index: usize| {
        let name = format!("P{index}");
        let peer = peer_process(&link, &name, &url, 7, &model.store(&name))?;
        Ok((name, peer))
    };
    let mut others = (1..4).map(start).collect::<Result<Vec<_>>>()?;
    let mut asker = Peer::join_with(1, &link, lending(&url, 7))?;
    let mut gaps = Vec::new();
    for loss in 0..LOSSES {
        // Three can hold it, and one is left over.
        let view = asker.until_room(4, 3).await?;
        let others_stage = |stage: &&Stage| stage.peer != view.me;
        let victim = view.teams()[0].stages.iter().filter(others_stage).nth(loss % 2).context("a victim")?;
        let name =
            view.peers.peers.iter().find(|one| one.id == victim.peer).context("its name")?.name.clone();
        let request = WriteRequest { max_new: 300, ..endless(loss as u64) };
        let expected = solo(&model.path(), &request).await?;
        asker.ask(Ask::Write(request));
        let tokens = |view: &View| view.cards.iter().rfind(|card| card.mine).map_or(0, |card| card.tokens);
        let ended =
            |view: &View| view.cards.iter().rfind(|card| card.mine).is_some_and(|card| card.end.is_some());
        let mut view = asker.until("a beginning", |view| !ended(view) && tokens(view) >= 12).await?;
        let index = others.iter().position(|(one, _)| *one == name).context("its process")?;
        others.remove(index).1.kill();
        let (mut gap, mut latest) = (Duration::ZERO, Instant::now());
        while !ended(&view) {
            let before = tokens(&view);
            view = asker.until("more", |view| ended(view) || tokens(view) > before).await?;
            gap = gap.max(latest.elapsed());
            latest = Instant::now();
        }
        let written = asker.until_written().await?;
        ensure!(
            written.text == expected.text,
            "after a loss: {:?}\nalone: {:?}",
            written.text,
            expected.text
        );
        println!("loss {loss}: the answer waited {gap:?}");
        gaps.push(gap);
        others.push(start(4 + loss)?);
    }
    gaps.sort();
    println!("healed in {:?} (median), {:?} (p95)", gaps[LOSSES / 2], gaps[LOSSES * 95 / 100 - 1]);
    Ok(())
}

/// How much longer an answer of two stages takes while somebody fetches weights from both as fast as they give them. A
/// measurement, printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run it by name"]
async fn weights_give_way_to_an_answer() -> Result<()> {
    let model = Model::make("way", LARGE)?;
    let server = Server::start(&root())?;
    let link = server.link("way");
    let source = model.path().to_string_lossy().into_owned();
    let _other = peer_process(&link, "Ben", &source, 40, &model.store("ben"))?;
    let mut asker = Peer::join_with(1, &link, lending(&source, 40))?;
    asker.until_room(2, 2).await?;
    let mut asked = 0;
    let mut timed = async |seed| -> Result<Duration> {
        let began = Instant::now();
        asker.ask(Ask::Write(WriteRequest { max_new: 200, ..endless(seed) }));
        asked += 1;
        let ended = |view: &View| view.cards.iter().filter(|card| card.mine && card.end.is_some()).count();
        asker.until("the end of the answer", |view| ended(view) == asked).await?;
        Ok(began.elapsed())
    };
    timed(0).await?;
    for round in 0..5 {
        let alone = timed(round).await?;
        let greedy = Greedy::join((0x0bad + u128::from(round)) << 112, &link, model.id()?)?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = greedy.came();
        let beside = timed(round).await?;
        let during = greedy.came() - before;
        let rate = |bytes: u64, seconds: f64| bytes as f64 / seconds / 1e6;
        println!(
            "{alone:?} alone, {beside:?} beside {:.1} MB/s ({:.1} before it): {:.2}",
            rate(during, beside.as_secs_f64()),
            rate(before, 5.0),
            beside.as_secs_f64() / alone.as_secs_f64()
        );
    }
    Ok(())
}

/// Somebody has to hear what the program says of a model that is none.
#[test]
fn what_is_no_content_is_said() -> Result<()> {
    let mut peer = Program::start("manyhands", &["manifest", "xtask"])?;
    ensure!(peer.line(Duration::from_secs(20), |_| true).is_err(), "a folder without a model");
    Ok(())
}
