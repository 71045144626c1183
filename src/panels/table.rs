//! The result of a statement: columns and rows, decoded from ClickHouse's JSONCompact format.

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::Deserialize;

/// Day 0 of [`Cell::Date`].
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Columns and rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResultTable {
    /// In the order of the statement.
    pub columns: Vec<Column>,
    /// Each row has a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column's name and type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Column {
    /// The name or alias in the statement.
    pub name: String,
    /// The ClickHouse type, such as `Nullable(UInt64)`.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// What a statement read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Statistics {
    pub rows_read: u64,
    pub bytes_read: u64,
}

impl Statistics {
    /// Those of a result in the JSONCompact format. Zeros if it has none.
    pub(crate) fn of(json: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            statistics: Statistics,
        }
        serde_json::from_slice(json).map_or_else(|_| Self::default(), |Answer { statistics }| statistics)
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// Int8 to Int64.
    Int(i64),
    /// UInt8 to UInt64.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// Bool.
    Bool(bool),
    /// String, and every type without a variant here: as JSON text.
    Text(String),
    /// DateTime and DateTime64, in milliseconds since 1970 UTC.
    Timestamp(i64),
    /// Date and Date32, in days since 1970-01-01.
    Date(i64),
}

/// The form of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    UInt,
    Float,
    Bool,
    Text,
    Timestamp,
    Date,
}

impl Kind {
    /// Whether it is a number.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::UInt | Self::Float)
    }

    /// Whether it is a point in time.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Timestamp | Self::Date)
    }
}

impl Cell {
    /// The number, if it is one. Integers beyond 2^53 are rounded.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::UInt(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::Timestamp(_) | Self::Date(_) => None,
        }
    }

    /// Milliseconds or days since 1970, if it is a point in time.
    pub(super) fn as_time(&self) -> Option<i64> {
        match self {
            Self::Timestamp(value) | Self::Date(value) => Some(*value),
            _ => None,
        }
    }

    /// `None` for NULL, which every type may have.
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Null => return None,
            Self::Int(_) => Kind::Int,
            Self::UInt(_) => Kind::UInt,
            Self::Float(_) => Kind::Float,
            Self::Bool(_) => Kind::Bool,
            Self::Text(_) => Kind::Text,
            Self::Timestamp(_) => Kind::Timestamp,
            Self::Date(_) => Kind::Date,
        })
    }
}

/// A value as text: times in ISO 8601, nothing for NULL.
impl std::fmt::Display for Cell {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Int(value) => value.fmt(out),
            Self::UInt(value) => value.fmt(out),
            Self::Float(value) => value.fmt(out),
            Self::Bool(value) => value.fmt(out),
            Self::Text(value) => value.fmt(out),
            Self::Timestamp(millis) => match Timestamp::from_millisecond(*millis) {
                Ok(timestamp) => timestamp.fmt(out),
                Err(_) => millis.fmt(out),
            },
            Self::Date(days) => match date_of(*days) {
                Some(date) => date.fmt(out),
                None => days.fmt(out),
            },
        }
    }
}

#[derive(Deserialize)]
struct JsonCompact {
    meta: Vec<Column>,
    data: Vec<Vec<serde_json::Value>>,
}

impl ResultTable {
    /// Decodes a response in the format JSONCompact.
    pub(crate) fn from_json_compact(response: &[u8]) -> Result<Self, serde_json::Error> {
        let JsonCompact { meta, data } = serde_json::from_slice(response)?;
        let rows = data
            .into_iter()
            .map(|row| {
                meta.iter().zip(row).map(|(column, value)| parse_cell(&column.type_name, value)).collect()
            })
            .collect();
        Ok(Self { columns: meta, rows })
    }

    /// The index of the column with this name.
    pub(crate) fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The values of a column.
    pub(crate) fn column(&self, index: usize) -> impl Iterator<Item = &Cell> + Clone {
        self.rows.iter().map(move |row| row.get(index).unwrap_or(&Cell::Null))
    }

    /// The form of a column's values, NULL aside: that of its type, or text if a value could not be decoded.
    pub(crate) fn kind(&self, index: usize) -> Kind {
        let kind = type_kind(&self.columns[index].type_name);
        let decoded = self.column(index).filter_map(Cell::kind).all(|found| found == kind);
        if decoded { kind } else { Kind::Text }
    }

    /// Memory use in bytes, estimated: struct sizes and string lengths, without the allocator's overhead.
    pub(crate) fn estimated_bytes(&self) -> usize {
        let texts =
            self.rows.iter().flatten().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 });
        let columns = self
            .columns
            .iter()
            .map(|column| column.name.len() + column.type_name.len() + size_of::<Column>());
        let row = size_of::<Vec<Cell>>() + self.columns.len() * size_of::<Cell>();
        self.rows.len() * row + texts.sum::<usize>() + columns.sum::<usize>()
    }
}

/// The type without `SimpleAggregateFunction`, `LowCardinality`, `Nullable` and arguments, which do not change the JSON of its
/// values.
pub(super) fn base_type(mut type_name: &str) -> &str {
    while let Some(inner) = wrapped_type(type_name) {
        type_name = inner;
    }
    type_name.split('(').next().unwrap_or(type_name)
}

