//! The engine's connections. A statement has one to itself while it runs.
//!
//! What a statement leaves on its connection (settings, the current database, temporary tables) must never reach another
//! caller's. So each [`Class`] has its own kind:
//!
//! - the writer's are kept with the settings that they have, since its statements change nothing themselves;
//! - those of panels are `readonly = 1`, where nothing can be changed, and serve panels with the same settings;
//! - people get a new one for each statement.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::account::Class;
use super::library::{Connection, Library, LibraryError, Params};

/// What a statement wants of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) database: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) readonly: u8,
}

/// The connections that nobody uses now, with what was set on each.
pub(super) struct Pool {
    library: Arc<Library>,
    folder: PathBuf,
    /// What the engine is started with.
    arguments: Vec<String>,
    permits: [Arc<Semaphore>; Class::ALL.len()],
    /// The writer's and the probe's.
    writer: Mutex<Vec<(Wishes, Connection)>>,
    /// Those of panels, the one used last behind the others.
    panels: Mutex<Vec<(Wishes, Connection)>>,
    /// Held so that the engine runs while no other is open.
    first: Mutex<Option<Connection>>,
}

impl Pool {
    /// Opens the first connection, which starts the engine.
    pub(super) fn open(
        library: Arc<Library>,
        folder: PathBuf,
        arguments: Vec<String>,
    ) -> Result<Self, LibraryError> {
        let first = library.connect(&folder, &arguments)?;
        Ok(Self {
            library,
            folder,
            arguments,
            permits: Class::ALL.map(|class| Arc::new(Semaphore::new(class.permits()))),
            writer: Mutex::default(),
            panels: Mutex::default(),
            first: Mutex::new(Some(first)),
        })
    }

