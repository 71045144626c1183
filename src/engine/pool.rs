//! The engine's connections and permits. A connection runs one statement at a time.
//!
//! The state that a statement leaves on its connection (settings, current database, temporary tables) must not affect the
//! statements of other callers. So each [`Workload`] has its own connections:
//!
//! - Those of the writer are reused. Its statements do not change state; the pool changes the settings that differ.
//! - Those of panels and of Explore are `readonly = 1`, which allows no change, and are reused for the same settings.
//! - An ad hoc statement gets a new connection.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::accounts::Workload;
use super::error::EngineError;
use super::library::{Connection, Library, LibraryError, StatementParams};

/// Read-only connections of a workload that are kept for statements with the same settings.
const MAX_IDLE_READONLY: usize = 8;

/// Database and settings that a statement needs on its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SessionSettings {
    /// `None` for the database "default".
    pub(super) database: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    /// See [`super::request::HttpRequest::readonly`].
    pub(super) readonly: u8,
}

/// Permits and idle connections.
pub(super) struct ConnectionPool {
    library: Arc<Library>,
    data_dir: PathBuf,
    /// Arguments for the first connection, which starts the engine.
    arguments: Vec<String>,
    permits: [Arc<Semaphore>; Workload::ALL.len()],
    /// For the cancellation of statements, one at a time.
    cancel_permit: Arc<Semaphore>,
    /// Connections of the writer and the probe, with their current state.
    idle_writer: Mutex<Vec<(SessionSettings, Connection)>>,
    /// Connections of panels, the most recently used last.
    idle_panels: Mutex<Vec<(SessionSettings, Connection)>>,
    /// The same of Explore.
    idle_explore: Mutex<Vec<(SessionSettings, Connection)>>,
    /// The engine stops when its last connection closes, so this one stays open.
    keep_alive: Mutex<Option<Connection>>,
}

impl ConnectionPool {
    /// Starts the engine.
    pub(super) fn open(
        library: Arc<Library>,
        data_dir: PathBuf,
        arguments: Vec<String>,
    ) -> Result<Self, LibraryError> {
        let keep_alive = library.connect(&data_dir, &arguments)?;
        Ok(Self {
            library,
            data_dir,
            arguments,
            permits: Workload::ALL.map(|workload| Arc::new(Semaphore::new(workload.concurrency_limit()))),
            cancel_permit: Arc::new(Semaphore::new(1)),
            idle_writer: Mutex::default(),
            idle_panels: Mutex::default(),
            idle_explore: Mutex::default(),
            keep_alive: Mutex::new(Some(keep_alive)),
        })
    }

