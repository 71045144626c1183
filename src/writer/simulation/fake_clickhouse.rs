//! An in-memory ClickHouse: an insert fills two tables, tokens expire, and a power cut removes parts that are not synced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::Rng;
use uuid::Uuid;

/// The table `events` and one rollup.
pub(super) const TABLES: usize = 2;

pub(super) struct FakeClickHouse {
    tables: [FakeTable; TABLES],
    /// Number of deduplication tokens that a table stores.
    window: usize,
    inserts: usize,
}

#[derive(Default)]
struct FakeTable {
    /// One per insert.
    parts: Vec<FakePart>,
    tokens: VecDeque<String>,
}

struct FakePart {
    batch: Uuid,
    rows: Vec<Uuid>,
    synced: bool,
}

impl FakeClickHouse {
    pub(super) fn new(window: usize) -> Self {
        Self { tables: Default::default(), window, inserts: 0 }
    }

    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Number of inserts so far.
    pub(super) fn inserts(&self) -> usize {
        self.inserts
    }

    /// Inserts a batch into both tables. A table that stores the token skips it.
    pub(super) fn insert(&mut self, batch: Uuid, token: &str, rows: &[Uuid]) {
        self.inserts += 1;
        for table in &mut self.tables {
            table.insert(batch, token, rows, self.window);
        }
    }

    /// Inserts into the first table only, as if the rollup's insert had failed.
    pub(super) fn insert_partially(&mut self, batch: Uuid, token: &str, rows: &[Uuid]) {
        self.inserts += 1;
        self.tables[0].insert(batch, token, rows, self.window);
    }

    /// Crashes during an insert: each table in turn has nothing, a token without its part, or both.
    pub(super) fn crash_during_insert(
        &mut self,
        batch: Uuid,
        token: &str,
        rows: &[Uuid],
        rng: &mut impl Rng,
    ) {
        self.inserts += 1;
        for table in &mut self.tables {
            match rng.random_range(0..3) {
                0 => return,
                1 => return table.tokens.push_back(token.to_owned()),
                _ => table.insert(batch, token, rows, self.window),
            }
        }
    }

    /// Number of rows of a batch in each table.
    pub(super) fn row_counts(&self, batch: Uuid) -> [usize; TABLES] {
        self.tables.each_ref().map(|table| {
            table.parts.iter().filter(|part| part.batch == batch).map(|part| part.rows.len()).sum()
        })
    }

    /// Makes `events` hold a batch exactly once, and recomputes the rollup of all stored events.
    pub(super) fn repair(&mut self, batch: Uuid, rows: &[Uuid]) {
        let [events, rollup] = &mut self.tables;
        events.parts.retain(|part| part.batch != batch);
        events.parts.push(FakePart { batch, rows: rows.to_vec(), synced: false });
        let recomputed = events.parts.iter().map(|part| FakePart {
            batch: part.batch,
            rows: part.rows.clone(),
            synced: false,
        });
        rollup.parts = recomputed.collect();
    }

    pub(super) fn sync(&mut self) {
        for part in self.tables.iter_mut().flat_map(|table| &mut table.parts) {
            part.synced = true;
        }
    }

    /// Each part that is not synced, and each token, survives with probability 1/2.
    pub(super) fn power_cut(&mut self, rng: &mut impl Rng) {
        for table in &mut self.tables {
            table.parts.retain(|part| part.synced || rng.random_bool(0.5));
            table.tokens.retain(|_| rng.random_bool(0.5));
        }
    }

    /// How often each event is stored: the minimum and the maximum over the tables.
    pub(super) fn counts(&self) -> BTreeMap<Uuid, (usize, usize)> {
        let counts = self.tables.each_ref().map(|table| {
            let mut counts = BTreeMap::<Uuid, usize>::new();
            for row in table.parts.iter().flat_map(|part| &part.rows) {
                *counts.entry(*row).or_default() += 1;
            }
            counts
        });
        let all: BTreeSet<Uuid> = counts.iter().flat_map(BTreeMap::keys).copied().collect();
        let counts_of = |id: &Uuid| counts.each_ref().map(|table| table.get(id).copied().unwrap_or(0));
        all.into_iter()
            .map(|id| {
                let counts = counts_of(&id);
                (id, (counts.into_iter().min().unwrap_or(0), counts.into_iter().max().unwrap_or(0)))
            })
            .collect()
    }
}

impl FakeTable {
    fn insert(&mut self, batch: Uuid, token: &str, rows: &[Uuid], window: usize) {
        if self.tokens.iter().any(|known| known == token) {
            return;
        }
        self.tokens.push_back(token.to_owned());
        if self.tokens.len() > window {
            self.tokens.pop_front();
        }
        self.parts.push(FakePart { batch, rows: rows.to_vec(), synced: false });
    }
}
