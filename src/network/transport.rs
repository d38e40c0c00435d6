//! How bytes travel: TCP, in a closed network under its key, encrypted and authenticated by Noise, split into streams by Yamux, and counted.

use futures::future::Either;
use libp2p::{
    PeerId, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    identity::Keypair,
    noise,
    pnet::PnetError,
    tcp, yamux,
};

use super::{NetworkError, limits::YAMUX_STREAMS, network_key::NetworkKey, traffic::Traffic};

/// The transport of a node. Must be called inside a tokio runtime.
///
/// # Errors
/// The key cannot be used with Noise.
pub(super) fn build(
    key: &Keypair,
    network_key: Option<&NetworkKey>,
    traffic: Traffic,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetworkError> {
    let noise = noise::Config::new(key).map_err(|error| NetworkError::Setup {
        part: "the Noise transport",
        reason: error.to_string(),
    })?;
    let closed = network_key.map(NetworkKey::handshake);
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(YAMUX_STREAMS);
    let transport = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .and_then(move |socket, _| async move {
            match closed {
                Some(closed) => closed.handshake(socket).await.map(Either::Left),
                None => Ok::<_, PnetError>(Either::Right(socket)),
            }
        })
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer)
        .map(move |(peer, connection), _| {
            let counted = traffic.count(peer, StreamMuxerBox::new(connection));
            (peer, StreamMuxerBox::new(counted))
        });
    Ok(transport.boxed())
}
