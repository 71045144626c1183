//! A ClickHouse behind several addresses: which of its replicas is in use.
//!
//! All statements go to one replica: panels then read what was inserted. It stays in use until it fails; then the first one of the
//! others that responds takes its place. A batch whose insert was interrupted is sent to the new replica again: replicated tables
//! recognise it by its token. So all addresses have to lead to the same data; others are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::client::uncompressed_client;
use super::{ClickHouseError, Endpoint, ErrorKind};
use crate::config::without_credentials;

/// How often the replica in use is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the others are asked: every so many probes.
const OTHERS_EVERY: u32 = 5;
/// A replica that does not respond within this time has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// A replica that responds late or with an error is replaced after so many probes in a row, one that refuses connections at once.
const MAX_FAILURES: u32 = 3;

const PROBE: &str = include_str!("../../queries/health/replica.sql");

/// How a user of ClickHouse proves who it is. Files are read again every second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A user with a password.
    Password { user: String, password: String },
    /// A user with a file that has the password.
    PasswordFile { user: String, file: PathBuf },
    /// A file with a JSON Web Token, which names the user.
    TokenFile(PathBuf),
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read: {error}", file.display())]
pub(crate) struct CredentialsError {
    file: PathBuf,
    error: std::io::Error,
}

impl Credentials {
    fn endpoint(&self, url: &str) -> Result<Endpoint, CredentialsError> {
        let read = |file: &Path| match std::fs::read_to_string(file) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) => Err(CredentialsError { file: file.to_owned(), error }),
        };
        let url = url.to_owned();
        Ok(match self {
            Self::Password { user, password } => {
                Endpoint { url, user: user.clone(), password: password.clone(), access_token: String::new() }
            }
            Self::PasswordFile { user, file } => {
                Endpoint { url, user: user.clone(), password: read(file)?, access_token: String::new() }
            }
            Self::TokenFile(file) => Endpoint { url, access_token: read(file)?, ..Endpoint::default() },
        })
    }
}

/// What is known of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaState {
    pub address: String,
    pub is_used: bool,
    /// Empty before its first response.
    pub version: String,
    /// Why it cannot be used; empty if it can.
    pub error: String,
}

#[derive(Clone, Debug, Row, Deserialize)]
struct ProbeRow {
    version: String,
    server_id: String,
    /// Whether the table of events exists, and is a replicated one.
    is_replicated: bool,
    /// Tables that accept no inserts, because Keeper does not respond.
    readonly_tables: u64,
}

/// The replicas of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    states: watch::Receiver<Vec<ReplicaState>>,
    insert_failed: Arc<Notify>,
}

impl Replicas {
    /// The latest states, in the order of the addresses.
    pub(crate) fn states(&self) -> Vec<ReplicaState> {
        self.states.borrow().clone()
    }

    /// Whether the replica in use responds.
    pub(crate) fn is_usable(&self) -> bool {
        self.states.borrow().iter().any(|state| state.is_used && state.error.is_empty())
    }

    /// Notified when an insert got no response: the replica in use is asked at once.
    pub(crate) fn insert_failed(&self) -> Arc<Notify> {
        Arc::clone(&self.insert_failed)
    }
}

/// Watches the replicas, and chooses.
pub(crate) struct ReplicaTask {
    database: String,
    addresses: Arc<[String]>,
    /// Whose endpoints follow the choice. The first one asks the replicas.
    users: Vec<(Credentials, watch::Sender<Option<Endpoint>>)>,
    client: Client,
    /// Whether a single replica is asked too: a batch goes to another shard if it is away.
    of_cluster: bool,
    /// Index of the replica in use.
    used: usize,
    /// The server of the first replica that was in use.
    first_server: Option<String>,
    failures: u32,
    /// Why credentials cannot be read now; empty if they can.
    credentials_error: String,
    states: watch::Sender<Vec<ReplicaState>>,
    insert_failed: Arc<Notify>,
}

impl ReplicaTask {
    /// The first address is in use at the beginning.
    ///
    /// # Errors
    /// When a file of credentials cannot be read.
    pub(crate) fn new(
        database: &str,
        addresses: Arc<[String]>,
        credentials: Vec<Credentials>,
        of_cluster: bool,
    ) -> Result<(Self, Replicas), CredentialsError> {
        let mut users = Vec::new();
        for credentials in credentials {
            let (sender, _) = watch::channel(Some(credentials.endpoint(&addresses[0])?));
            users.push((credentials, sender));
        }
        let mut first_states: Vec<_> = addresses
            .iter()
            .map(|address| ReplicaState { address: without_credentials(address), ..ReplicaState::default() })
            .collect();
        first_states[0].is_used = true;
        let (states, state_receiver) = watch::channel(first_states);
        let insert_failed = Arc::new(Notify::new());
        let replicas = Replicas { states: state_receiver, insert_failed: Arc::clone(&insert_failed) };
        let task = Self {
            database: database.to_owned(),
            addresses,
            users,
            client: uncompressed_client(),
            of_cluster,
            used: 0,
            first_server: None,
            failures: 0,
            credentials_error: String::new(),
            states,
            insert_failed,
        };
        Ok((task, replicas))
    }

