//! The tables of people (`queries/schema/0008_people.sql`): how events are added to them, and the marks that tell which were.
//!
//! Adding the same events again changes nothing. So what fails, or is interrupted, is repeated.

use std::collections::BTreeMap;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::template::render;
use super::{ClickHouse, ClickHouseError, cluster};

const ADD_EVENTS: [&str; 4] = [
    include_str!("../../queries/people/add_session_users.sql"),
    include_str!("../../queries/people/add_people.sql"),
    include_str!("../../queries/people/add_first_events.sql"),
    include_str!("../../queries/people/add_traits.sql"),
];
const DELETE_EXPIRED: [&str; 4] = [
    include_str!("../../queries/people/delete_session_users.sql"),
    include_str!("../../queries/people/delete_traits.sql"),
    include_str!("../../queries/people/delete_first_events.sql"),
    include_str!("../../queries/people/delete_people.sql"),
];
const HAS_EXPIRED: &str = include_str!("../../queries/people/has_expired.sql");
const MARKS: &str = include_str!("../../queries/people/marks.sql");
const SET_MARK: &str = include_str!("../../queries/people/set_mark.sql");
const WEEKS: &str = include_str!("../../queries/people/weeks.sql");

/// The name of the mark below which the events of every landed batch were added. If several servers share the database, each has
/// one of its own, whose name ends with the server's id.
const LANDED: &str = "landed";
/// The mark of a week whose events were added.
const WEEK_ADDED: u128 = 1;

/// Which stored events are added.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Selection<'a> {
    /// Those of all batches with this id or a higher one.
    Since(Uuid),
    /// Those of these batches.
    Batches(&'a [Uuid]),
    /// Those of a week, by its Monday, such as `2026-11-16`.
    Week(&'a str),
}

impl Selection<'_> {
    fn condition(self) -> &'static str {
        match self {
            Self::Since(_) => "toUInt128(events.batch) >= toUInt128({selection:String})",
            // The index is on the number.
            Self::Batches(_) => {
                "toUInt128(events.batch) BETWEEN toUInt128({lowest:String}) AND toUInt128({highest:String}) \
                 AND events.batch IN {selection:Array(UUID)}"
            }
            Self::Week(_) => "toMonday(events.date) = toDate({selection:String})",
        }
    }
}

/// Adds events to the tables of people. Returns when the rows are synced.
pub(crate) async fn add_events(
    clickhouse: &ClickHouse,
    selection: Selection<'_>,
) -> Result<(), ClickHouseError> {
    let client = clickhouse.client()?;
    for statement in ADD_EVENTS {
        let add = client.query_raw(&render(statement, [("selected", selection.condition())]));
        let add = match selection {
            Selection::Since(mark) => add.param("selection", mark.as_u128().to_string()),
            Selection::Batches(batches) => {
                let (lowest, highest) = (batches.iter().min(), batches.iter().max());
                let number = |id: Option<&Uuid>| id.map_or(0, |id| id.as_u128()).to_string();
                add.param("selection", batches)
                    .param("lowest", number(lowest))
                    .param("highest", number(highest))
            }
            Selection::Week(week) => add.param("selection", week),
        };
        // The rows of a statement have distinct keys: merging them once more before the insert would take as long as
        // computing them.
        add.with_setting("optimize_on_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .with_setting("deduplicate_insert", "disable")
            // Nobody waits for it. Panels and inserts do not share their processors with more than one thread of it.
            .with_setting("max_threads", "1")
            .with_setting("max_insert_threads", "1")
            // Compiling a statement takes longer than it saves on the rows of a few seconds.
            .with_setting("compile_expressions", "0")
            .with_setting("compile_aggregate_expressions", "0")
            .with_setting("max_bytes_before_external_group_by", "268435456")
            .with_setting("max_partitions_per_insert_block", "0")
            .execute()
            .await?;
    }
    Ok(())
}

/// Up to where stored events are in the tables of people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The stored events of all batches with lower ids were added. `None` before the first mark.
    pub(crate) landed: Option<Uuid>,
    /// Weeks whose events have still to be added, by their Mondays, oldest first.
    pub(crate) pending_weeks: Vec<String>,
}

