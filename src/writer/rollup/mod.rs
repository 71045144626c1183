//! The rollup rows of a batch, computed from its columns.
//!
//! A row counts the events, visitors and sessions of one (project, event, dimension, value) in one time bucket of one level.
//! ClickHouse merges rows with the same key, so a batch's rows are added without reading what is stored. The statements of
//! `queries/rollups` compute the same rows from `events`, for repairs and rebuilds; a test compares them.
//!
//! # How
//!
//! Every visitor and session is hashed once and gets a number within the batch. Rows are ordered by event and minute with
//! counting sorts, and within an event by the dictionary index of a dimension's value, so no text is compared or allocated per
//! event. A bucket's distinct visitors are found by stamping their numbers. A longer bucket merges the visitors of its
//! shorter ones; if there is only one, its encoded sets are copied.

pub(crate) mod admission;
mod block;
mod sets;

use bytes::Bytes;
use hashbrown::{HashMap, HashTable};
use twox_hash::XxHash3_64;

pub(crate) use admission::AdmittedValues;
use block::{BlockWriter, RowKey, StateRanges};
use sets::{NONE, Numbering, SetEncoder};

use super::columns::{EventColumns, RollupInput};
use crate::properties::Properties;

/// The levels, in minutes. Each is a multiple of the one before it.
const LEVELS: [u16; 5] = [1, 15, 60, 360, 1_440];
/// The value of a dimension beyond the bound.
const OTHER: &[u8] = b"(other)";
const MS_PER_MINUTE: i64 = 60_000;

/// The body of the INSERT of a batch's rollup rows, in the Native format. The batch has the columns of `properties`. `admitted` decides which values get rows of
/// their own.
pub(crate) fn compute(
    columns: &EventColumns,
    properties: &Properties,
    admitted: &mut AdmittedValues,
) -> Vec<Bytes> {
    Computation::new(columns.rollup_input(properties)).run(admitted)
}

/// The counts and sets of one bucket.
#[derive(Clone, Copy)]
struct Cell {
    /// In minutes since 1970 UTC.
    start: u32,
    events: u64,
    measure_sum: f64,
    measure_count: u64,
    /// The ranges of its distinct visitors and sessions in [`Computation::members`].
    members: [(u32, u32); 2],
    /// Where the encoded sets are.
    states: StateRanges,
}

struct Computation<'a> {
    input: RollupInput<'a>,
    /// By row: minutes since 1970 UTC.
    minutes: Vec<u32>,
    /// By row: the numbers of the visitor and of the session, or [`NONE`].
    numbers: [Vec<u32>; 2],
    encoders: [SetEncoder; 2],
    /// The distinct visitors or sessions of the cells of the current key.
    members: Vec<u32>,
    cells: Vec<Cell>,
    block: BlockWriter,
}

impl<'a> Computation<'a> {
    fn new(input: RollupInput<'a>) -> Self {
        let minutes =
            input.timestamps.iter().map(|ms| u32::try_from(ms.div_euclid(MS_PER_MINUTE)).unwrap_or(0)).collect();
        let (mut visitors, mut sessions) = (Numbering::default(), Numbering::default());
        let mut numbers = [Vec::with_capacity(input.rows), Vec::with_capacity(input.rows)];
        for (user, session) in input.users().zip(input.sessions()) {
            let session_hash = (!session.is_empty()).then(|| XxHash3_64::oneshot(session));
            let visitor_hash = match user.is_empty() {
                true => session_hash,
                false => Some(XxHash3_64::oneshot(user)),
            };
            numbers[0].push(visitor_hash.map_or(NONE, |hash| visitors.number_of(hash)));
            numbers[1].push(session_hash.map_or(NONE, |hash| sessions.number_of(hash)));
        }
        Self {
            input,
            minutes,
            numbers,
            encoders: [visitors, sessions].map(SetEncoder::new),
            members: Vec::new(),
            cells: Vec::new(),
            block: BlockWriter::default(),
        }
    }

