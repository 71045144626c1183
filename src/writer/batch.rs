//! What is sent to ClickHouse for a batch: the rows of `events` and the rows of `rollup`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

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
    pub(super) events_native: Vec<Bytes>,
    pub(super) rollup_native: Vec<Bytes>,
}

/// Encodes batches. Cheap to clone; clones share the admitted values.
#[derive(Clone, Debug)]
pub(crate) struct BatchEncoder {
    properties: watch::Receiver<Arc<Properties>>,
    admitted: Arc<Mutex<AdmittedValues>>,
}

impl BatchEncoder {
    /// `properties` are the declared ones, for which the table `events` has columns. Each dimension of an event has rows of
    /// its own for `max_values` a day.
    pub(crate) fn new(properties: watch::Receiver<Arc<Properties>>, max_values: u64) -> Self {
        Self { properties, admitted: Arc::new(Mutex::new(AdmittedValues::new(max_values))) }
    }

    /// Admits the values of today's rollup. Without ClickHouse, today's bound starts anew.
    pub(crate) async fn load_admitted_values(&self, clickhouse: &ClickHouse) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner).emptied();
        match admitted.load(clickhouse).await {
            Ok(()) => *self.admitted.lock().unwrap_or_else(PoisonError::into_inner) = admitted,
            Err(error) => tracing::warn!(
                %error, "cannot read today's values of the rollup; more values than the limit may get rows today"
            ),
        }
    }

    /// Concatenates the records of a batch and encodes the events alone: a repair recomputes the rollup from `events`.
    pub(super) async fn encode_events(&self, records: Vec<EventColumns>, batch_id: Uuid) -> BatchBody {
        let properties = Arc::clone(&self.properties.borrow());
        run_blocking(move || {
            let columns = EventColumns::concatenate(records, &properties);
            BatchBody { events: u64::from(columns.rows()), native: columns.into_native(batch_id) }
        })
        .await
    }

    /// Concatenates the records of a batch and encodes them.
    pub(super) async fn encode(&self, records: Vec<EventColumns>, batch_id: Uuid) -> BatchBodies {
        let (properties, admitted) = (Arc::clone(&self.properties.borrow()), Arc::clone(&self.admitted));
        run_blocking(move || {
            let started = Instant::now();
            let columns = EventColumns::concatenate(records, &properties);
            let concatenated = started.elapsed();
            let rollup = {
                let mut admitted = admitted.lock().unwrap_or_else(PoisonError::into_inner);
                admitted.start_day(jiff::Timestamp::now());
                rollup::compute(&columns, &properties, &mut admitted)
            };
            tracing::debug!(
                batch = %batch_id,
                events = columns.rows(),
                rollup_bytes = rollup.iter().map(Bytes::len).sum::<usize>(),
                concatenate_us = concatenated.as_micros(),
                rollup_us = (started.elapsed() - concatenated).as_micros(),
                "batch encoded"
            );
            BatchBodies { events_native: columns.into_native(batch_id), rollup_native: rollup }
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
    // Not repeated by its token: a rebuild may count the events meanwhile. The next attempt recomputes the rows.
    let inserted = clickhouse.insert_native("rollup", bodies.rollup_native.clone(), &token).await;
    inserted.map_err(ClickHouseError::of_rollup_insert)
}
