//! Removes events that another server has stored too.
//!
//! A producer whose server does not respond sends what was not acknowledged to another one. The first server may have it in its journal,
//! and inserts it later. Both copies of an event have its id, if the producer gave one. So a batch that may have copies is compared with
//! the others after it has landed: in the server that the requests were sent to again, and in the one that was killed, when it has
//! started again. What other batches have is deleted from this one, while nobody else inserts or deletes.
//!
//! The first server may also be alive and insert its copy a little later, without knowing of the second. So the second one looks again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use super::store::ShardStore;
use crate::clickhouse::exclusive::exclusively;
use crate::clickhouse::{ClickHouse, ClickHouseError, batches};

/// When a batch is compared again.
const DELAYS: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(270)];
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long the stop waits for what has just landed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The batches to compare. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Copies(Option<mpsc::UnboundedSender<Landed>>);

/// The same for those who do not keep the task running.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug)]
pub(crate) struct WeakCopies(Option<mpsc::WeakUnboundedSender<Landed>>);

/// A batch that has landed.
#[derive(Debug)]
struct Landed {
    batch_id: Uuid,
    shard: u32,
    /// Dropped when it was compared.
    compared: Option<oneshot::Sender<()>>,
}

/// Compares batches.
pub(super) struct CopiesTask {
    shards: Arc<[ShardStore]>,
    reader: ClickHouse,
    batches: mpsc::UnboundedReceiver<Landed>,
}

impl Copies {
    /// No other server uses the embedded engine: then there is no task, unless an earlier process counts as another one.
    pub(super) fn new(
        shards: Arc<[ShardStore]>,
        reader: ClickHouse,
        processes_are_servers: bool,
    ) -> (Self, Option<CopiesTask>) {
        let is_shared = shards.iter().any(|shard| shard.clickhouse.shared_as().is_some());
        if !is_shared && !processes_are_servers {
            return (Self(None), None);
        }
        let (sender, batches) = mpsc::unbounded_channel();
        (Self(Some(sender)), Some(CopiesTask { shards, reader, batches }))
    }

    /// Compares a batch that has landed, or waits as a dead letter.
    pub(super) fn check(&self, batch_id: Uuid, shard: u32) {
        if let Some(sender) = &self.0 {
            // The task ends only with the writer.
            sender.send(Landed { batch_id, shard, compared: None }).ok();
        }
    }

    #[cfg(feature = "kafka")]
    pub(super) fn downgrade(&self) -> WeakCopies {
        WeakCopies(self.0.as_ref().map(mpsc::UnboundedSender::downgrade))
    }
}

#[cfg(feature = "kafka")]
impl WeakCopies {
    /// Compares a batch that has landed, or waits as a dead letter, now and later. Returns when it was compared once.
    pub(crate) async fn check(&self, batch_id: Uuid, shard: u32) {
        let Some(sender) = self.0.as_ref().and_then(mpsc::WeakUnboundedSender::upgrade) else { return };
        let (compared, done) = oneshot::channel();
        sender.send(Landed { batch_id, shard, compared: Some(compared) }).ok();
        drop(sender);
        // An error: nothing is ever sent.
        done.await.ok();
    }
}

/// A batch, and how often it was compared.
#[derive(Clone, Copy)]
struct Compared {
    batch_id: Uuid,
    shard: usize,
    times: usize,
}

impl CopiesTask {
    /// Runs until every [`Copies`] is dropped. Then what has just landed is compared once.
    pub(super) async fn run(mut self) {
        let (mut checks, mut waiting) = (JoinSet::new(), JoinSet::new());
        loop {
            tokio::select! {
                next = self.batches.recv() => match next {
                    Some(Landed { batch_id, shard, compared }) => {
                        let batch = Compared { batch_id, shard: shard as usize, times: 0 };
                        self.start(&mut checks, batch, compared);
                    }
                    None => break,
                },
                Some(compared) = checks.join_next() => {
                    let compared = output(compared);
                    if let Some(delay) = DELAYS.get(compared.times - 1) {
                        waiting.spawn(tokio::time::sleep(*delay).map(move |()| compared));
                    }
                }
                Some(due) = waiting.join_next() => self.start(&mut checks, output(due), None),
            }
        }
        let compared = async {
            while let Some(compared) = checks.join_next().await {
                output(compared);
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, compared).await.is_err() {
            tracing::warn!(
                "not every batch was compared with those of other servers; events with an id may count twice"
            );
        }
    }

    /// Drops `done` when the batch was compared.
    fn start(&self, checks: &mut JoinSet<Compared>, compared: Compared, done: Option<oneshot::Sender<()>>) {
        let (shards, reader) = (Arc::clone(&self.shards), self.reader.clone());
        checks.spawn(async move {
            let Compared { batch_id, shard, times } = compared;
            while let Err(error) = check(&shards, shard, &reader, batch_id).await {
                tracing::warn!(batch = %batch_id, %error, "cannot compare a batch with those of other servers; retrying");
                tokio::time::sleep(RETRY_DELAY).await;
            }
            drop(done);
            Compared { times: times + 1, ..compared }
        });
    }
}

/// The output of a task that nobody aborts.
fn output<T>(joined: Result<T, JoinError>) -> T {
    joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn check(
    shards: &[ShardStore],
    number: usize,
    reader: &ClickHouse,
    batch_id: Uuid,
) -> Result<(), ClickHouseError> {
    let Some(shard) = shards.get(number) else { return Ok(()) };
    if batches::count_copies(&shard.clickhouse, reader, batch_id).await? == 0 {
        return Ok(());
    }
    let delete = async |clickhouse: &ClickHouse| {
        // Again: the other server may have deleted its copies since.
        let copies = batches::count_copies(clickhouse, reader, batch_id).await?;
        if copies > 0 {
            tracing::info!(batch = %batch_id, copies, "deleting events that another server has stored too");
            batches::delete_copies(clickhouse, reader, batch_id).await?;
        }
        Ok(())
    };
    let first = &shards[0];
    let _first = first.insert_lock.write().await;
    if number == 0 {
        return exclusively(&first.clickhouse, delete).await;
    }
    // The copies may be on different shards. The right to delete any is that to insert into the first one.
    let _own = shard.insert_lock.write().await;
    exclusively(&first.clickhouse, async |_| exclusively(&shard.clickhouse, delete).await).await
}
