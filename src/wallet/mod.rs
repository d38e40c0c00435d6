//! The wallet: HD keys in one encrypted file, what they own, and payments.
//!
//! - [`Wallet`]: the file `wallet.json`, its passphrase, its addresses (`store` and `addresses`, over `file`, `disk`,
//!   `seal`, `hd` and `phrase`). One wallet serves every network of a data folder; each coin type has its own keys.
//! - [`Ledger`]: balances and spendable coins, from the chain's coins and the mempool.
//! - [`select_coins`], [`build_and_sign`]: from wish to signed transaction.
//!
//! The last two are pure; the first blocks on the disk. Nothing here knows the chain database or the network: callers
//! bring the coins and send the transactions.

mod addresses;
mod disk;
mod error;
mod file;
mod hd;
mod ledger;
mod owned;
mod payment;
mod phrase;
mod seal;
mod select;
mod store;
mod unlocked;

#[cfg(test)]
mod tests;

pub use addresses::GAP_LIMIT;
pub use error::{PhraseError, WalletError};
pub use hd::Branch;
pub use ledger::{Balances, Ledger, LedgerContext, LedgerError};
pub use owned::OwnedAddress;
pub use payment::{
    ABSURD_FEE, ABSURD_FEE_SHARE, Payment, PaymentError, SignedPayment, build_and_sign,
};
pub use seal::KdfParams;
pub use select::{DUST_LIMIT, MAX_TX_BYTES, Selection, Target, WalletCoin, select_coins};
pub use store::Wallet;
