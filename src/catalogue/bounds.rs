//! Which keys are counted by name: a bounded number. Producers choose the names of events and of keys, so a mistake, such as
//! an id in a key, must not grow the table without end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

/// The most events of a project whose properties are counted by name.
const MAX_EVENT_NAMES: usize = 2_000;
/// The most keys of an event.
const MAX_KEYS: usize = 1_000;
/// The name of all others.
pub(super) const OTHER: &str = "(other)";

/// A row of `event_properties`, as ClickHouse reads and writes it. Texts compare like the times that they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PropertyRow {
    pub(super) project: String,
    pub(super) event_name: String,
    pub(super) name: String,
    pub(super) r#type: String,
    pub(super) day: String,
    pub(super) events: u64,
    pub(super) is_estimate: u8,
    pub(super) first_seen: String,
    pub(super) last_seen: String,
}

/// The keys that are counted by name.
#[derive(Debug, Default)]
pub(super) struct KnownKeys(HashMap<String, HashMap<String, HashSet<u64>>>);

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl KnownKeys {
    /// Adds a key that is stored.
    pub(super) fn add(&mut self, project: String, event_name: String, name: &str) {
        self.0.entry(project).or_default().entry(event_name).or_default().insert(hash(name));
    }

    /// Replaces names beyond the bounds, and admits those below them.
    fn bound(&mut self, row: &mut PropertyRow) {
        if !self.0.contains_key(&row.project) {
            self.0.insert(row.project.clone(), HashMap::new());
        }
        let Some(events) = self.0.get_mut(&row.project) else { return };
        if !events.contains_key(&row.event_name) {
            if events.len() >= MAX_EVENT_NAMES {
                OTHER.clone_into(&mut row.event_name);
            }
            events.entry(row.event_name.clone()).or_default();
        }
        let Some(keys) = events.get_mut(&row.event_name) else { return };
        let key = hash(&row.name);
        if !keys.contains(&key) {
            if keys.len() >= MAX_KEYS {
                OTHER.clone_into(&mut row.name);
            } else {
                keys.insert(key);
            }
        }
    }
}

/// The rows of a run. Those beyond the bounds are combined.
#[derive(Debug, Default)]
pub(super) struct BoundedRows {
    /// As lines of JSON.
    lines: Vec<u8>,
    others: BTreeMap<[String; 5], PropertyRow>,
}

impl BoundedRows {
    pub(super) fn add(&mut self, mut row: PropertyRow, known: &mut KnownKeys) -> serde_json::Result<()> {
        known.bound(&mut row);
        if row.name != OTHER && row.event_name != OTHER {
            return self.write(&row);
        }
        let key = [&row.project, &row.event_name, &row.name, &row.r#type, &row.day].map(Clone::clone);
        match self.others.get_mut(&key) {
            None => {
                self.others.insert(key, row);
            }
            Some(other) => {
                other.events += row.events;
                other.is_estimate |= row.is_estimate;
                other.first_seen = row.first_seen.min(std::mem::take(&mut other.first_seen));
                other.last_seen = row.last_seen.max(std::mem::take(&mut other.last_seen));
            }
        }
        Ok(())
    }

    fn write(&mut self, row: &PropertyRow) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.lines, row)?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// All rows as lines of JSON.
    pub(super) fn into_lines(mut self) -> serde_json::Result<Vec<u8>> {
        for row in std::mem::take(&mut self.others).values() {
            self.write(row)?;
        }
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(event_name: &str, name: &str) -> PropertyRow {
        PropertyRow {
            project: "shop".into(),
            event_name: event_name.into(),
            name: name.into(),
            r#type: "string".into(),
            day: "2026-11-20".into(),
            events: 2,
            is_estimate: 0,
            first_seen: "2026-11-20 10:00:00.000".into(),
            last_seen: "2026-11-20 11:00:00.000".into(),
        }
    }

    fn bounded(rows: Vec<PropertyRow>, known: &mut KnownKeys) -> Vec<PropertyRow> {
        let mut bounded = BoundedRows::default();
        for row in rows {
            bounded.add(row, known).unwrap();
        }
        let lines = bounded.into_lines().unwrap();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn keys_beyond_the_bound_are_combined() {
        let mut known = KnownKeys::default();
        for key in 0..MAX_KEYS - 1 {
            known.add("shop".into(), "a".into(), &key.to_string());
        }
        let later =
            PropertyRow { first_seen: "2026-11-20 09:00:00.000".into(), is_estimate: 1, ..row("a", "third") };
        let rows = vec![row("a", "first"), row("a", "second"), later, row("a", "first"), row("b", "second")];
        let stored = bounded(rows, &mut known);
        let other = PropertyRow {
            events: 4,
            is_estimate: 1,
            first_seen: "2026-11-20 09:00:00.000".into(),
            ..row("a", OTHER)
        };
        assert_eq!(stored, [row("a", "first"), row("a", "first"), row("b", "second"), other]);
    }

    #[test]
    fn events_beyond_the_bound_are_combined_per_project() {
        let mut known = KnownKeys::default();
        for event in 0..MAX_EVENT_NAMES {
            known.add("shop".into(), event.to_string(), "key");
        }
        let elsewhere = PropertyRow { project: "blog".into(), ..row("new", "key") };
        let stored = bounded(
            vec![row("new", "key"), row("newer", "key"), elsewhere.clone(), row("5", "x")],
            &mut known,
        );
        let other = PropertyRow { events: 4, ..row(OTHER, "key") };
        assert_eq!(stored, [elsewhere, row("5", "x"), other]);
    }
}
