//! What a node tells at its start: on a terminal as a banner, else as a log line, or as JSON.

use std::path::PathBuf;

use serde::Serialize;

use super::super::context::Context;
use super::screen::Screen;
use crate::node::{Endpoints, NodeConfig};

/// The facts of a started node.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    version: &'static str,
    pid: u32,
    network: String,
    chain_id: String,
    datadir: PathBuf,
    mining_address: Option<String>,
    threads: usize,
    cpu_share: f64,
    p2p: String,
    rpc: String,
    explorer: String,
    stratum: Option<String>,
    peer_addresses: Vec<String>,
    stepped_over: Vec<String>,
}

impl Facts {
    /// Collects them.
    pub(super) fn new(
        context: &Context,
        config: &NodeConfig,
        endpoints: &Endpoints,
        peer_addresses: Vec<String>,
    ) -> Self {
        let explorer = Endpoints::local(endpoints.explorer);
        let stepped_over = endpoints.stepped_over.iter().map(|(service, port)| {
            format!(
                "port {port} is in use, so {} took the next free one",
                service.name()
            )
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            network: config.spec.name.clone(),
            chain_id: config.spec.chain_id().to_string(),
            datadir: config.folder.path().to_owned(),
            mining_address: config
                .mine_to
                .map(|hash| context.address_of(hash).to_string()),
            threads: config.threads.get().get(),
            cpu_share: config.cpu_share.get(),
            p2p: endpoints.p2p.to_string(),
            rpc: endpoints.rpc.to_string(),
            explorer: format!("http://{explorer}/"),
            stratum: endpoints.stratum.map(|at| at.to_string()),
            peer_addresses,
            stepped_over: stepped_over.collect(),
        }
    }

    /// The address that other machines can use, if there is one.
    fn peer_address(&self) -> Option<&str> {
        let is_local =
            |address: &&String| address.contains("/127.0.0.1/") || address.contains("/::1/");
        let other = self
            .peer_addresses
            .iter()
            .find(|address| !is_local(address));
        other.or(self.peer_addresses.first()).map(String::as_str)
    }

    /// One log line.
    pub(super) fn log(&self) {
        for note in &self.stepped_over {
            tracing::warn!("{note}");
        }
        tracing::info!(
            version = self.version,
            network = self.network,
            chain_id = self.chain_id,
            datadir = %self.datadir.display(),
            mining_address = self.mining_address.as_deref().unwrap_or("off"),
            p2p = self.p2p,
            rpc = self.rpc,
            explorer = self.explorer,
            stratum = self.stratum.as_deref().unwrap_or("off"),
            peer = self.peer_address().unwrap_or("unknown"),
            "node is up"
        );
    }

    /// The banner.
    pub(super) fn print(&self, screen: &Screen) {
        screen.line(&self.banner());
    }

    fn banner(&self) -> String {
        let mining = match &self.mining_address {
            Some(address) if self.cpu_share < 1.0 => format!(
                "to {address}, threads: {}, each at work for {} of its time",
                self.threads, self.cpu_share
            ),
            Some(address) => format!("to {address}, threads: {}", self.threads),
            None => "off".to_owned(),
        };
        let rows = [
            (
                "network",
                format!("{} (chain id {}…)", self.network, &self.chain_id[..16]),
            ),
            ("data folder", self.datadir.display().to_string()),
            ("mining", mining),
            ("peers at", format!("{} (tcp)", self.p2p)),
            ("RPC", self.rpc.clone()),
            ("explorer", self.explorer.clone()),
        ];
        let stratum = self
            .stratum
            .as_ref()
            .map(|at| ("Stratum", format!("stratum+tcp://{at}")));
        let rows = rows.into_iter().chain(stratum);
        let mut lines = vec![format!("Quarry {}", self.version), String::new()];
        lines.extend(rows.map(|(name, value)| format!("  {name:<12} {value}")));
        lines.extend(
            self.stepped_over
                .iter()
                .map(|note| format!("  note: {note}")),
        );
        if let Some(address) = self.peer_address() {
            lines.push(String::new());
            lines.push("Connect another node to this one:".to_owned());
            lines.push(format!("  quarry up --peer {address}"));
        }
        lines.push(String::new());
        lines.push("Try in another terminal:".to_owned());
        let folder = self.datadir.display();
        for command in [
            "status",
            "list-addresses",
            "rpc help",
            "rpc getblockchaininfo",
        ] {
            lines.push(format!("  quarry --datadir {folder} {command}"));
        }
        lines.push(String::new());
        lines.push("q or Ctrl-C stops the node.".to_owned());
        lines.push(String::new());
        lines.join("\n")
    }
}
