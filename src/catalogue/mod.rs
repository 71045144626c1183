//! The catalogue: which events there are, which properties they have, and which values those have. For pickers.
//!
//! - Names of events and the values of dimensions are in the rollup, which counts them exactly.
//! - Keys of properties and their types are counted by a task that follows the writer ([`task`]), into the table
//!   `event_properties`: exactly for rare events, from a sample for frequent ones, within [`bounds`]. What has landed since
//!   its last run is added when it is read ([decision 0012](../../../docs/decisions/0012-catalogue.md)).
//! - Other values are counted among the most recent events, as many as are read in time ([`values`]).

mod bounds;
pub(crate) mod grpc;
pub(crate) mod http;
mod names;
mod properties;
pub(crate) mod service;
pub(crate) mod task;
mod values;

use crate::clickhouse::template::render;

const PROPERTIES: &str = include_str!("../../queries/catalogue/properties.sql");

/// Up to twice as many events of a name are parsed on a day of a selection.
const EXACT_EVENTS: &str = "500";

/// The statement that counts the keys of the events that meet a condition.
fn count_properties(selected: &str) -> String {
    let statement = render(PROPERTIES, [("exact_events", EXACT_EVENTS), ("selected", selected)]);
    statement.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}
