//! `millrace query`: asks a running server for trends, funnels, retention and paths.

use std::io::{self, IsTerminal as _, Write};

use clap::{Args, Subcommand};

use super::connection::ConnectionArgs;
use super::events::{
    Format, RangeArgs, csv_field, failed, field_filters, parse_filter, printable, time, unless_closed,
};
use crate::proto::json::to_json;
use crate::proto::v1;
use crate::shutdown::ShutdownSignals;
use v1::event_filter::Condition;
use v1::explore_service_client::ExploreServiceClient;

/// Arguments of `millrace query`.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryArgs {
    #[command(subcommand)]
    query: Query,
}

#[derive(Clone, Debug, Subcommand)]
enum Query {
    /// Figures over time
    Trend(TrendArgs),
    /// How many go from step to step
    Funnel(FunnelArgs),
    /// How many come back
    Retention(RetentionArgs),
    /// What visitors do before or after an event
    Paths(PathsArgs),
}

/// What all queries have.
#[derive(Args, Clone, Debug)]
struct CommonArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Only events whose field has this value, such as country_code=DE or plan=pro. Can be repeated: several values of a field
    /// mean any of them
    #[arg(long = "filter", value_name = "FIELD=VALUE", value_parser = parse_filter)]
    filters: Vec<(String, String)>,
    /// IANA time zone of days, weeks and months; UTC by default
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl CommonArgs {
    fn filter(&self) -> Option<v1::EventFilter> {
        let filters = field_filters(&self.filters);
        (!filters.is_empty())
            .then_some(v1::EventFilter { condition: Some(Condition::All(v1::EventFilterList { filters })) })
    }
}

#[derive(Args, Clone, Debug)]
struct TrendArgs {
    /// An event; "" for any. Each is a series
    #[arg(long = "event", value_name = "NAME", default_value = "")]
    events: Vec<String>,
    /// events, visitors, unlinked_visitors, sessions, events_per_visitor, sum, average, min, max, p50, p90, p95 or p99
    #[arg(long, value_name = "NAME", default_value = "events", value_parser = parse_aggregation)]
    aggregation: v1::Aggregation,
    /// The property of sum, average, min, max and quantiles
    #[arg(long, value_name = "FIELD", default_value = "")]
    property: String,
    /// Break down by the values of a field. Can be given twice
    #[arg(long = "by", value_name = "FIELD")]
    breakdown: Vec<String>,
    /// How many values of the breakdown are listed
    #[arg(long, value_name = "VALUES")]
    limit: Option<u32>,
    /// An expression over the series, such as "100 * B / A"
    #[arg(long, value_name = "EXPRESSION", default_value = "")]
    formula: String,
    /// Width of the buckets: minute, 5_minutes, quarter_hour, half_hour, hour, 2_hours, 6_hours, day or week
    #[arg(long, value_name = "WIDTH", value_parser = parse_bucket)]
    bucket: Option<v1::Bucket>,
    /// Compare with the previous period, or with a week ago: previous_period or week_ago
    #[arg(long, value_name = "PERIOD", value_parser = parse_compare)]
    compare: Option<v1::Compare>,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Clone, Debug)]
struct FunnelArgs {
    /// An event that is a step, in order: 2 to 10
    #[arg(long = "step", value_name = "NAME", required = true)]
    steps: Vec<String>,
    /// How long after the first step the last one counts: 30m, 1h, 14d
    #[arg(long, value_name = "DURATION", default_value = "14d", value_parser = parse_window)]
    window: prost_types::Duration,
    /// sequential, strict or any
    #[arg(long, value_name = "ORDER", default_value = "sequential", value_parser = parse_order)]
    order: v1::FunnelOrder,
    /// An event that must not occur between the steps. Can be repeated
    #[arg(long = "exclude", value_name = "NAME")]
    exclusions: Vec<String>,
    /// What goes through the funnel: visitor, session or a field
    #[arg(long, value_name = "GROUP", default_value = "visitor")]
    group_by: String,
    /// Break down by the values of a field
    #[arg(long = "by", value_name = "FIELD", default_value = "")]
    breakdown: String,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Clone, Debug)]
struct RetentionArgs {
    /// The event that puts visitors into a cohort; "" for any
    #[arg(long, value_name = "NAME", default_value = "")]
    start: String,
    /// The event by which they return; "" for any
    #[arg(long = "return", value_name = "NAME", default_value = "")]
    back: String,
    /// hour, day, week or month
    #[arg(long, value_name = "PERIOD", default_value = "week", value_parser = parse_period)]
    period: v1::RetentionPeriod,
    /// How many periods after the first one
    #[arg(long, value_name = "PERIODS", default_value = "8")]
    periods: u32,
    /// Every start counts, not only the first one ever
    #[arg(long)]
    recurring: bool,
    /// Returns in a period or later
    #[arg(long)]
    on_or_after: bool,
    /// Periods begin at each visitor's start
    #[arg(long)]
    rolling: bool,
    /// Break down by the values of a field
    #[arg(long = "by", value_name = "FIELD", default_value = "")]
    breakdown: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Clone, Debug)]
