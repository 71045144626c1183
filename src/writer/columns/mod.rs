//! Events as columns, close to the layout of ClickHouse's Native format.
//!
//! An event is encoded into columns once, when it is received. Everything after that copies whole columns: a journal record
//! holds them, a batch concatenates them, and an insert sends them. Columns with few distinct values are dictionaries
//! (`dictionary.rs`), which the rollup (`rollup/`) groups by without comparing texts.
//!
//! Layout, from ClickHouse's documentation of the Native format: a block is the number of its columns and of its rows
//! (LEB128), then for each column its name, its type and its values. A `String` value is its length (LEB128) and its bytes.
//! `Nullable` prepends one byte per row. A `UUID` is two little-endian halves, the high half first.

mod body;
mod dictionary;
pub(crate) mod native;
mod record;
mod rows;

use std::collections::HashSet;

use bytes::Bytes;
use uuid::Uuid;

pub(crate) use dictionary::TextColumn;
use native::{Strings, native_uuid, write_column_header, write_string, write_varint};
pub(crate) use rows::EventRow;

use crate::event::ValidEvent;
use crate::project::Project;
use crate::properties::{Properties, PropertyType, PropertyValue, Role};

/// What the rollup rows of an event cost that shares its minute with no other event: about 35 rows.
const ROLLUP_BYTES_PER_MINUTE: usize = 2_048;
const MILLIS_PER_MINUTE: i64 = 60_000;
/// Rows per chunk of columns with the same value in each row. All chunks share the same memory.
const CHUNK_ROWS: usize = 4_096;
/// Smaller records are concatenated at once.
const SMALL_RECORD_BYTES: usize = 32 << 10;

/// Rows of the table `events`, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventColumns {
    rows: u32,
    /// In the order of the rows. A request is one run.
    runs: Vec<Run>,
    event_names: TextColumn,
    /// Milliseconds since 1970 UTC, 8 bytes each.
    timestamps: Vec<u8>,
    /// With their lengths.
    session_ids: Vec<u8>,
    /// One byte per row: 1 without a user.
    user_nulls: Vec<u8>,
    /// With their lengths; empty without a user.
    user_ids: Vec<u8>,
    device_types: TextColumn,
    country_codes: TextColumn,
    /// With their lengths.
    properties: Vec<u8>,
    /// Ascending by row. Other events get an id from their position in the batch.
    given_ids: Vec<GivenId>,
    /// The promoted properties, as they were declared when the request was received.
    promoted: Vec<PromotedColumn>,
}

/// Consecutive rows of one project with the same time of receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    project: Project,
    received_at_ms: i64,
    rows: u32,
}

/// An event id that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GivenId {
    row: u32,
    id: Uuid,
    /// Whether the producer gave it, so that it is deduplicated. Earlier versions generated an id for every other event.
    from_producer: bool,
}

/// A column of a promoted property.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PromotedColumn {
    pub(super) name: String,
    pub(super) values: PromotedValues,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum PromotedValues {
    /// Empty if the event does not have the property.
    Text(TextColumn),
    Numbers {
        /// One byte per row: 1 if the event does not have the property.
        nulls: Vec<u8>,
        /// `Float64`, 8 bytes each.
        values: Vec<u8>,
    },
}

/// Why bytes cannot be decoded as [`EventColumns`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("event columns are malformed: {0}")]
pub struct MalformedColumns(&'static str);

const TRUNCATED: MalformedColumns = MalformedColumns("they are truncated");

/// Usually both are clones of one.
fn is_same_project(one: &Project, other: &Project) -> bool {
    std::ptr::eq(one.as_str(), other.as_str()) || one == other
}

/// What the rollup reads of a batch.
pub(super) struct RollupInput<'a> {
    pub(super) rows: usize,
    pub(super) timestamps: Vec<i64>,
    pub(super) projects: Vec<&'a Project>,
    /// By row, the index of its project.
    pub(super) project_of_row: Vec<u32>,
    pub(super) event_names: &'a TextColumn,
    /// Names and values of the dimensions.
    pub(super) dimensions: Vec<(&'a str, &'a TextColumn)>,
    measures: Vec<&'a PromotedValues>,
    /// By the index of an event name, the index of its measure.
    measure_of_name: Vec<Option<usize>>,
    user_ids: &'a [u8],
    session_ids: &'a [u8],
}

