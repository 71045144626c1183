//! Trends: figures over time of several series, from the rollup where it holds the answer, otherwise from events.

use std::collections::HashMap;

use jiff::Timestamp;

use super::error::ExploreError;
use super::formula::Formula;
use super::rows::{Rows, SESSION, Selection, Span, VISITOR};
use super::runner::{Cost, Execution, Statement};
use super::time::{QueryTime, TimeFrame};
use crate::filter::sql::{Param, Params, number, text};
use crate::filter::{Field, Filter};
use crate::panels::PanelSources;
use crate::panels::buckets::Buckets;
use crate::panels::comparison::Compare;
use crate::panels::query::ResultContext;
use crate::panels::template::Source;
use crate::project::Project;

/// The values of a breakdown of an event; one per field.
pub(crate) type Values = Vec<String>;

/// The value of a breakdown of events that lack the field.
pub(crate) const NONE: &str = "(none)";

/// A trend with all that its result depends on. Validated; equal queries have the same result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TrendQuery {
    pub(crate) project: Project,
    /// At least one.
    pub(crate) series: Vec<Series>,
    pub(crate) time: QueryTime,
    pub(crate) compare: Option<Compare>,
    /// Valid for the number of series.
    pub(crate) formula: Option<String>,
    pub(crate) breakdown: Vec<Field>,
    /// How many values of the breakdown get lines of their own.
    pub(crate) limit: usize,
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Series {
    /// Empty for any event.
    pub(crate) event_name: String,
    /// That of the query and that of the series.
    pub(crate) filter: Filter,
    pub(crate) measure: Measure,
}

/// What a series counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Measure {
    Events,
    Visitors,
    UnlinkedVisitors,
    Sessions,
    EventsPerVisitor,
    Sum(Field),
    Average(Field),
    Min(Field),
    Max(Field),
    /// In percent.
    Quantile(u8, Field),
}

/// The result of a trend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrendResult {
    /// In seconds since 1970 UTC.
    pub(crate) buckets: Vec<i64>,
    pub(crate) lines: Vec<Line>,
    pub(crate) context: ResultContext,
    pub(crate) cost: Cost,
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) series: usize,
    pub(crate) group: Group,
    /// One per bucket.
    pub(crate) values: Vec<Point>,
    pub(crate) total: Point,
}

/// Which events a line counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// Those with these values of the breakdown; all without one.
    Values(Values),
    /// Those with others than the top values.
    Other,
}

/// A value, and that of the earlier period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub(crate) value: Option<f64>,
    pub(crate) compared: Option<f64>,
}

/// Figures of one series by group: per bucket, and in total.
pub(super) type Figures = HashMap<Group, (Vec<Option<f64>>, Option<f64>)>;

/// The most distinct visitors whose number is exact in the rollup.
const MAX_EXACT: f64 = 100.0;

impl Measure {
    /// The aggregate over the columns of [`Series::statement`], as a `Nullable(Float64)`.
    fn aggregate(&self) -> String {
        match self {
            Self::Events => "toFloat64(count())".to_owned(),
            Self::Visitors | Self::UnlinkedVisitors => {
                "toFloat64(uniqExactIf(visitor, visitor != 0))".to_owned()
            }
            Self::Sessions => "toFloat64(uniqExactIf(session, session != 0))".to_owned(),
            Self::EventsPerVisitor => {
                "countIf(visitor != 0) / nullIf(uniqExactIf(visitor, visitor != 0), 0)".to_owned()
            }
            Self::Sum(_) => "ifNull(sumKahan(number), 0)".to_owned(),
            Self::Average(_) => "sumKahan(number) / nullIf(count(number), 0)".to_owned(),
            Self::Min(_) => "minOrNull(number)".to_owned(),
            Self::Max(_) => "maxOrNull(number)".to_owned(),
            Self::Quantile(percent, _) => {
                format!("quantileTDigestOrNull({})(number)", f64::from(*percent) / 100.0)
            }
        }
    }

    /// The column that the aggregate needs.
    fn column(&self, params: &mut Params) -> Option<(String, &'static str)> {
        Some(match self {
            Self::Events => return None,
            Self::Visitors | Self::EventsPerVisitor => (VISITOR.to_owned(), "visitor"),
            Self::UnlinkedVisitors => (UNLINKED_VISITOR.to_owned(), "visitor"),
            Self::Sessions => (SESSION.to_owned(), "session"),
            Self::Sum(field)
            | Self::Average(field)
            | Self::Min(field)
            | Self::Max(field)
            | Self::Quantile(_, field) => (number(field, params), "number"),
        })
    }

    fn is_linked(&self) -> bool {
        matches!(self, Self::Visitors | Self::EventsPerVisitor)
    }

    /// The value where there are no events.
    pub(super) fn empty(&self) -> Option<f64> {
        match self {
            Self::Events | Self::Visitors | Self::UnlinkedVisitors | Self::Sessions | Self::Sum(_) => {
                Some(0.0)
            }
            _ => None,
        }
    }
}

