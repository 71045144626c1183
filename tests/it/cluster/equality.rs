//! A cluster answers like one engine: three servers on three shards get a third of the events each, one server with its embedded
//! engine gets all of them, and both get the same queries.
//!
//! `make equality-test EVENTS=10000000` sends more events, and asks Explore fewer questions: the emulation transfers the whole table
//! for each.

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace_client::ProducerConfig;
use millrace_client::proto::v1;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use v1::catalogue_service_client::CatalogueServiceClient;
use v1::dashboard_service_client::DashboardServiceClient;
use v1::event::PropertiesKind;
use v1::events_service_client::EventsServiceClient;
use v1::explore_service_client::ExploreServiceClient;
use v1::list_people_request::Figure;
use v1::people_service_client::PeopleServiceClient;

use crate::common::emulation::{CLUSTER, EmulatedCluster};
use crate::common::{TIMEOUT, TestClickHouse, TestServer};
use crate::panels::{filter, frame_request};
use crate::people::DIFFERENCES;
use crate::replicas::PASSWORD;

const SHARDS: usize = 3;
/// In which the events are sent: each server has at least so many batches.
const ROUNDS: u64 = 6;
const DAYS: i64 = 5;
const DAY_MS: i64 = 86_400_000;
/// Above it Explore gets a few questions only.
const SMALL: u64 = 100_000;
/// Sums are added up in another order.
const ROUNDING: f64 = 1e-9;
/// Percentiles are estimates, which depend on the order of the events.
const PERCENTILE: f64 = 0.01;

/// Visits of the last days, in no order. No two events have the same time, so the order of every person's events is certain.
struct Traffic {
    random: StdRng,
    now_ms: i64,
    times: HashSet<i64>,
    events: u64,
}

impl Traffic {
    fn visit(&mut self, users: u64) -> Vec<v1::Event> {
        let random = &mut self.random;
        let age_ms = match random.random_bool(0.3) {
            true => random.random_range(1_000..3 * 3_600_000),
            false => random.random_range(1_000..DAYS * DAY_MS),
        };
        let mut time = self.now_ms - age_ms;
        let session = match random.random_range(0..20) {
            0 => String::new(),
            _ => format!("session {}", random.random_range(0..users * 2)),
        };
        let user = format!("user {}", random.random_range(0..users));
        let logs_in_at = random.random_range(0..10);
        let country = *["ES", "DE", "US", "US", ""].choose(random).unwrap();
        let device = *["mobile", "desktop", ""].choose(random).unwrap();
        let mut events = Vec::new();
        for step in 0..random.random_range(1..10) {
            while time >= self.now_ms || !self.times.insert(time) {
                time -= 1;
            }
            let name = match step == logs_in_at {
                true => "identify",
                false => *NAMES.choose(random).unwrap(),
            };
            let number = self.events + events.len() as u64;
            let properties = format!(
                r#"{{"n":{number},"page_url":"/{}","feature":"f{}","duration_ms":{},"plan":{},"amount":{}}}"#,
                random.random_range(0..30),
                random.random_range(0..15),
                random.random_range(0..9_000),
                ["\"free\"", "\"pro\"", "3", "null"].choose(random).unwrap(),
                random.random_range(-5..100),
            );
            events.push(v1::Event {
                event_name: name.to_owned(),
                event_id: Some(uuid::Uuid::from_u128(u128::from(number) + 1).to_string()),
                timestamp: Some(millrace::internals::proto::timestamp_from_millis(time)),
                session_id: session.clone(),
                user_id: (step >= logs_in_at || session.is_empty()).then(|| user.clone()),
                country_code: country.to_owned(),
                device_type: device.to_owned(),
                properties_kind: Some(PropertiesKind::PropertiesJson(properties)),
            });
            time += random.random_range(1..1_200_000);
        }
        self.events += events.len() as u64;
        events
    }
}

const NAMES: [&str; 7] = [
    "page_view",
    "page_view",
    "page_view",
    "feature_used",
    "signup_started",
    "signup_completed",
    "error_occurred",
];

/// One of the two that get the same queries.
struct Side {
    dashboard: DashboardServiceClient<Channel>,
    explore: ExploreServiceClient<Channel>,
    people: PeopleServiceClient<Channel>,
    catalogue: CatalogueServiceClient<Channel>,
    events: EventsServiceClient<Channel>,
}

