//! Real nodes, the real binary: several of them on loopback, and in network namespaces of their own.

mod loopback;
mod namespaces;
mod stratum;
mod stratum_client;
mod support;
