//! Rooms over real sockets: who hears whom, and what hostile peers achieve.

mod support;

use serde_json::json;
use signaling::{Limits, Refusal};
use std::time::Duration;
use support::{Peer, Read, exchange, get, health, start, until};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_newcomer_is_announced_and_signals_go_both_ways() {
    let server = start(Limits::default()).await;
    let mut first = Peer::join(&server, "r").await;
    let mut second = Peer::join(&server, "r").await;
    assert_eq!(first.announced().await, second.id);
    first.signal(&second.id, json!("sealed 1")).await;
    assert_eq!(
        second.read().await,
        signal_from(&first.id, "sealed 1"),
        "it was not told of the first, but hears it"
    );
    second.signal(&first.id, json!("sealed 2")).await;
    assert_eq!(first.read().await, signal_from(&second.id, "sealed 2"));
    let left = second.id.clone();
    second.leave().await;
    assert_eq!(first.read().await, Read::Event(json!({ "PeerLeft": left })));
}

#[tokio::test]
async fn a_peer_reaches_only_its_own_room() {
    let server = start(Limits::default()).await;
    let mut here = Peer::join(&server, "here").await;
    let mut there = Peer::join(&server, "there").await;
    let mut friend = Peer::join(&server, "there").await;
    there.announced().await;
    here.signal(&there.id, json!("across")).await;
    // The next message on each path proves that the one before it went nowhere.
    friend.signal(&there.id, json!("inside")).await;
    assert_eq!(there.read().await, signal_from(&friend.id, "inside"));
    let newcomer = Peer::join(&server, "here").await;
    assert_eq!(here.announced().await, newcomer.id, "nobody of the other room was announced");
}

#[tokio::test]
async fn empty_rooms_are_forgotten() {
    let server = start(Limits::default()).await;
    let one = Peer::join(&server, "a").await;
    let two = Peer::join(&server, "b").await;
    let full = health(&server).await;
    assert_eq!((&full["rooms"], &full["peers"]), (&json!(2), &json!(2)));
    one.leave().await;
    drop(two);
    until(&server, |health| health["rooms"] == 0 && health["peers"] == 0).await;
}

#[tokio::test]
async fn hostile_messages_are_counted_and_the_room_lives_on() {
    let limits =
        Limits { message_bytes: 1_000, nonsense: 2, burst: 50, messages_per_second: 1, ..Limits::default() };
    let signal = |data: &str| json!({ "Signal": { "receiver": uuid(), "data": data } }).to_string();
    let deep = format!(
        "{{\"Signal\":{{\"receiver\":\"{}\",\"data\":{}1{}}}}}",
        uuid(),
        "[".repeat(400),
        "]".repeat(400)
    );
    let rows: Vec<(&str, Message, usize, Refusal)> = vec![
        ("binary frames", Message::binary(vec![0; 10]), 3, Refusal::Nonsense),
        ("no JSON", Message::text("hello"), 3, Refusal::Nonsense),
        ("JSON of another kind", Message::text("[1, 2]"), 3, Refusal::Nonsense),
        (
            "an event instead of a request",
            Message::text(json!({ "NewPeer": uuid() }).to_string()),
            3,
            Refusal::Nonsense,
        ),
        ("a receiver that is no id", Message::text(signal("x").replace(&uuid(), "me")), 3, Refusal::Nonsense),
        ("nesting without end", Message::text(deep), 3, Refusal::Nonsense),
        ("an endless name", Message::text("\"".repeat(999)), 3, Refusal::Nonsense),
        ("one byte over the bound", Message::text("x".repeat(1_001)), 1, Refusal::TooLarge),
        ("a binary frame over the bound", Message::binary(vec![0; 5_000]), 1, Refusal::TooLarge),
        ("a flood of signals to nobody", Message::text(signal("x")), 52, Refusal::TooFast),
        ("a flood of keep-alives", Message::text("\"KeepAlive\""), 52, Refusal::TooFast),
        ("a flood of pings", Message::Ping(vec![1].into()), 52, Refusal::TooFast),
    ];
    for (why, message, times, refusal) in rows {
        let server = start(limits.clone()).await;
        let mut bystander = Peer::join(&server, "r").await;
        let mut hostile = Peer::join(&server, "r").await;
        assert_eq!(bystander.announced().await, hostile.id);
        for _ in 0..times {
            hostile.send(message.clone()).await;
        }
        assert_eq!(hostile.read().await, Read::Closed(Some(refusal.close_code())), "{why}");
        assert_eq!(bystander.read().await, Read::Event(json!({ "PeerLeft": hostile.id })), "{why}");
        let counted = health(&server).await;
        assert_eq!(counted["refused"], json!({ refusal.name(): 1 }), "{why}");
        let newcomer = Peer::join(&server, "r").await;
        assert_eq!(bystander.announced().await, newcomer.id, "{why}: the room lives on");
    }
}

