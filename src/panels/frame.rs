//! From a result to what is needed to draw it: the roles and labels of its columns, and its figures.
//!
//! A column without a `column` line has a role by its type. Dates and times are the time axis, numbers are measures,
//! everything else is a dimension. A chart has one time axis and one dimension: further ones are details. A table keeps
//! all.

use super::catalog::Panel;
use super::query::PanelQuery;
use super::spec::{Aggregate, Chart, ColumnSpec, MAX_LABEL_CHARS, Role, Threshold};
use super::table::{Cell, Kind, ResultTable, base_type};
use super::{abbreviate, truncate};

/// The longest text that is a figure. Longer ones are cut.
const MAX_TEXT_CHARS: usize = 1_024;
/// How many columns an error message lists.
const MAX_LISTED_COLUMNS: usize = 20;

/// How a result is drawn. The values are those of the result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    /// One per column of the result, in its order.
    pub columns: Vec<FrameColumn>,
    /// The most important one first.
    pub figures: Vec<Figure>,
    /// The threshold of the measure.
    pub threshold: Option<f64>,
}

/// What is drawn of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameColumn {
    /// The name for people.
    pub label: String,
    pub role: Role,
    /// May be empty.
    pub unit: String,
    /// The form of the values.
    pub kind: Kind,
    /// Whether values of different rows can be added up.
    pub additive: bool,
}

/// A single value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub label: String,
    /// May be empty.
    pub unit: String,
    /// [`Cell::Null`] if there is none.
    pub value: Cell,
    pub comparison: Option<Comparison>,
}

/// The value that a figure is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Comparison {
    pub label: String,
    /// [`Cell::Null`] if there is none.
    pub value: Cell,
    /// In percent. `None` if the earlier value is 0 or missing.
    pub change_pct: Option<f64>,
}

/// A line of the header does not fit the result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    /// The result has no such column.
    #[error("{key}: the result has no column {:?}; it has {available}", abbreviate(column))]
    UnknownColumn {
        /// The key of the line.
        key: &'static str,
        /// The name in the line.
        column: String,
        /// The first columns of the result.
        available: String,
    },
    /// The column has another type.
    #[error("{key}: the column {:?} is a {}; expected {expected}", abbreviate(column), abbreviate(type_name))]
    WrongType {
        /// The key of the line.
        key: &'static str,
        /// The name in the line.
        column: String,
        /// The column's ClickHouse type.
        type_name: String,
        /// What is possible.
        expected: &'static str,
    },
}

impl HeaderMismatch {
    /// The key and the column of the line.
    pub(crate) fn line(&self) -> (&'static str, &str) {
        match self {
            Self::UnknownColumn { key, column, .. } | Self::WrongType { key, column, .. } => (key, column),
        }
    }
}

impl Frame {
    /// The frame of a panel's result.
    pub(crate) fn new(
        panel: &Panel,
        query: &PanelQuery,
        table: &ResultTable,
    ) -> Result<Self, HeaderMismatch> {
        for column in &panel.distinct {
            find_column(table, "distinct", column)?;
        }
        for column in &panel.spec.not_additive {
            find_column(table, "not-additive", column)?;
        }
        for column in &panel.spec.columns {
            find_column(table, "column", &column.name)?;
        }
        let mut frame = Self { columns: columns(panel, query, table), ..Self::default() };
        for spec in &panel.spec.figures {
            let value = aggregate(table, &spec.aggregate)?;
            let comparison = match &spec.versus {
                None => None,
                Some((earlier, label)) => {
                    Some(compare(&value, aggregate(table, earlier)?, query.fill(panel, label)))
                }
            };
            let (label, unit) = (query.fill(panel, &spec.label), spec.unit.clone());
            frame.figures.push(Figure { label, unit, value, comparison });
        }
        let first = frame.columns.iter().enumerate().find(|(_, column)| column.role != Role::Hidden);
        if let (Chart::Number, [], Some((index, column))) = (panel.chart, &*frame.figures, first) {
            let value = figure_value(table.column(index).next());
            let (label, unit) = (column.label.clone(), column.unit.clone());
            frame.figures.push(Figure { label, unit, value, comparison: None });
        }
        frame.threshold = match &panel.spec.threshold {
            None => None,
            Some(Threshold::Value(number)) => Some(*number),
            Some(Threshold::Column(column)) => {
                let index = find_number(table, "threshold", column)?;
                table.column(index).next().and_then(Cell::as_f64)
            }
        };
        Ok(frame)
    }

