//! Two peers and a server that does whatever the row says.

use super::{Do, Introductions, ServerEvent};
use crate::link::RoomLink;
use crate::transport::limits::{HANDSHAKE_MS, SERVER_SILENT_MS};
use crate::transport::seal::{Random, Seal};
use coordinator::PeerId;
use matchbox_socket::{PeerEvent, PeerRequest, PeerSignal};
use uuid::Uuid;

const LOW: PeerId = PeerId(1);
const HIGH: PeerId = PeerId(2);
type ServerRequest = matchbox_protocol::PeerRequest<serde_json::Value>;
const UNSEALED: &str = "not sealed with this room's key";

/// One peer, what it handed to matchbox and to its driver, and the server's id for it.
struct Peer {
    machine: Introductions,
    id: Uuid,
    matchbox: Vec<PeerEvent>,
    dropped: Vec<&'static str>,
    retired: Vec<u32>,
    sent: Vec<String>,
}

impl Peer {
    fn new(me: PeerId, key: &str) -> Self {
        let link = RoomLink::parse(&format!("http://h/#room=r&key={key}")).expect("a link");
        let random = Random::new([me.0 as u8; 32]);
        let machine = Introductions::new(me, Seal::new(link.key(), link.room()), random);
        let (matchbox, dropped, retired, sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { machine, id: Uuid::nil(), matchbox, dropped, retired, sent }
    }

    fn connect(&mut self, id: u128) {
        self.id = Uuid::from_u128(id);
        self.hear(0, &ServerEvent::IdAssigned(self.id.into()));
    }

    fn hear(&mut self, now: u64, event: &ServerEvent) {
        self.machine.heard(now, &serde_json::to_string(event).expect("JSON"));
        self.work();
    }

    fn request(&mut self, link: Uuid, data: PeerSignal) {
        self.machine.request(PeerRequest::Signal { receiver: link.into(), data });
        self.work();
    }

    fn work(&mut self) {
        while let Some(task) = self.machine.next() {
            match task {
                Do::Say(text) => self.sent.push(text),
                Do::Matchbox(event) => self.matchbox.push(event),
                Do::Dropped { reason, .. } => self.dropped.push(reason),
                Do::Retire { attempt, .. } => self.retired.push(attempt),
                Do::Name { .. } | Do::Doubt(_) | Do::Open | Do::Reconnect => {}
            }
        }
    }

    /// The link that it was told to dial.
    fn dials(&self) -> Option<Uuid> {
        self.matchbox.iter().find_map(
            |it| {
                if let PeerEvent::NewPeer(link) = it { Some(link.0) } else { None }
            },
        )
    }
}

/// What a peer said, as the server hands it on.
fn relayed(sender: Uuid, text: &str) -> (Uuid, ServerEvent) {
    match serde_json::from_str::<ServerRequest>(text).expect("a request") {
        ServerRequest::Signal { receiver, data } => {
            (receiver.0, ServerEvent::Signal { sender: sender.into(), data })
        }
        ServerRequest::KeepAlive => panic!("never sent"),
    }
}

/// Relays until nobody has anything to say. Returns everything relayed.
fn relay(one: &mut Peer, two: &mut Peer, now: u64) -> Vec<(Uuid, ServerEvent)> {
    let mut all = Vec::new();
    loop {
        let said: Vec<_> = [&mut *one, two]
            .into_iter()
            .flat_map(|peer| {
                std::mem::take(&mut peer.sent)
                    .into_iter()
                    .map(|text| relayed(peer.id, &text))
                    .collect::<Vec<_>>()
            })
            .collect();
        if said.is_empty() {
            return all;
        }
        for (receiver, event) in said {
            let peer = if receiver == one.id { &mut *one } else { &mut *two };
            peer.hear(now, &event);
            all.push((receiver, event));
        }
    }
}

const KEY: &str = "AAECAwQFBgcICQoLDA0ODw";

/// LOW was there, HIGH came.
fn introduced() -> (Peer, Peer, Vec<(Uuid, ServerEvent)>) {
    let (mut low, mut high) = (Peer::new(LOW, KEY), Peer::new(HIGH, KEY));
    low.connect(101);
    high.connect(102);
    low.hear(0, &ServerEvent::NewPeer(high.id.into()));
    let all = relay(&mut low, &mut high, 0);
    (low, high, all)
}

fn offer() -> PeerSignal {
    let hex = vec!["A0"; 32].join(":");
    PeerSignal::Offer(format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:Bh5W\r\na=ice-pwd:q3xN6Rk1Vt0aJx2kQm8sZw9L\r\na=mid:0\r\n\
         a=fingerprint:sha-256 {hex}\r\na=setup:actpass\r\na=sctp-port:5000\r\n"
    ))
}

