//! Cancels statements of panels whose client has left before the response began, as ClickHouse does with
//! `cancel_http_readonly_queries_on_client_close`. Later, a statement ends at its next chunk.
//!
//! The library gives statements ids that it does not tell. A connection for panels therefore has a mark, the
//! setting `log_comment`, which `system.processes` shows. It is used for other statements afterwards, so a statement cannot end
//! while it is being cancelled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::accounts::Workload;
use super::error::EngineError;
use super::http::EngineServer;
use super::pool::ConnectionPool;

/// The statement of a request. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningStatement(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// It runs on the connection with this mark.
    Running(String),
    /// Nobody waits for it.
    Abandoned,
}

impl RunningStatement {
    /// Runs a statement on the connection with this mark, unless it is abandoned already.
    pub(super) fn run<T>(
        &self,
        mark: Option<&str>,
        statement: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let Some(mark) = mark else { return statement() };
        match &mut *self.lock() {
            State::Abandoned => return Err(EngineError::NoResponse),
            state => *state = State::Running(mark.to_owned()),
        }
        let result = statement();
        *self.lock() = State::Idle;
        result
    }

    /// Blocks the end of the statement until it is cancelled.
    fn abandon(&self, pool: &ConnectionPool) {
        let mut state = self.lock();
        if let State::Running(mark) = &*state {
            match kill(pool, mark) {
                Ok(()) => tracing::debug!("cancelled a statement whose client has left"),
                Err(error) => tracing::warn!(%error, "cannot cancel a statement whose client has left"),
            }
        }
        *state = State::Abandoned;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill(pool: &ConnectionPool, mark: &str) -> Result<(), EngineError> {
    let statement = format!("KILL QUERY WHERE Settings['log_comment'] = '{mark}' ASYNC");
    pool.with_connection(Workload::Probe, &Default::default(), |connection| {
        connection.query(&statement, "TabSeparated", &Vec::new())?;
        Ok(())
    })
}

/// Cancels the statement of a request when it is dropped, unless its response has begun.
pub(super) struct CancelOnDrop {
    server: Arc<EngineServer>,
    statement: Option<RunningStatement>,
}

impl CancelOnDrop {
    pub(super) fn new(server: Arc<EngineServer>, statement: RunningStatement) -> Self {
        Self { server, statement: Some(statement) }
    }

    pub(super) fn response_has_begun(mut self) {
        self.statement = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(statement) = self.statement.take() else { return };
        let server = Arc::clone(&self.server);
        tokio::spawn(async move {
            // Never granted once the engine stops, which waits for its statements.
            let permit = server.pool().acquire_cancel_permit().await;
            let pool = Arc::clone(&server);
            server.statements().spawn_blocking(move || {
                statement.abandon(pool.pool());
                drop(permit);
            });
        });
    }
}