fn wrapped_type(type_name: &str) -> Option<&str> {
    let (wrapper, arguments) = type_name.strip_suffix(')')?.split_once('(')?;
    match wrapper {
        "LowCardinality" | "Nullable" => Some(arguments),
        // The name of the function, then the type.
        "SimpleAggregateFunction" => Some(arguments.split_once(", ")?.1),
        _ => None,
    }
}

fn type_kind(type_name: &str) -> Kind {
    match base_type(type_name) {
        "UInt8" | "UInt16" | "UInt32" | "UInt64" => Kind::UInt,
        "Int8" | "Int16" | "Int32" | "Int64" => Kind::Int,
        "Bool" => Kind::Bool,
        "DateTime" | "DateTime64" => Kind::Timestamp,
        "Date" | "Date32" => Kind::Date,
        // Wider integers are decoded as floating-point numbers.
        "UInt128" | "UInt256" | "Int128" | "Int256" => Kind::Float,
        number if number.starts_with("Float") || number.starts_with("Decimal") || number == "BFloat16" => {
            Kind::Float
        }
        _ => Kind::Text,
    }
}

/// The inverse of [`Cell::Date`].
pub(super) fn date_of(days: i64) -> Option<Date> {
    EPOCH.checked_add(Span::new().try_days(days).ok()?).ok()
}

fn days_since_epoch(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

fn parse_cell(type_name: &str, value: serde_json::Value) -> Cell {
    use serde_json::Value;
    match (base_type(type_name), value) {
        (_, Value::Null) => Cell::Null,
        (_, Value::Bool(value)) => Cell::Bool(value),
        ("UInt8" | "UInt16" | "UInt32" | "UInt64", Value::Number(number)) if number.is_u64() => {
            Cell::UInt(number.as_u64().unwrap_or_default())
        }
        ("Int8" | "Int16" | "Int32" | "Int64", Value::Number(number)) if number.is_i64() => {
            Cell::Int(number.as_i64().unwrap_or_default())
        }
        (_, Value::Number(number)) => number.as_f64().map_or(Cell::Null, Cell::Float),
        ("DateTime" | "DateTime64", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(timestamp) => Cell::Timestamp(timestamp.as_millisecond()),
            Err(_) => Cell::Text(text),
        },
        ("Date" | "Date32", Value::String(text)) => match text.parse::<Date>() {
            Ok(date) => Cell::Date(days_since_epoch(date)),
            Err(_) => Cell::Text(text),
        },
        (_, Value::String(text)) => Cell::Text(text),
        (_, other) => Cell::Text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_type_and_precision() {
        let response = br#"{"meta": [{"name":"u","type":"UInt64"},{"name":"i","type":"Nullable(Int64)"},
            {"name":"f","type":"Float64"},{"name":"t","type":"DateTime('UTC')"},{"name":"s","type":"LowCardinality(String)"},
            {"name":"a","type":"Array(UInt8)"},{"name":"n","type":"Nullable(Float64)"},{"name":"b","type":"Bool"},
            {"name":"d","type":"Nullable(Date)"},{"name":"e","type":"Date32"},
            {"name":"m","type":"SimpleAggregateFunction(sum, UInt64)"},
            {"name":"l","type":"SimpleAggregateFunction(anyLast, LowCardinality(Nullable(String)))"},
            {"name":"c","type":"SimpleAggregateFunction(max, DateTime64(3, 'UTC'))"}],
            "data": [[18446744073709551615,-9223372036854775808,1,"2026-11-21T05:00:00Z","x",[1,2],null,true,
            "2026-11-21","1969-12-31",18446744073709551615,"y","2026-11-21T05:00:00.250Z"]], "rows": 1}"#;
        let table = ResultTable::from_json_compact(response).unwrap();
        assert_eq!(
            table.rows[0],
            [
                Cell::UInt(u64::MAX),
                Cell::Int(i64::MIN),
                Cell::Float(1.0),
                Cell::Timestamp(1_795_237_200_000),
                Cell::Text("x".into()),
                Cell::Text("[1,2]".into()),
                Cell::Null,
                Cell::Bool(true),
                Cell::Date(20_778),
                Cell::Date(-1),
                Cell::UInt(u64::MAX),
                Cell::Text("y".into()),
                Cell::Timestamp(1_795_237_200_250),
            ]
        );
        let kinds: Vec<Kind> = (0..table.columns.len()).map(|index| table.kind(index)).collect();
        assert_eq!(
            kinds,
            [
                Kind::UInt,
                Kind::Int,
                Kind::Float,
                Kind::Timestamp,
                Kind::Text,
                Kind::Text,
                Kind::Float,
                Kind::Bool,
                Kind::Date,
                Kind::Date,
                Kind::UInt,
                Kind::Text,
                Kind::Timestamp,
            ]
        );
        assert_eq!(table.rows[0][8].to_string(), "2026-11-21");
        assert_eq!(table.rows[0][9].to_string(), "1969-12-31");
    }
}