struct PathsArgs {
    /// The event where paths begin; without it, the start of each visit
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Paths that lead to the event
    #[arg(long)]
    before: bool,
    /// The field whose value names a step instead of the event, such as page_url
    #[arg(long, value_name = "FIELD", default_value = "")]
    field: String,
    /// Number of steps, 1 to 5
    #[arg(long, value_name = "STEPS", default_value = "3")]
    steps: u32,
    /// How many transitions are listed per step
    #[arg(long, value_name = "TRANSITIONS", default_value = "20")]
    limit: u32,
    #[command(flatten)]
    range: RangeArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// Finds the value of an enum of the contracts by the end of its name.
fn parse_enum<T>(text: &str, prefix: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let name = text.to_uppercase().replace('-', "_");
    let known = Some(&*name).filter(|name| *name != "UNSPECIFIED");
    known
        .and_then(|name| from_name(&format!("{prefix}_{name}")))
        .ok_or_else(|| "see --help for the values".to_owned())
}

fn parse_aggregation(text: &str) -> Result<v1::Aggregation, String> {
    parse_enum(text, "AGGREGATION", v1::Aggregation::from_str_name)
}

fn parse_bucket(text: &str) -> Result<v1::Bucket, String> {
    parse_enum(text, "BUCKET", v1::Bucket::from_str_name)
}

fn parse_compare(text: &str) -> Result<v1::Compare, String> {
    parse_enum(text, "COMPARE", v1::Compare::from_str_name)
}

fn parse_order(text: &str) -> Result<v1::FunnelOrder, String> {
    parse_enum(text, "FUNNEL_ORDER", v1::FunnelOrder::from_str_name)
}

fn parse_period(text: &str) -> Result<v1::RetentionPeriod, String> {
    parse_enum(text, "RETENTION_PERIOD", v1::RetentionPeriod::from_str_name)
}

fn parse_window(text: &str) -> Result<prost_types::Duration, String> {
    let seconds = || {
        let number: i64 = text.get(..text.len().checked_sub(1)?)?.parse().ok()?;
        let unit = match text.as_bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            _ => return None,
        };
        number.checked_mul(unit)
    };
    let seconds = seconds().ok_or("use a number and a unit, such as 30m, 1h or 14d")?;
    Ok(prost_types::Duration { seconds, nanos: 0 })
}

fn step(name: &str) -> v1::FunnelStep {
    v1::FunnelStep { event_name: name.to_owned(), filter: None }
}

/// Runs `millrace query`, until its output or a signal.
pub(crate) async fn run(args: QueryArgs) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    tokio::select! {
        result = query(args.query) => unless_closed(result),
        () = signals.recv() => Ok(()),
    }
}

