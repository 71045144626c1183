//! The result of a statement: columns and rows, decoded from ClickHouse's JSONCompact format.

use serde::Deserialize;

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

/// The type without `LowCardinality`, `Nullable` and arguments, which do not change the JSON of its values.
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
