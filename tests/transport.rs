//! The transport over real WebRTC on this machine, against the real signaling server: who meets, what arrives, what
//! is lost, and what strangers achieve.

use app::link::RoomLink;
use app::transport::{IceServers, JoinOptions, NetEvent, SignalingState, Transport, WebRtc};
use coordinator::PeerId;
use coordinator::io::Lane;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling::{Config, Running};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// Longer than anything here takes, so that a hang is a failure and not a hang.
const HANG: Duration = Duration::from_secs(60);
const UNSEALED: &str = "not sealed with this room's key";

async fn start(port: u16) -> Running {
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    // The port of a server that has just stopped may take a moment.
    for _ in 0..100 {
        if let Ok(server) = Running::start(address, Config::default()).await {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no port");
}

fn new_room(server: &Running) -> RoomLink {
    RoomLink::create(&format!("http://{}/", server.address())).expect("a link")
}

enum Ask {
    Send(PeerId, Lane, Vec<u8>),
    Leave,
    /// Stops polling, as a frozen or killed process does, without a farewell.
    Freeze,
}

/// A peer, driven by a task of its own; and what the test has seen of its events.
struct Peer {
    id: PeerId,
    asks: UnboundedSender<Ask>,
    events: UnboundedReceiver<NetEvent>,
    ups: BTreeMap<PeerId, u32>,
    downs: BTreeMap<PeerId, u32>,
    dropped: BTreeMap<&'static str, u32>,
    messages: Vec<(PeerId, Vec<u8>)>,
    signaling: Option<SignalingState>,
}

impl Peer {
    fn join(link: &RoomLink, id: u128) -> Self {
        let options = JoinOptions { link: link.clone(), me: PeerId(id), ice: IceServers::default() };
        let transport = WebRtc::join(options).expect("joined");
        let (asks, asked) = unbounded_channel();
        let (told, events) = unbounded_channel();
        tokio::spawn(drive(transport, asked, told));
        Self {
            id: PeerId(id),
            asks,
            events,
            ups: BTreeMap::new(),
            downs: BTreeMap::new(),
            dropped: BTreeMap::new(),
            messages: Vec::new(),
            signaling: None,
        }
    }

    fn send(&self, to: &Self, lane: Lane, bytes: Vec<u8>) {
        self.asks.send(Ask::Send(to.id, lane, bytes)).ok();
    }

    /// Reads events until what was seen is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let read = async {
            while !wanted(self) {
                let event = self.events.recv().await.expect("the peer lives");
                self.see(event);
            }
        };
        let in_time = timeout(HANG, read).await.is_ok();
        assert!(
            in_time,
            "{:?} waits for {what}: {:?} {:?} {:?}",
            self.id, self.ups, self.downs, self.dropped
        );
    }

    fn see(&mut self, event: NetEvent) {
        match event {
            NetEvent::Up(peer) => *self.ups.entry(peer).or_default() += 1,
            NetEvent::Down(peer) => *self.downs.entry(peer).or_default() += 1,
            NetEvent::Message { from, bytes } => self.messages.push((from, bytes)),
            NetEvent::Signaling(state) => self.signaling = Some(state),
            NetEvent::Dropped { reason, .. } => *self.dropped.entry(reason).or_default() += 1,
        }
    }

    async fn meets(&mut self, other: &Self) {
        let id = other.id;
        self.until("a peer to come up", |it| it.ups.contains_key(&id)).await;
    }

    async fn gets(&mut self, count: usize) -> Vec<(PeerId, Vec<u8>)> {
        self.until("messages", |it| it.messages.len() >= count).await;
        std::mem::take(&mut self.messages)
    }
}

async fn drive(mut transport: WebRtc, mut asked: UnboundedReceiver<Ask>, told: UnboundedSender<NetEvent>) {
    loop {
        tokio::select! {
            event = transport.next() => { told.send(event).ok(); }
            ask = asked.recv() => match ask {
                Some(Ask::Send(to, lane, bytes)) => transport.send(to, lane, bytes).expect("taken"),
                Some(Ask::Leave) => transport.leave(),
                Some(Ask::Freeze) => {
                    std::mem::forget(transport);
                    return std::future::pending().await;
                }
                None => return,
            },
        }
    }
}

