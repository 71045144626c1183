//! The names of events, from the rollup.

use super::service::Listing;
use crate::explore::error::ExploreError;
use crate::explore::runner::{Execution, Statement};
use crate::filter::sql::Params;

const DAY_SECONDS: i64 = 86_400;
/// An event has stopped when it has not occurred for this long.
const SILENT_SECONDS: i64 = DAY_SECONDS;
/// Before its last day it has to have occurred this often a day.
const MIN_EVENTS_PER_DAY: u64 = 10;
/// On average over this many days, or since its first.
const DAYS_BEFORE: i64 = 7;

/// A name. Times are in seconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventName {
    pub(super) name: String,
    pub(super) events: u64,
    /// Start and events of each requested day that has any, oldest first.
    pub(super) days: Vec<(i64, u64)>,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) has_stopped: bool,
}

/// Name, events, days, first and last day, and the number of all names.
type NameRow = (String, u64, Vec<(i64, u64)>, i64, i64, u64);

/// Lists the names, and how many there are.
pub(super) async fn list(
    listing: &Listing,
    prefix: &str,
    contains: &str,
    execution: &mut Execution<'_>,
) -> Result<(Vec<EventName>, u64), ExploreError> {
    let mut params = Params::default();
    let names = names(listing, prefix, contains, &mut params);
    let rows: Vec<NameRow> =
        execution.rows(&Statement { sql: names.clone(), params: params.clone(), scan: None }).await?;
    let total = rows.first().map_or(0, |(.., total)| *total);
    // By quarter hour on the first and the last day of each name. By minute it would take three times as long.
    let sql = format!(
        "SELECT event_name, toUnixTimestamp(min(start)), toUnixTimestamp(max(start)) FROM rollup \
         WHERE rollup.project = {{project:String}} AND rollup.dimension = '' AND rollup.step = 15 \
         AND (rollup.event_name, toDate(rollup.start)) IN \
         (SELECT event_name, arrayJoin([toDate(first_day), toDate(last_day)]) FROM ({names})) GROUP BY event_name"
    );
    let quarters: Vec<(String, i64, i64)> = execution.rows(&Statement { sql, params, scan: None }).await?;
    let quarters: std::collections::HashMap<String, (i64, i64)> =
        quarters.into_iter().map(|(name, first, last)| (name, (first, last))).collect();
    let names = rows.into_iter().map(|(name, events, mut days, first_day, last_day, _)| {
        days.sort_unstable();
        let (first_seen, last_seen) = quarters.get(&name).copied().unwrap_or((first_day, last_day));
        let has_stopped = has_stopped(&days, first_day, last_seen, listing.now);
        days.retain(|(day, _)| *day >= listing.since);
        EventName { name, events, days, first_seen, last_seen, has_stopped }
    });
    Ok((names.collect(), total))
}

/// The statement of the names, most frequent first. The days reach back far enough for [`has_stopped`].
fn names(listing: &Listing, prefix: &str, contains: &str, params: &mut Params) -> String {
    let mut conditions = String::new();
    if !prefix.is_empty() {
        conditions += &has_prefix("toString(rollup.event_name)", prefix, params);
    }
    if !contains.is_empty() {
        conditions += &has_part("rollup.event_name", contains, params);
    }
    let Listing { since, limit, .. } = listing;
    let days_since = since - (DAYS_BEFORE + 1) * DAY_SECONDS;
    format!(
        "SELECT event_name, sumIf(found, day >= {since}) AS found_events, \
         groupArrayIf((day, found), day >= {days_since}) AS days, min(day) AS first_day, max(day) AS last_day, \
         count() OVER () FROM (SELECT toString(rollup.event_name) AS event_name, \
         toInt64(toUnixTimestamp(rollup.start)) AS day, sum(rollup.events) AS found FROM rollup \
         WHERE rollup.project = {{project:String}} AND rollup.event_name != '' AND rollup.dimension = '' \
         AND rollup.step = 1440{conditions} GROUP BY event_name, day) \
         GROUP BY event_name ORDER BY found_events DESC, event_name LIMIT {limit}"
    )
}

/// The condition that a text begins with another, in upper or lower case.
pub(super) fn has_prefix(text: &str, prefix: &str, params: &mut Params) -> String {
    format!(" AND startsWith(lowerUTF8({text}), lowerUTF8({}))", params.text(prefix))
}

/// The condition that a text contains another, in upper or lower case.
pub(super) fn has_part(text: &str, part: &str, params: &mut Params) -> String {
    format!(" AND positionCaseInsensitiveUTF8({text}, {}) > 0", params.text(part))
}

/// Whether an event that was frequent does not occur any more.
fn has_stopped(days: &[(i64, u64)], first_day: i64, last_seen: i64, now: i64) -> bool {
    if last_seen > now - SILENT_SECONDS {
        return false;
    }
    // The last day is not a whole one.
    let end = last_seen - last_seen.rem_euclid(DAY_SECONDS);
    let start = first_day.max(end - DAYS_BEFORE * DAY_SECONDS);
    let before: u64 =
        days.iter().filter(|(day, _)| (start..end).contains(day)).map(|(_, events)| events).sum();
    let whole_days = u64::try_from((end - start) / DAY_SECONDS).unwrap_or(0);
    whole_days > 0 && before >= whole_days * MIN_EVENTS_PER_DAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_stopped_if_it_was_frequent_before_its_last_day() {
        let now = 100 * DAY_SECONDS + 3_600;
        let day = |day: i64| day * DAY_SECONDS;
        let each =
            |from: i64, to: i64, events: u64| (from..=to).map(|at| (day(at), events)).collect::<Vec<_>>();
        for (days, first_day, last_seen, expected) in [
            // Frequent, and silent for two days.
            (each(90, 98, 10), day(90), day(98) + 60, true),
            // Silent for less than a day.
            (each(90, 99, 10), day(90), day(99) + 3_601, false),
            // Rare.
            (each(90, 98, 9), day(90), day(98) + 60, false),
            // New: a whole day is enough.
            (each(97, 98, 10), day(97), day(98) + 60, true),
            // On its first day only.
            (each(98, 98, 1_000), day(98), day(98) + 60, false),
            // Frequent long before.
            (each(80, 85, 1_000).into_iter().chain(each(98, 98, 5)).collect(), day(80), day(98) + 60, false),
        ] {
            assert_eq!(has_stopped(&days, first_day, last_seen, now), expected, "{days:?}");
        }
    }
}
