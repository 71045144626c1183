//! The body of a batch's INSERT in the Native format.

use super::native::NativeReader;
use super::*;

/// The Native types of an event's columns.
const TEXT: &str = "LowCardinality(String)";
const COUNTRY: &str = "LowCardinality(FixedString(2))";
const COUNTRY_BYTES: usize = 2;
const TIME: &str = "DateTime64(3)";
const NUMBER: &str = "Nullable(Float64)";

/// Collects the body of a block in parts. Large columns are moved, not copied.
#[derive(Default)]
struct BodyWriter {
    parts: Vec<Bytes>,
    head: Vec<u8>,
}

impl BodyWriter {
    fn column(&mut self, name: &str, kind: &str, values: Vec<u8>) {
        write_column_header(&mut self.head, name, kind);
        self.push(values.into());
    }

    fn text_column(&mut self, name: &str, kind: &str, column: &TextColumn, fixed_width: Option<usize>) {
        write_column_header(&mut self.head, name, kind);
        column.write_native(fixed_width, &mut self.head);
    }

    /// A column with the same value in every row.
    fn constant_column(&mut self, name: &str, kind: &str, value: &[u8], rows: usize) {
        write_column_header(&mut self.head, name, kind);
        let chunk = Bytes::from(value.repeat(rows.min(CHUNK_ROWS)));
        for first in (0..rows).step_by(CHUNK_ROWS) {
            self.push(chunk.slice(..(rows - first).min(CHUNK_ROWS) * value.len()));
        }
    }

    fn push(&mut self, values: Bytes) {
        if !self.head.is_empty() {
            self.parts.push(Bytes::from(std::mem::take(&mut self.head)));
        }
        self.parts.push(values);
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.push(Bytes::new());
        self.parts
    }
}

impl EventColumns {
    /// The body of a batch's INSERT in the Native format, as consecutive chunks. ClickHouse computes the columns that it does
    /// not have.
    pub fn into_native(self, batch_id: Uuid) -> Vec<Bytes> {
        let rows = self.rows as usize;
        let has_given_ids = !self.given_ids.is_empty();
        let mut body = BodyWriter::default();
        write_varint(&mut body.head, 11 + usize::from(has_given_ids) + self.promoted.len());
        write_varint(&mut body.head, rows);
        let (mut projects, mut received_at) = (TextColumn::default(), Vec::with_capacity(rows * 8));
        for run in &self.runs {
            projects.push_repeated(run.project.as_str().as_bytes(), run.rows as usize);
            (0..run.rows).for_each(|_| received_at.extend_from_slice(&run.received_at_ms.to_le_bytes()));
        }
        body.text_column("project", TEXT, &projects, None);
        body.text_column("event_name", TEXT, &self.event_names, None);
        body.column("timestamp", TIME, self.timestamps);
        body.column("session_id", "String", self.session_ids);
        body.column("user_id", "Nullable(String)", self.user_nulls);
        body.push(self.user_ids.into());
        body.text_column("device_type", TEXT, &self.device_types, None);
        body.text_column("country_code", COUNTRY, &self.country_codes, Some(COUNTRY_BYTES));
        body.column("properties", "String", self.properties);
        if has_given_ids {
            let mut ids = vec![0; rows * 16];
            for given in &self.given_ids {
                ids[given.row as usize * 16..][..16].copy_from_slice(&native_uuid(given.id));
            }
            body.column("given_event_id", "UUID", ids);
        }
        body.column("received_at", TIME, received_at);
        body.constant_column("batch", "UUID", &native_uuid(batch_id), rows);
        body.column("batch_row", "UInt32", (0..self.rows).flat_map(u32::to_le_bytes).collect());
        for PromotedColumn { name, values } in self.promoted {
            match values {
                PromotedValues::Text(column) => body.text_column(&name, TEXT, &column, None),
                PromotedValues::Numbers { nulls, values } => {
                    body.column(&name, NUMBER, nulls);
                    body.push(values.into());
                }
            }
        }
        body.finish()
    }

