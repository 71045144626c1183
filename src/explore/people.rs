//! The people behind a figure: those that the same statement counts, so that the list is as long as the figure says.

use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::error::ExploreError;
use super::funnel::FunnelQuery;
use super::retention::RetentionQuery;
use super::rows::{Selection, Span, VISITOR_ID};
use super::runner::{Cost, Execution, Statement};
use super::time::TimeFrame;
use super::trend::{Measure, TrendQuery, Values, breakdown_values};
use crate::filter::sql::{Param, Params, number};
use crate::panels::PanelSources;
use crate::panels::template::Source;
use crate::project::Project;

/// A page of the people behind a figure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PeopleQuery {
    pub(crate) figure: Figure,
    pub(crate) page_size: usize,
    /// The id of the last person of the previous page.
    pub(crate) after: Option<String>,
}

/// A figure of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Figure {
    Trend {
        query: TrendQuery,
        series: usize,
        group: FigureGroup,
        /// The start of the bucket; `None` for the whole range.
        bucket: Option<i64>,
    },
    Funnel {
        query: FunnelQuery,
        /// From 1.
        step: usize,
        is_dropped: bool,
        value: Option<String>,
        bucket: Option<i64>,
    },
    Retention {
        query: RetentionQuery,
        cohort: i64,
        period: usize,
        is_dropped: bool,
        value: Option<String>,
    },
}

/// Which events of a trend count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FigureGroup {
    All,
    Values(Values),
    Other,
}

/// A page of people.
#[derive(Clone, Debug)]
pub(crate) struct PeopleResult {
    /// By id.
    pub(crate) people: Vec<Person>,
    pub(crate) has_more: bool,
    pub(crate) total: u64,
    pub(crate) cost: Cost,
}

/// A person of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) events: u64,
}

/// Collects the people of a page from an unordered list.
struct Page<'a> {
    after: Option<&'a str>,
    size: usize,
    total: u64,
    /// The smallest ids, one more than fit.
    ids: BinaryHeap<String>,
}

impl Page<'_> {
    fn add(&mut self, id: &str) {
        self.total += 1;
        if self.after.is_some_and(|after| id <= after) {
            return;
        }
        if self.ids.len() > self.size {
            if self.ids.peek().is_some_and(|largest| id >= largest.as_str()) {
                return;
            }
            self.ids.pop();
        }
        self.ids.push(id.to_owned());
    }
}

/// The bucket that starts at a time, as a span.
fn bucket_span(frame: &TimeFrame, start: i64) -> Result<Span, ExploreError> {
    let starts = &frame.buckets.starts;
    let index = starts
        .binary_search(&start)
        .map_err(|_| ExploreError::invalid("bucket: no bucket of the range starts at this time"))?;
    let end = starts.get(index + 1).copied().unwrap_or(frame.buckets.end);
    Ok(Span { start, end })
}

impl PeopleQuery {
    pub(crate) fn project(&self) -> &Project {
        match &self.figure {
            Figure::Trend { query, .. } => &query.project,
            Figure::Funnel { query, .. } => &query.project,
            Figure::Retention { query, .. } => &query.project,
        }
    }

