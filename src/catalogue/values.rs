//! The values of a field: those of a dimension from the rollup, others from the most recent events.
//!
//! How many events are read follows from the rollup, which has the number of events of each minute: as many minutes, newest
//! first, as have together no more than [`MAX_EVENTS`]. If already the newest minute has more, they are sampled.

use super::names::has_prefix;
use super::service::Listing;
use crate::explore::error::ExploreError;
use crate::explore::rollup::{OTHER, dimension_of};
use crate::explore::runner::{Execution, Statement};
use crate::filter::Field;
use crate::filter::sql::{Params, text};
use crate::properties::Properties;

/// The most events that are read for values. Parsing JSON takes about 1 µs per event.
const MAX_EVENTS: u64 = 100_000;
/// Longer values are not listed.
const MAX_VALUE_BYTES: usize = 500;

/// The values of a field. Times are in seconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    /// Most frequent first.
    pub(super) values: Vec<(String, u64)>,
    pub(super) start: i64,
    pub(super) is_estimate: bool,
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
    let rows: Vec<(String, u64)> = execution.rows(&Statement { sql, params, named: Vec::new() }).await?;
    let others = rows.iter().filter(|(value, _)| value == OTHER).map(|(_, events)| events).sum();
    let mut values: Vec<(String, u64)> = rows.into_iter().filter(|(value, _)| value != OTHER).collect();
    values.truncate(*limit);
    Ok(Values { values, start: *since, is_estimate: false, is_from_rollup: true, others })
}

/// Since when events are read, and one in how many.
fn choose_minutes(minutes: &[(i64, u64)], since: i64) -> (i64, u64) {
    let mut events = 0;
    for (index, (_, found)) in minutes.iter().enumerate() {
        events += found;
        if events > MAX_EVENTS {
            return match index.checked_sub(1) {
                Some(previous) => (minutes[previous].0, 1),
                None => (minutes[0].0, events.div_ceil(MAX_EVENTS)),
            };
        }
    }
    (since, 1)
}

async fn of_events(
    listing: &Listing,
    event_name: &str,
    field: &Field,
    prefix: &str,
    execution: &mut Execution<'_>,
) -> Result<Values, ExploreError> {
    let Listing { since, limit, .. } = *listing;
    let mut params = Params::default();
    // Of all events together if the name is empty.
    let name = params.text(event_name);
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp(start)), found FROM (SELECT start, sum(rollup.events) AS found FROM rollup \
         WHERE rollup.project = {{project:String}} AND rollup.event_name = {name} AND rollup.dimension = '' \
         AND rollup.step = 1 AND rollup.start >= toDateTime({since}, 'UTC') GROUP BY start) ORDER BY start DESC"
    );
    let minutes: Vec<(i64, u64)> = execution.rows(&Statement { sql, params, named: Vec::new() }).await?;
    let (start, one_in) = choose_minutes(&minutes, since);

    let mut params = Params::default();
    let mut conditions = String::new();
    if !event_name.is_empty() {
        conditions += &format!(" AND events.event_name = {}", params.text(event_name));
    }
    if one_in > 1 {
        conditions += &format!(" AND xxh3(events.batch, events.batch_row) % {one_in} = 0");
    }
    let value = text(field, &mut params);
    let matching = match prefix {
        "" => String::new(),
        _ => has_prefix("found_value", prefix, &mut params),
    };
    let sql = format!(
        "SELECT found_value, count() * {one_in} AS found FROM (SELECT toString({value}) AS found_value FROM events \
         WHERE events.project = {{project:String}} AND events.timestamp >= toDateTime64({start}, 3, 'UTC'){conditions}) \
         WHERE found_value != '' AND length(found_value) <= {MAX_VALUE_BYTES}{matching} \
         GROUP BY found_value ORDER BY found DESC, found_value LIMIT {limit}"
    );
    let values = execution.rows(&Statement { sql, params, named: Vec::new() }).await?;
    Ok(Values { values, start, is_estimate: one_in > 1, is_from_rollup: false, others: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_minutes_are_read_as_have_few_enough_events() {
        for (minutes, expected) in [
            (vec![], (60, 1)),
            (vec![(180, MAX_EVENTS), (120, 0)], (60, 1)),
            (vec![(180, MAX_EVENTS), (120, 1)], (180, 1)),
            (vec![(240, 1), (180, MAX_EVENTS - 1), (120, 1)], (180, 1)),
            (vec![(180, 3 * MAX_EVENTS), (120, 1)], (180, 3)),
        ] {
            assert_eq!(choose_minutes(&minutes, 60), expected, "{minutes:?}");
        }
    }
}
