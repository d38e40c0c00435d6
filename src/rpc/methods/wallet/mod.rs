//! The node's wallets: one file a part, one row a method.

mod addresses;
mod admin;
mod bump;
mod coins;
mod fees;
mod history;
mod imports;
mod inspect;
mod options;
mod psbt;
mod received;
mod secrets;
mod send;
mod sign;

use crate::rpc::method::Method;

/// Those that need a wallet.
pub(super) static METHODS: &[Method] = &[
    history::ABANDONTRANSACTION,
    admin::BACKUPWALLET,
    bump::BUMPFEE,
    bump::BUMPFEEBYCHILD,
    admin::CREATEWALLET,
    secrets::DUMPPRIVKEY,
    secrets::ENCRYPTWALLET,
    addresses::GETADDRESSBALANCE,
    addresses::GETADDRESSESBYLABEL,
    addresses::GETADDRESSINFO,
    coins::GETBALANCE,
    coins::GETBALANCES,
    addresses::GETNEWADDRESS,
    addresses::GETRAWCHANGEADDRESS,
    received::GETRECEIVEDBYADDRESS,
    received::GETRECEIVEDBYLABEL,
    history::GETTRANSACTION,
    admin::GETWALLETINFO,
    secrets::IMPORTADDRESS,
    imports::IMPORTDESCRIPTORS,
    secrets::IMPORTPRIVKEY,
    secrets::IMPORTPUBKEY,
    addresses::LISTADDRESSES,
    addresses::LISTADDRESSGROUPINGS,
    imports::LISTDESCRIPTORS,
    addresses::LISTLABELS,
    coins::LISTLOCKUNSPENT,
    received::LISTRECEIVEDBYADDRESS,
    received::LISTRECEIVEDBYLABEL,
    history::LISTSINCEBLOCK,
    history::LISTTRANSACTIONS,
    coins::LISTUNSPENT,
    admin::LISTWALLETDIR,
    admin::LISTWALLETS,
    admin::LOADWALLET,
    coins::LOCKUNSPENT,
    bump::PSBTBUMPFEE,
    admin::RESCANBLOCKCHAIN,
    admin::RESTOREWALLET,
    send::SEND,
    send::SENDALL,
    send::SENDFROM,
    send::SENDMANY,
    send::SENDTOADDRESS,
    addresses::SETLABEL,
    sign::SIGNMESSAGE,
    sign::SIGNRAWTRANSACTIONWITHWALLET,
    admin::UNLOADWALLET,
    psbt::WALLETCREATEFUNDEDPSBT,
    secrets::WALLETLOCK,
    secrets::WALLETPASSPHRASE,
    secrets::WALLETPASSPHRASECHANGE,
    psbt::WALLETPROCESSPSBT,
];

/// Transactions that are signed step by step.
pub(super) static RAW_METHODS: &[Method] = &[
    inspect::ANALYZEPSBT,
    psbt::COMBINEPSBT,
    psbt::CONVERTTOPSBT,
    psbt::CREATEPSBT,
    inspect::DECODEPSBT,
    psbt::FINALIZEPSBT,
    sign::FUNDRAWTRANSACTION,
    sign::SIGNRAWTRANSACTIONWITHKEY,
    psbt::UTXOUPDATEPSBT,
];

/// Descriptors and messages, without a wallet.
pub(super) static UTIL_METHODS: &[Method] = &[
    imports::DERIVEADDRESSES,
    imports::GETDESCRIPTORINFO,
    sign::SIGNMESSAGEWITHPRIVKEY,
    sign::VERIFYMESSAGE,
];
