//! Series that the rollup answers: without a filter and a breakdown, or with those by one dimension.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::error::ExploreError;
use super::runner::{Execution, Statement};
use super::time::QueryTime;
use super::trend::{Figures, Group, Measure, NONE, Series, Values, collect};
use crate::filter::field::OwnField;
use crate::filter::sql::{Param, Params};
use crate::filter::{Field, FieldCondition, Filter, Test};
use crate::panels::PanelSources;
use crate::panels::buckets::Buckets;
use crate::panels::template::{Source, distinct_count};
use crate::properties::Properties;

/// The value of those beyond the rollup's bound of values of a dimension.
pub(crate) const OTHER: &str = "(other)";

/// A series as a question to the rollup.
pub(super) struct Question<'a> {
    event_name: &'a str,
    measure: &'a Measure,
    /// Of the filter and of the breakdown; empty without both.
    dimension: String,
    /// Those that the filter allows.
    values: Option<&'a [String]>,
    is_broken_down: bool,
}

/// Every event has a value of these dimensions.
fn is_always_set(dimension: &str) -> bool {
    crate::properties::EVENT_DIMENSIONS.contains(&dimension)
}

/// The dimension that a field is.
pub(crate) fn dimension_of(field: &Field, properties: &Properties) -> Option<String> {
    let name = match field {
        Field::Own(own @ (OwnField::CountryCode | OwnField::DeviceType)) => own.name(),
        Field::Promoted { name, is_number: false } => name,
        _ => return None,
    };
    properties.dimensions().any(|dimension| dimension == name).then(|| name.to_owned())
}

impl<'a> Question<'a> {
    /// The question, if the rollup holds the answer.
    pub(super) fn new(series: &'a Series, breakdown: &[Field], properties: &Properties) -> Option<Self> {
        let filtered = match &series.filter {
            Filter::All(filters) => match filters.as_slice() {
                [] => None,
                [Filter::Field(condition)] => Some(condition),
                _ => return None,
            },
            Filter::Field(condition) => Some(condition),
            _ => return None,
        };
        let (filtered, values) = match filtered {
            None => (None, None),
            Some(FieldCondition { field, test: Test::Is(values) }) => {
                (Some(dimension_of(field, properties)?), Some(values.as_slice()))
            }
            Some(_) => return None,
        };
        let broken_down = match breakdown {
            [] => None,
            [field] => Some(dimension_of(field, properties)?),
            _ => return None,
        };
        let is_broken_down = broken_down.is_some();
        let dimension = match (filtered, broken_down) {
            (None, None) => String::new(),
            (Some(dimension), None) | (None, Some(dimension)) => dimension,
            (Some(filtered), Some(broken_down)) if filtered == broken_down => filtered,
            (Some(_), Some(_)) => return None,
        };
        // Visitors without a value are in no row, and sets cannot be subtracted.
        let has_all_groups = !is_broken_down || values.is_some() || is_always_set(&dimension);
        let is_measure = |field: &Field| {
            let measure = properties.measure_of(&series.event_name).filter(|_| !series.event_name.is_empty());
            matches!(field, Field::Promoted { name, .. } if measure.is_some_and(|measure| measure.name == *name))
        };
        let is_held = match &series.measure {
            Measure::Events => true,
            Measure::UnlinkedVisitors => has_all_groups,
            Measure::Sessions => dimension.is_empty(),
            Measure::Sum(field) | Measure::Average(field) => has_all_groups && is_measure(field),
            _ => false,
        };
        is_held.then(|| Self {
            event_name: &series.event_name,
            measure: &series.measure,
            dimension,
            values,
            is_broken_down,
        })
    }

    /// Whether every value of the dimension has rows of its own in the range.
    pub(super) async fn is_complete(
        &self,
        time: &QueryTime,
        sources: &PanelSources,
        now: Timestamp,
        execution: &mut Execution<'_>,
    ) -> Result<bool, ExploreError> {
        if self.dimension.is_empty() || is_always_set(&self.dimension) {
            return Ok(true);
        }
        let buckets = time.resolve(sources, Source::Rollup, now)?.buckets;
        let mut params = Params::default();
        let condition = self.condition(&self.dimension, &buckets, &mut params);
        let sql = format!("SELECT count() FROM rollup WHERE {condition} AND rollup.value = '{OTHER}'");
        let rows: Vec<(u64,)> = execution.rows(&Statement { sql, params, scan: None }).await?;
        Ok(rows.iter().all(|(count,)| *count == 0))
    }

    /// The condition on rows of the rollup, without that on values.
    fn condition(&self, dimension: &str, buckets: &Buckets, params: &mut Params) -> String {
        let event = match (self.event_name, dimension) {
            // All events together have no breakdown.
            ("", dimension) if !dimension.is_empty() => "rollup.event_name != ''".to_owned(),
            (name, _) => format!("rollup.event_name = {}", params.text(name)),
        };
        let mut rows = String::new();
        for (minutes, start) in buckets.series_rows() {
            write!(rows, "({minutes},{start}),").ok();
        }
        format!(
            "rollup.project = {{project:String}} AND {event} AND rollup.dimension = '{dimension}' \
             AND (rollup.step, rollup.start) IN ({rows})"
        )
    }

    fn value_condition(&self, params: &mut Params) -> String {
        self.values.map_or_else(String::new, |values| {
            format!(" AND rollup.value IN {}", params.add(Param::Texts(values.to_vec())))
        })
    }