impl Side {
    async fn of(server: &TestServer) -> Self {
        const MAX_BYTES: usize = 64 << 20;
        let channel = server.channel().await;
        Self {
            dashboard: server.dashboard().await,
            explore: ExploreServiceClient::new(channel.clone()).max_decoding_message_size(MAX_BYTES),
            people: PeopleServiceClient::new(channel.clone()),
            catalogue: CatalogueServiceClient::new(channel.clone()),
            events: EventsServiceClient::new(channel).max_decoding_message_size(MAX_BYTES),
        }
    }
}

struct Both {
    cluster: Side,
    single: Side,
    /// The range of all queries ends here, in seconds since 1970 UTC: a whole quarter hour that is over.
    end: i64,
    /// The emulation transfers whole tables: with many events, queries may exceed their time there.
    may_time_out: bool,
    compared: AtomicUsize,
    timed_out: AtomicUsize,
}

/// The lines of a message, without what is about its computation.
fn lines(message: &impl Debug) -> Vec<String> {
    const NOT_COMPARED: [&str; 4] = ["computed_at: ", "cost: ", "received_at: ", "next_page_token: "];
    let text = format!("{message:#?}");
    let mut lines = text.lines();
    let mut compared = Vec::new();
    while let Some(line) = lines.next() {
        let content = line.trim_start();
        if !NOT_COMPARED.iter().any(|field| content.starts_with(field)) {
            compared.push(line.to_owned());
        } else if content.ends_with(['(', '{', '[']) {
            let indent = &line[..line.len() - content.len()];
            lines.find(|line| line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' ')));
        }
    }
    compared
}

/// Whether two lines are equal, or numbers that differ by no more than a share.
fn is_same(line: &str, other: &str, tolerance: f64) -> bool {
    let number = |line: &str| {
        let value = line.trim().trim_end_matches(',').rsplit(' ').next()?.to_owned();
        value.contains('.').then(|| value.parse::<f64>().ok())?
    };
    line == other
        || number(line)
            .zip(number(other))
            .is_some_and(|(a, b)| (a - b).abs() <= tolerance * a.abs().max(b.abs()))
}

impl Both {
    /// Asks both, and panics if they differ. Returns both responses, or `None` if one side has timed out and may.
    async fn same<R: Debug>(
        &self,
        name: impl Display,
        tolerance: f64,
        ask: impl AsyncFn(&Side) -> Result<Response<R>, Status>,
    ) -> Option<[R; 2]> {
        let responses = self.ask_both(&name, ask).await?;
        self.compare(name, tolerance, &responses);
        Some(responses)
    }

    async fn ask_both<R>(
        &self,
        name: impl Display,
        ask: impl AsyncFn(&Side) -> Result<Response<R>, Status>,
    ) -> Option<[R; 2]> {
        let mut responses = Vec::new();
        let mut times = Vec::new();
        for (side, kind) in [(&self.cluster, "cluster"), (&self.single, "single")] {
            let asked_at = Instant::now();
            let response = match ask(side).await {
                Ok(response) => response,
                Err(error) if self.may_time_out && is_over_budget(&error) => {
                    println!("{name}: NOT COMPARED: {kind}: {}", error.message());
                    self.timed_out.fetch_add(1, Relaxed);
                    return None;
                }
                Err(error) => panic!("{name} of the {kind}: {error}"),
            };
            times.push(asked_at.elapsed());
            responses.push(response.into_inner());
        }
        println!("{name}: {:.0?} on the cluster, {:.0?} on one engine", times[0], times[1]);
        responses.try_into().ok()
    }

    fn compare<R: Debug>(&self, name: impl Display, tolerance: f64, responses: &[R; 2]) {
        let [cluster, single] = responses.each_ref().map(lines);
        assert!(cluster.len() > 5, "{name}: nothing is compared: {cluster:?}");
        let difference = cluster.iter().zip(&single).position(|(a, b)| !is_same(a, b, tolerance));
        let difference =
            difference.or((cluster.len() != single.len()).then(|| cluster.len().min(single.len())));
        if let Some(at) = difference {
            let around = |lines: &[String]| {
                lines[at.saturating_sub(25).min(lines.len())..(at + 8).min(lines.len())].join("\n")
            };
            panic!("{name}: the cluster's\n{}\nis, on one engine,\n{}", around(&cluster), around(&single));
        }
        self.compared.fetch_add(1, Relaxed);
    }

