//! Results as frames: typed columns with roles, and figures.

use super::messages;
use crate::panels::PanelResult;
use crate::panels::frame::{Comparison, Figure, FrameColumn};
use crate::panels::spec::Role;
use crate::panels::table::{Cell, Column, Kind};
use crate::proto::{self, v1};
use v1::frame_column::Values;

/// The result of any panel as a frame.
pub(crate) fn frame(result: &PanelResult) -> v1::Frame {
    let (table, frame) = (&result.table, &result.frame);
    let columns = table.columns.iter().zip(&frame.columns).enumerate();
    v1::Frame {
        columns: columns
            .map(|(index, (column, view))| frame_column(column, view, table.column(index)))
            .collect(),
        // ClickHouse returns at most 50,000 rows.
        rows: u32::try_from(table.rows.len()).unwrap_or(u32::MAX),
        figures: frame.figures.iter().map(figure).collect(),
        threshold: frame.threshold,
        context: Some(messages::context(result)),
        comparison: result.comparison.as_ref().map(|comparison| Box::new(self::frame(comparison))),
    }
}

fn frame_column<'a>(
    column: &Column,
    FrameColumn { label, role, unit, kind, additive }: &FrameColumn,
    cells: impl Iterator<Item = &'a Cell> + Clone,
) -> v1::FrameColumn {
    let nulls = (0..).zip(cells.clone()).filter(|(_, cell)| **cell == Cell::Null).map(|(row, _)| row);
    v1::FrameColumn {
        name: column.name.clone(),
        label: label.clone(),
        r#type: column.type_name.clone(),
        role: column_role(*role).into(),
        unit: unit.clone(),
        additive: *additive,
        nulls: nulls.collect(),
        values: Some(values(*kind, cells)),
    }
}

fn column_role(role: Role) -> v1::ColumnRole {
    match role {
        Role::Time => v1::ColumnRole::Time,
        Role::Dimension => v1::ColumnRole::Dimension,
        Role::Measure => v1::ColumnRole::Measure,
        Role::Detail => v1::ColumnRole::Detail,
        Role::Hidden => v1::ColumnRole::Hidden,
    }
}

/// The values of a column. NULL is a zero value.
fn values<'a>(kind: Kind, cells: impl Iterator<Item = &'a Cell>) -> Values {
    /// The values in the variant of the column's kind.
    macro_rules! collect {
        ($cells:expr, $variant:path) => {
            $cells.map(|cell| if let $variant(value) = cell { *value } else { Default::default() }).collect()
        };
    }
    match kind {
        Kind::Int => Values::Int64Values(v1::Int64Values { values: collect!(cells, Cell::Int) }),
        Kind::UInt => Values::Uint64Values(v1::Uint64Values { values: collect!(cells, Cell::UInt) }),
        Kind::Float => Values::DoubleValues(v1::DoubleValues { values: collect!(cells, Cell::Float) }),
        Kind::Bool => Values::BoolValues(v1::BoolValues { values: collect!(cells, Cell::Bool) }),
        Kind::Timestamp => {
            Values::TimestampValues(v1::Int64Values { values: collect!(cells, Cell::Timestamp) })
        }
        Kind::Date => Values::DateValues(v1::Int64Values { values: collect!(cells, Cell::Date) }),
        Kind::Text => {
            Values::StringValues(v1::StringValues { values: cells.map(ToString::to_string).collect() })
        }
    }
}

fn figure(Figure { label, unit, value, comparison }: &Figure) -> v1::Figure {
    use v1::figure::Value;
    let value = match value {
        Cell::Null => None,
        Cell::Int(value) => Some(Value::Int64Value(*value)),
        Cell::UInt(value) => Some(Value::Uint64Value(*value)),
        Cell::Float(value) => Some(Value::DoubleValue(*value)),
        Cell::Timestamp(millis) => Some(Value::TimestampValue(proto::timestamp_from_millis(*millis))),
        // A date is the same day in every time zone.
        text @ (Cell::Bool(_) | Cell::Text(_) | Cell::Date(_)) => Some(Value::StringValue(text.to_string())),
    };
    let (label, unit) = (label.clone(), unit.clone());
    v1::Figure { label, unit, value, comparison: comparison.as_ref().map(comparison_message) }
}

fn comparison_message(Comparison { label, value, change_pct }: &Comparison) -> v1::Comparison {
    use v1::comparison::Value;
    let value = match value {
        Cell::Int(value) => Some(Value::Int64Value(*value)),
        Cell::UInt(value) => Some(Value::Uint64Value(*value)),
        Cell::Float(value) => Some(Value::DoubleValue(*value)),
        Cell::Null | Cell::Bool(_) | Cell::Text(_) | Cell::Timestamp(_) | Cell::Date(_) => None,
    };
    v1::Comparison { label: label.clone(), value, change_pct: *change_pct }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, cells: &[Cell]) -> v1::FrameColumn {
        let column = Column { name: "v".into(), type_name: "T".into() };
        let view =
            FrameColumn { label: "V".into(), role: Role::Measure, unit: String::new(), kind, additive: true };
        frame_column(&column, &view, cells.iter())
    }

    #[test]
    fn columns_are_typed_and_null_is_an_index() {
        let ints = column(Kind::Int, &[Cell::Int(i64::MIN), Cell::Null, Cell::Int(i64::MAX), Cell::Null]);
        assert_eq!(ints.nulls, [1, 3]);
        let values = vec![i64::MIN, 0, i64::MAX, 0];
        assert_eq!(ints.values, Some(Values::Int64Values(v1::Int64Values { values })));
        let uints = column(Kind::UInt, &[Cell::UInt(u64::MAX)]).values;
        assert_eq!(uints, Some(Values::Uint64Values(v1::Uint64Values { values: vec![u64::MAX] })));
        let dates = column(Kind::Date, &[Cell::Date(-1), Cell::Null]).values;
        assert_eq!(dates, Some(Values::DateValues(v1::Int64Values { values: vec![-1, 0] })));
        let texts = column(Kind::Text, &[Cell::Text("a".into()), Cell::Null, Cell::Timestamp(0)]).values;
        let values = vec!["a".into(), String::new(), "1970-01-01T00:00:00Z".into()];
        assert_eq!(texts, Some(Values::StringValues(v1::StringValues { values })));
    }

    #[test]
    fn ten_thousand_rows_are_columns_of_ten_thousand_values() {
        let cells: Vec<Cell> =
            (0..10_000).map(|n| if n % 2 == 0 { Cell::Float(-0.5) } else { Cell::Null }).collect();
        let column = column(Kind::Float, &cells);
        let Some(Values::DoubleValues(doubles)) = column.values else { panic!("not doubles") };
        assert_eq!((doubles.values.len(), column.nulls.len(), column.nulls[4_999]), (10_000, 5_000, 9_999));
    }
}
