//! The columns of `events` for promoted properties.

/// The built-in promoted properties: column, type, default expression.
const BUILT_IN: [(&str, &str, &str); 7] = [
    ("page_url", "LowCardinality(String)", "substringUTF8(JSONExtractString(properties, 'page_url'), 1, 500)"),
    ("referrer_domain", "LowCardinality(String)", "domain(JSONExtractString(properties, 'referrer'))"),
    ("browser", "LowCardinality(String)", "substringUTF8(JSONExtractString(properties, 'browser'), 1, 200)"),
    ("os", "LowCardinality(String)", "substringUTF8(JSONExtractString(properties, 'os'), 1, 200)"),
    ("utm_source", "LowCardinality(String)", "substringUTF8(JSONExtractString(properties, 'utm_source'), 1, 200)"),
    ("feature", "LowCardinality(String)", "substringUTF8(JSONExtractString(properties, 'feature'), 1, 200)"),
    ("duration_ms", "Nullable(Float64)", "JSONExtract(properties, 'duration_ms', 'Nullable(Float64)')"),
];

/// The lines of `CREATE TABLE events` for the promoted properties.
pub(super) fn column_definitions() -> String {
    BUILT_IN
        .iter()
        .map(|(column, kind, default)| format!("    {column} {kind} DEFAULT {default} CODEC(ZSTD(1)),\n"))
        .collect::<String>()
        .trim_end()
        .to_owned()
}
