//! Keys, signatures and addresses: the only place that knows the curve.

mod address;
mod message;
mod secp;
mod sighash;
mod signing;
mod wif;

pub use address::{Address, AddressError};
pub use message::{message_signer, sign_message};
pub use secp::{KeyError, PublicKey, SecretKey, Signature, SignatureError, verify};
pub use sighash::{SIGHASH_ALL, SighashCache, signature_hash};
pub use signing::{ScriptSigError, parse_script_sig, sign_input};
pub use wif::WifError;
