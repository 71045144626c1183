//! The keys of the properties of events, and the types of their values.

use super::bounds::OTHER;
use super::count_properties;
use super::names::has_part;
use super::service::Listing;
use super::task::Counted;
use crate::explore::error::ExploreError;
use crate::explore::runner::{Execution, Statement};
use crate::filter::sql::Params;

/// A key. Times are in milliseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) events: u64,
    pub(super) is_estimate: bool,
    /// Most frequent first.
    pub(super) types: Vec<(String, u64)>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
}

impl Key {
    /// Whether its values have several types. A null says that there is no value.
    pub(super) fn type_flips(&self) -> bool {
        self.types.iter().filter(|(name, _)| name != "null").count() > 1
    }
}

type KeyRow = (String, u64, u64, Vec<(String, u64)>, i64, i64);

/// Which keys are listed.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeysOf<'a> {
    /// Those of an event. What was not counted before, if it is known, is counted now.
    Event(&'a str, Option<Counted>),
    /// Those of all other events, as far as they are stored.
    Others(&'a str),
}

/// Lists keys, most frequent first, and how often there were others.
pub(super) async fn list(
    listing: &Listing,
    contains: &str,
    keys: KeysOf<'_>,
    execution: &mut Execution<'_>,
) -> Result<(Vec<Key>, u64), ExploreError> {
    let mut params = Params::default();
    let columns = "name, type, day, c.events AS found, c.is_estimate AS estimate, c.first_seen AS first, c.last_seen AS last";
    let stored = |condition: String| {
        format!("SELECT {columns} FROM event_properties AS c WHERE c.project = {{project:String}}{condition}")
    };
    let source = match keys {
        KeysOf::Others("") => stored(String::new()),
        KeysOf::Others(event_name) => stored(format!(" AND c.event_name != {}", params.text(event_name))),
        KeysOf::Event(event_name, None) => stored(format!(" AND c.event_name = {}", params.text(event_name))),
        KeysOf::Event(event_name, Some(counted)) => {
            let event_name = params.text(event_name);
            let pending = count_properties(&format!(
                "events.project = {{project:String}} AND events.event_name = {event_name} AND {}",
                counted.pending(|number| params.text(number))
            ));
            format!(
                "{} UNION ALL SELECT name, type, day, c.events AS found, c.is_estimate AS estimate, \
                 toDateTime64(c.first_seen, 3, 'UTC') AS first, toDateTime64(c.last_seen, 3, 'UTC') AS last \
                 FROM ({pending}) AS c",
                stored(format!(" AND c.event_name = {event_name}"))
            )
        }
    };
    let search = match contains {
        "" => String::new(),
        _ => format!(" WHERE name = '{OTHER}' OR 1{}", has_part("name", contains, &mut params)),
    };
    let Listing { since, limit, .. } = listing;
    // The others first: they are not one of the limit's.
    let sql = format!(
        "SELECT name, sum(found) AS found_events, max(estimate), \
         arraySort(t -> (-toInt64(t.2), t.1), groupArrayIf((type, found), found > 0)), \
         toUnixTimestamp64Milli(min(first)), toUnixTimestamp64Milli(max(last)) \
         FROM (SELECT name, toString(type) AS type, sumIf(found, day >= toDate(toDateTime({since}, 'UTC'))) AS found, \
         maxIf(toUInt64(estimate), day >= toDate(toDateTime({since}, 'UTC'))) AS estimate, min(first) AS first, \
         max(last) AS last FROM ({source}){search} GROUP BY name, type) \
         GROUP BY name ORDER BY name = '{OTHER}' DESC, found_events DESC, name LIMIT {}",
        limit + 1
    );
    let rows: Vec<KeyRow> = execution.rows(&Statement { sql, params, scan: None }).await?;
    let mut others = 0;
    let mut keys = Vec::new();
    for (name, events, is_estimate, types, first_seen, last_seen) in rows {
        if name == OTHER {
            others = events;
        } else {
            keys.push(Key { name, events, is_estimate: is_estimate > 0, types, first_seen, last_seen });
        }
    }
    keys.truncate(*limit);
    Ok((keys, others))
}