impl<'a> RollupInput<'a> {
    /// Empty without a user.
    pub(super) fn users(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Strings(self.user_ids)
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        Strings(self.session_ids)
    }

    /// The measure of the event name with this index.
    pub(super) fn measure_of(&self, name: u32) -> Option<usize> {
        self.measure_of_name[name as usize]
    }

    /// The value of a measure, if the event has it.
    pub(super) fn number(&self, measure: usize, row: usize) -> Option<f64> {
        self.measures[measure].number(row)
    }
}

impl PromotedValues {
    fn new(kind: PropertyType) -> Self {
        match kind {
            PropertyType::Text => Self::Text(TextColumn::default()),
            PropertyType::Number => Self::Numbers { nulls: Vec::new(), values: Vec::new() },
        }
    }

    fn kind(&self) -> PropertyType {
        match self {
            Self::Text(_) => PropertyType::Text,
            Self::Numbers { .. } => PropertyType::Number,
        }
    }

    fn push(&mut self, value: Option<&PropertyValue<'_>>) {
        match (self, value) {
            (Self::Text(column), Some(PropertyValue::Text(text))) => column.push(text.as_bytes()),
            (Self::Text(column), _) => column.push(b""),
            (Self::Numbers { nulls, values }, value) => {
                let number = match value {
                    Some(PropertyValue::Number(number)) => Some(*number),
                    _ => None,
                };
                nulls.push(u8::from(number.is_none()));
                values.extend_from_slice(&number.unwrap_or(0.0).to_le_bytes());
            }
        }
    }

    fn append(&mut self, more: &Self) {
        match (self, more) {
            (Self::Text(column), Self::Text(more)) => column.append(more),
            (Self::Numbers { nulls, values }, Self::Numbers { nulls: more_nulls, values: more_values }) => {
                nulls.extend_from_slice(more_nulls);
                values.extend_from_slice(more_values);
            }
            _ => unreachable!("`conform` gave both the same type"),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Text(column) => column.size_bytes(),
            Self::Numbers { nulls, values } => nulls.len() + values.len(),
        }
    }

    /// The value of a row, without nulls.
    pub(super) fn number(&self, row: usize) -> Option<f64> {
        let Self::Numbers { nulls, values } = self else { return None };
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&values[row * 8..row * 8 + 8]);
        (nulls[row] == 0).then(|| f64::from_le_bytes(bytes))
    }
}

impl EventColumns {
    /// An empty request of a project, with the promoted properties that are declared now.
    pub fn new(properties: &Properties) -> Self {
        let promoted = properties.iter().map(|property| PromotedColumn {
            name: property.name.clone(),
            values: PromotedValues::new(property.kind),
        });
        Self { promoted: promoted.collect(), ..Self::default() }
    }

    /// Reserves memory for a request of this many events, of which the encoded message has this many bytes.
    pub fn reserve(&mut self, events: usize, message_bytes: usize) {
        const ID_BYTES: usize = 38;
        self.timestamps.reserve(events * 8);
        self.user_nulls.reserve(events);
        self.session_ids.reserve((events * ID_BYTES).min(message_bytes));
        self.properties.reserve(message_bytes / 2);
        let texts = [&mut self.event_names, &mut self.device_types, &mut self.country_codes];
        let promoted = self.promoted.iter_mut().filter_map(|column| match &mut column.values {
            PromotedValues::Text(column) => Some(column),
            PromotedValues::Numbers { .. } => None,
        });
        texts.into_iter().chain(promoted).for_each(|column| column.reserve(events));
    }

