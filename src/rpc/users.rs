//! Users with passwords of their own, beside the cookie: `USER:SALT$HASH`, as Bitcoin Core's `-rpcauth` takes them.
//!
//! The node is given the salted hash alone; the password is in no file, command line or environment of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Random bytes of a salt, as in Bitcoin Core's `rpcauth.py`.
const SALT_LEN: usize = 16;
/// Random bytes of a new password.
const PASSWORD_LEN: usize = 32;

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct RpcUser {
    name: String,
    salt: String,
    hash: [u8; 32],
}

/// The hash could be guessed at by whoever reads a log.
impl fmt::Debug for RpcUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcUser")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a text is no user. It is not repeated: it may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected USER:SALT$HASH with 64 hexadecimal digits at the end; `quarry rpc-auth USER` makes one"
)]
pub struct UserError;

/// Why no user is made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NewUserError {
    /// The name.
    #[error("a user's name has 1 to 64 visible characters, and no colon")]
    Name,
    /// The operating system.
    #[error("the operating system gave no randomness: {0}")]
    Random(String),
}

impl RpcUser {
    /// A user of this name with a new password.
    ///
    /// # Errors
    /// [`NewUserError`].
    pub fn generate(name: &str) -> Result<(Self, Zeroizing<String>), NewUserError> {
        if !is_name(name) {
            return Err(NewUserError::Name);
        }
        let mut random = Zeroizing::new([0; SALT_LEN + PASSWORD_LEN]);
        getrandom::fill(&mut random[..])
            .map_err(|error| NewUserError::Random(error.to_string()))?;
        let (salt, password) = random.split_at(SALT_LEN);
        let (salt, password) = (hex::encode(salt), Zeroizing::new(URL_SAFE.encode(password)));
        let user = Self {
            name: name.to_owned(),
            hash: hasher(&salt, password.as_bytes())
                .finalize()
                .into_bytes()
                .into(),
            salt,
        };
        Ok((user, password))
    }

    /// Whether `user:password` are this user's. Takes the same time for every wrong password of one length.
    pub(super) fn admits(&self, given: &[u8]) -> bool {
        let Some(at) = given.iter().position(|byte| *byte == b':') else {
            return false;
        };
        let (name, password) = (&given[..at], &given[at + 1..]);
        name == self.name.as_bytes()
            && hasher(&self.salt, password)
                .verify_slice(&self.hash)
                .is_ok()
    }
}

/// The text that [`FromStr`] reads.
impl fmt::Display for RpcUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}${}", self.name, self.salt, hex::encode(self.hash))
    }
}

impl FromStr for RpcUser {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let (name, rest) = text.split_once(':').ok_or(UserError)?;
        let (salt, digits) = rest.split_once('$').ok_or(UserError)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| UserError)?;
        match is_name(name) && !salt.is_empty() {
            true => Ok(Self {
                name: name.to_owned(),
                salt: salt.to_owned(),
                hash,
            }),
            false => Err(UserError),
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn hasher(salt: &str, password: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(salt.as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(password)
}

/// The `user:password` of an `Authorization` header of the form `Basic BASE64`.
pub(super) fn basic_credentials(header: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let space = header.iter().position(|byte| *byte == b' ')?;
    let (scheme, encoded) = header.split_at(space);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    STANDARD
        .decode(encoded.trim_ascii())
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_made_elsewhere_is_let_in() {
        let salt = "0123456789abcdef0123456789abcdef";
        // printf %s secret | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let hash = "0ad814968caefdecab8a6c0c55414688fdcad02f100ee7ac5def2352aaff36e5";
        let user: RpcUser = format!("alice:{salt}${hash}")
            .parse()
            .expect("the right form");
        assert!(user.admits(b"alice:secret"));
        for wrong in [
            &b"alice:Secret"[..],
            b"alice:",
            b"alice",
            b"bob:secret",
            b"",
            b"alice:secret ",
        ] {
            assert!(!user.admits(wrong));
        }
    }

    #[test]
    fn headers_of_another_form_carry_no_credentials() {
        let encoded = STANDARD.encode("user:secret");
        for header in [format!("Basic {encoded}"), format!("bAsIc  {encoded}")] {
            let found = basic_credentials(header.as_bytes()).map(|found| found.to_vec());
            assert_eq!(found.as_deref(), Some(&b"user:secret"[..]));
        }
        for wrong in [
            &b""[..],
            b"Basic",
            b"Basic !!!",
            b"Bearer x",
            encoded.as_bytes(),
            b"\xff \xff",
        ] {
            assert!(basic_credentials(wrong).is_none());
        }
    }

    #[test]
    fn r01_a_new_user_has_a_password_that_is_not_told_again() {
        let (user, password) = RpcUser::generate("bob").expect("randomness");
        assert_eq!(user.to_string().parse(), Ok(user.clone()));
        assert!(user.admits(format!("bob:{}", *password).as_bytes()));
        let shown = format!("{user:?} {user}");
        assert!(!shown.contains(&*password));
        assert!(!format!("{user:?}").contains(&user.salt));
        for name in ["", "a:b", "a b", &"x".repeat(65)] {
            assert_eq!(RpcUser::generate(name).err(), Some(NewUserError::Name));
        }
        for wrong in [
            "bob",
            "bob:salt",
            "bob:salt$",
            "bob:salt$00",
            "bob:$00",
            ":salt$00",
        ] {
            assert_eq!(wrong.parse::<RpcUser>(), Err(UserError), "{wrong}");
        }
    }
}
