//! How requests and answers are framed on a stream: four bytes of length, big endian, then
//! protobuf. The length is compared with the protocol's maximum before anything is allocated, and
//! the buffer grows only as bytes arrive, so a lying length costs the liar, not us.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};

use crate::wire::{Protocol, Request, Response, WireError};

/// The buffer grows by this much at a time.
const STEP: usize = 64 << 10;

/// The codec of one protocol.
#[derive(Debug, Clone)]
pub(super) struct Codec {
    protocol: Protocol,
}

impl Codec {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol }
    }
}

async fn read_frame<T>(io: &mut T, limit: usize) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > limit {
        return Err(invalid(format!("{length} bytes where {limit} are allowed")));
    }
    let mut frame = Vec::new();
    while frame.len() < length {
        let start = frame.len();
        frame.resize(length.min(start + STEP), 0);
        io.read_exact(&mut frame[start..]).await?;
    }
    Ok(frame)
}

async fn write_frame<T>(io: &mut T, frame: &[u8], limit: usize) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    if frame.len() > limit {
        return Err(invalid(format!(
            "our message of {} bytes is over the limit of {limit}",
            frame.len()
        )));
    }
    let length = u32::try_from(frame.len()).map_err(|error| invalid(error.to_string()))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(frame).await?;
    io.flush().await
}

/// What a malformed message becomes; told from broken connections by its kind.
fn invalid(reason: impl Into<Box<dyn std::error::Error + Send + std::marker::Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        invalid(error)
    }
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = read_frame(io, self.protocol.max_request()).await?;
        Ok(Request::decode(self.protocol, &frame)?)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        let frame = read_frame(io, self.protocol.max_response()).await?;
        Ok(Response::decode(self.protocol, &frame)?)
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &request.encode(), self.protocol.max_request()).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let frame = response.encode(self.protocol);
        write_frame(io, &frame, self.protocol.max_response()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn frames_survive_a_round_trip() {
        for length in [0, 1, STEP - 1, STEP, STEP + 1, 5 * STEP] {
            let frame: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut stream = Cursor::new(Vec::new());
            write_frame(&mut stream, &frame, 5 * STEP).await.unwrap();
            stream.set_position(0);
            assert_eq!(read_frame(&mut stream, 5 * STEP).await.unwrap(), frame);
        }
    }

    /// P2: a frame over the limit is cut before its body is read.
    #[tokio::test]
    async fn p02_an_oversize_frame_is_refused_by_its_length() {
        let mut stream = Cursor::new(vec![0xff; 100]);
        let error = read_frame(&mut stream, 1_000).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(stream.position(), 4, "nothing behind the length was read");
    }

    /// P1: a length within the limit with nothing behind it costs one step of memory.
    #[tokio::test]
    async fn p01_a_lying_length_ends_as_a_broken_stream() {
        let mut stream = Cursor::new((8u32 << 20).to_be_bytes().to_vec());
        let error = read_frame(&mut stream, 8 << 20).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