    /// Compares figures with those of an earlier period, unless the panel compares them with something else. If that period
    /// is not `is_stored` as a whole, its figures are missing: part of it would be a wrong comparison.
    pub(super) fn compare_figures(&mut self, earlier: &Self, label: &str, is_stored: bool) {
        for (figure, earlier) in self.figures.iter_mut().zip(&earlier.figures) {
            if figure.comparison.is_none() && !matches!(figure.value, Cell::Text(_)) {
                let value = if is_stored { earlier.value.clone() } else { Cell::Null };
                figure.comparison = Some(compare(&figure.value, value, label.to_owned()));
            }
        }
    }

    /// Memory use in bytes, estimated like that of [`ResultTable`].
    pub(crate) fn estimated_bytes(&self) -> usize {
        let columns = self
            .columns
            .iter()
            .map(|FrameColumn { label, unit, .. }| size_of::<FrameColumn>() + label.len() + unit.len());
        let text = |value: &Cell| if let Cell::Text(text) = value { text.len() } else { 0 };
        let figures = self.figures.iter().map(|Figure { label, unit, value, comparison }| {
            let compared =
                comparison.as_ref().map_or(0, |compared| compared.label.len() + text(&compared.value));
            size_of::<Figure>() + label.len() + unit.len() + text(value) + compared
        });
        columns.sum::<usize>() + figures.sum::<usize>()
    }

    /// Whether there is anything to compare with an earlier period.
    pub(super) fn is_comparable(&self) -> bool {
        self.time_column().is_some() || !self.figures.is_empty()
    }

    /// The index of the time axis, if there is one.
    pub(super) fn time_column(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.role == Role::Time)
    }
}

fn columns(panel: &Panel, query: &PanelQuery, table: &ResultTable) -> Vec<FrameColumn> {
    let spec = |name: &str| panel.spec.columns.iter().find(|column| column.name == name);
    let is_taken = |role| panel.spec.columns.iter().any(|column| column.role == role);
    // The roles that only one column of a chart has.
    let (mut time_taken, mut dimension_taken) = (is_taken(Role::Time), is_taken(Role::Dimension));
    let mut default_role = |kind: Kind| {
        let (role, taken) = match kind {
            kind if kind.is_time() => (Role::Time, &mut time_taken),
            kind if kind.is_number() => return Role::Measure,
            _ => (Role::Dimension, &mut dimension_taken),
        };
        let is_further = std::mem::replace(taken, true) && panel.chart != Chart::Table;
        if is_further { Role::Detail } else { role }
    };
    let column = |(index, column): (usize, &super::table::Column)| {
        let kind = table.kind(index);
        let spec = spec(&column.name);
        let role = spec.map_or_else(|| default_role(kind), |spec| spec.role);
        let default_unit = if role == Role::Measure { panel.unit.as_str() } else { "" };
        let unit = spec.and_then(|spec| spec.unit.as_deref()).unwrap_or(default_unit);
        // Counts can be added up. Floating-point numbers may be shares and means.
        let is_count =
            matches!(kind, Kind::Int | Kind::UInt) || base_type(&column.type_name).starts_with("Decimal");
        let is_excluded =
            panel.distinct.contains(&column.name) || panel.spec.not_additive.contains(&column.name);
        FrameColumn {
            label: label(panel, query, spec, &column.name),
            role,
            unit: unit.to_owned(),
            kind,
            additive: is_count && unit != "%" && !is_excluded,
        }
    };
    table.columns.iter().enumerate().map(column).collect()
}

