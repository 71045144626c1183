//! The file of keys, `keys.toml` in the data folder: readable by its owner only, and without a secret in it.
//!
//! Commands and the server replace it as a whole, one after the other: each holds the lock of `keys.lock` from reading to
//! replacing it. A person may edit it too.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::key::{self, KeyId, NewKey, Scope, SecretHash};
use super::limits::LimitSettings;
use crate::atomic_file;
use crate::project::Project;

/// Two, so that a key can be rotated without a gap.
const MAX_SECRETS: usize = 2;
const HEADER: &str = "# The keys of this server: `millrace keys` changes them, and a running server follows within a second.\n\
                      # Secrets are not in here, only their SHA-256.\n\n";

/// Why keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// The message names the file.
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{}: {error}", path.display())]
    Syntax { path: PathBuf, error: String },
    #[error("{}: the key {id} {problem}", path.display())]
    Key { path: PathBuf, id: KeyId, problem: String },
    #[error("there is no key {0}; `millrace keys list` shows all")]
    Unknown(KeyId),
    #[error("{0}")]
    Invalid(String),
}

/// A key, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRecord {
    pub(crate) id: KeyId,
    /// For people: whose key it is.
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) scope: Scope,
    #[serde(default = "default_project")]
    pub(crate) project: String,
    /// Of a browser key: the origins of its pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<String>,
    /// The events that it may send; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// The names in client certificates that stand for the key: DNS names or URIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificates: Vec<String>,
    #[serde(default)]
    pub(crate) created_at: String,
    #[serde(default)]
    pub(crate) limits: LimitSettings,
    /// Oldest first.
    #[serde(rename = "secret")]
    pub(crate) secrets: Vec<SecretRecord>,
}

/// A secret of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretRecord {
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) created_at: String,
}

fn default_project() -> String {
    Project::DEFAULT.to_owned()
}

/// What is chosen for a new key.
#[derive(Clone, Debug)]
pub(crate) struct KeyOptions {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) project: Project,
    pub(crate) origins: Vec<String>,
    pub(crate) events: Vec<String>,
    pub(crate) limits: LimitSettings,
    pub(crate) certificates: Vec<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default, rename = "key")]
    keys: Vec<KeyRecord>,
}

