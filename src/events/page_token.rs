//! Where a page of a search ends.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::EventsError;

/// The position after a page, and the search that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageToken {
    /// A checksum of filter and range.
    pub(super) query: u64,
    /// The bounds of the first page: a preset such as 7d would move on. Milliseconds since 1970 UTC, the end exclusive.
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// The last event of the page.
    pub(super) position: Position,
}

/// An event's place in the order of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) timestamp_ms: i64,
    pub(super) event_id: Uuid,
}

const VERSION: u8 = 1;
const BYTES: usize = 1 + 4 * 8 + 16;

impl PageToken {
    pub(super) fn encode(self) -> String {
        let Self { query, start_ms, end_ms, position: Position { timestamp_ms, event_id } } = self;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        for number in [query, start_ms.cast_unsigned(), end_ms.cast_unsigned(), timestamp_ms.cast_unsigned()]
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(event_id.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes the token of a query with this checksum.
    pub(super) fn decode(text: &str, query: u64) -> Result<Self, EventsError> {
        let invalid = EventsError::PageToken("it is not a token of this server");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid.clone())?;
        let Some((&[VERSION], rest)) = bytes.split_first_chunk() else { return Err(invalid) };
        let Some((numbers, id)) = rest.split_first_chunk::<32>() else { return Err(invalid) };
        let [of_query, start, end, timestamp] = numbers.as_chunks().0 else { return Err(invalid) };
        let event_id = Uuid::from_slice(id).map_err(|_| invalid)?;
        if u64::from_le_bytes(*of_query) != query {
            return Err(EventsError::PageToken("it belongs to a search with another filter or range"));
        }
        let position = Position { timestamp_ms: i64::from_le_bytes(*timestamp), event_id };
        Ok(Self { query, start_ms: i64::from_le_bytes(*start), end_ms: i64::from_le_bytes(*end), position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_query() {
        let position = Position { timestamp_ms: -5, event_id: Uuid::from_u128(7) };
        let token = PageToken { query: 9, start_ms: 1, end_ms: 2, position };
        let text = token.encode();
        assert_eq!(PageToken::decode(&text, 9).unwrap(), token);
        assert!(PageToken::decode(&text, 8).unwrap_err().to_string().contains("another filter or range"));
        for wrong in ["", "x", "AAAA", &text[1..], &format!("{text}AA")] {
            let error = PageToken::decode(wrong, 9).unwrap_err().to_string();
            assert!(error.contains("not a token of this server"), "{wrong}: {error}");
        }
    }
}