/// The hash of the visitor as panels count them.
const UNLINKED_VISITOR: &str = "multiIf(isNotNull(events.user_id), xxh3(assumeNotNull(events.user_id)), \
                                events.session_id != '', xxh3(events.session_id), 0)";

/// The expression of the values of a breakdown, an `Array(String)`.
pub(super) fn breakdown_values(breakdown: &[Field], params: &mut Params) -> String {
    let values: Vec<String> = breakdown
        .iter()
        .map(|field| format!("if({0} = '', '{NONE}', toString({0}))", text(field, params)))
        .collect();
    format!("[{}]", values.join(", "))
}

impl Series {
    pub(super) fn rows(&self, span: Span, did_span: Span) -> Rows<'_> {
        let event_names = if self.event_name.is_empty() { Vec::new() } else { vec![&*self.event_name] };
        Rows { event_names, filter: &self.filter, span, did_span }
    }

    /// The statement that reads events. Its rows: the start of the bucket, 0 for the total; the values of the breakdown, none
    /// for the other ones; the figure.
    fn statement(&self, breakdown: &[Field], top: Option<&Top>, buckets: &Buckets) -> Statement {
        let mut params = Params::default();
        let starts = params.add(Param::Seconds(buckets.starts.clone()));
        let mut columns = vec![(format!("roundDown(toUnixTimestamp(events.timestamp), {starts})"), "bucket")];
        columns.extend(self.measure.column(&mut params));
        if !breakdown.is_empty() {
            let values = breakdown_values(breakdown, &mut params);
            let group = match top {
                Some(top) if top.has_others => {
                    let top = params.add(Param::TextLists(top.values.clone()));
                    format!("if(has({top}, {values}), {values}, [])")
                }
                _ => values,
            };
            columns.push((group, "group_values"));
        }
        let selection = Selection { columns, has_visitor: self.measure.is_linked() };
        let span = Span { start: buckets.starts[0], end: buckets.end };
        let rows = self.rows(span, span);
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&selection, &mut params);
        let aggregate = self.measure.aggregate();
        let sql = if breakdown.is_empty() {
            format!(
                "SELECT bucket, CAST([], 'Array(String)'), {aggregate} FROM ({rows}) GROUP BY GROUPING SETS ((bucket), ())"
            )
        } else {
            format!(
                "SELECT bucket, group_values, {aggregate} FROM ({rows}) \
                 GROUP BY GROUPING SETS ((bucket, group_values), (group_values))"
            )
        };
        Statement { sql, params, scan }
    }

    /// The statement that finds the top values of a breakdown.
    fn top_statement(&self, breakdown: &[Field], limit: usize, span: Span) -> Statement {
        let mut params = Params::default();
        let mut columns = vec![(breakdown_values(breakdown, &mut params), "group_values")];
        columns.extend(self.measure.column(&mut params));
        let selection = Selection { columns, has_visitor: self.measure.is_linked() };
        let rows = self.rows(span, span);
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&selection, &mut params);
        let sql = format!(
            "SELECT group_values FROM ({rows}) GROUP BY group_values ORDER BY {} DESC NULLS LAST, group_values LIMIT {}",
            self.measure.aggregate(),
            limit + 1
        );
        Statement { sql, params, scan }
    }
}

/// The top values of a breakdown.
struct Top {
    values: Vec<Values>,
    has_others: bool,
}

impl TrendQuery {
    /// The top values of the breakdown, from events.
    pub(super) async fn top(
        &self,
        frame: &TimeFrame,
        execution: &mut Execution<'_>,
    ) -> Result<Vec<Values>, ExploreError> {
        let statement = self.series[0].top_statement(&self.breakdown, self.limit, frame.span());
        let rows: Vec<(Values,)> = execution.rows(&statement).await?;
        Ok(rows.into_iter().map(|(values,)| values).take(self.limit).collect())
    }

