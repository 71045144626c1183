//! How a panel is drawn: the lines of its header about the layout, columns, figures, threshold and span.
//!
//! ```sql
//! -- order: 10
//! -- size: medium
//! -- top: 5
//! -- events: page_view
//! -- column: views measure views "Views"
//! -- figure: sum(views) "page views" versus first(previous_views) "last week"
//! -- threshold: 1
//! -- span: window_minutes "last {window_minutes} minutes"
//! ```
//!
//! Columns are named here and looked up in the result by [`frame`](super::frame).

/// The position of a panel without `order`.
const DEFAULT_ORDER: u32 = 1_000;
/// The largest `order`.
const MAX_ORDER: u32 = 1_000_000;
/// The largest `top`.
const MAX_TOP: u32 = 1_000;
/// Series of a chart over time that can still be told apart.
const DEFAULT_TOP_SERIES: u32 = 7;
/// Bars of a ranking.
const DEFAULT_TOP_BARS: u32 = 25;
/// The most `figure` lines.
pub(super) const MAX_FIGURES: usize = 16;
/// The most `column` lines.
pub(super) const MAX_COLUMNS: usize = 200;
/// The most names in `events`.
pub(super) const MAX_EVENTS: usize = 50;
/// The longest unit.
pub(super) const MAX_UNIT_CHARS: usize = 32;
/// The longest label, title or name of an event. A label in which parameters are replaced is cut.
pub(super) const MAX_LABEL_CHARS: usize = 200;

/// How a panel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chart {
    /// The figures, large.
    Number,
    /// A line per measure, or per value of the dimension.
    Line,
    /// Like a line chart, filled.
    Area,
    /// Filled series on top of each other.
    Stacked,
    /// Vertical bars, over time or over the values of the dimension.
    Bar,
    /// Horizontal bars, one per value of the dimension.
    HorizontalBar,
    /// All columns and rows.
    Table,
}

impl Chart {
    /// Each with its name in the header.
    const NAMES: [(&str, Self); 7] = [
        ("number", Self::Number),
        ("line", Self::Line),
        ("area", Self::Area),
        ("stacked", Self::Stacked),
        ("bar", Self::Bar),
        ("horizontal-bar", Self::HorizontalBar),
        ("table", Self::Table),
    ];
    /// The names, for messages.
    pub(crate) const EXPECTED: &str = "number, line, area, stacked, bar, horizontal-bar, table";

    /// The chart with this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, chart)| chart)
    }
}

/// The space that a panel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Time,
    Dimension,
    Measure,
    Detail,
    Hidden,
}

/// The drawing part of a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spec {
    /// `None` for the default.
    pub order: Option<u32>,
    /// `None` for the default of the chart.
    pub size: Option<Size>,
    /// `None` for the default of the chart.
    pub top: Option<u32>,
    /// Names of the events that the panel reads.
    pub events: Vec<String>,
    /// Columns whose values cannot be added up, although they are integers or decimals.
    pub not_additive: Vec<String>,
    /// Columns that differ from the defaults.
    pub columns: Vec<ColumnSpec>,
    /// The most important one first.
    pub figures: Vec<FigureSpec>,
    /// The threshold of the measure.
    pub threshold: Option<Threshold>,
    /// Set if the panel does not cover the requested range.
    pub span: Option<SpanSpec>,
}

/// A `column` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnSpec {
    pub name: String,
    pub role: Role,
    /// `None` for the default.
    pub unit: Option<String>,
    /// `None` for the default.
    pub label: Option<String>,
}

/// A `figure` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FigureSpec {
    pub aggregate: Aggregate,
    pub unit: String,
    pub label: String,
    /// What the figure is compared with, and the label of that.
    pub versus: Option<(Aggregate, String)>,
}

/// One value from columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    /// The first row.
    First(String),
    /// The last row.
    Last(String),
    /// The sum; NULL counts as 0.
    Sum(String),
    /// The largest value.
    Max(String),
    /// The sum of the first column in percent of the sum of the second.
    Ratio(String, String),
}

/// A `threshold` line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Threshold {
    Value(f64),
    /// The first row of this column.
    Column(String),
}

/// A `span` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpanSpec {
    pub start: SpanStart,
    pub label: String,
}

/// Where a span of its own starts. It ends with the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpanStart {
    /// The start of the current hour: the parameter `hour_start`.
    Hour,
    /// As many minutes before the end as this parameter says.
    Minutes(String),
}

impl Spec {
    /// Position on the dashboard.
    pub(crate) fn order(&self) -> u32 {
        self.order.unwrap_or(DEFAULT_ORDER)
    }

    /// The space that the panel needs.
    pub(crate) fn size(&self, chart: Chart) -> Size {
        self.size.unwrap_or(if chart == Chart::Number { Size::Small } else { Size::Medium })
    }

