//! BDK: a wallet of a `pkh(…)` descriptor that follows the chain through the RPC, builds and signs payments itself, and gives
//! them to the node.

use std::sync::Arc;

use bdk_bitcoind_rpc::bitcoincore_rpc::{Auth, Client, RpcApi};
use bdk_bitcoind_rpc::{Emitter, NO_EXPECTED_MEMPOOL_TXS};
use bdk_wallet::bitcoin::bip32::Xpriv;
use bdk_wallet::bitcoin::{Amount, FeeRate, Network};
use bdk_wallet::{KeychainKind, SignOptions, Wallet};
use quarry_clients::Node;

/// Blocks after which the first coinbase may be spent in the next one.
const MATURITY: u64 = 100;

fn wallet(seed: u8) -> Wallet {
    let master = Xpriv::new_master(Network::Regtest, &[seed; 32]).expect("a seed of 32 bytes");
    let descriptor = |chain: u8| format!("pkh({master}/44h/1h/0h/{chain}/*)");
    Wallet::create(descriptor(0), descriptor(1))
        .network(Network::Regtest)
        .create_wallet_no_persist()
        .expect("a descriptor of this network")
}

/// Takes in all blocks and waiting transactions that the wallet has not seen.
fn sync(wallet: &mut Wallet, client: &Arc<Client>) {
    let tip = wallet.latest_checkpoint();
    let mut emitter = Emitter::new(Arc::clone(client), tip, 0, NO_EXPECTED_MEMPOOL_TXS);
    while let Some(event) = emitter.next_block().expect("blocks are emitted") {
        let connected_to = event.connected_to();
        wallet
            .apply_block_connected_to(&event.block, event.block_height(), connected_to)
            .expect("blocks connect");
    }
    let mempool = emitter.mempool().expect("the mempool is emitted");
    wallet.apply_unconfirmed_txs(mempool.update);
    wallet.apply_evicted_txs(mempool.evicted);
}

#[test]
#[expect(
    deprecated,
    reason = "programs in use sign so, whatever BDK advises new ones"
)]
fn a_wallet_of_bdk_syncs_pays_and_is_paid() {
    let node = Node::start();
    let url = format!("http://{}", node.address());
    let client =
        Client::new(&url, Auth::CookieFile(node.cookie_file())).expect("the cookie is readable");
    let client = Arc::new(client);
    let (mut alice, mut bob) = (wallet(1), wallet(2));

    let reward = alice.reveal_next_address(KeychainKind::External).address;
    client
        .generate_to_address(MATURITY, &reward)
        .expect("generatetoaddress");
    sync(&mut alice, &client);
    let balance = alice.balance();
    assert_eq!(balance.confirmed, Amount::from_int_btc(50));
    assert_eq!(balance.immature, Amount::from_int_btc(50) * (MATURITY - 1));

    let to = bob.reveal_next_address(KeychainKind::External).address;
    let amount = Amount::from_btc(12.5).expect("an amount");
    let rate = FeeRate::from_sat_per_vb(5).expect("a fee rate");
    let mut builder = alice.build_tx();
    builder
        .add_recipient(to.script_pubkey(), amount)
        .fee_rate(rate);
    let mut psbt = builder.finish().expect("there are coins enough");
    let finished = alice
        .sign(&mut psbt, SignOptions::default())
        .expect("the keys are there");
    assert!(finished, "every input is signed");
    let fee = psbt.fee().expect("the inputs are known");
    let tx = psbt.extract_tx().expect("the fee is sensible");
    let txid = client
        .send_raw_transaction(&tx)
        .expect("sendrawtransaction");
    assert_eq!(txid, tx.compute_txid());

    // Both see it while it waits…
    sync(&mut alice, &client);
    sync(&mut bob, &client);
    assert_eq!(bob.balance().untrusted_pending, amount);
    let rest = Amount::from_int_btc(50) - amount - fee;
    assert_eq!(alice.balance().trusted_pending, rest);

    // … and when it is confirmed, in a block that pays its fee to the miner.
    client
        .generate_to_address(1, &to)
        .expect("generatetoaddress");
    sync(&mut alice, &client);
    sync(&mut bob, &client);
    assert_eq!(bob.balance().confirmed, amount);
    assert_eq!(bob.balance().immature, Amount::from_int_btc(50) + fee);
    // One more coinbase of Alice's has matured.
    assert_eq!(alice.balance().confirmed, rest + Amount::from_int_btc(50));

    // A reorg takes the payment back into the mempool, and both follow.
    let tip = client.get_best_block_hash().expect("getbestblockhash");
    client.invalidate_block(&tip).expect("invalidateblock");
    client
        .generate_to_address(1, &reward)
        .expect("generatetoaddress");
    sync(&mut bob, &client);
    assert_eq!(bob.balance().confirmed, amount, "mined again");
    assert_eq!(bob.balance().immature, Amount::ZERO);
}
