//! Projects: every event, rollup row and panel query belongs to one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a project, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The name of a project: 1 to 63 of a-z, 0-9, `_` and `-`, beginning with a letter or digit. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Project(Arc<str>);

/// A text that is not the name of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a project: use 1 to 63 of a-z, 0-9, _ and -, beginning with a letter or digit")]
pub struct InvalidProject(String);

impl Project {
    /// The project of events without a key.
    pub const DEFAULT: &'static str = "default";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Project {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl FromStr for Project {
    type Err = InvalidProject;

    fn from_str(name: &str) -> Result<Self, InvalidProject> {
        let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len())
            && !name.starts_with(['_', '-'])
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        match is_valid {
            true => Ok(Self(name.into())),
            false => Err(InvalidProject(name.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Project {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quoting_in_sql() {
        for name in ["default", "a", "0", "web-shop_2", &"a".repeat(63)] {
            assert_eq!(name.parse::<Project>().unwrap().as_str(), name);
        }
        for name in ["", "-a", "_a", "A", "a'b", "a b", "ä", &"a".repeat(64)] {
            assert!(name.parse::<Project>().is_err(), "{name}");
        }
    }
}
