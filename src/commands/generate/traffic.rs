//! Simulates the traffic of a small SaaS product: sessions view pages, sign up in two steps, use features and run into
//! errors, more of them in busy hours. Deterministic: the same seed, scenario, start and rate generate the same events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::proto::{self, v1};
use v1::event::PropertiesKind;

/// What the traffic simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Everyday traffic.
    Steady,
    /// Many sign-ups; in every other ten minutes most of them fail at the second step.
    Campaign,
    /// A high error rate in every other ten minutes.
    Incident,
}

/// Average number of events in a session, measured over many. Converts the rate of events to a rate of sessions.
const EVENTS_PER_SESSION: f64 = 4.7;
/// Sessions start this long before the first event, so that the rate is steady from there on.
const WARM_UP_MS: i64 = 20 * 60 * 1_000;
/// Length of the alternating normal and incident phases.
const PHASE_MS: i64 = 10 * 60 * 1_000;
const USERS: u32 = 20_000;

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

/// Load in each hour of the day (UTC), relative to an average of 1.
const DAY_CURVE: [f64; 24] = [
    0.45, 0.38, 0.34, 0.32, 0.35, 0.45, 0.62, 0.85, 1.1, 1.3, 1.4, 1.42, 1.38, 1.45, 1.55, 1.6, 1.55, 1.45,
    1.3, 1.2, 1.1, 0.95, 0.78, 0.6,
];

/// An infinite iterator over events, sorted by time.
pub(super) struct Traffic {
    rng: StdRng,
    scenario: Scenario,
    start_ms: i64,
    /// Session starts per millisecond, in an average hour.
    sessions_per_ms: f64,
    /// Whether the rate follows [`DAY_CURVE`].
    daily_curve: bool,
    next_session_ms: f64,
    /// How many sessions have started.
    sessions: u64,
    /// The next action of each active session.
    schedule: BinaryHeap<Reverse<ScheduledAction>>,
    /// The active sessions; those in `free_slots` have ended.
    slots: Vec<Session>,
    free_slots: Vec<usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ScheduledAction {
    at_ms: i64,
    slot: usize,
}

#[derive(Default)]
struct Session {
    id: String,
    user_id: Option<String>,
    device: &'static str,
    country: &'static str,
    /// The remaining actions, last first.
    plan: Vec<SessionAction>,
}

#[derive(Clone, Copy)]
enum SessionAction {
    View(&'static str),
    StartSignup,
    CompleteSignup,
    LogIn(u32),
    Use,
}

impl Traffic {
    /// Traffic from `start_ms` on, with `rate` events per second on average.
    pub(super) fn new(seed: u64, scenario: Scenario, start_ms: i64, rate: f64, daily_curve: bool) -> Self {
        let warm_up_start_ms = start_ms - WARM_UP_MS;
        Self {
            rng: StdRng::seed_from_u64(seed),
            scenario,
            start_ms,
            sessions_per_ms: rate / EVENTS_PER_SESSION / 1_000.0,
            daily_curve,
            next_session_ms: warm_up_start_ms as f64,
            sessions: 0,
            schedule: BinaryHeap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
        }
    }

