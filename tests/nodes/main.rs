//! Real nodes, the real binary: several of them on loopback, killed at random moments, and in network namespaces of their own.

mod durability;
mod loopback;
mod namespaces;
mod support;
