//! Which batches may not have landed yet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::batch_id::ServerNumber;

/// The batches that are sealed, or about to be, and have not landed. Cheap to clone; clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnlandedBatches {
    server: ServerNumber,
    ids: Arc<Mutex<BTreeSet<Uuid>>>,
}

impl UnlandedBatches {
    /// None yet.
    pub(super) fn new(server: ServerNumber) -> Self {
        Self { server, ids: Arc::default() }
    }

    /// Which server's batches these are.
    pub(crate) fn server(&self) -> ServerNumber {
        self.server
    }

    /// The id of a new batch.
    pub(crate) fn new_id(&self) -> Uuid {
        let mut unlanded = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.server.new_batch_id();
        unlanded.insert(id);
        id
    }

    /// Adds batches of an earlier process.
    pub(crate) fn add(&self, ids: impl IntoIterator<Item = Uuid>) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// Removes a batch that is in ClickHouse or in the dead-letter folder.
    pub(crate) fn remove(&self, id: Uuid) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Every batch of this process with a lower id has landed; new ones are going to have higher ids.
    pub(crate) fn lowest_id(&self) -> Uuid {
        let unlanded = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a batch that gets its id now is either in the set or later.
        unlanded.first().copied().unwrap_or_else(|| self.server.new_batch_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_id_is_that_of_the_oldest_batch_that_has_not_landed() {
        let unlanded = UnlandedBatches::default();
        let (first, second) = (unlanded.new_id(), unlanded.new_id());
        assert!(first < second);
        assert_eq!(unlanded.lowest_id(), first);
        // Out of order.
        unlanded.remove(second);
        assert_eq!(unlanded.lowest_id(), first);
        unlanded.remove(first);
        let lowest = unlanded.lowest_id();
        assert!(second < lowest && lowest < unlanded.new_id());
        let earlier = Uuid::from_u128(5);
        unlanded.add([earlier]);
        assert_eq!(unlanded.lowest_id(), earlier);
    }
}
