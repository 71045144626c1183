//! Every ingest RPC, against the real server and engine.

use crate::common::{RawCodec, TestServer, event, events_request};
use millrace_client::proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use v1::event::PropertiesKind;

#[tokio::test]
async fn valid_events_land_when_others_are_rejected() {
    let server = TestServer::start();
    let mut bad = event("bad");
    bad.country_code = "ESP".into();
    let mut rich = event("rich");
    rich.user_id = Some("ada".into());
    rich.device_type = "MOBILE".into();
    rich.country_code = "es".into();
    rich.properties_kind = Some(PropertiesKind::PropertiesJson(r#"{"feature":"über"}"#.into()));
    rich.event_id = Some("00112233-4455-6677-8899-aabbccddeeff".into());
    let response = server
        .ingest()
        .await
        .send_events(events_request(vec![event("plain"), bad, rich]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((response.accepted, response.rejected, response.duplicates), (2, 1, 0));
    let rejection = &response.rejections[0];
    assert_eq!((rejection.index, rejection.field.as_str()), (1, "country_code"));
    assert!(rejection.reason.contains("\"ESP\""), "{}", rejection.reason);

    server.wait_until_landed().await;
    let columns = "event_name, session_id, user_id, device_type, country_code, properties, event_id, \
                   abs(received_at - timestamp) < 60, date = toDate(timestamp)";
    assert_eq!(
        server.sql(&format!("SELECT {columns} FROM events WHERE event_name = 'rich'")).await,
        "rich\tsession\tada\tmobile\tES\t{\"feature\":\"über\"}\t00112233-4455-6677-8899-aabbccddeeff\t1\t1"
    );
    assert_eq!(
        server
            .sql(
                "SELECT user_id, device_type, country_code, properties FROM events WHERE event_name = 'plain'"
            )
            .await,
        "\\N\tunknown\tZZ\t{}"
    );
    assert_eq!(server.sql("SELECT count() FROM events").await, "2");
}

#[tokio::test]
async fn a_repeated_event_id_is_deduplicated() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let named = v1::Event { event_id: Some(uuid::Uuid::new_v4().to_string()), ..event("named") };
    let first =
        ingest.send_events(events_request(vec![named.clone(), named.clone()])).await.unwrap().into_inner();
    assert_eq!((first.accepted, first.duplicates), (1, 1));
    let again = ingest.send_events(events_request(vec![named, event("other")])).await.unwrap().into_inner();
    assert_eq!((again.accepted, again.duplicates), (1, 1));
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "2");
}

#[tokio::test]
async fn an_upload_gets_one_response_and_its_repeat_is_deduplicated() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let requests: Vec<_> = (1..=20)
        .map(|sequence| v1::UploadEventsRequest {
            producer_id: "p".into(),
            sequence,
            events: vec![event("a"), event("b"), v1::Event::default()],
            ..Default::default()
        })
        .collect();
    for (accepted, duplicates) in [(40, 0), (0, 40)] {
        let response = ingest.upload_events(tokio_stream::iter(requests.clone())).await.unwrap().into_inner();
        assert_eq!((response.accepted, response.duplicates, response.rejected), (accepted, duplicates, 20));
        assert_eq!(response.last_durable_sequence, 20);
        assert_eq!((response.rejections[1].request, response.rejections[1].index), (1, 2));
    }
    server.wait_until_landed().await;
    assert_eq!(server.sql("SELECT count() FROM events").await, "40");
}

#[tokio::test]
async fn a_stream_acks_each_request_and_rejects_a_gap() {
    let server = TestServer::start();
    let mut ingest = server.ingest().await;
    let (requests, outbound) = tokio::sync::mpsc::channel(10);
    let request = |sequence| v1::StreamEventsRequest {
        producer_id: "p".into(),
        sequence,
        events: vec![event("a")],
        ..Default::default()
    };
    requests.send(request(1)).await.unwrap();
    let mut responses = ingest.stream_events(ReceiverStream::new(outbound)).await.unwrap().into_inner();
    for sequence in 1..=3 {
        let response = responses.message().await.unwrap().unwrap();
        assert_eq!((response.sequence, response.accepted), (sequence, 1));
        assert_eq!(response.last_durable_sequence, sequence);
        requests.send(request(sequence + 1)).await.unwrap();
    }
    assert_eq!(responses.message().await.unwrap().unwrap().sequence, 4);
    requests.send(request(7)).await.unwrap();
    let gap = responses.message().await.unwrap_err();
    assert_eq!(gap.code(), Code::FailedPrecondition);
    assert!(gap.message().contains("sent 7, but 5 is the next"), "{}", gap.message());

    let producer =
        ingest.get_producer(v1::GetProducerRequest { producer_id: "p".into() }).await.unwrap().into_inner();
    assert_eq!(producer.last_durable_sequence, 4);
    assert!(producer.last_seen.is_some());
    let unknown =
        ingest.get_producer(v1::GetProducerRequest { producer_id: "q".into() }).await.unwrap().into_inner();
    assert_eq!((unknown.last_durable_sequence, unknown.last_seen), (0, None));
}

#[tokio::test]
async fn invalid_requests_get_a_status_code_and_a_reason() {
    let server = TestServer::start_with(&[("MILLRACE_MAX_MESSAGE_BYTES", "1000000")]);
    let mut ingest = server.ingest().await;
    let numbered_request = |producer_id: &str, sequence| v1::SendEventsRequest {
        producer_id: producer_id.into(),
        sequence,
        events: vec![event("a")],
        ..Default::default()
    };
    let huge = v1::Event { event_name: "x".repeat(10_000_000), ..event("a") };
    let cases = [
        (
            events_request(vec![event("a"); 501]),
            Code::InvalidArgument,
            "501 were sent; SendEvents takes at most 500",
        ),
        (
            events_request(vec![huge]),
            Code::ResourceExhausted,
            "maximum of 1000000 bytes (MILLRACE_MAX_MESSAGE_BYTES)",
        ),
        (numbered_request(&"p".repeat(129), 1), Code::InvalidArgument, "producer_id has 129 bytes"),
        (numbered_request("p", 0), Code::InvalidArgument, "sequence is missing"),
        (numbered_request("p", 3), Code::FailedPrecondition, "1 is the next"),
    ];
    let oversized = v1::UploadEventsRequest { events: vec![event("a"); 20_001], ..Default::default() };
    let error = ingest.upload_events(tokio_stream::iter([oversized])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(
        error.message().contains("20001 were sent; a request of a stream takes at most 20000"),
        "{error:?}"
    );
    for (request, code, part) in cases {
        let error = ingest.send_events(request).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains(part), "{} does not contain {part:?}", error.message());
    }
    let mixed = [("p", 1), ("q", 1)].map(|(producer_id, sequence)| v1::UploadEventsRequest {
        producer_id: producer_id.into(),
        sequence,
        events: vec![event("a")],
        ..Default::default()
    });
    let error = ingest.upload_events(tokio_stream::iter(mixed)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("a stream for each producer"), "{}", error.message());

    let response = ingest.send_events(events_request(vec![event("a")])).await.unwrap().into_inner();
    assert_eq!(response.accepted, 1);
}

#[tokio::test]
async fn undecodable_bytes_are_an_invalid_argument() {
    let server = TestServer::start();
    let not_utf8: &[u8] = &[0x1a, 0x04, 0x0a, 0x02, 0xff, 0xfe]; // events: { event_name: "\xff\xfe" }
    let error = raw_call(&server, not_utf8).await;
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(error.message().contains("event_name"), "{}", error.message());
}

/// Sends bytes as the message of SendEvents. Returns the status.
async fn raw_call(server: &TestServer, message: &'static [u8]) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(server.channel().await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/millrace.v1.IngestService/SendEvents");
    client
        .unary(Request::new(bytes::Bytes::from_static(message)), path, RawCodec)
        .await
        .map(|_| ())
        .unwrap_err()
}
