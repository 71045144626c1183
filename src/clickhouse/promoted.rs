//! The columns of `events` for promoted properties.

use super::shards::Shards;
use super::{ClickHouseError, cluster};
use crate::properties::{PromotedProperty, Properties};

/// The lines of `CREATE TABLE events` for the promoted properties.
pub(super) fn column_definitions(properties: &Properties) -> String {
    let columns: Vec<String> =
        properties.iter().map(|property| format!("    {},", definition(property))).collect();
    columns.join("\n")
}

fn definition(property: &PromotedProperty) -> String {
    let (name, kind) = (&property.name, property.column_type());
    format!("`{name}` {kind} DEFAULT {} CODEC(ZSTD(1))", property.default_expression())
}

/// Adds the columns that `events` lacks. Stored rows get their values from `properties` when they are read.
pub(crate) async fn add_columns(shards: &Shards, properties: &Properties) -> Result<(), ClickHouseError> {
    let clickhouse = shards.first();
    let client = clickhouse.client()?;
    for property in properties.iter() {
        let add = format!("ALTER TABLE events ADD COLUMN IF NOT EXISTS {}", definition(property));
        client.query_raw(&clickhouse.ddl(&add)).execute().await?;
    }
    cluster::create_reading_tables(clickhouse).await
}

/// Drops the columns with these names.
pub(crate) async fn drop_columns(shards: &Shards, names: &[String]) -> Result<(), ClickHouseError> {
    let clickhouse = shards.first();
    let client = clickhouse.client()?;
    for name in names {
        let drop = format!("ALTER TABLE events DROP COLUMN IF EXISTS `{name}`");
        client.query_raw(&clickhouse.ddl(&drop)).execute().await?;
    }
    cluster::create_reading_tables(clickhouse).await
}