    /// Lists the people.
    pub(super) async fn execute(
        &self,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<PeopleResult, ExploreError> {
        let now = Timestamp::now();
        let mut page =
            Page { after: self.after.as_deref(), size: self.page_size, total: 0, ids: BinaryHeap::new() };
        match &self.figure {
            Figure::Trend { query, series, group, bucket } => {
                return self.trend(query, *series, group, *bucket, sources, execution).await;
            }
            Figure::Funnel { query, step, is_dropped, value, bucket } => {
                let frame = query.time.resolve(sources, Source::Events, now)?;
                let span = bucket.map_or_else(|| Ok(frame.span()), |start| bucket_span(&frame, start))?;
                let entries = span.start * 1_000..span.end * 1_000;
                query
                    .for_each_chain(&frame, true, execution, |chain, found, id| {
                        let is_counted =
                            if *is_dropped { chain.len() + 1 == *step } else { chain.len() >= *step };
                        let is_value = value.is_none() || value.as_deref() == found;
                        if is_counted && is_value && entries.contains(&chain[0].time) {
                            page.add(id);
                        }
                    })
                    .await?;
            }
            Figure::Retention { query, cohort, period, is_dropped, value } => {
                let query = if value.is_none() {
                    RetentionQuery { breakdown: None, ..query.clone() }
                } else {
                    query.clone()
                };
                query
                    .for_each_visitor(sources, now, true, execution, |found, visits, id| {
                        let is_value = value.as_deref() == found;
                        let returned = query.is_in_cell(visits, *cohort, *period, now);
                        if is_value && returned.is_some_and(|returned| returned != *is_dropped) {
                            page.add(id);
                        }
                    })
                    .await?;
            }
        }
        let Page { size, total, ids, .. } = page;
        let has_more = ids.len() > size;
        let ids = ids.into_sorted_vec();
        let people = ids.into_iter().take(size).map(|id| Person { id, events: 0 }).collect();
        Ok(PeopleResult { people, has_more, total, cost: execution.cost })
    }

    async fn trend(
        &self,
        query: &TrendQuery,
        series: usize,
        group: &FigureGroup,
        bucket: Option<i64>,
        sources: &PanelSources,
        execution: &mut Execution<'_>,
    ) -> Result<PeopleResult, ExploreError> {
        let frame = query.time.resolve(sources, Source::Events, Timestamp::now())?;
        let span = bucket.map_or_else(|| Ok(frame.span()), |start| bucket_span(&frame, start))?;
        let counted = &query.series[series];
        let mut params = Params::default();
        let id = match counted.measure {
            Measure::UnlinkedVisitors => "ifNull(events.user_id, events.session_id)",
            _ => VISITOR_ID,
        };
        let mut columns = vec![(id.to_owned(), "id")];
        let mut conditions = "id != ''".to_owned();
        if let Measure::Sum(field)
        | Measure::Average(field)
        | Measure::Min(field)
        | Measure::Max(field)
        | Measure::Quantile(_, field) = &counted.measure
        {
            columns.push((number(field, &mut params), "number"));
            conditions.push_str(" AND isNotNull(number)");
        }
        if *group != FigureGroup::All {
            columns.push((breakdown_values(&query.breakdown, &mut params), "group_values"));
            let (operator, values) = match group {
                FigureGroup::Values(values) => ("", vec![values.clone()]),
                _ => ("NOT ", query.top(&frame, execution).await?),
            };
            let values = params.add(Param::TextLists(values));
            conditions.push_str(&format!(" AND {operator}has({values}, group_values)"));
        }
        let selection = Selection { columns, has_visitor: true };
        let rows = counted.rows(span, frame.span());
        let scan = Some(rows.scan(&mut params));
        let rows = rows.select(&selection, &mut params);
        let total = Statement {
            sql: format!("SELECT uniqExact(id) FROM ({rows}) WHERE {conditions}"),
            params: params.clone(),
            scan: scan.clone(),
        };
        let total: Vec<(u64,)> = execution.rows(&total).await?;
        let after = match &self.after {
            Some(after) => format!(" AND id > {}", params.text(after)),
            None => String::new(),
        };
        let sql = format!(
            "SELECT id, count() FROM ({rows}) WHERE {conditions}{after} GROUP BY id ORDER BY id LIMIT {}",
            self.page_size + 1
        );
        let mut people: Vec<(String, u64)> = execution.rows(&Statement { sql, params, scan }).await?;
        let has_more = people.len() > self.page_size;
        people.truncate(self.page_size);
        Ok(PeopleResult {
            people: people.into_iter().map(|(id, events)| Person { id, events }).collect(),
            has_more,
            total: total.iter().map(|(total,)| total).sum(),
            cost: execution.cost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let ids = ["d", "a", "c", "e", "b"];
        let mut after: Option<String> = None;
        let mut listed = Vec::new();
        loop {
            let mut page = Page { after: after.as_deref(), size: 2, total: 0, ids: BinaryHeap::new() };
            ids.iter().for_each(|id| page.add(id));
            assert_eq!(page.total, 5);
            let has_more = page.ids.len() > 2;
            let found: Vec<String> = page.ids.into_sorted_vec().into_iter().take(2).collect();
            after = found.last().cloned();
            listed.extend(found);
            if !has_more {
                break;
            }
        }
        assert_eq!(listed, ["a", "b", "c", "d", "e"]);
    }
}