    pub fn rows(&self) -> u32 {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Size of all values in memory, without column names.
    pub fn size_bytes(&self) -> usize {
        let texts = [&self.event_names, &self.device_types, &self.country_codes];
        let bytes = [&self.timestamps, &self.session_ids, &self.user_nulls, &self.user_ids, &self.properties];
        texts.into_iter().map(TextColumn::size_bytes).sum::<usize>()
            + bytes.into_iter().map(Vec::len).sum::<usize>()
            + self.given_ids.len() * size_of::<GivenId>()
            + self.promoted.iter().map(|column| column.values.size_bytes()).sum::<usize>()
    }

    /// The size that a batch grows by: [`Self::size_bytes`], and an estimate of the rollup rows of events that are out of order
    /// or late. Events of the same minute share rows, and there are few minutes in order.
    pub fn batch_bytes(&self) -> u64 {
        let mut minute = self.runs.first().map_or(0, |run| run.received_at_ms.div_euclid(MILLIS_PER_MINUTE));
        let mut minutes = 0;
        for timestamp in self.timestamps.as_chunks().0 {
            let other = i64::from_le_bytes(*timestamp).div_euclid(MILLIS_PER_MINUTE);
            minutes += usize::from(other != minute);
            minute = other;
        }
        (self.size_bytes() + minutes * ROLLUP_BYTES_PER_MINUTE) as u64
    }

    /// Appends a row. The event's promoted values are those of the properties passed to [`Self::new`].
    pub fn push(&mut self, event: &ValidEvent<'_>, project: &Project, received_at_ms: i64) {
        self.event_names.push(event.event_name().as_bytes());
        self.timestamps.extend_from_slice(&event.timestamp_ms().to_le_bytes());
        write_string(&mut self.session_ids, event.session_id().as_bytes());
        self.user_nulls.push(u8::from(event.user_id().is_none()));
        write_string(&mut self.user_ids, event.user_id().unwrap_or("").as_bytes());
        self.device_types.push(event.device_type().as_str().as_bytes());
        self.country_codes.push(&event.country_code());
        write_string(&mut self.properties, event.properties().as_bytes());
        if let Some(id) = event.event_id() {
            self.given_ids.push(GivenId { row: self.rows, id, from_producer: true });
        }
        for (index, column) in self.promoted.iter_mut().enumerate() {
            column.values.push(event.promoted_value(index));
        }
        self.push_run(project, received_at_ms, 1);
        self.rows += 1;
    }

    fn push_run(&mut self, project: &Project, received_at_ms: i64, rows: u32) {
        match self.runs.last_mut() {
            Some(run) if run.received_at_ms == received_at_ms && is_same_project(&run.project, project) => {
                run.rows = run.rows.saturating_add(rows);
            }
            _ => self.runs.push(Run { project: project.clone(), received_at_ms, rows }),
        }
    }

    /// Rows and ids of the events with an id from the producer.
    pub fn explicit_ids(&self) -> impl Iterator<Item = (u32, Uuid)> + '_ {
        self.given_ids.iter().filter(|given| given.from_producer).map(|given| (given.row, given.id))
    }

