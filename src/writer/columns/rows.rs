//! Single rows of columns, for those who follow events before they are in ClickHouse.

use super::*;

/// A row of [`EventColumns`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRow<'a> {
    columns: &'a EventColumns,
    row: usize,
    pub(crate) timestamp_ms: i64,
    pub(crate) received_at_ms: i64,
    /// Empty without one.
    pub(crate) session_id: &'a str,
    /// Empty without one.
    pub(crate) user_id: &'a str,
    /// A JSON object.
    pub(crate) properties: &'a str,
    /// That the producer gave.
    pub(crate) event_id: Option<Uuid>,
}

/// Every text came from a `str`, or was checked when it was read.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl<'a> EventRow<'a> {
    pub(crate) fn event_name(&self) -> &'a str {
        text(self.columns.event_names.get(self.row))
    }

    pub(crate) fn device_type(&self) -> &'a str {
        text(self.columns.device_types.get(self.row))
    }

    pub(crate) fn country_code(&self) -> &'a str {
        text(self.columns.country_codes.get(self.row))
    }

    fn promoted(&self, name: &str) -> Option<&'a PromotedValues> {
        let column = self.columns.promoted.iter().find(|column| column.name == name)?;
        Some(&column.values)
    }

    /// The value of a promoted text; empty if the event does not have it.
    pub(crate) fn promoted_text(&self, name: &str) -> &'a str {
        match self.promoted(name) {
            Some(PromotedValues::Text(column)) => text(column.get(self.row)),
            _ => "",
        }
    }

    /// The value of a promoted number.
    pub(crate) fn promoted_number(&self, name: &str) -> Option<f64> {
        self.promoted(name)?.number(self.row)
    }
}

impl EventColumns {
    /// The project of a request's events; `None` without events.
    pub(crate) fn project(&self) -> Option<&Project> {
        self.runs.first().map(|run| &run.project)
    }

    /// The rows, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = EventRow<'_>> {
        let received =
            self.runs.iter().flat_map(|run| std::iter::repeat_n(run.received_at_ms, run.rows as usize));
        let mut given = self.given_ids.iter().peekable();
        let texts = Strings(&self.session_ids).zip(Strings(&self.user_ids)).zip(Strings(&self.properties));
        let timestamps = self.timestamps.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        (0..self.rows as usize).zip(timestamps).zip(received).zip(texts).map(
            move |(((row, timestamp_ms), received_at_ms), ((session_id, user_id), properties))| EventRow {
                columns: self,
                row,
                timestamp_ms,
                received_at_ms,
                session_id: text(session_id),
                user_id: text(user_id),
                properties: text(properties),
                event_id: given.next_if(|given| given.row as usize == row).map(|given| given.id),
            },
        )
    }
}
