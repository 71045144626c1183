//! Which values of a dimension get rollup rows of their own. The others are counted together as `(other)`.
//!
//! Per day (UTC, of receipt), each dimension of an event of a project has a bounded number of values: the first ones of the
//! day. So neither a broken page address nor an attack makes the rollup as large as `events`.
//!
//! # Memory
//!
//! A value takes 8 bytes of hash and a byte of the table, at most 20 bytes with the table's free space, and its dimension 32
//! bytes. All dimensions of all events and projects together have at most [`MAX_VALUES`] values, so at most 52 MB; usual
//! traffic has a few thousand. Beyond that, new values count as `(other)`.

use clickhouse::Row;
use hashbrown::{HashMap, HashTable};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::clickhouse::{ClickHouse, ClickHouseError};

/// Values per project, event and dimension and day.
pub(crate) const MAX_VALUES_PER_DIMENSION: u32 = 5_000;
/// Values of all projects, events and dimensions.
const MAX_VALUES: usize = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

const ADMITTED_VALUES: &str = include_str!("../../../queries/maintenance/admitted_values.sql");

/// The values that were admitted today.
#[derive(Debug)]
pub(crate) struct AdmittedValues {
    max_per_dimension: u32,
    max_values: usize,
    /// Days since 1970 UTC.
    day: i64,
    /// Hashes of the values, which include their scope.
    values: HashTable<u64>,
    /// Number of values by scope.
    counts: HashMap<Scope, u32>,
}

/// The hash of a project, event and dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope(u64);

impl AdmittedValues {
    pub(crate) fn new(max_per_dimension: u32) -> Self {
        Self {
            max_per_dimension,
            max_values: MAX_VALUES,
            day: 0,
            values: HashTable::new(),
            counts: HashMap::new(),
        }
    }

    /// Forgets the values of an earlier day. `now` is the time of receipt.
    pub(crate) fn start_day(&mut self, now: jiff::Timestamp) {
        let day = now.as_second().div_euclid(SECONDS_PER_DAY);
        if day != self.day {
            *self = Self { day, max_values: self.max_values, ..Self::new(self.max_per_dimension) };
        }
    }

    pub(super) fn scope(&self, project: &str, event_name: &[u8], dimension: &[u8]) -> Scope {
        let scope = XxHash3_64::oneshot(project.as_bytes());
        let scope = XxHash3_64::oneshot_with_seed(scope, event_name);
        Scope(XxHash3_64::oneshot_with_seed(scope, dimension))
    }

    /// Whether a value gets rows of its own. Admits it if there is space.
    pub(super) fn admit(&mut self, scope: Scope, value: &[u8]) -> bool {
        let hash = XxHash3_64::oneshot_with_seed(scope.0, value);
        if self.values.find(hash, |&other| other == hash).is_some() {
            return true;
        }
        let is_full = self.values.len() >= self.max_values;
        let count = match self.counts.get_mut(&scope) {
            Some(count) => count,
            None if is_full => return false,
            None => self.counts.entry(scope).or_insert(0),
        };
        if is_full || *count >= self.max_per_dimension {
            return false;
        }
        *count += 1;
        self.values.insert_unique(hash, hash, |&hash| hash);
        true
    }

    /// Admits the values that have rows of today, so that a restart does not double the bound.
    pub(crate) async fn load(&mut self, clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
        #[derive(Row, Serialize, Deserialize)]
        struct StoredValue {
            project: String,
            event_name: String,
            dimension: String,
            value: String,
        }
        self.start_day(jiff::Timestamp::now());
        let query = clickhouse.client()?.query_raw(ADMITTED_VALUES).param("max_values", self.max_values as u64);
        let mut rows = query.fetch::<StoredValue>()?;
        while let Some(row) = rows.next().await? {
            let scope = self.scope(&row.project, row.event_name.as_bytes(), row.dimension.as_bytes());
            self.admit(scope, row.value.as_bytes());
        }
        Ok(())
    }
}

impl Default for AdmittedValues {
    fn default() -> Self {
        Self::new(MAX_VALUES_PER_DIMENSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dimension_admits_its_first_values_of_the_day() {
        let mut admitted = AdmittedValues::new(2);
        let today = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        admitted.start_day(today);
        let (pages, countries) = (admitted.scope("a", b"view", b"page"), admitted.scope("a", b"view", b"country"));
        assert!(admitted.admit(pages, b"/1") && admitted.admit(pages, b"/2"));
        assert!(!admitted.admit(pages, b"/3") && admitted.admit(pages, b"/1"));
        assert!(admitted.admit(countries, b"/3"), "each dimension has its own bound");
        admitted.start_day(today);
        assert!(!admitted.admit(pages, b"/3"));
        admitted.start_day(today + jiff::SignedDuration::from_hours(24));
        assert!(admitted.admit(pages, b"/3"));
    }

    #[test]
    fn all_dimensions_together_are_bounded() {
        let mut admitted = AdmittedValues { max_values: 10, ..AdmittedValues::new(5) };
        for event in 0..1_000_u32 {
            let scope = admitted.scope("a", &event.to_le_bytes(), b"page");
            for value in 0..10_u32 {
                admitted.admit(scope, &value.to_le_bytes());
            }
        }
        assert_eq!((admitted.values.len(), admitted.counts.len()), (10, 2));
    }
}
