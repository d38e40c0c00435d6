//! Whom a worker's name pays: `address`, `address.label`, or a name of any kind, which pays the node.

use crate::keys::{Address, AddressError};
use crate::primitives::PubkeyHash;

use super::limits::MAX_NAME;

/// Whom blocks pay that external miners find.
#[derive(Debug, Clone, Copy)]
pub struct Payouts {
    /// The version byte of the network's addresses.
    pub address_version: u8,
    /// Who is paid for workers whose name is no address; without, such workers are refused.
    pub node: Option<PubkeyHash>,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    /// Too long, empty, or not plain text.
    #[error("a worker's name has 1 to {MAX_NAME} printable ASCII characters")]
    Form,
    /// An address, but not one that this network could pay.
    #[error("{0}")]
    Address(AddressError),
    /// No address, and nobody else to pay.
    #[error(
        "the worker's name must be an address, as this node has no address of its own to mine to"
    )]
    NobodyToPay,
}

impl Payouts {
    /// Whom the worker of this name mines for.
    ///
    /// A name that has an address's length but another network's version byte, or a wrong checksum, was meant to be one: it is
    /// refused, and never paid to somebody else.
    pub(super) fn of(&self, name: &str) -> Result<PubkeyHash, NameError> {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || name.len() > MAX_NAME || !is_plain {
            return Err(NameError::Form);
        }
        let start = name.split('.').next().unwrap_or(name);
        match Address::parse(start, self.address_version) {
            Ok(address) => Ok(address.pubkey_hash()),
            Err(error @ (AddressError::WrongNetwork { .. } | AddressError::Checksum { .. })) => {
                Err(NameError::Address(error))
            }
            Err(AddressError::Character { .. } | AddressError::Length { .. }) => {
                self.node.ok_or(NameError::NobodyToPay)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_pay_their_address_or_the_node_and_never_a_mistyped_one() {
        let (miner, node) = (PubkeyHash::from_bytes([5; 20]), PubkeyHash::ZERO);
        let payouts = Payouts {
            address_version: 0,
            node: Some(node),
        };
        let address = Address::new(miner, 0).to_string();
        assert_eq!(payouts.of(&address), Ok(miner));
        assert_eq!(payouts.of(&format!("{address}.shed.2")), Ok(miner));
        for name in ["bitaxe", "bitaxe.1", "0OIl", "worker-7"] {
            assert_eq!(payouts.of(name), Ok(node), "{name}");
        }
        let other = Address::new(miner, 0x6f).to_string();
        let told = payouts.of(&other).unwrap_err().to_string();
        assert!(told.contains("another network"), "{told}");
        let mut mistyped = address.clone();
        let last = if address.ends_with('2') { "3" } else { "2" };
        mistyped.replace_range(address.len() - 1.., last);
        let told = payouts.of(&mistyped).unwrap_err().to_string();
        assert!(told.contains("checksum"), "{told}");
        for bad in ["", "a b", "ä", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(payouts.of(bad), Err(NameError::Form));
        }
        let nobody = Payouts {
            node: None,
            ..payouts
        };
        assert_eq!(nobody.of("bitaxe"), Err(NameError::NobodyToPay));
        assert_eq!(nobody.of(&address), Ok(miner));
    }
}
