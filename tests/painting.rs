//! Rooms of native peers that paint over real WebRTC, against the real signaling binary: however the work is shared, and
//! whoever is lost on the way, the pictures are those that a peer alone would have painted.

use anyhow::{Context, Result, ensure};
use app::compute::Means;
use app::node::view::{Ask, Card, View};
use app::painting::PaintRequest;
use coordinator::io::{Spread, Stage};
use tests::peer::{LIMIT, Peer, files, means};
use tests::program::{Program, Server, painter_model, root};

fn request(count: u16, steps: u16) -> PaintRequest {
    PaintRequest {
        prompt: "a red circle above a blue square".into(),
        negative: "a house".into(),
        width: 48,
        height: 48,
        steps,
        guidance: 3.0,
        seed: 7,
        count,
        patches: false,
    }
}

/// What one peer alone paints.
async fn solo(request: &PaintRequest) -> Result<Vec<Vec<u8>>> {
    let mut peer = Peer::alone(0x50_10, &painter_model());
    peer.until("the worker", |view| view.painter.is_some()).await?;
    let card = peer.paint(request).await?;
    let painted = files(&card);
    ensure!(painted.len() == usize::from(request.count), "{} pictures", painted.len());
    ensure!((1..painted.len()).all(|i| !painted[..i].contains(&painted[i])), "each seed its own picture");
    Ok(painted)
}

/// A peer in a process of its own, which can be killed.
fn peer_process(link: &str, name: &str, memory: Option<u64>) -> Result<Program> {
    let (model, memory) = (painter_model(), memory.map(|mib| mib.to_string()));
    let model = model.to_string_lossy();
    let mut arguments = vec!["peer", "--room", link, "--cpu", "--name", name, "--model", &model];
    arguments.extend(memory.iter().flat_map(|mib| ["--memory", mib.as_str()]));
    let mut peer = Program::start("manyhands", &arguments)?;
    peer.line(LIMIT, |line| line.starts_with("compute: ready"))?;
    Ok(peer)
}

/// Peers that can paint, as the asker sees them.
fn painters(view: &View) -> usize {
    let Some(painter) = &view.painter else { return 0 };
    view.peers.peers.iter().filter(|peer| peer.ready.iter().any(|part| part.model == painter.id)).count()
}

async fn asker(link: &str, peers: usize, request: &PaintRequest) -> Result<Peer> {
    let mut asker = Peer::join(1, link, &painter_model())?;
    let all =
        |view: &View| view.painter.is_some() && view.peers.peers.len() == peers && view.peers.epoch.is_some();
    asker.until("everyone", all).await?;
    // A model is loaded where it may be needed once somebody has asked for it.
    asker.paint(&PaintRequest { steps: 1, count: peers as u16, seed: 99, ..request.clone() }).await?;
    asker.until("everyone holds the painter", |view| painters(view) == peers).await?;
    Ok(asker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_peers_share_four_pictures() -> Result<()> {
    // Long enough for everyone to be asked before one has painted all of them.
    let request = request(4, 100);
    let expected = solo(&request).await?;
    let server = Server::start(&root())?;
    let link = server.link("four");
    let _others = ["Ada", "Ben", "Cleo"].map(|name| peer_process(&link, name, None));
    let mut asker = asker(&link, 4, &request).await?;
    let card = asker.paint(&request).await?;
    ensure!(files(&card) == expected, "four peers paint other pixels than one");
    // Whoever is free first gets the next one: one peer may paint two, and another none.
    ensure!(card.workers.len() > 1, "several painted: {:?}", card.workers);
    Ok(())
}

/// Two peers run a half of the guidance each; the one that is not the asker is killed in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_half_of_the_guidance_is_lost() -> Result<()> {
    let request = request(1, 48);
    let expected = solo(&request).await?;
    let server = Server::start(&root())?;
    let link = server.link("halves");
    let mut other = peer_process(&link, "other", None)?;
    let mut asker = asker(&link, 2, &request).await?;
    asker.ask(Ask::Spread(Spread::Everyone));
    asker.until("its wish is known", |view| view.peers.spread == Spread::Everyone).await?;
    asker.ask(Ask::Paint(request));
    asker
        .until("the middle", |view| view.cards.len() == 2 && (8..48).contains(&done(&view.cards[1])))
        .await?;
    other.kill();
    let card = asker.until_painted(2).await?;
    ensure!(card.workers.len() == 2, "both worked on it: {:?}", card.workers);
    ensure!(files(&card) == expected, "a half was lost, and pixels with it");
    Ok(())
}

/// Steps of the first picture.
fn done(card: &Card) -> u16 {
    let pictures = card.painting.iter().flat_map(|painting| &painting.pictures);
    pictures.map(|picture| picture.done).next().unwrap_or_default()
}

/// Nobody can hold the painter alone, so that each holds some of its blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_painter_that_nobody_can_hold_is_shared() -> Result<()> {
    let request = request(1, 12);
    let expected = solo(&request).await?;
    let server = Server::start(&root())?;
    let link = server.link("blocks");
    let _others =
        [("Ada", 6), ("Ben", 6), ("Cleo", 6)].map(|(name, mib)| peer_process(&link, name, Some(mib)));
    let lending = Means { memory: Some(1 << 20), ..means(&painter_model().to_string_lossy()) };
    let mut asker = Peer::join_with(1, &link, lending)?;
    asker.until("everyone", |view| view.painter.is_some() && view.peers.peers.len() == 4).await?;
    let card = asker.paint(&request).await?;
    let parts: Vec<&Stage> = card.stages.iter().collect();
    ensure!(parts.len() > 1, "it ran on several: {parts:?}");
    ensure!(parts.windows(2).all(|two| two[0].layers.end == two[1].layers.start), "a part each: {parts:?}");
    ensure!(files(&card) == expected, "blocks on several peers paint other pixels");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_painted_is_said() -> Result<()> {
    let mut peer = Peer::alone(3, &painter_model());
    peer.until("the worker", |view| view.painter.is_some()).await?;
    let good = request(1, 2);
    let rows = [
        (PaintRequest { width: 50, ..good.clone() }, "multiples of"),
        (PaintRequest { height: 0, ..good.clone() }, "multiples of"),
        (PaintRequest { width: 1 << 20, ..good.clone() }, "at most"),
        (PaintRequest { steps: 0, ..good.clone() }, "0 steps"),
        (PaintRequest { steps: u16::MAX, ..good.clone() }, "65535 steps"),
        (PaintRequest { guidance: f32::NAN, ..good.clone() }, "guidance NaN"),
        (PaintRequest { guidance: 1e9, ..good.clone() }, "guidance"),
        (PaintRequest { count: 65, ..good.clone() }, "65 pictures"),
        (PaintRequest { prompt: " ".into(), ..good.clone() }, "empty"),
        (PaintRequest { prompt: "boat ".repeat(700), ..good.clone() }, "shorter"),
    ];
    for (request, said) in rows {
        peer.ask(Ask::Paint(request));
        let says = |view: &View| view.notices.last().is_some_and(|(_, text)| text.contains(said));
        peer.until(said, says).await.context("why it cannot be painted")?;
    }
    peer.paint(&good).await.context("what can be painted is painted all the same")?;
    Ok(())
}
