//! The rollup rows as one block in the Native format.

use super::*;
use crate::writer::columns::TextColumn;
use crate::writer::columns::native::{write_column_header, write_string, write_varint};

const TEXT: &str = "LowCardinality(String)";
const BITMAP: &str = "AggregateFunction(groupBitmap, UInt32)";
const FEW: &str = "AggregateFunction(uniqUpTo(100), UInt64)";
const COUNT: &str = "SimpleAggregateFunction(sum, UInt64)";
const SUM: &str = "SimpleAggregateFunction(sum, Float64)";

/// The columns of states, in their order in the table.
const STATE_COLUMNS: [(&str, &str); 6] = [
    ("visitors", BITMAP),
    ("few_visitors", FEW),
    ("sampled_visitors", BITMAP),
    ("sessions", BITMAP),
    ("few_sessions", FEW),
    ("sampled_sessions", BITMAP),
];

/// What the rows of all levels and buckets have in common.
#[derive(Clone, Copy)]
pub(super) struct RowKey<'a> {
    pub(super) project: u32,
    /// Empty for all events.
    pub(super) event_name: &'a [u8],
    /// Empty without a breakdown.
    pub(super) dimension: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Where the states of a bucket are in [`BlockWriter::key_states`].
#[derive(Clone, Copy, Default)]
pub(super) struct StateRanges([(usize, usize); STATE_COLUMNS.len()]);

#[derive(Default)]
pub(super) struct BlockWriter {
    rows: usize,
    projects: Vec<u32>,
    event_names: TextColumn,
    dimensions: TextColumn,
    steps: Vec<u8>,
    starts: Vec<u8>,
    values: Vec<u8>,
    events: Vec<u8>,
    states: [Vec<u8>; STATE_COLUMNS.len()],
    /// The encoded states of the current key.
    key_states: [Vec<u8>; STATE_COLUMNS.len()],
    measure_sums: Vec<u8>,
    measure_counts: Vec<u8>,
}

impl BlockWriter {
    /// Forgets the states of the last key.
    pub(super) fn start_key(&mut self) {
        self.key_states.iter_mut().for_each(Vec::clear);
    }

    /// Encodes the states of a bucket's visitors and sessions, for one or more rows of the same key.
    pub(super) fn encode_states(
        &mut self,
        encoders: &mut [SetEncoder; 2],
        numbers: [&[u32]; 2],
    ) -> StateRanges {
        let starts = self.key_states.each_ref().map(Vec::len);
        let (visitors, sessions) = self.key_states.split_at_mut(STATE_COLUMNS.len() / 2);
        for ((encoder, numbers), columns) in encoders.iter_mut().zip(numbers).zip([visitors, sessions]) {
            if let [all, few, sampled] = columns {
                encoder.encode_all(numbers, all);
                encoder.encode_few(numbers, few);
                encoder.encode_sampled(numbers, sampled);
            }
        }
        let mut ranges = StateRanges::default();
        for (range, (start, column)) in ranges.0.iter_mut().zip(starts.into_iter().zip(&self.key_states)) {
            *range = (start, column.len());
        }
        ranges
    }

    /// Adds a row.
    pub(super) fn push(&mut self, key: RowKey<'_>, step: u16, cell: &Cell) {
        self.rows += 1;
        self.projects.push(key.project);
        self.event_names.push(key.event_name);
        self.dimensions.push(key.dimension);
        self.steps.extend_from_slice(&step.to_le_bytes());
        self.starts.extend_from_slice(&(cell.start * 60).to_le_bytes());
        write_string(&mut self.values, key.value);
        self.events.extend_from_slice(&cell.events.to_le_bytes());
        for ((column, encoded), &(start, end)) in
            self.states.iter_mut().zip(&self.key_states).zip(&cell.states.0)
        {
            column.extend_from_slice(&encoded[start..end]);
        }
        self.measure_sums.extend_from_slice(&cell.measure_sum.to_le_bytes());
        self.measure_counts.extend_from_slice(&cell.measure_count.to_le_bytes());
    }

    pub(super) fn finish(self, input: &RollupInput<'_>) -> Vec<Bytes> {
        let mut projects = TextColumn::default();
        for project in &self.projects {
            projects.push(input.projects[*project as usize].as_str().as_bytes());
        }
        let mut parts = Vec::new();
        let mut head = Vec::new();
        write_varint(&mut head, 15);
        write_varint(&mut head, self.rows);
        for (name, column) in
            [("project", &projects), ("event_name", &self.event_names), ("dimension", &self.dimensions)]
        {
            write_column_header(&mut head, name, TEXT);
            column.write_native(None, &mut head);
        }
        let mut push = |name: &str, kind: &str, values: Vec<u8>| {
            write_column_header(&mut head, name, kind);
            parts.push(Bytes::from(std::mem::take(&mut head)));
            parts.push(Bytes::from(values));
        };
        push("step", "UInt16", self.steps);
        push("start", "DateTime('UTC')", self.starts);
        push("value", "String", self.values);
        push("events", COUNT, self.events);
        for ((name, kind), states) in STATE_COLUMNS.into_iter().zip(self.states) {
            push(name, kind, states);
        }
        push("measure_sum", SUM, self.measure_sums);
        push("measure_count", COUNT, self.measure_counts);
        parts
    }
}
