//! From the contracts' messages to valid queries.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::ExploreError;
use super::formula::Formula;
use super::funnel::matching::{Exclusion, Order};
use super::funnel::{Attribution, FunnelQuery, GroupBy, Step};
use super::paths::PathsQuery;
use super::people::{Figure, FigureGroup, PeopleQuery};
use super::retention::{Period, RetentionQuery};
use super::time::QueryTime;
use super::trend::{Measure, Series, TrendQuery};
use crate::dashboard::request::{bucket, compare, query_range};
use crate::error::Error;
use crate::filter::{Field, Filter, check_event_name, check_pattern};
use crate::panels::wall_clock::parse_time_zone;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;

const MAX_SERIES: usize = 10;
const MAX_BREAKDOWN_FIELDS: usize = 2;
const MAX_GROUPS: u32 = 50;
const DEFAULT_GROUPS: u32 = 10;

const FUNNEL_STEPS: std::ops::RangeInclusive<usize> = 2..=10;
const MAX_EXCLUSIONS: usize = 10;
const DEFAULT_WINDOW_SECONDS: i64 = 14 * 86_400;
const MAX_WINDOW_SECONDS: i64 = 90 * 86_400;
const MAX_PERIODS: u32 = 31;
const DEFAULT_PERIODS: u32 = 8;
const MAX_PATH_STEPS: u32 = 5;
const DEFAULT_PATH_STEPS: u32 = 3;
const MAX_PATH_LIST: usize = 50;
const MAX_TRANSITIONS: u32 = 200;
const DEFAULT_TRANSITIONS: u32 = 50;
const MAX_PAGE: u32 = 1_000;
const DEFAULT_PAGE: u32 = 100;

/// Who asks, and what is declared.
pub(crate) struct Scope<'a> {
    pub(crate) project: &'a Project,
    pub(crate) properties: &'a Properties,
}

