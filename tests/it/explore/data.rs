//! Random events of a few visitors, and what plain Rust makes of them.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use millrace_client::proto::v1;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

pub(super) const ZONE: &str = "Europe/Madrid";
pub(super) const NAMES: [&str; 5] = ["view", "start", "middle", "done", "error"];

/// An event as the model sees it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) time: i64,
    pub(super) session: String,
    pub(super) user: Option<String>,
    pub(super) country: String,
    pub(super) properties: Value,
}

impl Event {
    pub(super) fn message(&self) -> v1::Event {
        v1::Event {
            event_name: self.name.clone(),
            timestamp: Some(millrace::internals::proto::timestamp_from_millis(self.time)),
            session_id: self.session.clone(),
            user_id: self.user.clone(),
            country_code: self.country.clone(),
            properties_kind: Some(v1::event::PropertiesKind::PropertiesJson(self.properties.to_string())),
            ..Default::default()
        }
    }

    /// The text of a field; empty if it is not set.
    pub(super) fn text(&self, field: &str) -> String {
        match field {
            "event_name" => self.name.clone(),
            "session_id" => self.session.clone(),
            "user_id" => self.user.clone().unwrap_or_default(),
            "country_code" => self.country.clone(),
            key => match self.properties.get(key) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            },
        }
    }

    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.properties.get(field).and_then(Value::as_f64)
    }
}

/// The last change of the clock that is at least a week ago, in milliseconds.
pub(super) fn clock_change() -> i64 {
    let zone = TimeZone::get(ZONE).unwrap();
    let week_ago = Timestamp::from_second(Timestamp::now().as_second() - 7 * 86_400).unwrap();
    zone.preceding(week_ago).next().unwrap().timestamp().as_millisecond()
}

/// Visits around a change of the clock, with ties, repeated events, pauses of half an hour, shared sessions, and log-ins in the
/// middle of a visit.
pub(super) fn events(random: &mut StdRng, visits: usize) -> Vec<Event> {
    let change = clock_change();
    let mut events = Vec::new();
    for _ in 0..visits {
        let mut time = change + random.random_range(-4 * 24 * 60..4 * 24 * 60) * 60_000;
        let session = match random.random_range(0..10) {
            0 => String::new(),
            _ => format!("s{}", random.random_range(0..60)),
        };
        let user = format!("u{}", random.random_range(0..25));
        let logs_in_at = random.random_range(0..8);
        for step in 0..random.random_range(1..7) {
            events.push(Event {
                name: (*NAMES.choose(random).unwrap()).to_owned(),
                time,
                session: session.clone(),
                user: (step >= logs_in_at).then(|| user.clone()),
                country: (*["ES", "DE", "US", "ZZ"].choose(random).unwrap()).to_owned(),
                properties: properties(random),
            });
            time += [0, 0, 1, 1_000, 300_000, 1_799_999, 1_800_000, 7_200_000].choose(random).unwrap();
        }
    }
    events
}

fn properties(random: &mut StdRng) -> Value {
    let mut properties = json!({});
    let plans =
        [json!("free"), json!("pro"), json!("it's \"q\" \\"), json!(3), json!(true), json!(null), json!("")];
    if random.random_bool(0.8) {
        properties["plan"] = plans.choose(random).unwrap().clone();
    }
    let amounts = [json!(1), json!(2.5), json!(-4), json!("7"), json!([1]), json!(100)];
    if random.random_bool(0.7) {
        properties["amount"] = amounts.choose(random).unwrap().clone();
    }
    properties
}

/// The events of a project, with the links of sessions to users.
pub(super) struct Model {
    pub(super) events: Vec<Event>,
    links: HashMap<String, String>,
}

impl Model {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let mut firsts = HashMap::<String, (i64, String)>::new();
        for event in events.iter().filter(|event| !event.session.is_empty()) {
            let Some(user) = &event.user else { continue };
            let seen = (event.time, user.clone());
            let first = firsts.entry(event.session.clone()).or_insert_with(|| seen.clone());
            *first = first.clone().min(seen);
        }
        let links = firsts.into_iter().map(|(session, (_, user))| (session, user)).collect();
        Self { events, links }
    }

    /// The linked visitor; empty without one.
    pub(super) fn visitor(&self, event: &Event) -> String {
        let linked = || self.links.get(&event.session).unwrap_or(&event.session).clone();
        event.user.clone().unwrap_or_else(linked)
    }

    /// The events of each visitor.
    pub(super) fn by_visitor(&self) -> HashMap<String, Vec<&Event>> {
        self.grouped(|event| self.visitor(event))
    }

    /// The events of each group, without those that have none.
    pub(super) fn grouped(&self, key: impl Fn(&Event) -> String) -> HashMap<String, Vec<&Event>> {
        let mut groups = HashMap::<String, Vec<&Event>>::new();
        for event in &self.events {
            let key = key(event);
            if !key.is_empty() {
                groups.entry(key).or_default().push(event);
            }
        }
        groups
    }
}