    /// Where the statements of the users go, in their order.
    pub(crate) fn endpoints(&self) -> Vec<watch::Receiver<Option<Endpoint>>> {
        self.users.iter().map(|(_, sender)| sender.subscribe()).collect()
    }

    /// Watches them until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PROBE_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let insert_failed = Arc::clone(&self.insert_failed);
        for turn in 0_u32.. {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                () = insert_failed.notified() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.turn(turn % OTHERS_EVERY == 0) => {}
            }
        }
    }

    async fn turn(&mut self, ask_others: bool) {
        self.publish();
        if self.addresses.len() == 1 && !self.of_cluster {
            // There is no choice; health asks by itself.
            return;
        }
        let own = self.ask(self.used).await;
        let has_failed = match &own {
            Ok(row) => {
                self.failures = 0;
                self.first_server.get_or_insert_with(|| row.server_id.clone());
                false
            }
            Err((kind, _)) => {
                self.failures += 1;
                *kind == Failure::Refused || self.failures >= MAX_FAILURES
            }
        };
        self.record(self.used, own.as_ref().map_err(|(_, error)| error.as_str()));
        if !has_failed && !ask_others {
            return;
        }
        let others: Vec<usize> = (0..self.addresses.len()).filter(|index| *index != self.used).collect();
        let answers = futures_util::future::join_all(others.iter().map(|index| self.ask(*index))).await;
        let mut next = None;
        for (index, answer) in others.into_iter().zip(answers) {
            let answer = answer.map_err(|(_, error)| error).and_then(|row| self.check_same_data(row));
            self.record(index, answer.as_ref().map_err(String::as_str));
            if answer.is_ok() && next.is_none() {
                next = Some(index);
            }
        }
        if let (true, Some(next)) = (has_failed, next) {
            let reason = own.err().map(|(_, error)| error).unwrap_or_default();
            let name = |index: usize| without_credentials(&self.addresses[index]);
            tracing::warn!(failed = name(self.used), %reason, now = name(next), "another replica of ClickHouse is used");
            (self.used, self.failures) = (next, 0);
            self.publish();
        }
    }

    /// Another server has the same data only if its tables are replicated.
    fn check_same_data(&self, row: ProbeRow) -> Result<ProbeRow, String> {
        match &self.first_server {
            Some(first) if *first != row.server_id && !row.is_replicated => Err(format!(
                "this is another server than {}, and its table {}.events is not replicated: its data are other data. Replicate \
                 the tables, or name one address",
                without_credentials(&self.addresses[self.used]),
                self.database
            )),
            _ => Ok(row),
        }
    }

    /// Sends the endpoints of the replica in use, if they or their credentials have changed.
    fn publish(&mut self) {
        let mut unreadable = String::new();
        for (credentials, sender) in &self.users {
            match credentials.endpoint(&self.addresses[self.used]) {
                Ok(endpoint) => {
                    sender.send_if_modified(|current| {
                        let is_new = current.as_ref() != Some(&endpoint);
                        if is_new {
                            *current = Some(endpoint.clone());
                        }
                        is_new
                    });
                }
                // The one before is kept: it may still be valid.
                Err(error) => unreadable = error.to_string(),
            }
        }
        if !unreadable.is_empty() && unreadable != self.credentials_error {
            tracing::warn!(error = unreadable, "credentials of ClickHouse cannot be read again");
        }
        self.credentials_error = unreadable;
        self.states.send_if_modified(|states| {
            let mut is_new = false;
            for (index, state) in states.iter_mut().enumerate() {
                let is_used = index == self.used;
                is_new |= state.is_used != is_used;
                state.is_used = is_used;
            }
            is_new
        });
    }

    fn record(&self, index: usize, answer: Result<&ProbeRow, &str>) {
        self.states.send_if_modified(|states| {
            let state = &mut states[index];
            let before = state.clone();
            match answer {
                Ok(row) => {
                    state.version.clone_from(&row.version);
                    state.error.clear();
                }
                Err(error) => error.clone_into(&mut state.error),
            }
            before != *state
        });
    }

    async fn ask(&self, index: usize) -> Result<ProbeRow, (Failure, String)> {
        let (credentials, _) = &self.users[0];
        let endpoint = credentials.endpoint(&self.addresses[index]);
        let endpoint = endpoint.map_err(|error| (Failure::Other, error.to_string()))?;
        let probe = endpoint.client(&self.client).query_raw(PROBE).param("database", &self.database);
        let row = match tokio::time::timeout(PROBE_TIMEOUT, probe.fetch_one::<ProbeRow>()).await {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => {
                let error = ClickHouseError::from(error);
                let is_refused = error.kind == ErrorKind::Unreachable;
                return Err((if is_refused { Failure::Refused } else { Failure::Other }, error.message));
            }
            Err(_) => {
                return Err((Failure::Other, format!("no response within {} s", PROBE_TIMEOUT.as_secs())));
            }
        };
        match row.readonly_tables {
            0 => Ok(row),
            tables => Err((
                Failure::Other,
                format!("{tables} of its tables are read-only: it has no connection to Keeper"),
            )),
        }
    }
}

/// Why a replica cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There is no connection.
    Refused,
    /// It may be temporary.
    Other,
}
