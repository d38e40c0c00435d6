//! The network on real sockets.

mod alone;
mod attacks;
mod closed;
mod compact;
mod hostile;
mod namespace;
mod node;
mod peers;
mod together;
mod traps;
