//! A peer that holds the room's key and keeps no other rule, over real WebRTC.

use super::frames::{Frame, Slice};
use super::limits::{BULK, STRIKES};
use super::seal::Random;
use super::wires::{Wires, connect};
use super::{IceServers, JoinOptions, NetEvent, Transport, WebRtc};
use crate::link::RoomLink;
use coordinator::PeerId;
use coordinator::io::Lane::{self, Bulk, Control};
use futures::{FutureExt, StreamExt};
use matchbox_socket::{PeerId as LinkId, PeerState};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

const HANG: Duration = Duration::from_secs(60);

struct Room {
    honest: WebRtc,
    bystander: WebRtc,
    hostile: Wires,
    /// The hostile peer's link to the honest one.
    link: LinkId,
    dropped: BTreeMap<&'static str, u32>,
    _server: signaling::Running,
}

fn options(link: &RoomLink, me: u128) -> JoinOptions {
    JoinOptions { link: link.clone(), me: PeerId(me), ice: IceServers::default() }
}

const HOSTILE: PeerId = PeerId(9);

impl Room {
    /// An honest peer and a bystander who know each other, and a hostile one whom the honest one knows.
    async fn new() -> Self {
        let server = signaling::Running::start(([127, 0, 0, 1], 0).into(), signaling::Config::default());
        let server = server.await.expect("a port");
        let link = RoomLink::create(&format!("http://{}/", server.address())).expect("a link");
        let mut honest = WebRtc::join(options(&link, 1)).expect("joined");
        let mut bystander = WebRtc::join(options(&link, 2)).expect("joined");
        up(&mut honest, &mut bystander, PeerId(2)).await;
        let mut hostile = connect(&options(&link, HOSTILE.0), &mut Random::new([9; 32])).expect("joined");
        up(&mut honest, &mut bystander, HOSTILE).await;
        // Both get a ping, for nobody speaks to who has not said a word; the one that answers for the honest peer is found by
        // what it sends.
        for _ in 0..2 {
            let change = timeout(HANG, hostile.socket.next()).await.expect("in time").expect("open");
            let (link, state) = change;
            assert_eq!(state, PeerState::Connected);
            hostile.control.0.unbounded_send((link, Frame::Ping.encode().into())).expect("open");
        }
        let link = link_of(&mut hostile, &mut honest).await;
        Self { honest, bystander, hostile, link, dropped: BTreeMap::new(), _server: server }
    }

    fn send(&self, lane: Lane, bytes: Vec<u8>) {
        let channel = if lane == Control { &self.hostile.control.0 } else { &self.hostile.bulk.0 };
        channel.unbounded_send((self.link, bytes.into())).expect("open");
    }

