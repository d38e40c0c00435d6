//! Bitcoin Core's methods that are left out, with the reason: what a caller is told instead of "method not found".

const FILTERS: &str =
    "there are no block filters (BIP157); every address is indexed: `getaddressbalance`";
const DESCRIPTORS: &str = "`listsinceblock` of a wallet that watches the descriptor answers";
const PRUNING: &str = "all blocks are kept; the chain is small";
const SNAPSHOTS: &str = "the set of coins comes from the blocks alone; `quarry export-blocks` and `import-blocks` carry a chain";
const OLD_WALLETS: &str = "wallets have one form, made from a recovery phrase";
const SCRIPTS: &str = "the chain has pay-to-public-key-hash only, no scripts of several keys";
const SIGNER: &str = "no program for external signers is run; hardware signers take PSBT from `walletcreatefundedpsbt`";
const INTERNAL: &str = "a call for Bitcoin Core's own tests";

/// Name and reason, in the order of names.
pub(in crate::rpc) static OMITTED: &[(&str, &str)] = &[
    ("addconnection", INTERNAL),
    ("addmultisigaddress", SCRIPTS),
    ("addpeeraddress", INTERNAL),
    ("createmultisig", SCRIPTS),
    ("dumptxoutset", SNAPSHOTS),
    ("enumeratesigners", SIGNER),
    (
        "estimaterawfee",
        "the estimator has no horizons to look into; `estimatesmartfee` answers",
    ),
    (
        "generate",
        "removed from Bitcoin Core too; `generatetoaddress` finds blocks",
    ),
    (
        "generatetodescriptor",
        "`deriveaddresses` and `generatetoaddress` do it in two steps",
    ),
    ("getblockfilter", FILTERS),
    (
        "getblockfrompeer",
        "missing blocks are fetched from every peer that has them, and none is ever thrown away",
    ),
    ("getchainstates", SNAPSHOTS),
    ("getdescriptoractivity", DESCRIPTORS),
    (
        "getzmqnotifications",
        "there is no ZMQ; `/events` on the explorer's port is a stream of server-sent events",
    ),
    ("loadtxoutset", SNAPSHOTS),
    (
        "logging",
        "what is logged is said at the start: `--log-level info,quarry::network=debug`",
    ),
    ("migratewallet", OLD_WALLETS),
    ("mockscheduler", INTERNAL),
    ("pruneblockchain", PRUNING),
    ("scanblocks", FILTERS),
    (
        "scantxoutset",
        "nothing needs to be scanned, as every address is indexed: `getaddressbalance`",
    ),
    ("sendmsgtopeer", INTERNAL),
    ("syncwithvalidationinterfacequeue", INTERNAL),
    ("upgradewallet", OLD_WALLETS),
    ("walletdisplayaddress", SIGNER),
];

/// Why a method is left out.
pub(in crate::rpc) fn reason(name: &str) -> Option<&'static str> {
    let found = OMITTED.iter().find(|(omitted, _)| *omitted == name);
    found.map(|(_, reason)| *reason)
}
