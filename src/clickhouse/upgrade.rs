//! The upgrade of a database with the tables of the schema files 0001 to 0005 to those of 0006.
//!
//! 1. The new tables `events_upgraded` and `rollup` are created next to the old ones.
//! 2. Week by week, the events are copied and the rollup of their days is computed. A finished week is recorded in
//!    `upgraded_weeks`.
//! 3. The old views are dropped, `events` and `events_upgraded` are exchanged, and everything old is dropped.
//!
//! Nothing may be inserted meanwhile: the writer waits for it (the journal accepts events). The old tables are only read
//! until all weeks are copied.
//!
//! It can be killed at any point, by a power cut too: parts and records are synced before the next week begins, a week
//! without a record is dropped and copied again, and each step of the end can be repeated.

use std::time::{Duration, Instant};

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::rollups::{DAY_SECONDS, ROLLUP, RecomputeSpan};
use super::schema::SchemaError;
use super::{ClickHouse, ClickHouseError, batches, rollups};

const UPGRADED_WEEKS: &str = include_str!("../../queries/maintenance/upgraded_weeks.sql");
const UPGRADE_EVENTS: &str = include_str!("../../queries/maintenance/upgrade_events.sql");
const UPGRADE_DAYS: &str = include_str!("../../queries/maintenance/upgrade_days.sql");
const UPGRADE_STATE: &str = include_str!("../../queries/maintenance/upgrade_state.sql");
const UPGRADE_SPACE: &str = include_str!("../../queries/maintenance/upgrade_space.sql");

/// The new table of events until it is exchanged with the old one. Then it is the old one.
pub(super) const UPGRADED: &str = "events_upgraded";

/// What 0002 to 0005 created, views first, and what an interrupted rebuild or repair may have left.
const OLD_VIEWS: [&str; 8] = [
    "minutes_view",
    "session_steps_view",
    "feature_minutes_view",
    "feature_steps_view",
    "page_minutes_view",
    "page_steps_view",
    "country_minutes_view",
    "country_steps_view",
];
const OLD_ROLLUPS: [&str; 8] = [
    "minutes",
    "session_steps",
    "feature_minutes",
    "feature_steps",
    "page_minutes",
    "page_steps",
    "country_minutes",
    "country_steps",
];
const OLD_REPAIR_TABLE: &str = "events_repaired";

/// Events that are copied at once, unless a single day has more: a statement costs some time whatever it copies.
const EVENTS_PER_STATEMENT: u64 = 5_000_000;
/// For one day of many events.
const DAY_TIMEOUT: Duration = Duration::from_secs(3 * 3_600);

/// How far an upgrade is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpgradeProgress {
    pub(crate) weeks_done: u64,
    pub(crate) weeks: u64,
    pub(crate) events_done: u64,
    pub(crate) events: u64,
    /// Time left, from the speed so far. `None` before the first day is copied.
    pub(crate) left: Option<Duration>,
}

impl std::fmt::Display for UpgradeProgress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { weeks_done, weeks, events_done, events, left } = self;
        write!(out, "{weeks_done} of {weeks} weeks, {events_done} of {events} events")?;
        left.map_or(Ok(()), |left| write!(out, ", about {} s left", left.as_secs()))
    }
}

#[derive(Row, Deserialize)]
struct UpgradeState {
    is_old: bool,
    has_leftovers: bool,
}

async fn upgrade_state(clickhouse: &ClickHouse) -> Result<UpgradeState, ClickHouseError> {
    let leftovers: Vec<&str> = OLD_VIEWS.into_iter().chain(OLD_ROLLUPS).chain([UPGRADED]).collect();
    let state = clickhouse.server_client()?.query_raw(UPGRADE_STATE);
    let state = state.param("leftovers", leftovers).param("database", clickhouse.database());
    Ok(state.fetch_one().await?)
}

/// Whether the database has tables of the old schema. It need not exist yet.
pub(crate) async fn is_needed(clickhouse: &ClickHouse) -> Result<bool, SchemaError> {
    let UpgradeState { is_old, has_leftovers } = upgrade_state(clickhouse).await.map_err(statement_error)?;
    Ok(is_old || has_leftovers)
}

/// Fails if the disk lacks space for the copy, unless it has begun.
pub(crate) async fn check_space(clickhouse: &ClickHouse) -> Result<(), SchemaError> {
    #[derive(Row, Deserialize)]
    struct Space {
        needed: u64,
        free: u64,
    }
    let space = async {
        let begun = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'upgraded_weeks'";
        let client = clickhouse.client()?;
        if client.query_raw(begun).fetch_one::<u64>().await? > 0 {
            return Ok(Space { needed: 0, free: 0 });
        }
        Ok(client.query_raw(UPGRADE_SPACE).fetch_one().await?)
    };
    let Space { needed, free } = space.await.map_err(statement_error)?;
    match needed > free {
        true => Err(SchemaError::NoSpaceForUpgrade { needed, free }),
        false => Ok(()),
    }
}

