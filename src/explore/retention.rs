//! Retention: how many of the visitors of each period come back in later ones.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::error::ExploreError;
use super::funnel::{Step, names_of};
use super::rows::{Rows, Selection, Span, VISITOR, VISITOR_ID};
use super::runner::{Cost, Execution, Statement};
use super::stream::Row;
use super::trend::NONE;
use crate::filter::sql::{Param, Params, text};
use crate::filter::{Field, Filter};
use crate::panels::PanelSources;
use crate::panels::query::ResultContext;
use crate::panels::template::Source;
use crate::panels::wall_clock::parse_time_zone;
use crate::people::PeopleTables;
use crate::project::Project;

/// A retention with all that its result depends on. Validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RetentionQuery {
    pub(crate) project: Project,
    pub(crate) start: Step,
    pub(crate) back: Step,
    pub(crate) period: Period,
    /// After the first one: 1 to 31.
    pub(crate) periods: usize,
    pub(crate) is_first_time: bool,
    pub(crate) is_on_or_after: bool,
    pub(crate) is_rolling: bool,
    pub(crate) is_weighted: bool,
    pub(crate) breakdown: Option<Field>,
    pub(crate) limit: usize,
    /// An IANA name; `None` is UTC.
    pub(crate) time_zone: Option<String>,
    /// In seconds since 1970 UTC; `None` is now.
    pub(crate) end: Option<i64>,
}

/// The length of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Period {
    Hour,
    Day,
    Week,
    Month,
}

impl Period {
    /// When it is counted from an event on.
    fn rolling_ms(self) -> i64 {
        3_600_000
            * match self {
                Self::Hour => 1,
                Self::Day => 24,
                Self::Week => 7 * 24,
                Self::Month => 30 * 24,
            }
    }
}

/// The periods of a query, by the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Periods {
    /// In seconds since 1970 UTC, ascending.
    starts: Vec<i64>,
    /// Of the last one, exclusive.
    end: i64,
}

impl Periods {
    /// The period that contains `last`, and `before` earlier ones.
    fn new(period: Period, before: usize, last: Timestamp, zone: &TimeZone) -> Self {
        let second_of =
            |date: Date| date.to_zoned(zone.clone()).map_or(0, |midnight| midnight.timestamp().as_second());
        let before = i64::try_from(before).unwrap_or(0);
        let local = last.to_zoned(zone.clone()).date();
        let mut starts: Vec<i64> = match period {
            // Hours that a change of the clock repeats are two periods.
            Period::Hour => {
                let offset = i64::from(zone.to_offset(last).seconds()).rem_euclid(3_600);
                let hour = (last.as_second() + offset).div_euclid(3_600) * 3_600 - offset;
                (-before..=1).map(|index| hour + index * 3_600).collect()
            }
            Period::Day => (-before..=1).map(|index| second_of(local.saturating_add(index.days()))).collect(),
            Period::Week => {
                let monday = local.saturating_sub(i64::from(local.weekday().to_monday_zero_offset()).days());
                (-before..=1).map(|index| second_of(monday.saturating_add(index.weeks()))).collect()
            }
            Period::Month => {
                let first = local.first_of_month();
                (-before..=1).map(|index| second_of(first.saturating_add(index.months()))).collect()
            }
        };
        let end = starts.pop().unwrap_or_default();
        Self { starts, end }
    }

    fn index_of(&self, second: i64) -> Option<usize> {
        (second < self.end).then(|| self.starts.partition_point(|start| *start <= second).checked_sub(1))?
    }
}

/// The result of a retention.
#[derive(Clone, Debug)]
pub(crate) struct RetentionResult {
    pub(crate) overall: Vec<Cohort>,
    pub(crate) breakdown: Vec<(String, Vec<Cohort>)>,
    pub(crate) is_weighted: bool,
    pub(crate) context: ResultContext,
    pub(crate) cost: Cost,
}

/// The visitors that started in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cohort {
    /// In seconds since 1970 UTC.
    pub(crate) start: i64,
    pub(crate) visitors: u64,
    /// Those who returned, by period; all in the first one.
    pub(crate) cells: Vec<Cell>,
}