impl Scope<'_> {
    /// A trend.
    pub(crate) fn trend(&self, message: v1::QueryTrendRequest) -> Result<TrendQuery, Error> {
        let v1::QueryTrendRequest {
            series,
            filter,
            range,
            bucket: width,
            compare: comparison,
            formula,
            breakdown,
            limit,
        } = message;
        if series.is_empty() || series.len() > MAX_SERIES {
            return Err(invalid(format!("series: {} are given; expected 1 to {MAX_SERIES}", series.len())));
        }
        if breakdown.len() > MAX_BREAKDOWN_FIELDS {
            return Err(invalid(format!(
                "breakdown: {} fields are given; the maximum is {MAX_BREAKDOWN_FIELDS}",
                breakdown.len()
            )));
        }
        let filter = self.filter(filter.as_ref())?;
        let series: Result<Vec<Series>, Error> =
            series.iter().map(|series| self.series(series, &filter)).collect();
        let series = series?;
        let formula = Some(formula.trim().to_owned()).filter(|formula| !formula.is_empty());
        if let Some(formula) = &formula {
            Formula::parse(formula, series.len()).map_err(ExploreError::from)?;
        }
        let breakdown: Result<Vec<Field>, Error> =
            breakdown.iter().map(|name| self.field("breakdown", name)).collect();
        Ok(TrendQuery {
            project: self.project.clone(),
            series,
            time: time(range, width)?,
            compare: compare(comparison)?,
            formula,
            breakdown: breakdown?,
            limit: groups(limit)?,
        })
    }

    fn series(&self, message: &v1::TrendSeries, filter: &Filter) -> Result<Series, Error> {
        use v1::Aggregation;
        let aggregation = Aggregation::try_from(message.aggregation).map_err(|_| {
            invalid(format!(
                "aggregation: {} is not known; expected for example AGGREGATION_EVENTS",
                message.aggregation
            ))
        })?;
        let property = || {
            if message.property.is_empty() {
                return Err(invalid(format!("property: {} needs one", aggregation.as_str_name())));
            }
            self.field("property", &message.property)
        };
        let measure = match aggregation {
            Aggregation::Unspecified | Aggregation::Events => Measure::Events,
            Aggregation::Visitors => Measure::Visitors,
            Aggregation::UnlinkedVisitors => Measure::UnlinkedVisitors,
            Aggregation::Sessions => Measure::Sessions,
            Aggregation::EventsPerVisitor => Measure::EventsPerVisitor,
            Aggregation::Sum => Measure::Sum(property()?),
            Aggregation::Average => Measure::Average(property()?),
            Aggregation::Min => Measure::Min(property()?),
            Aggregation::Max => Measure::Max(property()?),
            Aggregation::P50 => Measure::Quantile(50, property()?),
            Aggregation::P90 => Measure::Quantile(90, property()?),
            Aggregation::P95 => Measure::Quantile(95, property()?),
            Aggregation::P99 => Measure::Quantile(99, property()?),
        };
        Ok(Series {
            event_name: check_event_name(&message.event_name).map_err(ExploreError::from)?,
            filter: filter.clone().and(self.filter(message.filter.as_ref())?),
            measure,
        })
    }

    /// A funnel.
    pub(crate) fn funnel(&self, message: v1::QueryFunnelRequest) -> Result<FunnelQuery, Error> {
        if !FUNNEL_STEPS.contains(&message.steps.len()) {
            return Err(invalid(format!("steps: {} are given; expected 2 to 10", message.steps.len())));
        }
        if message.exclusions.len() > MAX_EXCLUSIONS {
            let given = message.exclusions.len();
            return Err(invalid(format!("exclusions: {given} are given; the maximum is {MAX_EXCLUSIONS}")));
        }
        let filter = self.filter(message.filter.as_ref())?;
        let steps: Result<Vec<Step>, Error> = message
            .steps
            .iter()
            .map(|step| self.step(&step.event_name, step.filter.as_ref(), &filter))
            .collect();
        let steps = steps?;
        let exclusions: Result<Vec<(Step, Exclusion)>, Error> =
            message.exclusions.iter().map(|exclusion| self.exclusion(exclusion, steps.len())).collect();
        let window_seconds = message.window.map_or(DEFAULT_WINDOW_SECONDS, |window| window.seconds);
        if !(1..=MAX_WINDOW_SECONDS).contains(&window_seconds) {
            return Err(invalid(format!(
                "window: {window_seconds} s is given; expected a second to 90 days"
            )));
        }
        use v1::FunnelOrder;
        let order = match FunnelOrder::try_from(message.order) {
            Ok(FunnelOrder::Unspecified | FunnelOrder::Sequential) => Order::Sequential,
            Ok(FunnelOrder::Strict) => Order::Strict,
            Ok(FunnelOrder::Any) => Order::Any,
            Err(_) => return Err(unknown("order", message.order, "FUNNEL_ORDER_SEQUENTIAL")),
        };
        use v1::FunnelAttribution;
        let attribution = match FunnelAttribution::try_from(message.attribution) {
            Ok(FunnelAttribution::Unspecified | FunnelAttribution::First) => Attribution::First,
            Ok(FunnelAttribution::Last) => Attribution::Last,
            Ok(FunnelAttribution::Step) => {
                Attribution::Step(step_index("attribution_step", message.attribution_step, steps.len())?)
            }
            Err(_) => return Err(unknown("attribution", message.attribution, "FUNNEL_ATTRIBUTION_FIRST")),
        };
        let group_by = match &*message.group_by {
            "" | "visitor" => GroupBy::Visitor,
            "session" => GroupBy::Session,
            field => GroupBy::Field(self.field("group_by", field)?),
        };
        Ok(FunnelQuery {
            project: self.project.clone(),
            steps,
            window_seconds,
            order,
            exclusions: exclusions?,
            group_by,
            breakdown: self.optional_field("breakdown", &message.breakdown)?,
            attribution,
            limit: groups(message.limit)?,
            time: time(message.range, message.bucket)?,
        })
    }

    fn exclusion(&self, message: &v1::FunnelExclusion, steps: usize) -> Result<(Step, Exclusion), Error> {
        let step = self.step(&message.event_name, message.filter.as_ref(), &Filter::default())?;
        let index = |name, given: u32, default: usize| match given {
            0 => Ok(default),
            given => step_index(name, given, steps),
        };
        let exclusion = Exclusion {
            from_step: index("exclusions.from_step", message.from_step, 0)?,
            to_step: index("exclusions.to_step", message.to_step, steps - 1)?,
        };
        if exclusion.from_step >= exclusion.to_step {
            return Err(invalid("exclusions: from_step has to be before to_step".to_owned()));
        }
        Ok((step, exclusion))
    }

    fn step(
        &self,
        event_name: &str,
        filter: Option<&v1::EventFilter>,
        common: &Filter,
    ) -> Result<Step, Error> {
        Ok(Step {
            event_name: check_event_name(event_name).map_err(ExploreError::from)?,
            filter: common.clone().and(self.filter(filter)?),
        })
    }

    /// A retention.
    pub(crate) fn retention(&self, message: v1::QueryRetentionRequest) -> Result<RetentionQuery, Error> {
        use v1::{RetentionBasis, RetentionCriterion, RetentionKind, RetentionMean, RetentionPeriod};
        let filter = self.filter(message.filter.as_ref())?;
        let step = |name: &str, step: &Option<v1::FunnelStep>| match step {
            Some(step) => self.step(&step.event_name, step.filter.as_ref(), &filter),
            None => Err(invalid(format!("{name}: it is missing; an empty one stands for any event"))),
        };
        let periods = message.periods.unwrap_or(DEFAULT_PERIODS);
        if !(1..=MAX_PERIODS).contains(&periods) {
            return Err(invalid(format!("periods: {periods} is given; expected 1 to {MAX_PERIODS}")));
        }
        let period = match RetentionPeriod::try_from(message.period) {
            Ok(RetentionPeriod::Hour) => Period::Hour,
            Ok(RetentionPeriod::Day) => Period::Day,
            Ok(RetentionPeriod::Unspecified | RetentionPeriod::Week) => Period::Week,
            Ok(RetentionPeriod::Month) => Period::Month,
            Err(_) => return Err(unknown("period", message.period, "RETENTION_PERIOD_WEEK")),
        };
        let is_first_time = match RetentionKind::try_from(message.kind) {
            Ok(kind) => kind != RetentionKind::Recurring,
            Err(_) => return Err(unknown("kind", message.kind, "RETENTION_KIND_FIRST_TIME")),
        };
        let is_on_or_after = match RetentionCriterion::try_from(message.criterion) {
            Ok(criterion) => criterion == RetentionCriterion::OnOrAfter,
            Err(_) => return Err(unknown("criterion", message.criterion, "RETENTION_CRITERION_ON")),
        };
        let is_rolling = match RetentionBasis::try_from(message.basis) {
            Ok(basis) => basis == RetentionBasis::Rolling,
            Err(_) => return Err(unknown("basis", message.basis, "RETENTION_BASIS_CALENDAR")),
        };
        let is_weighted = match RetentionMean::try_from(message.mean) {
            Ok(mean) => mean != RetentionMean::Plain,
            Err(_) => return Err(unknown("mean", message.mean, "RETENTION_MEAN_WEIGHTED")),
        };
        let time_zone = message.time_zone.filter(|zone| !zone.is_empty());
        parse_time_zone(time_zone.as_deref()).map_err(ExploreError::from)?;
        let end = message.end.map(|end| end.seconds);
        if end.is_some_and(|end| !(0..4_102_444_800).contains(&end)) {
            return Err(invalid("end: expected a time between the years 1970 and 2100".to_owned()));
        }
        Ok(RetentionQuery {
            project: self.project.clone(),
            start: step("start", &message.start)?,
            back: step("return", &message.r#return)?,
            period,
            periods: periods as usize,
            is_first_time,
            is_on_or_after,
            is_rolling,
            is_weighted,
            breakdown: self.optional_field("breakdown", &message.breakdown)?,
            limit: groups(message.limit)?,
            time_zone,
            end,
        })
    }

    /// Paths.
    pub(crate) fn paths(&self, message: v1::QueryPathsRequest) -> Result<PathsQuery, Error> {
        if message.event_names.len() > MAX_PATH_LIST || message.rules.len() > MAX_PATH_LIST {
            return Err(invalid(format!("event_names and rules: the maximum of each is {MAX_PATH_LIST}")));
        }
        let event_names: Result<Vec<String>, _> =
            message.event_names.iter().map(|name| check_event_name(name)).collect();
        let event_names = event_names.map_err(ExploreError::from)?;
        if event_names.iter().any(String::is_empty) {
            return Err(invalid("event_names: a name is empty".to_owned()));
        }
        let rule = |rule: v1::PathRule| match check_pattern(&rule.pattern) {
            Ok(()) => Ok((rule.pattern, rule.name)),
            Err(reason) => {
                let pattern = crate::panels::abbreviate(&rule.pattern);
                Err(invalid(format!("rules: {pattern:?} is not a regular expression: {reason}")))
            }
        };
        let rules: Result<Vec<(String, String)>, Error> = message.rules.into_iter().map(rule).collect();
        let number = |name: &str, given: Option<u32>, default: u32, max: u32| {
            let number = given.unwrap_or(default);
            if (1..=max).contains(&number) {
                return Ok(number as usize);
            }
            Err(invalid(format!("{name}: {number} is given; expected 1 to {max}")))
        };
        let anchor = message.event.as_ref();
        let anchor = anchor.map(|step| self.step(&step.event_name, step.filter.as_ref(), &Filter::default()));
        Ok(PathsQuery {
            project: self.project.clone(),
            anchor: anchor.transpose()?,
            is_before: message.before,
            event_names,
            filter: self.filter(message.filter.as_ref())?,
            field: self.optional_field("field", &message.field)?,
            rules: rules?,
            steps: number("steps", message.steps, DEFAULT_PATH_STEPS, MAX_PATH_STEPS)?,
            limit: number("limit", message.limit, DEFAULT_TRANSITIONS, MAX_TRANSITIONS)?,
            time: time(message.range, 0)?,
        })
    }

    /// The people behind a figure.
    pub(crate) fn people(&self, message: v1::ListPeopleRequest) -> Result<PeopleQuery, Error> {
        use v1::list_people_request::Figure as Message;
        let seconds = |time: prost_types::Timestamp| time.seconds;
        let missing = |name: &str| invalid(format!("{name}: the query is missing"));
        let figure = match message.figure {
            None => {
                return Err(invalid("figure: it is missing; expected trend, funnel or retention".to_owned()));
            }
            Some(Message::Trend(figure)) => {
                let query = self.trend(figure.query.ok_or_else(|| missing("trend.query"))?)?;
                let series = figure.series as usize;
                if series >= query.series.len() {
                    let given = query.series.len();
                    return Err(invalid(format!(
                        "trend.series: there is no series {series}; the query has {given}"
                    )));
                }
                let group = match (figure.is_other, figure.breakdown) {
                    (true, _) => FigureGroup::Other,
                    (false, values) if values.is_empty() => FigureGroup::All,
                    (false, values) => FigureGroup::Values(values),
                };
                let expected = query.breakdown.len();
                if matches!(&group, FigureGroup::Values(values) if values.len() != expected)
                    || group == FigureGroup::Other && expected == 0
                {
                    return Err(invalid(format!(
                        "trend.breakdown: expected {expected} values, one per field"
                    )));
                }
                Figure::Trend { query, series, group, bucket: figure.bucket.map(seconds) }
            }
            Some(Message::Funnel(figure)) => {
                let query = self.funnel(figure.query.ok_or_else(|| missing("funnel.query"))?)?;
                let step = step_index("funnel.step", figure.step, query.steps.len())? + 1;
                if figure.dropped && step == 1 {
                    return Err(invalid("funnel.step: nobody drops out before the first step".to_owned()));
                }
                let bucket = figure.bucket.map(seconds);
                Figure::Funnel { query, step, is_dropped: figure.dropped, value: figure.breakdown, bucket }
            }
            Some(Message::Retention(figure)) => {
                let query = self.retention(figure.query.ok_or_else(|| missing("retention.query"))?)?;
                let cohort = figure.cohort.map(seconds);
                let cohort = cohort.ok_or_else(|| invalid("retention.cohort: it is missing".to_owned()))?;
                let period = figure.period as usize;
                Figure::Retention {
                    query,
                    cohort,
                    period,
                    is_dropped: figure.dropped,
                    value: figure.breakdown,
                }
            }
        };
        let page_size = message.page_size.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&page_size) {
            return Err(invalid(format!("page_size: {page_size} is given; expected 1 to {MAX_PAGE}")));
        }
        let after = match &*message.page_token {
            "" => None,
            token => Some(parse_page_token(token)?),
        };
        Ok(PeopleQuery { figure, page_size: page_size as usize, after })
    }

    fn optional_field(&self, name: &'static str, text: &str) -> Result<Option<Field>, Error> {
        if text.is_empty() { Ok(None) } else { self.field(name, text).map(Some) }
    }

    fn filter(&self, message: Option<&v1::EventFilter>) -> Result<Filter, Error> {
        Ok(Filter::parse(message, self.properties).map_err(ExploreError::from)?)
    }

    fn field(&self, name: &'static str, text: &str) -> Result<Field, Error> {
        Ok(Field::parse(text, self.properties).map_err(|source| ExploreError::Field { name, source })?)
    }
}

