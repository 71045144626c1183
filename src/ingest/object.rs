//! JSON objects as structs.

use serde::Deserialize;
use serde::de::Error as _;

/// Reads a struct from an object. serde_json itself also accepts an array with the values of the fields.
///
/// # Errors
/// Invalid JSON, something else than an object, or a field of another type.
pub(super) fn from_object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, serde_json::Error> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(serde_json::Error::custom("an object is expected"));
    }
    serde_json::from_slice(json)
}