impl Marks {
    /// Reads the marks.
    pub(crate) async fn read(clickhouse: &ClickHouse) -> Result<Self, ClickHouseError> {
        let mut marks = read_marks(&clickhouse.client()?).await?;
        let landed = marks.remove(&landed_name(clickhouse)).map(Uuid::from_u128);
        let is_pending = |(name, mark): &(String, u128)| !name.starts_with(LANDED) && *mark != WEEK_ADDED;
        let pending_weeks = marks.into_iter().filter(is_pending).map(|(week, _)| week).collect();
        Ok(Self { landed, pending_weeks })
    }
}

fn landed_name(clickhouse: &ClickHouse) -> String {
    clickhouse.shared_as().map_or_else(|| LANDED.to_owned(), |server_id| format!("{LANDED} {server_id}"))
}

async fn read_marks(client: &Client) -> Result<BTreeMap<String, u128>, ClickHouseError> {
    #[derive(Row, Serialize, Deserialize)]
    struct StoredMark {
        name: String,
        mark: String,
    }
    let marks: Vec<StoredMark> = client.query_raw(MARKS).fetch_all().await?;
    // The column is a UInt128.
    Ok(marks.into_iter().map(|StoredMark { name, mark }| (name, mark.parse().unwrap_or(0))).collect())
}

async fn set_mark(client: &Client, name: &str, mark: u128) -> Result<(), ClickHouseError> {
    let set = client.query_raw(SET_MARK).param("name", name).param("mark", mark.to_string());
    let set = set.with_setting("insert_deduplicate", "0").with_setting("deduplicate_insert", "disable");
    Ok(set.execute().await?)
}

/// Records that the stored events of all batches with lower ids were added.
pub(crate) async fn set_landed(clickhouse: &ClickHouse, mark: Uuid) -> Result<(), ClickHouseError> {
    set_mark(&clickhouse.client()?, &landed_name(clickhouse), mark.as_u128()).await
}

/// Records that the events of a week were added.
pub(crate) async fn set_week_added(clickhouse: &ClickHouse, week: &str) -> Result<(), ClickHouseError> {
    set_mark(&clickhouse.client()?, week, WEEK_ADDED).await
}

/// Makes sure that events of batches with this id or a higher one are going to be added when they land, and, the first time,
/// that the events of every stored week are. Call it before any such batch is inserted.
pub(crate) async fn prepare(clickhouse: &ClickHouse, lowest: Uuid) -> Result<(), ClickHouseError> {
    let client = clickhouse.client()?;
    let marks = read_marks(&client).await?;
    let name = landed_name(clickhouse);
    let mut first = lowest.as_u128();
    match marks.get(&name) {
        Some(&mark) if mark <= first => return Ok(()),
        // The clock was set back.
        Some(_) => {}
        // A further server: the others have added what was stored before. An earlier version may have had a mark for all of them.
        None if marks.keys().any(|name| name.starts_with(LANDED)) => {
            first = marks.get(LANDED).copied().unwrap_or(first).min(first);
        }
        None => {
            let weeks: Vec<String> = client.query_raw(WEEKS).fetch_all().await?;
            for week in weeks.iter().filter(|week| !marks.contains_key(*week)) {
                set_mark(&client, week, 0).await?;
            }
        }
    }
    set_mark(&client, &name, first).await
}

/// Deletes whoever was not seen for this many days.
pub(crate) async fn delete_expired(clickhouse: &ClickHouse, days: u64) -> Result<(), ClickHouseError> {
    let client = clickhouse.client()?;
    if !client.query_raw(HAS_EXPIRED).param("days", days).fetch_one::<bool>().await? {
        return Ok(());
    }
    // A person may have been seen by another shard since.
    let all_people = match clickhouse.shard() {
        Some(_) => format!("`{}`.people", cluster::reading_database(clickhouse.database())),
        None => "people".to_owned(),
    };
    for statement in DELETE_EXPIRED {
        let delete = render(statement, [("all_people", all_people.as_str())]);
        client.query_raw(&delete).param("days", days).execute().await?;
    }
    Ok(())
}