    /// What the rollup reads of these columns, which are those of `properties`.
    pub(super) fn rollup_input<'a>(&'a self, properties: &'a Properties) -> RollupInput<'a> {
        let mut projects: Vec<&Project> = Vec::new();
        let mut project_of_row = Vec::with_capacity(self.rows as usize);
        for run in &self.runs {
            let known = projects.iter().position(|project| **project == run.project);
            let project = known.unwrap_or_else(|| {
                projects.push(&run.project);
                projects.len() - 1
            });
            project_of_row.resize(project_of_row.len() + run.rows as usize, project as u32);
        }
        let column_of = |name: &str| self.promoted.iter().find(|column| column.name == name);
        let mut dimensions = vec![("country_code", &self.country_codes), ("device_type", &self.device_types)];
        let declared = properties.iter().filter(|property| property.role == Role::Dimension);
        dimensions.extend(declared.filter_map(|property| match &column_of(&property.name)?.values {
            PromotedValues::Text(column) => Some((property.name.as_str(), column)),
            PromotedValues::Numbers { .. } => None,
        }));
        let mut measures = Vec::new();
        let names = self.event_names.dictionary();
        let measure_of_name = (0..names.len() as u32).map(|name| {
            let property = properties.measure_of(std::str::from_utf8(names.get(name)).ok()?)?;
            measures.push(&column_of(&property.name)?.values);
            Some(measures.len() - 1)
        });
        let measure_of_name = measure_of_name.collect();
        let millis = self.timestamps.chunks_exact(8).map(|bytes| {
            let mut array = [0; 8];
            array.copy_from_slice(bytes);
            i64::from_le_bytes(array)
        });
        RollupInput {
            rows: self.rows as usize,
            timestamps: millis.collect(),
            projects,
            project_of_row,
            event_names: &self.event_names,
            dimensions,
            measures,
            measure_of_name,
            user_ids: &self.user_ids,
            session_ids: &self.session_ids,
        }
    }

    /// The session ids, by which the simulation identifies events.
    #[cfg(test)]
    pub(super) fn event_ids(&self) -> Vec<Uuid> {
        let parse = |id: &[u8]| std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        Strings(&self.session_ids).map(|id| parse(id).expect("a session id of the simulation")).collect()
    }

    /// The columns of a batch: all rows of its records, with the promoted properties that are declared now.
    pub fn concatenate(records: Vec<Self>, properties: &Properties) -> Self {
        let mut batch = Self::new(properties);
        let total = |bytes: fn(&Self) -> &Vec<u8>| records.iter().map(|record| bytes(record).len()).sum();
        batch.timestamps.reserve_exact(total(|record| &record.timestamps));
        batch.session_ids.reserve_exact(total(|record| &record.session_ids));
        batch.user_nulls.reserve_exact(total(|record| &record.user_nulls));
        batch.user_ids.reserve_exact(total(|record| &record.user_ids));
        batch.properties.reserve_exact(total(|record| &record.properties));
        let rows = records.iter().map(|record| record.rows as usize).sum();
        batch.reserve(rows, 0);
        for mut record in records {
            record.conform(properties);
            batch.append(&record);
        }
        batch
    }

    /// Makes the promoted columns exactly those of `properties`. Missing ones are extracted from the stored JSON.
    pub fn conform(&mut self, properties: &Properties) {
        let is_declared = |column: &PromotedColumn, index: usize| {
            properties
                .iter()
                .nth(index)
                .is_some_and(|property| property.name == column.name && property.kind == column.values.kind())
        };
        let conforms = self.promoted.len() == properties.iter().len()
            && self.promoted.iter().enumerate().all(|(index, column)| is_declared(column, index));
        if conforms {
            return;
        }
        let mut earlier = std::mem::take(&mut self.promoted);
        let mut missing = HashSet::new();
        for (index, property) in properties.iter().enumerate() {
            let known = earlier
                .iter()
                .position(|column| column.name == property.name && column.values.kind() == property.kind);
            self.promoted.push(match known {
                Some(at) => earlier.swap_remove(at),
                None => {
                    missing.insert(index);
                    PromotedColumn { name: property.name.clone(), values: PromotedValues::new(property.kind) }
                }
            });
        }
        if missing.is_empty() {
            return;
        }
        for (row, json) in Strings(&self.properties).enumerate() {
            let (name, json) = (self.event_names.get(row), std::str::from_utf8(json).unwrap_or("{}"));
            let mut found = Vec::new();
            properties.extract(std::str::from_utf8(name).unwrap_or(""), json, |index, value| {
                found.push((index, value));
            });
            for &index in &missing {
                let value = found.iter().find(|(at, _)| *at == index).map(|(_, value)| value);
                self.promoted[index].values.push(value);
            }
        }
    }

