//! Paths against the model.

use std::collections::BTreeMap;

use millrace_client::proto::v1;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::data::{Event, NAMES};
use super::{Explored, range, span};

#[tokio::test(flavor = "multi_thread")]
async fn paths_equal_the_model() {
    let mut explored = Explored::start().await;
    for _ in 0..12 {
        check(&mut explored).await;
    }
}

async fn check(Explored { client, model, random, .. }: &mut Explored) {
    let anchor = random.random_bool(0.6).then(|| *NAMES.choose(random).unwrap());
    let before = random.random_bool(0.5);
    let steps = random.random_range(1..5_u32);
    let names: &[&str] = if random.random_bool(0.3) { &["view", "done"] } else { &[] };
    let request = v1::QueryPathsRequest {
        event: anchor.map(|name| v1::FunnelStep { event_name: name.to_owned(), filter: None }),
        before,
        event_names: names.iter().map(|name| (*name).to_owned()).collect(),
        rules: vec![
            v1::PathRule { pattern: "^error$".to_owned(), name: String::new() },
            v1::PathRule { pattern: "^(start|middle)$".to_owned(), name: "sign-up".to_owned() },
        ],
        steps: Some(steps),
        limit: Some(200),
        range: range(),
        ..Default::default()
    };
    let response = client.query_paths(request.clone()).await.unwrap().into_inner();
    let range = span(response.context.as_ref().unwrap());
    let renamed = |name: &str| match name {
        "error" => None,
        "start" | "middle" => Some("sign-up"),
        "view" => Some("view"),
        "done" => Some("done"),
        other => panic!("{other}"),
    };
    let mut expected = BTreeMap::<(u32, String, String), u64>::new();
    let mut paths = 0;
    let mut has_ties = false;
    for events in model.by_visitor().values() {
        let mut steps_of: Vec<(&Event, &str)> = events
            .iter()
            .filter(|event| range.contains(&event.time))
            .filter(|event| names.is_empty() || names.contains(&&*event.name) || anchor == Some(&*event.name))
            .filter_map(|event| Some((*event, renamed(&event.name)?)))
            .collect();
        steps_of.sort_by_key(|(event, _)| event.time);
        has_ties |= steps_of
            .windows(2)
            .any(|pair| pair[0].0.time == pair[1].0.time && pair[0].0.name != pair[1].0.name);
        for visit in steps_of.chunk_by(|a, b| b.0.time - a.0.time < 1_800_000) {
            let mut visit: Vec<(&Event, &str)> = visit.to_vec();
            if before {
                visit.reverse();
            }
            let first = match anchor {
                Some(anchor) => visit.iter().position(|(event, _)| event.name == anchor),
                None => Some(0),
            };
            let Some(first) = first else { continue };
            let mut path: Vec<&str> = visit[first..].iter().map(|(_, name)| *name).collect();
            path.dedup();
            paths += 1;
            for (index, from) in path.iter().enumerate().take(steps as usize) {
                let to = path.get(index + 1).copied().unwrap_or_default();
                *expected.entry((index as u32 + 1, (*from).to_owned(), to.to_owned())).or_default() += 1;
            }
        }
    }
    let found: BTreeMap<(u32, String, String), u64> = response
        .transitions
        .iter()
        .map(|transition| {
            ((transition.step, transition.from.clone(), transition.to.clone()), transition.count)
        })
        .collect();
    assert_eq!(response.paths, paths, "{request:?}");
    // The order of different events of one millisecond is not defined.
    if !has_ties {
        assert_eq!(found, expected, "{request:?}");
    }
    let first_steps = |transitions: &BTreeMap<(u32, String, String), u64>| -> u64 {
        transitions.iter().filter(|((step, ..), _)| *step == 1).map(|(_, count)| count).sum()
    };
    assert_eq!(first_steps(&found), paths, "{request:?}");
}