    fn run(mut self, admitted: &mut AdmittedValues) -> Vec<Bytes> {
        let by_minute = order_by(&identity(self.input.rows), &ranks(&self.minutes));
        let by_project = match self.input.projects.len() {
            0 | 1 => by_minute,
            _ => order_by(&by_minute, &self.input.project_of_row),
        };
        let (pair_of_row, pairs) = self.pairs();
        let by_pair = order_by(&by_project, &pair_of_row);
        for rows in runs_of(&by_project, &self.input.project_of_row) {
            let project = self.input.project_of_row[rows[0] as usize];
            let key = RowKey { project, event_name: b"", dimension: b"", value: b"" };
            self.push_rows(key, rows, true, None);
        }
        let slices = runs_of(&by_pair, &pair_of_row);
        for rows in &slices {
            let (project, name) = pairs[pair_of_row[rows[0] as usize] as usize];
            let event_name = self.input.event_names.dictionary().get(name);
            let measure = self.input.measure_of(name);
            let key = RowKey { project, event_name, dimension: b"", value: b"" };
            self.push_rows(key, rows, true, measure);
        }
        for at in 0..self.input.dimensions.len() {
            self.push_dimension(at, &slices, &pair_of_row, &pairs, admitted);
        }
        self.block.finish(&self.input)
    }

    /// For each row the number of its pair of project and event name, and the pairs.
    fn pairs(&self) -> (Vec<u32>, Vec<(u32, u32)>) {
        let mut numbers = HashMap::new();
        let mut pairs = Vec::new();
        let rows = self.input.project_of_row.iter().zip(self.input.event_names.indexes());
        let pair_of_row = rows.map(|(&project, &name)| {
            *numbers.entry((project, name)).or_insert_with(|| {
                pairs.push((project, name));
                pairs.len() as u32 - 1
            })
        });
        (pair_of_row.collect(), pairs)
    }

    fn push_dimension(
        &mut self,
        at: usize,
        slices: &[&[u32]],
        pair_of_row: &[u32],
        pairs: &[(u32, u32)],
        admitted: &mut AdmittedValues,
    ) {
        let (dimension, column) = self.input.dimensions[at];
        let dictionary = column.dictionary();
        // The bucket of each value: one of its own, or the one of all further values.
        let other = dictionary.len();
        let mut buckets: Vec<Vec<u32>> = vec![Vec::new(); other + 1];
        let mut used: Vec<u32> = Vec::new();
        for rows in slices {
            let (project, name) = pairs[pair_of_row[rows[0] as usize] as usize];
            for &row in *rows {
                let value = column.indexes()[row as usize];
                let bucket = &mut buckets[value as usize];
                if bucket.is_empty() {
                    used.push(value);
                }
                bucket.push(row);
            }
            let event_name = self.input.event_names.dictionary().get(name);
            let measure = self.input.measure_of(name);
            let scope =
                admitted.scope(self.input.projects[project as usize].as_str(), event_name, dimension.as_bytes());
            let mut rest = Vec::new();
            for value in used.drain(..) {
                let text = dictionary.get(value);
                if text.is_empty() {
                    buckets[value as usize].clear();
                } else if admitted.admit(scope, text) {
                    let rows = std::mem::take(&mut buckets[value as usize]);
                    let key = RowKey { project, event_name, dimension: dimension.as_bytes(), value: text };
                    self.push_rows(key, &rows, false, measure);
                    buckets[value as usize] = rows;
                    buckets[value as usize].clear();
                } else {
                    rest.append(&mut buckets[value as usize]);
                }
            }
            if !rest.is_empty() {
                rest.sort_unstable_by_key(|&row| self.minutes[row as usize]);
                let key = RowKey { project, event_name, dimension: dimension.as_bytes(), value: OTHER };
                self.push_rows(key, &rest, false, measure);
            }
        }
    }