/// A filter of the model.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    Field(&'static str, v1::FieldOperator, Vec<&'static str>),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Did(&'static str, u32),
}

impl Filter {
    pub(super) fn message(&self) -> v1::EventFilter {
        use v1::event_filter::Condition;
        let list =
            |filters: &[Self]| v1::EventFilterList { filters: filters.iter().map(Self::message).collect() };
        let condition = match self {
            Self::Field(field, operator, values) => Condition::Field(v1::FieldCondition {
                field: (*field).to_owned(),
                operator: (*operator).into(),
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }),
            Self::All(filters) => Condition::All(list(filters)),
            Self::Any(filters) => Condition::Any(list(filters)),
            Self::Not(filter) => Condition::Not(Box::new(filter.message())),
            Self::Did(name, times) => Condition::Did(Box::new(v1::DidEvent {
                event_name: (*name).to_owned(),
                times: Some(*times),
                ..Default::default()
            })),
        };
        v1::EventFilter { condition: Some(condition) }
    }

    /// Whether it selects an event, with a range for [`Self::Did`].
    pub(super) fn selects(&self, event: &Event, model: &Model, range: &std::ops::Range<i64>) -> bool {
        match self {
            Self::Field(field, operator, values) => field_matches(event, field, *operator, values),
            Self::All(filters) => filters.iter().all(|filter| filter.selects(event, model, range)),
            Self::Any(filters) => filters.iter().any(|filter| filter.selects(event, model, range)),
            Self::Not(filter) => !filter.selects(event, model, range),
            Self::Did(name, times) => {
                let visitor = model.visitor(event);
                let did = model.events.iter().filter(|other| {
                    other.name == *name && range.contains(&other.time) && model.visitor(other) == visitor
                });
                !visitor.is_empty() && did.count() >= *times as usize
            }
        }
    }
}

fn field_matches(event: &Event, field: &str, operator: v1::FieldOperator, values: &[&str]) -> bool {
    use v1::FieldOperator as Operator;
    let text = event.text(field);
    let number = |test: &dyn Fn(f64, f64) -> bool| {
        event.number(field).is_some_and(|number| test(number, values[0].parse().unwrap()))
    };
    match operator {
        Operator::Unspecified | Operator::Is => values.contains(&&*text),
        Operator::IsNot => !values.contains(&&*text),
        Operator::Contains => values.iter().any(|value| text.contains(value)),
        Operator::DoesNotContain => !values.iter().any(|value| text.contains(value)),
        Operator::Matches => values.iter().any(|value| regex::Regex::new(value).unwrap().is_match(&text)),
        Operator::Greater => number(&|a, b| a > b),
        Operator::GreaterOrEqual => number(&|a, b| a >= b),
        Operator::Less => number(&|a, b| a < b),
        Operator::LessOrEqual => number(&|a, b| a <= b),
        Operator::Between => {
            let high: f64 = values[1].parse().unwrap();
            number(&|a, b| a >= b && a <= high)
        }
        Operator::IsSet => !text.is_empty(),
        Operator::IsNotSet => text.is_empty(),
    }
}

/// A random filter.
pub(super) fn filter(random: &mut StdRng, depth: usize) -> Filter {
    use v1::FieldOperator as Operator;
    match random.random_range(0..if depth == 0 { 9 } else { 12 }) {
        0 => Filter::Field("plan", Operator::Is, vec!["pro", "3"]),
        1 => Filter::Field("plan", Operator::IsNot, vec!["it's \"q\" \\"]),
        2 => Filter::Field("plan", Operator::Contains, vec!["r", "\""]),
        3 => Filter::Field("plan", Operator::DoesNotContain, vec!["e"]),
        4 => Filter::Field("plan", Operator::Matches, vec!["^p.o$", "tr.e"]),
        5 => Filter::Field("amount", Operator::Between, vec!["-4", "2.5"]),
        6 => Filter::Field(
            "amount",
            *[Operator::Greater, Operator::GreaterOrEqual, Operator::Less, Operator::LessOrEqual]
                .choose(random)
                .unwrap(),
            vec!["1"],
        ),
        7 => Filter::Field(
            ["plan", "user_id", "session_id"].choose(random).unwrap(),
            *[Operator::IsSet, Operator::IsNotSet].choose(random).unwrap(),
            Vec::new(),
        ),
        8 => Filter::Field("country_code", Operator::Is, vec!["DE", "ZZ"]),
        9 => Filter::All((0..2).map(|_| filter(random, depth - 1)).collect()),
        10 => Filter::Any((0..2).map(|_| filter(random, depth - 1)).collect()),
        _ => match random.random_bool(0.5) {
            true => Filter::Not(Box::new(filter(random, depth - 1))),
            false => Filter::Did(NAMES.choose(random).unwrap(), random.random_range(1..3)),
        },
    }
}
