//! Forgotten producers, and the limit on remembered ones.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millrace::internals::journal::{Journal, JournalConfig};
use millrace::internals::writer::producers::MAX_PRODUCERS;
use millrace::internals::writer::record::{Snapshot, kind};
use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use crate::common::{TestServer, event, events_request, free_address};

/// The minimum of the setting.
const ONE_HOUR: (&str, &str) = ("MILLRACE_PRODUCER_IDLE_HOURS", "1");

/// Makes the producer's last request two hours older, by appending a snapshot to the journal. The server must not be
/// running.
async fn age_producer_by_two_hours(data_dir: &Path, producer_id: &str, last_sequence: u64) {
    let (journal, recovery) = Journal::open(&data_dir.join("journal"), JournalConfig::default()).unwrap();
    assert!(recovery.last().is_some_and(|record| record.is_ok()), "the journal is empty");
    let long_ago = jiff::Timestamp::now().as_millisecond() - 2 * 3_600_000;
    let producers = vec![(producer_id.to_owned(), last_sequence, long_ago)];
    for part in (Snapshot { producers, ..Snapshot::default() }).encode(1 << 20) {
        journal.submit(kind::SNAPSHOT, vec![Bytes::from(part)]).unwrap().await.unwrap();
    }
    journal.close().await.unwrap();
}

fn numbered_request(producer_id: &str, sequence: u64) -> v1::SendEventsRequest {
    v1::SendEventsRequest {
        producer_id: producer_id.into(),
        sequence,
        events: vec![event("numbered")],
        ..Default::default()
    }
}

fn temp_data_dir() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_forgotten_producer_resumes() {
    let address = free_address();
    let settings = [ONE_HOUR, ("MILLRACE_LISTEN", &address)];
    let folder = temp_data_dir();
    let server = TestServer::start_on(Arc::clone(&folder), &settings);
    let producer =
        ProducerConfig::new(server.url()).producer_id("quiet").batch_events(1).connect().await.unwrap();
    for _ in 0..5 {
        producer.send(event("before")).await.unwrap();
    }
    assert_eq!(producer.flush().await.unwrap().accepted, 5);
    server.stop();
    age_producer_by_two_hours(folder.path(), "quiet", 5).await;

    let server = TestServer::start_on(folder, &settings);
    // A request of another producer: the server may forget only when it writes to the journal.
    server.ingest().await.send_events(events_request(vec![event("other")])).await.unwrap();
    for _ in 0..5 {
        producer.send(event("after")).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected, totals.duplicates), (10, 0, 0));
    assert_eq!((totals.renumbered, totals.possible_duplicates), (1, 0));
    server.wait_until_landed().await;
    let counts = "SELECT countIf(event_name = 'before'), countIf(event_name = 'after') FROM events";
    assert_eq!(server.sql(counts).await, "5\t5");
}

#[tokio::test]
async fn a_repeat_from_a_forgotten_producer_is_rejected() {
    let folder = temp_data_dir();
    let server = TestServer::start_on(Arc::clone(&folder), &[ONE_HOUR]);
    server.ingest().await.send_events(numbered_request("p", 1)).await.unwrap();
    server.stop();
    age_producer_by_two_hours(folder.path(), "p", 1).await;

    // Also after another restart, when no record has the producer.
    for _ in 0..2 {
        let server = TestServer::start_on(Arc::clone(&folder), &[ONE_HOUR]);
        let mut ingest = server.ingest().await;
        ingest.send_events(events_request(vec![event("other")])).await.unwrap();
        for sequence in [1, 2] {
            let error = ingest.send_events(numbered_request("p", sequence)).await.unwrap_err();
            assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
            assert!(error.message().contains("forgotten"), "{}", error.message());
        }
        server.stop();
    }
    let server = TestServer::start_on(folder, &[ONE_HOUR]);
    let mut ingest = server.ingest().await;
    let request = v1::GetProducerRequest { producer_id: "p".into() };
    let producer = ingest.get_producer(request.clone()).await.unwrap().into_inner();
    assert!(!producer.known && producer.last_seen.is_none() && producer.last_durable_sequence == 0);
    let new_numbering =
        |sequence| v1::SendEventsRequest { start_new_numbering: true, ..numbered_request("p", sequence) };
    let error = ingest.send_events(new_numbering(2)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    // The first request of the new numbering, and two retries after lost acknowledgements.
    for (accepted, duplicates) in [(1, 0), (0, 1), (0, 1)] {
        let response = ingest.send_events(new_numbering(1)).await.unwrap().into_inner();
        assert_eq!((response.accepted, response.duplicates), (accepted, duplicates));
    }
    assert_eq!(ingest.send_events(numbered_request("p", 2)).await.unwrap().into_inner().accepted, 1);
    let producer = ingest.get_producer(request).await.unwrap().into_inner();
    assert!(producer.known && producer.last_durable_sequence == 2);
    server.wait_until_landed().await;
    let count = server.sql("SELECT countIf(event_name = 'numbered') FROM events").await;
    assert_eq!(count, "3", "one event from before, two since");
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_producer_ids_do_not_evict_active_producers() {
    const CALLERS: u64 = 100;
    let server = TestServer::start_with(&[("MILLRACE_LOG", "info")]);
    let mut ingest = server.ingest().await;
    for n in 0..10 {
        ingest.send_events(numbered_request(&format!("active-{n}"), 1)).await.unwrap();
    }
    // Without events, to be fast.
    let junk =
        |n: u64| v1::SendEventsRequest { events: Vec::new(), ..numbered_request(&format!("junk-{n}"), 1) };
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let mut ingest = ingest.clone();
            tokio::spawn(async move {
                let mut errors = Vec::new();
                for n in 0..MAX_PRODUCERS as u64 / CALLERS {
                    errors.extend(ingest.send_events(junk(n * CALLERS + caller)).await.err());
                }
                errors
            })
        })
        .collect();
    let mut errors = Vec::new();
    for caller in callers {
        errors.extend(caller.await.unwrap());
    }
    assert_eq!(errors.len(), 10, "the active ones are not evicted");
    for error in errors {
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.get_error_details().retry_info().is_some_and(|info| info.retry_delay.is_some()));
    }
    for n in 0..10 {
        let repeated =
            ingest.send_events(numbered_request(&format!("active-{n}"), 1)).await.unwrap().into_inner();
        assert_eq!((repeated.accepted, repeated.duplicates), (0, 1));
        ingest.send_events(numbered_request(&format!("active-{n}"), 2)).await.unwrap();
    }
    // Requests without a producer id are unaffected.
    ingest.send_events(events_request(vec![event("plain")])).await.unwrap();

    // The same after a crash.
    let folder = server.shared_data_dir();
    drop(server);
    let server = TestServer::start_on(folder, &[("MILLRACE_LOG", "info")]);
    let mut ingest = server.ingest().await;
    assert_eq!(
        ingest.send_events(junk(MAX_PRODUCERS as u64)).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    for n in 0..10 {
        ingest.send_events(numbered_request(&format!("active-{n}"), 3)).await.unwrap();
    }
}
