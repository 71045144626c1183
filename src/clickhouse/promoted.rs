//! The columns of `events` for promoted properties.

use crate::properties::Properties;

/// The lines of `CREATE TABLE events` for the promoted properties.
pub(super) fn column_definitions(properties: &Properties) -> String {
    let columns: Vec<String> = properties
        .iter()
        .map(|property| {
            let (name, kind) = (&property.name, property.column_type());
            format!("    `{name}` {kind} DEFAULT {} CODEC(ZSTD(1)),", property.default_expression())
        })
        .collect();
    columns.join("\n")
}