fn invalid(message: String) -> Error {
    ExploreError::invalid(message).into()
}

fn unknown(name: &str, value: i32, example: &str) -> Error {
    invalid(format!("{name}: {value} is not known; expected for example {example}"))
}

/// The index of a step that a request counts from 1.
fn step_index(name: &str, given: u32, steps: usize) -> Result<usize, Error> {
    let index = (given as usize).checked_sub(1).filter(|index| *index < steps);
    index.ok_or_else(|| invalid(format!("{name}: {given} is given; expected 1 to {steps}")))
}

/// The token of the page after a person.
pub(super) fn page_token(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

fn parse_page_token(token: &str) -> Result<String, Error> {
    let id = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    id.ok_or_else(|| {
        let token = crate::panels::abbreviate(token);
        invalid(format!("page_token: {token:?} is not one; use next_page_token of the previous page"))
    })
}

fn time(range: Option<v1::QueryRange>, width: i32) -> Result<QueryTime, Error> {
    let (range, time_zone) = query_range(range)?;
    let time = QueryTime { range, bucket: bucket(width)?, time_zone };
    time.validate()?;
    Ok(time)
}

fn groups(limit: Option<u32>) -> Result<usize, Error> {
    let limit = limit.unwrap_or(DEFAULT_GROUPS);
    if !(1..=MAX_GROUPS).contains(&limit) {
        return Err(invalid(format!("limit: {limit} is given; expected 1 to {MAX_GROUPS}")));
    }
    Ok(limit as usize)
}
