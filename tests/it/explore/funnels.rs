//! Funnels against the model, which tries all chains of events.

use std::collections::HashMap;

use millrace_client::proto::v1;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use v1::list_people_request::Figure;
use v1::{FunnelAttribution, FunnelOrder};

use super::data::{Event, Filter, Model, NAMES, filter};
use super::{Explored, people, range, span};

/// A step of the model.
type Step = (&'static str, Option<Filter>);

struct Funnel<'a> {
    steps: &'a [Step],
    order: FunnelOrder,
    window: i64,
    range: std::ops::Range<i64>,
    model: &'a Model,
}

impl Funnel<'_> {
    fn is_step(&self, step: &Step, event: &Event) -> bool {
        // What a visitor did is asked for the range and the window after it.
        let range = self.range.start..self.range.end + self.window;
        let passes = step.1.as_ref().is_none_or(|filter| filter.selects(event, self.model, &range));
        passes && (step.0.is_empty() || step.0 == event.name)
    }

    /// The longest chain; of those, the one whose times are the smallest.
    fn chain<'e>(&self, events: &[&'e Event]) -> Vec<&'e Event> {
        let mut best = Vec::new();
        let matches: Vec<Vec<bool>> = events
            .iter()
            .map(|event| self.steps.iter().map(|step| self.is_step(step, event)).collect())
            .collect();
        let all: Vec<usize> = (0..events.len()).collect();
        let relevant: Vec<usize> =
            all.into_iter().filter(|index| matches[*index].iter().any(|is_step| *is_step)).collect();
        self.extend(
            events,
            &relevant,
            &matches,
            &mut Vec::new(),
            &mut vec![false; self.steps.len()],
            &mut best,
        );
        best.iter().map(|index| events[*index]).collect()
    }

    fn extend(
        &self,
        events: &[&Event],
        relevant: &[usize],
        matches: &[Vec<bool>],
        chain: &mut Vec<usize>,
        done: &mut Vec<bool>,
        best: &mut Vec<usize>,
    ) {
        let times = |chain: &[usize]| chain.iter().map(|index| events[*index].time).collect::<Vec<i64>>();
        if !chain.is_empty() && (self.order != FunnelOrder::Strict || is_contiguous(events, chain)) {
            let is_better =
                chain.len() > best.len() || chain.len() == best.len() && times(chain) < times(best);
            if is_better {
                best.clone_from(chain);
            }
        }
        for index in relevant {
            let time = events[*index].time;
            let follows = match (chain.first(), chain.last()) {
                (Some(first), Some(last)) => {
                    events[*last].time <= time && time - events[*first].time <= self.window
                }
                _ => self.range.contains(&time),
            };
            if !follows || chain.contains(index) {
                continue;
            }
            for step in 0..self.steps.len() {
                let is_next = self.order == FunnelOrder::Any || step == chain.len();
                if !is_next || done[step] || !matches[*index][step] {
                    continue;
                }
                chain.push(*index);
                done[step] = true;
                self.extend(events, relevant, matches, chain, done, best);
                done[step] = false;
                chain.pop();
            }
        }
    }
}

/// Whether no event outside the chain is between two of its events.
fn is_contiguous(events: &[&Event], chain: &[usize]) -> bool {
    let (first, last) = (events[chain[0]].time, events[chain[chain.len() - 1]].time);
    let is_foreign = |index: &usize| !chain.contains(index);
    !(0..events.len()).filter(is_foreign).any(|index| first < events[index].time && events[index].time < last)
}

#[tokio::test(flavor = "multi_thread")]
async fn funnels_equal_the_model() {
    let mut explored = Explored::start().await;
    for round in 0..30 {
        check(&mut explored, round).await;
    }
}

