//! The keys that are valid now. They follow the file of keys while the server runs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::file::{KeyFile, KeyFileError, KeyRecord};
use super::key::{KeyId, PresentedKey, Scope, SecretHash};
use super::limits::{KeyLimits, UsageFile};
use super::people::Person;
use super::session::Sessions;
use super::{Caller, Requirement, Role, TrustedProxies};
use crate::blocking::run_blocking;
use crate::counters::EventCounts;
use crate::error::{Error, ErrorCode};
use crate::file_stamp::FileStamp;
use crate::project::Project;

/// How often the file is checked for changes. Revoked keys end open streams within this time.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A valid key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) scope: Scope,
    pub(crate) project: Project,
    /// Of a browser key.
    pub(crate) origins: Vec<String>,
    /// The events that it may send; empty for all.
    pub(crate) events: Vec<String>,
    /// What it has sent. Kept when the file of keys is read again.
    pub(crate) events_sent: Arc<EventCounts>,
    pub(crate) limits: Arc<KeyLimits>,
    /// The client certificates that stand for it, by a DNS name or URI in them.
    certificates: Vec<String>,
    /// Of callers with such a certificate. Cancelled when the key is revoked or has other certificates.
    certificate_token: CancellationToken,
    /// Each with a token that is cancelled when the secret is revoked.
    secrets: Vec<(SecretHash, CancellationToken)>,
}

impl Key {
    /// `earlier` is the key with the same id, whose tokens stay in use.
    fn new(record: KeyRecord, earlier: Option<&Self>, data_dir: &Path) -> Option<Self> {
        let project: Project = record.project.parse().ok()?;
        let events_sent = earlier.map(|earlier| Arc::clone(&earlier.events_sent)).unwrap_or_default();
        // What is left of the limits stays, unless they have changed.
        let known = earlier.filter(|earlier| earlier.limits.settings == record.limits);
        let limits = known.map_or_else(
            || {
                Arc::new(KeyLimits::new(
                    record.id.clone(),
                    record.limits.clone(),
                    UsageFile::new(data_dir, &record.id),
                ))
            },
            |key| Arc::clone(&key.limits),
        );
        // A caller has the rights of its key as they were at its start: with other rights, the tokens are others too.
        let earlier = earlier.filter(|earlier| {
            earlier.scope == record.scope
                && earlier.project == project
                && earlier.origins == record.origins
                && earlier.events == record.events
                && earlier.limits.settings == record.limits
        });
        let token_of = |hash: SecretHash| {
            let known = earlier.into_iter().flat_map(|key| &key.secrets).find(|(known, _)| *known == hash);
            known.map_or_else(CancellationToken::new, |(_, token)| token.clone())
        };
        let certificate_token = earlier
            .filter(|earlier| earlier.certificates == record.certificates)
            .map_or_else(CancellationToken::new, |earlier| earlier.certificate_token.clone());
        let hashes = record.secrets.iter().filter_map(|secret| secret.sha256.parse().ok());
        let secrets = hashes.map(|hash| (hash, token_of(hash))).collect();
        let KeyRecord { id, scope, origins, events, certificates, .. } = record;
        Some(Self {
            id,
            scope,
            project,
            origins,
            events,
            events_sent,
            limits,
            certificates,
            certificate_token,
            secrets,
        })
    }
}

/// What a request presents.
pub(crate) enum Credentials<'r> {
    None,
    Key(PresentedKey),
    /// The names of a verified client certificate.
    Certificate(&'r [String]),
    /// The caller who began the session, or a person whom a trusted proxy names with groups.
    Session(&'r Caller),
    /// A trusted proxy has authenticated somebody, who reads.
    Proxy,
}

/// What a server asks of its callers.
#[derive(Debug)]
enum Access {
    /// There is no file of keys. The token is cancelled when there is one.
    Everyone(CancellationToken),
    Keys(HashMap<KeyId, Arc<Key>>, SecretIndex),
}

/// The keys by the SHA-256 of their secrets, each with the token of the secret.
type SecretIndex = HashMap<SecretHash, (Arc<Key>, CancellationToken)>;

impl Access {
    fn new(records: Option<Vec<KeyRecord>>, earlier: Option<&Self>, data_dir: &Path) -> Self {
        let Some(records) = records else {
            return Self::Everyone(CancellationToken::new());
        };
        let earlier_key = |id: &KeyId| match earlier {
            Some(Self::Keys(keys, _)) => keys.get(id).map(Arc::as_ref),
            _ => None,
        };
        let keys = records.into_iter().filter_map(|record| {
            let earlier = earlier_key(&record.id);
            Key::new(record, earlier, data_dir).map(|key| (key.id.clone(), Arc::new(key)))
        });
        let keys: HashMap<KeyId, Arc<Key>> = keys.collect();
        let secrets_of = |key: &Arc<Key>| {
            let key = Arc::clone(key);
            key.secrets.clone().into_iter().map(move |(hash, token)| (hash, (Arc::clone(&key), token)))
        };
        let secrets = keys.values().flat_map(secrets_of).collect();
        Self::Keys(keys, secrets)
    }

    fn tokens(&self) -> Vec<CancellationToken> {
        match self {
            Self::Everyone(token) => vec![token.clone()],
            Self::Keys(keys, _) => {
                let tokens = |key: &Arc<Key>| {
                    let secrets = key.secrets.iter().map(|(_, token)| token.clone());
                    secrets.chain([key.certificate_token.clone()]).collect::<Vec<_>>()
                };
                keys.values().flat_map(tokens).collect()
            }
        }
    }
}

/// Decides who may call. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AccessControl {
    access: watch::Receiver<Arc<Access>>,
    /// Of callers without a key.
    project: Project,
    sessions: Sessions,
    trusted_proxies: Option<Arc<TrustedProxies>>,
}

