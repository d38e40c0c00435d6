//! `bitcoincore-rpc`, a Rust client for Bitcoin Core, as it is: each call is read into the client's own types.

use bitcoincore_rpc::bitcoin::address::NetworkUnchecked;
use bitcoincore_rpc::bitcoin::{Address, Amount, Network};
use bitcoincore_rpc::{Auth, Client, RpcApi};
use quarry_clients::Node;

/// Blocks after which the first coinbase may be spent in the next one.
const MATURITY: u64 = 100;

/// An address whose key nobody here has.
const STRANGER: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

fn client(node: &Node) -> Client {
    let url = format!("http://{}", node.address());
    Client::new(&url, Auth::CookieFile(node.cookie_file())).expect("the cookie is readable")
}

fn on_regtest(address: Address<NetworkUnchecked>) -> Address {
    address
        .require_network(Network::Regtest)
        .expect("the node's chain is regtest")
}

#[test]
fn a_payment_goes_from_the_wallet_to_a_block() {
    let node = Node::start();
    let client = client(&node);
    // The node has no wallet until one is made, as Bitcoin Core has none until createwallet.
    let mut words = std::process::Command::new(quarry_clients::program());
    words
        .arg("--datadir")
        .arg(node.folder())
        .args(["--chain", "regtest", "create-wallet"]);
    assert!(words.output().expect("the program starts").status.success());
    let mine = on_regtest(client.get_new_address(None, None).expect("getnewaddress"));
    client
        .generate_to_address(MATURITY, &mine)
        .expect("generatetoaddress");
    assert_eq!(
        client.get_balance(None, None).expect("getbalance"),
        Amount::from_int_btc(50)
    );

    let other = on_regtest(STRANGER.parse().expect("an address"));
    let amount = Amount::from_btc(1.5).expect("an amount");
    let txid = client
        .send_to_address(&other, amount, None, None, None, None, None, None)
        .expect("sendtoaddress");
    assert_eq!(client.get_raw_mempool().expect("getrawmempool"), [txid]);
    let entry = client.get_mempool_entry(&txid).expect("getmempoolentry");
    assert_eq!(entry.ancestor_count, 1);
    let tx = client
        .get_raw_transaction(&txid, None)
        .expect("getrawtransaction");
    assert!(
        tx.output
            .iter()
            .any(|output| output.value == amount && output.script_pubkey == other.script_pubkey())
    );
    let block = client
        .generate_to_address(1, &mine)
        .expect("generatetoaddress")[0];
    let shown = client
        .get_raw_transaction_info(&txid, Some(&block))
        .expect("getrawtransaction");
    assert_eq!(
        (shown.blockhash, shown.confirmations),
        (Some(block), Some(1))
    );
    assert_eq!(client.get_mempool_info().expect("getmempoolinfo").size, 0);
}
