//! A signaling socket that is lost and found again: back-off, jitter, for ever.

use super::SignalingState;
use super::limits::{CONNECT_MS, RETRY_MAX_MS, RETRY_MS, SIGNAL_BYTES};
use super::seal::Random;
use super::ws::{Incoming, NoSocket, Refusal, Socket, connect};
use futures::FutureExt;
use futures_timer::Delay;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use web_time::Instant;

/// What happens on the line.
#[derive(Debug)]
pub enum Event {
    /// The server said something.
    Text(String),
    /// The state changed; in any but [`SignalingState::Open`], nothing can be said.
    State(SignalingState),
    /// Something that is no text.
    Other,
}

/// The socket, or the wait for it.
pub struct Line {
    url: String,
    random: Random,
    state: State,
    tries: u32,
    opened: Option<Instant>,
}

#[cfg(not(target_arch = "wasm32"))]
type Connecting = Pin<Box<dyn Future<Output = Result<Socket, NoSocket>> + Send>>;
#[cfg(target_arch = "wasm32")]
type Connecting = Pin<Box<dyn Future<Output = Result<Socket, NoSocket>>>>;

enum State {
    Begin,
    Connecting(Connecting),
    Open(Socket),
    Waiting(Delay),
}

impl Line {
    /// To this address; connects on the first [`Line::next`].
    #[must_use]
    pub const fn new(url: String, random: Random) -> Self {
        Self { url, random, state: State::Begin, tries: 0, opened: None }
    }

    /// The next event. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.state {
                State::Begin => {
                    self.state = State::Connecting(Box::pin(connect_in_time(self.url.clone())));
                    return Event::State(SignalingState::Connecting);
                }
                State::Connecting(connecting) => match connecting.await {
                    Ok(socket) => {
                        self.state = State::Open(socket);
                        self.opened = Some(Instant::now());
                    }
                    Err(NoSocket::Refused(refusal)) => return self.wait(Some(refusal)),
                    Err(NoSocket::Unreachable) => return self.wait(None),
                },
                State::Open(socket) => match socket.next().await {
                    Incoming::Text(text) if text.len() <= 2 * SIGNAL_BYTES => return Event::Text(text),
                    Incoming::Text(_) | Incoming::Other => return Event::Other,
                    Incoming::Closed(refusal) => return self.wait(refusal),
                },
                State::Waiting(delay) => {
                    delay.await;
                    self.state = State::Connecting(Box::pin(connect_in_time(self.url.clone())));
                }
            }
        }
    }

    /// Says something, if the line is open; returns the event of losing it otherwise.
    pub async fn say(&mut self, text: String) -> Option<Event> {
        let State::Open(socket) = &mut self.state else {
            return None;
        };
        let sent = futures::select! {
            sent = socket.send(text).fuse() => sent,
            () = Delay::new(Duration::from_millis(CONNECT_MS)).fuse() => false,
        };
        if sent { None } else { Some(self.wait(None)) }
    }

    /// Drops the socket and waits for the next.
    pub fn wait(&mut self, refusal: Option<Refusal>) -> Event {
        // A socket that held for a while was no failure.
        if self.opened.take().is_some_and(|at| at.elapsed().as_millis() > u128::from(RETRY_MAX_MS)) {
            self.tries = 0;
        }
        let retry_ms = back_off(self.tries, refusal.is_some(), self.random.bytes());
        self.tries += 1;
        self.state = State::Waiting(Delay::new(Duration::from_millis(retry_ms)));
        Event::State(match refusal {
            Some(Refusal(reason)) => SignalingState::Refused(reason),
            None => SignalingState::Lost { retry_ms: retry_ms as u32 },
        })
    }
}

async fn connect_in_time(url: String) -> Result<Socket, NoSocket> {
    futures::select! {
        socket = Box::pin(connect(url)).fuse() => socket,
        () = Delay::new(Duration::from_millis(CONNECT_MS)).fuse() => Err(NoSocket::Unreachable),
    }
}

/// Milliseconds until the next try: doubling, a quarter more or less at random so that a room does not come back
/// all at once; slow from the start if the server refused.
fn back_off(tries: u32, refused: bool, random: [u8; 1]) -> u64 {
    let doubled = RETRY_MS.saturating_mul(1 << tries.min(16)).min(RETRY_MAX_MS);
    let base = if refused { doubled.max(RETRY_MAX_MS / 4) } else { doubled };
    base * 3 / 4 + base / 2 * u64::from(random[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::back_off;

    #[test]
    fn how_long_it_waits() {
        let rows = [
            (0, false, 0, 375, "soon, the first time"),
            (0, false, 255, 625, "a quarter more at most"),
            (3, false, 0, 3_000, "doubled three times"),
            (40, false, 255, 37_500, "half a minute at most, and a quarter"),
            (0, true, 0, 5_625, "a refusal is not asked again at once"),
        ];
        for (tries, refused, random, expected, why) in rows {
            assert_eq!(back_off(tries, refused, [random]), expected, "{why}");
        }
    }
}