    /// Whether `more` is better appended than kept beside it: it can be, and a record takes about a kilobyte in addition to its values.
    pub(crate) fn is_better_appended(&self, more: &Self) -> bool {
        self.size_bytes() < SMALL_RECORD_BYTES && self.has_same_columns(more)
    }

    /// Whether both have the same promoted properties.
    pub(super) fn has_same_columns(&self, other: &Self) -> bool {
        self.promoted.len() == other.promoted.len()
            && self
                .promoted
                .iter()
                .zip(&other.promoted)
                .all(|(a, b)| a.name == b.name && a.values.kind() == b.values.kind())
    }

    /// Appends the rows of `more`, which [has the same columns](Self::has_same_columns).
    pub(crate) fn append(&mut self, more: &Self) {
        for run in &more.runs {
            self.push_run(&run.project, run.received_at_ms, run.rows);
        }
        self.event_names.append(&more.event_names);
        self.timestamps.extend_from_slice(&more.timestamps);
        self.session_ids.extend_from_slice(&more.session_ids);
        self.user_nulls.extend_from_slice(&more.user_nulls);
        self.user_ids.extend_from_slice(&more.user_ids);
        self.device_types.append(&more.device_types);
        self.country_codes.append(&more.country_codes);
        self.properties.extend_from_slice(&more.properties);
        let given_ids = more.given_ids.iter().map(|given| GivenId { row: given.row + self.rows, ..*given });
        self.given_ids.extend(given_ids);
        for (column, more) in self.promoted.iter_mut().zip(&more.promoted) {
            column.values.append(&more.values);
        }
        self.rows += more.rows;
    }

