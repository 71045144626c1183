//! A cluster of ClickHouse: how the schema is written for it.
//!
//! The tables of the database are replicated within a shard, and hold what was inserted there. The tables of the same names in the
//! database with `_all` are distributed over all shards, for reading only: an insert through them could reach another shard when it
//! is repeated, which does not know its token (ClickHouse/ClickHouse#28539).

use std::sync::Arc;

use super::{ClickHouse, ClickHouseError};

/// Tables that panels, Explore and the lists of people and properties read.
const READ_TABLES: [&str; 7] =
    ["events", "rollup", "session_users", "people", "first_events", "traits", "event_properties"];
/// Which shard this is. Its number is fixed with the first batch: a batch must never go to another shard.
const CREATE_SHARD_TABLE: &str = include_str!("../../queries/maintenance/shard.sql");
const MISSING_COLUMNS: &str = include_str!("../../queries/maintenance/distributed_columns.sql");

/// Settings of the statements that write to a shard.
///
/// - `insert_quorum`: an insert has landed when most replicas have it.
/// - `insert_quorum_timeout`: shorter than the time after which the client gives up, in milliseconds.
/// - `alter_sync`: an ALTER has happened on every replica that is there, before the statement ends.
/// - `distributed_ddl_output_mode`: a replica that is away executes the schema when it is back.
/// - `allow_nondeterministic_mutations`: people who were not seen for long are found by a subquery. Replicas may find others if they
///   delete at different times, and find them the next day.
pub(super) const SHARD_SETTINGS: [(&str, &str); 6] = [
    ("insert_quorum", "auto"),
    ("insert_quorum_timeout", "120000"),
    ("alter_sync", "2"),
    ("replication_wait_for_inactive_replica_timeout", "0"),
    ("distributed_ddl_output_mode", "throw_only_active"),
    ("allow_nondeterministic_mutations", "1"),
];

/// Settings of the statements that read all shards.
///
/// - `skip_unavailable_shards`: a shard that is away is an error. A figure without it would be wrong, and nobody would know.
/// - `load_balancing`: of the replicas of a shard, the first one that is there, as for inserts.
/// - `distributed_product_mode`: a subquery about all shards is executed once, and its result sent to every shard.
const READER_SETTINGS: [(&str, &str); 3] = [
    ("skip_unavailable_shards", "0"),
    ("load_balancing", "in_order"),
    ("distributed_product_mode", "global"),
];

/// A cluster in ClickHouse's configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    name: Arc<str>,
}

/// A shard of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(super) cluster: Cluster,
    /// From 0, in the order of the addresses.
    pub(super) number: u32,
}

/// The database that reads all shards.
pub(crate) fn reading_database(database: &str) -> String {
    format!("{database}_all")
}

/// All shards, through one of them.
pub(crate) fn reader(clickhouse: &ClickHouse) -> ClickHouse {
    clickhouse.reading(&reading_database(clickhouse.database())).with_settings(READER_SETTINGS)
}

impl Cluster {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into() }
    }

    /// A statement of the schema for all servers of the cluster. It has to begin with one of these forms; comments may precede it.
    pub(super) fn render(&self, statement: &str, database: &str) -> String {
        const FORMS: [&str; 6] = [
            "CREATE DATABASE IF NOT EXISTS ",
            "CREATE TABLE IF NOT EXISTS ",
            "CREATE OR REPLACE TABLE ",
            "ALTER TABLE ",
            "SYSTEM STOP TTL MERGES ",
            "SYSTEM START TTL MERGES ",
        ];
        let comments: usize =
            statement.split_inclusive('\n').take_while(|line| line.starts_with("--")).map(str::len).sum();
        let (comments, statement) = statement.split_at(comments);
        let on_cluster = format!("ON CLUSTER `{}`", self.name);
        let Some((form, rest)) = FORMS.iter().find_map(|form| Some((form, statement.strip_prefix(form)?)))
        else {
            // Not about a table.
            return format!("{comments}{statement}");
        };
        let end = rest.find([' ', '\n']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if form.starts_with("SYSTEM") {
            return format!("{comments}{form}{on_cluster} {name}{rest}");
        }
        format!("{comments}{form}{name} {on_cluster}{}", replicated(rest, database, name))
    }
}

/// A table's definition with the replicated engine of the same kind.
fn replicated(definition: &str, database: &str, table: &str) -> String {
    let Some((before, after)) = definition.split_once("\nENGINE = ") else {
        return definition.to_owned();
    };
    let end = after.find(['(', '\n']).unwrap_or(after.len());
    let (engine, rest) = after.split_at(end);
    if !engine.ends_with("MergeTree") {
        return definition.to_owned();
    }
    let place = format!("'/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}'");
    match rest.strip_prefix('(') {
        Some(parameters) => format!("{before}\nENGINE = Replicated{engine}({place}, {parameters}"),
        None => format!("{before}\nENGINE = Replicated{engine}({place}){rest}"),
    }
}