    /// Adds the rows of a key on all levels. `rows` are its events, ordered by minute. `measure` is the number of the property
    /// in the input.
    fn push_rows(&mut self, key: RowKey<'a>, rows: &[u32], with_sessions: bool, measure: Option<usize>) {
        let sets = if with_sessions { 2 } else { 1 };
        self.members.clear();
        self.cells.clear();
        self.block.start_key();
        for bucket in rows.chunk_by(|&a, &b| self.minutes[a as usize] == self.minutes[b as usize]) {
            let mut cell = Cell {
                start: self.minutes[bucket[0] as usize],
                events: bucket.len() as u64,
                measure_sum: 0.0,
                measure_count: 0,
                members: [(0, 0); 2],
                states: StateRanges::default(),
            };
            for set in 0..sets {
                let (numbers, members) = (&self.numbers[set], &mut self.members);
                let start = members.len();
                let bucket_numbers = bucket.iter().map(|&row| numbers[row as usize]);
                self.encoders[set].collect_distinct(bucket_numbers, members);
                cell.members[set] = (start as u32, members.len() as u32);
            }
            if let Some(measure) = measure {
                for number in bucket.iter().filter_map(|&row| self.input.number(measure, row as usize)) {
                    cell.measure_sum += number;
                    cell.measure_count += 1;
                }
            }
            cell.states = encode(&mut self.block, &mut self.encoders, &self.members, &cell.members);
            self.block.push(key, LEVELS[0], &cell);
            self.cells.push(cell);
        }
        for level in &LEVELS[1..] {
            let mut longer = 0;
            let mut first = 0;
            while first < self.cells.len() {
                let start = self.cells[first].start - self.cells[first].start % u32::from(*level);
                let mut end = first + 1;
                while end < self.cells.len() && self.cells[end].start < start + u32::from(*level) {
                    end += 1;
                }
                let cell = self.merge(first, end, start, sets);
                self.block.push(key, *level, &cell);
                self.cells[longer] = cell;
                longer += 1;
                first = end;
            }
            self.cells.truncate(longer);
        }
    }

    /// Merges consecutive cells.
    fn merge(&mut self, first: usize, end: usize, start: u32, sets: usize) -> Cell {
        let mut merged = Cell { start, ..self.cells[first] };
        if end - first == 1 {
            return merged;
        }
        for cell in &self.cells[first + 1..end] {
            merged.events += cell.events;
            merged.measure_sum += cell.measure_sum;
            merged.measure_count += cell.measure_count;
        }
        for set in 0..sets {
            let mut distinct = Vec::new();
            let cells = &self.cells[first..end];
            let numbers = cells.iter().flat_map(|cell| {
                let (start, end) = cell.members[set];
                self.members[start as usize..end as usize].iter().copied()
            });
            self.encoders[set].collect_distinct(numbers, &mut distinct);
            merged.members[set] = (self.members.len() as u32, (self.members.len() + distinct.len()) as u32);
            self.members.append(&mut distinct);
        }
        merged.states = encode(&mut self.block, &mut self.encoders, &self.members, &merged.members);
        merged
    }
}

/// Encodes the sets of a cell.
fn encode(
    block: &mut BlockWriter,
    encoders: &mut [SetEncoder; 2],
    members: &[u32],
    ranges: &[(u32, u32); 2],
) -> StateRanges {
    block.encode_states(encoders, ranges.map(|(start, end)| &members[start as usize..end as usize]))
}

fn identity(rows: usize) -> Vec<u32> {
    (0..rows as u32).collect()
}

/// The position of each value among the distinct values.
fn ranks(values: &[u32]) -> Vec<u32> {
    let mut distinct = values.to_vec();
    distinct.dedup();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() == 1 {
        return vec![0; values.len()];
    }
    let mut last = (u32::MAX, 0);
    let rank = |&value: &u32| {
        if last.0 != value {
            last = (value, distinct.partition_point(|&other| other < value) as u32);
        }
        last.1
    };
    values.iter().map(rank).collect()
}

/// The rows in `order`, ordered by `keys` and then as before. Keys are small numbers: a counting sort.
fn order_by(order: &[u32], keys: &[u32]) -> Vec<u32> {
    let count = keys.iter().max().map_or(0, |&max| max as usize + 1);
    if count <= 1 {
        return order.to_vec();
    }
    let mut next = vec![0_u32; count + 1];
    keys.iter().for_each(|&key| next[key as usize + 1] += 1);
    for key in 1..next.len() {
        next[key] += next[key - 1];
    }
    let mut ordered = vec![0; order.len()];
    for &row in order {
        let at = &mut next[keys[row as usize] as usize];
        ordered[*at as usize] = row;
        *at += 1;
    }
    ordered
}

/// Splits rows that are ordered by `keys` into those with the same key.
fn runs_of<'o>(order: &'o [u32], keys: &[u32]) -> Vec<&'o [u32]> {
    order.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]).collect()
}