/// The file of keys of a data folder. Its methods block.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Of this data folder.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("keys.toml") }
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All keys; `None` without a file.
    pub(crate) fn read(&self) -> Result<Option<Vec<KeyRecord>>, KeyFileError> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(atomic_file::with_path(&self.path, error).into()),
        };
        let syntax = |error: toml::de::Error| KeyFileError::Syntax {
            path: self.path.clone(),
            error: error.to_string().trim_end().to_owned(),
        };
        let Contents { keys } = toml::from_str(&text).map_err(syntax)?;
        for (index, key) in keys.iter().enumerate() {
            let is_twice = keys[..index].iter().any(|earlier| earlier.id == key.id);
            let problem = if is_twice { Some("is there twice".to_owned()) } else { problem_of(key) };
            let problem = problem.or_else(|| shared_certificate(&keys[..index], key));
            if let Some(problem) = problem {
                return Err(KeyFileError::Key { path: self.path.clone(), id: key.id.clone(), problem });
            }
        }
        Ok(Some(keys))
    }

    /// Creates a key, and the file with the first one. Returns the key with its text, which is stored nowhere.
    pub(crate) fn create(&self, options: KeyOptions) -> Result<(KeyRecord, NewKey), KeyFileError> {
        let new = key::generate(options.scope, None);
        let record = KeyRecord {
            id: new.id.clone(),
            name: options.name,
            scope: options.scope,
            project: options.project.to_string(),
            origins: options.origins,
            events: options.events,
            certificates: options.certificates,
            created_at: now(),
            limits: options.limits,
            secrets: vec![secret_record(&new)],
        };
        if let Some(problem) = problem_of(&record) {
            return Err(KeyFileError::Invalid(format!("the key {problem}")));
        }
        self.change(|keys| {
            if let Some(problem) = shared_certificate(keys, &record) {
                return Err(KeyFileError::Invalid(format!("the key {problem}")));
            }
            keys.push(record.clone());
            Ok(())
        })?;
        Ok((record, new))
    }

    /// Adds a secret to a key. Of three secrets the oldest is dropped: two are valid at a time.
    pub(crate) fn rotate(&self, id: &KeyId) -> Result<(KeyRecord, NewKey), KeyFileError> {
        self.change(|keys| {
            let record = find(keys, id)?;
            let new = key::generate(record.scope, Some(record.id.clone()));
            record.secrets.push(secret_record(&new));
            let surplus = record.secrets.len().saturating_sub(MAX_SECRETS);
            record.secrets.drain(..surplus);
            Ok((record.clone(), new))
        })
    }

    /// Drops all secrets of a key but the newest.
    pub(crate) fn revoke_old(&self, id: &KeyId) -> Result<KeyRecord, KeyFileError> {
        self.change(|keys| {
            let record = find(keys, id)?;
            let old = record.secrets.len().saturating_sub(1);
            record.secrets.drain(..old);
            Ok(record.clone())
        })
    }

    /// Removes a key.
    pub(crate) fn revoke(&self, id: &KeyId) -> Result<KeyRecord, KeyFileError> {
        self.change(|keys| {
            let at = keys.iter().position(|key| key.id == *id);
            Ok(keys.remove(at.ok_or_else(|| KeyFileError::Unknown(id.clone()))?))
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<T, KeyFileError>,
    ) -> Result<T, KeyFileError> {
        let lock_path = self.path.with_file_name("keys.lock");
        let with_path = |error| atomic_file::with_path(&lock_path, error);
        let lock = File::create(&lock_path).map_err(with_path)?;
        lock.lock().map_err(with_path)?;
        let mut contents = Contents { keys: self.read()?.unwrap_or_default() };
        let result = change(&mut contents.keys)?;
        let text = toml::to_string(&contents).map_err(|error| KeyFileError::Invalid(error.to_string()))?;
        atomic_file::replace(&self.path, [HEADER, &text])?;
        Ok(result)
    }
}

fn find<'k>(keys: &'k mut [KeyRecord], id: &KeyId) -> Result<&'k mut KeyRecord, KeyFileError> {
    keys.iter_mut().find(|key| key.id == *id).ok_or_else(|| KeyFileError::Unknown(id.clone()))
}

fn secret_record(new: &NewKey) -> SecretRecord {
    SecretRecord { sha256: new.hash.to_string(), created_at: now() }
}

/// To the second.
fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).map_or_else(|_| String::new(), |now| now.to_string())
}

/// A certificate stands for one key. Follows "the key ID".
fn shared_certificate(earlier: &[KeyRecord], key: &KeyRecord) -> Option<String> {
    key.certificates.iter().find_map(|name| {
        let other = earlier.iter().find(|other| other.certificates.contains(name))?;
        Some(format!("has the certificate {name:?}, which the key {} has too", other.id))
    })
}

