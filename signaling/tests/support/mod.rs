//! A client for the tests: real sockets, nothing of the server's own code.
#![allow(dead_code, reason = "each test file uses a part")]

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling::{Config, Limits, Running};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes, so that a hang is a failure and not a hang.
const HANG: Duration = Duration::from_secs(20);

pub async fn start(limits: Limits) -> Running {
    start_with(Config { limits, ..Config::default() }).await
}

pub async fn start_with(config: Config) -> Running {
    Running::start(([127, 0, 0, 1], 0).into(), config).await.expect("a free port")
}

/// One peer's socket.
pub struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub id: String,
}

/// What a peer reads.
#[derive(Debug, PartialEq)]
pub enum Read {
    Event(Value),
    Closed(Option<u16>),
}

impl Peer {
    /// Joins and reads its id.
    pub async fn join(server: &Running, room: &str) -> Self {
        let mut peer = Self::open(server, room).await;
        let Read::Event(event) = peer.read().await else { panic!("closed at once") };
        peer.id = event["IdAssigned"].as_str().expect("an id first").to_owned();
        peer
    }

    /// Joins, and reads nothing.
    pub async fn open(server: &Running, room: &str) -> Self {
        let url = format!("ws://{}/room/{room}", server.address());
        let (socket, _) = connect_async(url).await.expect("upgraded");
        Self { socket, id: String::new() }
    }

    pub async fn send(&mut self, message: Message) {
        let _ = self.socket.send(message).await;
    }

    pub async fn signal(&mut self, receiver: &str, data: Value) {
        let request = json!({ "Signal": { "receiver": receiver, "data": data } });
        self.send(Message::text(request.to_string())).await;
    }

    /// The next event, or the end.
    pub async fn read(&mut self) -> Read {
        loop {
            match timeout(HANG, self.socket.next()).await.expect("something within the time") {
                Some(Ok(Message::Text(text))) => {
                    return Read::Event(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Message::Close(frame))) => return Read::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Read::Closed(None),
            }
        }
    }

    /// Reads the announcement of a newcomer.
    pub async fn announced(&mut self) -> String {
        match self.read().await {
            Read::Event(event) => event["NewPeer"].as_str().expect("a newcomer").to_owned(),
            Read::Closed(code) => panic!("closed: {code:?}"),
        }
    }

    pub async fn leave(mut self) {
        let _ = self.socket.close(None).await;
    }
}

/// An HTTP answer: status, head in lower case, body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// One GET on a connection of its own.
pub async fn get(server: &Running, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let answer = exchange(server, request.as_bytes()).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

/// Sends bytes and reads until the server hangs up.
pub async fn exchange(server: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    timeout(HANG, stream.read_to_end(&mut answer)).await.expect("an end within the time").ok();
    answer
}

/// `/api/health`.
pub async fn health(server: &Running) -> Value {
    serde_json::from_slice(&get(server, "/api/health", &[]).await.body).expect("JSON")
}

/// Polls health until it is as wanted.
pub async fn until(server: &Running, wanted: impl Fn(&Value) -> bool) -> Value {
    let poll = async {
        loop {
            let health = health(server).await;
            if wanted(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANG, poll).await.expect("health as wanted within the time")
}
