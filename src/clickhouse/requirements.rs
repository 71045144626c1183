//! What Millrace needs of a ClickHouse to store each event exactly once: its version, and that it remembers insert tokens.

use clickhouse::Row;
use serde::Deserialize;

use super::{ClickHouse, ClickHouseError, INSERT_SETTINGS};

/// Has `deduplicate_insert`, which every insert sets (ClickHouse/ClickHouse#94413).
const MIN_VERSION: Version = Version([26, 2, 0, 0]);
/// The first versions of each release, the newest first, in which a replica does not lose an acknowledged insert whose commit in
/// Keeper was interrupted (ClickHouse/ClickHouse#111196). Later releases have it too; releases between them do not.
const MIN_REPLICATED: [Version; 4] =
    [Version([26, 8, 3, 98]), Version([26, 7, 7, 87]), Version([26, 6, 5, 114]), Version([26, 3, 33, 61])];
/// As many tokens as Millrace inserts in a quarter of an hour at least.
const MIN_TOKENS: u64 = 10_000;
/// Of replicated tables, which also forget tokens by their age.
const MIN_REPLICATED_TOKENS: u64 = 200_000;
const MIN_TOKEN_SECONDS: u64 = 7 * 86_400;

const TABLES: &str = include_str!("../../queries/health/deduplicating_tables.sql");
const SETTINGS: &str = include_str!("../../queries/health/insert_settings.sql");

/// Year, month, patch and build, such as 26.8.3.98.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 4]);

impl Version {
    /// `None` if it does not start with two numbers.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(['.', '-']);
        let mut version = [0; 4];
        for (index, part) in version.iter_mut().enumerate() {
            match parts.next().map(str::parse) {
                Some(Ok(number)) => *part = number,
                _ if index < 2 => return None,
                _ => break,
            }
        }
        Some(Self(version))
    }

    fn release(self) -> (u32, u32) {
        (self.0[0], self.0[1])
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [year, month, patch, build] = self.0;
        write!(out, "{year}.{month}.{patch}.{build}")
    }
}

/// Why Millrace cannot run on this version at all.
pub(super) fn check_version(version: &str) -> Result<(), String> {
    match Version::parse(version) {
        Some(parsed) if parsed < MIN_VERSION => {
            let (year, month) = MIN_VERSION.release();
            Err(format!("ClickHouse {version} is too old: Millrace needs {year}.{month} or newer"))
        }
        // An unknown form is not a reason to refuse.
        _ => Ok(()),
    }
}

/// Why replicated tables of this version may lose events.
fn check_replicated_version(version: &str) -> Result<(), String> {
    let Some(parsed) = Version::parse(version) else { return Ok(()) };
    let is_good = match MIN_REPLICATED.iter().find(|min| min.release() == parsed.release()) {
        Some(min) => parsed >= *min,
        None => parsed > MIN_REPLICATED[0],
    };
    if is_good {
        return Ok(());
    }
    let good: Vec<_> = MIN_REPLICATED.iter().map(ToString::to_string).collect();
    Err(format!(
        "ClickHouse {version} can lose acknowledged inserts of replicated tables (ClickHouse/ClickHouse#111196): upgrade it to {} \
         or a later release",
        good.join(", ")
    ))
}

#[derive(Debug, Row, Deserialize)]
struct Table {
    name: String,
    engine: String,
    definition: String,
}

/// The value of a setting in a table's definition.
fn setting_of(definition: &str, name: &str) -> Option<u64> {
    let (_, value) = definition.split_once(&format!(" {name} = "))?;
    value.split([',', ' ']).next()?.parse().ok()
}

impl Table {
    fn is_replicated(&self) -> bool {
        // Tables of ClickHouse Cloud are shared: they have the tokens of replicated ones.
        self.engine.starts_with("Replicated") || self.engine.starts_with("Shared")
    }

    fn problem(&self) -> Option<String> {
        let Self { name, definition, .. } = self;
        let needed: &[_] = match self.is_replicated() {
            true => &[
                ("replicated_deduplication_window", MIN_REPLICATED_TOKENS),
                ("replicated_deduplication_window_seconds", MIN_TOKEN_SECONDS),
            ],
            false => &[("non_replicated_deduplication_window", MIN_TOKENS)],
        };
        let (setting, needed) =
            needed.iter().find(|(setting, needed)| setting_of(definition, setting).unwrap_or(0) < *needed)?;
        let value = setting_of(definition, setting)
            .map_or_else(|| "its default".to_owned(), |value| value.to_string());
        Some(format!(
            "the table {name} forgets insert tokens too early, so that a repeated insert may count twice: {setting} is {value}; \
             run ALTER TABLE {name} MODIFY SETTING {setting} = {needed}"
        ))
    }
}

#[derive(Debug, Row, Deserialize)]
struct Setting {
    name: String,
    value: String,
}