    fn aggregate(&self) -> String {
        match self.measure {
            Measure::UnlinkedVisitors => format!("toFloat64({})", distinct_count("visitors")),
            Measure::Sessions => format!("toFloat64({})", distinct_count("sessions")),
            Measure::Sum(_) => "sum(measure_sum)".to_owned(),
            Measure::Average(_) => "sum(measure_sum) / nullIf(sum(measure_count), 0)".to_owned(),
            _ => "toFloat64(sum(events))".to_owned(),
        }
    }

    /// Whether events without a value have to be computed from all events.
    fn has_none(&self) -> bool {
        self.is_broken_down && self.values.is_none() && !is_always_set(&self.dimension)
    }

    /// One value more than `limit`, if there are so many.
    pub(super) async fn top(
        &self,
        limit: usize,
        buckets: &Buckets,
        execution: &mut Execution<'_>,
    ) -> Result<Vec<Values>, ExploreError> {
        let mut params = Params::default();
        let condition = self.condition(&self.dimension, buckets, &mut params);
        let values = self.value_condition(&mut params);
        let aggregate = self.aggregate();
        let sql = format!(
            "SELECT value, {aggregate} AS figure FROM rollup WHERE {condition}{values} \
             GROUP BY value ORDER BY figure DESC NULLS LAST, value LIMIT {}",
            limit + 1
        );
        let mut top: Vec<(String, Option<f64>)> =
            execution.rows(&Statement { sql, params, scan: None }).await?;
        if self.has_none() {
            let none = self.totals("", buckets, execution).await?
                - self.totals(&self.dimension, buckets, execution).await?;
            if none > 0.0 {
                top.push((NONE.to_owned(), Some(none)));
                let figure = |entry: &(String, Option<f64>)| entry.1.unwrap_or(f64::NEG_INFINITY);
                top.sort_by(|a, b| figure(b).total_cmp(&figure(a)).then_with(|| a.0.cmp(&b.0)));
                top.truncate(limit + 1);
            }
        }
        Ok(top.into_iter().map(|(value, _)| vec![value]).collect())
    }

    /// The events of the range, with a value of the dimension.
    async fn totals(
        &self,
        dimension: &str,
        buckets: &Buckets,
        execution: &mut Execution<'_>,
    ) -> Result<f64, ExploreError> {
        let mut params = Params::default();
        let condition = self.condition(dimension, buckets, &mut params);
        let sql = format!("SELECT toFloat64(sum(events)) FROM rollup WHERE {condition}");
        let rows: Vec<(f64,)> = execution.rows(&Statement { sql, params, scan: None }).await?;
        Ok(rows.iter().map(|(events,)| events).sum())
    }

    /// The figures of the top values, and of the others together.
    pub(super) async fn figures(
        &self,
        top: Option<&[Values]>,
        buckets: &Buckets,
        execution: &mut Execution<'_>,
    ) -> Result<Figures, ExploreError> {
        let empty = self.measure.empty();
        let mut figures = self.grouped(&self.dimension, top, buckets, execution).await?;
        let Some(top) = top.filter(|_| self.has_none()) else { return Ok(figures) };
        let mut all = self.grouped("", None, buckets, execution).await?;
        let all = all.remove(&Group::Values(Vec::new()));
        let (mut values, mut total) = all.unwrap_or_else(|| (vec![empty; buckets.starts.len()], empty));
        let subtract = |value: &mut Option<f64>, other: Option<f64>| {
            *value = Some(value.unwrap_or(0.0) - other.unwrap_or(0.0));
        };
        for (others, other_total) in figures.values() {
            values.iter_mut().zip(others).for_each(|(value, other)| subtract(value, *other));
            subtract(&mut total, *other_total);
        }
        let none = vec![NONE.to_owned()];
        let group = if top.contains(&none) { Group::Values(none) } else { Group::Other };
        let entry = figures.entry(group).or_insert_with(|| (vec![Some(0.0); values.len()], Some(0.0)));
        let add = |value: &mut Option<f64>, other: Option<f64>| {
            *value = Some(value.unwrap_or(0.0) + other.unwrap_or(0.0));
        };
        entry.0.iter_mut().zip(values).for_each(|(value, none)| add(value, none));
        add(&mut entry.1, total);
        Ok(figures)
    }

    /// The figures of the rows of a dimension.
    async fn grouped(
        &self,
        dimension: &str,
        top: Option<&[Values]>,
        buckets: &Buckets,
        execution: &mut Execution<'_>,
    ) -> Result<Figures, ExploreError> {
        let mut params = Params::default();
        let condition = self.condition(dimension, buckets, &mut params);
        let values = if dimension.is_empty() { String::new() } else { self.value_condition(&mut params) };
        let group = match top {
            Some(top) => {
                let top = top.iter().flatten().cloned().collect();
                format!("if(value IN {}, [value], [])", params.add(Param::Texts(top)))
            }
            None => "CAST([], 'Array(String)')".to_owned(),
        };
        let starts = params.add(Param::Seconds(buckets.starts.clone()));
        let sql = format!(
            "SELECT bucket, group_values, {} FROM (SELECT *, roundDown(toUnixTimestamp(start), {starts}) AS bucket, \
             {group} AS group_values FROM rollup WHERE {condition}{values}) \
             GROUP BY GROUPING SETS ((bucket, group_values), (group_values))",
            self.aggregate()
        );
        let rows: Vec<(i64, Values, Option<f64>)> =
            execution.rows(&Statement { sql, params, scan: None }).await?;
        Ok(collect(rows, self.measure, top.is_none(), buckets))
    }
}