async fn check(Explored { client, model, random, .. }: &mut Explored, round: usize) {
    let order = [FunnelOrder::Sequential, FunnelOrder::Strict, FunnelOrder::Any][round % 3];
    let steps: Vec<Step> = (0..random.random_range(2..4))
        .map(|_| {
            let name = *NAMES.choose(random).unwrap();
            (name, random.random_bool(0.2).then(|| filter(random, 1)))
        })
        .collect();
    let window = *[1_i64, 1_800, 86_400].choose(random).unwrap();
    let exclusion = random.random_bool(0.3).then(|| *NAMES.choose(random).unwrap());
    let group_by = *["", "session", "country_code"].choose(random).unwrap();
    let breakdown = if random.random_bool(0.4) { "plan" } else { "" };
    let attribution =
        *[FunnelAttribution::First, FunnelAttribution::Last, FunnelAttribution::Step].choose(random).unwrap();
    let request = v1::QueryFunnelRequest {
        steps: steps
            .iter()
            .map(|(name, filter)| v1::FunnelStep {
                event_name: (*name).to_owned(),
                filter: filter.as_ref().map(Filter::message),
            })
            .collect(),
        window: Some(prost_types::Duration { seconds: window, nanos: 0 }),
        order: order.into(),
        exclusions: exclusion
            .iter()
            .map(|name| v1::FunnelExclusion { event_name: (*name).to_owned(), ..Default::default() })
            .collect(),
        group_by: group_by.to_owned(),
        breakdown: breakdown.to_owned(),
        attribution: attribution.into(),
        attribution_step: 2,
        limit: Some(50),
        range: range(),
        bucket: v1::Bucket::Day.into(),
        ..Default::default()
    };
    let response = client.query_funnel(request.clone()).await.unwrap().into_inner();
    let funnel = Funnel {
        steps: &steps,
        order,
        window: window * 1_000,
        range: span(response.context.as_ref().unwrap()),
        model,
    };
    let groups = match group_by {
        "session" => model.grouped(|event| event.session.clone()),
        "country_code" => model.grouped(|event| event.country.clone()),
        _ => model.by_visitor(),
    };
    // Four countries have hundreds of events each, of which nobody can try all chains.
    if groups.len() < 10 {
        return;
    }
    let mut chains = HashMap::new();
    for (key, events) in &groups {
        let chain = funnel.chain(events);
        let Some(first) = chain.first() else { continue };
        let end = chain.get(steps.len() - 1).map_or(first.time + funnel.window + 1, |last| last.time);
        let is_excluded = exclusion.is_some_and(|name| {
            events.iter().any(|event| event.name == name && first.time < event.time && event.time < end)
        });
        if !is_excluded {
            chains.insert(key.clone(), chain);
        }
    }
    let what = format!("{request:?}");
    let overall = response.overall.as_ref().unwrap();
    let reached = |chains: &[&Vec<&Event>], step: usize| {
        chains.iter().filter(|chain| chain.len() > step).count() as u64
    };
    let all: Vec<&Vec<&Event>> = chains.values().collect();
    for (step, found) in overall.steps.iter().enumerate() {
        assert_eq!(found.count, reached(&all, step), "{what} step {step}");
        let mut times: Vec<i64> = all
            .iter()
            .filter(|chain| step > 0 && chain.len() > step)
            .map(|chain| chain[step].time - chain[step - 1].time)
            .collect();
        times.sort_unstable();
        let median = times.get(times.len().div_ceil(2).max(1) - 1).map(|time| *time as f64 / 1_000.0);
        let found =
            found.median_from_previous.map(|found| found.seconds as f64 + f64::from(found.nanos) / 1e9);
        let is_equal = match (found, median) {
            (Some(found), Some(median)) => (found - median).abs() <= 1e-6 * median.max(1.0),
            (found, median) => found == median,
        };
        assert!(is_equal, "{what}: {found:?} {median:?}");
    }
    let entered: u64 = overall.trend.iter().map(|point| point.entered).sum();
    let converted: u64 = overall.trend.iter().map(|point| point.converted).sum();
    assert_eq!((entered, converted), (reached(&all, 0), reached(&all, steps.len() - 1)), "{what}");
    for point in &overall.trend {
        let start = point.bucket.unwrap().seconds * 1_000;
        let next = overall
            .trend
            .iter()
            .map(|point| point.bucket.unwrap().seconds * 1_000)
            .find(|next| *next > start);
        let bucket = start..next.unwrap_or(i64::MAX);
        let entries = all.iter().filter(|chain| bucket.contains(&chain[0].time)).count() as u64;
        assert_eq!(point.entered, entries, "{what}");
    }
    if order != FunnelOrder::Any {
        // Which of several steps of the same millisecond is the first one does not matter to anything but its value.
        let attributed = |chain: &Vec<&Event>| {
            let event = match attribution {
                FunnelAttribution::Last => chain.last(),
                FunnelAttribution::Step => chain.get(1),
                _ => chain.first(),
            };
            event.map(|event| {
                Some(event.text("plan")).filter(|plan| !plan.is_empty()).unwrap_or("(none)".into())
            })
        };
        let has_ties = |chain: &Vec<&Event>, events: &[&Event]| {
            chain.iter().any(|event| events.iter().filter(|other| other.time == event.time).count() > 1)
        };
        let by_value = |value: &str| {
            let with_value = chains.values().filter(|chain| attributed(chain).as_deref() == Some(value));
            with_value.count() as u64
        };
        let any_ties = chains.iter().any(|(key, chain)| has_ties(chain, &groups[key]));
        let total: u64 = response.breakdown.iter().map(|result| result.steps[0].count).sum();
        let expected = chains.values().filter(|chain| attributed(chain).is_some()).count() as u64;
        if !breakdown.is_empty() {
            assert_eq!(total, expected, "{what}");
        }
        for result in response.breakdown.iter().filter(|_| !any_ties) {
            assert_eq!(result.steps[0].count, by_value(&result.value), "{what} {}", result.value);
        }
    }
    for (step, dropped) in [(1, false), (2, false), (2, true)] {
        let figure = v1::FunnelFigure { query: Some(request.clone()), step, dropped, ..Default::default() };
        let listed = people(client, Figure::Funnel(figure)).await;
        let mut expected: Vec<String> = chains
            .iter()
            .filter(|(_, chain)| if dropped { chain.len() == 1 } else { chain.len() >= step as usize })
            .map(|(key, _)| key.clone())
            .collect();
        expected.sort();
        assert_eq!(listed, expected, "{what} step {step} {dropped}");
    }
}

