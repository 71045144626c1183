//! The subqueries of templates that read rows: from the rollup, or with the same columns from the events.

use std::fmt::Write as _;

use super::filter::{EVENT_NAME, Filters};
use super::levels::{RollupRow, rollup_rows};
use super::template::{Expansion, ExpansionError, Source};
use crate::clickhouse::template::render;
use crate::properties::Role;

/// What each row has besides `event_name` and `value`. The sets can be merged.
pub(super) const COLUMNS: &str = "events, visitors, few_visitors, sampled_visitors, sessions, few_sessions, sampled_sessions, \
                       measure_sum, measure_count";

/// The sets of an event's row, like those of the rollup. `{{name}}` is visitors or sessions, `{{hash}}` the hash of an id,
/// `{{present}}` whether there is one.
const EVENT_SETS: &str = "groupBitmapStateIf(toUInt32({{hash}} % 1048576), {{present}}) AS {{name}}, \
     uniqUpToStateIf(100)({{hash}}, {{present}}) AS few_{{name}}, \
     groupBitmapStateIf(toUInt32(bitShiftRight({{hash}}, 24) % 1048576), {{present}} AND bitShiftRight({{hash}}, 60) = 0) \
     AS sampled_{{name}}";

/// A template that reads rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// `""` for all events.
    pub(super) events: Vec<String>,
    /// Empty without a breakdown.
    pub(super) dimension: String,
    pub(super) span: TemplateSpan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateSpan {
    Series,
    Total,
    /// The last minutes: a number or a parameter.
    Window(String),
    /// From one of [`MOMENTS`](super::template::MOMENTS) to another.
    Span(String, String),
}

/// What a template reads: bounds in seconds since 1970 UTC, and the rows of the rollup between them.
struct Covered {
    start: i64,
    end: i64,
    rows: Vec<RollupRow>,
    is_series: bool,
}

impl Rows {
    /// The subquery for a query, on one line.
    pub(super) fn subquery(&self, expansion: &Expansion<'_>) -> Result<String, ExpansionError> {
        let covered = self.covered(expansion)?;
        Ok(match expansion.source {
            Source::Rollup => self.rollup_subquery(expansion, &covered),
            Source::Events => self.events_subquery(expansion, &covered),
        })
    }

    fn covered(&self, expansion: &Expansion<'_>) -> Result<Covered, ExpansionError> {
        let between =
            |start: i64, end: i64| Covered { start, end, rows: rollup_rows(start, end), is_series: false };
        let buckets = expansion.buckets;
        Ok(match &self.span {
            TemplateSpan::Series => Covered {
                start: buckets.starts[0],
                end: buckets.end,
                rows: buckets.series_rows(),
                is_series: true,
            },
            TemplateSpan::Total => between(buckets.starts[0], buckets.end),
            TemplateSpan::Window(minutes) => {
                let value = (expansion.parameter)(minutes).unwrap_or_else(|| minutes.clone());
                let parsed: Option<u32> = value.parse().ok();
                let parsed =
                    parsed.ok_or_else(|| ExpansionError::UnknownWindow(super::abbreviate(minutes)))?;
                let end = (expansion.moment)("minute_end");
                between(end - 60 * i64::from(parsed), end)
            }
            TemplateSpan::Span(from, to) => between((expansion.moment)(from), (expansion.moment)(to)),
        })
    }

    /// The named events that pass a filter by event, as SQL.
    fn named_events(&self, filters: &Filters) -> Option<String> {
        let passes = |event: &&String| {
            !event.is_empty() && filters.event_names().is_none_or(|values| values.contains(event))
        };
        // The parser allows no quotes and backslashes.
        let named: Vec<String> =
            self.events.iter().filter(passes).map(|event| format!("'{event}'")).collect();
        (!named.is_empty()).then(|| named.join(", "))
    }

    fn reads_all_events(&self) -> bool {
        self.events.iter().any(String::is_empty)
    }

