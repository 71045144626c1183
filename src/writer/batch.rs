//! What is sent to ClickHouse for a batch: the rows of `events` and the rows of `rollup`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::columns::EventColumns;
use super::reconcile::BatchBody;
use super::rollup::{self, AdmittedValues};
use crate::blocking::run_blocking;
use crate::clickhouse::{ClickHouse, ClickHouseError};
use crate::properties::Properties;

/// The bodies of a batch's two INSERTs in the Native format, in chunks.
#[derive(Clone, Debug)]
pub(crate) struct BatchBodies {
    /// Number of events.
    pub(super) events: u64,
    pub(super) events_native: Vec<Bytes>,
    pub(super) rollup_native: Vec<Bytes>,
}

impl BatchBodies {
    /// The part that a repair needs: it recomputes the rollup from `events`.
    pub(super) fn into_body(self) -> BatchBody {
        BatchBody { events: self.events, native: self.events_native }
    }
}

/// Encodes batches. Cheap to clone; clones share the admitted values.
#[derive(Clone, Debug)]
pub(crate) struct BatchEncoder {
    properties: watch::Receiver<Arc<Properties>>,
    admitted: Arc<Mutex<AdmittedValues>>,
}

impl BatchEncoder {
    /// `properties` are the declared ones, for which the table `events` has columns.
    pub(crate) fn new(properties: watch::Receiver<Arc<Properties>>) -> Self {
        Self { properties, admitted: Arc::default() }
    }

    /// Admits the values of today's rollup. Without ClickHouse, today's bound starts anew.
    pub(crate) async fn load_admitted_values(&self, clickhouse: &ClickHouse) {
        let mut admitted = AdmittedValues::default();
        match admitted.load(clickhouse).await {
            Ok(()) => *self.admitted.lock().unwrap_or_else(PoisonError::into_inner) = admitted,
            Err(error) => tracing::warn!(
                %error, "cannot read today's values of the rollup; more values than the limit may get rows today"
            ),
        }
    }

    /// Concatenates the records of a batch and encodes them.
    pub(super) async fn encode(&self, records: Vec<EventColumns>, batch_id: Uuid) -> BatchBodies {
        let (properties, admitted) = (Arc::clone(&self.properties.borrow()), Arc::clone(&self.admitted));
        run_blocking(move || {
            let columns = EventColumns::concatenate(records, &properties);
            let rollup = {
                let mut admitted = admitted.lock().unwrap_or_else(PoisonError::into_inner);
                admitted.start_day(jiff::Timestamp::now());
                rollup::compute(&columns, &properties, &mut admitted)
            };
            BatchBodies {
                events: u64::from(columns.rows()),
                events_native: columns.into_native(batch_id),
                rollup_native: rollup,
            }
        })
        .await
    }
}

/// Makes a single attempt to insert a batch, with its id as the deduplication token of both inserts. The events are first: a
/// batch without its rollup rows is found by comparing `events`, and repeated.
pub(super) async fn insert_batch(
    clickhouse: &ClickHouse,
    batch_id: Uuid,
    bodies: &BatchBodies,
) -> Result<(), ClickHouseError> {
    let token = batch_id.to_string();
    clickhouse.insert_native("events", bodies.events_native.clone(), &token).await?;
    clickhouse.insert_native("rollup", bodies.rollup_native.clone(), &token).await
}
