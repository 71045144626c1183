//! Retention against the model.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use millrace_client::proto::v1;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use v1::list_people_request::Figure;
use v1::{RetentionBasis, RetentionCriterion, RetentionKind, RetentionPeriod};

use super::data::{Event, NAMES, ZONE, clock_change};
use super::{Explored, at, people};

/// The starts of periods in milliseconds, the last one is the end.
fn periods(period: RetentionPeriod, count: i64, last: Timestamp) -> Vec<i64> {
    let zone = TimeZone::get(ZONE).unwrap();
    let local = last.to_zoned(zone);
    let date = local.date();
    let start: Zoned = match period {
        RetentionPeriod::Hour => local.with().minute(0).second(0).subsec_nanosecond(0).build().unwrap(),
        RetentionPeriod::Day => local.start_of_day().unwrap(),
        RetentionPeriod::Month => local.first_of_month().unwrap().start_of_day().unwrap(),
        _ => {
            let days = i64::from(date.weekday().to_monday_zero_offset());
            local.checked_sub(days.days()).unwrap().start_of_day().unwrap()
        }
    };
    (-count..=1)
        .map(|index| {
            let moved = match period {
                RetentionPeriod::Hour => start.checked_add(index.hours()),
                RetentionPeriod::Day => start.checked_add(index.days()),
                RetentionPeriod::Month => start.checked_add(index.months()),
                _ => start.checked_add(index.weeks()),
            };
            moved.unwrap().timestamp().as_millisecond()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_equals_the_model() {
    let mut explored = Explored::start().await;
    for round in 0..20 {
        check(&mut explored, round).await;
    }
}

async fn check(Explored { client, model, random, .. }: &mut Explored, round: usize) {
    let period = [RetentionPeriod::Day, RetentionPeriod::Hour, RetentionPeriod::Week, RetentionPeriod::Month]
        [round % 4];
    let kind = if random.random_bool(0.5) { RetentionKind::FirstTime } else { RetentionKind::Recurring };
    let criterion =
        if random.random_bool(0.5) { RetentionCriterion::On } else { RetentionCriterion::OnOrAfter };
    let basis = if random.random_bool(0.5) { RetentionBasis::Calendar } else { RetentionBasis::Rolling };
    let (start, back) = (*NAMES.choose(random).unwrap(), *["", "view", "done"].choose(random).unwrap());
    let breakdown = if random.random_bool(0.3) { "plan" } else { "" };
    let count = random.random_range(1..8_u32);
    let end = clock_change() / 1_000 + random.random_range(-86_400..3 * 86_400);
    let step = |name: &str| Some(v1::FunnelStep { event_name: name.to_owned(), filter: None });
    let request = v1::QueryRetentionRequest {
        start: step(start),
        r#return: step(back),
        period: period.into(),
        periods: Some(count),
        kind: kind.into(),
        criterion: criterion.into(),
        basis: basis.into(),
        breakdown: breakdown.to_owned(),
        limit: Some(50),
        time_zone: Some(ZONE.to_owned()),
        end: at(end),
        ..Default::default()
    };
    let response = client.query_retention(request.clone()).await.unwrap().into_inner();
    let what = format!("{request:?}");
    let periods = periods(period, i64::from(count), Timestamp::from_second(end).unwrap());
    let values: Vec<Option<String>> = std::iter::once(None)
        .chain(response.breakdown.iter().map(|result| Some(result.value.clone())))
        .collect();
    let results = response.overall.iter().chain(&response.breakdown);
    for (value, result) in values.iter().zip(results) {
        assert_eq!(result.cohorts.len(), count as usize + 1, "{what}");
        for (index, cohort) in result.cohorts.iter().enumerate() {
            assert_eq!(cohort.start.unwrap().seconds * 1_000, periods[index], "{what}");
            // All of the cohort's cells exist, because the events are in the past: none is cut off.
            if basis == RetentionBasis::Calendar {
                assert_eq!(cohort.cells.len(), count as usize + 1 - index, "{what}");
            }
            let mut expected = vec![BTreeSet::new(); cohort.cells.len()];
            let mut visitors = BTreeSet::new();
            for (visitor, events) in model.by_visitor() {
                let plan = |event: &Event| {
                    Some(event.text("plan")).filter(|plan| !plan.is_empty()).unwrap_or("(none)".into())
                };
                let has_value = |event: &&&Event| value.as_ref().is_none_or(|value| plan(event) == *value);
                let mut starts: Vec<&&Event> = events.iter().filter(|event| event.name == start).collect();
                starts.sort_by_key(|event| (event.time, event.text("plan")));
                if kind == RetentionKind::FirstTime {
                    starts.truncate(1);
                }
                let in_cohort = |event: &&&Event| (periods[index]..periods[index + 1]).contains(&event.time);
                let Some(first) = starts.iter().copied().filter(has_value).find(in_cohort) else { continue };
                visitors.insert(visitor.clone());
                let returns =
                    events.iter().filter(|event| back.is_empty() || event.name == back).filter(has_value);
                let length = match period {
                    RetentionPeriod::Hour => 3_600_000,
                    RetentionPeriod::Day => 86_400_000,
                    RetentionPeriod::Month => 30 * 86_400_000,
                    _ => 7 * 86_400_000_i64,
                };
                let returned_in: BTreeSet<i64> = returns
                    .filter_map(|event| match basis {
                        RetentionBasis::Rolling => Some((event.time - first.time).div_euclid(length)),
                        _ => {
                            let found = periods.partition_point(|start| *start <= event.time);
                            (found > 0 && found < periods.len()).then(|| found as i64 - 1 - index as i64)
                        }
                    })
                    .collect();
                for (offset, cell) in expected.iter_mut().enumerate() {
                    let offset = offset as i64;
                    let is_in = offset == 0
                        || match criterion {
                            RetentionCriterion::OnOrAfter => {
                                returned_in.iter().any(|period| *period >= offset)
                            }
                            _ => returned_in.contains(&offset),
                        };
                    if is_in {
                        cell.insert(visitor.clone());
                    }
                }
            }
            let what = format!("{what} {value:?} cohort {index}");
            assert_eq!(cohort.visitors, visitors.len() as u64, "{what}");
            let found: Vec<u64> = cohort.cells.iter().map(|cell| cell.visitors).collect();
            let counts: Vec<u64> = expected.iter().map(|cell| cell.len() as u64).collect();
            assert_eq!(found, counts, "{what}");
            let period = random.random_range(0..expected.len());
            if random.random_bool(0.1) {
                for dropped in [false, true] {
                    let figure = v1::RetentionFigure {
                        query: Some(request.clone()),
                        cohort: cohort.start,
                        period: period as u32,
                        dropped,
                        breakdown: value.clone(),
                    };
                    let listed: BTreeSet<String> =
                        people(client, Figure::Retention(figure)).await.into_iter().collect();
                    let behind: BTreeSet<String> = if dropped {
                        visitors.difference(&expected[period]).cloned().collect()
                    } else {
                        expected[period].clone()
                    };
                    assert_eq!(listed, behind, "{what}");
                }
            }
        }
    }
}
