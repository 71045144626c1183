//! Requests of LogsService, parsed without decoding the records. See [`crate::ingest::wire`] for the reason.

use bytes::Bytes;
use prost::Message as _;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tonic::Status;

use super::record::Resource;
use crate::error::Error;
use crate::ingest::ingester::MAX_EVENT_BYTES;
use crate::ingest::object::from_object;
use crate::ingest::wire::{
    FIXED_COLUMN_BYTES, MalformedMessage, MessageFields, PROMOTED_FACTOR, STRUCT_TO_JSON_FACTOR, WireValue,
};
use crate::proto::codec::FromWire;
use crate::proto::json::from_otlp_json;
use crate::proto::otlp::logs::v1::LogRecord;
use crate::proto::otlp::resource::v1 as resource;

/// The largest resource, encoded or as JSON. It is decoded once for its records.
const MAX_RESOURCE_BYTES: usize = 64 << 10;

/// Why one record cannot be decoded.
pub(super) type RecordError = String;

/// An `ExportLogsServiceRequest`, encoded.
#[derive(Debug, Default)]
pub struct LogsRequest {
    records: usize,
    max_columns_bytes: usize,
    message: Bytes,
}

impl LogsRequest {
    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// The size of the encoded request.
    pub(super) fn message_bytes(&self) -> usize {
        self.message.len()
    }

    /// Upper bound for the size of the events in columns.
    pub(super) fn max_columns_bytes(&self) -> usize {
        self.max_columns_bytes
    }

    /// # Errors
    /// Bytes that are not such a message.
    pub(super) fn parse(message: Bytes) -> Result<Self, MalformedMessage> {
        let mut request = Self::default();
        for_each_resource(&message, |resource, record| {
            request.records += 1;
            request.max_columns_bytes += max_columns_bytes(record.len(), resource.len());
        })?;
        request.message = message;
        Ok(request)
    }

    /// Decodes one record after the other, and calls `f` with its resource.
    pub(super) fn for_each_record(&self, mut f: impl FnMut(&Resource, Result<LogRecord, RecordError>)) {
        let mut current: (&[u8], Resource) = Default::default();
        let parsed = for_each_resource(&self.message, |resource, record| {
            if !std::ptr::eq(resource, current.0) {
                let small = Some(resource).filter(|resource| resource.len() <= MAX_RESOURCE_BYTES);
                let decoded = small.and_then(|resource| resource::Resource::decode(resource).ok());
                current = (resource, Resource::new(decoded.unwrap_or_default()));
            }
            let decoded = check_record_size(record.len())
                .and_then(|()| LogRecord::decode(record).map_err(|error| error.to_string()));
            f(&current.1, decoded);
        });
        debug_assert!(parsed.is_ok(), "parse has read the same bytes");
    }
}

impl FromWire for LogsRequest {
    fn from_wire(message: Bytes) -> Result<Self, Status> {
        Self::parse(message)
            .map_err(|error| Status::invalid_argument(format!("the message cannot be decoded: {error}")))
    }
}

/// Calls `f` with the encoded resource and the encoded record of every record. A resource may follow its records.
fn for_each_resource<'a>(
    message: &'a [u8],
    mut f: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<(), MalformedMessage> {
    for resource_logs in submessages(message, 1) {
        let resource_logs = resource_logs?;
        let resource = submessages(resource_logs, 1).last().transpose()?.unwrap_or_default();
        for scope_logs in submessages(resource_logs, 2) {
            for record in submessages(scope_logs?, 2) {
                f(resource, record?);
            }
        }
    }
    Ok(())
}