impl Shard {
    /// The running statements of all replicas, and the condition of those of this shard.
    pub(super) fn processes(&self) -> (String, String) {
        let processes = format!("clusterAllReplicas('{}', system.processes)", self.cluster.name);
        (processes, format!("_shard_num = {}", self.number + 1))
    }

    /// Makes sure that the addresses of the shard lead to the shard of this number.
    ///
    /// # Errors
    /// When they lead to another one.
    pub(super) async fn check_number(&self, clickhouse: &ClickHouse) -> Result<(), ShardError> {
        match self.stored_number(clickhouse).await? {
            stored if stored == self.number => Ok(()),
            stored => Err(ShardError::Order { given: self.number + 1, stored: stored + 1 }),
        }
    }

    /// The number that the shard has, from now on at the latest.
    async fn stored_number(&self, clickhouse: &ClickHouse) -> Result<u32, ClickHouseError> {
        let client = clickhouse.client()?;
        let stored = client.query_raw("SELECT number FROM shard LIMIT 1").fetch_optional().await?;
        if let Some(stored) = stored {
            return Ok(stored);
        }
        let insert = "INSERT INTO shard SELECT {number:UInt32}";
        client.query_raw(insert).param("number", self.number).execute().await?;
        Ok(self.number)
    }
}

/// Why a shard cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShardError {
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
    /// Batches in the journal would go to another shard than before.
    #[error(
        "CLICKHOUSE_URL: the addresses of shard {given} lead to shard {stored}; name the shards in the order in which they were named \
         first, and new ones at the end"
    )]
    Order {
        /// The place in the setting, from 1.
        given: u32,
        /// The number that the shard has, from 1.
        stored: u32,
    },
}

/// The statements that create the database for reading and its tables.
pub(super) fn reading_statements(cluster: &Cluster, database: &str) -> Vec<String> {
    let reading = reading_database(database);
    let name = &cluster.name;
    let tables = READ_TABLES.map(|table| {
        format!(
            "CREATE OR REPLACE TABLE `{reading}`.`{table}` AS `{database}`.`{table}` \
             ENGINE = Distributed('{name}', '{database}', '{table}')"
        )
    });
    let statements = [format!("CREATE DATABASE IF NOT EXISTS `{reading}`")].into_iter().chain(tables);
    statements.map(|statement| cluster.render(&statement, database)).collect()
}

/// The statement that creates the table with the number of a shard.
pub(super) fn shard_statement(cluster: &Cluster, database: &str) -> String {
    cluster.render(CREATE_SHARD_TABLE.trim_end(), database)
}

/// Creates the tables for reading, unless they have all columns of the shards' tables. Without a cluster there are none.
pub(super) async fn create_reading_tables(clickhouse: &ClickHouse) -> Result<(), ClickHouseError> {
    let Some(Shard { cluster, .. }) = clickhouse.shard() else { return Ok(()) };
    let database = clickhouse.database();
    let client = clickhouse.client()?;
    let missing = client.query_raw(MISSING_COLUMNS).param("tables", &READ_TABLES[..]);
    let missing = missing.param("reading", reading_database(database));
    if missing.fetch_one::<u64>().await? == 0 {
        return Ok(());
    }
    for statement in reading_statements(cluster, database) {
        client.query_raw(&statement).execute().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_about_all_servers_and_its_table_is_replicated() {
        let cluster = Cluster::new("main");
        let render = |statement: &str| cluster.render(statement, "millrace");
        assert_eq!(
            render(
                "-- Marks; one each.\nCREATE TABLE IF NOT EXISTS marks\n(\n    name String\n)\nENGINE = ReplacingMergeTree(version)\nORDER BY name"
            ),
            "-- Marks; one each.\nCREATE TABLE IF NOT EXISTS marks ON CLUSTER `main`\n(\n    name String\n)\n\
             ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/millrace/marks', '{replica}', version)\nORDER BY name"
        );
        assert_eq!(
            render("CREATE TABLE IF NOT EXISTS t\n(a UInt8)\nENGINE = MergeTree\nORDER BY a"),
            "CREATE TABLE IF NOT EXISTS t ON CLUSTER `main`\n(a UInt8)\n\
             ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/millrace/t', '{replica}')\nORDER BY a"
        );
        assert_eq!(
            render("ALTER TABLE events\n    ADD INDEX a b"),
            "ALTER TABLE events ON CLUSTER `main`\n    ADD INDEX a b"
        );
        assert_eq!(
            render("SYSTEM STOP TTL MERGES events"),
            "SYSTEM STOP TTL MERGES ON CLUSTER `main` events"
        );
    }
}