async fn query(query: Query) -> anyhow::Result<()> {
    let (format, table, json) = match query {
        Query::Trend(args) => {
            let TrendArgs { common, .. } = &args;
            let mut client = ExploreServiceClient::new(common.connection.connect().await?);
            let series = args.events.iter().map(|event| v1::TrendSeries {
                event_name: event.clone(),
                filter: None,
                aggregation: args.aggregation.into(),
                property: args.property.clone(),
            });
            let request = v1::QueryTrendRequest {
                series: series.collect(),
                filter: common.filter(),
                range: Some(args.range.message(common.time_zone.clone())),
                bucket: args.bucket.unwrap_or_default().into(),
                compare: args.compare.unwrap_or_default().into(),
                formula: args.formula.clone(),
                breakdown: args.breakdown.clone(),
                limit: args.limit,
            };
            let response = client.query_trend(common.connection.request(request)?).await.map_err(failed)?;
            let response = response.into_inner();
            (common.format, trend_table(&response, &args), to_json("QueryTrendResponse", &response))
        }
        Query::Funnel(args) => {
            let FunnelArgs { common, .. } = &args;
            let mut client = ExploreServiceClient::new(common.connection.connect().await?);
            let exclusion = |name: &String| v1::FunnelExclusion {
                event_name: name.clone(),
                ..v1::FunnelExclusion::default()
            };
            let request = v1::QueryFunnelRequest {
                steps: args.steps.iter().map(|name| step(name)).collect(),
                window: Some(args.window),
                order: args.order.into(),
                exclusions: args.exclusions.iter().map(exclusion).collect(),
                filter: common.filter(),
                group_by: args.group_by.clone(),
                breakdown: args.breakdown.clone(),
                range: Some(args.range.message(common.time_zone.clone())),
                ..v1::QueryFunnelRequest::default()
            };
            let response = client.query_funnel(common.connection.request(request)?).await.map_err(failed)?;
            let response = response.into_inner();
            (common.format, funnel_table(&response, &args.steps), to_json("QueryFunnelResponse", &response))
        }
        Query::Retention(args) => {
            let RetentionArgs { common, .. } = &args;
            let mut client = ExploreServiceClient::new(common.connection.connect().await?);
            let kind =
                if args.recurring { v1::RetentionKind::Recurring } else { v1::RetentionKind::FirstTime };
            let criterion =
                if args.on_or_after { v1::RetentionCriterion::OnOrAfter } else { v1::RetentionCriterion::On };
            let basis = if args.rolling { v1::RetentionBasis::Rolling } else { v1::RetentionBasis::Calendar };
            let request = v1::QueryRetentionRequest {
                start: Some(step(&args.start)),
                r#return: Some(step(&args.back)),
                period: args.period.into(),
                periods: Some(args.periods),
                kind: kind.into(),
                criterion: criterion.into(),
                basis: basis.into(),
                filter: common.filter(),
                breakdown: args.breakdown.clone(),
                time_zone: common.time_zone.clone(),
                ..v1::QueryRetentionRequest::default()
            };
            let response =
                client.query_retention(common.connection.request(request)?).await.map_err(failed)?;
            let response = response.into_inner();
            (common.format, retention_table(&response), to_json("QueryRetentionResponse", &response))
        }
        Query::Paths(args) => {
            let PathsArgs { common, .. } = &args;
            let mut client = ExploreServiceClient::new(common.connection.connect().await?);
            let request = v1::QueryPathsRequest {
                event: args.event.as_deref().map(step),
                before: args.before,
                field: args.field.clone(),
                steps: Some(args.steps),
                limit: Some(args.limit),
                filter: common.filter(),
                range: Some(args.range.message(common.time_zone.clone())),
                ..v1::QueryPathsRequest::default()
            };
            let response = client.query_paths(common.connection.request(request)?).await.map_err(failed)?;
            let response = response.into_inner();
            (common.format, paths_table(&response), to_json("QueryPathsResponse", &response))
        }
    };
    let is_terminal = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = io::BufWriter::new(io::stdout());
    match format {
        Format::Json => writeln!(out, "{json}")?,
        Format::Csv => table.write_csv(&mut out)?,
        Format::Table => table.write(&mut out, is_terminal)?,
    }
    out.flush()?;
    Ok(())
}

/// A result as text.
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new<T: Into<String>>(header: impl IntoIterator<Item = T>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let fields: Vec<String> = row.iter().map(|field| csv_field(field)).collect();
            writeln!(out, "{}", fields.join(","))?;
        }
        Ok(())
    }

    /// In columns; numbers to the right.
    fn write(&self, out: &mut impl Write, is_terminal: bool) -> io::Result<()> {
        let rows: Vec<Vec<String>> = std::iter::once(&self.header)
            .chain(&self.rows)
            .map(|row| row.iter().map(|text| printable(text)).collect())
            .collect();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                rows.iter()
                    .filter_map(|row| row.get(column))
                    .map(|text| text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let is_number = |text: &str| text.trim_end_matches('%').parse::<f64>().is_ok() || text == "-";
        let is_right: Vec<bool> = (0..widths.len())
            .map(|column| rows.iter().skip(1).all(|row| row.get(column).is_none_or(|text| is_number(text))))
            .collect();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(column, text)| {
                    let width = widths[column];
                    if is_right[column] { format!("{text:>width$}") } else { format!("{text:<width$}") }
                })
                .collect();
            let (bold, end) = if index == 0 && is_terminal { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
            writeln!(out, "{bold}{}{end}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| format!("{:.2}", value).trim_end_matches('0').trim_end_matches('.').to_owned(),
    )
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}%"))
}