/// Sign-ups that begin in a session without a user: rybbit#1133, PostHog#4813 and #39127, umami#3820 in one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_is_one_person_who_converts() {
    let server = crate::common::TestServer::start();
    let change = super::data::clock_change();
    let event = |name: &str, time: i64, session: &str, user: Option<&str>| Event {
        name: name.to_owned(),
        time: change + time,
        session: session.to_owned(),
        user: user.map(str::to_owned),
        country: "ES".to_owned(),
        properties: serde_json::json!({}),
    };
    let events = [
        // The same millisecond, the last step first.
        event("done", 0, "s1", Some("anna")),
        event("start", 0, "s1", None),
        // A repeated first step, and all steps twice.
        event("start", 0, "s2", None),
        event("start", 5, "s2", None),
        event("done", 9, "s2", Some("ben")),
        event("start", 20, "s3", Some("ben")),
        event("done", 21, "s3", Some("ben")),
        // Never done.
        event("start", 3, "s4", None),
    ];
    super::send(&server, &events).await;
    let mut client = v1::explore_service_client::ExploreServiceClient::new(server.channel().await);
    let step = |name: &str| v1::FunnelStep { event_name: name.to_owned(), filter: None };
    let request = |steps: &[&str]| v1::QueryFunnelRequest {
        steps: steps.iter().map(|name| step(name)).collect(),
        range: range(),
        ..Default::default()
    };
    let response = client.query_funnel(request(&["start", "done"])).await.unwrap().into_inner();
    let counts: Vec<u64> = response.overall.unwrap().steps.iter().map(|step| step.count).collect();
    assert_eq!(counts, [3, 2]);
    let figure = v1::FunnelFigure { query: Some(request(&["start", "done"])), step: 2, ..Default::default() };
    assert_eq!(people(&mut client, Figure::Funnel(figure)).await, ["anna", "ben"]);
    let twice = client.query_funnel(request(&["done", "done"])).await.unwrap().into_inner();
    let counts: Vec<u64> = twice.overall.unwrap().steps.iter().map(|step| step.count).collect();
    assert_eq!(counts, [2, 1]);
}