    /// Whether the header alone declares a time axis or figures. The first column of a number chart is a figure.
    pub(super) fn is_comparable(&self, chart: Chart) -> bool {
        let has_time_axis = self.columns.iter().any(|column| column.role == Role::Time);
        has_time_axis || !self.figures.is_empty() || chart == Chart::Number
    }

    /// How many series or bars are drawn.
    pub(crate) fn top(&self, chart: Chart) -> u32 {
        self.top.unwrap_or(match chart {
            Chart::Line | Chart::Area | Chart::Stacked => DEFAULT_TOP_SERIES,
            Chart::Bar | Chart::HorizontalBar | Chart::Number | Chart::Table => DEFAULT_TOP_BARS,
        })
    }
}

/// What was expected instead of a header's value.
pub(super) type Expected = String;

/// Parses `order`.
pub(super) fn parse_order(value: &str) -> Result<u32, Expected> {
    let order = value.parse().ok().filter(|order| *order <= MAX_ORDER);
    order.ok_or_else(|| format!("a whole number from 0 to {MAX_ORDER}"))
}

/// Parses `size`.
pub(super) fn parse_size(value: &str) -> Result<Size, Expected> {
    match value {
        "small" => Ok(Size::Small),
        "medium" => Ok(Size::Medium),
        "large" => Ok(Size::Large),
        _ => Err("small, medium or large".to_owned()),
    }
}

/// Parses `top`.
pub(super) fn parse_top(value: &str) -> Result<u32, Expected> {
    let top = value.parse().ok().filter(|top| (1..=MAX_TOP).contains(top));
    top.ok_or_else(|| format!("a whole number from 1 to {MAX_TOP}"))
}

/// Parses `events`.
pub(super) fn parse_events(value: &str) -> Result<Vec<String>, Expected> {
    let events: Vec<String> = value.split(',').map(|event| event.trim().to_owned()).collect();
    if events.iter().any(String::is_empty) {
        return Err("names of events, separated by commas".to_owned());
    }
    Ok(events)
}

/// Parses `NAME ROLE [UNIT] ["Label"]`.
pub(super) fn parse_column(value: &str) -> Result<ColumnSpec, Expected> {
    let expected =
        || "NAME ROLE [UNIT] [\"Label\"] with the role time, dimension, measure, detail or hidden".to_owned();
    let (words, label) = split_label(value).ok_or_else(expected)?;
    let mut words = words.split_whitespace();
    let (name, role) = words.next().zip(words.next()).ok_or_else(expected)?;
    let role = match role {
        "time" => Role::Time,
        "dimension" => Role::Dimension,
        "measure" => Role::Measure,
        "detail" => Role::Detail,
        "hidden" => Role::Hidden,
        _ => return Err(expected()),
    };
    let unit = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(expected());
    }
    Ok(ColumnSpec { name: name.to_owned(), role, unit, label })
}

/// Parses `AGGREGATE [UNIT] "Label" [versus AGGREGATE "Label"]`.
pub(super) fn parse_figure(value: &str) -> Result<FigureSpec, Expected> {
    let expected = || {
        "AGGREGATE [UNIT] \"Label\", optionally followed by: versus AGGREGATE \"Label\". An aggregate is first(COLUMN), \
         last(COLUMN), sum(COLUMN), max(COLUMN) or ratio(COLUMN, COLUMN)"
            .to_owned()
    };
    let (figure, versus) = match value.split_once("\" versus ") {
        Some((figure, versus)) => (format!("{figure}\""), Some(versus)),
        None => (value.to_owned(), None),
    };
    let (aggregate, unit, label) = parse_labelled_aggregate(&figure).ok_or_else(expected)?;
    let versus = match versus.map(parse_labelled_aggregate) {
        None => None,
        Some(Some((aggregate, None, label))) => Some((aggregate, label)),
        Some(_) => return Err(expected()),
    };
    let default_unit = if matches!(aggregate, Aggregate::Ratio(..)) { "%" } else { "" };
    let unit = unit.unwrap_or_else(|| default_unit.to_owned());
    Ok(FigureSpec { aggregate, unit, label, versus })
}

fn parse_labelled_aggregate(text: &str) -> Option<(Aggregate, Option<String>, String)> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, rest) = rest.split_once(')')?;
    let mut columns = arguments.split(',').map(|column| column.trim().to_owned());
    let first = columns.next().filter(|column| !column.is_empty())?;
    let aggregate = match (name.trim(), columns.next()) {
        ("first", None) => Aggregate::First(first),
        ("last", None) => Aggregate::Last(first),
        ("sum", None) => Aggregate::Sum(first),
        ("max", None) => Aggregate::Max(first),
        ("ratio", Some(whole)) if !whole.is_empty() => Aggregate::Ratio(first, whole),
        _ => return None,
    };
    let (unit, label) = split_label(rest)?;
    let mut units = unit.split_whitespace().map(str::to_owned);
    let unit = units.next();
    (columns.next().is_none() && units.next().is_none()).then_some((aggregate, unit, label?))
}

