//! The signaling socket: the same few words natively and in a browser.

/// What comes out of an open socket.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// Anything else that leaves the socket open.
    Other,
    /// The end, with the server's reason if it gave one.
    Closed(Option<Refusal>),
}

/// Why the server does not want us; for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

/// Why there is no socket.
#[derive(Debug)]
pub enum NoSocket {
    /// The server answered, and refused. A browser never tells.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "see above"))]
    Refused(Refusal),
    /// No server, no network, no TLS.
    Unreachable,
}

/// Whether a close code is a reason that the server gives to people (the private range), and which.
fn refusal(code: u16, reason: &str) -> Option<Refusal> {
    (4000..5000)
        .contains(&code)
        .then(|| Refusal(reason.chars().filter(|it| !it.is_control()).take(200).collect()))
}

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use super::super::limits::SIGNAL_BYTES;
    use super::{Incoming, NoSocket, Refusal, refusal};
    use async_tungstenite::WebSocketStream;
    use async_tungstenite::smol::{ConnectStream, connect_async_with_config};
    use async_tungstenite::tungstenite::protocol::WebSocketConfig;
    use async_tungstenite::tungstenite::{Error, Message};
    use futures::StreamExt;

    /// An open socket.
    pub struct Socket(Box<WebSocketStream<ConnectStream>>);

    /// Connects.
    pub async fn connect(url: String) -> Result<Socket, NoSocket> {
        let bytes = 2 * SIGNAL_BYTES;
        let config = WebSocketConfig::default().max_message_size(Some(bytes)).max_frame_size(Some(bytes));
        match connect_async_with_config(url, Some(config)).await {
            Ok((stream, _)) => Ok(Socket(Box::new(stream))),
            Err(Error::Http(response)) => {
                let text = format!("the signaling server answered {}", response.status());
                Err(NoSocket::Refused(Refusal(text)))
            }
            Err(error) => {
                tracing::debug!(%error, "no signaling socket");
                Err(NoSocket::Unreachable)
            }
        }
    }

    impl Socket {
        /// Sends a text; false if the socket is gone.
        pub async fn send(&mut self, text: String) -> bool {
            self.0.send(Message::text(text)).await.is_ok()
        }

        /// The next thing to come. Dropping the future loses nothing.
        pub async fn next(&mut self) -> Incoming {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => Incoming::Text(text.as_str().to_owned()),
                Some(Ok(Message::Close(frame))) => {
                    Incoming::Closed(frame.and_then(|it| refusal(it.code.into(), it.reason.as_str())))
                }
                Some(Ok(_)) => Incoming::Other,
                Some(Err(_)) | None => Incoming::Closed(None),
            }
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod platform {
    use super::{Incoming, NoSocket, refusal};
    use futures::{SinkExt, StreamExt};
    use pharos::{Events, Observable, ObserveConfig};
    use ws_stream_wasm::{WsEvent, WsMessage, WsMeta, WsStream};

    /// An open socket.
    pub struct Socket {
        stream: WsStream,
        events: Events<WsEvent>,
        // Dropping it would close the socket's event source.
        _meta: WsMeta,
    }

    /// Connects. A browser does not say why it could not.
    pub async fn connect(url: String) -> Result<Socket, NoSocket> {
        let (mut meta, stream) = WsMeta::connect(url, None).await.map_err(|_| NoSocket::Unreachable)?;
        let only_the_end = ObserveConfig::default().filter(WsEvent::is_closed);
        let events = meta.observe(only_the_end).await.map_err(|_| NoSocket::Unreachable)?;
        Ok(Socket { stream, events, _meta: meta })
    }

    impl Socket {
        /// Sends a text; false if the socket is gone.
        pub async fn send(&mut self, text: String) -> bool {
            self.stream.send(WsMessage::Text(text)).await.is_ok()
        }

        /// The next thing to come. Dropping the future loses nothing.
        pub async fn next(&mut self) -> Incoming {
            match self.stream.next().await {
                Some(WsMessage::Text(text)) => Incoming::Text(text),
                Some(WsMessage::Binary(_)) => Incoming::Other,
                None => match self.events.next().await {
                    Some(WsEvent::Closed(event)) => Incoming::Closed(refusal(event.code, &event.reason)),
                    _ => Incoming::Closed(None),
                },
            }
        }
    }
}

pub use platform::{Socket, connect};

#[cfg(test)]
mod tests {
    use super::{Refusal, refusal};

    #[test]
    fn only_the_private_codes_are_for_people() {
        assert_eq!(refusal(4001, "The room is\u{7} full."), Some(Refusal("The room is full.".to_owned())));
        assert_eq!(refusal(1001, "going away"), None, "a restart is no refusal");
        assert_eq!(refusal(4001, &"x".repeat(1_000)).map(|it| it.0.len()), Some(200));
    }
}