    fn range(&self, hours: i64) -> Option<v1::QueryRange> {
        Some(v1::QueryRange { interval: self.interval(hours), ..Default::default() })
    }

    /// The last hours before the end.
    fn interval(&self, hours: i64) -> Option<v1::Interval> {
        Some(v1::Interval { start: at(self.end - hours * 3_600), end: at(self.end) })
    }

    async fn panels(&self) {
        let filters = [
            vec![],
            vec![filter("country_code", &["US", "DE"])],
            // Not in the rollup: from the events.
            vec![filter("country_code", &["US"]), filter("device_type", &["mobile"])],
        ];
        let list = self.single.dashboard.clone().list_panels(v1::ListPanelsRequest {}).await.unwrap();
        let panels = list.into_inner().panels;
        assert_eq!(panels.len(), 8);
        for (turn, (hours, zone)) in
            [(1, "UTC"), (24, "Europe/Madrid"), (24 * DAYS, "Asia/Kathmandu")].into_iter().enumerate()
        {
            for (index, filters) in filters.iter().enumerate() {
                // Each range without a filter, the others with one range each.
                if index > 0 && index != turn {
                    continue;
                }
                for panel in &panels {
                    let request = v1::QueryPanelRequest {
                        interval: self.interval(hours),
                        time_zone: Some(zone.to_owned()),
                        filters: filters.clone(),
                        ..frame_request(&panel.name, turn)
                    };
                    let name = format!("{} of {hours} hours, {} filters", panel.name, filters.len());
                    self.same_panel(&name, &request).await;
                }
            }
        }
    }

    /// Some figures are about the last minutes: if the minute has turned between the two, both are asked again.
    async fn same_panel(&self, name: &str, request: &v1::QueryPanelRequest) {
        const ATTEMPTS: usize = 5;
        let minute = || jiff::Timestamp::now().as_second() / 60;
        for attempt in 1..=ATTEMPTS {
            let asked_in = minute();
            let ask = async |side: &Side| side.dashboard.clone().query_panel(request.clone()).await;
            let Some(responses) = self.ask_both(name, ask).await else { return };
            if minute() == asked_in || attempt == ATTEMPTS {
                return self.compare(name, ROUNDING, &responses);
            }
        }
    }

