//! Simulates the traffic of a small SaaS product: sessions view pages, sign up in two steps, use features and run into
//! errors, more of them in busy hours.
//!
//! A function of time: seed, scenario, rate and the time alone decide which events happen at that time. A period can be
//! generated in parts and in any order, and live traffic continues the sessions of the history before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::load::load_at;
use crate::proto::{self, v1};
use v1::event::PropertiesKind;

/// What the traffic simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Everyday traffic: busy days, quiet nights and weekends.
    Everyday,
    /// The same traffic at a constant rate, for measurements.
    Steady,
    /// Many sign-ups; in every other ten minutes most of them fail at the second step.
    Campaign,
    /// A high error rate in every other ten minutes.
    Incident,
    /// A release every morning at 8:00 UTC. With that of an even day of the year, most sign-ups on phones fail.
    Regression,
}

/// No session is longer. The events of a period are those of the sessions that started in it, or this long before it.
const MAX_SESSION_MS: i64 = 20 * 60 * 1_000;
/// Length of the alternating normal and incident phases.
const PHASE_MS: i64 = 10 * 60 * 1_000;
const USERS: u32 = 20_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// When a day's release is published, after midnight UTC.
const RELEASE_MS: i64 = 8 * 60 * 60 * 1_000;

const PAGES: [&str; 10] = [
    "/",
    "/pricing",
    "/features",
    "/docs",
    "/docs/quickstart",
    "/blog",
    "/blog/launch",
    "/signup",
    "/login",
    "/app",
];
const REFERRERS: [&str; 6] = [
    "",
    "",
    "https://search.example/",
    "https://news.example/",
    "https://social.example/",
    "https://partner.example/",
];
const FEATURES: [&str; 9] =
    ["dashboard", "export", "invite", "search", "api-keys", "alerts", "integrations", "billing", "audit-log"];
const PLANS: [&str; 3] = ["free", "team", "business"];
const ERRORS: [(&str, &str); 4] = [
    ("500", "internal error"),
    ("503", "upstream timeout"),
    ("422", "invalid card number"),
    ("409", "the document was changed by another user"),
];
const COUNTRIES: [&str; 14] =
    ["US", "US", "US", "DE", "GB", "IN", "FR", "ES", "BR", "JP", "CA", "NL", "AU", ""];
const DEVICES: [&str; 8] =
    ["desktop", "desktop", "desktop", "desktop", "mobile", "mobile", "mobile", "tablet"];

/// Decides which events happen when. Times are in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) seed: u64,
    pub(super) scenario: Scenario,
    /// Events per second, on average over a week.
    pub(super) average_rate: f64,
}

impl Traffic {
    /// The expected number of events per second at a time.
    pub(super) fn rate_at(&self, at_ms: i64) -> f64 {
        self.average_rate * if self.scenario == Scenario::Steady { 1.0 } else { load_at(at_ms) }
    }

    /// The expected number of events in a period.
    pub(super) fn expected_events(&self, period: Range<i64>) -> f64 {
        const STEP_MS: i64 = 60_000;
        let steps = period.clone().step_by(STEP_MS as usize);
        steps.map(|at_ms| self.rate_at(at_ms) * (period.end - at_ms).min(STEP_MS) as f64 / 1_000.0).sum()
    }

    /// The events from a time on with their times, without end, sorted by time.
    pub(super) fn events_from(self, start_ms: i64) -> Events {
        Events {
            traffic: self,
            start_ms,
            next_second: (start_ms - MAX_SESSION_MS).div_euclid(1_000),
            active: BinaryHeap::new(),
        }
    }

    /// The sessions that start in a second since 1970 UTC.
    fn sessions_of(&self, second: i64) -> Vec<Session> {
        // Each second has its own random numbers.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&second.to_le_bytes());
        let mut rng = StdRng::from_seed(key);
        let mean_gap_ms = 1_000.0 * events_per_session(self.scenario) / self.rate_at(second * 1_000);
        let mut sessions = Vec::new();
        let mut offset_ms = exponential(&mut rng, mean_gap_ms);
        while offset_ms < 1_000.0 {
            sessions.push(Session::new(&mut rng, self.scenario, second * 1_000 + offset_ms as i64));
            offset_ms += exponential(&mut rng, mean_gap_ms);
        }
        sessions
    }
}