/// Parses a number or the name of a column.
pub(super) fn parse_threshold(value: &str) -> Result<Threshold, Expected> {
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Threshold::Value(number)),
        Err(_) if is_name(value) => Ok(Threshold::Column(value.to_owned())),
        _ => Err("a number or the name of a column".to_owned()),
    }
}

/// Parses `START "Label"`.
pub(super) fn parse_span(value: &str) -> Result<SpanSpec, Expected> {
    match split_label(value) {
        Some((start, Some(label))) if is_name(start) => {
            let start = match start {
                "hour_start" => SpanStart::Hour,
                parameter => SpanStart::Minutes(parameter.to_owned()),
            };
            Ok(SpanSpec { start, label })
        }
        _ => Err("hour_start or the name of a parameter in minutes, followed by \"Label\"".to_owned()),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Splits `words "Label"` into the words and the label. `None` if a quote is missing or text follows the label.
fn split_label(text: &str) -> Option<(&str, Option<String>)> {
    let text = text.trim();
    let Some((words, label)) = text.split_once('"') else {
        return Some((text, None));
    };
    let label = label.strip_suffix('"').filter(|label| !label.is_empty() && !label.contains('"'))?;
    Some((words.trim(), Some(label.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_a_role_and_optionally_a_unit_and_a_label() {
        let column = |text| parse_column(text).map(|column| (column.role, column.unit, column.label));
        assert_eq!(column("a hidden"), Ok((Role::Hidden, None, None)));
        let full = (Role::Measure, Some("%".to_owned()), Some("Share of all".to_owned()));
        assert_eq!(column("a measure % \"Share of all\""), Ok(full));
        assert_eq!(column("a detail \"A: b\""), Ok((Role::Detail, None, Some("A: b".to_owned()))));
        for wrong in
            ["", "a", "a axis", "a measure ms s", "a measure \"x", "a measure \"x\" y", "a time \"\""]
        {
            assert!(column(wrong).unwrap_err().contains("NAME ROLE"), "{wrong}");
        }
    }

    #[test]
    fn a_figure_has_an_aggregate_a_label_and_optionally_a_comparison() {
        let figure = parse_figure("ratio( errors, events ) \"of all\"").unwrap();
        assert_eq!(figure.aggregate, Aggregate::Ratio("errors".into(), "events".into()));
        assert_eq!((figure.unit.as_str(), figure.label.as_str(), figure.versus), ("%", "of all", None));
        let figure = parse_figure("first(a) ms \"now\" versus sum(b) \"before\"").unwrap();
        assert_eq!((figure.aggregate, figure.unit.as_str()), (Aggregate::First("a".into()), "ms"));
        assert_eq!(figure.versus, Some((Aggregate::Sum("b".into()), "before".into())));
        for wrong in [
            "",
            "views \"x\"",
            "sum(views)",
            "sum() \"x\"",
            "sum(a, b) \"x\"",
            "ratio(a) \"x\"",
            "ratio(a, b, c) \"x\"",
            "avg(a) \"x\"",
            "sum(a) ms s \"x\"",
            "sum(a) \"x\" versus first(b)",
            "sum(a) \"x\" versus first(b) ms \"y\"",
            "sum(a) \"x\" and \"y\"",
        ] {
            assert!(parse_figure(wrong).unwrap_err().contains("ratio(COLUMN, COLUMN)"), "{wrong}");
        }
    }

    #[test]
    fn a_threshold_is_a_number_or_a_column() {
        assert_eq!(parse_threshold("-1.5"), Ok(Threshold::Value(-1.5)));
        assert_eq!(parse_threshold("limit_pct"), Ok(Threshold::Column("limit_pct".into())));
        for wrong in ["", "inf", "NaN", "1 %", "a-b"] {
            assert!(parse_threshold(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_starts_with_the_hour_or_minutes_ago() {
        assert_eq!(parse_span("hour_start \"this hour\"").unwrap().start, SpanStart::Hour);
        let window = parse_span("minutes \"last {minutes} minutes\"").unwrap();
        assert_eq!(window.start, SpanStart::Minutes("minutes".into()));
        for wrong in ["", "hour_start", "\"this hour\"", "a b \"c\""] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn defaults_depend_on_the_chart() {
        let spec = Spec::default();
        assert_eq!(spec.order(), 1_000);
        assert_eq!((spec.size(Chart::Number), spec.size(Chart::Table)), (Size::Small, Size::Medium));
        assert_eq!((spec.top(Chart::Stacked), spec.top(Chart::Bar)), (7, 25));
        for wrong in ["0", "-1", "many", "1001"] {
            assert!(parse_top(wrong).is_err(), "{wrong}");
        }
        assert!(Chart::NAMES.iter().all(|(name, _)| Chart::EXPECTED.contains(name)));
        assert!(parse_events("a, b").is_ok_and(|events| events == ["a", "b"]) && parse_events("a,").is_err());
    }
}