fn statement_error(error: ClickHouseError) -> SchemaError {
    SchemaError::Statement { file: "upgrade".to_owned(), error }
}

/// Upgrades the database. Does nothing if it has no tables of the old schema. Fails before it changes anything if the disk
/// lacks space. `create_tables` are the statements of 0006
/// with [`UPGRADED`] as the table of events.
pub(super) async fn upgrade(
    clickhouse: &ClickHouse,
    create_tables: &[String],
    progress: &impl Fn(&UpgradeProgress),
) -> Result<(), SchemaError> {
    let UpgradeState { is_old, has_leftovers } = upgrade_state(clickhouse).await.map_err(statement_error)?;
    if is_old {
        check_space(clickhouse).await?;
    }
    let upgraded = async {
        let upgrade = Upgrade {
            clickhouse: clickhouse.clone(),
            client: clickhouse.client()?,
            statements: clickhouse.rollup_statements(),
        };
        if is_old {
            upgrade.copy(create_tables, progress).await?;
        }
        if is_old || has_leftovers {
            upgrade.finish(is_old).await?;
        }
        Ok(())
    };
    upgraded.await.map_err(statement_error)
}

struct Upgrade {
    clickhouse: ClickHouse,
    client: Client,
    statements: rollups::RollupStatements,
}

#[derive(Row, Serialize, Deserialize)]
struct DayEvents {
    day: u32,
    events: u64,
}

/// The days of a week with events.
struct Week {
    /// Unix time of its Monday in days.
    monday: u32,
    days: Vec<DayEvents>,
}

impl Week {
    fn events(&self) -> u64 {
        self.days.iter().map(|day| day.events).sum()
    }

    /// The days in groups of at most [`EVENTS_PER_STATEMENT`], or of one day.
    fn chunks(&self) -> Vec<&[DayEvents]> {
        let (mut chunks, mut start, mut events) = (Vec::new(), 0, 0);
        for (index, day) in self.days.iter().enumerate() {
            if index > start && events + day.events > EVENTS_PER_STATEMENT {
                chunks.push(&self.days[start..index]);
                (start, events) = (index, 0);
            }
            events += day.events;
        }
        chunks.push(&self.days[start..]);
        chunks
    }
}

impl Upgrade {
    async fn execute(&self, statement: &str) -> Result<(), ClickHouseError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    async fn copy(
        &self,
        create_tables: &[String],
        progress: &impl Fn(&UpgradeProgress),
    ) -> Result<(), ClickHouseError> {
        // An insert of an earlier process may still be running in a ClickHouse server.
        batches::wait_until_quiescent(&self.clickhouse).await?;
        self.execute(UPGRADED_WEEKS).await?;
        for statement in create_tables {
            self.execute(statement).await?;
        }
        for table in [UPGRADED, ROLLUP] {
            // Nothing expires between the copy and the computation of its rollup.
            self.execute(&format!("SYSTEM STOP TTL MERGES {table}")).await?;
            self.execute(&format!(
                "ALTER TABLE {table} MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1"
            ))
            .await?;
        }
        let days: Vec<DayEvents> = self.client.query_raw(UPGRADE_DAYS).fetch_all().await?;
        let weeks = into_weeks(days);
        let done: Vec<u32> = self.client.query_raw("SELECT week FROM upgraded_weeks").fetch_all().await?;
        let (done, left): (Vec<Week>, Vec<Week>) =
            weeks.into_iter().partition(|week| done.contains(&week.monday));
        let mut current = UpgradeProgress {
            weeks_done: done.len() as u64,
            weeks: (done.len() + left.len()) as u64,
            events_done: done.iter().map(Week::events).sum(),
            events: done.iter().chain(&left).map(Week::events).sum(),
            left: None,
        };
        let (started, before) = (Instant::now(), current.events_done);
        progress(&current);
        for week in left {
            self.drop_week(week.monday).await?;
            for days in week.chunks() {
                let timed_out =
                    || ClickHouseError::unreachable("copying a day of events took over three hours");
                let copied = tokio::time::timeout(DAY_TIMEOUT, self.copy_days(days)).await;
                current.events_done += copied.map_err(|_| timed_out())??;
                let share_left =
                    (current.events - current.events_done) as f64 / (current.events_done - before) as f64;
                current.left = Some(started.elapsed().mul_f64(share_left));
                progress(&current);
            }
            let record = "INSERT INTO upgraded_weeks SELECT {week:UInt32}, {events:UInt64}";
            let record = self.client.query_raw(record).param("week", week.monday);
            record.param("events", week.events()).execute().await?;
            current.weeks_done += 1;
            progress(&current);
        }
        Ok(())
    }