#[test]
fn whoever_came_first_the_smaller_id_dials() {
    let (low, high, _) = introduced();
    assert!(low.dials().is_some() && high.dials().is_none());
    let (mut low, mut high) = (Peer::new(LOW, KEY), Peer::new(HIGH, KEY));
    low.connect(101);
    high.connect(102);
    high.hear(0, &ServerEvent::NewPeer(low.id.into()));
    relay(&mut low, &mut high, 0);
    assert!(low.dials().is_some() && high.dials().is_none());
    assert_eq!((low.dropped, high.dropped), (vec![], vec![]));
}

#[test]
fn an_offer_reaches_matchbox_under_its_link() {
    let (mut low, mut high, _) = introduced();
    let link = low.dials().expect("dialled");
    low.request(link, offer());
    relay(&mut low, &mut high, 0);
    assert_eq!(high.matchbox, [PeerEvent::Signal { sender: link.into(), data: offer() }]);
}

#[test]
fn what_the_server_repeats_turns_around_or_mixes_up_is_dropped_by_name() {
    let (mut low, mut high, introduction) = introduced();
    low.request(low.dials().expect("dialled"), offer());
    let to_high = relay(&mut low, &mut high, 0).remove(0).1;
    let ServerEvent::Signal { data, .. } = &to_high else { panic!("a signal") };
    let from = |sender: Uuid| ServerEvent::Signal { sender: sender.into(), data: data.clone() };
    let plain = ServerEvent::Signal { sender: low.id.into(), data: serde_json::json!({ "Offer": "v=0" }) };
    let text = ServerEvent::Signal { sender: low.id.into(), data: "v=0".into() };
    let rows = [
        ("the offer again", to_high.clone(), "sealed message repeated"),
        ("the Hello again", introduction[0].1.clone(), "sealed message repeated"),
        ("the Confirm again", introduction[2].1.clone(), "sealed message repeated"),
        ("in another peer's name", from(Uuid::from_u128(103)), UNSEALED),
        ("in its receiver's name", from(high.id), "echo"),
        ("matchbox's own plain offer", plain, UNSEALED),
        ("plain text", text, UNSEALED),
    ];
    let before = high.matchbox.len();
    for (why, event, reason) in rows {
        high.dropped.clear();
        high.hear(1, &event);
        let expected: &[&str] = if reason == "echo" { &[] } else { &[reason] };
        assert_eq!(high.dropped, expected, "{why}");
    }
    low.dropped.clear();
    low.hear(1, &from(high.id));
    assert_eq!(low.dropped, [UNSEALED], "reflected to its sender");
    assert_eq!(high.matchbox.len(), before, "nothing of it reached the WebRTC stack");
    for text in ["", "{", "\"x\"", "{\"Signal\":{}}", "[1]"] {
        high.dropped.clear();
        high.machine.heard(1, text);
        high.work();
        assert_eq!(high.dropped, ["signaling server not understood"], "{text}");
    }
}

#[test]
fn a_recorded_conversation_does_nothing_on_the_next_connection() {
    let (mut low, mut high, mut recorded) = introduced();
    low.request(low.dials().expect("dialled"), offer());
    recorded.extend(relay(&mut low, &mut high, 0));
    // A server that gives the same ids again, and plays everything back.
    high.connect(102);
    high.matchbox.clear();
    high.sent.clear();
    for (receiver, event) in recorded {
        if receiver == high.id {
            high.hear(1, &event);
        }
    }
    assert_eq!(high.matchbox, [], "nothing reached the WebRTC stack");
    assert_eq!(high.dropped, ["meant for another session"; 2], "the Confirm and the offer");
}