/// A row per bucket, a column per line.
fn trend_table(response: &v1::QueryTrendResponse, args: &TrendArgs) -> Table {
    let name = |line: &v1::TrendLine| {
        let series = match (&*args.formula, args.events.get(line.series as usize).map(String::as_str)) {
            ("", Some("") | None) => "any event".to_owned(),
            ("", Some(event)) => event.to_owned(),
            (formula, _) => formula.to_owned(),
        };
        let values = if line.is_other { "(other)".to_owned() } else { line.breakdown.join(", ") };
        if values.is_empty() { series } else { format!("{series}: {values}") }
    };
    let is_compared = args.compare.is_some();
    let columns = response.lines.iter().flat_map(|line| {
        let compared = is_compared.then(|| format!("{} (before)", name(line)));
        std::iter::once(name(line)).chain(compared)
    });
    let mut table = Table::new(std::iter::once("bucket".to_owned()).chain(columns));
    let cells = |value: &v1::TrendValue| {
        std::iter::once(number(value.value)).chain(is_compared.then(|| number(value.compared_value)))
    };
    for (index, bucket) in response.buckets.iter().enumerate() {
        let values = response.lines.iter().filter_map(|line| line.values.get(index)).flat_map(cells);
        table.rows.push(std::iter::once(time(Some(*bucket))).chain(values).collect());
    }
    let totals = response.lines.iter().filter_map(|line| line.total.as_ref()).flat_map(cells);
    table.rows.push(std::iter::once("total".to_owned()).chain(totals).collect());
    table
}

fn funnel_table(response: &v1::QueryFunnelResponse, names: &[String]) -> Table {
    let mut table = Table::new(["value", "step", "event", "count", "of first", "of previous", "median time"]);
    for result in response.overall.iter().chain(&response.breakdown) {
        for (index, step) in result.steps.iter().enumerate() {
            let median = step
                .median_from_previous
                .map(|time| format!("{}s", number(Some(time.seconds as f64 + f64::from(time.nanos) / 1e9))));
            table.rows.push(vec![
                if result.value.is_empty() { "all".to_owned() } else { result.value.clone() },
                (index + 1).to_string(),
                names.get(index).cloned().unwrap_or_default(),
                step.count.to_string(),
                percent(step.from_first_pct),
                percent(step.from_previous_pct),
                median.unwrap_or_else(|| "-".to_owned()),
            ]);
        }
    }
    table
}

/// A row per cohort; the percentages of incomplete periods end with "*".
fn retention_table(response: &v1::QueryRetentionResponse) -> Table {
    let periods = response.overall.iter().map(|result| result.mean.len()).max().unwrap_or(0);
    let header = ["value", "cohort", "visitors"].map(str::to_owned).into_iter();
    let mut table = Table::new(header.chain((0..periods).map(|period| period.to_string())));
    for result in response.overall.iter().chain(&response.breakdown) {
        let value = if result.value.is_empty() { "all".to_owned() } else { result.value.clone() };
        for cohort in &result.cohorts {
            let cells = cohort.cells.iter().map(|cell| {
                let mark = if cell.incomplete { "*" } else { "" };
                format!("{}{mark}", percent(cell.pct))
            });
            let start = [value.clone(), time(cohort.start), cohort.visitors.to_string()];
            table.rows.push(start.into_iter().chain(cells).collect());
        }
        let means = result.mean.iter().map(|mean| percent(mean.pct));
        table.rows.push([value, "mean".to_owned(), "-".to_owned()].into_iter().chain(means).collect());
    }
    table
}

fn paths_table(response: &v1::QueryPathsResponse) -> Table {
    let mut table = Table::new(["step", "from", "to", "count", "mean time"]);
    for transition in &response.transitions {
        let seconds = transition.average_time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9);
        table.rows.push(vec![
            transition.step.to_string(),
            transition.from.clone(),
            if transition.to.is_empty() { "(end of visit)".to_owned() } else { transition.to.clone() },
            transition.count.to_string(),
            format!("{}s", number(seconds)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_by_the_names_of_the_contracts() {
        assert_eq!(parse_aggregation("p95"), Ok(v1::Aggregation::P95));
        assert_eq!(parse_bucket("5-minutes"), Ok(v1::Bucket::Bucket5Minutes));
        assert_eq!(parse_compare("week_ago"), Ok(v1::Compare::WeekAgo));
        assert!(parse_order("unspecified").is_err() && parse_period("year").is_err());
        assert_eq!(parse_window("30m").map(|window| window.seconds), Ok(1_800));
        assert!(parse_window("d").is_err() && parse_window("1y").is_err() && parse_window("").is_err());
    }

    #[test]
    fn tables_are_aligned_and_have_no_control_characters() {
        let mut table = Table::new(["event", "count"]);
        table.rows = vec![vec!["a\u{1b}[31m".into(), "7".into()], vec!["longer name".into(), "1234".into()]];
        let mut out = Vec::new();
        table.write(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "event        count\na\u{fffd}[31m           7\nlonger name   1234\n");
        let mut out = Vec::new();
        table.write_csv(&mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().starts_with("event,count\n"));
    }
}
