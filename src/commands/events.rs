//! `millrace tail` and `millrace events search`: events of a running server.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tonic::{Code, Status};

use super::connection::ConnectionArgs;
use crate::proto::json::to_json;
use crate::proto::v1;
use crate::shutdown::ShutdownSignals;
use v1::event_filter::Condition;
use v1::events_service_client::EventsServiceClient;

/// Delay before a tail whose connection was closed connects again.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
const MAX_PAGE_SIZE: u32 = 500;

/// Arguments of `millrace tail`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// At most this many events per second; further ones are left out and counted
    #[arg(long, value_name = "EVENTS", default_value = "20")]
    rate: u32,
    /// How many stored events come first, at most 100
    #[arg(long, value_name = "EVENTS", default_value = "10")]
    recent: u32,
    /// How events are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Arguments of `millrace events`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    action: EventsAction,
}

#[derive(Clone, Debug, Subcommand)]
enum EventsAction {
    /// Print stored events, the newest first
    Search(SearchArgs),
}

#[derive(Args, Clone, Debug)]
struct SearchArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// How many events to print at most
    #[arg(long, value_name = "EVENTS", default_value = "50")]
    limit: usize,
    /// How events are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// A range of time.
#[derive(Args, Clone, Debug)]
pub(super) struct RangeArgs {
    /// The time range: 1h, 6h, 24h, 7d, 30d, 90d, today, yesterday, this_week or this_month
    #[arg(long, value_name = "RANGE", default_value = "7d", value_parser = parse_range)]
    range: v1::TimeRange,
    /// Start of the range instead: a date, or a time such as 2026-11-21T10:30:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "range")]
    from: Option<Timestamp>,
    /// End of the range, with --from; now by default
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "from")]
    to: Option<Timestamp>,
}

impl RangeArgs {
    pub(super) fn message(&self, time_zone: Option<String>) -> v1::QueryRange {
        let timestamp = |time: Timestamp| crate::proto::timestamp_from_millis(time.as_millisecond());
        match self.from {
            Some(from) => v1::QueryRange {
                interval: Some(v1::Interval { start: Some(timestamp(from)), end: self.to.map(timestamp) }),
                time_zone,
                ..v1::QueryRange::default()
            },
            None => v1::QueryRange { time_range: self.range.into(), interval: None, time_zone },
        }
    }
}

/// Which events.
#[derive(Args, Clone, Debug)]
struct SelectionArgs {
    /// Only events of this name; * stands for any characters. Can be repeated
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Only events whose field has this value, such as country_code=DE or plan=pro. Can be repeated: several values of a field
    /// mean any of them
    #[arg(long = "filter", value_name = "FIELD=VALUE", value_parser = parse_filter)]
    filters: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for people
    Table,
    /// A JSON object per line
    Json,
    /// Comma-separated values with a header
    Csv,
}

pub(super) fn parse_filter(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("use FIELD=VALUE, such as country_code=DE")?;
    Ok((field.to_owned(), value.to_owned()))
}

fn parse_range(text: &str) -> Result<v1::TimeRange, String> {
    let name = text.to_uppercase().replace('-', "_");
    v1::TimeRange::from_str_name(&format!("TIME_RANGE_{name}"))
        .filter(|range| *range != v1::TimeRange::Unspecified)
        .ok_or_else(|| "use 1h, 6h, 24h, 7d, 30d, 90d, today, yesterday, this_week or this_month".to_owned())
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let date = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let time = text.parse().ok().or_else(date);
    time.ok_or_else(|| "use a date such as 2026-11-21, or a time such as 2026-11-21T10:30:00Z".to_owned())
}

