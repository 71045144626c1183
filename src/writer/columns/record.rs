//! The encoding of columns in journal records, of this version and of the one before it.

use super::body::parse_project;
use super::native::NativeReader;
use super::*;

const TEXT: u8 = 0;
const NUMBER: u8 = 1;

impl EventColumns {
    /// Appends the journal's encoding: the number of rows, the runs, the given ids, the columns.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.size_bytes() + 256);
        write_varint(out, self.rows as usize);
        write_varint(out, self.runs.len());
        for run in &self.runs {
            write_string(out, run.project.as_str().as_bytes());
            out.extend_from_slice(&run.received_at_ms.to_le_bytes());
            write_varint(out, run.rows as usize);
        }
        write_varint(out, self.given_ids.len());
        for given in &self.given_ids {
            write_varint(out, given.row as usize);
            out.extend_from_slice(&native_uuid(given.id));
            out.push(u8::from(given.from_producer));
        }
        for column in [&self.event_names, &self.device_types, &self.country_codes] {
            column.encode_to(out);
        }
        out.extend_from_slice(&self.timestamps);
        out.extend_from_slice(&self.user_nulls);
        for column in [&self.session_ids, &self.user_ids, &self.properties] {
            write_string(out, column);
        }
        write_varint(out, self.promoted.len());
        for PromotedColumn { name, values } in &self.promoted {
            write_string(out, name.as_bytes());
            match values {
                PromotedValues::Text(column) => {
                    out.push(TEXT);
                    column.encode_to(out);
                }
                PromotedValues::Numbers { nulls, values } => {
                    out.push(NUMBER);
                    out.extend_from_slice(nulls);
                    out.extend_from_slice(values);
                }
            }
        }
    }

    /// Decodes the output of [`encode_to`](Self::encode_to). Other bytes are an error, or columns with complete rows.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedColumns> {
        let mut reader = NativeReader::new(bytes);
        let row_count = reader.varint()?;
        let mut columns = Self { rows: checked_rows(row_count)?, ..Self::default() };
        for _ in 0..reader.varint()? {
            let project = parse_project(reader.string()?)?;
            let received_at_ms = reader.u64()?.cast_signed();
            columns.push_run(&project, received_at_ms, checked_rows(reader.varint()?)?);
        }
        for _ in 0..reader.varint()? {
            let row = checked_rows(reader.varint()?)?;
            columns.given_ids.push(GivenId { row, id: reader.uuid()?, from_producer: reader.bytes(1)? == [1] });
        }
        check_given_ids(&columns)?;
        let mut texts = || {
            let mut rest = reader.rest();
            let column = TextColumn::decode(&mut rest, row_count)?;
            reader = NativeReader::new(rest);
            Ok(column)
        };
        columns.event_names = texts()?;
        columns.device_types = texts()?;
        columns.country_codes = texts()?;
        columns.timestamps = reader.bytes(row_count.saturating_mul(8))?.to_vec();
        columns.user_nulls = reader.bytes(row_count)?.to_vec();
        columns.session_ids = reader.string()?.to_vec();
        columns.user_ids = reader.string()?.to_vec();
        columns.properties = reader.string()?.to_vec();
        for _ in 0..reader.varint()? {
            let name = reader.text()?.to_owned();
            let values = match reader.bytes(1)? {
                [TEXT] => {
                    let mut rest = reader.rest();
                    let column = TextColumn::decode(&mut rest, row_count)?;
                    reader = NativeReader::new(rest);
                    PromotedValues::Text(column)
                }
                [NUMBER] => PromotedValues::Numbers {
                    nulls: reader.bytes(row_count)?.to_vec(),
                    values: reader.bytes(row_count.saturating_mul(8))?.to_vec(),
                },
                _ => return Err(MalformedColumns("a promoted property has an unknown type")),
            };
            columns.promoted.push(PromotedColumn { name, values });
        }
        if !reader.rest().is_empty() {
            return Err(MalformedColumns("they are followed by other bytes"));
        }
        columns.check()?;
        Ok(columns)
    }

    /// Decodes the columns of a record of the version before projects: the number of rows, the rows whose id the producer
    /// gave, the length of each buffer, the buffers.
    pub fn decode_version_1(bytes: &[u8]) -> Result<Self, MalformedColumns> {
        let mut reader = NativeReader::new(bytes);
        let row_count = reader.varint()?;
        let mut columns = Self { rows: checked_rows(row_count)?, ..Self::default() };
        let mut from_producer = HashSet::new();
        for _ in 0..reader.varint()? {
            from_producer.insert(checked_rows(reader.varint()?)?);
        }
        let mut lengths = [0; 10];
        for length in &mut lengths {
            *length = reader.varint()?;
        }
        let mut buffers = lengths.iter().map(|&length| reader.bytes(length).map(NativeReader::new));
        let mut next = || buffers.next().unwrap_or(Err(TRUNCATED));
        let strings = |mut buffer: NativeReader<'_>| {
            let mut column = TextColumn::default();
            while !buffer.rest().is_empty() {
                column.push(buffer.string()?);
            }
            Ok(column)
        };
        columns.event_names = strings(next()?)?;
        columns.timestamps = next()?.rest().to_vec();
        columns.session_ids = next()?.rest().to_vec();
        columns.user_nulls = next()?.rest().to_vec();
        columns.user_ids = next()?.rest().to_vec();
        columns.device_types = strings(next()?)?;
        let countries = next()?;
        countries.rest().chunks(2).for_each(|country| columns.country_codes.push(country));
        columns.properties = next()?.rest().to_vec();
        let (mut ids, mut received_at) = (next()?, next()?);
        for row in 0..columns.rows {
            columns.given_ids.push(GivenId { row, id: ids.uuid()?, from_producer: from_producer.contains(&row) });
            columns.push_run(&Project::default(), received_at.u64()?.cast_signed(), 1);
        }
        if !(ids.rest().is_empty() && received_at.rest().is_empty() && reader.rest().is_empty()) {
            return Err(MalformedColumns("they are followed by other bytes"));
        }
        columns.check()?;
        Ok(columns)
    }
}

fn checked_rows(rows: usize) -> Result<u32, MalformedColumns> {
    u32::try_from(rows).map_err(|_| MalformedColumns("the number of rows exceeds 32 bits"))
}

fn check_given_ids(columns: &EventColumns) -> Result<(), MalformedColumns> {
    let rows = || columns.given_ids.iter().map(|given| given.row);
    match rows().is_sorted_by(|a, b| a < b) && rows().all(|row| row < columns.rows) {
        true => Ok(()),
        false => Err(MalformedColumns("the rows with given ids are not ascending")),
    }
}