/// The label of the header, or the name with spaces and a capital: "avg_duration_ms" becomes "Avg duration ms".
fn label(panel: &Panel, query: &PanelQuery, spec: Option<&ColumnSpec>, name: &str) -> String {
    if let Some(label) = spec.and_then(|spec| spec.label.as_deref()) {
        return query.fill(panel, label);
    }
    let words = name.replace('_', " ");
    let words = words.trim();
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => truncate(&first.to_uppercase().chain(letters).collect::<String>(), MAX_LABEL_CHARS),
        None => truncate(name, MAX_LABEL_CHARS),
    }
}

fn find_column(table: &ResultTable, key: &'static str, name: &str) -> Result<usize, HeaderMismatch> {
    table.column_index(name).ok_or_else(|| {
        let mut names: Vec<String> =
            table.columns.iter().take(MAX_LISTED_COLUMNS).map(|column| abbreviate(&column.name)).collect();
        if table.columns.len() > names.len() {
            names.push(format!("and {} more", table.columns.len() - names.len()));
        }
        HeaderMismatch::UnknownColumn { key, column: name.to_owned(), available: names.join(", ") }
    })
}

fn find_number(table: &ResultTable, key: &'static str, name: &str) -> Result<usize, HeaderMismatch> {
    let index = find_column(table, key, name)?;
    if !table.kind(index).is_number() {
        return Err(wrong_type(table, key, index, "a number"));
    }
    Ok(index)
}

fn wrong_type(
    table: &ResultTable,
    key: &'static str,
    index: usize,
    expected: &'static str,
) -> HeaderMismatch {
    let column = &table.columns[index];
    HeaderMismatch::WrongType {
        key,
        column: column.name.clone(),
        type_name: column.type_name.clone(),
        expected,
    }
}

fn aggregate(table: &ResultTable, aggregate: &Aggregate) -> Result<Cell, HeaderMismatch> {
    const KEY: &str = "figure";
    Ok(match aggregate {
        Aggregate::First(column) => {
            let index = find_column(table, KEY, column)?;
            figure_value(table.column(index).next())
        }
        Aggregate::Last(column) => {
            let index = find_column(table, KEY, column)?;
            figure_value(table.column(index).last())
        }
        Aggregate::Sum(column) => {
            let sum = sum(table.column(find_number(table, KEY, column)?));
            sum.to_cell()
        }
        Aggregate::Max(column) => {
            let index = find_column(table, KEY, column)?;
            let kind = table.kind(index);
            if !kind.is_number() && !kind.is_time() {
                return Err(wrong_type(table, KEY, index, "a number or a time"));
            }
            max(table.column(index))
        }
        Aggregate::Ratio(part, whole) => {
            let part = sum(table.column(find_number(table, KEY, part)?)).as_f64();
            let whole = sum(table.column(find_number(table, KEY, whole)?)).as_f64();
            if whole == 0.0 { Cell::Null } else { Cell::Float(100.0 * part / whole) }
        }
    })
}

fn figure_value(cell: Option<&Cell>) -> Cell {
    match cell {
        None => Cell::Null,
        Some(Cell::Text(text)) => Cell::Text(truncate(text, MAX_TEXT_CHARS)),
        Some(value) => value.clone(),
    }
}

/// A sum that is exact for integers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sum {
    /// At most 2^32 rows of at most 64 bits fit.
    Integer(i128),
    Float(f64),
}

impl Sum {
    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(sum) => sum as f64,
            Self::Float(sum) => sum,
        }
    }

    /// A floating-point number if the sum has more than 64 bits.
    fn to_cell(self) -> Cell {
        match self {
            Self::Integer(sum) => match (u64::try_from(sum), i64::try_from(sum)) {
                (Ok(sum), _) => Cell::UInt(sum),
                (_, Ok(sum)) => Cell::Int(sum),
                _ => Cell::Float(sum as f64),
            },
            Self::Float(sum) => Cell::Float(sum),
        }
    }
}

fn sum<'a>(values: impl Iterator<Item = &'a Cell>) -> Sum {
    values.fold(Sum::Integer(0), |sum, value| match (sum, value) {
        (Sum::Integer(sum), Cell::UInt(value)) => Sum::Integer(sum + i128::from(*value)),
        (Sum::Integer(sum), Cell::Int(value)) => Sum::Integer(sum + i128::from(*value)),
        (sum, value) => value.as_f64().map_or(sum, |value| Sum::Float(sum.as_f64() + value)),
    })
}