    /// Decodes the output of [`Self::into_native`], of this and of earlier versions, which sent no dictionaries, no project
    /// and an id for each event.
    pub fn from_native(body: &[u8]) -> Result<Self, MalformedColumns> {
        let mut reader = NativeReader::new(body);
        let (count, rows) = (reader.varint()?, reader.varint()?);
        let mut columns = Self {
            rows: u32::try_from(rows).map_err(|_| MalformedColumns("the number of rows exceeds 32 bits"))?,
            ..Self::default()
        };
        let (mut projects, mut received_at) = (None, Vec::new());
        for _ in 0..count {
            let (name, kind) = (reader.text()?, reader.text()?);
            match name {
                "project" => projects = Some(read_texts(&mut reader, kind, rows)?),
                "event_name" => columns.event_names = read_texts(&mut reader, kind, rows)?,
                "timestamp" => columns.timestamps = reader.bytes(rows * 8)?.to_vec(),
                "session_id" => columns.session_ids = reader.strings(rows)?.to_vec(),
                "user_id" => {
                    columns.user_nulls = reader.bytes(rows)?.to_vec();
                    columns.user_ids = reader.strings(rows)?.to_vec();
                }
                "device_type" => columns.device_types = read_texts(&mut reader, kind, rows)?,
                "country_code" => columns.country_codes = read_texts(&mut reader, kind, rows)?,
                "properties" => columns.properties = reader.strings(rows)?.to_vec(),
                // Earlier versions named the column `event_id`.
                "given_event_id" | "event_id" => {
                    for row in 0..columns.rows {
                        let id = reader.uuid()?;
                        if !id.is_nil() {
                            columns.given_ids.push(GivenId { row, id, from_producer: false });
                        }
                    }
                }
                "received_at" => {
                    received_at =
                        (0..rows).map(|_| Ok(reader.u64()?.cast_signed())).collect::<Result<_, _>>()?;
                }
                "batch" => drop(reader.bytes(rows * 16)?),
                "batch_row" => drop(reader.bytes(rows * 4)?),
                _ => {
                    let values = match kind {
                        NUMBER => PromotedValues::Numbers {
                            nulls: reader.bytes(rows)?.to_vec(),
                            values: reader.bytes(rows * 8)?.to_vec(),
                        },
                        _ => PromotedValues::Text(read_texts(&mut reader, kind, rows)?),
                    };
                    columns.promoted.push(PromotedColumn { name: name.to_owned(), values });
                }
            }
        }
        if !reader.rest().is_empty() {
            return Err(MalformedColumns("they are followed by other bytes"));
        }
        for row in 0..rows {
            let project = match &projects {
                None => Project::default(),
                Some(projects) => parse_project(projects.get(row))?,
            };
            columns.push_run(&project, received_at.get(row).copied().ok_or(TRUNCATED)?, 1);
        }
        columns.check()?;
        Ok(columns)
    }

    /// Whether an earlier version wrote a body: it has no project, which is the first column otherwise.
    pub fn is_of_earlier_version(body: &[u8]) -> bool {
        let mut reader = NativeReader::new(body);
        let mut first_column = || -> Result<bool, MalformedColumns> {
            let (_columns, _rows) = (reader.varint()?, reader.varint()?);
            Ok(reader.text()? != "project")
        };
        first_column().unwrap_or(false)
    }

    /// Checks that every column has one value per row.
    pub(super) fn check(&self) -> Result<(), MalformedColumns> {
        let rows = self.rows as usize;
        let texts = [&self.event_names, &self.device_types, &self.country_codes];
        let promoted = self.promoted.iter().map(|column| match &column.values {
            PromotedValues::Text(column) => column.indexes().len() == rows,
            PromotedValues::Numbers { nulls, values } => nulls.len() == rows && values.len() == 8 * rows,
        });
        let complete = texts.iter().all(|column| column.indexes().len() == rows)
            && self.timestamps.len() == rows * 8
            && self.user_nulls.len() == rows
            && [&self.session_ids, &self.user_ids, &self.properties]
                .iter()
                .all(|column| Strings(column).count() == rows)
            && self.runs.iter().map(|run| run.rows as usize).sum::<usize>() == rows
            && promoted.into_iter().all(|complete| complete);
        let countries_fit = (0..self.country_codes.dictionary().len() as u32)
            .all(|index| self.country_codes.dictionary().get(index).len() == COUNTRY_BYTES);
        match complete && countries_fit {
            true => Ok(()),
            false => Err(MalformedColumns("a column does not have exactly one value per row")),
        }
    }
}

pub(super) fn parse_project(name: &[u8]) -> Result<Project, MalformedColumns> {
    let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    name.ok_or(MalformedColumns("a project is invalid"))
}

fn read_texts(
    reader: &mut NativeReader<'_>,
    kind: &str,
    rows: usize,
) -> Result<TextColumn, MalformedColumns> {
    match kind {
        TEXT => TextColumn::read_native(reader, rows, None),
        COUNTRY => TextColumn::read_native(reader, rows, Some(COUNTRY_BYTES)),
        "String" | "FixedString(2)" => {
            let mut column = TextColumn::default();
            for _ in 0..rows {
                column.push(if kind == "String" { reader.string()? } else { reader.bytes(COUNTRY_BYTES)? });
            }
            Ok(column)
        }
        _ => Err(MalformedColumns("a column has an unknown type")),
    }
}
