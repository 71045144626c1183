//! Producers that the server has forgotten, and how many it remembers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millrace::client::ProducerConfig;
use millrace::journal::{Journal, JournalConfig};
use millrace::proto::v1;
use millrace::writer::producers::MAX_PRODUCERS;
use millrace::writer::record::{Snapshot, kind};
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use crate::common::{Server, event, free_address, send};

/// The shortest time that a producer may be remembered.
const ONE_HOUR: (&str, &str) = ("MILLRACE_PRODUCER_IDLE_HOURS", "1");

/// Lets two hours pass, as far as the server of this folder can tell: its journal says that the producer's last request
/// was received two hours ago. The server is not running.
async fn let_two_hours_pass(data_dir: &Path, producer_id: &str, last_sequence: u64) {
    let (journal, recovery) = Journal::open(&data_dir.join("journal"), JournalConfig::default()).unwrap();
    assert!(recovery.last().is_some_and(|record| record.is_ok()), "the server has written something");
    let long_ago = jiff::Timestamp::now().as_millisecond() - 2 * 3_600_000;
    let producers = vec![(producer_id.to_owned(), last_sequence, long_ago)];
    for part in (Snapshot { producers, ..Snapshot::default() }).encode(1 << 20) {
        journal.submit(kind::SNAPSHOT, vec![Bytes::from(part)]).unwrap().await.unwrap();
    }
    journal.close().await.unwrap();
}

fn numbered(producer_id: &str, sequence: u64) -> v1::SendEventsRequest {
    v1::SendEventsRequest {
        producer_id: producer_id.into(),
        sequence,
        events: vec![event("numbered")],
        ..Default::default()
    }
}

fn data_dir() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_producer_that_was_quiet_for_longer_than_it_is_remembered_goes_on() {
    let address = free_address();
    let settings = [ONE_HOUR, ("MILLRACE_LISTEN", &address)];
    let folder = data_dir();
    let server = Server::start_on(Arc::clone(&folder), &settings);
    let producer =
        ProducerConfig::new(server.url()).producer_id("quiet").batch_events(1).connect().await.unwrap();
    for _ in 0..5 {
        producer.send(event("before")).await.unwrap();
    }
    assert_eq!(producer.flush().await.unwrap().accepted, 5);
    server.stop();
    let_two_hours_pass(folder.path(), "quiet", 5).await;

    let server = Server::start_on(folder, &settings);
    // Another's request: forgetting may be put off until the journal is written.
    server.ingest().await.send_events(send(vec![event("other")])).await.unwrap();
    for _ in 0..5 {
        producer.send(event("after")).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected, totals.duplicates), (10, 0, 0));
    assert_eq!((totals.renumbered, totals.maybe_doubled), (1, 0));
    server.wait_until_landed().await;
    let counts = "SELECT countIf(event_name = 'before'), countIf(event_name = 'after') FROM events";
    assert_eq!(server.sql(counts).await, "5\t5");
}

#[tokio::test]
async fn a_repeat_of_a_forgotten_producer_is_refused_and_not_written_twice() {
    let folder = data_dir();
    let server = Server::start_on(Arc::clone(&folder), &[ONE_HOUR]);
    server.ingest().await.send_events(numbered("p", 1)).await.unwrap();
    server.stop();
    let_two_hours_pass(folder.path(), "p", 1).await;

    // Also after a further restart, which finds the producer in no record.
    for _ in 0..2 {
        let server = Server::start_on(Arc::clone(&folder), &[ONE_HOUR]);
        let mut ingest = server.ingest().await;
        ingest.send_events(send(vec![event("other")])).await.unwrap();
        for sequence in [1, 2] {
            let refused = ingest.send_events(numbered("p", sequence)).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
            assert!(refused.message().contains("forgotten"), "{}", refused.message());
        }
        server.stop();
    }
    let server = Server::start_on(folder, &[ONE_HOUR]);
    let mut ingest = server.ingest().await;
    let asked = v1::GetProducerRequest { producer_id: "p".into() };
    let place = ingest.get_producer(asked.clone()).await.unwrap().into_inner();
    assert!(!place.known && place.last_seen.is_none() && place.last_durable_sequence == 0);
    let anew = |sequence| v1::SendEventsRequest { start_new_numbering: true, ..numbered("p", sequence) };
    let wrong = ingest.send_events(anew(2)).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong:?}");
    // The first request of the new numbering, whose acknowledgement is lost, twice.
    for (accepted, duplicates) in [(1, 0), (0, 1), (0, 1)] {
        let answer = ingest.send_events(anew(1)).await.unwrap().into_inner();
        assert_eq!((answer.accepted, answer.duplicates), (accepted, duplicates));
    }
    assert_eq!(ingest.send_events(numbered("p", 2)).await.unwrap().into_inner().accepted, 1);
    let place = ingest.get_producer(asked).await.unwrap().into_inner();
    assert!(place.known && place.last_durable_sequence == 2);
    server.wait_until_landed().await;
    let count = server.sql("SELECT countIf(event_name = 'numbered') FROM events").await;
    assert_eq!(count, "3", "once before it was forgotten, and twice since");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_junk_ids_forget_nobody_who_is_active() {
    const CALLERS: u64 = 100;
    let server = Server::start_with(&[("MILLRACE_LOG", "info")]);
    let mut ingest = server.ingest().await;
    for n in 0..10 {
        ingest.send_events(numbered(&format!("active-{n}"), 1)).await.unwrap();
    }
    // Without events: what it is about is who sends.
    let junk = |n: u64| v1::SendEventsRequest { events: Vec::new(), ..numbered(&format!("junk-{n}"), 1) };
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let mut ingest = ingest.clone();
            tokio::spawn(async move {
                let mut refused = Vec::new();
                for n in 0..MAX_PRODUCERS as u64 / CALLERS {
                    refused.extend(ingest.send_events(junk(n * CALLERS + caller)).await.err());
                }
                refused
            })
        })
        .collect();
    let mut refused = Vec::new();
    for caller in callers {
        refused.extend(caller.await.unwrap());
    }
    assert_eq!(refused.len(), 10, "the active ones keep their places");
    for refused in refused {
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        assert!(refused.get_error_details().retry_info().is_some_and(|info| info.retry_delay.is_some()));
    }
    for n in 0..10 {
        let repeated = ingest.send_events(numbered(&format!("active-{n}"), 1)).await.unwrap().into_inner();
        assert_eq!((repeated.accepted, repeated.duplicates), (0, 1));
        ingest.send_events(numbered(&format!("active-{n}"), 2)).await.unwrap();
    }
    // Who has no number is not affected.
    ingest.send_events(send(vec![event("plain")])).await.unwrap();

    // All of it again after a crash.
    let folder = server.folder();
    drop(server);
    let server = Server::start_on(folder, &[("MILLRACE_LOG", "info")]);
    let mut ingest = server.ingest().await;
    assert_eq!(
        ingest.send_events(junk(MAX_PRODUCERS as u64)).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    for n in 0..10 {
        ingest.send_events(numbered(&format!("active-{n}"), 3)).await.unwrap();
    }
}