    /// Computes the trend.
    pub(super) async fn execute(
        &self,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<TrendResult, ExploreError> {
        let now = Timestamp::now();
        let properties = std::sync::Arc::clone(&sources.properties.borrow());
        let mut from_rollup = Vec::new();
        for series in &self.series {
            let question = super::rollup::Question::new(series, &self.breakdown, &properties);
            from_rollup.push(match question {
                Some(question) if question.is_complete(&self.time, sources, now, execution).await? => {
                    Some(question)
                }
                _ => None,
            });
        }
        let source = if from_rollup.iter().all(Option::is_some) { Source::Rollup } else { Source::Events };
        let frame = self.time.resolve(sources, source, now)?;
        let top = match &from_rollup[0] {
            _ if self.breakdown.is_empty() => None,
            Some(question) => Some(question.top(self.limit, &frame.buckets, execution).await?),
            None => {
                let statement = self.series[0].top_statement(&self.breakdown, self.limit, frame.span());
                let rows: Vec<(Values,)> = execution.rows(&statement).await?;
                Some(rows.into_iter().map(|(values,)| values).collect())
            }
        };
        let top = top.map(|mut values: Vec<Values>| {
            let has_others = values.len() > self.limit;
            values.truncate(self.limit);
            Top { values, has_others }
        });
        let earlier = self.compare.map(|compare| frame.buckets.compared(compare, &frame.zone, now).0);
        let mut approximate = false;
        let mut figures = Vec::new();
        for (series, question) in self.series.iter().zip(&from_rollup) {
            let mut compute = async |buckets: &Buckets| match question {
                Some(question) => {
                    let figures =
                        question.figures(top.as_ref().map(|top| &*top.values), buckets, execution).await?;
                    let is_distinct = matches!(series.measure, Measure::UnlinkedVisitors | Measure::Sessions);
                    let is_estimate = |value: &Option<f64>| value.is_some_and(|value| value > MAX_EXACT);
                    approximate |= is_distinct
                        && figures
                            .values()
                            .any(|(values, total)| values.iter().chain([total]).any(is_estimate));
                    Ok(figures)
                }
                None => {
                    let statement = series.statement(&self.breakdown, top.as_ref(), buckets);
                    let rows: Vec<(i64, Values, Option<f64>)> = execution.rows(&statement).await?;
                    Ok::<_, ExploreError>(collect(rows, &series.measure, self.breakdown.is_empty(), buckets))
                }
            };
            let now = compute(&frame.buckets).await?;
            let earlier = match &earlier {
                Some(buckets) => Some(compute(buckets).await?),
                None => None,
            };
            figures.push((now, earlier));
        }
        approximate |= self.series.iter().any(|series| matches!(series.measure, Measure::Quantile(..)));
        Ok(TrendResult {
            lines: self.lines(&figures, top.as_ref(), frame.buckets.starts.len()),
            buckets: frame.buckets.starts.clone(),
            context: frame.context(source, approximate),
            cost: execution.cost,
        })
    }

    /// The lines of the result.
    fn lines(&self, figures: &[(Figures, Option<Figures>)], top: Option<&Top>, buckets: usize) -> Vec<Line> {
        let mut groups = match top {
            None => vec![Group::Values(Vec::new())],
            Some(top) => top.values.iter().cloned().map(Group::Values).collect(),
        };
        if top.is_some_and(|top| top.has_others) {
            groups.push(Group::Other);
        }
        let line = |series: usize, group: &Group| {
            let empty = self.series[series].measure.empty();
            let of = |figures: &Figures| {
                figures.get(group).cloned().unwrap_or_else(|| (vec![empty; buckets], empty))
            };
            let (values, total) = of(&figures[series].0);
            let (earlier, earlier_total) = figures[series].1.as_ref().map(of).unzip();
            let compared = |bucket: usize| earlier.as_ref().and_then(|values| *values.get(bucket)?);
            Line {
                series,
                group: group.clone(),
                values: values
                    .into_iter()
                    .enumerate()
                    .map(|(bucket, value)| Point { value, compared: compared(bucket) })
                    .collect(),
                total: Point { value: total, compared: earlier_total.flatten() },
            }
        };
        let formula = self.formula.as_ref().and_then(|text| Formula::parse(text, self.series.len()).ok());
        if let Some(formula) = formula {
            return groups
                .iter()
                .map(|group| {
                    let lines: Vec<Line> = (0..self.series.len()).map(|series| line(series, group)).collect();
                    combine(&formula, &lines)
                })
                .collect();
        }
        let mut lines = Vec::new();
        for series in 0..self.series.len() {
            let first = lines.len();
            lines.extend(groups.iter().map(|group| line(series, group)));
            let total = |line: &Line| line.total.value.unwrap_or(f64::NEG_INFINITY);
            let is_other = |line: &Line| line.group == Group::Other;
            lines[first..].sort_by(|a, b| is_other(a).cmp(&is_other(b)).then(total(b).total_cmp(&total(a))));
        }
        lines
    }
}

/// The line of a formula over the lines of one group.
fn combine(formula: &Formula, lines: &[Line]) -> Line {
    let point = |of: &dyn Fn(&Line) -> Point| Point {
        value: formula.evaluate(&|series| of(&lines[series]).value),
        compared: formula.evaluate(&|series| of(&lines[series]).compared),
    };
    Line {
        series: 0,
        group: lines[0].group.clone(),
        values: (0..lines[0].values.len()).map(|bucket| point(&|line| line.values[bucket])).collect(),
        total: point(&|line| line.total),
    }
}

/// Arranges the rows of a statement. The start of a bucket is 0 in totals.
pub(super) fn collect(
    rows: Vec<(i64, Values, Option<f64>)>,
    measure: &Measure,
    is_whole: bool,
    buckets: &Buckets,
) -> Figures {
    let empty = measure.empty();
    let mut figures = Figures::new();
    for (start, values, value) in rows {
        let group = if values.is_empty() && !is_whole { Group::Other } else { Group::Values(values) };
        let entry = figures.entry(group).or_insert_with(|| (vec![empty; buckets.starts.len()], empty));
        match buckets.starts.binary_search(&start) {
            Ok(bucket) => entry.0[bucket] = value,
            Err(_) => entry.1 = value,
        }
    }
    figures
}
