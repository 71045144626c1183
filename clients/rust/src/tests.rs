//! The producer against a scripted server, for responses that a real server gives only after days, or never.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::proto::v1;
use server::ingest_service_server::{IngestService, IngestServiceServer};

#[expect(clippy::allow_attributes, unreachable_pub, reason = "generated code")]
mod server {
    include!(concat!(env!("OUT_DIR"), "/server/millrace.v1.rs"));
}

/// Acknowledges this many requests, then ends the stream when the next request arrives; immediately if `end_status` is
/// UNAVAILABLE, like a server that shuts down.
struct ScriptedStream {
    acknowledges: usize,
    end_status: Option<Status>,
}

/// A server that follows a script. Streams beyond the script acknowledge everything.
#[derive(Clone, Default)]
struct ScriptedServer(Arc<Mutex<ScriptState>>);

#[derive(Default)]
struct ScriptState {
    producer_responses: VecDeque<v1::GetProducerResponse>,
    scripted_streams: VecDeque<ScriptedStream>,
    /// The requests of each stream: sequence and start_new_numbering.
    streams: Vec<Vec<(u64, bool)>>,
    opened_at: Vec<Instant>,
}

impl ScriptedServer {
    fn on_get_producer(&self, producer: v1::GetProducerResponse) {
        self.0.lock().unwrap().producer_responses.push_back(producer);
    }

    fn on_stream(&self, acknowledges: usize, end_status: Option<Status>) {
        self.0.lock().unwrap().scripted_streams.push_back(ScriptedStream { acknowledges, end_status });
    }

    fn streams(&self) -> Vec<Vec<(u64, bool)>> {
        self.0.lock().unwrap().streams.clone()
    }

    /// Serves until the runtime of the test shuts down. Returns the URL.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(IngestServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        url
    }

    async fn producer(&self) -> Producer {
        ProducerConfig::new(self.serve().await).producer_id("p").batch_events(1).connect().await.unwrap()
    }
}

fn known_producer(last_durable_sequence: u64) -> v1::GetProducerResponse {
    v1::GetProducerResponse { known: true, last_durable_sequence, ..Default::default() }
}

fn status_with(code: Code) -> Option<Status> {
    Some(Status::new(code, "scripted"))
}

#[tonic::async_trait]
impl IngestService for ScriptedServer {
    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        assert!(request.metadata().contains_key("millrace-producer-id"), "for proxies");
        let number = {
            let mut state = self.0.lock().unwrap();
            state.streams.push(Vec::new());
            state.opened_at.push(Instant::now());
            state.streams.len() - 1
        };
        let stream_script = self.0.lock().unwrap().scripted_streams.pop_front();
        let (responses, response_stream) = mpsc::channel(100);
        let (script, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            let ScriptedStream { mut acknowledges, end_status } =
                stream_script.unwrap_or(ScriptedStream { acknowledges: usize::MAX, end_status: None });
            while let Some(Ok(request)) = requests.next().await {
                let received = (request.sequence, request.start_new_numbering);
                script.0.lock().unwrap().streams[number].push(received);
                if acknowledges == 0 {
                    if let Some(status) = end_status {
                        responses.send(Err(status)).await.ok();
                    }
                    return;
                }
                acknowledges -= 1;
                let accepted = request.events.len() as u64;
                let response =
                    v1::StreamEventsResponse { sequence: request.sequence, accepted, ..Default::default() };
                responses.send(Ok(response)).await.ok();
                if let Some(stopping) =
                    end_status.as_ref().filter(|end_status| end_status.code() == Code::Unavailable)
                    && acknowledges == 0
                {
                    responses.send(Err(stopping.clone())).await.ok();
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(response_stream))))
    }

    async fn get_producer(
        &self,
        request: Request<v1::GetProducerRequest>,
    ) -> Result<Response<v1::GetProducerResponse>, Status> {
        let producer_id = request.metadata().get("millrace-producer-id");
        assert_eq!(producer_id.unwrap(), request.get_ref().producer_id.as_str(), "for proxies");
        let producer = self.0.lock().unwrap().producer_responses.pop_front();
        Ok(Response::new(producer.ok_or_else(|| Status::unavailable("not in the script"))?))
    }

    async fn upload_events(
        &self,
        _: Request<Streaming<v1::UploadEventsRequest>>,
    ) -> Result<Response<v1::UploadEventsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn send_events(
        &self,
        _: Request<v1::SendEventsRequest>,
    ) -> Result<Response<v1::SendEventsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tokio::test]
async fn a_producer_forgotten_during_an_open_stream_starts_a_new_numbering() {
    let script = ScriptedServer::default();
    script.on_get_producer(known_producer(57));
    script.on_stream(1, status_with(Code::FailedPrecondition));
    script.on_get_producer(v1::GetProducerResponse::default());
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    producer.flush().await.unwrap();
    // A week passes, and the server forgets the producer.
    producer.send(v1::Event::default()).await.unwrap();
    producer.send(v1::Event::default()).await.unwrap();
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.acknowledged, totals.renumbered, totals.possible_duplicates), (3, 1, 0));
    let streams = script.streams();
    assert_eq!(streams[0][..2], [(58, false), (59, false)]);
    assert_eq!(streams[1], [(1, true), (2, false)]);
}