    fn rollup_subquery(&self, Expansion { filters, .. }: &Expansion<'_>, covered: &Covered) -> String {
        let filter = filters.iter().enumerate().find(|(_, (dimension, _))| *dimension != EVENT_NAME);
        let event_filter = filters.iter().enumerate().find(|(_, (dimension, _))| *dimension == EVENT_NAME);
        let dimension = filter.map_or(self.dimension.as_str(), |(_, (dimension, _))| dimension);
        let value_condition = filter.map_or(String::new(), |(index, (_, values))| {
            format!(" AND {}", any_of("rollup.value", index, values))
        });
        let value = if self.dimension.is_empty() { "''" } else { "value" };
        let bucket = if covered.is_series {
            "roundDown(toUnixTimestamp(start), {buckets:Array(UInt32)}) AS bucket, "
        } else {
            ""
        };
        let mut rows = String::new();
        for (minutes, start) in &covered.rows {
            // Writing to a string cannot fail.
            write!(rows, "{}({minutes},{start})", if rows.is_empty() { "" } else { "," }).ok();
        }
        let span = if rows.is_empty() {
            "0".to_owned()
        } else {
            format!("(rollup.step, rollup.start) IN ({rows},)")
        };
        let select = |event_name: &str, event_condition: &str| {
            format!(
                "SELECT {bucket}{event_name} AS event_name, {value} AS value, {COLUMNS} FROM rollup \
                 WHERE rollup.project = {{project:String}} AND {event_condition} AND rollup.dimension = '{dimension}' \
                 AND {span}{value_condition}"
            )
        };
        let named = self.named_events(filters);
        let in_events = |names: &str| format!("rollup.event_name IN ({names})");
        let mut selects = Vec::new();
        if self.reads_all_events() {
            if let Some((index, (_, values))) = event_filter {
                selects.push(select("''", &any_of("rollup.event_name", index, values)));
            } else if !dimension.is_empty() {
                // Only single events have rows with a dimension.
                selects.push(select("''", "rollup.event_name != ''"));
            } else if let Some(named) = &named {
                return format!("({})", select("rollup.event_name", &in_events(&format!("'', {named}"))));
            } else {
                selects.push(select("''", "rollup.event_name = ''"));
            }
        }
        if let Some(named) = &named {
            selects.push(select("rollup.event_name", &in_events(named)));
        }
        if selects.is_empty() {
            selects.push(select("rollup.event_name", "0"));
        }
        format!("({})", selects.join(" UNION ALL "))
    }

    fn events_subquery(
        &self,
        expansion: &Expansion<'_>,
        Covered { start, end, is_series, .. }: &Covered,
    ) -> String {
        let Expansion { filters, properties, .. } = expansion;
        let named = self.named_events(filters);
        let (label, events) = match (self.reads_all_events(), named) {
            (true, None) => ("''".to_owned(), None),
            (true, Some(named)) => {
                let both = "['', toString(events.event_name)]";
                (format!("arrayJoin(if(events.event_name IN ({named}), {both}, ['']))"), None)
            }
            (false, named) => {
                let condition =
                    named.map_or("0".to_owned(), |named| format!("events.event_name IN ({named})"));
                ("toString(events.event_name)".to_owned(), Some(condition))
            }
        };
        let column = |dimension: &str| format!("toString(events.{dimension})");
        let conditions = filters
            .iter()
            .enumerate()
            .map(|(index, (dimension, values))| any_of(&column(dimension), index, values));
        let breakdown = (!self.dimension.is_empty()).then(|| format!("{} != ''", column(&self.dimension)));
        let conditions: String =
            conditions.chain(events).chain(breakdown).map(|condition| format!(" AND {condition}")).collect();
        let value = if self.dimension.is_empty() { "''".to_owned() } else { column(&self.dimension) };
        let measures = properties.iter().filter(|property| property.role == Role::Measure);
        let measures: String = measures.map(|measure| format!("events.{}, ", measure.name)).collect();
        let (bucket, bucket_key) = if *is_series {
            ("roundDown(toUnixTimestamp(events.timestamp), {buckets:Array(UInt32)}) AS bucket, ", "bucket, ")
        } else {
            ("", "")
        };
        let sets = |name: &str, hash: &str, present: &str| {
            render(EVENT_SETS, [("name", name), ("hash", hash), ("present", present)])
        };
        format!(
            "(SELECT {bucket_key}event_name, value, count() AS events, {}, {}, sum(ifNull(measure, 0)) AS measure_sum, \
             count(measure) AS measure_count FROM (SELECT {bucket}{label} AS event_name, {value} AS value, \
             ifNull(events.user_id, events.session_id) AS visitor, xxh3(visitor) AS visitor_hash, \
             events.session_id AS session, xxh3(session) AS session_hash, \
             coalesce({measures}CAST(NULL, 'Nullable(Float64)')) AS measure FROM events \
             WHERE events.project = {{project:String}} AND events.timestamp >= toDateTime64({start}, 3, 'UTC') \
             AND events.timestamp < toDateTime64({end}, 3, 'UTC'){conditions}) GROUP BY {bucket_key}event_name, value)",
            sets("visitors", "visitor_hash", "visitor != ''"),
            sets("sessions", "session_hash", "session != ''"),
        )
    }
}

