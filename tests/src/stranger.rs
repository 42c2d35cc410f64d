//! A peer over real WebRTC that runs no node: it answers what it hears as a test wants it to.

use anyhow::Result;
use app::link::RoomLink;
use app::transport::{IceServers, JoinOptions, NetEvent, Transport, WebRtc};
use coordinator::PeerId;
use coordinator::swarm::Message;
use coordinator::wire;

/// Leaves the room when it is dropped.
pub struct Stranger(#[expect(dead_code, reason = "its end is what counts")] tokio::sync::oneshot::Sender<()>);

impl Stranger {
    /// Joins a room.
    ///
    /// # Errors
    /// If the link is none.
    pub fn join(
        id: u128,
        link: &str,
        mut answer: impl FnMut(NetEvent) -> Vec<(PeerId, Message)> + Send + 'static,
    ) -> Result<Self> {
        let options =
            JoinOptions { link: RoomLink::parse(link)?, me: PeerId(id), ice: IceServers::default() };
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut transport = WebRtc::join(options).expect("a thread and random numbers");
                loop {
                    let event = tokio::select! {
                        event = transport.next() => event,
                        _ = &mut stopped => return transport.leave(),
                    };
                    for (to, message) in answer(event) {
                        let lane = message.lane();
                        let _ = transport.send(to, lane, wire::encode(&wire::Message::Swarm(message)));
                    }
                }
            });
        });
        Ok(Self(stop))
    }
}