    /// The times of the panels of 24 hours, as the page asks for them.
    async fn measure_panels(&self, rounds: usize) {
        let mut quantiles = Vec::new();
        for (kind, side) in [("cluster", &self.cluster), ("one engine", &self.single)] {
            let mut times = Vec::new();
            for round in 0..rounds {
                for panel in crate::panels::PANELS {
                    let request =
                        v1::QueryPanelRequest { interval: self.interval(24), ..frame_request(panel, round) };
                    let asked_at = Instant::now();
                    let response = side.dashboard.clone().query_panel(request).await;
                    if let Err(error) = response {
                        assert!(self.may_time_out && is_over_budget(&error), "{error}");
                    }
                    times.push(asked_at.elapsed().as_secs_f64() * 1e3);
                }
            }
            times.sort_by(f64::total_cmp);
            let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
            println!("panels of 24 hours on the {kind}: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
            quantiles.push([at(0.5), at(0.99)]);
        }
        let ratio = |index: usize| quantiles[0][index] / quantiles[1][index];
        println!("panels of 24 hours, cluster to one engine: p50 {:.2}, p99 {:.2}", ratio(0), ratio(1));
    }

    fn trend(&self, aggregation: v1::Aggregation, hours: i64, breakdown: &[&str]) -> v1::QueryTrendRequest {
        use v1::Aggregation as A;
        let needs_property = !matches!(
            aggregation,
            A::Events | A::Visitors | A::Sessions | A::EventsPerVisitor | A::UnlinkedVisitors
        );
        v1::QueryTrendRequest {
            series: vec![v1::TrendSeries {
                event_name: "page_view".to_owned(),
                aggregation: aggregation.into(),
                property: if needs_property { "amount".to_owned() } else { String::new() },
                filter: None,
            }],
            range: self.range(hours),
            breakdown: breakdown.iter().map(|field| (*field).to_owned()).collect(),
            limit: Some(50),
            ..Default::default()
        }
    }

    async fn same_trend(&self, name: impl Display, tolerance: f64, request: &v1::QueryTrendRequest) {
        let ask = async |side: &Side| side.explore.clone().query_trend(request.clone()).await;
        let Some([response, _]) = self.same(format!("trend, {name}"), tolerance, ask).await else { return };
        assert!(response.lines.iter().any(|line| line.total.is_some_and(|total| total.value.is_some())));
    }

    async fn trends(&self, is_small: bool) {
        use v1::Aggregation as A;
        let all = [
            (A::Events, ROUNDING),
            (A::Visitors, ROUNDING),
            (A::Sessions, ROUNDING),
            (A::EventsPerVisitor, ROUNDING),
            (A::Sum, ROUNDING),
            (A::Average, ROUNDING),
            (A::Min, ROUNDING),
            (A::Max, ROUNDING),
            (A::P50, PERCENTILE),
            (A::P90, PERCENTILE),
            (A::P95, PERCENTILE),
            (A::P99, PERCENTILE),
            (A::UnlinkedVisitors, ROUNDING),
        ];
        for (index, (aggregation, tolerance)) in all.into_iter().enumerate() {
            if !is_small && !matches!(aggregation, A::Events | A::Visitors | A::Sum) {
                continue;
            }
            // The breakdowns alternate: a column of the rollup, a property, both.
            let breakdowns: [&[&str]; 3] = [&["country_code"], &["plan"], &["plan", "device_type"]];
            let breakdown = breakdowns[index % 3];
            let plain = self.trend(aggregation, 24, &[]);
            self.same_trend(format_args!("{aggregation:?}"), tolerance, &plain).await;
            if is_small {
                let broken_down = self.trend(aggregation, 24 * DAYS, breakdown);
                self.same_trend(format_args!("{aggregation:?} by {breakdown:?}"), tolerance, &broken_down)
                    .await;
            }
        }
        let mut formula = self.trend(A::Events, 24, &["country_code"]);
        formula.series[0].event_name = "error_occurred".to_owned();
        formula.series.push(v1::TrendSeries { aggregation: A::Visitors.into(), ..Default::default() });
        formula.formula = "A / B".to_owned();
        formula.compare = v1::Compare::PreviousPeriod.into();
        self.same_trend("a formula", ROUNDING, &formula).await;
        if is_small {
            let did = v1::DidEvent {
                event_name: "signup_completed".to_owned(),
                times: Some(2),
                ..Default::default()
            };
            let condition = v1::event_filter::Condition::Did(Box::new(did));
            let mut filtered = self.trend(A::Visitors, 24 * DAYS, &[]);
            filtered.filter = Some(v1::EventFilter { condition: Some(condition) });
            self.same_trend("of those who did", ROUNDING, &filtered).await;
        }
    }

    fn funnel(&self, order: v1::FunnelOrder) -> v1::QueryFunnelRequest {
        let steps = ["page_view", "signup_started", "signup_completed"];
        v1::QueryFunnelRequest {
            steps: steps.into_iter().map(step).collect(),
            order: order.into(),
            window: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
            range: self.range(24 * DAYS),
            ..Default::default()
        }
    }

    async fn funnels(&self, is_small: bool) {
        let mut requests = vec![("in sequence", self.funnel(v1::FunnelOrder::Sequential))];
        if is_small {
            requests.push(("strict", self.funnel(v1::FunnelOrder::Strict)));
            requests.push(("in any order", self.funnel(v1::FunnelOrder::Any)));
            let exclusion = v1::FunnelExclusion {
                event_name: "error_occurred".to_owned(),
                from_step: 1,
                to_step: 2,
                ..Default::default()
            };
            let broken_down = v1::QueryFunnelRequest {
                breakdown: "country_code".to_owned(),
                exclusions: vec![exclusion],
                bucket: v1::Bucket::Day.into(),
                ..self.funnel(v1::FunnelOrder::Sequential)
            };
            requests.push(("by country", broken_down));
        }
        for (name, request) in requests {
            let ask = async |side: &Side| side.explore.clone().query_funnel(request.clone()).await;
            let Some([response, _]) = self.same(format!("funnel, {name}"), ROUNDING, ask).await else {
                continue;
            };
            assert!(response.overall.unwrap().steps[1].count > 10);
        }
    }

    async fn retention(&self, is_small: bool) {
        use v1::{RetentionBasis as Basis, RetentionCriterion as Criterion, RetentionKind as Kind};
        let kinds = [
            (Kind::FirstTime, Criterion::On, Basis::Calendar, ""),
            (Kind::Recurring, Criterion::OnOrAfter, Basis::Calendar, "country_code"),
            (Kind::FirstTime, Criterion::OnOrAfter, Basis::Rolling, ""),
            (Kind::Recurring, Criterion::On, Basis::Rolling, ""),
        ];
        for (kind, criterion, basis, breakdown) in kinds.into_iter().take(if is_small { 4 } else { 1 }) {
            let request = self.retention_of(kind, criterion, basis, breakdown);
            let ask = async |side: &Side| side.explore.clone().query_retention(request.clone()).await;
            let name = format!("retention, {kind:?} {criterion:?} {basis:?} {breakdown}");
            let Some([response, _]) = self.same(name, ROUNDING, ask).await else { continue };
            let cohorts = response.overall.unwrap().cohorts;
            assert!(cohorts.iter().any(|cohort| cohort.visitors > 10), "{cohorts:?}");
        }
    }

    fn retention_of(
        &self,
        kind: v1::RetentionKind,
        criterion: v1::RetentionCriterion,
        basis: v1::RetentionBasis,
        breakdown: &str,
    ) -> v1::QueryRetentionRequest {
        v1::QueryRetentionRequest {
            start: Some(step("page_view")),
            r#return: Some(step("feature_used")),
            period: v1::RetentionPeriod::Day.into(),
            periods: Some(DAYS as u32),
            kind: kind.into(),
            criterion: criterion.into(),
            basis: basis.into(),
            breakdown: breakdown.to_owned(),
            time_zone: Some("Europe/Madrid".to_owned()),
            end: at(self.end),
            ..Default::default()
        }
    }

    async fn paths(&self, is_small: bool) {
        let requests =
            [("page_view", false, ""), ("signup_completed", true, ""), ("page_view", false, "page_url")];
        for (event, before, field) in requests.into_iter().take(if is_small { 3 } else { 1 }) {
            let request = v1::QueryPathsRequest {
                event: Some(step(event)),
                before,
                field: field.to_owned(),
                steps: Some(3),
                limit: Some(200),
                range: self.range(24),
                ..Default::default()
            };
            let ask = async |side: &Side| side.explore.clone().query_paths(request.clone()).await;
            let name = format!("paths, {event} {field}");
            let Some([response, _]) = self.same(name, ROUNDING, ask).await else { continue };
            assert!(response.paths > 10);
        }
    }

    /// The people behind figures, and each of some.
    async fn people(&self) {
        let trend = v1::TrendFigure {
            query: Some(self.trend(v1::Aggregation::Visitors, 24, &[])),
            ..Default::default()
        };
        let funnel = |dropped| {
            let query = Some(self.funnel(v1::FunnelOrder::Sequential));
            Figure::Funnel(v1::FunnelFigure { query, step: 2, dropped, ..Default::default() })
        };
        let mut ids = Vec::new();
        for (name, figure) in
            [("a trend", Figure::Trend(trend)), ("a step", funnel(false)), ("those who left", funnel(true))]
        {
            let request =
                v1::ListPeopleRequest { figure: Some(figure), page_size: Some(500), ..Default::default() };
            let ask = async |side: &Side| side.explore.clone().list_people(request.clone()).await;
            let name = format!("people of {name}");
            let Some([response, _]) = self.same(name, ROUNDING, ask).await else { continue };
            assert!(response.total > 10);
            ids.extend(response.people.into_iter().step_by(401).map(|person| person.id));
        }
        let request = v1::SearchPeopleRequest { id_prefix: "user 1".to_owned(), ..Default::default() };
        let ask = async |side: &Side| side.people.clone().search_people(request.clone()).await;
        if let Some([response, _]) = self.same("search of people", 0.0, ask).await {
            ids.extend(response.people.into_iter().take(2).map(|person| person.id));
        }
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let request = v1::GetPersonRequest { id: id.clone() };
            let ask = async |side: &Side| side.people.clone().get_person(request.clone()).await;
            self.same(format!("person {id}"), 0.0, ask).await;
            let request = v1::ListSessionsRequest { id: id.clone(), ..Default::default() };
            let ask = async |side: &Side| side.people.clone().list_sessions(request.clone()).await;
            self.same(format!("sessions of {id}"), 0.0, ask).await;
            let request = v1::GetTimelineRequest { id: id.clone(), ..Default::default() };
            let ask = async |side: &Side| side.people.clone().get_timeline(request.clone()).await;
            self.same(format!("timeline of {id}"), 0.0, ask).await;
        }
    }