    /// A copy without the rows in `dropped`, which is ascending.
    pub fn without_rows(&self, dropped: &[u32]) -> Self {
        let is_kept = |row: u32| dropped.binary_search(&row).is_err();
        let strings = |column: &[u8]| {
            let mut kept = Vec::with_capacity(column.len());
            (0..)
                .zip(Strings(column))
                .filter(|(row, _)| is_kept(*row))
                .for_each(|(_, text)| write_string(&mut kept, text));
            kept
        };
        let fixed = |column: &[u8], width: usize| {
            let values = (0..).zip(column.chunks_exact(width)).filter(|(row, _)| is_kept(*row));
            values.flat_map(|(_, value)| value).copied().collect::<Vec<u8>>()
        };
        let mut kept = Self {
            rows: 0,
            runs: Vec::new(),
            event_names: self.event_names.filter(is_kept),
            timestamps: fixed(&self.timestamps, 8),
            session_ids: strings(&self.session_ids),
            user_nulls: fixed(&self.user_nulls, 1),
            user_ids: strings(&self.user_ids),
            device_types: self.device_types.filter(is_kept),
            country_codes: self.country_codes.filter(is_kept),
            properties: strings(&self.properties),
            given_ids: Vec::new(),
            promoted: Vec::new(),
        };
        for column in &self.promoted {
            let values = match &column.values {
                PromotedValues::Text(texts) => PromotedValues::Text(texts.filter(is_kept)),
                PromotedValues::Numbers { nulls, values } => {
                    PromotedValues::Numbers { nulls: fixed(nulls, 1), values: fixed(values, 8) }
                }
            };
            kept.promoted.push(PromotedColumn { name: column.name.clone(), values });
        }
        let mut given_ids = self.given_ids.iter().peekable();
        let mut row = 0;
        for run in &self.runs {
            for _ in 0..run.rows {
                let given = given_ids.next_if(|given| given.row == row);
                if is_kept(row) {
                    kept.given_ids.extend(given.map(|given| GivenId { row: kept.rows, ..*given }));
                    kept.push_run(&run.project, run.received_at_ms, 1);
                    kept.rows += 1;
                }
                row += 1;
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::proto::v1;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn columns(events: &[v1::Event]) -> EventColumns {
        let rules =
            ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
        let properties = Properties::built_in();
        let mut columns = EventColumns::new(&properties);
        for event in events {
            let valid = validate(event, &rules, &properties, NOW_MS).unwrap();
            let project = if event.session_id.len() < 100 { "web" } else { "shop" };
            columns.push(&valid, &project.parse().unwrap(), NOW_MS);
        }
        columns
    }

    fn events() -> impl Strategy<Value = Vec<v1::Event>> {
        let properties = "(browser|os|duration_ms|referrer)".prop_flat_map(|key| {
            let value =
                prop_oneof!["[a-z]{0,2}".prop_map(serde_json::Value::from), any::<u8>().prop_map(Into::into)];
            value.prop_map(move |value| serde_json::json!({ key.clone(): value }).to_string())
        });
        let user_id = proptest::option::of("[a-z]{1,3}");
        let event = ("[a-z]{1,200}", user_id, proptest::option::of(1..u128::MAX), properties).prop_map(
            |(name, user_id, id, properties)| v1::Event {
                event_name: name.chars().take(128).collect(),
                timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
                session_id: name,
                user_id,
                properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(properties)),
                event_id: id.map(|id| Uuid::from_u128(id).to_string()),
                ..Default::default()
            },
        );
        proptest::collection::vec(event, 0..20)
    }

    #[test]
    fn events_of_many_minutes_make_a_batch_larger() {
        let columns = |step_seconds: i64| {
            let events: Vec<v1::Event> = (0..1_000)
                .map(|number| v1::Event {
                    event_name: "a".into(),
                    timestamp: Some(prost_types::Timestamp {
                        seconds: NOW_MS / 1_000 - number * step_seconds,
                        nanos: 0,
                    }),
                    ..Default::default()
                })
                .collect();
            columns(&events)
        };
        let (near, far) = (columns(0), columns(60));
        assert_eq!(near.batch_bytes(), near.size_bytes() as u64);
        assert_eq!(far.batch_bytes(), (far.size_bytes() + 999 * ROLLUP_BYTES_PER_MINUTE) as u64);
    }

    proptest! {
        #[test]
        fn columns_round_trip(events in events()) {
            let columns = columns(&events);
            let mut bytes = Vec::new();
            columns.encode_to(&mut bytes);
            prop_assert_eq!(EventColumns::decode(&bytes), Ok(columns));
        }

        #[test]
        fn appending_equals_pushing_in_sequence(a in events(), b in events()) {
            let mut appended = columns(&a);
            appended.append(&columns(&b));
            prop_assert_eq!(appended, columns(&[a, b].concat()));
        }

        #[test]
        fn removing_rows_equals_never_pushing_them(events in events(), seed in any::<u32>()) {
            let dropped: Vec<u32> = (0..events.len() as u32).filter(|row| seed >> (row % 32) & 1 == 1).collect();
            let kept: Vec<_> =
                (0_u32..).zip(&events).filter(|(row, _)| !dropped.contains(row)).map(|(_, e)| e.clone()).collect();
            prop_assert_eq!(columns(&events).without_rows(&dropped), columns(&kept));
        }

        #[test]
        fn decoding_arbitrary_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(columns) = EventColumns::decode(&bytes) {
                prop_assert_eq!(columns.without_rows(&[]), columns);
            }
        }
    }

    #[test]
    fn explicit_event_ids_are_recorded() {
        let mut event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
            ..Default::default()
        };
        let without = event.clone();
        let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        event.event_id = Some(id.to_string());
        let columns = columns(&[without, event]);
        assert_eq!(columns.explicit_ids().collect::<Vec<_>>(), [(1, id)]);
    }