/// An infinite iterator over events and their times. Created by [`Traffic::events_from`].
pub(super) struct Events {
    traffic: Traffic,
    start_ms: i64,
    /// The next second whose sessions have not started.
    next_second: i64,
    active: BinaryHeap<ActiveSession>,
}

/// A session by its next event: the greatest is the next one.
struct ActiveSession {
    /// The time of the next event, the second in which the session started, and its number in it: unique.
    order: Reverse<(i64, i64, usize)>,
    /// Boxed, because a heap moves its elements.
    session: Box<Session>,
}

impl PartialEq for ActiveSession {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for ActiveSession {}

impl PartialOrd for ActiveSession {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ActiveSession {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

impl Events {
    fn start_sessions(&mut self) {
        let second = self.next_second;
        self.next_second += 1;
        for (number, mut session) in self.traffic.sessions_of(second).into_iter().enumerate() {
            session.skip_until(self.start_ms);
            if let Some(at_ms) = session.next_event_ms() {
                let order = Reverse((at_ms, second, number));
                self.active.push(ActiveSession { order, session: Box::new(session) });
            }
        }
    }

    /// Whether a session that has not started can have the next event.
    fn needs_sessions(&self) -> bool {
        self.active.peek().is_none_or(|next| self.next_second * 1_000 <= next.order.0.0)
    }
}

impl Iterator for Events {
    type Item = (i64, v1::Event);

