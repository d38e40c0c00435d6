//! What gossipsub peers say to each other (its `rpc.proto`), as far as tests need it.

use std::io;

use futures::{AsyncRead, AsyncReadExt};
use prost::Message as _;
use quarry::wire::BlockGossip;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Rpc {
    #[prost(message, repeated, tag = "1")]
    pub subscriptions: Vec<Subscription>,
    #[prost(message, repeated, tag = "2")]
    pub publish: Vec<Message>,
    #[prost(message, optional, tag = "3")]
    pub control: Option<Control>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscription {
    #[prost(bool, optional, tag = "1")]
    pub subscribe: Option<bool>,
    #[prost(string, optional, tag = "2")]
    pub topic: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    #[prost(bytes, optional, tag = "2")]
    pub data: Option<Vec<u8>>,
    #[prost(bytes, optional, tag = "3")]
    pub seqno: Option<Vec<u8>>,
    #[prost(string, tag = "4")]
    pub topic: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Control {
    #[prost(message, repeated, tag = "1")]
    pub ihave: Vec<IHave>,
    #[prost(message, repeated, tag = "3")]
    pub graft: Vec<Graft>,
    #[prost(message, repeated, tag = "4")]
    pub prune: Vec<Prune>,
    #[prost(message, repeated, tag = "5")]
    pub idontwant: Vec<IDontWant>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IHave {
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
    #[prost(bytes, repeated, tag = "2")]
    pub ids: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Graft {
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Prune {
    #[prost(string, optional, tag = "1")]
    pub topic: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    pub backoff: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct IDontWant {
    #[prost(bytes, repeated, tag = "1")]
    pub ids: Vec<Vec<u8>>,
}

impl Rpc {
    /// Subscribes to a topic and joins its mesh.
    pub fn join(topic: &str) -> Self {
        Self {
            subscriptions: vec![Subscription {
                subscribe: Some(true),
                topic: Some(topic.into()),
            }],
            control: Some(Control {
                graft: vec![Graft {
                    topic: Some(topic.into()),
                }],
                ..Control::default()
            }),
            ..Self::default()
        }
    }

    /// Publishes one message.
    pub fn message(topic: &str, data: Vec<u8>) -> Self {
        Self {
            publish: vec![Message {
                data: Some(data),
                seqno: None,
                topic: topic.into(),
            }],
            ..Self::default()
        }
    }

    /// Announces a block.
    pub fn block(topic: &str, block: &BlockGossip) -> Self {
        Self::message(topic, block.encode())
    }

    /// Control data alone.
    pub fn control(control: Control) -> Self {
        Self {
            control: Some(control),
            ..Self::default()
        }
    }

    /// The bytes on the stream: a length before the message.
    pub fn frame(&self) -> Vec<u8> {
        self.encode_length_delimited_to_vec()
    }

    /// Reads the next one.
    pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let mut byte = [0];
            io.read_exact(&mut byte).await?;
            length |= usize::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut bytes = vec![0; length];
        io.read_exact(&mut bytes).await?;
        Self::decode(&bytes[..]).map_err(io::Error::other)
    }
}