    proptest! {
        #[test]
        fn a_body_is_decoded_as_its_columns(events in events()) {
            let columns = columns(&events);
            let mut decoded = EventColumns::from_native(&columns.clone().into_native(Uuid::max()).concat()).unwrap();
            decoded.given_ids.iter_mut().for_each(|given| given.from_producer = true);
            prop_assert_eq!(decoded, columns);
        }

        #[test]
        fn columns_of_other_properties_are_extracted_from_the_stored_json(events in events()) {
            let expected = columns(&events);
            let mut earlier = expected.clone();
            earlier.promoted.retain(|column| !matches!(&*column.name, "browser" | "duration_ms"));
            earlier.promoted.push(PromotedColumn { name: "dropped".into(), ..expected.promoted[0].clone() });
            earlier.conform(&Properties::built_in());
            prop_assert_eq!(&earlier, &expected);
            let both = EventColumns::concatenate(vec![earlier, expected.clone()], &Properties::built_in());
            prop_assert_eq!(both, columns(&[events.clone(), events].concat()));
        }

        #[test]
        fn decoding_an_arbitrary_body_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            EventColumns::from_native(&bytes).ok();
            EventColumns::decode_version_1(&bytes).ok();
        }
    }

    /// A record and a body as the version before projects wrote them.
    #[test]
    fn records_and_bodies_of_version_1_are_read() {
        let id = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let mut buffers: [Vec<u8>; 10] = Default::default();
        let [names, times, sessions, nulls, users, devices, countries, properties, ids, received] =
            &mut buffers;
        for row in 0..2_u8 {
            write_string(names, b"page_view");
            times.extend_from_slice(&(NOW_MS + i64::from(row)).to_le_bytes());
            write_string(sessions, b"s");
            nulls.push(1);
            write_string(users, b"");
            write_string(devices, b"mobile");
            countries.extend_from_slice(b"ES");
            write_string(properties, br#"{"page_url":"/a/1"}"#);
            ids.extend_from_slice(&native_uuid(id));
            received.extend_from_slice(&NOW_MS.to_le_bytes());
        }
        let mut record = vec![2, 1, 1];
        buffers.iter().for_each(|buffer| write_varint(&mut record, buffer.len()));
        buffers.iter().for_each(|buffer| record.extend_from_slice(buffer));
        let decoded = EventColumns::decode_version_1(&record).unwrap();
        assert_eq!(decoded.explicit_ids().collect::<Vec<_>>(), [(1, id)], "the other id was generated");
        assert_eq!((decoded.rows(), decoded.given_ids.len()), (2, 2));
        assert_eq!(decoded.runs, [Run { project: Project::default(), received_at_ms: NOW_MS, rows: 2 }]);

        let mut body = vec![10, 2];
        let kinds = [
            "String",
            "DateTime64(3)",
            "String",
            "Nullable(String)",
            "",
            "String",
            "FixedString(2)",
            "String",
            "UUID",
            "DateTime64(3)",
        ];
        let columns = [
            "event_name",
            "timestamp",
            "session_id",
            "user_id",
            "",
            "device_type",
            "country_code",
            "properties",
            "event_id",
            "received_at",
        ];
        for ((buffer, kind), column) in buffers.iter().zip(kinds).zip(columns) {
            if !column.is_empty() {
                write_column_header(&mut body, column, kind);
            }
            body.extend_from_slice(buffer);
        }
        write_column_header(&mut body, "batch", "UUID");
        body.extend_from_slice(&native_uuid(Uuid::max()).repeat(2));
        let mut from_body = EventColumns::from_native(&body).unwrap();
        from_body.given_ids[1].from_producer = true;
        assert_eq!(from_body, decoded);
        from_body.conform(&Properties::built_in());
        let PromotedValues::Text(pages) = &from_body.promoted[0].values else { panic!("page_url is a text") };
        assert_eq!(pages.get(1), b"/a/:id");
    }
}