#[test]
fn a_handshake_that_is_none_never_reaches_webrtc() {
    let (mut low, mut high, _) = introduced();
    let link = low.dials().expect("dialled");
    let rows = [
        (PeerSignal::Offer("v=0\r\nnonsense".to_owned()), "offer is no session description"),
        (PeerSignal::Answer("v=0".to_owned()), "answer is no session description"),
        (PeerSignal::IceCandidate("{}".to_owned()), "not an ICE candidate"),
        (PeerSignal::IceCandidate("null".to_owned()), "candidate for no connection"),
    ];
    for (data, reason) in rows {
        high.dropped.clear();
        low.request(link, data);
        relay(&mut low, &mut high, 0);
        assert_eq!((&*high.dropped, &*high.matchbox), (&[reason][..], &[][..]));
    }
}

#[test]
fn with_another_key_both_are_told_and_nobody_dials() {
    let (mut low, mut other) = (Peer::new(LOW, KEY), Peer::new(HIGH, "AQECAwQFBgcICQoLDA0ODw"));
    low.connect(101);
    other.connect(102);
    low.hear(0, &ServerEvent::NewPeer(other.id.into()));
    let exchanged = relay(&mut low, &mut other, 0).len();
    assert!(exchanged <= 4, "they do not go on for ever: {exchanged}");
    assert_eq!((low.dropped.first(), other.dropped.first()), (Some(&UNSEALED), Some(&UNSEALED)));
    assert_eq!((low.matchbox, other.matchbox), (vec![], vec![]));
}

#[test]
fn after_a_restart_of_the_server_nobody_dials_twice() {
    let (mut low, mut high, _) = introduced();
    low.machine.opened(HIGH, 1);
    high.machine.opened(LOW, 1);
    low.matchbox.clear();
    high.connect(201);
    low.connect(202);
    high.hear(0, &ServerEvent::NewPeer(low.id.into()));
    relay(&mut low, &mut high, 0);
    for peer in [&mut low, &mut high] {
        peer.machine.heard(1, "\"x\"");
        peer.machine.tick(10 * HANDSHAKE_MS);
        peer.work();
        assert_eq!(peer.matchbox, [], "still linked");
        assert!(peer.retired.is_empty());
    }
}

#[test]
fn a_link_that_only_one_side_has_lost_is_given_up_and_dialled_again() {
    let (mut low, mut high, _) = introduced();
    low.machine.opened(HIGH, 1);
    high.machine.opened(LOW, 1);
    low.matchbox.clear();
    high.machine.closed(0, LOW, 1, true);
    high.machine.tick(2_000);
    high.work();
    relay(&mut low, &mut high, 2_000);
    assert_eq!(low.retired, [1], "asked to dial, it learns that the old link is gone");
    low.machine.closed(2_000, HIGH, 1, true);
    low.machine.tick(3_000);
    low.work();
    assert!(low.dials().is_some());
}

#[test]
fn a_silent_server_is_left() {
    let mut low = Peer::new(LOW, KEY);
    low.connect(101);
    assert_eq!(low.machine.wake_at(), Some(SERVER_SILENT_MS));
    low.machine.request(PeerRequest::KeepAlive);
    let Some(Do::Say(echo)) = low.machine.next() else { panic!("an echo") };
    let (receiver, event) = relayed(low.id, &echo);
    assert_eq!(receiver, low.id);
    low.hear(10_000, &event);
    assert_eq!(low.machine.wake_at(), Some(10_000 + SERVER_SILENT_MS), "the echo came back");
    low.machine.tick(10_000 + SERVER_SILENT_MS);
    assert_eq!(low.machine.next(), Some(Do::Reconnect));
    assert_eq!(low.machine.wake_at(), None);
}