fn setting_problem(Setting { name, value }: &Setting) -> Option<String> {
    if name == "compatibility" {
        let is_old = Version::parse(value).is_some_and(|version| version < MIN_VERSION);
        return is_old.then(|| {
            format!(
                "the profile of Millrace's ClickHouse user sets compatibility = '{value}', which changes how inserts are \
                 deduplicated; remove it from the profile"
            )
        });
    }
    let (_, needed) = INSERT_SETTINGS.iter().find(|(needed, _)| needed == name)?;
    (value != needed).then(|| {
        format!(
            "ClickHouse uses {name} = {value} for Millrace's inserts, which need {needed}; remove it from the profile of the user, \
             and its constraint"
        )
    })
}

/// What is missing for exactly once, one line each. Empty if all is well.
///
/// # Errors
/// When ClickHouse does not respond, or refuses the settings of inserts.
pub(crate) async fn problems(clickhouse: &ClickHouse) -> Result<Vec<String>, ClickHouseError> {
    let client = clickhouse.client()?;
    let tables =
        client.query_raw(TABLES).param("database", clickhouse.database()).fetch_all::<Table>().await?;
    let mut problems: Vec<String> = tables.iter().filter_map(Table::problem).collect();
    let mut settings = client.query_raw(SETTINGS);
    for (name, value) in INSERT_SETTINGS {
        settings = settings.with_setting(name, value);
    }
    problems.extend(settings.fetch_all::<Setting>().await?.iter().filter_map(setting_problem));
    if tables.iter().any(|table| table.engine.starts_with("Replicated")) {
        problems.extend(check_replicated_version(&clickhouse.version().await?).err());
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_lacks_what_inserts_set_is_refused() {
        for good in ["26.2.1.5", "26.7.3.1", "27.1.1", "26.9.1.1-lts", "development"] {
            assert_eq!(check_version(good), Ok(()), "{good}");
        }
        for old in ["26.1.9.9", "25.12.1.1", "24.3"] {
            assert!(check_version(old).unwrap_err().contains("needs 26.2 or newer"), "{old}");
        }
    }

    #[test]
    fn replicated_tables_need_a_version_with_the_fix() {
        for good in ["26.8.3.98", "26.8.4.1", "26.9.1.1", "26.7.7.87", "26.6.5.114", "26.3.33.61", "27.1.1.1"]
        {
            assert_eq!(check_replicated_version(good), Ok(()), "{good}");
        }
        for bad in ["26.8.3.97", "26.7.7.86", "26.6.5.1", "26.5.99.1", "26.4.1.1", "26.3.33.60", "26.2.1.1"] {
            assert!(check_replicated_version(bad).unwrap_err().contains("26.3.33.61"), "{bad}");
        }
    }

    #[test]
    fn the_shipped_cluster_has_such_a_version() {
        let compose = include_str!("../../docker-compose.cluster.yml");
        let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: clickhouse/"));
        let versions: Vec<&str> = images.map(|image| image.split_once(':').unwrap().1).collect();
        assert_eq!(versions.len(), 2, "{versions:?}");
        for version in versions {
            assert!(Version::parse(version).is_some());
            assert_eq!(check_replicated_version(version), Ok(()));
        }
    }

    #[test]
    fn a_table_that_forgets_tokens_early_is_named_with_the_way_out() {
        let table = |engine: &str, settings: &str| Table {
            name: "events".into(),
            engine: engine.into(),
            definition: format!("{engine} ORDER BY x SETTINGS index_granularity = 8192{settings}"),
        };
        let problem = |engine: &str, settings: &str| table(engine, settings).problem();
        assert_eq!(problem("MergeTree", ", non_replicated_deduplication_window = 10000, a = 1"), None);
        let line = problem("MergeTree", ", non_replicated_deduplication_window = 100").unwrap();
        assert!(
            line.contains("non_replicated_deduplication_window is 100; run ALTER TABLE events"),
            "{line}"
        );
        assert!(problem("AggregatingMergeTree", "").unwrap().contains("is its default"));
        let replicated =
            ", replicated_deduplication_window = 200000, replicated_deduplication_window_seconds = 604800";
        assert_eq!(problem("ReplicatedAggregatingMergeTree", replicated), None);
        let line = problem("SharedMergeTree", ", replicated_deduplication_window = 200000").unwrap();
        assert!(line.contains("replicated_deduplication_window_seconds"), "{line}");
    }

    #[test]
    fn a_profile_that_changes_inserts_is_named() {
        let problem =
            |name: &str, value: &str| setting_problem(&Setting { name: name.into(), value: value.into() });
        assert_eq!(problem("async_insert", "0"), None);
        assert!(problem("async_insert", "1").unwrap().contains("async_insert = 1"));
        assert_eq!(problem("compatibility", ""), None);
        assert!(problem("compatibility", "24.8").unwrap().contains("'24.8'"));
    }
}
