//! Making a rollup anew from the events, also while events stream in.
//!
//! Inserts rest meanwhile: `events` is given another name, so that the writer's inserts find no table and are tried again
//! later; accepted events wait in the journal and among the dead letters and come in by themselves. The rollup is built
//! aside, day by day, and takes the old one's place a partition at a time, so panels show the old figures until then and
//! the new ones from then on.
//!
//! A rebuild that was interrupted leaves the events under their resting name. Starting it again finishes it.

use std::time::Duration;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::schema::{self, RESTING_EVENTS, SchemaError};
use super::{ClickHouse, ClickHouseError};

/// How often it is looked whether the inserts that were under way have ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
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
    work.rest().await.map_err(failed(rollup))?;
    let built = work.build(minutes, steps, progress).await.map_err(failed(rollup));
    // The events get their name back whether it worked or not.
    work.run(&format!("RENAME TABLE {RESTING_EVENTS} TO events")).await.map_err(failed(rollup))?;
    built
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
    async fn rest(&self) -> Result<(), ClickHouseError> {
        let exists = format!("EXISTS TABLE {RESTING_EVENTS}");
        let resting: u8 = self.client.query_raw(&exists).fetch_one().await?;
        if resting == 0 {
            self.run(&format!("RENAME TABLE events TO {RESTING_EVENTS}")).await?;
        }
        let running = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND positionCaseInsensitive(query, \
                       'INSERT INTO events') = 1";
        while self.client.query_raw(running).fetch_one::<u64>().await? > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
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
        let mut done = 0;
        progress(done, events);
        for day in days {
            let insert = self.client.query_raw(&into_minutes).param("day", &day.day);
            tokio::time::timeout(DAY_TIMEOUT, insert.execute()).await.map_err(|_| {
                ClickHouseError::unreachable(format!("the day {} took over an hour", day.day))
            })??;
            done += day.events;
            progress(done, events);
        }
        let select = schema::select_of_view(steps, self.retention_days);
        // The view's rows come from the rollup; these from the one made anew. Columns keep the short table's name.
        let source = format!("FROM {minutes}_anew AS {minutes}\n");
        self.run(&format!(
            "INSERT INTO {steps}_anew {}",
            select.replacen(&format!("FROM {minutes}\n"), &source, 1)
        ))
        .await?;
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