/// Follows the file of keys.
pub(crate) struct KeyFileWatcher {
    file: KeyFile,
    sender: watch::Sender<Arc<Access>>,
    /// Why the file cannot be used; empty if it can.
    problem: watch::Sender<String>,
    stamp: Option<FileStamp>,
}

/// Why a request is not served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    #[error(
        "no key has the client certificate of the names {0:?}; `millrace keys create --certificate NAME` makes one"
    )]
    UnknownCertificate(Vec<String>),
    #[error("a key is required: send `authorization: Bearer KEY`; `millrace keys create` makes one")]
    Missing,
    #[error("authorization: {0}; expected Bearer KEY, or Basic with the key as the user name")]
    Malformed(String),
    #[error(
        "the key {0} is unknown, was revoked, or has another secret; `millrace keys list` shows all keys"
    )]
    Unknown(KeyId),
    #[error("the key {id} has the scope {scope}; this call needs the scope {needed}")]
    Scope { id: KeyId, scope: Scope, needed: &'static str },
    #[error(
        "the key {id} is for pages of other origins: the request comes from {origin}; add it to the key's origins"
    )]
    Origin { id: KeyId, origin: String },
    #[error("{name} has the role {} in the project {project}; this call needs the role {needed}", role.as_str())]
    Role { name: String, role: Role, project: Project, needed: &'static str },
    #[error(
        "{0} has no role here: no grant of the file of people applies; an administrator of this server can add one"
    )]
    NoRole(String),
    #[error("the key was revoked")]
    Revoked,
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Self {
        let code = match error {
            AccessError::Missing
            | AccessError::UnknownCertificate(_)
            | AccessError::Malformed(_)
            | AccessError::Unknown(_)
            | AccessError::Revoked => ErrorCode::Unauthenticated,
            AccessError::Scope { .. }
            | AccessError::Origin { .. }
            | AccessError::Role { .. }
            | AccessError::NoRole(_) => ErrorCode::Forbidden,
        };
        Self::new(code, error.to_string())
    }
}

impl AccessControl {
    /// Reads the keys of a data folder. `project` is the one of callers without a key.
    pub(crate) fn open(
        file: KeyFile,
        project: Project,
        trusted_proxies: Option<TrustedProxies>,
    ) -> Result<(Self, KeyFileWatcher), KeyFileError> {
        let stamp = FileStamp::of(file.path());
        let records = file.read()?;
        let (sender, access) = watch::channel(Arc::new(Access::new(records, None, file.data_dir())));
        let watcher = KeyFileWatcher { file, sender, problem: watch::Sender::default(), stamp };
        let trusted_proxies = trusted_proxies.map(Arc::new);
        Ok((Self { access, project, sessions: Sessions::default(), trusted_proxies }, watcher))
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn trusted_proxies(&self) -> Option<&TrustedProxies> {
        self.trusted_proxies.as_deref()
    }

    /// All keys, in the order of their ids.
    pub(crate) fn keys(&self) -> Vec<Arc<Key>> {
        let mut keys = match &**self.access.borrow() {
            Access::Everyone(_) => Vec::new(),
            Access::Keys(keys, _) => keys.values().cloned().collect(),
        };
        keys.sort_by_cached_key(|key| key.id.to_string());
        keys
    }

    /// Whether callers need keys.
    pub(crate) fn requires_keys(&self) -> bool {
        matches!(**self.access.borrow(), Access::Keys(..))
    }

    /// Whether pages of this origin may send events with a browser key.
    pub(crate) fn has_browser_origin(&self, origin: &str) -> bool {
        match &**self.access.borrow() {
            Access::Everyone(_) => false,
            Access::Keys(keys, _) => keys.values().any(|key| key.origins.iter().any(|known| known == origin)),
        }
    }

    /// The caller with these credentials. `origin` is the one of the request, if it has any.
    pub(crate) fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        requirement: Requirement,
        origin: Option<&str>,
    ) -> Result<Caller, AccessError> {
        let access = self.access.borrow();
        let (keys, secrets) = match &**access {
            Access::Everyone(token) => {
                let (project, revoked) = (self.project.clone(), token.clone());
                return Ok(Caller { project, key: None, person: None, revoked });
            }
            Access::Keys(keys, secrets) => (keys, secrets),
        };
        // Not ended by this server.
        let unnamed = || {
            let (project, revoked) = (self.project.clone(), CancellationToken::new());
            Caller { project, key: None, person: None, revoked }
        };
        if requirement == Requirement::Open {
            return Ok(unnamed());
        }
        let (key, token) = match credentials {
            Credentials::None => return Err(AccessError::Missing),
            Credentials::Key(presented) => {
                find(secrets, presented).ok_or_else(|| AccessError::Unknown(presented.id.clone()))?
            }
            Credentials::Session(caller) => match (&caller.person, &caller.key) {
                (Some(person), _) => return check_role(person, (*caller).clone(), requirement),
                (None, Some(key)) => (key, caller.revoked.clone()),
                (None, None) => return Err(AccessError::Missing),
            },
            Credentials::Proxy if requirement == Requirement::Read => return Ok(unnamed()),
            Credentials::Proxy => return Err(AccessError::Missing),
            Credentials::Certificate(names) => {
                // A name is one key's at most. A certificate may have names of several: its first counts.
                let key_of = |name| keys.values().find(|key| key.certificates.contains(name));
                let key = names.iter().find_map(key_of);
                let key = key.ok_or_else(|| AccessError::UnknownCertificate(names.to_vec()))?;
                (key, key.certificate_token.clone())
            }
        };
        if !requirement.allows(key.scope) {
            let needed = requirement.scopes();
            return Err(AccessError::Scope { id: key.id.clone(), scope: key.scope, needed });
        }
        if key.scope == Scope::Browser
            && !origin.is_some_and(|origin| key.origins.iter().any(|known| known == origin))
        {
            let origin = origin.map_or_else(|| "no origin".to_owned(), |origin| format!("{origin:?}"));
            return Err(AccessError::Origin { id: key.id.clone(), origin });
        }
        Ok(Caller { project: key.project.clone(), key: Some(Arc::clone(key)), person: None, revoked: token })
    }
}

