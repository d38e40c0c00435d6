//! Closed networks: nothing but a node with the key connects.

use std::{path::PathBuf, time::Duration};

use quarry::network::create_network_key;
use tempfile::TempDir;

use crate::{
    alone::alone,
    node::{Node, agree, spec, until},
};

async fn node(key: Option<&PathBuf>, peers: &[&Node]) -> Node {
    let peers = peers.iter().map(|peer| peer.address()).collect();
    Node::start_with(spec(), None, |config| {
        config.network_key_file = key.cloned();
        config.peers = peers;
    })
    .await
}

/// ```text
/// stranger (no key) ──× a ── b     a and b have the key
///    other (another) ──×
/// ```
#[test]
fn only_nodes_with_the_key_connect_and_the_log_says_so_once() {
    alone(|ground| async move {
        let folder = TempDir::new().expect("a folder");
        let [key, another] = ["network.key", "another.key"].map(|name| {
            let path = folder.path().join(name);
            create_network_key(&path).expect("a new file");
            path
        });
        let a = node(Some(&key), &[]).await;
        let stranger = node(None, &[&a]).await;
        let other = node(Some(&another), &[&a]).await;
        // Reserved peers are dialled every second or so.
        let hints = || ground.lines_with("needs the same --network-key-file").len();
        until("it is told", || hints() > 0).await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(hints(), 1);
        let b = node(Some(&key), &[&a]).await;
        until("those with the key meet", || {
            (a.peers(), b.peers()) == (1, 1)
        })
        .await;
        a.mine(0, 0).await;
        agree("news arrive", &[&a, &b]).await;
        assert_eq!((a.peers(), stranger.peers(), other.peers()), (1, 0, 0));
        // The key is in no line, whatever was logged.
        for path in [&key, &another] {
            let text = std::fs::read_to_string(path).expect("it was made");
            let digits = text.lines().nth(2).expect("digits");
            assert_eq!(ground.lines_with(digits), Vec::<String>::new());
        }
        for node in [a, b, stranger, other] {
            node.stop().await;
        }
    });
}