    async fn search(&self) {
        for field in ["country_code", "plan"] {
            let values = vec!["US".to_owned(), "pro".to_owned()];
            let condition = v1::FieldCondition { field: field.to_owned(), values, ..Default::default() };
            let condition = v1::event_filter::Condition::Field(condition);
            let request = v1::SearchEventsRequest {
                filter: Some(v1::EventFilter { condition: Some(condition) }),
                range: self.range(24 * DAYS),
                page_size: Some(200),
                page_token: String::new(),
            };
            let ask = async |side: &Side| side.events.clone().search_events(request.clone()).await;
            let name = format!("search by {field}");
            let Some([first, of_single]) = self.same(name, 0.0, ask).await else { continue };
            assert_eq!(first.events.len(), 200);
            let tokens = [first.next_page_token, of_single.next_page_token];
            let ask = async |side: &Side| {
                let is_single = std::ptr::eq(side, &self.single);
                let page_token = tokens[usize::from(is_single)].clone();
                let request = v1::SearchEventsRequest { page_token, ..request.clone() };
                side.events.clone().search_events(request).await
            };
            self.same(format!("search by {field}, second page"), 0.0, ask).await;
        }
    }

    async fn catalogue(&self, is_small: bool) {
        let names = v1::ListEventNamesRequest { days: 7, ..Default::default() };
        let ask = async |side: &Side| side.catalogue.clone().list_event_names(names.clone()).await;
        self.same("names of events", 0.0, ask).await;
        for field in ["country_code", "page_url", "plan"] {
            let values = v1::ListValuesRequest {
                event_name: "page_view".to_owned(),
                field: field.to_owned(),
                days: 7,
                ..Default::default()
            };
            // Of a property it reads as many of the newest events as it may: the same ones, but their number is of the minute.
            if field != "plan" || is_small {
                let ask = async |side: &Side| {
                    let mut response = side.catalogue.clone().list_values(values.clone()).await?;
                    // The time of the query.
                    response.get_mut().end = None;
                    Ok(response)
                };
                self.same(format!("values of {field}"), 0.0, ask).await;
            }
        }
        if is_small {
            let properties = v1::ListPropertiesRequest {
                event_name: "page_view".to_owned(),
                days: 7,
                ..Default::default()
            };
            let ask = async |side: &Side| side.catalogue.clone().list_properties(properties.clone()).await;
            self.same("properties", 0.0, ask).await;
        }
    }
}