    /// A place among the running statements of a class.
    pub(super) async fn permit(&self, class: Class) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits[class as usize]);
        permits.acquire_owned().await.expect("the pool never closes its permits")
    }

    /// Waits until no statement runs, lets none begin, and closes the connections.
    pub(super) async fn close(&self) {
        for class in Class::ALL {
            let all = u32::try_from(class.permits()).expect("it is a small number");
            let permits = self.permits[class as usize].acquire_many(all).await;
            permits.expect("the pool never closes its permits").forget();
        }
        locked(&self.writer).clear();
        locked(&self.panels).clear();
        locked(&self.first).take();
    }

    /// Runs `work` on a connection that has the wished database and settings. Blocks.
    pub(super) fn with<T>(
        &self,
        class: Class,
        wishes: &Wishes,
        work: impl FnOnce(&mut Connection) -> Result<T, String>,
    ) -> Result<T, String> {
        match class {
            Class::Writer | Class::Probe if wishes.readonly == 0 => self.with_writer(wishes, work),
            Class::Panels => self.with_panels(&Wishes { readonly: 1, ..wishes.clone() }, work),
            Class::Writer | Class::Probe | Class::People => work(&mut self.connect(class, wishes)?),
        }
    }

    /// A connection whose statement failed is closed: who knows what state it is in.
    fn with_writer<T>(
        &self,
        wishes: &Wishes,
        work: impl FnOnce(&mut Connection) -> Result<T, String>,
    ) -> Result<T, String> {
        let idle = {
            let mut idle = locked(&self.writer);
            // The one that needs the fewest changes: inserts get those of inserts.
            let best = (0..idle.len()).min_by_key(|at| wishes.changes(&idle[*at].0).len());
            best.map(|best| idle.remove(best))
        };
        let mut connection = match idle {
            Some((before, mut connection)) => {
                for statement in wishes.changes(&before) {
                    run(&mut connection, &statement)?;
                }
                connection
            }
            None => self.connect(Class::Writer, wishes)?,
        };
        let done = work(&mut connection)?;
        locked(&self.writer).push((wishes.clone(), connection));
        Ok(done)
    }

    fn with_panels<T>(
        &self,
        wishes: &Wishes,
        work: impl FnOnce(&mut Connection) -> Result<T, String>,
    ) -> Result<T, String> {
        let idle = {
            let mut idle = locked(&self.panels);
            let at = idle.iter().rposition(|(known, _)| known == wishes);
            at.map(|at| idle.remove(at).1)
        };
        let mut connection = match idle {
            Some(mut connection) => {
                // A statement may have chosen another one.
                run(&mut connection, &wishes.using())?;
                connection
            }
            None => self.connect(Class::Panels, wishes)?,
        };
        let done = work(&mut connection);
        let mut idle = locked(&self.panels);
        if idle.len() == Class::Panels.permits() {
            idle.remove(0);
        }
        idle.push((wishes.clone(), connection));
        done
    }

    /// A new connection.
    fn connect(&self, class: Class, wishes: &Wishes) -> Result<Connection, String> {
        let opened = self.library.connect(&self.folder, &self.arguments);
        let mut connection = opened.map_err(|error| error.to_string())?;
        if let Some(statement) = class.priority() {
            run(&mut connection, &statement)?;
        }
        for statement in wishes.changes(&Wishes::default()) {
            run(&mut connection, &statement)?;
        }
        if wishes.readonly > 0 {
            run(&mut connection, &format!("SET readonly = {}", wishes.readonly))?;
        }
        Ok(connection)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wishes {
    fn database(&self) -> &str {
        self.database.as_deref().unwrap_or("default")
    }

    fn using(&self) -> String {
        format!("USE {}", quoted(self.database(), '`'))
    }

    /// The statements that bring a connection from what was wished before to what is wished now.
    fn changes(&self, before: &Self) -> Vec<String> {
        let mut statements = Vec::new();
        if self.database() != before.database() {
            statements.push(self.using());
        }
        let kept = |(name, value): &&(String, String)| {
            before.settings.iter().any(|(other, then)| (other, then) == (name, value))
        };
        let gone = |(name, _): &&(String, String)| !self.settings.iter().any(|(other, _)| other == name);
        let set = self.settings.iter().filter(|setting| !kept(setting));
        let set = set.map(|(name, value)| format!("{name} = {}", quoted(value, '\'')));
        let gone = before.settings.iter().filter(gone).map(|(name, _)| format!("{name} = DEFAULT"));
        let list: Vec<String> = set.chain(gone).collect();
        if !list.is_empty() {
            statements.push(format!("SET {}", list.join(", ")));
        }
        statements
    }
}

fn run(connection: &mut Connection, statement: &str) -> Result<(), String> {
    connection.query(statement, "Null", &Params::new()).map(|_| ())
}

/// The text as a literal of ClickHouse's SQL.
fn quoted(text: &str, quote: char) -> String {
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

    fn wishes(database: Option<&str>, settings: &[(&str, &str)]) -> Wishes {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Wishes { database: database.map(str::to_owned), settings: settings.collect(), readonly: 0 }
    }

    #[test]
    fn literals_keep_what_they_quote() {
        assert_eq!(quoted("a'b\\c", '\''), "'a\\'b\\\\c'");
        assert_eq!(quoted("a`b'", '`'), "`a\\`b'`");
    }

    #[test]
    fn only_what_differs_is_changed() {
        let first = wishes(Some("millrace"), &[("async_insert", "0"), ("token", "1")]);
        assert_eq!(first.changes(&first), Vec::<String>::new());
        assert_eq!(
            first.changes(&Wishes::default()),
            ["USE `millrace`", "SET async_insert = '0', token = '1'"]
        );
        let second = wishes(Some("millrace"), &[("async_insert", "0"), ("token", "2")]);
        assert_eq!(second.changes(&first), ["SET token = '2'"]);
        let other = wishes(None, &[("async_insert", "1")]);
        assert_eq!(other.changes(&first), ["USE `default`", "SET async_insert = '1', token = DEFAULT"]);
    }
}
