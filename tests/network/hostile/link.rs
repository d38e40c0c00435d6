//! From a TCP connection to streams with a protocol, step by step.

use std::{io, net::SocketAddr};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{
    core::upgrade::OutboundConnectionUpgrade, identity::Keypair, noise, tcp::tokio::TcpStream,
    yamux,
};

/// A connection after the Noise handshake, before a muxer is chosen.
pub type Secure = noise::Output<TcpStream>;

const MULTISTREAM: &str = "/multistream/1.0.0";

/// Connects and goes through the Noise handshake.
pub async fn secure(address: SocketAddr, key: &Keypair) -> io::Result<Secure> {
    let socket = tokio::net::TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut socket = TcpStream(socket);
    choose(&mut socket, "/noise").await?;
    let noise = noise::Config::new(key).map_err(io::Error::other)?;
    let (_, secure) = noise
        .upgrade_outbound(socket, "/noise")
        .await
        .map_err(io::Error::other)?;
    Ok(secure)
}

/// Yamux on top, once it is chosen.
pub async fn multiplex(io: Secure) -> yamux::Muxer<Secure> {
    yamux::Config::default()
        .upgrade_outbound(io, "/yamux/1.0.0")
        .await
        .expect("there is nothing to agree on")
}

/// Proposes one protocol, as the dialling side of multistream-select.
pub async fn choose(io: &mut (impl AsyncRead + AsyncWrite + Unpin), name: &str) -> io::Result<()> {
    let proposal = [line(MULTISTREAM), line(name)].concat();
    io.write_all(&proposal).await?;
    io.flush().await?;
    for expected in [MULTISTREAM, name] {
        let answer = read_line(io).await?;
        if answer != expected {
            return Err(io::Error::other(format!("'{answer}' for '{expected}'")));
        }
    }
    Ok(())
}

/// Takes the first protocol that is proposed.
pub async fn accept(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<String> {
    read_line(io).await?;
    let name = read_line(io).await?;
    io.write_all(&[line(MULTISTREAM), line(&name)].concat())
        .await?;
    io.flush().await?;
    Ok(name)
}

fn line(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("our lines are short");
    assert!(length < 128, "a longer length takes two bytes");
    [&[length], text.as_bytes(), b"\n"].concat()
}

pub async fn read_line(io: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut length = [0];
    io.read_exact(&mut length).await?;
    let mut text = vec![0; usize::from(length[0])];
    io.read_exact(&mut text).await?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(text.trim_end().to_owned())
}

/// A request or answer: four bytes of length before it.
pub async fn write_frame(io: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(frame).await?;
    io.flush().await
}

pub async fn read_frame(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    io.read_exact(&mut frame).await?;
    Ok(frame)
}
