//! The client against a node that runs, has gone, or is another one.

use std::fs;

use serde_json::json;

use super::Node;
use crate::rpc::{Client, ClientError, Cookie, NodeFile};

#[test]
fn a_running_node_is_found_and_called() {
    let node = Node::new();
    let client = Client::find(node.folder.path()).expect("it runs");
    assert_eq!(
        client
            .get::<u32>("getblockcount", json!([]))
            .expect("a number"),
        0
    );
    let error = client
        .call("getblockhash", json!([5]))
        .expect_err("there is no block 5");
    assert_eq!(
        (error.code(), error.to_string().contains("out of range")),
        (Some(-8), true)
    );
    assert!(matches!(
        client.get::<u32>("getbestblockhash", json!([])),
        Err(ClientError::BadAnswer { .. })
    ));
}

#[test]
fn no_node_a_gone_node_and_another_node_are_told_apart() {
    let node = Node::new();
    let empty = tempfile::tempdir().expect("a temporary folder");
    let missing = Client::find(empty.path());
    assert!(matches!(&missing, Err(error @ ClientError::NotRunning(_)) if error.is_offline()));

    // Another cookie, as of another node at the same address.
    let theirs = NodeFile::read(node.folder.path())
        .expect("readable")
        .expect("written at the start");
    theirs.write(empty.path()).expect("a writable folder");
    assert!(
        matches!(Client::find(empty.path()), Err(ClientError::Stale { .. })),
        "no cookie"
    );
    let _cookie = Cookie::create(empty.path()).expect("the folder has none");
    assert!(matches!(
        Client::find(empty.path()),
        Err(ClientError::Unauthorized(_))
    ));

    // A killed node's file, and its port taken by another node since.
    let dead = NodeFile {
        pid: u32::MAX,
        ..theirs.clone()
    };
    dead.write(empty.path()).expect("a writable folder");
    assert!(matches!(Client::find(empty.path()), Err(error) if error.is_offline()));

    let folder = node.folder.path().to_owned();
    let text = Cookie::read(&folder).expect("it is there").to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    NodeFile {
        rpc: free,
        ..theirs
    }
    .write(&folder)
    .expect("a writable folder");
    assert!(
        matches!(Client::find(&folder), Err(ClientError::Stale { address, .. }) if address == free)
    );
    assert!(
        !format!("{:?}", Client::find(&folder).err()).contains(&text[11..]),
        "no secret in errors"
    );
    fs::write(folder.join("node.json"), "{").expect("a writable folder");
    assert!(matches!(
        Client::find(&folder),
        Err(ClientError::File { .. })
    ));
}
