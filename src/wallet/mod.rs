//! The wallet: keys in one file, what they own, and payments.
//!
//! - [`Wallet`]: a wallet file, its passphrase, its addresses, labels and sent payments (`store`, `addresses`, `imports` and
//!   `notes`, over `file`, `records`, `disk`, `seal`, `hd` and `phrase`). One wallet serves every network of a data folder; each
//!   coin type has its own keys.
//! - [`Descriptor`]: keys and addresses as text, for import and export.
//! - [`Book`]: coins and history, followed block by block. [`Ledger`]: balances from a list of coins.
//! - [`select_coins`], [`prepare`], [`build_and_sign`]: from wish to signed transaction.
//!
//! All but the first are pure; the first blocks on the disk. Nothing here knows the chain database or the network: callers
//! bring blocks and coins and send the transactions.

mod addresses;
mod book;
mod descriptor;
mod disk;
mod error;
mod file;
mod hd;
mod imports;
mod ledger;
mod naming;
mod notes;
mod owned;
mod payment;
mod phrase;
mod places;
mod psbt;
mod records;
mod seal;
mod select;
mod store;
mod unlocked;

#[cfg(test)]
mod tests;

pub use addresses::{Extent, GAP_LIMIT};
pub use book::{Book, BookBalances, ListedCoin, Payee, Place, WalletTx};
pub use descriptor::{DerivedKey, Descriptor, DescriptorError, KeyOrigin};
pub use error::{PhraseError, WalletError};
pub use hd::Branch;
pub use imports::{Import, ListedDescriptor, MAX_IMPORT_RANGE};
pub use ledger::{Balances, Ledger, LedgerContext, LedgerError};
pub use naming::{WalletNameError, name_of_file, named_folder, wallet_file};
pub use notes::{MAX_COMMENT_BYTES, MAX_LABEL_BYTES, Outgoing};
pub use owned::OwnedAddress;
pub use payment::{
    ABSURD_FEE, ABSURD_FEE_SHARE, Payment, PaymentError, PreparedPayment, SignedPayment,
    build_and_sign, prepare, prepare_all, sign_prepared,
};
pub use psbt::{InputState, Psbt, PsbtError, PsbtInput, PsbtKey};
pub use seal::KdfParams;
pub use select::{
    DUST_LIMIT, FeeRate, MAX_TX_BYTES, Selection, Target, WalletCoin, select_coins, select_with,
};
pub use store::Wallet;