#[tokio::test]
async fn a_few_strange_messages_are_forgiven() {
    let server = start(Limits { nonsense: 3, ..Limits::default() }).await;
    let mut peer = Peer::join(&server, "r").await;
    for _ in 0..3 {
        peer.send(Message::text("?")).await;
    }
    let mut other = Peer::join(&server, "r").await;
    assert_eq!(peer.announced().await, other.id);
    peer.signal(&other.id, json!("still here")).await;
    assert_eq!(other.read().await, signal_from(&peer.id, "still here"));
}

#[tokio::test]
async fn rooms_and_sockets_are_bounded() {
    let limits = Limits { peers_per_room: 2, rooms: 2, sockets: 4, ..Limits::default() };
    let server = start(limits).await;
    let mut seated = vec![Peer::join(&server, "a").await, Peer::join(&server, "a").await];
    assert_eq!(refusal_of(&server, "a").await, Read::Closed(Some(Refusal::RoomFull.close_code())));
    seated.push(Peer::join(&server, "b").await);
    assert_eq!(refusal_of(&server, "c").await, Read::Closed(Some(Refusal::ServerFull.close_code())));
    until(&server, |health| health["refused"] == json!({ "room-full": 1, "server-full": 1 })).await;
    seated.push(Peer::join(&server, "b").await);
    let upgrade = "GET /room/b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let answer =
        exchange(&server, upgrade.replace("upgrade\r\nupgrade", "close, upgrade\r\nupgrade").as_bytes())
            .await;
    assert!(answer.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(seated[0].announced().await, seated[1].id, "those inside notice nothing of it");
}

#[tokio::test]
async fn names_that_name_no_room_are_refused_before_the_upgrade() {
    let server = start(Limits::default()).await;
    let upgrade = [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    let long = format!("/room/{}", "x".repeat(65));
    let rows = [
        ("/room/a%20b", 400, "a space"),
        ("/room/%2e%2e", 400, "a directory"),
        ("/room/%ff", 400, "not UTF-8"),
        (&*long, 400, "too long"),
        ("/room/", 404, "no name"),
        ("/room/a/b", 404, "two names"),
    ];
    for (path, status, why) in rows {
        // `connection` twice is one list: upgrade, and close afterwards.
        let mut headers = upgrade.to_vec();
        headers.push(("connection", "upgrade"));
        assert_eq!(get(&server, path, &headers).await.status, status, "{why}");
    }
    assert_eq!(health(&server).await["peers"], 0);
}

#[tokio::test]
async fn silence_and_slow_heads_end() {
    let short = Duration::from_millis(50);
    let server = start(Limits { silence: short, patience: short, ..Limits::default() }).await;
    let mut silent = Peer::join(&server, "r").await;
    assert_eq!(silent.read().await, Read::Closed(Some(Refusal::Silent.close_code())));
    let answer = exchange(&server, b"GET / HTTP/1.1\r\nhost:").await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "a head that never ends is not waited for");
}

#[tokio::test]
async fn who_does_not_read_is_shown_out() {
    let server = start(Limits { outbox_bytes: 4_000, burst: 100_000, ..Limits::default() }).await;
    let mut loud = Peer::join(&server, "r").await;
    let deaf = Peer::open(&server, "r").await;
    let id = loud.announced().await;
    // More than the kernel buffers for a socket that nobody reads.
    let big = "x".repeat(60_000);
    for _ in 0..400 {
        loud.signal(&id, json!(big)).await;
    }
    until(&server, |health| health["refused"]["reads-too-slowly"] == 1).await;
    assert_eq!(loud.read().await, Read::Event(json!({ "PeerLeft": id })));
    drop(deaf);
}

#[tokio::test]
async fn shutdown_tells_the_sockets_and_ends() {
    let server = start(Limits::default()).await;
    let mut peer = Peer::join(&server, "r").await;
    let address = server.address();
    let (stopped, read) = tokio::join!(server.stop(), peer.read());
    stopped.expect("stopped in good order");
    assert_eq!(read, Read::Closed(Some(Refusal::Shutdown.close_code())));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

async fn refusal_of(server: &signaling::Running, room: &str) -> Read {
    Peer::join(server, room).await.read().await
}

fn signal_from(sender: &str, data: &str) -> Read {
    Read::Event(json!({ "Signal": { "sender": sender, "data": data } }))
}

fn uuid() -> String {
    "0b5e8f0c-5f0e-4c0b-9d61-3d1a3a1f7c11".to_owned()
}