#[tokio::test]
async fn a_first_request_with_a_lost_ack_is_not_resent() {
    let script = ScriptedServer::default();
    script.on_get_producer(v1::GetProducerResponse::default());
    script.on_stream(0, None); // the stream ends without a response, but the request is stored
    script.on_get_producer(known_producer(1));
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    let totals = producer.flush().await.unwrap();
    assert_eq!((totals.acknowledged, totals.accepted, totals.renumbered), (1, 1, 0));
    producer.send(v1::Event::default()).await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(script.streams(), [vec![(1, true)], vec![(2, false)]]);
}

#[tokio::test]
async fn a_server_without_the_known_field_is_supported() {
    let script = ScriptedServer::default();
    let last_seen = Some(prost_types::Timestamp::default());
    let producer = v1::GetProducerResponse { last_durable_sequence: 7, last_seen, ..Default::default() };
    script.on_get_producer(producer);
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    producer.close().await.unwrap();
    assert_eq!(script.streams(), [vec![(8, false)]]);
}

#[tokio::test]
async fn the_retry_delay_of_the_server_is_honored() {
    let script = ScriptedServer::default();
    let retry_delay = Duration::from_millis(700);
    let full = ErrorDetails::with_retry_info(Some(retry_delay));
    script.on_get_producer(known_producer(0));
    script.on_stream(0, Some(Status::with_error_details(Code::ResourceExhausted, "full", full)));
    script.on_get_producer(known_producer(0));
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    producer.close().await.unwrap();
    let opened_at = script.0.lock().unwrap().opened_at.clone();
    assert_eq!(opened_at.len(), 2);
    // The rejection is later than the opening of the stream, so the lower bound holds on a machine of any speed.
    assert!(opened_at[1] - opened_at[0] >= retry_delay);
}

#[tokio::test]
async fn the_producer_fails_after_repeated_rejections() {
    // Like a server with a lower message limit: no retry delay.
    let script = ScriptedServer::default();
    for _ in 0..10 {
        script.on_get_producer(known_producer(0));
        script.on_stream(0, status_with(Code::ResourceExhausted));
    }
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    assert!(matches!(producer.flush().await, Err(ClientError::Rejected(_))));
    assert_eq!(script.streams().len(), 5);
}

#[tokio::test]
async fn large_events_are_batched_up_to_one_mebibyte() {
    let script = ScriptedServer::default();
    script.on_get_producer(known_producer(0));
    let producer = ProducerConfig::new(script.serve().await).batch_delay(Duration::from_secs(600));
    let producer = producer.connect().await.unwrap();
    let large = || v1::Event { event_name: "x".repeat(60_000), ..Default::default() };
    for _ in 0..18 {
        producer.send(large()).await.unwrap();
    }
    // The first request is full, so it is sent before the delay and without a flush.
    let mut totals = producer.totals();
    while totals.acknowledged == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        totals = producer.totals();
    }
    assert_eq!(totals.acknowledged, 18);
}

#[tokio::test]
async fn a_task_without_handles_does_not_reconnect() {
    let script = ScriptedServer::default();
    script.on_get_producer(known_producer(0));
    script.on_stream(1, status_with(Code::Unavailable));
    let producer = script.producer().await;
    let mut totals = producer.totals.clone();
    producer.send(v1::Event::default()).await.unwrap();
    producer.flush().await.unwrap();
    totals.wait_for(|totals| totals.reconnects == 1).await.unwrap();
    drop(producer);
    // The task owns the sender of the totals.
    let ended = async { while totals.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
}

#[tokio::test]
async fn close_ends_the_task_and_closes_the_clones() {
    let script = ScriptedServer::default();
    script.on_get_producer(known_producer(0));
    let producer = script.producer().await;
    let clone = producer.clone();
    clone.send(v1::Event::default()).await.unwrap();
    assert_eq!(producer.close().await.unwrap().acknowledged, 1);
    assert!(matches!(clone.send(v1::Event::default()).await, Err(ClientError::Closed)));
    assert!(matches!(clone.flush().await, Err(ClientError::Closed)));
    assert!(clone.totals.has_changed().is_err(), "the task, which owns the sender, has ended");
    assert!(matches!(clone.close().await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn close_returns_the_failure_of_the_task() {
    let script = ScriptedServer::default();
    script.on_get_producer(known_producer(0));
    script.on_stream(0, status_with(Code::InvalidArgument));
    let producer = script.producer().await;
    producer.send(v1::Event::default()).await.unwrap();
    assert!(matches!(producer.close().await, Err(ClientError::Rejected(_))));
}

#[tokio::test]
async fn an_unreachable_server_fails_the_connect() {
    let refused = ProducerConfig::new("http://127.0.0.1:1").connect().await.unwrap_err();
    assert!(matches!(refused, ClientError::Unavailable { .. }), "{refused}");
    let invalid = ProducerConfig::new("not a url").connect().await.unwrap_err();
    assert!(matches!(invalid, ClientError::InvalidUrl { .. }), "{invalid}");
}
