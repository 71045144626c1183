//! The filter that every query about events has (`EventFilter` in the contracts): validated once, evaluated by ClickHouse
//! ([`sql`]), or for an event in memory ([`mod@matches`]).

pub(crate) mod field;
pub(crate) mod matches;
mod parse;
mod pattern;
pub(crate) mod sql;

pub(crate) use field::Field;
pub(crate) use parse::{InvalidFilter, check_event_name, check_pattern};
pub(crate) use pattern::pattern;

/// Selects events. Equal filters select the same events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Filter {
    /// Every filter selects the event; with none, every event.
    All(Vec<Filter>),
    /// A filter selects the event; with none, no event.
    Any(Vec<Filter>),
    /// The filter does not select the event.
    Not(Box<Filter>),
    /// A field has a value.
    Field(FieldCondition),
    /// The visitor of the event did something.
    Did(Box<Did>),
}

/// A condition on a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FieldCondition {
    pub(crate) field: Field,
    pub(crate) test: Test,
}

/// What the value of a field has to meet. `is not` and `does not contain` are their opposites within [`Filter::Not`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    /// Equal to one of the texts, sorted.
    Is(Vec<String>),
    /// Contains one of the texts, sorted.
    Contains(Vec<String>),
    /// Matches one of the regular expressions, sorted.
    Matches(Vec<String>),
    /// Is a number in these bounds.
    Number(Bounds),
    /// Has a value.
    IsSet,
}

/// Bounds of a number. Infinite without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Whether the bounds themselves are within.
    pub(crate) inclusive: bool,
}

impl PartialEq for Bounds {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Bounds {}

impl std::hash::Hash for Bounds {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Bounds {
    fn key(&self) -> (u64, u64, bool) {
        (self.low.to_bits(), self.high.to_bits(), self.inclusive)
    }
}

/// Something that a visitor did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Did {
    /// Empty for any event.
    pub(crate) event_name: String,
    /// Contains no other [`Filter::Did`].
    pub(crate) filter: Filter,
    /// Before the end of the range, in seconds; `None` for the range.
    pub(crate) within_seconds: Option<i64>,
    /// At least.
    pub(crate) times: u32,
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Filter {
    /// Whether it selects every event.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::All(filters) if filters.is_empty())
    }

    /// Both filters.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (first, second) if second.is_empty() => first,
            (first, second) if first.is_empty() => second,
            (Self::All(mut filters), Self::All(others)) => {
                filters.extend(others);
                Self::All(filters)
            }
            (Self::All(mut filters), other) => {
                filters.push(other);
                Self::All(filters)
            }
            (first, second) => Self::All(vec![first, second]),
        }
    }

    /// Whether it asks what visitors did.
    pub(crate) fn has_did(&self) -> bool {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().any(Self::has_did),
            Self::Not(filter) => filter.has_did(),
            Self::Field(_) => false,
            Self::Did(_) => true,
        }
    }
}

impl From<InvalidFilter> for crate::error::Error {
    fn from(error: InvalidFilter) -> Self {
        Self::invalid(error.to_string())
    }
}