    fn start_session(&mut self) {
        let at_ms = self.next_session_ms as i64;
        let load = if self.daily_curve {
            DAY_CURVE[at_ms.div_euclid(3_600_000).rem_euclid(24) as usize]
        } else {
            1.0
        };
        self.next_session_ms += exponential(&mut self.rng, 1.0 / (self.sessions_per_ms * load));
        self.sessions += 1;
        let session = self.new_session(at_ms);
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot] = session;
                slot
            }
            None => {
                self.slots.push(session);
                self.slots.len() - 1
            }
        };
        self.schedule.push(Reverse(ScheduledAction { at_ms, slot }));
    }

    fn new_session(&mut self, at_ms: i64) -> Session {
        let rng = &mut self.rng;
        let mut plan = vec![SessionAction::View(PAGES[skewed_index(rng, 4)])];
        let campaign = self.scenario == Scenario::Campaign;
        let returning = rng.random_bool(if campaign { 0.3 } else { 0.5 });
        if returning {
            // A few users return often, most rarely.
            let user = (f64::from(USERS) * rng.random::<f64>().powi(3)) as u32;
            plan.push(SessionAction::LogIn(user));
            for _ in 0..geometric(rng, 0.22) {
                plan.push(if rng.random_bool(0.7) {
                    SessionAction::Use
                } else {
                    SessionAction::View("/app")
                });
            }
        } else {
            for _ in 0..geometric(rng, 0.32) {
                plan.push(SessionAction::View(PAGES[skewed_index(rng, PAGES.len())]));
            }
            if rng.random_bool(if campaign { 0.45 } else { 0.14 }) {
                plan.extend([SessionAction::View("/signup"), SessionAction::StartSignup]);
                let broken = campaign && is_incident_phase(at_ms);
                if rng.random_bool(if broken { 0.15 } else { 0.64 }) {
                    plan.push(SessionAction::CompleteSignup);
                    for _ in 0..geometric(rng, 0.35) {
                        plan.push(SessionAction::Use);
                    }
                }
            }
        }
        plan.reverse();
        Session {
            id: format!("s{:x}-{:08x}", self.sessions, rng.random::<u32>()),
            user_id: None,
            device: DEVICES[rng.random_range(0..DEVICES.len())],
            country: COUNTRIES[rng.random_range(0..COUNTRIES.len())],
            plan,
        }
    }

    fn error_rate(&self, at_ms: i64) -> f64 {
        if self.scenario == Scenario::Incident && is_incident_phase(at_ms) { 0.05 } else { 0.004 }
    }

    /// Performs the next action of a session, and schedules the one after it.
    fn advance_session(&mut self, at_ms: i64, slot: usize) -> v1::Event {
        let error_rate = self.error_rate(at_ms);
        let rng = &mut self.rng;
        let session = &mut self.slots[slot];
        let is_error = rng.random_bool(error_rate);
        let action = if is_error { None } else { session.plan.pop() };
        let mut properties = String::with_capacity(96);
        let written = match action {
            None => {
                let (code, message) = ERRORS[rng.random_range(0..ERRORS.len())];
                write!(properties, r#"{{"code":"{code}","message":"{message}"}}"#).map(|()| "error_occurred")
            }
            Some(SessionAction::View(page)) => {
                let referrer = REFERRERS[rng.random_range(0..REFERRERS.len())];
                let duration = exponential(rng, 18_000.0) as u64;
                let text = format_args!(
                    r#"{{"page_url":"{page}","referrer":"{referrer}","duration_ms":{duration}}}"#
                )
                .to_string();
                properties = text;
                Ok("page_view")
            }
            Some(SessionAction::StartSignup) => {
                let plan = PLANS[rng.random_range(0..PLANS.len())];
                write!(properties, r#"{{"plan":"{plan}"}}"#).map(|()| "signup_started")
            }
            Some(SessionAction::CompleteSignup) => {
                session.user_id = Some(format!("n{}", session.id));
                properties.push_str("{}");
                Ok("signup_completed")
            }
            Some(SessionAction::LogIn(user)) => {
                session.user_id = Some(format!("u{user}"));
                properties.push_str("{}");
                Ok("login")
            }
            Some(SessionAction::Use) => {
                let feature = FEATURES[skewed_index(rng, FEATURES.len())];
                write!(properties, r#"{{"feature":"{feature}"}}"#).map(|()| "feature_used")
            }
        };
        let event = v1::Event {
            event_name: written.expect("writing to a string does not fail").to_owned(),
            timestamp: Some(proto::timestamp_from_millis(at_ms)),
            session_id: session.id.clone(),
            user_id: session.user_id.clone(),
            device_type: session.device.to_owned(),
            country_code: session.country.to_owned(),
            properties_kind: Some(PropertiesKind::PropertiesJson(properties)),
            event_id: None,
        };
        if session.plan.is_empty() {
            self.free_slots.push(slot);
        } else {
            // Most continue soon, some take a break.
            let pause = exponential(rng, 12_000.0) + if rng.random_bool(0.05) { 120_000.0 } else { 500.0 };
            self.schedule.push(Reverse(ScheduledAction { at_ms: at_ms + pause as i64, slot }));
        }
        event
    }
}

impl Iterator for Traffic {
    /// The time in milliseconds since 1970 UTC, and the event.
    type Item = (i64, v1::Event);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self
                .schedule
                .peek()
                .is_none_or(|Reverse(scheduled)| self.next_session_ms <= scheduled.at_ms as f64)
            {
                self.start_session();
            }
            let Reverse(ScheduledAction { at_ms, slot }) = self.schedule.pop()?;
            let event = self.advance_session(at_ms, slot);
            if at_ms >= self.start_ms {
                return Some((at_ms, event));
            }
        }
    }
}

fn is_incident_phase(at_ms: i64) -> bool {
    at_ms.div_euclid(PHASE_MS).rem_euclid(2) == 1
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

    const START: i64 = 1_800_000_000_000;

    fn traffic(seed: u64, scenario: Scenario, count: usize) -> Vec<(i64, v1::Event)> {
        Traffic::new(seed, scenario, START, 100.0, false).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_events() {
        assert_eq!(traffic(1, Scenario::Steady, 500), traffic(1, Scenario::Steady, 500));
        assert_ne!(traffic(1, Scenario::Steady, 500), traffic(2, Scenario::Steady, 500));
    }

    #[test]
    fn the_average_rate_matches_the_requested_rate() {
        let events = traffic(3, Scenario::Steady, 60_000);
        let seconds = (events.last().unwrap().0 - START) as f64 / 1_000.0;
        let rate = events.len() as f64 / seconds;
        assert!((85.0..115.0).contains(&rate), "{rate} events per second");
        assert!(events.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn every_event_is_valid() {
        let rules =
            ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
        for (at_ms, event) in traffic(4, Scenario::Incident, 5_000) {
            validate(&event, &rules, at_ms).unwrap();
        }
    }

    #[test]
    fn signups_complete_only_after_they_start() {
        let mut started = HashSet::new();
        let mut completed = 0;
        for (_, event) in traffic(5, Scenario::Campaign, 50_000).into_iter().skip(10_000) {
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
    fn an_incident_raises_the_error_rate_and_ends() {
        let mut counts: HashMap<bool, (f64, f64)> = HashMap::new();
        for (at_ms, event) in traffic(6, Scenario::Incident, 200_000) {
            let (errors, all) = counts.entry(is_incident_phase(at_ms)).or_default();
            *all += 1.0;
            *errors += f64::from(u8::from(event.event_name == "error_occurred"));
        }
        let fraction = |incident| 100.0 * counts[&incident].0 / counts[&incident].1;
        assert!(fraction(true) > 3.0 && fraction(false) < 1.0, "{} and {}", fraction(true), fraction(false));
    }
}
