//! What a method answers when it cannot do what was asked: Bitcoin Core's codes (`rpc/protocol.h`) and a sentence.

use serde_json::{Value, json};

use crate::chain::SubmitError;
use crate::keys::AddressError;
use crate::wallet::{DescriptorError, LedgerError, PaymentError, WalletError};

/// Names every code, and lists them for the documentation.
macro_rules! codes {
    ($($(#[doc = $about:literal])+ $name:ident = $code:literal;)+) => {
        /// Error codes, with Core's names in lower case.
        pub mod code {
            $($(#[doc = $about])+ pub const $name: i32 = $code;)+
        }

        /// The codes and when they are answered.
        pub(super) const CODES: &[(i32, &str)] = &[$(($code, concat!($($about),+))),+];
    };
}

codes! {
    /// The body is not JSON.
    PARSE_ERROR = -32700;
    /// Not a JSON-RPC request.
    INVALID_REQUEST = -32600;
    /// No such method.
    METHOD_NOT_FOUND = -32601;
    /// The parameters have no form that any method takes.
    INVALID_PARAMS = -32602;
    /// Our own fault.
    INTERNAL_ERROR = -32603;
    /// Wrong number of parameters (the message is the help), and whatever has no code of its own.
    MISC_ERROR = -1;
    /// A parameter of the wrong type, or an amount that is none.
    TYPE_ERROR = -3;
    /// The wallet cannot do it.
    WALLET_ERROR = -4;
    /// No such address, transaction or block.
    INVALID_ADDRESS_OR_KEY = -5;
    /// Not enough coins.
    WALLET_INSUFFICIENT_FUNDS = -6;
    /// A parameter out of range.
    INVALID_PARAMETER = -8;
    /// The node has no peers, but was told whom to connect to.
    CLIENT_NOT_CONNECTED = -9;
    /// The node catches up with the network.
    CLIENT_IN_INITIAL_DOWNLOAD = -10;
    /// A label that no address has, or that none may have.
    WALLET_INVALID_LABEL_NAME = -11;
    /// The wallet must be unlocked first.
    WALLET_UNLOCK_NEEDED = -13;
    /// The passphrase is wrong.
    WALLET_PASSPHRASE_INCORRECT = -14;
    /// The wallet has no passphrase.
    WALLET_WRONG_ENC_STATE = -15;
    /// There is nothing to encrypt.
    WALLET_ENCRYPTION_FAILED = -16;
    /// There is no wallet.
    WALLET_NOT_FOUND = -18;
    /// There are several wallets, and the request does not say which.
    WALLET_NOT_SPECIFIED = -19;
    /// The database failed.
    DATABASE_ERROR = -20;
    /// Bytes that do not decode.
    DESERIALIZATION_ERROR = -22;
    /// The node to add is kept already.
    CLIENT_NODE_ALREADY_ADDED = -23;
    /// The node to remove is unknown.
    CLIENT_NODE_NOT_ADDED = -24;
    /// The node to disconnect from is not connected.
    CLIENT_NODE_NOT_CONNECTED = -29;
    /// No address and no range of addresses.
    CLIENT_INVALID_IP_OR_SUBNET = -30;
    /// A transaction or block that cannot be judged, such as one with unknown inputs.
    VERIFY_ERROR = -25;
    /// A transaction or block that breaks a rule.
    VERIFY_REJECTED = -26;
    /// The transaction is in a block already.
    VERIFY_ALREADY_IN_UTXO_SET = -27;
    /// The node runs without a network.
    CLIENT_P2P_DISABLED = -31;
    /// A parameter of former versions of Bitcoin Core.
    METHOD_DEPRECATED = -32;
    /// The wallet is loaded.
    WALLET_ALREADY_LOADED = -35;
    /// There is a wallet of this name.
    WALLET_ALREADY_EXISTS = -36;
}

/// The error of a method call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// One of [`code`].
    pub code: i32,
    /// For a person: what is wrong and what would be right.
    pub message: String,
}

impl RpcError {
    /// An error of this code.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Out of range, of the wrong length and the like.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMETER, message)
    }

    /// Something named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_ADDRESS_OR_KEY, message)
    }

    /// Our own fault: the database or a bug.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(code::INTERNAL_ERROR, format!("internal error: {message}"))
    }

    /// The JSON form.
    pub(super) fn to_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

impl From<AddressError> for RpcError {
    fn from(error: AddressError) -> Self {
        Self::new(
            code::INVALID_ADDRESS_OR_KEY,
            format!("Invalid address: {error}"),
        )
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        let code = match error {
            SubmitError::Invalid(_)
            | SubmitError::Mutated(_)
            | SubmitError::Future { .. }
            | SubmitError::KnownInvalid(_)
            | SubmitError::InvalidParent(_)
            | SubmitError::UnknownParent(_) => code::VERIFY_ERROR,
            SubmitError::UnknownBlock(_) => return Self::not_found("Block not found"),
            SubmitError::Stopped => code::MISC_ERROR,
            SubmitError::Storage(_) => code::DATABASE_ERROR,
        };
        Self::new(code, message)
    }
}

impl From<WalletError> for RpcError {
    fn from(error: WalletError) -> Self {
        let code = match &error {
            WalletError::NotFound { .. } => code::WALLET_NOT_FOUND,
            WalletError::WrongPassphrase => code::WALLET_PASSPHRASE_INCORRECT,
            WalletError::Locked | WalletError::LockedForNewNetwork { .. } => {
                code::WALLET_UNLOCK_NEEDED
            }
            WalletError::NotEncrypted => code::WALLET_WRONG_ENC_STATE,
            WalletError::EmptyPassphrase
            | WalletError::ImportRange { .. }
            | WalletError::TextTooLong { .. } => code::INVALID_PARAMETER,
            WalletError::AlreadyExists { .. } => code::WALLET_ALREADY_EXISTS,
            _ => code::WALLET_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PaymentError> for RpcError {
    fn from(error: PaymentError) -> Self {
        let code = match error {
            PaymentError::Wallet(error) => return error.into(),
            PaymentError::NotEnoughFunds { .. } => code::WALLET_INSUFFICIENT_FUNDS,
            PaymentError::AmountZero { .. } => code::TYPE_ERROR,
            PaymentError::SumOverflow
            | PaymentError::NoSuchOutput(_)
            | PaymentError::DuplicateCoin(_)
            | PaymentError::FeeRateTooHigh { .. }
            | PaymentError::NoRecipients => code::INVALID_PARAMETER,
            PaymentError::NotOurs(_) => code::INVALID_ADDRESS_OR_KEY,
            _ => code::WALLET_ERROR,
        };
        Self::new(code, error.to_string())
    }
}

impl From<LedgerError> for RpcError {
    fn from(error: LedgerError) -> Self {
        Self::new(code::DATABASE_ERROR, error.to_string())
    }
}

impl From<DescriptorError> for RpcError {
    fn from(error: DescriptorError) -> Self {
        Self::new(code::INVALID_ADDRESS_OR_KEY, error.to_string())
    }
}
