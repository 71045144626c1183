//! The declarations that a data folder works with.
//!
//! The operator edits a file of declarations; `millrace properties apply` makes it effective. Until then the server works
//! with the declarations that were applied last, whatever the file says: the columns of `events` and the rows of the rollup
//! have to fit them.
//!
//! | file in the data folder | |
//! | --- | --- |
//! | `properties.toml` | the applied declarations |
//! | `properties.pending.toml` | declarations that a running server is to adopt; it renames the file to `properties.toml` when every later event is encoded with them |
//! | `properties.rebuild` | the rollup has not been rebuilt since the declarations changed |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{BUILT_IN, InvalidProperties, Properties};
use crate::atomic_file;
use crate::blocking::run_blocking;

/// How often a running server looks for pending declarations.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Why declarations cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PropertiesError {
    /// The file cannot be read or written. The message names it.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The file's contents are wrong.
    #[error("{}: {error}", path.display())]
    Invalid { path: PathBuf, error: InvalidProperties },
}

/// A text of declarations and what it declares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declarations {
    text: String,
    pub(crate) properties: Properties,
}

impl Declarations {
    /// Reads a file; the built-in declarations without one.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, PropertiesError> {
        let Some(path) = path else {
            return Ok(Self { text: BUILT_IN.to_owned(), properties: Properties::built_in() });
        };
        let text = fs::read_to_string(path).map_err(|error| atomic_file::with_path(path, error))?;
        let properties = Properties::parse(&text)
            .map_err(|error| PropertiesError::Invalid { path: path.to_owned(), error })?;
        Ok(Self { text, properties })
    }

    fn read_if_exists(path: &Path) -> Result<Option<Self>, PropertiesError> {
        match Self::read(Some(path)) {
            Ok(declarations) => Ok(Some(declarations)),
            Err(PropertiesError::File(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The declarations of a data folder.
#[derive(Clone, Debug)]
pub(crate) struct AppliedProperties {
    applied: PathBuf,
    pending: PathBuf,
    rebuild: PathBuf,
}

impl AppliedProperties {
    /// Of this data folder.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self {
            applied: data_dir.join("properties.toml"),
            pending: data_dir.join("properties.pending.toml"),
            rebuild: data_dir.join("properties.rebuild"),
        }
    }

    /// The applied declarations; `None` in a folder without any. Pending ones count: an `apply` was under way.
    pub(crate) fn read(&self) -> Result<Option<Declarations>, PropertiesError> {
        match Declarations::read_if_exists(&self.pending)? {
            Some(pending) => Ok(Some(pending)),
            None => Declarations::read_if_exists(&self.applied),
        }
    }

    /// Makes these the applied declarations. Only without a running server.
    pub(crate) fn write(&self, declarations: &Declarations) -> Result<(), PropertiesError> {
        atomic_file::replace(&self.applied, [&declarations.text])?;
        remove_if_exists(&self.pending)?;
        Ok(())
    }

    /// The declarations that the server works with: the applied ones, or `declared` in a folder without any.
    pub(crate) fn adopt(&self, declared: &Declarations) -> Result<Properties, PropertiesError> {
        let applied = match self.read()? {
            Some(applied) => applied,
            None => declared.clone(),
        };
        self.write(&applied)?;
        if applied.properties != declared.properties {
            tracing::warn!(
                "the declared properties differ from those of the data folder, which are used; run `millrace properties \
                 apply`"
            );
        }
        if self.needs_rebuild() {
            tracing::warn!(
                "the rollup does not fit the declared properties yet; run `millrace properties apply` again"
            );
        }
        Ok(applied.properties)
    }

    /// Asks a running server to adopt declarations.
    pub(crate) fn request(&self, declarations: &Declarations) -> Result<(), PropertiesError> {
        Ok(atomic_file::replace(&self.pending, [&declarations.text])?)
    }

    /// Whether a running server has not adopted the requested declarations yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.exists()
    }

    /// Takes back a request that no server has answered.
    pub(crate) fn withdraw(&self) -> Result<(), PropertiesError> {
        Ok(remove_if_exists(&self.pending)?)
    }

    /// Whether the rollup must be rebuilt.
    pub(crate) fn needs_rebuild(&self) -> bool {
        self.rebuild.exists()
    }

    /// Records that the rollup must be rebuilt, or that it has been.
    pub(crate) fn set_needs_rebuild(&self, needed: bool) -> Result<(), PropertiesError> {
        match needed {
            true => atomic_file::replace(&self.rebuild, [b""])?,
            false => remove_if_exists(&self.rebuild)?,
        }
        Ok(())
    }

    /// Adopts requested declarations while the server runs, until `stop`. `settle` returns when what was encoded by the earlier
    /// declarations is stored.
    pub(crate) async fn follow_requests<F: Future<Output = ()>>(
        self,
        properties: watch::Sender<Arc<Properties>>,
        settle: impl Fn() -> F,
        stop: CancellationToken,
    ) {
        let mut poll = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = poll.tick() => {}
            }
            let this = self.clone();
            let requested = run_blocking(move || Declarations::read_if_exists(&this.pending)).await;
            let adopted = match requested {
                Ok(None) => continue,
                Ok(Some(requested)) => {
                    properties.send_replace(Arc::new(requested.properties));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = settle() => {}
                    }
                    let this = self.clone();
                    // The command goes on when the file is gone: from here on, every event has the new columns.
                    run_blocking(move || {
                        fs::rename(&this.pending, &this.applied).map_err(|error| {
                            PropertiesError::from(atomic_file::with_path(&this.pending, error))
                        })
                    })
                    .await
                }
                Err(error) => Err(error),
            };
            match adopted {
                Ok(()) => tracing::info!("adopted the declared properties"),
                Err(error) => tracing::error!(%error, "cannot adopt the declared properties"),
            }
        }
    }
}

fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(atomic_file::with_path(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declarations(name: &str) -> Declarations {
        let text = format!("[[property]]\nname = \"{name}\"\ntype = \"text\"\n");
        let properties = Properties::parse(&text).unwrap();
        Declarations { text, properties }
    }

    #[test]
    fn a_new_folder_takes_the_declared_properties_and_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let applied = AppliedProperties::new(folder.path());
        assert_eq!(applied.read().unwrap(), None);
        assert_eq!(applied.adopt(&declarations("a")).unwrap(), declarations("a").properties);
        assert_eq!(applied.adopt(&declarations("b")).unwrap(), declarations("a").properties);
        applied.write(&declarations("b")).unwrap();
        assert_eq!(applied.adopt(&declarations("c")).unwrap(), declarations("b").properties);
    }

    #[test]
    fn a_request_that_the_server_did_not_see_counts_at_its_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let applied = AppliedProperties::new(folder.path());
        applied.write(&declarations("a")).unwrap();
        applied.request(&declarations("b")).unwrap();
        assert!(applied.is_pending());
        assert_eq!(applied.adopt(&declarations("a")).unwrap(), declarations("b").properties);
        assert!(!applied.is_pending());
    }

    #[tokio::test]
    async fn a_running_server_adopts_requests() {
        let folder = tempfile::tempdir().unwrap();
        let applied = AppliedProperties::new(folder.path());
        let (sender, mut properties) = watch::channel(Arc::new(declarations("a").properties));
        let stop = CancellationToken::new();
        let task = tokio::spawn(applied.clone().follow_requests(sender, async || {}, stop.clone()));
        fs::write(&applied.pending, "not TOML").unwrap();
        applied.request(&declarations("b")).unwrap();
        properties.changed().await.unwrap();
        assert_eq!(**properties.borrow(), declarations("b").properties);
        while applied.is_pending() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(applied.read().unwrap(), Some(declarations("b")));
        stop.cancel();
        task.await.unwrap();
    }
}
