//! Trends against the model.

use std::collections::{BTreeMap, BTreeSet};

use millrace_client::proto::v1;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use v1::Aggregation;
use v1::list_people_request::Figure;

use super::data::{Event, Filter, Model, NAMES, filter};
use super::{Explored, people, range, span};

const AGGREGATIONS: [Aggregation; 13] = [
    Aggregation::Events,
    Aggregation::Visitors,
    Aggregation::Sessions,
    Aggregation::EventsPerVisitor,
    Aggregation::Sum,
    Aggregation::Average,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::P50,
    Aggregation::P90,
    Aggregation::P95,
    Aggregation::P99,
    Aggregation::UnlinkedVisitors,
];

/// The figure of these events. Quantiles have a lower and an upper bound.
fn aggregate(aggregation: Aggregation, events: &[&Event], model: &Model) -> Option<(f64, f64)> {
    let distinct = |key: &dyn Fn(&Event) -> String| {
        let keys: BTreeSet<String> = events.iter().map(|event| key(event)).collect();
        keys.iter().filter(|key| !key.is_empty()).count() as f64
    };
    let visitors = || distinct(&|event| model.visitor(event));
    let mut numbers: Vec<f64> = events.iter().filter_map(|event| event.number("amount")).collect();
    numbers.sort_by(f64::total_cmp);
    let sum: f64 = numbers.iter().sum();
    let quantile = |share: f64| {
        // A t-digest interpolates between neighbours.
        let rank = share * (numbers.len().saturating_sub(1)) as f64;
        let at = |rank: f64| numbers.get(rank as usize).copied();
        let low = at((rank - 1.0).max(0.0).floor())?;
        let high = at((rank + 1.0).ceil().min((numbers.len() - 1) as f64))?;
        Some((low, high))
    };
    let exact = |value: f64| Some((value, value));
    match aggregation {
        Aggregation::Unspecified | Aggregation::Events => exact(events.len() as f64),
        Aggregation::Visitors => exact(visitors()),
        Aggregation::Sessions => exact(distinct(&|event| event.session.clone())),
        Aggregation::UnlinkedVisitors => {
            exact(distinct(&|event| event.user.clone().unwrap_or_else(|| event.session.clone())))
        }
        Aggregation::EventsPerVisitor => {
            let with_visitor = events.iter().filter(|event| !model.visitor(event).is_empty()).count();
            if visitors() == 0.0 { None } else { exact(with_visitor as f64 / visitors()) }
        }
        Aggregation::Sum => exact(sum),
        Aggregation::Average => {
            if numbers.is_empty() {
                None
            } else {
                exact(sum / numbers.len() as f64)
            }
        }
        Aggregation::Min => numbers.first().copied().and_then(exact),
        Aggregation::Max => numbers.last().copied().and_then(exact),
        Aggregation::P50 => quantile(0.5),
        Aggregation::P90 => quantile(0.9),
        Aggregation::P95 => quantile(0.95),
        Aggregation::P99 => quantile(0.99),
    }
}