/// The values of a field that is a message.
fn submessages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], MalformedMessage>> {
    MessageFields(message).filter_map(move |field| match field {
        Ok((field, WireValue::Bytes(value))) if field == number => Some(Ok(value)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// An upper bound. What a record gets from its resource is limited.
fn max_columns_bytes(record_bytes: usize, resource_bytes: usize) -> usize {
    let text_bytes = record_bytes + resource_bytes.min(Resource::MAX_ADDED_BYTES);
    FIXED_COLUMN_BYTES + PROMOTED_FACTOR * STRUCT_TO_JSON_FACTOR * text_bytes
}

fn check_record_size(bytes: usize) -> Result<(), RecordError> {
    if bytes > MAX_EVENT_BYTES {
        return Err(format!("has {bytes} bytes; the limit is {MAX_EVENT_BYTES}"));
    }
    Ok(())
}

/// An `ExportLogsServiceRequest` in JSON: the texts of its records, and the resource of each.
#[derive(Debug, Default)]
pub(super) struct JsonLogsRequest<'a> {
    /// Each with the length of its text.
    resources: Vec<(Resource, usize)>,
    /// Index of the resource, and the record.
    records: Vec<(usize, &'a str)>,
    /// All records: beyond the limit, they are only counted.
    count: usize,
}

impl<'a> JsonLogsRequest<'a> {
    /// Keeps at most `max_records`, and counts all.
    ///
    /// # Errors
    /// Invalid JSON, or another structure.
    pub(super) fn parse(body: &'a [u8], max_records: usize) -> Result<Self, Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Request<'a> {
            #[serde(borrow, alias = "resource_logs")]
            resource_logs: Option<&'a RawValue>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ResourceLogs<'a> {
            #[serde(borrow)]
            resource: Option<&'a RawValue>,
            #[serde(borrow, alias = "scope_logs")]
            scope_logs: Option<&'a RawValue>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ScopeLogs<'a> {
            #[serde(borrow, alias = "log_records")]
            log_records: Option<&'a RawValue>,
        }
        let mut parsed = Self::default();
        let mut read = || -> Result<(), serde_json::Error> {
            let request: Request<'a> = from_object(body)?;
            for_each_element(request.resource_logs, |resource_logs| {
                let resource_logs: ResourceLogs<'a> = from_object(resource_logs.as_bytes())?;
                let first = parsed.records.len();
                for_each_element(resource_logs.scope_logs, |scope_logs| {
                    let scope_logs: ScopeLogs<'a> = from_object(scope_logs.as_bytes())?;
                    for_each_element(scope_logs.log_records, |record| {
                        parsed.count += 1;
                        if parsed.records.len() < max_records {
                            parsed.records.push((parsed.resources.len(), record));
                        }
                        Ok(())
                    })
                })?;
                if parsed.records.len() > first {
                    let bytes = resource_logs.resource.map_or(0, |resource| resource.get().len());
                    parsed.resources.push((parse_resource(resource_logs.resource), bytes));
                }
                Ok(())
            })
        };
        read().map_err(|error| {
            Error::invalid(format!("the body is not an ExportLogsServiceRequest in JSON: {error}"))
        })?;
        Ok(parsed)
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Upper bound for the size of the events in columns.
    pub(super) fn max_columns_bytes(&self) -> usize {
        let bytes =
            |(resource, record): &(usize, &str)| max_columns_bytes(record.len(), self.resources[*resource].1);
        self.records.iter().map(bytes).sum()
    }

    /// Decodes one record after the other, and calls `f` with its resource.
    pub(super) fn for_each_record(&self, mut f: impl FnMut(&Resource, Result<LogRecord, RecordError>)) {
        for (resource, record) in &self.records {
            let decoded = check_record_size(record.len()).and_then(|()| {
                from_otlp_json("logs.v1.LogRecord", record).map_err(|error| error.to_string())
            });
            f(&self.resources[*resource].0, decoded);
        }
    }
}

fn parse_resource(json: Option<&RawValue>) -> Resource {
    let small = json.map(RawValue::get).filter(|json| json.len() <= MAX_RESOURCE_BYTES);
    Resource::new(
        small.and_then(|json| from_otlp_json("resource.v1.Resource", json).ok()).unwrap_or_default(),
    )
}

/// Calls `f` with the text of each element of an array. `None` and `null` have none.
fn for_each_element<'a>(
    array: Option<&'a RawValue>,
    f: impl FnMut(&'a str) -> Result<(), serde_json::Error>,
) -> Result<(), serde_json::Error> {
    struct Elements<F>(F, Result<(), serde_json::Error>);
    impl<'a, F: FnMut(&'a str) -> Result<(), serde_json::Error>> Visitor<'a> for Elements<F> {
        type Value = Result<(), serde_json::Error>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'a>>(mut self, mut sequence: A) -> Result<Self::Value, A::Error> {
            while let Some(element) = sequence.next_element::<&RawValue>()? {
                self.1 = (self.0)(element.get());
                if self.1.is_err() {
                    while sequence.next_element::<IgnoredAny>()?.is_some() {}
                }
            }
            Ok(self.1)
        }
    }
    match array.map(RawValue::get) {
        None | Some("null") => Ok(()),
        Some(text) => serde_json::Deserializer::from_str(text).deserialize_seq(Elements(f, Ok(())))?,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::otlp::record::tests::request;

    const MAX_RECORDS: usize = 20_000;

    #[test]
    fn records_are_counted_without_decoding() {
        let scope = [0x12, 0].repeat(1_000_000); // empty records
        let message = |tag: u8, inner: Vec<u8>| {
            let mut bytes = vec![tag];
            prost::encode_length_delimiter(inner.len(), &mut bytes).unwrap();
            [bytes, inner].concat()
        };
        let bomb = message(0x0a, message(0x12, scope));
        assert_eq!(LogsRequest::parse(bomb.into()).unwrap().len(), 1_000_000);
        let json = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#,
            "{},".repeat(999_999)
        );
        let request = JsonLogsRequest::parse(json.as_bytes(), MAX_RECORDS).unwrap();
        assert_eq!((request.len(), request.records.len()), (1_000_000, MAX_RECORDS));
    }

    #[test]
    fn protobuf_and_json_have_the_same_records() {
        let (message, json) = request();
        let (mut binary, mut text) = (Vec::new(), Vec::new());
        let encoded = LogsRequest::parse(message.into()).unwrap();
        encoded.for_each_record(|resource, record| binary.push((resource.clone(), record)));
        let json = json.to_string();
        let parsed = JsonLogsRequest::parse(json.as_bytes(), MAX_RECORDS).unwrap();
        parsed.for_each_record(|resource, record| text.push((resource.clone(), record)));
        assert_eq!((encoded.len(), parsed.len(), binary.len()), (3, 3, 3));
        assert_eq!(binary, text);
    }

    #[test]
    fn what_is_not_a_request_is_an_error() {
        for bad in [
            "",
            "[]",
            "[null]",
            "{\"resourceLogs\":5}",
            r#"{"resourceLogs":[5]}"#,
            r#"{"resourceLogs":[5, {}]}"#,
        ] {
            let error = JsonLogsRequest::parse(bad.as_bytes(), MAX_RECORDS).unwrap_err();
            assert!(error.message.contains("ExportLogsServiceRequest"), "{bad}: {error}");
        }
        assert_eq!(JsonLogsRequest::parse(br#"{"resourceLogs":null,"x":1}"#, 1).unwrap().len(), 0);
        assert!(LogsRequest::parse(Bytes::from_static(&[0x0a, 5, 0])).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
            if let Ok(request) = LogsRequest::parse(bytes.into()) {
                let mut records = 0;
                request.for_each_record(|_, _| records += 1);
                proptest::prop_assert_eq!(records, request.len());
            }
        }
    }
}