/// Whether a query has exceeded its time or what it may read.
fn is_over_budget(error: &Status) -> bool {
    [Code::DeadlineExceeded, Code::ResourceExhausted].contains(&error.code())
}

fn at(second: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: second, nanos: 0 })
}

fn step(name: &str) -> v1::FunnelStep {
    v1::FunnelStep { event_name: name.to_owned(), filter: None }
}

/// Sends the same events to both sides.
async fn send(servers: &[TestServer], single: &TestServer, events: u64) {
    let seed = std::env::var("CLUSTER_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("CLUSTER_SEED={seed}");
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let mut traffic =
        Traffic { random: StdRng::seed_from_u64(seed), now_ms, times: HashSet::new(), events: 0 };
    let mut producers = Vec::new();
    for server in servers.iter().chain([single]) {
        producers.push(ProducerConfig::new(server.url()).connect().await.unwrap());
    }
    let started = Instant::now();
    let mut number = 0;
    for round in 1..=ROUNDS {
        while traffic.events < events * round / ROUNDS {
            for event in traffic.visit((events / 15).max(100)) {
                producers[number % servers.len()].send(event.clone()).await.unwrap();
                producers[servers.len()].send(event).await.unwrap();
                number += 1;
            }
        }
        // A batch at least.
        for (producer, server) in producers.iter().zip(servers) {
            producer.flush().await.unwrap();
            server.wait_until_landed().await;
        }
    }
    let mut accepted = Vec::new();
    for producer in producers {
        let totals = producer.close().await.unwrap();
        assert_eq!(totals.rejected, 0);
        accepted.push(totals.accepted);
    }
    assert_eq!(accepted[..servers.len()].iter().sum::<u64>(), traffic.events);
    for server in servers.iter().chain([single]) {
        server.wait_until_landed().await;
    }
    println!("{} events landed on both sides after {:.0?}", traffic.events, started.elapsed());
    let statement = "SELECT count() FROM events";
    assert_eq!(single.sql_numbers(statement).await, [traffic.events]);
}

/// Waits until the tables of people and the catalogue of every shard have what is stored.
async fn wait_until_counted(cluster: &EmulatedCluster, servers: &[TestServer], is_small: bool) {
    let mut stored = 0;
    for shard in 0..SHARDS {
        let engine = TestClickHouse::client(&cluster.engine(shard));
        let statement =
            "SELECT count(), uniqExact(batch), uniqExact(bitAnd(toUInt128(batch), 4294967295)) FROM events";
        let (events, batches, of_servers): (u64, u64, u64) =
            engine.query(statement).fetch_one().await.unwrap();
        println!("shard {shard}: {events} events in {batches} batches of {of_servers} servers");
        assert_eq!(of_servers, servers.len() as u64);
        stored += events;
        for (table, differences) in DIFFERENCES {
            // The joins of a large run take too much memory.
            if is_small {
                wait_for(&engine, differences, 0, servers, table).await;
            }
        }
    }
    if is_small {
        let engine = TestClickHouse::client(&cluster.engine(0));
        let counted = "SELECT sum(events) FROM event_properties WHERE name = 'n'";
        wait_for(&engine, counted, stored, servers, "event_properties").await;
    }
}

async fn wait_for(
    engine: &clickhouse::Client,
    statement: &str,
    expected: u64,
    servers: &[TestServer],
    name: &str,
) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found: u64 = engine.query(statement).fetch_one().await.unwrap();
        if found == expected {
            return;
        }
        let logs = || servers.iter().map(TestServer::log).collect::<Vec<_>>().join("\n\n");
        assert!(Instant::now() < deadline, "{name}: {found} instead of {expected}\n{}", logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_like_one_engine() {
    let events = std::env::var("CLUSTER_EVENTS").map_or(3_000, |text| text.parse().unwrap());
    let is_small = events <= SMALL;
    let cluster = tokio::task::block_in_place(|| EmulatedCluster::start(SHARDS));
    // So many batches that every server uses every shard.
    let flush_size = (events / 45).clamp(100, 50_000).to_string();
    let urls = cluster.urls.clone();
    let common = [("PANEL_CACHE_MS", "0"), ("FLUSH_SIZE", flush_size.as_str())];
    let mut env = vec![("CLICKHOUSE_URL", urls.as_str()), ("CLICKHOUSE_CLUSTER", CLUSTER), PASSWORD];
    env.extend(common);
    let servers: Vec<TestServer> = (0..3).map(|_| TestServer::start_with(&env)).collect();
    let single = TestServer::start_with(&common);
    send(&servers, &single, events).await;

    let end = jiff::Timestamp::now().as_second() / 900 * 900;
    let both = Both {
        cluster: Side::of(&servers[1]).await,
        single: Side::of(&single).await,
        end,
        may_time_out: !is_small,
        compared: AtomicUsize::new(0),
        timed_out: AtomicUsize::new(0),
    };
    both.panels().await;
    if !is_small {
        both.measure_panels(15).await;
    }
    both.search().await;
    wait_until_counted(&cluster, &servers, is_small).await;
    both.trends(is_small).await;
    both.funnels(is_small).await;
    both.retention(is_small).await;
    both.paths(is_small).await;
    both.people().await;
    both.catalogue(is_small).await;
    let (compared, timed_out) = (both.compared.into_inner(), both.timed_out.into_inner());
    println!(
        "{compared} queries are equal, {timed_out} were not compared: they have exceeded their time or budget"
    );
    assert!(compared > timed_out);
}
