//! A ClickHouse in memory: two tables that one insert fills, tokens that are forgotten, and files that a power cut takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::Rng;
use uuid::Uuid;

/// The events, and a rollup of them.
pub(super) const TABLES: usize = 2;

pub(super) struct FakeClickHouse {
    tables: [FakeTable; TABLES],
    /// How many tokens a table remembers.
    window: usize,
    inserts: usize,
}

#[derive(Default)]
struct FakeTable {
    /// An insert each.
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

    /// How many inserts there were.
    pub(super) fn inserts(&self) -> usize {
        self.inserts
    }

    /// Inserts a batch into both tables; each leaves it out where it remembers the token.
    pub(super) fn insert(&mut self, batch: Uuid, token: &str, rows: &[Uuid]) {
        self.inserts += 1;
        for table in &mut self.tables {
            table.insert(batch, token, rows, self.window);
        }
    }

    /// Inserts into the first table only: the process died before the rollup was filled.
    pub(super) fn insert_partially(&mut self, batch: Uuid, token: &str, rows: &[Uuid]) {
        self.inserts += 1;
        self.tables[0].insert(batch, token, rows, self.window);
    }

    /// Dies in the middle of an insert: each table in turn has nothing, a token without its part, or both.
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

    /// How many rows of a batch each table holds.
    pub(super) fn row_counts(&self, batch: Uuid) -> [usize; TABLES] {
        self.tables.each_ref().map(|table| {
            table.parts.iter().filter(|part| part.batch == batch).map(|part| part.rows.len()).sum()
        })
    }

    /// Puts a batch into both tables exactly once, whatever of it they hold.
    pub(super) fn repair(&mut self, batch: Uuid, rows: &[Uuid]) {
        for table in &mut self.tables {
            table.parts.retain(|part| part.batch != batch);
            table.parts.push(FakePart { batch, rows: rows.to_vec(), synced: false });
        }
    }

    pub(super) fn sync(&mut self) {
        for part in self.tables.iter_mut().flat_map(|table| &mut table.parts) {
            part.synced = true;
        }
    }

    /// What was not synced may be there or not, parts and tokens each for themselves.
    pub(super) fn power_cut(&mut self, rng: &mut impl Rng) {
        for table in &mut self.tables {
            table.parts.retain(|part| part.synced || rng.random_bool(0.5));
            table.tokens.retain(|_| rng.random_bool(0.5));
        }
    }

    /// How often each event is there, in the table where it is there most and least often.
    pub(super) fn counts(&self) -> BTreeMap<Uuid, (usize, usize)> {
        let counts = self.tables.each_ref().map(|table| {
            let mut counts = BTreeMap::<Uuid, usize>::new();
            for row in table.parts.iter().flat_map(|part| &part.rows) {
                *counts.entry(*row).or_default() += 1;
            }
            counts
        });
        let all: BTreeSet<Uuid> = counts.iter().flat_map(BTreeMap::keys).copied().collect();
        let of = |id: &Uuid| counts.each_ref().map(|table| table.get(id).copied().unwrap_or(0));
        all.into_iter()
            .map(|id| {
                let counts = of(&id);
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