/// The largest value; [`Cell::Null`] if there is none. The values have one kind.
fn max<'a>(values: impl Iterator<Item = &'a Cell>) -> Cell {
    let is_larger = |value: &Cell, largest: &Cell| match (value, largest) {
        (Cell::UInt(value), Cell::UInt(largest)) => value > largest,
        (Cell::Int(value), Cell::Int(largest))
        | (Cell::Timestamp(value), Cell::Timestamp(largest))
        | (Cell::Date(value), Cell::Date(largest)) => value > largest,
        (Cell::Float(value), Cell::Float(largest)) => value > largest,
        (_, Cell::Null) => true,
        _ => false,
    };
    values.fold(&Cell::Null, |largest, value| if is_larger(value, largest) { value } else { largest }).clone()
}

fn compare(value: &Cell, earlier: Cell, label: String) -> Comparison {
    let change = value.as_f64().zip(earlier.as_f64().filter(|earlier| *earlier != 0.0));
    let change_pct = change.map(|(value, earlier)| 100.0 * (value - earlier) / earlier.abs());
    Comparison { label, value: earlier, change_pct }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::parse;
    use super::*;

    fn frame_of(header: &str, result: &str) -> Result<Frame, HeaderMismatch> {
        let panel = parse("p", &format!("-- title: T\n{header}\nSELECT 1")).unwrap();
        let table = ResultTable::from_json_compact(result.as_bytes()).unwrap();
        Frame::new(&panel, &PanelQuery::with_defaults("p"), &table)
    }

    /// A result with one column of this type.
    fn column(type_name: &str, values: &str) -> String {
        let rows: Vec<String> = values.split_whitespace().map(|value| format!("[{value}]")).collect();
        format!(r#"{{"meta": [{{"name":"v","type":"{type_name}"}}], "data": [{}]}}"#, rows.join(","))
    }

    fn figure(aggregate: &str, type_name: &str, values: &str) -> Cell {
        let header = format!("-- chart: number\n-- figure: {aggregate} \"x\"");
        frame_of(&header, &column(type_name, values)).unwrap().figures.remove(0).value
    }

    const EVERY_ROLE: &str = r#"{"meta": [{"name":"at","type":"DateTime('UTC')"},{"name":"day","type":"Date"},
        {"name":"country_code","type":"LowCardinality(String)"},{"name":"ok","type":"Bool"},{"name":"views","type":"UInt64"},
        {"name":"share","type":"Nullable(Float64)"},{"name":"people","type":"UInt64"}], "data": []}"#;

    #[test]
    fn columns_have_roles_by_their_types() {
        use Role::{Detail, Dimension, Hidden, Measure, Time};
        let roles = |header: &str| -> Vec<Role> {
            frame_of(header, EVERY_ROLE).unwrap().columns.iter().map(|column| column.role).collect()
        };
        assert_eq!(roles("-- chart: line"), [Time, Detail, Dimension, Detail, Measure, Measure, Measure]);
        assert_eq!(roles("-- chart: table"), [Time, Time, Dimension, Dimension, Measure, Measure, Measure]);
        let header = "-- chart: line\n-- column: day time\n-- column: views hidden";
        assert_eq!(roles(header), [Detail, Time, Dimension, Detail, Hidden, Measure, Measure]);
    }

    #[test]
    fn columns_have_labels_and_units_and_counts_are_additive() {
        let header = "-- chart: line\n-- unit: views\n-- distinct: people\n-- column: share detail %\n\
            -- column: people measure people \"People, {least} or more\"\n-- parameter: least UInt16 = 3 from 1 to 9: x";
        let columns = frame_of(header, EVERY_ROLE).unwrap().columns;
        let column = |index: usize| {
            let FrameColumn { label, unit, additive, .. } = &columns[index];
            (label.as_str(), unit.as_str(), *additive)
        };
        assert_eq!(column(2), ("Country code", "", false));
        assert_eq!(column(4), ("Views", "views", true));
        assert_eq!(column(5), ("Share", "%", false));
        assert_eq!(column(6), ("People, 3 or more", "people", false));
    }

    #[test]
    fn sums_are_exact_up_to_64_bits() {
        assert_eq!(figure("sum(v)", "UInt64", "18446744073709551614 1"), Cell::UInt(u64::MAX));
        assert_eq!(figure("sum(v)", "UInt64", "18446744073709551615 1"), Cell::Float(18446744073709551616.0));
        let (min, max) = (i64::MIN, i64::MAX);
        assert_eq!(figure("sum(v)", "Int64", &format!("{min} 0")), Cell::Int(min));
        assert_eq!(figure("sum(v)", "Int64", &format!("{min} {max}")), Cell::Int(-1));
        assert_eq!(figure("sum(v)", "Int64", &format!("{min} -1")), Cell::Float(min as f64));
        assert_eq!(figure("sum(v)", "Nullable(Float64)", "0.5 null -1.5"), Cell::Float(-1.0));
        assert_eq!(figure("sum(v)", "UInt64", ""), Cell::UInt(0));
    }

    #[test]
    fn other_aggregates_keep_the_type_and_skip_null() {
        assert_eq!(figure("max(v)", "Nullable(Int64)", "null -5 -3 null"), Cell::Int(-3));
        assert_eq!(figure("max(v)", "UInt64", "1 18446744073709551615 2"), Cell::UInt(u64::MAX));
        assert_eq!(figure("max(v)", "Date", r#""1969-12-31" "1970-01-02""#), Cell::Date(1));
        assert_eq!(figure("max(v)", "Nullable(UInt8)", "null"), Cell::Null);
        assert_eq!(figure("first(v)", "Nullable(UInt8)", "null 1"), Cell::Null);
        assert_eq!(figure("last(v)", "String", r#""a" "b""#), Cell::Text("b".into()));
        assert_eq!(figure("last(v)", "String", ""), Cell::Null);
        assert_eq!(figure("ratio(v, v)", "UInt64", "18446744073709551615 1"), Cell::Float(100.0));
        assert_eq!(figure("ratio(v, v)", "Int64", "-1 1"), Cell::Null);
    }

    #[test]
    fn a_number_panel_shows_its_first_column_by_default() {
        let frame = frame_of("-- chart: number\n-- unit: ms", &column("UInt64", "7")).unwrap();
        assert_eq!((frame.figures[0].label.as_str(), frame.figures[0].unit.as_str()), ("V", "ms"));
        assert_eq!(frame.figures[0].value, Cell::UInt(7));
        assert!(frame_of("-- chart: line", &column("UInt64", "7")).unwrap().figures.is_empty());
        let default = |columns: &str| {
            let result =
                r#"{"meta": [{"name":"a","type":"UInt64"},{"name":"b","type":"UInt64"}], "data": [[1,2]]}"#;
            let mut frame = frame_of(&format!("-- chart: number\n-- unit: ms\n{columns}"), result).unwrap();
            frame.figures.pop().map(|figure| (figure.label, figure.unit, figure.value))
        };
        let figure =
            |label: &str, unit: &str, value| Some((label.to_owned(), unit.to_owned(), Cell::UInt(value)));
        assert_eq!(default("-- column: a measure %"), figure("A", "%", 1));
        assert_eq!(default("-- column: a hidden"), figure("B", "ms", 2));
        assert_eq!(default("-- column: a hidden\n-- column: b hidden"), None);
    }

    #[test]
    fn only_counts_that_are_not_excluded_are_additive() {
        let additive = |type_name: &str, header: &str| {
            let frame = frame_of(&format!("-- chart: table\n{header}"), &column(type_name, "")).unwrap();
            frame.columns[0].additive
        };
        for type_name in
            ["UInt64", "Nullable(Int8)", "Decimal(18, 2)", "SimpleAggregateFunction(sum, UInt64)"]
        {
            assert!(additive(type_name, ""), "{type_name}");
            assert!(!additive(type_name, "-- not-additive: v"), "{type_name}");
        }
        for type_name in ["Float64", "Array(Decimal(18, 2))", "Tuple(a Decimal(9, 1))", "String"] {
            assert!(!additive(type_name, ""), "{type_name}");
        }
        let error = frame_of("-- chart: table\n-- not-additive: w", &column("UInt8", "")).unwrap_err();
        assert_eq!(error.to_string(), "not-additive: the result has no column \"w\"; it has v");
    }

    #[test]
    fn the_memory_of_a_frame_is_bounded() {
        let text = "x".repeat(100_000);
        let result = column("String", &format!("\"{text}\""));
        let frame = frame_of("-- chart: table\n-- figure: first(v) \"x\"", &result).unwrap();
        assert_eq!(frame.figures[0].value, Cell::Text(format!("{}…", &text[..1_024])));
        let bytes = frame.estimated_bytes();
        assert!((1_024..4_096).contains(&bytes), "{bytes}");

        let columns = |name: &str| {
            let meta: Vec<String> =
                (0..300).map(|index| format!(r#"{{"name":"{name}{index}","type":"UInt8"}}"#)).collect();
            format!(r#"{{"meta": [{}], "data": []}}"#, meta.join(","))
        };
        let frame = frame_of("-- chart: table", &columns(&text)).unwrap();
        assert!(frame.columns.iter().all(|column| column.label.chars().count() <= 201));
        assert!(frame.estimated_bytes() > 300 * 200);
        let error =
            frame_of(&format!("-- chart: table\n-- column: {text} hidden"), &columns("a")).unwrap_err();
        assert!(error.to_string().len() < 500, "{error}");
        assert!(error.to_string().ends_with("a19, and 280 more"), "{error}");
    }

    #[test]
    fn a_change_needs_an_earlier_value() {
        let change = |now: &str, earlier: &str| {
            let result = format!(
                r#"{{"meta": [{{"name":"now","type":"UInt64"}},{{"name":"earlier","type":"Nullable(Int64)"}}],
                "data": [[{now},{earlier}]]}}"#
            );
            let header = "-- chart: number\n-- figure: first(now) \"now\" versus first(earlier) \"earlier\"";
            frame_of(header, &result).unwrap().figures.remove(0).comparison.unwrap().change_pct
        };
        assert_eq!(change("150", "100"), Some(50.0));
        assert_eq!(change("0", "100"), Some(-100.0));
        assert_eq!(change("1", "-2"), Some(150.0));
        assert_eq!((change("1", "0"), change("1", "null")), (None, None));
    }

    #[test]
    fn a_threshold_is_a_number_or_the_first_row() {
        let threshold = |header: &str, values: &str| {
            let header = format!("-- chart: line\n-- threshold: {header}");
            frame_of(&header, &column("Nullable(Float64)", values)).unwrap().threshold
        };
        assert_eq!(threshold("1.5", ""), Some(1.5));
        assert_eq!(
            (threshold("v", "2 3"), threshold("v", "null 3"), threshold("v", "")),
            (Some(2.0), None, None)
        );
    }

    #[test]
    fn a_header_that_does_not_fit_the_result_is_reported_with_key_and_column() {
        let error = |line: &str| {
            let header = format!("-- chart: line\n-- {line}");
            frame_of(&header, EVERY_ROLE).unwrap_err().to_string()
        };
        let none =
            "the result has no column \"nothing\"; it has at, day, country_code, ok, views, share, people";
        assert_eq!(error("distinct: nothing"), format!("distinct: {none}"));
        assert_eq!(error("column: nothing hidden"), format!("column: {none}"));
        assert_eq!(error("figure: first(nothing) \"x\""), format!("figure: {none}"));
        assert_eq!(error("figure: sum(views) \"x\" versus last(nothing) \"y\""), format!("figure: {none}"));
        assert_eq!(error("threshold: nothing"), format!("threshold: {none}"));
        assert_eq!(
            error("figure: ratio(views, country_code) \"x\""),
            "figure: the column \"country_code\" is a LowCardinality(String); expected a number"
        );
        assert_eq!(
            error("figure: max(ok) \"x\""),
            "figure: the column \"ok\" is a Bool; expected a number or a time"
        );
        assert_eq!(
            error("threshold: at"),
            "threshold: the column \"at\" is a DateTime('UTC'); expected a number"
        );
    }
}
