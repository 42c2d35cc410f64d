//! Rooms of native peers over real WebRTC, against the real signaling binary: whoever is lost on the way, the
//! story is the one that a peer alone would have written.

use anyhow::{Result, ensure};
use app::node::view::{Ask, View};
use coordinator::io::Spread;
use tests::peer::{LIMIT, Peer, request, solo};
use tests::program::{Program, Server, root, story_model};

/// Tokens of the answer after which somebody is killed.
const MIDDLE: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_killed_in_mid_story() -> Result<()> {
    story_with_a_loss(11, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_is_killed_in_mid_story() -> Result<()> {
    story_with_a_loss(12, true).await
}

/// Three peers share the layers and write; the coordinator or another worker is killed without warning.
async fn story_with_a_loss(seed: u64, coordinator: bool) -> Result<()> {
    let expected = solo(&story_model(), &request(seed)).await?;
    let server = Server::start(&root())?;
    let link = server.link(if coordinator { "coordinator-lost" } else { "worker-lost" });
    let mut first = peer_process(&link, "first")?;
    let mut second = peer_process(&link, "second")?;
    second.line(LIMIT, |line| line.starts_with("room: 2 peers") && !line.contains("nobody"))?;
    let mut asker = Peer::join(1, &link, &story_model())?;
    let three =
        |view: &View| view.peers.peers.len() == 3 && view.peers.epoch.is_some_and(|e| e.leader.0 != 1);
    asker.until("three peers under one coordinator", three).await?;
    asker.ask(Ask::Spread(Spread::Everyone));
    let room = asker.until_room(3, 3).await?;
    let leader = room.peers.epoch.map(|epoch| epoch.leader);
    ensure!(leader != Some(asker.me), "a newcomer does not take over from a coordinator in office");

    asker.ask(Ask::Write(request(seed)));
    asker.until("the middle", |view| view.cards.last().is_some_and(|card| card.tokens >= MIDDLE)).await?;
    let leader_is_first = room.peers.peers.iter().any(|peer| Some(peer.id) == leader && peer.name == "first");
    let victim = if coordinator == leader_is_first { &mut first } else { &mut second };
    victim.kill();

    let written = asker.until_written().await?;
    ensure!(written.text == expected.text, "with a loss: {:?}\nalone: {:?}", written.text, expected.text);
    ensure!(written.end == expected.end, "it ended as {:?}, alone as {:?}", written.end, expected.end);
    ensure!(written.workers.len() == 3, "three peers worked on it: {:?}", written.workers);
    let room = asker.until_room(2, 2).await?;
    ensure!(room.peers.epoch.is_some(), "the room has a coordinator");
    Ok(())
}

fn peer_process(link: &str, name: &str) -> Result<Program> {
    let model = story_model();
    let arguments = ["peer", "--room", link, "--cpu", "--name", name, "--model", &model.to_string_lossy()];
    let mut peer = Program::start("manyhands", &arguments)?;
    peer.line(LIMIT, |line| line.starts_with("compute: ready"))?;
    Ok(peer)
}
