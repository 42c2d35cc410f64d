//! What waits for one peer, bounded in bytes.
//!
//! matchbox_signaling's channel is unbounded and its sender task waits for ever, so the bound is kept beside the
//! channel and the task here is our own.

use crate::limits::Limits;
use axum::extract::ws::{Message, WebSocket};
use futures::SinkExt;
use futures::stream::SplitSink;
use matchbox_signaling::common_logic::SignalingChannel;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::timeout;

/// The sending half of one peer's socket; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    channel: SignalingChannel,
    waiting: Arc<AtomicUsize>,
    bound: usize,
    overflow: Arc<watch::Sender<bool>>,
}

impl Outbox {
    /// Spawns the task that writes to `sink` until the socket or the outbox is gone.
    pub(crate) fn spawn(sink: SplitSink<WebSocket, Message>, limits: &Limits) -> Self {
        let (channel, messages) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        tokio::spawn(write(sink, messages, waiting.clone(), limits.patience));
        Self { channel, waiting, bound: limits.outbox_bytes, overflow: Arc::new(watch::Sender::new(false)) }
    }

    /// Queues a message. False if the peer is gone, or reads so slowly that its queue is full: then its own task
    /// ends it (see [`Outbox::ended`]), because a peer that missed a message must start again.
    pub(crate) fn push(&self, message: Message) -> bool {
        let bytes = size(&message);
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > self.bound {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.overflow.send_replace(true);
            return false;
        }
        self.channel.send(Ok(message)).is_ok()
    }

    /// The channel in matchbox's own type.
    pub(crate) fn channel(&self) -> SignalingChannel {
        self.channel.clone()
    }

    /// Resolves once the peer cannot be written to any more; true if its queue was full.
    pub(crate) async fn ended(&self) -> bool {
        let mut overflow = self.overflow.subscribe();
        tokio::select! {
            () = self.channel.closed() => *self.overflow.borrow(),
            full = overflow.wait_for(|full| *full) => full.is_ok(),
        }
    }
}

async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut messages: UnboundedReceiver<Result<Message, axum::Error>>,
    waiting: Arc<AtomicUsize>,
    patience: Duration,
) {
    while let Some(Ok(message)) = messages.recv().await {
        let bytes = size(&message);
        let last = matches!(message, Message::Close(_));
        let sent = timeout(patience, sink.send(message)).await;
        waiting.fetch_sub(bytes, Ordering::Relaxed);
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn size(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}
