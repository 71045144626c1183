//! Making a rollup anew from the events, also while events stream in.
//!
//! Inserts rest meanwhile: `events` is given another name, so that the writer's inserts find no table and are tried again
//! later; accepted events wait in the journal and among the dead letters and come in by themselves. The rollup is built
//! aside, day by day, and takes the old one's place a partition at a time, so panels show the old figures until then and
//! the new ones from then on.
//!
//! A rebuild that was killed leaves the events under their resting name: starting it again finishes it, and so does a start
//! of the server with the embedded database. One batch is not exact: one that failed halfway just before, so that it is in
//! the events and not in the rollup, is counted by the rebuild and again when it is sent again.

use std::time::Duration;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::schema::{self, RESTING_EVENTS, SchemaError};
use super::{ClickHouse, ClickHouseError};

/// How often it is looked whether the inserts that were under way have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long inserts that were under way may take to end; one takes half a minute at most.
const INSERTS_END_WITHIN: Duration = Duration::from_secs(60);
/// How often, and how far apart, it is tried to give the events their name back.
const WAKE_RETRIES: u32 = 30;
const WAKE_AGAIN: Duration = Duration::from_secs(1);
/// A day of many events takes its time.
const DAY_TIMEOUT: Duration = Duration::from_secs(3_600);

/// The rollups, each with what is made of it in turn.
pub const ROLLUPS: [(&str, &str); 4] = [
    ("minutes", "session_steps"),
    ("feature_minutes", "feature_steps"),
    ("page_minutes", "page_steps"),
    ("country_minutes", "country_steps"),
];

/// Rebuilds a rollup and its steps; `progress` is told the events done and the events in all.
pub async fn rebuild(
    clickhouse: &ClickHouse,
    rollup: &str,
    retention_days: u64,
    progress: impl Fn(u64, u64),
) -> Result<u64, SchemaError> {
    let Some((minutes, steps)) = ROLLUPS.into_iter().find(|(name, _)| *name == rollup) else {
        let known = ROLLUPS.map(|(name, _)| name).join(", ");
        return Err(SchemaError::UnknownRollup { name: rollup.to_owned(), known });
    };
    let work = Work { client: clickhouse.client().map_err(failed(rollup))?, rollup, retention_days };
    let built = async {
        work.rest(clickhouse).await?;
        work.build(minutes, steps, progress).await
    };
    let built = built.await.map_err(failed(rollup));
    // The events get their name back whether it worked or not: nothing is inserted until then.
    surely_wake(clickhouse).await.map_err(|source| SchemaError::NotAwake { source })?;
    built
}

/// Gives the events their name back where a rebuild was cut off. Only for a ClickHouse in which no rebuild can be at work:
/// one that was just started.
pub async fn recover(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    if wake(clickhouse).await? {
        tracing::warn!("a rebuild was cut off; the rollup is as it was, and the events have their name back");
    }
    Ok(())
}

/// Gives the events their name back; false where they had it.
async fn wake(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    if !schema::is_resting(clickhouse).await? {
        return Ok(false);
    }
    let rename = format!("RENAME TABLE {RESTING_EVENTS} TO events");
    clickhouse.client()?.query_raw(&rename).execute().await?;
    Ok(true)
}

/// The same with patience.
async fn surely_wake(clickhouse: &ClickHouse) -> Result<bool, ClickHouseError> {
    let mut tries = 0;
    loop {
        match wake(clickhouse).await {
            Err(_) if tries < WAKE_RETRIES => tries += 1,
            awake => return awake,
        }
        tokio::time::sleep(WAKE_AGAIN).await;
    }
}

fn failed(rollup: &str) -> impl Fn(ClickHouseError) -> SchemaError {
    let file = format!("rebuild of {rollup}");
    move |source| SchemaError::Statement { file: file.clone(), source }
}

struct Work<'a> {
    client: Client,
    rollup: &'a str,
    retention_days: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct Day {
    day: String,
    events: u64,
}

impl Work<'_> {
    async fn run(&self, statement: &str) -> Result<(), ClickHouseError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    /// Takes the events out of the inserts' way, and waits for those that are under way.
    async fn rest(&self, clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
        if !schema::is_resting(clickhouse).await? {
            self.run(&format!("RENAME TABLE events TO {RESTING_EVENTS}")).await?;
        }
        let running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND current_database = \
                       currentDatabase() AND positionCaseInsensitive(query, 'INSERT INTO events') = 1";
        let ended = async {
            while self.client.query_raw(running).fetch_one::<u64>().await? > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        let late = || ClickHouseError::unreachable("inserts that were under way did not end within a minute");
        tokio::time::timeout(INSERTS_END_WITHIN, ended).await.unwrap_or_else(|_| Err(late()))
    }

    async fn build(
        &self,
        minutes: &str,
        steps: &str,
        progress: impl Fn(u64, u64),
    ) -> Result<u64, ClickHouseError> {
        for table in [minutes, steps] {
            self.run(&format!("DROP TABLE IF EXISTS {table}_anew")).await?;
            self.run(&format!("CREATE TABLE {table}_anew AS {table}")).await?;
        }
        let days = format!(
            "SELECT toString(date) AS day, count() AS events FROM {RESTING_EVENTS} GROUP BY day ORDER BY day"
        );
        let days: Vec<Day> = self.client.query_raw(&days).fetch_all().await?;
        let events = days.iter().map(|day| day.events).sum();
        let select = schema::select_of_view(minutes, self.retention_days);
        let source = format!("FROM (SELECT * FROM {RESTING_EVENTS} WHERE date = {{day:Date}})\n");
        let into_minutes =
            format!("INSERT INTO {minutes}_anew {}", select.replacen("FROM events\n", &source, 1));
        let select = schema::select_of_view(steps, self.retention_days);
        // The view's rows come from the rollup; these from the one made anew, under its name. No step is longer than a day.
        let source =
            format!("FROM (SELECT * FROM {minutes}_anew WHERE toDate(minute) = {{day:Date}}) AS {minutes}\n");
        let into_steps =
            format!("INSERT INTO {steps}_anew {}", select.replacen(&format!("FROM {minutes}\n"), &source, 1));
        let mut done = 0;
        progress(done, events);
        for Day { day, events: of_day } in days {
            for statement in [&into_minutes, &into_steps] {
                let insert = self.client.query_raw(statement).param("day", &day).execute();
                let late = || ClickHouseError::unreachable(format!("the day {day} took over an hour"));
                tokio::time::timeout(DAY_TIMEOUT, insert).await.map_err(|_| late())??;
            }
            done += of_day;
            progress(done, events);
        }
        for table in [minutes, steps] {
            self.replace(table).await?;
        }
        Ok(events)
    }

    /// Puts the table made anew in the place of the old one.
    async fn replace(&self, table: &str) -> Result<(), ClickHouseError> {
        let partitions = "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() \
                          AND table IN ({old:String}, {new:String}) ORDER BY partition_id";
        let partitions = self
            .client
            .query_raw(partitions)
            .param("old", table)
            .param("new", format!("{table}_anew"))
            .fetch_all::<String>()
            .await?;
        for id in partitions {
            // One that is not in the new table is emptied by it.
            self.run(&format!("ALTER TABLE {table} REPLACE PARTITION ID '{id}' FROM {table}_anew")).await?;
        }
        tracing::debug!(rollup = self.rollup, table, "replaced");
        self.run(&format!("DROP TABLE {table}_anew")).await
    }
}