    /// Waits for a permit to run a statement.
    pub(super) async fn acquire_permit(&self, workload: Workload) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits[workload as usize]);
        permits.acquire_owned().await.expect("the pool never closes its permits")
    }

    /// Waits for the permit to cancel a statement.
    pub(super) async fn acquire_cancel_permit(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.cancel_permit);
        permit.acquire_owned().await.expect("the pool never closes its permits")
    }

    /// Takes all permits, which waits for running statements and blocks new ones, and then closes the connections.
    pub(super) async fn close(&self) {
        for workload in Workload::ALL {
            let all = u32::try_from(workload.concurrency_limit()).expect("limits are small");
            let permits = self.permits[workload as usize].acquire_many(all).await;
            permits.expect("the pool never closes its permits").forget();
        }
        self.cancel_permit.acquire().await.expect("the pool never closes its permits").forget();
        lock(&self.idle_writer).clear();
        lock(&self.idle_panels).clear();
        lock(&self.idle_explore).clear();
        lock(&self.keep_alive).take();
    }

    /// Runs `work` on a connection with this database and these settings. Blocks.
    pub(super) fn with_connection<T>(
        &self,
        workload: Workload,
        session: &SessionSettings,
        work: impl FnOnce(&mut Connection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match workload {
            Workload::Writer | Workload::Probe if session.readonly == 0 => {
                self.with_writer_connection(session, work)
            }
            Workload::Panels | Workload::Explore => {
                let session = SessionSettings { readonly: 1, ..session.clone() };
                self.with_readonly_connection(workload, &session, work)
            }
            Workload::Writer | Workload::Probe | Workload::AdHoc => {
                work(&mut self.connect(workload, session)?)
            }
        }
    }

    /// A connection whose statement failed is closed, since its state is unknown.
    fn with_writer_connection<T>(
        &self,
        session: &SessionSettings,
        work: impl FnOnce(&mut Connection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let idle = {
            let mut idle = lock(&self.idle_writer);
            // The connection that needs the fewest changes, so that inserts reuse those of inserts.
            let closest = (0..idle.len()).min_by_key(|at| session.statements_from(&idle[*at].0).len());
            closest.map(|closest| idle.remove(closest))
        };
        let mut connection = match idle {
            Some((previous, mut connection)) => {
                for statement in session.statements_from(&previous) {
                    execute(&mut connection, &statement)?;
                }
                connection
            }
            None => self.connect(Workload::Writer, session)?,
        };
        let result = work(&mut connection)?;
        lock(&self.idle_writer).push((session.clone(), connection));
        Ok(result)
    }

    fn with_readonly_connection<T>(
        &self,
        workload: Workload,
        session: &SessionSettings,
        work: impl FnOnce(&mut Connection) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let idle_connections = match workload {
            Workload::Explore => &self.idle_explore,
            _ => &self.idle_panels,
        };
        let idle = {
            let mut idle = lock(idle_connections);
            let at = idle.iter().rposition(|(known, _)| known == session);
            at.map(|at| idle.remove(at).1)
        };
        let mut connection = match idle {
            Some(mut connection) => {
                // `readonly = 1` allows USE, so the last statement may have changed the database.
                execute(&mut connection, &session.use_statement())?;
                connection
            }
            None => self.connect(workload, session)?,
        };
        // A connection whose statement failed is closed: it would keep a cancelled statement until its next one.
        let result = work(&mut connection)?;
        let mut idle = lock(idle_connections);
        if idle.len() == MAX_IDLE_READONLY {
            idle.remove(0);
        }
        idle.push((session.clone(), connection));
        Ok(result)
    }

    /// Opens a connection and applies the workload's priority and the session's settings.
    fn connect(&self, workload: Workload, session: &SessionSettings) -> Result<Connection, LibraryError> {
        let mut connection = self.library.connect(&self.data_dir, &self.arguments)?;
        if let Some(statement) = workload.priority_statement() {
            execute(&mut connection, &statement)?;
        }
        for statement in session.statements_from(&SessionSettings::default()) {
            execute(&mut connection, &statement)?;
        }
        if matches!(workload, Workload::Panels | Workload::Explore) {
            let mark = Uuid::new_v4().to_string();
            execute(&mut connection, &format!("SET log_comment = '{mark}'"))?;
            connection.mark = Some(mark);
        }
        if session.readonly > 0 {
            execute(&mut connection, &format!("SET readonly = {}", session.readonly))?;
        }
        Ok(connection)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionSettings {
    fn database(&self) -> &str {
        self.database.as_deref().unwrap_or("default")
    }

    fn use_statement(&self) -> String {
        format!("USE {}", quote_literal(self.database(), '`'))
    }

    /// Statements that change a connection from `previous` to these settings.
    fn statements_from(&self, previous: &Self) -> Vec<String> {
        let mut statements = Vec::new();
        if self.database() != previous.database() {
            statements.push(self.use_statement());
        }
        let unchanged = |(name, value): &&(String, String)| {
            previous.settings.iter().any(|(other, old_value)| (other, old_value) == (name, value))
        };
        let removed = |(name, _): &&(String, String)| !self.settings.iter().any(|(other, _)| other == name);
        let set = self.settings.iter().filter(|setting| !unchanged(setting));
        let set = set.map(|(name, value)| format!("{name} = {}", quote_literal(value, '\'')));
        let removed = previous.settings.iter().filter(removed).map(|(name, _)| format!("{name} = DEFAULT"));
        let assignments: Vec<String> = set.chain(removed).collect();
        if !assignments.is_empty() {
            statements.push(format!("SET {}", assignments.join(", ")));
        }
        statements
    }
}

fn execute(connection: &mut Connection, statement: &str) -> Result<(), LibraryError> {
    connection.query(statement, "Null", &StatementParams::new()).map(|_| ())
}

/// Quotes and escapes the text as ClickHouse's SQL requires.
fn quote_literal(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(database: Option<&str>, settings: &[(&str, &str)]) -> SessionSettings {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SessionSettings { database: database.map(str::to_owned), settings: settings.collect(), readonly: 0 }
    }

    #[test]
    fn quoting_escapes_quotes_and_backslashes() {
        assert_eq!(quote_literal("a'b\\c", '\''), "'a\\'b\\\\c'");
        assert_eq!(quote_literal("a`b'", '`'), "`a\\`b'`");
    }

    #[test]
    fn only_changed_settings_are_set() {
        let first = session(Some("millrace"), &[("async_insert", "0"), ("token", "1")]);
        assert_eq!(first.statements_from(&first), Vec::<String>::new());
        assert_eq!(
            first.statements_from(&SessionSettings::default()),
            ["USE `millrace`", "SET async_insert = '0', token = '1'"]
        );
        let second = session(Some("millrace"), &[("async_insert", "0"), ("token", "2")]);
        assert_eq!(second.statements_from(&first), ["SET token = '2'"]);
        let other = session(None, &[("async_insert", "1")]);
        assert_eq!(
            other.statements_from(&first),
            ["USE `default`", "SET async_insert = '1', token = DEFAULT"]
        );
    }
}