    fn next(&mut self) -> Option<Self::Item> {
        while self.needs_sessions() {
            self.start_sessions();
        }
        let mut next = self.active.peek_mut()?;
        let Reverse((at_ms, second, number)) = next.order;
        let event = next.session.next_event()?;
        match next.session.next_event_ms() {
            Some(next_ms) => next.order = Reverse((next_ms, second, number)),
            None => drop(PeekMut::pop(next)),
        }
        Some((at_ms, event))
    }
}

/// A session with all of its random decisions made.
struct Session {
    id: String,
    user_id: Option<String>,
    device: &'static str,
    country: &'static str,
    release: String,
    /// The remaining actions with their times, last first.
    plan: Vec<(i64, Action)>,
}

#[derive(Clone, Copy)]
enum Action {
    View { page: &'static str, referrer: &'static str, duration_ms: u64 },
    StartSignup { plan: &'static str },
    CompleteSignup,
    LogIn { user: u32 },
    Use { feature: &'static str },
    Fail { code: &'static str, message: &'static str },
}

impl Session {
    fn new(rng: &mut StdRng, scenario: Scenario, start_ms: i64) -> Self {
        let mut plan = Vec::new();
        let mut at_ms = start_ms;
        let device = pick(rng, &DEVICES);
        let mut actions = plan_actions(rng, scenario, device, start_ms).into_iter();
        while at_ms < start_ms + MAX_SESSION_MS {
            let action = if rng.random_bool(error_rate(scenario, at_ms)) {
                let (code, message) = pick(rng, &ERRORS);
                Action::Fail { code, message }
            } else if let Some(action) = actions.next() {
                action
            } else {
                break;
            };
            plan.push((at_ms, action));
            // Most continue soon, some take a break.
            let pause = exponential(rng, 12_000.0) + if rng.random_bool(0.05) { 120_000.0 } else { 500.0 };
            at_ms += pause as i64;
        }
        plan.reverse();
        Self {
            id: format!("s{:016x}", rng.random::<u64>()),
            user_id: None,
            device,
            country: pick(rng, &COUNTRIES),
            release: release_name(release_day(start_ms)),
            plan,
        }
    }

    /// The time of the next event; `None` after the last one.
    fn next_event_ms(&self) -> Option<i64> {
        self.plan.last().map(|(at_ms, _)| *at_ms)
    }

    /// Performs the actions before a time without creating their events.
    fn skip_until(&mut self, start_ms: i64) {
        while let Some((_, action)) = self.plan.pop_if(|(at_ms, _)| *at_ms < start_ms) {
            self.identify_user(action);
        }
    }

    fn identify_user(&mut self, action: Action) {
        match action {
            Action::CompleteSignup => self.user_id = Some(format!("n{}", self.id)),
            Action::LogIn { user } => self.user_id = Some(format!("u{user}")),
            _ => {}
        }
    }

    fn next_event(&mut self) -> Option<v1::Event> {
        let (at_ms, action) = self.plan.pop()?;
        self.identify_user(action);
        let (name, own) = match action {
            Action::View { page, referrer, duration_ms } => (
                "page_view",
                format!(r#""page_url":"{page}","referrer":"{referrer}","duration_ms":{duration_ms},"#),
            ),
            Action::StartSignup { plan } => ("signup_started", format!(r#""plan":"{plan}","#)),
            Action::CompleteSignup => ("signup_completed", String::new()),
            Action::LogIn { .. } => ("login", String::new()),
            Action::Use { feature } => ("feature_used", format!(r#""feature":"{feature}","#)),
            Action::Fail { code, message } => {
                ("error_occurred", format!(r#""code":"{code}","message":"{message}","#))
            }
        };
        let properties = format!(r#"{{{own}"release":"{}"}}"#, self.release);
        Some(v1::Event {
            event_name: name.to_owned(),
            timestamp: Some(proto::timestamp_from_millis(at_ms)),
            session_id: self.id.clone(),
            user_id: self.user_id.clone(),
            device_type: self.device.to_owned(),
            country_code: self.country.to_owned(),
            properties_kind: Some(PropertiesKind::PropertiesJson(properties)),
            event_id: None,
        })
    }
}

/// The day, since 1970 UTC, of the release that a session uses: the newest one when it starts.
fn release_day(start_ms: i64) -> i64 {
    (start_ms - RELEASE_MS).div_euclid(DAY_MS)
}

/// The year and the day of the year, such as "2026.326".
fn release_name(day: i64) -> String {
    let date = date_of(day);
    format!("{}.{}", date.year(), date.day_of_year())
}

fn is_bad_release(day: i64) -> bool {
    date_of(day).day_of_year() % 2 == 0
}

/// `day` is Unix time in days.
fn date_of(day: i64) -> jiff::civil::Date {
    jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day))
}

/// What a session that starts at this time does, without its errors.
fn plan_actions(rng: &mut StdRng, scenario: Scenario, device: &str, start_ms: i64) -> Vec<Action> {
    let campaign = scenario == Scenario::Campaign;
    let arrival = PAGES[skewed_index(rng, 4)];
    let mut actions = vec![view(rng, arrival)];
    let returning = rng.random_bool(if campaign { 0.3 } else { 0.5 });
    if returning {
        // A few users return often, most rarely.
        let user = (f64::from(USERS) * rng.random::<f64>().powi(3)) as u32;
        actions.push(Action::LogIn { user });
        for _ in 0..geometric(rng, 0.22) {
            let action = if rng.random_bool(0.7) { use_feature(rng) } else { view(rng, "/app") };
            actions.push(action);
        }
        return actions;
    }
    for _ in 0..geometric(rng, 0.32) {
        let page = PAGES[skewed_index(rng, PAGES.len())];
        actions.push(view(rng, page));
    }
    if rng.random_bool(if campaign { 0.45 } else { 0.14 }) {
        actions.extend([view(rng, "/signup"), Action::StartSignup { plan: pick(rng, &PLANS) }]);
        let broken = match scenario {
            Scenario::Campaign => is_incident_phase(start_ms),
            Scenario::Regression => device == "mobile" && is_bad_release(release_day(start_ms)),
            Scenario::Everyday | Scenario::Steady | Scenario::Incident => false,
        };
        let completes = rng.random_bool(if broken { 0.15 } else { 0.64 });
        if !completes && scenario == Scenario::Regression && broken {
            actions.push(Action::Fail { code: "422", message: "the phone number is invalid" });
        }
        if completes {
            actions.push(Action::CompleteSignup);
            for _ in 0..geometric(rng, 0.35) {
                actions.push(use_feature(rng));
            }
        }
    }
    actions
}

fn view(rng: &mut StdRng, page: &'static str) -> Action {
    Action::View { page, referrer: pick(rng, &REFERRERS), duration_ms: exponential(rng, 18_000.0) as u64 }
}

fn use_feature(rng: &mut StdRng) -> Action {
    Action::Use { feature: FEATURES[skewed_index(rng, FEATURES.len())] }
}

/// The average number of events in a session, measured over a million. Converts the rate of events to a rate of sessions.
fn events_per_session(scenario: Scenario) -> f64 {
    match scenario {
        Scenario::Everyday | Scenario::Steady | Scenario::Regression => 4.61,
        Scenario::Campaign => 4.84,
        Scenario::Incident => 4.72,
    }
}

/// The share of events that are errors.
fn error_rate(scenario: Scenario, at_ms: i64) -> f64 {
    if scenario == Scenario::Incident && is_incident_phase(at_ms) { 0.05 } else { 0.004 }
}

fn is_incident_phase(at_ms: i64) -> bool {
    at_ms.div_euclid(PHASE_MS).rem_euclid(2) == 1
}

fn pick<T: Copy>(rng: &mut StdRng, values: &[T]) -> T {
    values[rng.random_range(0..values.len())]
}

fn exponential(rng: &mut StdRng, mean: f64) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// How often something repeats that ends with this probability each time; at most 200.
fn geometric(rng: &mut StdRng, end: f64) -> usize {
    (exponential(rng, -1.0 / (1.0 - end).ln()) as usize).min(200)
}

/// An index below `count`; low ones are more likely.
fn skewed_index(rng: &mut StdRng, count: usize) -> usize {
    let fraction: f64 = rng.random();
    ((fraction * fraction * count as f64) as usize).min(count - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    use super::*;
    use crate::event::{ValidationRules, validate};
    use crate::properties::Properties;

    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    const WEEK_MS: i64 = 7 * 24 * HOUR_MS;
    const START: i64 = 1_800_000_000_000;
    /// Variance of the number of events in a period, relative to its expectation. Above 1, since the events of a session come
    /// together: the average of the squared number of events in a session, divided by its average, measured as 7.6.
    const DISPERSION: f64 = 8.0;

    fn traffic(seed: u64, scenario: Scenario) -> Traffic {
        Traffic { seed, scenario, average_rate: 100.0 }
    }

    fn events(seed: u64, scenario: Scenario, count: usize) -> Vec<(i64, v1::Event)> {
        traffic(seed, scenario).events_from(START).take(count).collect()
    }

    fn events_of(traffic: Traffic, period: Range<i64>) -> Vec<(i64, v1::Event)> {
        traffic.events_from(period.start).take_while(|(at_ms, _)| *at_ms < period.end).collect()
    }

    /// Six standard deviations.
    fn tolerance(expected: f64) -> f64 {
        6.0 * (DISPERSION * expected).sqrt()
    }

    #[test]
    fn the_same_seed_gives_the_same_events() {
        assert_eq!(events(1, Scenario::Everyday, 500), events(1, Scenario::Everyday, 500));
        assert_ne!(events(1, Scenario::Everyday, 500), events(2, Scenario::Everyday, 500));
    }

    #[test]
    fn live_traffic_continues_the_history_event_for_event() {
        let traffic = traffic(1, Scenario::Campaign);
        let (start, now, end) = (START, START + 7 * MINUTE_MS + 123, START + 12 * MINUTE_MS);
        let (history, live) = (events_of(traffic, start..now), events_of(traffic, now..end));
        assert_eq!([history, live].concat(), events_of(traffic, start..end));
    }

    #[test]
    fn the_expected_rate_has_no_step_at_any_time() {
        for &scenario in Scenario::value_variants() {
            let traffic = traffic(1, scenario);
            for now in (START..START + WEEK_MS).step_by(HOUR_MS as usize) {
                let (before, after) = (traffic.rate_at(now - 1), traffic.rate_at(now));
                assert!((before - after).abs() < 0.001, "{scenario:?}: {before} and {after} at {now}");
            }
        }
    }

    #[test]
    fn every_hour_of_a_week_has_the_expected_number_of_events() {
        let traffic = Traffic { average_rate: 2.0, ..traffic(3, Scenario::Everyday) };
        let mut counts = vec![0.0; (WEEK_MS / HOUR_MS) as usize];
        for (at_ms, _) in events_of(traffic, START..START + WEEK_MS) {
            counts[((at_ms - START) / HOUR_MS) as usize] += 1.0;
        }
        for (hour, count) in counts.into_iter().enumerate() {
            let start = START + hour as i64 * HOUR_MS;
            let expected = traffic.expected_events(start..start + HOUR_MS);
            // The events of a session follow its start by minutes, so they lag behind a rising or falling load.
            let lag = 0.03 * expected;
            assert!(
                (count - expected).abs() < tolerance(expected) + lag,
                "hour {hour}: {count}, not {expected}"
            );
        }
    }

    #[test]
    fn every_scenario_has_the_requested_rate() {
        for &scenario in Scenario::value_variants() {
            let traffic = traffic(3, scenario);
            let period = START..START + HOUR_MS;
            let expected = traffic.expected_events(period.clone());
            let events = events_of(traffic, period);
            let count = events.len() as f64;
            assert!((count - expected).abs() < tolerance(expected), "{scenario:?}: {count}, not {expected}");
            assert!(events.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        }
    }

    #[test]
    fn every_event_is_valid() {
        let rules =
            ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
        for (at_ms, event) in events(4, Scenario::Incident, 5_000) {
            validate(&event, &rules, &Properties::built_in(), at_ms).unwrap();
        }
    }

    #[test]
    fn signups_complete_only_after_they_start() {
        let mut started = HashSet::new();
        let mut completed = 0;
        for (_, event) in events(5, Scenario::Campaign, 50_000).into_iter().skip(10_000) {
            match event.event_name.as_str() {
                "signup_started" => drop(started.insert(event.session_id)),
                "signup_completed" => completed += usize::from(started.contains(&event.session_id)),
                _ => {}
            }
        }
        let fraction = completed as f64 / started.len() as f64;
        assert!((0.2..0.7).contains(&fraction), "{fraction} of {} were completed", started.len());
    }

    #[test]
    fn a_bad_release_breaks_the_signup_on_phones() {
        // By release and whether it is a phone: sign-ups that started and completed.
        let mut counts: HashMap<(String, bool), (f64, f64)> = HashMap::new();
        let traffic = Traffic { average_rate: 2.0, ..traffic(6, Scenario::Regression) };
        // From an hour after a release.
        for (_, event) in events_of(traffic, START + HOUR_MS..START + 2 * DAY_MS) {
            let Some(PropertiesKind::PropertiesJson(properties)) = &event.properties_kind else {
                panic!("{event:?}")
            };
            let properties: serde_json::Value = serde_json::from_str(properties).unwrap();
            let release = properties["release"].as_str().unwrap().to_owned();
            let (started, completed) = counts.entry((release, event.device_type == "mobile")).or_default();
            *started += f64::from(u8::from(event.event_name == "signup_started"));
            *completed += f64::from(u8::from(event.event_name == "signup_completed"));
        }
        assert_eq!(counts.len(), 4, "two releases on phones and other devices: {counts:?}");
        for ((release, is_phone), (started, completed)) in counts {
            let is_bad = release.ends_with(['0', '2', '4', '6', '8']) && is_phone;
            let share = completed / started;
            let expected = if is_bad { 0.05..0.35 } else { 0.5..0.8 };
            assert!(expected.contains(&share), "{release} {is_phone}: {share} of {started}");
        }
    }

    #[test]
    fn an_incident_raises_the_error_rate_and_ends() {
        let mut counts: HashMap<bool, (f64, f64)> = HashMap::new();
        for (at_ms, event) in events(6, Scenario::Incident, 200_000) {
            let (errors, all) = counts.entry(is_incident_phase(at_ms)).or_default();
            *all += 1.0;
            *errors += f64::from(u8::from(event.event_name == "error_occurred"));
        }
        let fraction = |incident| 100.0 * counts[&incident].0 / counts[&incident].1;
        assert!(fraction(true) > 3.0 && fraction(false) < 1.0, "{} and {}", fraction(true), fraction(false));
    }
}
