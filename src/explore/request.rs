//! From the contracts' messages to valid queries.

use super::error::ExploreError;
use super::formula::Formula;
use super::time::QueryTime;
use super::trend::{Measure, Series, TrendQuery};
use crate::dashboard::request::{bucket, compare, query_range};
use crate::error::Error;
use crate::filter::{Field, Filter, check_event_name};
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;

const MAX_SERIES: usize = 10;
const MAX_BREAKDOWN_FIELDS: usize = 2;
const MAX_GROUPS: u32 = 50;
const DEFAULT_GROUPS: u32 = 10;

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