/// The visitors of a cohort that returned in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) visitors: u64,
    /// Whether the period has not ended for every visitor of the cohort.
    pub(crate) is_incomplete: bool,
}

/// The mean of each period over the complete cells, in percent.
pub(crate) fn means(cohorts: &[Cohort], is_weighted: bool) -> Vec<Option<f64>> {
    let periods = cohorts.iter().map(|cohort| cohort.cells.len()).max().unwrap_or(0);
    (0..periods)
        .map(|period| {
            let complete = cohorts.iter().filter_map(|cohort| {
                let cell = cohort.cells.get(period).filter(|cell| !cell.is_incomplete || period == 0)?;
                (cohort.visitors > 0).then_some((cell.visitors as f64, cohort.visitors as f64))
            });
            let (mut sum, mut weight) = (0.0, 0.0);
            for (returned, visitors) in complete {
                let share = if is_weighted { visitors } else { 1.0 };
                sum += share * returned / visitors;
                weight += share;
            }
            (weight > 0.0).then(|| 100.0 * sum / weight)
        })
        .collect()
}

/// When one visitor started and returned: a bit per period. With rolling periods, a list of those of each start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visits {
    /// The period of each start that counts, and the periods after it in which the visitor returned, as bits.
    pub(crate) starts: Vec<(usize, u64)>,
}

/// An event of a visitor, as a retention sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Visit<'a> {
    /// Milliseconds since 1970 UTC.
    time: i64,
    is_start: bool,
    is_return: bool,
    value: &'a str,
}

const IS_START: u32 = 1;
const IS_RETURN: u32 = 2;

impl RetentionQuery {
    /// The periods, and the moment up to which there are events.
    fn periods(&self, now: Timestamp) -> Result<(Periods, TimeZone), ExploreError> {
        let zone = parse_time_zone(self.time_zone.as_deref())?;
        let last = self.end.and_then(|end| Timestamp::from_second(end).ok()).unwrap_or(now).min(now);
        Ok((Periods::new(self.period, self.periods, last, &zone), zone))
    }

    /// What is read: with first-time retention, all starts that are stored, unless it is known when visitors did the start event
    /// for the first time.
    fn span(&self, periods: &Periods, sources: &PanelSources, people: &PeopleTables, now: Timestamp) -> Span {
        let start = if self.is_first_time && !self.has_first_times(people) {
            sources.stored_from(Some(Source::Events), now).unwrap_or(0)
        } else {
            periods.starts[0]
        };
        Span { start: start.min(periods.starts[0]), end: periods.end }
    }

    /// Whether the tables of people know when each visitor did the start event for the first time, also before the retention of
    /// the events.
    fn has_first_times(&self, people: &PeopleTables) -> bool {
        self.start.filter.is_empty() && people.progress().complete_since.is_none()
    }

    /// The condition that a visitor did not start before the first period, if that is known.
    fn is_new(&self, periods: &Periods, people: &PeopleTables, params: &mut Params) -> String {
        if !self.is_first_time || !self.has_first_times(people) {
            return String::new();
        }
        let (first_times, time) = match &*self.start.event_name {
            "" => (people.first_seen(&self.project, params), "first_seen"),
            name => (people.first_events(&self.project, name, params), "first_time"),
        };
        let first = periods.starts[0];
        format!(
            " AND visitor NOT IN (SELECT visitor FROM {first_times} WHERE {time} < toDateTime64({first}, 3, 'UTC'))"
        )
    }