/// The role in the current project decides.
fn check_role(person: &Person, caller: Caller, requirement: Requirement) -> Result<Caller, AccessError> {
    let name = || person.name.clone();
    let role = person.role_in(&caller.project).ok_or_else(|| AccessError::NoRole(name()))?;
    if !requirement.allows_role(role) {
        let project = caller.project.clone();
        return Err(AccessError::Role { name: name(), role, project, needed: requirement.roles() });
    }
    Ok(caller)
}

/// The key with the id and the secret of the presented one. The search is by the secret's hash, not by the id: an unknown id
/// and a wrong secret are then the same, a hash that is not there, and take the same time.
fn find<'k>(secrets: &'k SecretIndex, presented: &PresentedKey) -> Option<(&'k Arc<Key>, CancellationToken)> {
    let (key, token) = secrets.get(&presented.hash)?;
    (key.id == presented.id && key.scope == presented.scope).then(|| (key, token.clone()))
}

impl KeyFileWatcher {
    /// Why the file cannot be used now; empty if it can.
    pub(crate) fn problem(&self) -> watch::Receiver<String> {
        self.problem.subscribe()
    }

    /// Follows the file until `stop`. A file that cannot be read, or is gone, leaves the keys as they are.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let (file, stamp) = (self.file.clone(), self.stamp);
            let read = run_blocking(move || {
                // Before reading: a file that changes meanwhile is read again.
                let current = FileStamp::of(file.path());
                (current != stamp).then(|| (current, file.read()))
            });
            if let Some((stamp, read)) = read.await {
                self.stamp = stamp;
                self.adopt(read);
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(**self.sender.borrow(), Access::Everyone(_))
    }

    fn adopt(&self, read: Result<Option<Vec<KeyRecord>>, KeyFileError>) {
        let problem = match read {
            Ok(Some(records)) => {
                let earlier = Arc::clone(&self.sender.borrow());
                let access = Arc::new(Access::new(Some(records), Some(&earlier), self.file.data_dir()));
                self.sender.send_replace(Arc::clone(&access));
                end_revoked(&earlier, &access);
                tracing::info!(path = %self.file.path().display(), "keys reloaded");
                String::new()
            }
            // A server that has required keys goes on to require them.
            Ok(None) if self.is_open() => String::new(),
            Ok(None) => format!(
                "{} is gone; the keys stay as they were until the server stops; restore the file",
                self.file.path().display()
            ),
            Err(error) => format!("{error}; the keys stay as they were; correct the file"),
        };
        if !problem.is_empty() {
            tracing::error!("keys: {problem}");
        }
        self.problem.send_replace(problem);
    }
}

/// Cancels the tokens of secrets that are no longer valid.
fn end_revoked(earlier: &Access, now: &Access) {
    let kept = now.tokens();
    for token in earlier.tokens() {
        if !kept.contains(&token) {
            token.cancel();
        }
    }
}
