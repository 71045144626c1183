//! The engine's connections. A statement has one to itself while it runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::library::{Connection, Library, LibraryError, Params};

/// How many statements run at the same time. More wait for their turn: the engine runs each on several threads already.
const CONNECTIONS: usize = 16;

/// What a statement wants of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) database: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) readonly: u8,
}

/// The connections that nobody uses now.
pub(super) struct Pool {
    library: Arc<Library>,
    folder: PathBuf,
    turns: Arc<Semaphore>,
    /// Those that may write, and those that are readonly=2, which can't be undone.
    idle: [Mutex<Vec<Connection>>; 2],
    /// Those that are readonly=1, the one used last behind the others. Their settings can't be changed any more, so each
    /// serves those who wish the same: panels do.
    fixed: Mutex<Vec<(Wishes, Connection)>>,
}

impl Pool {
    /// Opens the first connection, which starts the engine.
    pub(super) fn open(library: Arc<Library>, folder: PathBuf) -> Result<Self, LibraryError> {
        let first = library.connect(&folder)?;
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        Ok(Self {
            library,
            folder,
            turns,
            idle: [Mutex::new(vec![first]), Mutex::default()],
            fixed: Mutex::default(),
        })
    }

    /// A place among the running statements.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.turns).acquire_owned().await.expect("the pool never closes its turns")
    }

    /// Waits until no statement runs, lets none begin, and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(CONNECTIONS).expect("it is a small number");
        let turns = self.turns.acquire_many(all).await.expect("the pool never closes its turns");
        turns.forget();
        for shelf in &self.idle {
            shelf.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.fixed().clear();
    }

    fn fixed(&self) -> MutexGuard<'_, Vec<(Wishes, Connection)>> {
        self.fixed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a connection that has the wished database and settings. The connection is given back as it was;
    /// where that cannot be, it is closed. Blocks.
    pub(super) fn with<T>(
        &self,
        wishes: &Wishes,
        work: impl FnOnce(&mut Connection) -> T,
    ) -> Result<T, String> {
        if wishes.readonly == 1 {
            return self.with_fixed(wishes, work);
        }
        let shelf = &self.idle[usize::from(wishes.readonly > 0)];
        let idle = shelf.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect(wishes.readonly > 0)?,
        };
        wishes.fulfil(&mut connection)?;
        let done = work(&mut connection);
        if reset(&mut connection, &wishes.settings).is_ok() {
            shelf.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(done)
    }

    fn with_fixed<T>(&self, wishes: &Wishes, work: impl FnOnce(&mut Connection) -> T) -> Result<T, String> {
        let idle = {
            let mut fixed = self.fixed();
            let at = fixed.iter().rposition(|(known, _)| known == wishes);
            at.map(|at| fixed.remove(at).1)
        };
        let mut connection = match idle {
            Some(mut connection) => {
                // A statement may have chosen another one.
                run(&mut connection, &wishes.using())?;
                connection
            }
            None => {
                let mut connection = self.connect(false)?;
                wishes.fulfil(&mut connection)?;
                run(&mut connection, "SET readonly = 1")?;
                connection
            }
        };
        let done = work(&mut connection);
        let mut fixed = self.fixed();
        if fixed.len() == CONNECTIONS {
            fixed.remove(0);
        }
        fixed.push((wishes.clone(), connection));
        Ok(done)
    }

    fn connect(&self, readonly: bool) -> Result<Connection, String> {
        let mut connection = self.library.connect(&self.folder).map_err(|error| error.to_string())?;
        if readonly {
            run(&mut connection, "SET readonly = 2")?;
        }
        Ok(connection)
    }
}

impl Wishes {
    fn using(&self) -> String {
        format!("USE {}", quoted(self.database.as_deref().unwrap_or("default"), '`'))
    }

    /// A refused setting leaves the connection in doubt, so it is dropped with the error.
    fn fulfil(&self, connection: &mut Connection) -> Result<(), String> {
        run(connection, &self.using())?;
        if self.settings.is_empty() {
            return Ok(());
        }
        let list: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} = {}", quoted(value, '\''))).collect();
        run(connection, &format!("SET {}", list.join(", ")))
    }
}

fn reset(connection: &mut Connection, settings: &[(String, String)]) -> Result<(), String> {
    if settings.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = settings.iter().map(|(name, _)| format!("{name} = DEFAULT")).collect();
    run(connection, &format!("SET {}", list.join(", ")))
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
    use super::quoted;

    #[test]
    fn literals_keep_what_they_quote() {
        assert_eq!(quoted("a'b\\c", '\''), "'a\\'b\\\\c'");
        assert_eq!(quoted("a`b'", '`'), "`a\\`b'`");
    }
}