fn assert_value(found: Option<f64>, expected: Option<(f64, f64)>, what: &str) {
    match (found, expected) {
        (None, None) => {}
        (Some(found), Some((low, high))) => {
            let slack = 1e-9 * (1.0 + low.abs().max(high.abs()));
            assert!(
                low - slack <= found && found <= high + slack,
                "{what}: {found} is not in {low}..={high}"
            );
        }
        _ => panic!("{what}: {found:?} instead of {expected:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trends_equal_the_model() {
    let mut explored = Explored::start().await;
    for round in 0..39 {
        check(&mut explored, round).await;
    }
}

async fn check(Explored { client, model, random, .. }: &mut Explored, round: usize) {
    let name = if random.random_bool(0.2) { "" } else { *NAMES.choose(random).unwrap() };
    let aggregation = AGGREGATIONS[round % AGGREGATIONS.len()];
    let common = random.random_bool(0.4).then(|| filter(random, 1));
    let own = random.random_bool(0.4).then(|| filter(random, 2));
    let breakdown: &[&str] =
        [&[][..], &["plan"], &["country_code"], &["country_code", "plan"]].choose(random).unwrap();
    let limit = random.random_range(1..5);
    let width = *[v1::Bucket::Unspecified, v1::Bucket::Hour, v1::Bucket::Day].choose(random).unwrap();
    let request = v1::QueryTrendRequest {
        series: vec![v1::TrendSeries {
            event_name: name.to_owned(),
            filter: own.as_ref().map(Filter::message),
            aggregation: aggregation.into(),
            property: "amount".to_owned(),
        }],
        filter: common.as_ref().map(Filter::message),
        range: range(),
        bucket: width.into(),
        breakdown: breakdown.iter().map(|field| (*field).to_owned()).collect(),
        limit: Some(limit),
        ..Default::default()
    };
    let response = client.query_trend(request.clone()).await.unwrap().into_inner();
    let what = format!("{request:?} {:?}", response.context.as_ref().unwrap().source);
    let range = span(response.context.as_ref().unwrap());
    let counted: Vec<&Event> = model
        .events
        .iter()
        .filter(|event| range.contains(&event.time) && (name.is_empty() || event.name == name))
        .filter(|event| {
            [&common, &own].into_iter().flatten().all(|filter| filter.selects(event, model, &range))
        })
        .collect();
    let mut groups = BTreeMap::<Vec<String>, Vec<&Event>>::new();
    let value = |event: &Event, field: &str| Some(event.text(field)).filter(|text| !text.is_empty());
    for event in &counted {
        let values = breakdown.iter().map(|field| value(event, field).unwrap_or_else(|| "(none)".to_owned()));
        groups.entry(values.collect()).or_default().push(event);
    }
    if breakdown.is_empty() {
        groups.entry(Vec::new()).or_default();
    }
    // Quantiles are estimates, so the order of close ones is ClickHouse's: the top values are those of the response.
    let listed: Vec<Vec<String>> =
        response.lines.iter().filter(|line| !line.is_other).map(|line| line.breakdown.clone()).collect();
    let mut totals: Vec<f64> = groups
        .values()
        .map(|events| aggregate(aggregation, events, model).map_or(f64::NEG_INFINITY, |(low, _)| low))
        .collect();
    totals.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(listed.len(), groups.len().min(limit as usize), "{what}");
    let starts: Vec<i64> = response.buckets.iter().map(|start| start.seconds * 1_000).collect();
    let ends = starts[1..].iter().copied().chain([range.end]);
    let buckets: Vec<std::ops::Range<i64>> =
        starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect();
    for (position, line) in response.lines.iter().enumerate() {
        let events: Vec<&Event> = if line.is_other {
            groups
                .iter()
                .filter(|(values, _)| !listed.contains(values))
                .flat_map(|(_, events)| events.clone())
                .collect()
        } else {
            groups.get(&line.breakdown).cloned().unwrap_or_else(|| panic!("{what}: {:?}", line.breakdown))
        };
        let what = format!("{what} {:?}", line.breakdown);
        let total = line.total.unwrap().value;
        assert_value(total, aggregate(aggregation, &events, model), &what);
        let is_quantile =
            aggregation as i32 >= Aggregation::P50 as i32 && aggregation as i32 <= Aggregation::P99 as i32;
        if !line.is_other && !is_quantile {
            assert_value(
                total,
                Some(totals[position]).filter(|total| total.is_finite()).map(|total| (total, total)),
                &what,
            );
        }
        for (bucket, found) in buckets.iter().zip(&line.values) {
            let events: Vec<&Event> =
                events.iter().filter(|event| bucket.contains(&event.time)).copied().collect();
            assert_value(found.value, aggregate(aggregation, &events, model), &format!("{what} {bucket:?}"));
        }
        if aggregation == Aggregation::Visitors {
            let bucket = random.random_range(0..buckets.len());
            for bucket in [None, Some(bucket)] {
                let figure = v1::TrendFigure {
                    query: Some(request.clone()),
                    breakdown: line.breakdown.clone(),
                    is_other: line.is_other,
                    bucket: bucket.map(|bucket| response.buckets[bucket]),
                    ..Default::default()
                };
                let figure_value = bucket.map_or(total, |bucket| line.values[bucket].value).unwrap();
                assert_eq!(people(client, Figure::Trend(figure)).await.len() as f64, figure_value, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_people_of_each_bucket_did_something_in_the_whole_range() {
    let Explored { server: _server, mut client, .. } = Explored::start().await;
    let did = v1::DidEvent { event_name: "done".to_owned(), times: Some(2), ..Default::default() };
    let request = v1::QueryTrendRequest {
        series: vec![v1::TrendSeries { aggregation: Aggregation::Visitors.into(), ..Default::default() }],
        filter: Some(v1::EventFilter { condition: Some(v1::event_filter::Condition::Did(Box::new(did))) }),
        range: range(),
        bucket: v1::Bucket::Hour.into(),
        ..Default::default()
    };
    let response = client.query_trend(request.clone()).await.unwrap().into_inner();
    assert!(response.lines[0].total.unwrap().value.unwrap() > 0.0);
    for (bucket, point) in response.buckets.into_iter().zip(&response.lines[0].values) {
        let figure =
            v1::TrendFigure { query: Some(request.clone()), bucket: Some(bucket), ..Default::default() };
        let listed = people(&mut client, Figure::Trend(figure)).await.len();
        assert_eq!(Some(listed as f64), point.value, "{bucket:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trend_compares_periods_and_combines_series() {
    let Explored { server: _server, mut client, model, .. } = Explored::start().await;
    let series = |name: &str| v1::TrendSeries { event_name: name.to_owned(), ..Default::default() };
    let mut request = v1::QueryTrendRequest {
        series: vec![series("start"), series("done")],
        range: range(),
        bucket: v1::Bucket::Hour.into(),
        compare: v1::Compare::PreviousPeriod.into(),
        ..Default::default()
    };
    let plain = client.query_trend(request.clone()).await.unwrap().into_inner();
    let range = span(plain.context.as_ref().unwrap());
    let count = |name: &str, range: std::ops::Range<i64>| {
        model.events.iter().filter(|event| event.name == name && range.contains(&event.time)).count() as f64
    };
    for (line, name) in plain.lines.iter().zip(["start", "done"]) {
        assert_eq!(line.total.unwrap().value, Some(count(name, range.clone())));
    }
    request.formula = "100 * B / A".to_owned();
    let formula = client.query_trend(request).await.unwrap().into_inner();
    assert_eq!(formula.lines.len(), 1);
    let values = |line: &v1::TrendLine| -> Vec<(Option<f64>, Option<f64>)> {
        line.values.iter().map(|value| (value.value, value.compared_value)).collect()
    };
    let ratio = |a: Option<f64>, b: Option<f64>| Some(100.0 * b? / a?).filter(|ratio| ratio.is_finite());
    let expected: Vec<_> = values(&plain.lines[0])
        .into_iter()
        .zip(values(&plain.lines[1]))
        .map(|(a, b)| (ratio(a.0, b.0), ratio(a.1, b.1)))
        .collect();
    assert_eq!(values(&formula.lines[0]), expected);
    let earlier: f64 = plain.lines[0].values.iter().filter_map(|value| value.compared_value).sum();
    assert!(earlier > 0.0, "the events reach back before the range");
}