async fn two(link: &RoomLink) -> (Peer, Peer) {
    let (mut one, mut two) = (Peer::join(link, 1), Peer::join(link, 2));
    one.meets(&two).await;
    two.meets(&one).await;
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn control_keeps_order_and_bulk_passes_both_ways_at_once() {
    let server = start(0).await;
    let (mut one, mut two) = two(&new_room(&server)).await;
    for number in 0..200u32 {
        one.send(&two, Lane::Control, number.to_le_bytes().to_vec());
    }
    let expected: Vec<_> = (0..200u32).map(|number| (one.id, number.to_le_bytes().to_vec())).collect();
    assert_eq!(two.gets(200).await, expected, "in order");
    // Twice the window, so that it must be acknowledged to pass; and a small one that need not wait for it.
    let big: Vec<u8> = (0..2 * 1024 * 1024u32).map(|byte| (byte * 31) as u8).collect();
    one.send(&two, Lane::Bulk, big.clone());
    two.send(&one, Lane::Bulk, big.clone());
    one.send(&two, Lane::Bulk, b"small".to_vec());
    let at_two = two.gets(2).await;
    assert_eq!(at_two[0], (one.id, b"small".to_vec()), "it overtakes");
    assert!(at_two[1] == (one.id, big.clone()), "whole");
    assert!(one.gets(1).await == [(two.id, big)], "whole");
    assert_eq!((one.dropped, two.dropped), (BTreeMap::new(), BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farewell_is_heard_by_all_and_silence_is_noticed() {
    let server = start(0).await;
    let link = new_room(&server);
    let (mut one, mut two) = two(&link).await;
    let mut three = Peer::join(&link, 3);
    three.meets(&one).await;
    three.meets(&two).await;
    let left = one.id;
    one.asks.send(Ask::Leave).ok();
    two.until("the farewell", |it| it.downs.contains_key(&left)).await;
    three.until("the farewell", |it| it.downs.contains_key(&left)).await;
    let frozen = two.id;
    two.asks.send(Ask::Freeze).ok();
    three.until("the silence to be noticed", |it| it.downs.contains_key(&frozen)).await;
    assert_eq!(one.downs, BTreeMap::new(), "after leaving there are no events");
    assert!(one.events.try_recv().is_err() || one.ups.len() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_key_nobody_meets_and_both_are_told() {
    let server = start(0).await;
    let link = new_room(&server);
    let mistyped =
        RoomLink::parse(&format!("{}#room={}&key=AAECAwQFBgcICQoLDA0ODw", link.base(), link.room()));
    let (mut one, mut two) = two(&link).await;
    let mut stranger = Peer::join(&mistyped.expect("a link"), 9);
    stranger.until("being told", |it| it.dropped.contains_key(UNSEALED)).await;
    one.until("being told", |it| it.dropped.contains_key(UNSEALED)).await;
    // Somebody who comes later meets the others, and still not the stranger.
    let mut three = Peer::join(&link, 3);
    three.meets(&one).await;
    three.meets(&two).await;
    two.meets(&three).await;
    assert_eq!(stranger.ups, BTreeMap::new());
    assert!(!three.ups.contains_key(&stranger.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_outlives_its_signaling_server() {
    let server = start(0).await;
    let (link, port) = (new_room(&server), server.address().port());
    let (mut one, mut two) = two(&link).await;
    server.stop().await.expect("stopped");
    for peer in [&mut one, &mut two] {
        peer.until("the loss", |it| matches!(it.signaling, Some(SignalingState::Lost { .. }))).await;
    }
    one.send(&two, Lane::Control, b"still here".to_vec());
    assert_eq!(two.gets(1).await, [(one.id, b"still here".to_vec())], "without a server");
    let server = start(port).await;
    for peer in [&mut one, &mut two] {
        peer.until("the server again", |it| it.signaling == Some(SignalingState::Open)).await;
    }
    let mut three = Peer::join(&link, 3);
    three.meets(&one).await;
    three.meets(&two).await;
    one.meets(&three).await;
    two.meets(&three).await;
    two.send(&one, Lane::Bulk, vec![7; 100_000]);
    assert!(one.gets(1).await == [(two.id, vec![7; 100_000])]);
    for peer in [&one, &two, &three] {
        assert!(peer.ups.values().all(|ups| *ups == 1), "nobody was dialled twice: {:?}", peer.ups);
        assert_eq!(peer.downs, BTreeMap::new(), "nobody was lost");
        assert_eq!(peer.dropped, BTreeMap::new());
    }
    server.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_at_the_signaling_socket_is_counted_and_does_no_harm() {
    let server = start(0).await;
    let link = new_room(&server);
    let (mut one, mut two) = two(&link).await;
    let (mut socket, _) = connect_async(link.signaling_url()).await.expect("connected");
    // The two greet the newcomer, sealed; so it learns their ids at the server, and has something to replay.
    let mut hellos = Vec::new();
    while hellos.len() < 2 {
        let message = timeout(HANG, socket.next()).await.expect("in time").expect("open").expect("a message");
        let Message::Text(text) = message else { continue };
        let event: Value = serde_json::from_str(&text).expect("JSON");
        if event["Signal"].is_object() {
            hellos.push((event["Signal"]["sender"].clone(), event["Signal"]["data"].clone()));
        }
    }
    let hostile = [
        json!({ "Offer": "v=0\r\nnot an offer" }),
        json!({ "IceCandidate": "{\"candidate\":\"candidate:x\"}" }),
        json!("v=0"),
        json!(""),
        json!("A".repeat(40_000)),
        json!(null),
        json!([[[[1]]]]),
    ];
    for (receiver, hello) in &hellos {
        for data in hostile.iter().chain([hello]) {
            let request = json!({ "Signal": { "receiver": receiver, "data": data } });
            socket.send(Message::text(request.to_string())).await.expect("sent");
        }
    }
    let expected = hostile.len() as u32 + 1;
    for peer in [&mut one, &mut two] {
        peer.until("the counts", |it| it.dropped.get(UNSEALED) == Some(&expected)).await;
    }
    one.send(&two, Lane::Control, b"lives on".to_vec());
    assert_eq!(two.gets(1).await, [(one.id, b"lives on".to_vec())]);
    let mut three = Peer::join(&link, 3);
    three.meets(&one).await;
    three.meets(&two).await;
    assert!(one.downs.is_empty() && two.downs.is_empty());
}
