//! The text of a key: `mr_<scope>_<id>_<secret><checksum>`.
//!
//! The id names the key in files, logs and metrics. The secret has 256 random bits, so its SHA-256 is enough to check it and
//! useless to guess it. The checksum, CRC-32C of everything before it, tells a typing error from an unknown key, and secret
//! scanners a key from other texts. All parts are letters and digits, so a double click selects a key up to its underscores
//! only, but no tool needs to quote it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use rand::Rng as _;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every key begins with.
pub(crate) const PREFIX: &str = "mr_";
const ID_CHARS: usize = 10;
/// 43 of 62 characters are 256 bits.
pub(super) const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    /// Send events, from a server
    Write,
    /// Send events, from the pages of named origins: everybody can read such a key
    Browser,
    /// Read panels and health
    Read,
    /// Everything, including keys
    Admin,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Write, Self::Browser, Self::Read, Self::Admin];

    /// The word in keys, files and messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Browser => "browser",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The public part of a key: 10 of a-z and 0-9.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct KeyId(String);

/// A text that is not the id of a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a key: an id has {ID_CHARS} of a-z and 0-9; `millrace keys list` shows all")]
pub(crate) struct InvalidKeyId(String);

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(id: String) -> Result<Self, InvalidKeyId> {
        let is_id =
            id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if is_id { Ok(Self(id)) } else { Err(InvalidKeyId(id.chars().take(40).collect())) }
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(id: &str) -> Result<Self, InvalidKeyId> {
        id.to_owned().try_into()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Why a text is not a key. The messages do not repeat the text: it may be most of one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedKey {
    #[error("it does not have the form mr_<scope>_<id>_<secret>")]
    Form,
    #[error("its checksum is wrong: a character was changed, added or lost")]
    Checksum,
}

/// A key as its owner presents it. Not printable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PresentedKey {
    pub(crate) scope: Scope,
    pub(crate) id: KeyId,
    pub(crate) hash: SecretHash,
}

/// SHA-256 of a secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretHash([u8; 32]);

impl PartialEq for SecretHash {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl Hash for SecretHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl FromStr for SecretHash {
    type Err = &'static str;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a SHA-256 in 64 hexadecimal digits is expected";
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(EXPECTED);
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| EXPECTED)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A new key. Its text is shown once and stored nowhere.
pub(crate) struct NewKey {
    pub(crate) id: KeyId,
    pub(crate) text: String,
    pub(crate) hash: SecretHash,
}

/// Generates a key, or a further secret of the key `id`.
pub(crate) fn generate(scope: Scope, id: Option<KeyId>) -> NewKey {
    let mut rng = rand::rng();
    let id = id.unwrap_or_else(|| {
        const CHARS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        KeyId((0..ID_CHARS).map(|_| char::from(CHARS[rng.random_range(0..CHARS.len())])).collect())
    });
    let secret: String = (&mut rng).sample_iter(Alphanumeric).take(SECRET_CHARS).map(char::from).collect();
    let hash = SecretHash::of(&secret);
    let mut text = format!("{PREFIX}{scope}_{id}_{secret}");
    let checksum = checksum(&text);
    text.push_str(&checksum);
    NewKey { id, text, hash }
}

/// CRC-32C in base 62.
pub(super) fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32c::crc32c(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    digits.iter().copied().map(char::from).collect()
}

impl FromStr for PresentedKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let rest = text.strip_prefix(PREFIX).ok_or(MalformedKey::Form)?;
        let mut parts = rest.split('_');
        let (Some(scope), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedKey::Form);
        };
        let scope = Scope::ALL.into_iter().find(|known| known.as_str() == scope).ok_or(MalformedKey::Form)?;
        let id = id.parse().map_err(|_| MalformedKey::Form)?;
        let is_secret = secret.len() == SECRET_CHARS + CHECKSUM_CHARS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_secret {
            return Err(MalformedKey::Form);
        }
        let (body, found) = text.split_at(text.len() - CHECKSUM_CHARS);
        if checksum(body) != found {
            return Err(MalformedKey::Checksum);
        }
        Ok(Self { scope, id, hash: SecretHash::of(&secret[..SECRET_CHARS]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_generated() {
        for scope in Scope::ALL {
            let key = generate(scope, None);
            let read: PresentedKey = key.text.parse().unwrap();
            assert!(read == PresentedKey { scope, id: key.id.clone(), hash: key.hash }, "{}", key.text);
            let second = generate(scope, Some(key.id.clone()));
            assert!(second.id == key.id && second.hash != key.hash);
        }
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let key = generate(Scope::Write, None).text;
        for at in 0..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed.parse::<PresentedKey>().is_err(), "{changed}");
        }
        for malformed in ["", "mr_", "mr_write_abc_def", &key[1..], &format!("{key}x"), &format!("{key}_x")] {
            assert!(malformed.parse::<PresentedKey>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn hashes_are_hexadecimal() {
        let hash = SecretHash::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), hex);
        assert_eq!(hex.parse(), Ok(hash));
        assert!(
            "x".repeat(64).parse::<SecretHash>().is_err() && "ä".repeat(32).parse::<SecretHash>().is_err()
        );
    }
}