    /// Drops what an interrupted upgrade has copied of a week.
    async fn drop_week(&self, monday: u32) -> Result<(), ClickHouseError> {
        let id = "SELECT toString(toYYYYMMDD(toDate({day:UInt32})))";
        let id: String = self.client.query_raw(id).param("day", monday).fetch_one().await?;
        for table in [UPGRADED, ROLLUP] {
            self.execute(&format!("ALTER TABLE {table} DROP PARTITION ID '{id}'")).await?;
        }
        Ok(())
    }

    /// Copies days of a week and computes their rollup. Returns the number of events.
    async fn copy_days(&self, days: &[DayEvents]) -> Result<u64, ClickHouseError> {
        let (first, last) = (days[0].day, days[days.len() - 1].day);
        let events = days.iter().map(|day| day.events).sum();
        let copy = self.client.query_raw(UPGRADE_EVENTS).param("first", first).param("last", last);
        copy.with_setting("insert_deduplicate", "0")
            .with_setting("deduplicate_insert", "disable")
            .execute()
            .await?;
        let count = format!(
            "SELECT count() FROM {UPGRADED} WHERE date >= toDate({{first:UInt32}}) AND date <= toDate({{last:UInt32}})"
        );
        let count = self.client.query_raw(&count).param("first", first).param("last", last);
        let copied: u64 = count.fetch_one().await?;
        if copied != events {
            let start = jiff::Timestamp::from_second(i64::from(first * DAY_SECONDS));
            let start =
                start.map_or_else(|_| first.to_string(), |start| start.strftime("%Y-%m-%d").to_string());
            return Err(ClickHouseError::unreachable(format!(
                "{copied} instead of {events} events from {start} on were copied"
            )));
        }
        let span = RecomputeSpan::of_days(days.iter().map(|day| day.day).collect());
        self.statements.write(&self.client, UPGRADED, ROLLUP, &span).await?;
        Ok(events)
    }

    /// Exchanges the tables of events, unless that is done, and drops what is old.
    async fn finish(&self, exchange: bool) -> Result<(), ClickHouseError> {
        // The views would read inserts into the new table.
        for view in OLD_VIEWS {
            self.execute(&format!("DROP VIEW IF EXISTS {view} SYNC")).await?;
        }
        if exchange {
            for table in [UPGRADED, ROLLUP] {
                self.execute(&format!(
                    "ALTER TABLE {table} RESET SETTING fsync_after_insert, fsync_part_directory"
                ))
                .await?;
                self.execute(&format!("SYSTEM START TTL MERGES {table}")).await?;
            }
            self.execute(&format!("EXCHANGE TABLES events AND {UPGRADED}")).await?;
        }
        for table in OLD_ROLLUPS {
            self.execute(&format!("DROP TABLE IF EXISTS {table} SYNC")).await?;
            self.execute(&format!("DROP TABLE IF EXISTS {table}_rebuilt SYNC")).await?;
        }
        // The schema records its superseded files again, without checksums.
        self.execute("DELETE FROM schema_migrations WHERE name < '0006'").await?;
        for table in [OLD_REPAIR_TABLE, "upgraded_weeks", UPGRADED] {
            self.execute(&format!("DROP TABLE IF EXISTS {table} SYNC")).await?;
        }
        Ok(())
    }
}

/// Groups days, which are ascending, by their weeks.
fn into_weeks(days: Vec<DayEvents>) -> Vec<Week> {
    let mut weeks: Vec<Week> = Vec::new();
    for day in days {
        let monday = rollups::monday(day.day);
        match weeks.last_mut() {
            Some(week) if week.monday == monday => week.days.push(day),
            _ => weeks.push(Week { monday, days: vec![day] }),
        }
    }
    weeks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_grouped_by_week() {
        let days = [20_722, 20_723, 20_724, 20_730, 20_731].map(|day| DayEvents { day, events: 2 });
        let weeks = into_weeks(days.into());
        let found: Vec<(u32, usize, u64)> =
            weeks.iter().map(|week| (week.monday, week.days.len(), week.events())).collect();
        assert_eq!(found, [(20_717, 2, 4), (20_724, 2, 4), (20_731, 1, 2)]);
    }

    #[test]
    fn days_with_few_events_are_copied_together() {
        let days = [1, 2, 4_999_997, 1, 9_000_000, 3].map(|events| DayEvents { day: 0, events });
        let week = Week { monday: 0, days: days.into() };
        let chunks: Vec<usize> = week.chunks().iter().map(|days| days.len()).collect();
        assert_eq!(chunks, [3, 1, 1, 1]);
    }

    #[test]
    fn progress_is_one_line() {
        let mut progress =
            UpgradeProgress { weeks_done: 1, weeks: 14, events_done: 20, events: 300, left: None };
        assert_eq!(progress.to_string(), "1 of 14 weeks, 20 of 300 events");
        progress.left = Some(Duration::from_millis(9_900));
        assert_eq!(progress.to_string(), "1 of 14 weeks, 20 of 300 events, about 9 s left");
    }
}