impl SelectionArgs {
    fn filter(&self) -> v1::EventFilter {
        let mut all = Vec::new();
        let (patterns, names): (Vec<_>, Vec<_>) =
            self.events.iter().cloned().partition(|name| name.contains('*'));
        let patterns: Vec<_> = patterns
            .iter()
            .map(|pattern| {
                format!("^{}$", pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*"))
            })
            .collect();
        let mut any = Vec::new();
        if !names.is_empty() {
            any.push(field("event_name", v1::FieldOperator::Is, names));
        }
        if !patterns.is_empty() {
            any.push(field("event_name", v1::FieldOperator::Matches, patterns));
        }
        if !any.is_empty() {
            all.push(v1::EventFilter {
                condition: Some(Condition::Any(v1::EventFilterList { filters: any })),
            });
        }
        all.extend(field_filters(&self.filters));
        v1::EventFilter { condition: Some(Condition::All(v1::EventFilterList { filters: all })) }
    }
}

fn field(field: &str, operator: v1::FieldOperator, values: Vec<String>) -> v1::EventFilter {
    let condition = v1::FieldCondition { field: field.to_owned(), operator: operator.into(), values };
    v1::EventFilter { condition: Some(Condition::Field(condition)) }
}

/// A condition for each field: any of its values.
pub(super) fn field_filters(filters: &[(String, String)]) -> Vec<v1::EventFilter> {
    let mut by_field = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in filters {
        by_field.entry(name).or_default().push(value.clone());
    }
    by_field.into_iter().map(|(name, values)| field(name, v1::FieldOperator::Is, values)).collect()
}

/// Prints events until a signal, or until nobody reads its output.
pub(crate) async fn tail(args: TailArgs) -> anyhow::Result<()> {
    let mut signals = ShutdownSignals::install()?;
    let mut printer = Printer::stdout(args.format);
    tokio::select! {
        result = follow(&args, &mut printer) => unless_closed(result),
        () = signals.recv() => Ok(()),
    }
}

async fn follow(args: &TailArgs, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let mut recent = args.recent;
    printer.begin()?;
    loop {
        let mut client = EventsServiceClient::new(args.connection.connect().await?);
        let request = v1::TailEventsRequest {
            filter: Some(args.selection.filter()),
            max_per_second: Some(args.rate),
            recent: Some(recent),
        };
        let mut messages =
            client.tail_events(args.connection.request(request)?).await.map_err(failed)?.into_inner();
        let ended = loop {
            match messages.message().await {
                Ok(Some(message)) => print_message(&message, printer)?,
                Ok(None) => break Status::unavailable("the server has ended the stream"),
                Err(status) if status.code() == Code::Unavailable => break status,
                Err(status) => return Err(failed(status)),
            }
        };
        eprintln!("millrace: {}; connecting again", ended.message());
        recent = 0;
        tokio::time::sleep(RECONNECT_DELAY).await;
    }
}

fn print_message(message: &v1::TailEventsResponse, printer: &mut Printer<impl Write>) -> io::Result<()> {
    if !message.recent_problem.is_empty() {
        eprintln!("millrace: {}", message.recent_problem);
    }
    message.events.iter().try_for_each(|event| printer.event(event))?;
    printer.flush()?;
    if message.skipped > 0 {
        eprintln!("millrace: {} more events are left out (--rate)", message.skipped);
    }
    if message.unexamined > 0 {
        eprintln!(
            "millrace: {} events were not compared with the filter, because the server is busy",
            message.unexamined
        );
    }
    Ok(())
}

/// Runs a subcommand of `millrace events`.
pub(crate) async fn run(args: EventsArgs) -> anyhow::Result<()> {
    let EventsAction::Search(args) = args.action;
    let mut signals = ShutdownSignals::install()?;
    let mut printer = Printer::stdout(args.format);
    tokio::select! {
        result = search(&args, &mut printer) => unless_closed(result),
        () = signals.recv() => Ok(()),
    }
}

async fn search(args: &SearchArgs, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let mut client = EventsServiceClient::new(args.connection.connect().await?);
    let range = args.range.message(None);
    printer.begin()?;
    let (mut remaining, mut page_token) = (args.limit, String::new());
    while remaining > 0 {
        let page_size = u32::try_from(remaining).unwrap_or(MAX_PAGE_SIZE).min(MAX_PAGE_SIZE);
        let request = v1::SearchEventsRequest {
            filter: Some(args.selection.filter()),
            range: Some(range.clone()),
            page_size: Some(page_size),
            page_token,
        };
        let page =
            client.search_events(args.connection.request(request)?).await.map_err(failed)?.into_inner();
        page.events.iter().try_for_each(|event| printer.event(event))?;
        remaining -= page.events.len().min(remaining);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    printer.flush()?;
    Ok(())
}

pub(super) fn failed(status: Status) -> anyhow::Error {
    anyhow!("the server's error ({:?}): {}", status.code(), status.message())
}

/// A reader that closes the pipe, such as `head`, has what it wants.
pub(super) fn unless_closed(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        result => result.context("the server could not be asked"),
    }
}

/// Prints events.
struct Printer<W> {
    out: W,
    format: Format,
    /// Colours, for a terminal.
    is_terminal: bool,
}

/// The columns of CSV.
const COLUMNS: [&str; 9] = [
    "timestamp",
    "received_at",
    "event_id",
    "event_name",
    "session_id",
    "user_id",
    "device_type",
    "country_code",
    "properties_json",
];

impl Printer<io::BufWriter<io::Stdout>> {
    fn stdout(format: Format) -> Self {
        let is_terminal = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out: io::BufWriter::new(io::stdout()), format, is_terminal }
    }
}

