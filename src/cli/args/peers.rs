//! What can be said after `peers`.

use std::num::NonZeroU64;

use clap::Subcommand;

/// `peers`, alone or with what to do.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PeersArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<PeersCommand>,
}

/// What can be done with peers. A connected peer is meant by its number or its id.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PeersCommand {
    /// Keep a connection to a peer, until the node stops (`up --peer` keeps it for longer)
    Add {
        /// host:port, or a multiaddress such as /ip4/10.0.0.7/tcp/7667
        address: String,
    },
    /// Forget a peer that is kept, and disconnect from it
    Remove {
        /// As it was given
        address: String,
    },
    /// Dial a peer once, now
    Try {
        /// host:port, or a multiaddress
        address: String,
    },
    /// Print the peers that are kept
    ListAdded,
    /// Disconnect from a peer
    Disconnect {
        /// Number, id or address
        peer: String,
    },
    /// Refuse connections with a peer, an address or a range of addresses
    Ban {
        /// Number or id of a peer, 10.0.0.7, or 10.0.0.0/8
        target: String,
        /// For so many hours
        #[arg(long, value_name = "N", default_value = "24")]
        hours: NonZeroU64,
    },
    /// End a ban
    Unban {
        /// As `list-banned` prints it
        target: String,
    },
    /// Print the bans
    ListBanned,
    /// End all bans
    ClearBanned,
}