/// A condition with the parameter of a filter.
fn any_of(column: &str, filter: usize, values: &[String]) -> String {
    if values.is_empty() { "0".to_owned() } else { format!("{column} IN {{filter_{filter}:Array(String)}}") }
}

#[cfg(test)]
mod tests {
    use super::super::template::tests::{expand, filters};
    use super::*;

    #[test]
    fn a_series_reads_the_rows_of_its_dimension() {
        let (source, sql) = expand("FROM {{series('page_view', 'country_code')}} x", &Filters::default());
        assert_eq!(source, Source::Rollup);
        assert_eq!(
            sql,
            "FROM (SELECT roundDown(toUnixTimestamp(start), {buckets:Array(UInt32)}) AS bucket, rollup.event_name AS event_name, \
             value AS value, events, visitors, few_visitors, sampled_visitors, sessions, few_sessions, sampled_sessions, \
             measure_sum, measure_count FROM rollup WHERE rollup.project = {project:String} AND rollup.event_name IN \
             ('page_view') AND rollup.dimension = 'country_code' AND (rollup.step, rollup.start) IN \
             ((1,1795219200),(1,1795219260),(1,1795219320),)) x"
        );
    }

    #[test]
    fn windows_and_spans_have_their_own_rows() {
        let rows = |template: &str| {
            let (_, sql) = expand(template, &Filters::default());
            sql.split_once("rollup.start) IN ").unwrap().1.to_owned()
        };
        assert_eq!(rows("{{window('a', minutes)}}"), "((1,60),(1,120),))");
        assert_eq!(rows("{{window('a', 1)}}"), "((1,120),))");
        assert_eq!(rows("{{span('a', minute_start, minute_end)}}"), "((1,120),))");
        let (_, empty) = expand("{{span('a', minute_end, minute_start)}}", &Filters::default());
        assert!(empty.ends_with("AND rollup.dimension = '' AND 0)"), "{empty}");
    }

    #[test]
    fn a_filter_is_a_parameter_and_reads_the_rows_of_its_dimension() {
        let (_, sql) = expand("{{total('page_view')}}", &filters(&[("browser", &["x' OR 1"])]));
        assert!(
            sql.contains("rollup.dimension = 'browser'")
                && sql.contains("AND rollup.value IN {filter_0:Array(String)}")
        );
        assert!(sql.contains("'' AS value") && !sql.contains("OR 1"), "{sql}");
        // The rows of all events have no dimension.
        let (_, sql) = expand("{{total('')}}", &filters(&[("browser", &["x"])]));
        assert!(sql.contains("'' AS event_name") && sql.contains("rollup.event_name != ''"), "{sql}");
        let (_, sql) = expand("{{total(['', 'a', 'b'])}}", &filters(&[("event_name", &["b", "c"])]));
        assert!(
            sql.contains("'' AS event_name") && sql.contains("rollup.event_name IN {filter_0:Array(String)}"),
            "{sql}"
        );
        assert!(sql.contains("UNION ALL") && sql.contains("rollup.event_name IN ('b')"), "{sql}");
        let (_, sql) = expand("{{total('a')}}", &filters(&[("event_name", &["b"])]));
        assert!(sql.contains("AND 0 AND"), "{sql}");
        let (_, sql) = expand("{{total('a')}}", &filters(&[("os", &["b"]), ("os", &["c"])]));
        assert!(sql.ends_with("AND 0)"), "{sql}");
    }

    #[test]
    fn events_are_read_with_the_columns_of_the_rollup() {
        let given = filters(&[("browser", &["x"]), ("event_name", &["b"])]);
        let (source, sql) = expand("{{series(['', 'b'], 'country_code')}}", &given);
        assert_eq!(source, Source::Events);
        for part in [
            "roundDown(toUnixTimestamp(events.timestamp), {buckets:Array(UInt32)}) AS bucket",
            "toString(events.country_code) AS value",
            "events.timestamp >= toDateTime64(1795219200, 3, 'UTC')",
            "toString(events.browser) IN {filter_0:Array(String)}",
            "toString(events.event_name) IN {filter_1:Array(String)}",
            "toString(events.country_code) != ''",
            "coalesce(events.duration_ms, CAST(NULL, 'Nullable(Float64)'))",
            "GROUP BY bucket, event_name, value)",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
        assert!(
            COLUMNS
                .split(", ")
                .all(|column| sql.contains(&format!(" {column},")) || sql.contains(&format!(" AS {column}")))
        );
    }
}