    /// Counts what the honest peer drops until `wanted`.
    async fn until(&mut self, why: &str, wanted: impl Fn(&BTreeMap<&'static str, u32>, &NetEvent) -> bool) {
        let read = async {
            loop {
                let event = next(&mut self.honest, &mut self.bystander).await;
                if let NetEvent::Dropped { from, reason } = event {
                    assert_eq!(from, Some(HOSTILE));
                    *self.dropped.entry(reason).or_default() += 1;
                }
                if wanted(&self.dropped, &event) {
                    return;
                }
            }
        };
        assert!(timeout(HANG, read).await.is_ok(), "{why}: {:?}", self.dropped);
    }

    /// The honest peer and the bystander still talk.
    async fn lives_on(&mut self) {
        self.bystander.send(PeerId(1), Control, b"alive".to_vec()).expect("connected");
        let is = |event: &NetEvent| matches!(event, NetEvent::Message { from: PeerId(2), bytes } if bytes == b"alive");
        self.until("the room to live on", |_, event| is(event)).await;
    }
}

/// The honest peer's next event, while the bystander is driven along.
async fn next(honest: &mut WebRtc, bystander: &mut WebRtc) -> NetEvent {
    loop {
        tokio::select! {
            event = honest.next() => return event,
            _ = bystander.next() => {},
        }
    }
}

async fn up(honest: &mut WebRtc, bystander: &mut WebRtc, peer: PeerId) {
    let up = async { while next(honest, bystander).await != NetEvent::Up(peer) {} };
    timeout(HANG, up).await.expect("up in time");
}

/// The link to the honest peer: it alone is made to send something.
async fn link_of(hostile: &mut Wires, honest: &mut WebRtc) -> LinkId {
    honest.send(HOSTILE, Bulk, b"it is me".to_vec()).expect("connected");
    let first = async {
        tokio::select! {
            packet = hostile.bulk.1.next() => packet.expect("open"),
            _ = async { loop { honest.next().await; } } => unreachable!("it never ends"),
        }
    };
    timeout(HANG, first).await.expect("in time").0
}

fn slice(message: u64, total: u32, index: u16, payload: usize) -> Vec<u8> {
    let payload = vec![0; payload];
    Frame::Slice(Slice { message, total, size: 1_024, index, payload: &payload }).encode()
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_both_channels_are_counted_by_name_and_the_room_lives_on() {
    let mut room = Room::new().await;
    let rows: Vec<(Lane, Vec<u8>, &str)> = vec![
        (Control, vec![0xff; 100], "not a frame"),
        (Bulk, vec![0xff; 100], "not a frame"),
        (Control, slice(0, 100, 0, 100)[..60].to_vec(), "not a frame"),
        (Bulk, slice(0, 2_000, 0, 1_024)[..900].to_vec(), "not a frame"),
        (Control, vec![0; 20_000], "frame too large"),
        (Bulk, vec![0; 60_000], "frame too large"),
        (Bulk, slice(0, u32::MAX, 0, 1_024), "message too large"),
        (Control, slice(0, 100_000, 0, 1_024), "message too large"),
        (Bulk, slice(0, 2_000, 7, 1_024), "frame contradicts its message"),
        (Control, Frame::Ack { bulk: true, bytes: 1 << 40 }.encode(), "acknowledged what was never sent"),
        (Bulk, Frame::Bye { leaves: true }.encode(), "control frame on the bulk channel"),
    ];
    for (lane, bytes, reason) in rows {
        let before = room.dropped.get(reason).copied().unwrap_or(0);
        room.send(lane, bytes);
        room.until(reason, |dropped, _| dropped.get(reason).is_some_and(|count| *count > before)).await;
    }
    // A frame that is sound, and then the same again on each channel.
    for lane in [Control, Bulk] {
        let before = room.dropped.get("frame repeated").copied().unwrap_or(0);
        room.send(lane, slice(0, 10, 0, 10));
        room.send(lane, slice(0, 10, 0, 10));
        room.until("a replay", |dropped, _| dropped.get("frame repeated").is_some_and(|it| *it > before))
            .await;
    }
    room.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_is_shown_out() {
    let mut room = Room::new().await;
    for _ in 0..STRIKES + 50 {
        room.send(Control, vec![0xff; 10]);
    }
    room.until("the end", |_, event| *event == NetEvent::Down(HOSTILE)).await;
    assert_eq!(
        room.dropped,
        BTreeMap::from([("not a frame", STRIKES), ("shown out after too many faults", 1)])
    );
    room.lives_on().await;
    assert_eq!(room.dropped.len(), 2, "nothing more is heard of it: {:?}", room.dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ignores_the_window_is_shown_out() {
    let mut room = Room::new().await;
    let mut numbers = 0..;
    let shown_out = async {
        loop {
            // While nobody polls the honest peer it cannot acknowledge, so that what comes then is too much.
            for number in numbers.by_ref().take(2 * BULK.window / 1_000) {
                room.send(Bulk, slice(number, 1_000, 0, 1_000));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            while let Some(event) = room.honest.next().now_or_never() {
                match event {
                    NetEvent::Dropped { reason, .. } => *room.dropped.entry(reason).or_default() += 1,
                    NetEvent::Down(HOSTILE) => return,
                    _ => {}
                }
            }
        }
    };
    timeout(HANG, shown_out).await.expect("shown out in time");
    assert_eq!(room.dropped.get("window exceeded"), Some(&1));
    room.lives_on().await;
}
