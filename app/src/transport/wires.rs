//! matchbox's socket and the rendezvous, started side by side.

use super::rendezvous::{Command, Ends, Note, Rendezvous};
use super::seal::Random;
use super::{JoinError, JoinOptions};
use futures::FutureExt;
use futures::channel::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use matchbox_socket::{
    ChannelConfig, Packet, PeerId as LinkId, RtcIceServerConfig, WebRtcSocket, WebRtcSocketBuilder,
};
use std::future::Future;
use std::pin::pin;

/// matchbox's ends, and those of the rendezvous. Dropping them ends both.
pub struct Wires {
    /// Which links open and close.
    pub socket: WebRtcSocket,
    /// The ordered channel of all links.
    pub control: Channel,
    /// The unordered one.
    pub bulk: Channel,
    /// From the rendezvous.
    pub notes: Receiver<Note>,
    /// To the rendezvous.
    pub commands: UnboundedSender<Command>,
}

type Channel = (UnboundedSender<(LinkId, Packet)>, UnboundedReceiver<(LinkId, Packet)>);

/// Starts the rendezvous and matchbox's message loop.
///
/// # Errors
/// [`JoinError::NoThread`].
pub fn connect(options: &JoinOptions, random: &mut Random) -> Result<Wires, JoinError> {
    let (rendezvous, ends) = Rendezvous::new(options, Random::new(random.bytes()));
    let Ends { builder, notes, commands } = ends;
    let ice = RtcIceServerConfig {
        urls: options.ice.urls.clone(),
        username: options.ice.username.clone(),
        credential: options.ice.credential.clone(),
    };
    let (mut socket, message_loop) = WebRtcSocketBuilder::new("")
        .ice_server(ice)
        .add_channel(ChannelConfig::reliable())
        .add_channel(ChannelConfig { ordered: false, max_retransmits: None })
        .signaller_builder(builder)
        .build();
    let mut channel =
        |index| socket.take_channel(index).map(|it| it.split()).map_err(|error| error.to_string());
    let (control, bulk) = match (channel(0), channel(1)) {
        (Ok(control), Ok(bulk)) => (control, bulk),
        (Err(error), _) | (_, Err(error)) => return Err(JoinError::NoThread(error)),
    };
    spawn(async move {
        // Whichever ends first ends the other.
        let message_loop = pin!(message_loop.fuse());
        let rendezvous = pin!(rendezvous.run().fuse());
        futures::future::select(message_loop, rendezvous).await;
    })?;
    Ok(Wires { socket, control, bulk, notes, commands })
}

/// Runs a future to its end: natively on a thread of its own, because matchbox brings its own executor and needs
/// none of ours; in a browser beside everything else.
///
/// # Errors
/// [`JoinError::NoThread`].
#[cfg(not(target_arch = "wasm32"))]
pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), JoinError> {
    let thread = std::thread::Builder::new().name("manyhands-net".to_owned());
    let started = thread.spawn(move || futures::executor::block_on(future));
    started.map(drop).map_err(|error| JoinError::NoThread(error.to_string()))
}

/// See the native twin; here it cannot fail.
#[cfg(target_arch = "wasm32")]
#[allow(clippy::unnecessary_wraps, reason = "the same signature natively, where it can fail")]
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Result<(), JoinError> {
    wasm_bindgen_futures::spawn_local(future);
    Ok(())
}
