//! `Idempotency-Key`: a request that is sent again counts its events once.
//!
//! Nothing is stored for a key. The events get ids that follow from it, and the writer drops events whose ids it remembers.
//! The promise is therefore that of [event ids](crate::writer::recent_ids): it holds for the last `MILLRACE_RECENT_EVENT_IDS`
//! ids, also after a restart. Events with ids of their own keep them.

use http::HeaderValue;
use uuid::Uuid;

use crate::error::Error;
use crate::project::Project;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// Of all ids that are derived from keys. Random.
const NAMESPACE: Uuid = Uuid::from_u128(0x4f2d_8c1e_93a6_4d07_b5e8_61fc_0a7d_29b3);

/// Why a key is invalid.
#[derive(Debug, thiserror::Error)]
#[error("Idempotency-Key has {bytes} bytes; use 1 to {MAX_KEY_BYTES}, for example a UUID per request")]
pub(super) struct InvalidKey {
    bytes: usize,
}

impl From<InvalidKey> for Error {
    fn from(error: InvalidKey) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The key of a request, within its project.
#[derive(Debug)]
pub(super) struct IdempotencyKey(Uuid);

impl IdempotencyKey {
    /// # Errors
    /// An empty or long value.
    pub(super) fn new(project: &Project, value: &HeaderValue) -> Result<Self, InvalidKey> {
        let value = value.as_bytes();
        if value.is_empty() || value.len() > MAX_KEY_BYTES {
            return Err(InvalidKey { bytes: value.len() });
        }
        Ok(Self(Uuid::new_v5(&within_project(NAMESPACE, project), value)))
    }

    /// The id of the event with this index in the request.
    pub(super) fn event_id(&self, index: u32) -> Uuid {
        Uuid::new_v5(&self.0, &index.to_be_bytes())
    }
}

/// The namespace of a project's ids: the writer remembers the ids of all projects together.
pub(super) fn within_project(namespace: Uuid, project: &Project) -> Uuid {
    Uuid::new_v5(&namespace, project.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_project_key_and_index() {
        let project = |name: &str| name.parse::<Project>().unwrap();
        let id = |name: &str, key: &'static str, index| {
            let key = IdempotencyKey::new(&project(name), &HeaderValue::from_static(key)).unwrap();
            key.event_id(index)
        };
        let first = id("shop", "k", 0);
        assert_eq!((first, first.get_version_num()), (id("shop", "k", 0), 5));
        let others = [id("shop", "k", 1), id("shop", "k2", 0), id("blog", "k", 0)];
        assert!(others.iter().all(|other| *other != first), "{others:?}");
    }

    #[test]
    fn a_key_has_a_limited_length() {
        for (key, valid) in [(0, false), (1, true), (MAX_KEY_BYTES, true), (MAX_KEY_BYTES + 1, false)] {
            let value = HeaderValue::try_from("k".repeat(key)).unwrap();
            assert_eq!(IdempotencyKey::new(&Project::default(), &value).is_ok(), valid, "{key}");
        }
    }
}