impl<W: Write> Printer<W> {
    fn begin(&mut self) -> io::Result<()> {
        match self.format {
            Format::Csv => writeln!(self.out, "{}", COLUMNS.join(",")),
            Format::Table | Format::Json => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn event(&mut self, event: &v1::AcceptedEvent) -> io::Result<()> {
        match self.format {
            Format::Json => writeln!(self.out, "{}", to_json("AcceptedEvent", event)),
            Format::Csv => {
                let texts = [
                    time(event.timestamp),
                    time(event.received_at),
                    event.event_id.clone(),
                    event.event_name.clone(),
                    event.session_id.clone(),
                    event.user_id.clone().unwrap_or_default(),
                    event.device_type.clone(),
                    event.country_code.clone(),
                    event.properties_json.clone(),
                ];
                writeln!(self.out, "{}", texts.map(|text| csv_field(&text)).join(","))
            }
            Format::Table => {
                let visitor = event.user_id.as_deref().unwrap_or(&event.session_id);
                let (bold, dim, end) =
                    if self.is_terminal { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
                writeln!(
                    self.out,
                    "{dim}{}{end}  {bold}{:<24}{end}  {:<24}  {}  {:<7}  {}",
                    time(event.timestamp),
                    printable(&event.event_name),
                    printable(visitor),
                    event.country_code,
                    event.device_type,
                    printable(&event.properties_json),
                )
            }
        }
    }
}

pub(super) fn time(timestamp: Option<prost_types::Timestamp>) -> String {
    let Some(prost_types::Timestamp { seconds, nanos }) = timestamp else { return String::new() };
    Timestamp::new(seconds, nanos).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Events are of anybody: control characters could change the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// RFC 4180.
pub(super) fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> String {
        let event = v1::AcceptedEvent {
            event_name: "a\u{1b}[31m".into(),
            timestamp: Some(crate::proto::timestamp_from_millis(1_500)),
            session_id: "s, \"t\"".into(),
            properties_json: r#"{"a":1}"#.into(),
            ..v1::AcceptedEvent::default()
        };
        let mut printer = Printer { out: Vec::new(), format, is_terminal: false };
        printer.begin().unwrap();
        printer.event(&event).unwrap();
        String::from_utf8(printer.out).unwrap()
    }

    #[test]
    fn events_are_printed_in_three_formats() {
        let csv = printed(Format::Csv);
        let line = csv.lines().nth(1).unwrap();
        assert_eq!(line, "1970-01-01T00:00:01.500Z,,,a\u{1b}[31m,\"s, \"\"t\"\"\",,,,\"{\"\"a\"\":1}\"");
        let json: serde_json::Value = serde_json::from_str(&printed(Format::Json)).unwrap();
        assert_eq!(
            (&json["session_id"], &json["properties_json"]),
            (&"s, \"t\"".into(), &r#"{"a":1}"#.into())
        );
        assert!(!printed(Format::Table).contains('\u{1b}'), "a terminal would interpret it");
    }

    #[test]
    fn names_may_have_wildcards_and_values_of_a_field_are_alternatives() {
        let filters = ["plan=pro", "plan=free", "country_code=DE"];
        let selection = SelectionArgs {
            events: vec!["signup_*".into(), "page.view".into()],
            filters: filters.iter().map(|filter| parse_filter(filter).unwrap()).collect(),
        };
        let json = to_json("EventFilter", &selection.filter()).to_string();
        for part in [r#""values":["^signup_.*$"]"#, r#""values":["page.view"]"#, r#""values":["pro","free"]"#]
        {
            assert!(json.contains(part), "{json}");
        }
        assert!(parse_filter("plan").is_err() && parse_range("2h").is_err() && parse_time("now").is_err());
        assert_eq!(parse_range("this-week"), Ok(v1::TimeRange::ThisWeek));
        assert_eq!(parse_time("1970-01-02").unwrap().as_second(), 86_400);
    }
}
