//! Explore over random events equals plain Rust over the same events, and the people behind each figure are as many as it says.

mod agreement;
mod data;
mod funnels;
mod limits;
mod paths;
mod retentions;
mod trends;
mod watching;

use std::sync::Arc;

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tonic::transport::Channel;
use v1::explore_service_client::ExploreServiceClient;

use crate::common::TestServer;
use data::{Event, Model, ZONE};

type Client = ExploreServiceClient<Channel>;

/// A server with events of one project, after another project has sent others.
struct Explored {
    server: TestServer,
    client: Client,
    model: Model,
    random: StdRng,
}

/// A different seed each time, which is printed; EXPLORE_SEED repeats a run.
fn seed() -> u64 {
    let seed = std::env::var("EXPLORE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("EXPLORE_SEED={seed}");
    seed
}

impl Explored {
    async fn start() -> Self {
        let mut random = StdRng::seed_from_u64(seed());
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let start = |project: &str| {
            let env = [("MILLRACE_PROJECT", project), ("RETENTION_DAYS", "400"), ("PANEL_CACHE_MS", "0")];
            TestServer::start_on(Arc::clone(&folder), &env)
        };
        let other = start("other");
        send(&other, &data::events(&mut random, 60)).await;
        assert!(other.stop().0.success());
        let server = start("alpha");
        let mut events = data::events(&mut random, 250);
        // A tenth arrives late: in a batch of its own, after all others.
        let late = events.split_off(events.len() * 9 / 10);
        send(&server, &events).await;
        send(&server, &late).await;
        events.extend(late);
        let client = ExploreServiceClient::new(server.channel().await);
        Self { server, client, model: Model::new(events), random }
    }
}

async fn send(server: &TestServer, events: &[Event]) {
    let producer = ProducerConfig::new(server.url()).connect().await.unwrap();
    for event in events {
        producer.send(event.message()).await.unwrap();
    }
    let totals = producer.close().await.unwrap();
    assert_eq!((totals.accepted, totals.rejected), (events.len() as u64, 0));
    server.wait_until_landed().await;
}

fn at(second: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: second, nanos: 0 })
}

/// A range around the change of the clock: not all of it.
fn range() -> Option<v1::QueryRange> {
    let change = data::clock_change() / 1_000;
    let interval = v1::Interval { start: at(change - 3 * 86_400), end: at(change + 2 * 86_400 + 7_200) };
    Some(v1::QueryRange { interval: Some(interval), time_zone: Some(ZONE.to_owned()), ..Default::default() })
}

/// The range of a result, in milliseconds.
fn span(context: &v1::PanelContext) -> std::ops::Range<i64> {
    let millis = |time: &Option<prost_types::Timestamp>| time.unwrap().seconds * 1_000;
    millis(&context.range_start)..millis(&context.range_end)
}

/// The ids of all people behind a figure, by pages. Also checks the total.
async fn people(client: &mut Client, figure: v1::list_people_request::Figure) -> Vec<String> {
    let mut ids = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListPeopleRequest { figure: Some(figure.clone()), page_size: Some(7), page_token };
        let page = client.list_people(request).await.unwrap().into_inner();
        ids.extend(page.people.into_iter().map(|person| person.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            assert_eq!(page.total, ids.len() as u64);
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
            return ids;
        }
    }
}