/// What is wrong with a key; follows "the key ID".
fn problem_of(key: &KeyRecord) -> Option<String> {
    if let Err(error) = key.project.parse::<Project>() {
        return Some(format!("has an invalid project: {error}"));
    }
    if key.secrets.len() > MAX_SECRETS {
        return Some(format!("has {} secrets; at most {MAX_SECRETS} are allowed", key.secrets.len()));
    }
    if let Some(error) = key.secrets.iter().find_map(|secret| secret.sha256.parse::<SecretHash>().err()) {
        return Some(format!("has an invalid sha256: {error}"));
    }
    if key.scope == Scope::Browser && key.origins.is_empty() {
        return Some(
            "has the scope browser and no origin: name the origins of its pages, such as https://example.com"
                .to_owned(),
        );
    }
    if key.scope != Scope::Browser && !key.origins.is_empty() {
        return Some(format!("has origins, which only the scope browser uses; its scope is {}", key.scope));
    }
    if !matches!(key.scope, Scope::Browser | Scope::Write) && !key.events.is_empty() {
        return Some(format!("has events, but the scope {} sends none", key.scope));
    }
    if key.scope == Scope::Browser && !key.certificates.is_empty() {
        return Some(
            "has certificates, but its scope browser is for pages, which anybody can open".to_owned(),
        );
    }
    if key.certificates.iter().any(String::is_empty) {
        return Some(
            "has an empty certificate: a DNS name or a URI of the certificate is expected".to_owned(),
        );
    }
    let is_origin = |origin: &&String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            host.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'))
        }) && **origin == origin.to_ascii_lowercase()
    };
    let origin = key.origins.iter().find(|origin| !is_origin(origin))?;
    Some(format!(
        "has the origin {origin:?}; an origin is https:// or http:// and a host in lower case, without a path"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn options(scope: Scope) -> KeyOptions {
        KeyOptions {
            name: "shop \"backend\"".into(),
            scope,
            project: Project::default(),
            origins: Vec::new(),
            events: Vec::new(),
            limits: LimitSettings::default(),
            certificates: Vec::new(),
        }
    }

    #[test]
    fn keys_are_created_rotated_and_revoked_without_their_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path());
        assert_eq!(file.read().unwrap(), None);
        let (record, first) = file.create(options(Scope::Write)).unwrap();
        assert_eq!(file.read().unwrap().unwrap(), std::slice::from_ref(&record));
        assert_eq!(file.path().metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let (_, second) = file.rotate(&record.id).unwrap();
        let (rotated, third) = file.rotate(&record.id).unwrap();
        let hashes: Vec<String> = rotated.secrets.iter().map(|secret| secret.sha256.clone()).collect();
        assert_eq!(hashes, [second.hash.to_string(), third.hash.to_string()]);
        assert_eq!(file.revoke_old(&record.id).unwrap().secrets.len(), 1);
        let text = std::fs::read_to_string(file.path()).unwrap();
        for key in [first, second, third] {
            assert!(!text.contains(key.text.rsplit('_').next().unwrap()));
        }

        file.revoke(&record.id).unwrap();
        assert_eq!(file.read().unwrap(), Some(Vec::new()), "the file stays: keys are still required");
        let error = file.rotate(&record.id).err().unwrap().to_string();
        assert!(error.contains(&format!("there is no key {}", record.id)), "{error}");
    }

    #[test]
    fn invalid_keys_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(folder.path());
        for (change, part) in [
            (
                KeyOptions { origins: vec!["https://a.example".into()], ..options(Scope::Read) },
                "only the scope browser",
            ),
            (options(Scope::Browser), "name the origins"),
            (
                KeyOptions { origins: vec!["https://A.example/x".into()], ..options(Scope::Browser) },
                "without a path",
            ),
            (KeyOptions { events: vec!["a".into()], ..options(Scope::Read) }, "sends none"),
            (
                KeyOptions {
                    origins: vec!["https://a.example".into()],
                    certificates: vec!["a.example".into()],
                    ..options(Scope::Browser)
                },
                "scope browser is for pages",
            ),
        ] {
            let error = file.create(change).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        for (text, part) in [
            ("key = 1", "keys.toml: "),
            ("[[key]]\nid = \"abc\"\nscope = \"read\"\nsecret = []", "is not the id of a key"),
            ("[[key]]\nid = \"abcdefghij\"\nscope = \"root\"\nsecret = []", "unknown variant"),
            (
                "[[key]]\nid = \"abcdefghij\"\nscope = \"read\"\nsecret = [{ sha256 = \"00\" }]",
                "64 hexadecimal",
            ),
            (
                "[[key]]\nid = \"abcdefghij\"\nscope = \"read\"\nproject = \"A\"\nsecret = []",
                "invalid project",
            ),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