    /// The statement whose rows are events, sorted by visitor. `with_ids` adds the ids of visitors.
    fn statement(&self, span: Span, periods: &Periods, people: &PeopleTables, with_ids: bool) -> Statement {
        let returns_from = periods.starts[0];
        let mut params = Params::default();
        let all = Filter::default();
        let rows =
            Rows { event_names: names_of([&self.start, &self.back]), filter: &all, span, did_span: span };
        let start = self.start.condition(&rows, &mut params);
        let back = self.back.condition(&rows, &mut params);
        let matches = format!(
            "toUInt32(if({start}, {IS_START}, 0) + if({back} AND events.timestamp >= toDateTime64({returns_from}, 3, 'UTC'), \
             {IS_RETURN}, 0))"
        );
        let mut columns = vec![
            (VISITOR.to_owned(), "visitor"),
            ("toUnixTimestamp64Milli(events.timestamp)".to_owned(), "time"),
            (matches, "matches"),
        ];
        if let Some(breakdown) = &self.breakdown {
            columns.push((format!("toString({})", text(breakdown, &mut params)), "value"));
        }
        if with_ids {
            columns.push((VISITOR_ID.to_owned(), "id"));
        }
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&Selection { columns, has_visitor: true }, &mut params);
        let value = if self.breakdown.is_some() { ", value" } else { "" };
        let id = if with_ids { ", id" } else { "" };
        let is_new = self.is_new(periods, people, &mut params);
        let sql = format!(
            "SELECT visitor, time, matches{value}{id} FROM ({rows}) WHERE visitor != 0 AND matches != 0{is_new} \
             ORDER BY visitor, time"
        );
        Statement { sql, params, scan }
    }

    /// The statement whose rows are pairs of masks of periods with the number of their visitors: with calendar periods and
    /// without a breakdown, nothing else is needed.
    fn mask_statement(&self, span: Span, periods: &Periods, people: &PeopleTables) -> Statement {
        let mut params = Params::default();
        let all = Filter::default();
        let rows =
            Rows { event_names: names_of([&self.start, &self.back]), filter: &all, span, did_span: span };
        let start = self.start.condition(&rows, &mut params);
        let back = self.back.condition(&rows, &mut params);
        let first = periods.starts[0];
        let starts = params.add(Param::Seconds(periods.starts.clone()));
        // Bit 0 is what is before the first period.
        let columns = vec![
            (VISITOR.to_owned(), "visitor"),
            (
                format!(
                    "if(events.timestamp < toDateTime64({first}, 3, 'UTC'), 1, bitShiftLeft(toUInt64(1), \
                     indexOf({starts}, roundDown(toUnixTimestamp(events.timestamp), {starts}))))"
                ),
                "period",
            ),
            (start, "is_start"),
            (back, "is_return"),
        ];
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&Selection { columns, has_visitor: true }, &mut params);
        let is_new = self.is_new(periods, people, &mut params);
        let sql = format!(
            "SELECT starts, returns, count() FROM (SELECT groupBitOrIf(period, is_start) AS starts, \
             groupBitOrIf(period, is_return) AS returns FROM ({rows}) WHERE visitor != 0{is_new} GROUP BY visitor) \
             WHERE starts != 0 GROUP BY starts, returns"
        );
        Statement { sql, params, scan }
    }

    /// The cohorts without visitors.
    fn empty_cohorts(&self, periods: &Periods, now: Timestamp) -> Vec<Cohort> {
        let count = periods.starts.len();
        let ends: Vec<i64> = periods.starts[1..].iter().copied().chain([periods.end]).collect();
        let now = now.as_second();
        periods
            .starts
            .iter()
            .enumerate()
            .map(|(index, start)| {
                let cell = |period: usize| {
                    let (begin, end) = if self.is_rolling {
                        let length = self.period.rolling_ms() / 1_000;
                        let period = i64::try_from(period).unwrap_or(0);
                        // The last visitor of the cohort can have started at its end.
                        (start + period * length, ends[index] + (period + 1) * length)
                    } else {
                        (periods.starts[index + period], ends[index + period])
                    };
                    (begin <= now).then_some(Cell { visitors: 0, is_incomplete: end > now })
                };
                let cells = (0..count - index).map_while(cell).collect();
                Cohort { start: *start, visitors: 0, cells }
            })
            .collect()
    }

    /// Adds visitors to the cohorts of their starts.
    fn add(&self, cohorts: &mut [Cohort], visits: &Visits, visitors: u64) {
        for (start, returns) in &visits.starts {
            let cohort = &mut cohorts[*start];
            cohort.visitors += visitors;
            for (period, cell) in cohort.cells.iter_mut().enumerate() {
                if self.has_returned(*returns, period) {
                    cell.visitors += visitors;
                }
            }
        }
    }

    /// Whether a visitor with these returns, a bit per period after the start, counts in a period.
    fn has_returned(&self, returns: u64, period: usize) -> bool {
        match period {
            0 => true,
            _ if self.is_on_or_after => returns >> period != 0,
            _ => returns >> period & 1 == 1,
        }
    }

    /// From masks whose bit 0 is the time before the first period.
    fn visits_of_masks(&self, starts: u64, returns: u64, periods: usize) -> Visits {
        let visit = |period: usize| (period, returns >> (period + 1));
        let has_started = |period: &usize| starts >> (period + 1) & 1 == 1;
        let counted = if self.is_first_time {
            // The first start ever.
            let first = starts.trailing_zeros() as usize;
            first.checked_sub(1).filter(|first| *first < periods).into_iter().collect::<Vec<_>>()
        } else {
            (0..periods).filter(has_started).collect()
        };
        Visits { starts: counted.into_iter().map(visit).collect() }
    }

    /// From the events of one visitor, for those with one value of the breakdown on start and return.
    fn visits_of_events(&self, events: &[Visit<'_>], value: Option<&str>, periods: &Periods) -> Visits {
        let is_value = |event: &&Visit<'_>| value.is_none_or(|value| event.value == value);
        let starts = events.iter().filter(|event| event.is_start);
        let first = starts.clone().min_by_key(|event| (event.time, event.value));
        let counted: Vec<&Visit<'_>> = if self.is_first_time {
            first.into_iter().filter(is_value).collect()
        } else {
            let mut firsts: Vec<&Visit<'_>> = starts.filter(is_value).collect();
            firsts.sort_by_key(|event| event.time);
            firsts.dedup_by_key(|event| periods.index_of(event.time.div_euclid(1_000)));
            firsts
        };
        let mut visits = Visits::default();
        for start in counted {
            let Some(index) = periods.index_of(start.time.div_euclid(1_000)) else { continue };
            let mut returns = 0;
            for event in events.iter().filter(|event| event.is_return).filter(is_value) {
                let period = if self.is_rolling {
                    usize::try_from((event.time - start.time).div_euclid(self.period.rolling_ms())).ok()
                } else {
                    let period = periods.index_of(event.time.div_euclid(1_000));
                    period.and_then(|period| period.checked_sub(index))
                };
                // The last bit is for all later periods.
                if let Some(period) = period {
                    returns |= 1 << period.min(63);
                }
            }
            visits.starts.push((index, returns));
        }
        visits
    }

    /// Calls `found` with the visits of each visitor, once for all and once for each value of the breakdown, and the visitor's id.
    pub(super) async fn for_each_visitor(
        &self,
        sources: &PanelSources,
        now: Timestamp,
        with_ids: bool,
        execution: &mut Execution<'_>,
        mut found: impl FnMut(Option<&str>, &Visits, &str),
    ) -> Result<(), ExploreError> {
        let (periods, _) = self.periods(now)?;
        // The last rolling periods of the last cohorts end after the calendar ones.
        let mut span = self.span(&periods, sources, execution.people(), now);
        span.end = now.as_second() + 1;
        let statement = self.statement(span, &periods, execution.people(), with_ids);
        let has_value = self.breakdown.is_some();
        let add = |visitor: &mut Visitor, row: &Row<'_>| visitor.push(row, has_value, with_ids);
        let finish = |visitor: &mut Visitor| {
            let events: Vec<Visit<'_>> = visitor.visits();
            found(None, &self.visits_of_events(&events, None, &periods), &visitor.id);
            let mut values: Vec<&str> = if has_value {
                events.iter().filter(|event| event.is_start).map(|event| event.value).collect()
            } else {
                Vec::new()
            };
            values.sort_unstable();
            values.dedup();
            for value in values {
                let visits = self.visits_of_events(&events, Some(value), &periods);
                found(Some(if value.is_empty() { NONE } else { value }), &visits, &visitor.id);
            }
            visitor.clear();
        };
        let texts = usize::from(has_value) + usize::from(with_ids);
        execution.for_each_group(&statement, texts, add, finish).await
    }

    /// Computes the retention.
    pub(super) async fn execute(
        &self,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<RetentionResult, ExploreError> {
        let now = Timestamp::now();
        let (periods, zone) = self.periods(now)?;
        let mut overall = self.empty_cohorts(&periods, now);
        let mut by_value = std::collections::HashMap::<String, Vec<Cohort>>::new();
        if self.is_rolling || self.breakdown.is_some() {
            let empty = overall.clone();
            self.for_each_visitor(sources, now, false, execution, |value, visits, _| match value {
                None => self.add(&mut overall, visits, 1),
                Some(value) => {
                    self.add(by_value.entry(value.to_owned()).or_insert_with(|| empty.clone()), visits, 1);
                }
            })
            .await?;
        } else {
            let span = self.span(&periods, sources, execution.people(), now);
            let statement = self.mask_statement(span, &periods, execution.people());
            let rows: Vec<(u64, u64, u64)> = execution.rows(&statement).await?;
            for (starts, returns, visitors) in rows {
                let visits = self.visits_of_masks(starts, returns, periods.starts.len());
                self.add(&mut overall, &visits, visitors);
            }
        }
        let visitors = |cohorts: &[Cohort]| cohorts.iter().map(|cohort| cohort.visitors).sum::<u64>();
        let mut breakdown: Vec<(String, Vec<Cohort>)> = by_value.into_iter().collect();
        breakdown.sort_by(|a, b| visitors(&b.1).cmp(&visitors(&a.1)).then_with(|| a.0.cmp(&b.0)));
        breakdown.truncate(self.limit);
        let stored_from = sources.stored_from(Some(Source::Events), now);
        let context = ResultContext {
            range_start: periods.starts[0],
            range_end: periods.end,
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            computed_at: now,
            approximate: false,
            partial_from: None,
            bucket: None,
            source: Some(Source::Events),
            requested_start: stored_from.filter(|from| periods.starts[0] < *from).map(|_| periods.starts[0]),
            span: None,
        };
        let cost = execution.cost;
        Ok(RetentionResult { overall, breakdown, is_weighted: self.is_weighted, context, cost })
    }

    /// Whether a visitor is one of a cell: the cohort that starts at `cohort`, and a period.
    pub(super) fn is_in_cell(
        &self,
        visits: &Visits,
        cohort: i64,
        period: usize,
        now: Timestamp,
    ) -> Option<bool> {
        let (periods, _) = self.periods(now).ok()?;
        let index = periods.starts.binary_search(&cohort).ok()?;
        let (_, returns) = visits.starts.iter().find(|(start, _)| *start == index)?;
        Some(self.has_returned(*returns, period))
    }
}

/// The events of one visitor.
#[derive(Default)]
struct Visitor {
    id: String,
    events: Vec<(i64, u32)>,
    values: Vec<String>,
}

impl Visitor {
    fn clear(&mut self) {
        self.id.clear();
        self.events.clear();
        self.values.clear();
    }

    fn push(&mut self, row: &Row<'_>, has_value: bool, with_id: bool) {
        if with_id && self.events.is_empty() {
            self.id.push_str(row.texts[row.text_count - 1]);
        }
        self.events.push((row.time, row.matches));
        if has_value {
            self.values.push(row.texts[0].to_owned());
        }
    }

    fn visits(&self) -> Vec<Visit<'_>> {
        let value = |index: usize| self.values.get(index).map_or("", String::as_str);
        let visits = self.events.iter().enumerate().map(|(index, (time, matches))| Visit {
            time: *time,
            is_start: matches & IS_START != 0,
            is_return: matches & IS_RETURN != 0,
            value: value(index),
        });
        visits.collect()
    }
}
