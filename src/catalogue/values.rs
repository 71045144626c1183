//! The values of a field: those of a dimension from the rollup, others from the most recent events.
//!
//! How many events are read follows from the rollup, which has the number of events of each minute: as many minutes, newest
//! first, as have together no more than the budget; of the newest minute its first part, if already that one has more. A
//! sample of a longer time would read the same blocks as all of its events.

use super::names::has_prefix;
use super::service::Listing;
use crate::explore::error::ExploreError;
use crate::explore::rollup::{OTHER, dimension_of};
use crate::explore::runner::{Execution, Statement};
use crate::filter::Field;
use crate::filter::sql::{Params, text};
use crate::properties::Properties;

/// The most events whose JSON is parsed. It takes about 1 µs per event.
const MAX_PARSED_EVENTS: u64 = 100_000;
/// The most events of which a column is read.
const MAX_EVENTS: u64 = 1_000_000;
/// Longer values are not listed.
const MAX_VALUE_BYTES: usize = 500;

/// The values of a field. Times are in milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    /// Most frequent first.
    pub(super) values: Vec<(String, u64)>,
    pub(super) start: i64,
    /// `None`: events up to the latest one were read.
    pub(super) end: Option<i64>,
    pub(super) is_from_rollup: bool,
    pub(super) others: u64,
}

/// Lists the values of a field of an event, or of all events.
pub(super) async fn list(
    listing: &Listing,
    event_name: &str,
    field: &Field,
    prefix: &str,
    properties: &Properties,
    execution: &mut Execution<'_>,
) -> Result<Values, ExploreError> {
    match dimension_of(field, properties) {
        Some(dimension) => of_dimension(listing, event_name, &dimension, prefix, execution).await,
        None => of_events(listing, event_name, field, prefix, execution).await,
    }
}

async fn of_dimension(
    listing: &Listing,
    event_name: &str,
    dimension: &str,
    prefix: &str,
    execution: &mut Execution<'_>,
) -> Result<Values, ExploreError> {
    let mut params = Params::default();
    let event = match event_name {
        "" => "!= ''".to_owned(),
        name => format!("= {}", params.text(name)),
    };
    let matching = match prefix {
        "" => String::new(),
        _ => has_prefix("value", prefix, &mut params),
    };
    let Listing { since, limit, .. } = listing;
    // The others first: they are not one of the limit's.
    let sql = format!(
        "SELECT value, sum(rollup.events) AS found FROM rollup WHERE rollup.project = {{project:String}} \
         AND rollup.event_name {event} AND rollup.dimension = '{dimension}' AND rollup.step = 1440 \
         AND rollup.start >= toDateTime({since}, 'UTC') AND (value = '{OTHER}' OR 1{matching}) \
         GROUP BY value ORDER BY value = '{OTHER}' DESC, found DESC, value LIMIT {}",
        limit + 1
    );
    let rows: Vec<(String, u64)> = execution.rows(&Statement { sql, params, scan: None }).await?;
    let others = rows.iter().filter(|(value, _)| value == OTHER).map(|(_, events)| events).sum();
    let mut values: Vec<(String, u64)> = rows.into_iter().filter(|(value, _)| value != OTHER).collect();
    values.truncate(*limit);
    Ok(Values { values, start: since * 1_000, end: None, is_from_rollup: true, others })
}

/// The start of what is read, and its end if that is not the latest event, in milliseconds. `minutes` have their start in
/// seconds and their events, newest first.
fn choose_range(minutes: &[(i64, u64)], budget: u64, since: i64, now: i64) -> (i64, Option<i64>) {
    let mut events = 0;
    let mut start = since;
    for (index, (minute, found)) in minutes.iter().enumerate() {
        events += found;
        if events > budget && index == 0 {
            let elapsed_ms = 1_000.0 * (now - minute).clamp(1, 60) as f64;
            let part = elapsed_ms * budget as f64 / events as f64;
            return (minute * 1_000, Some(minute * 1_000 + (part as i64).max(1)));
        }
        if events > budget {
            return (start * 1_000, None);
        }
        start = *minute;
    }
    (since * 1_000, None)
}

async fn of_events(
    listing: &Listing,
    event_name: &str,
    field: &Field,
    prefix: &str,
    execution: &mut Execution<'_>,
) -> Result<Values, ExploreError> {
    let Listing { since, limit, now } = *listing;
    let mut params = Params::default();
    // Of all events together if the name is empty.
    let name = params.text(event_name);
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp(start)), found FROM (SELECT start, sum(rollup.events) AS found FROM rollup \
         WHERE rollup.project = {{project:String}} AND rollup.event_name = {name} AND rollup.dimension = '' \
         AND rollup.step = 1 AND rollup.start >= toDateTime({since}, 'UTC') GROUP BY start) ORDER BY start DESC"
    );
    let minutes: Vec<(i64, u64)> = execution.rows(&Statement { sql, params, scan: None }).await?;
    let budget = if matches!(field, Field::Property(_)) { MAX_PARSED_EVENTS } else { MAX_EVENTS };
    let (start, end) = choose_range(&minutes, budget, since, now);

    let mut params = Params::default();
    let mut conditions = String::new();
    if !event_name.is_empty() {
        conditions += &format!(" AND events.event_name = {}", params.text(event_name));
    }
    if let Some(end) = end {
        conditions += &format!(" AND events.timestamp < {}", time(end));
    }
    let value = text(field, &mut params);
    let matching = match prefix {
        "" => String::new(),
        _ => has_prefix("found_value", prefix, &mut params),
    };
    let sql = format!(
        "SELECT found_value, count() AS found FROM (SELECT toString({value}) AS found_value FROM events \
         WHERE events.project = {{project:String}} AND events.timestamp >= {}{conditions}) \
         WHERE found_value != '' AND length(found_value) <= {MAX_VALUE_BYTES}{matching} \
         GROUP BY found_value ORDER BY found DESC, found_value LIMIT {limit}",
        time(start)
    );
    let values = execution.rows(&Statement { sql, params, scan: None }).await?;
    Ok(Values { values, start, end, is_from_rollup: false, others: 0 })
}

/// A time in milliseconds with the type of the column.
fn time(millis: i64) -> String {
    format!("fromUnixTimestamp64Milli({millis}, 'UTC')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_minutes_are_read_as_have_few_enough_events() {
        for (minutes, expected) in [
            (vec![], (60_000, None)),
            (vec![(180, 100), (120, 0)], (60_000, None)),
            (vec![(180, 100), (120, 1)], (180_000, None)),
            (vec![(240, 1), (180, 99), (120, 1)], (180_000, None)),
            // A whole minute, and one of which ten seconds are over.
            (vec![(180, 300), (120, 1)], (180_000, Some(200_000))),
            (vec![(300, 200), (120, 1)], (300_000, Some(305_000))),
        ] {
            assert_eq!(choose_range(&minutes, 100, 60, 310), expected, "{minutes:?}");
        }
    }
}
