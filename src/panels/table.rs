//! A panel's answer: columns and rows, with the types that ClickHouse gave them.

use serde::Deserialize;

use crate::proto::v1;

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultTable {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its ClickHouse type.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// None.
    Null,
    /// A whole number that may be negative.
    Int(i64),
    /// A whole number.
    UInt(u64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text, and what has no kind of its own.
    Text(String),
    /// Milliseconds since 1970 UTC.
    Timestamp(i64),
}

/// What a panel's statement answered, in the format JSONCompact.
#[derive(Deserialize)]
struct JsonCompact {
    meta: Vec<Column>,
    data: Vec<Vec<serde_json::Value>>,
}

impl ResultTable {
    /// Reads an answer in the format JSONCompact.
    pub fn from_json_compact(response: &[u8]) -> Result<Self, serde_json::Error> {
        let JsonCompact { meta, data } = serde_json::from_slice(response)?;
        let rows = data
            .into_iter()
            .map(|row| {
                meta.iter().zip(row).map(|(column, value)| parse_cell(&column.type_name, value)).collect()
            })
            .collect();
        Ok(Self { columns: meta, rows })
    }

    /// The place of a column.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// About how much memory it takes, in bytes.
    pub fn estimated_bytes(&self) -> usize {
        let texts =
            self.rows.iter().flatten().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 });
        let columns = self
            .columns
            .iter()
            .map(|column| column.name.len() + column.type_name.len() + size_of::<Column>());
        let row = size_of::<Vec<Cell>>() + self.columns.len() * size_of::<Cell>();
        self.rows.len() * row + texts.sum::<usize>() + columns.sum::<usize>()
    }

    /// The contract's table.
    pub fn to_proto(&self, context: v1::PanelContext) -> v1::PanelTable {
        v1::PanelTable {
            columns: self
                .columns
                .iter()
                .map(|column| v1::Column { name: column.name.clone(), r#type: column.type_name.clone() })
                .collect(),
            rows: self
                .rows
                .iter()
                .map(|row| v1::Row {
                    values: row.iter().map(|cell| v1::Value { kind: cell.to_proto() }).collect(),
                })
                .collect(),
            context: Some(context),
        }
    }
}

impl Cell {
    fn to_proto(&self) -> Option<v1::value::Kind> {
        use v1::value::Kind;
        Some(match self {
            Self::Null => return None,
            Self::Int(value) => Kind::Int64Value(*value),
            Self::UInt(value) => Kind::Uint64Value(*value),
            Self::Float(value) => Kind::DoubleValue(*value),
            Self::Bool(value) => Kind::BoolValue(*value),
            Self::Text(value) => Kind::StringValue(value.clone()),
            Self::Timestamp(millis) => Kind::TimestampValue(crate::proto::timestamp_from_millis(*millis)),
        })
    }
}

/// The type without what does not change its values.
fn base_type(mut type_name: &str) -> &str {
    for wrapper in ["LowCardinality(", "Nullable("] {
        if let Some(inner) = type_name.strip_prefix(wrapper) {
            type_name = inner.strip_suffix(')').unwrap_or(inner);
        }
    }
    type_name.split('(').next().unwrap_or(type_name)
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
        ("DateTime" | "DateTime64", Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Cell::Timestamp(timestamp.as_millisecond()),
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
            {"name":"a","type":"Array(UInt8)"},{"name":"n","type":"Nullable(Float64)"},{"name":"b","type":"Bool"}],
            "data": [[18446744073709551615,-9223372036854775808,1,"2026-11-21T05:00:00Z","x",[1,2],null,true]], "rows": 1}"#;
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
            ]
        );
    }
}
