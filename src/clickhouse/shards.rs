//! The shards of a ClickHouse: one, unless it is a cluster.

use std::sync::Arc;

use super::ClickHouse;
use super::cluster::{self, Cluster, Shard};

/// Every shard, and all of them together. Cheap to clone.
///
/// A batch is inserted into one shard, which its seal names. Everything that repairs or follows batches works on a shard alone.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    each: Arc<[ClickHouse]>,
    reader: ClickHouse,
}

impl From<ClickHouse> for Shards {
    /// Without a cluster.
    fn from(clickhouse: ClickHouse) -> Self {
        Self { each: [clickhouse.clone()].into(), reader: clickhouse }
    }
}

impl Shards {
    /// Those of a cluster, in the order of their addresses.
    pub(crate) fn of_cluster(name: &str, each: Vec<ClickHouse>) -> Self {
        let cluster = Cluster::new(name);
        let reader = cluster::reader(&each[0]);
        let each = each
            .into_iter()
            .zip(0..)
            .map(|(clickhouse, number)| clickhouse.with_shard(Shard { cluster: cluster.clone(), number }));
        Self { each: each.collect(), reader }
    }

    /// The first one: what is not about batches.
    pub(crate) fn first(&self) -> &ClickHouse {
        &self.each[0]
    }

    /// Reads all of them.
    pub(crate) fn reader(&self) -> &ClickHouse {
        &self.reader
    }

    /// Every shard, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &ClickHouse> {
        self.each.iter()
    }
}
