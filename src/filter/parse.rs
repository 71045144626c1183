//! From the contracts' message to a valid filter.

use super::field::InvalidField;
use super::pattern::pattern;
use super::{Bounds, Did, Field, FieldCondition, Filter, Test};
use crate::event::MAX_EVENT_NAME_BYTES;
use crate::panels::abbreviate;
use crate::properties::Properties;
use crate::proto::v1;
use v1::event_filter::Condition;

const MAX_CONDITIONS: usize = 100;
const MAX_DEPTH: usize = 10;
const MAX_VALUES: usize = 100;
const MAX_VALUE_BYTES: usize = 2_048;
const MAX_PATTERN_BYTES: usize = 500;
const MAX_TIMES: u32 = 1_000;
/// The longest retention of events.
const MAX_WITHIN_SECONDS: i64 = 3_653 * 86_400;

/// Why a filter is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFilter {
    /// More conditions than allowed.
    #[error("filter: it has more than {MAX_CONDITIONS} conditions")]
    TooManyConditions,
    /// Nested too deep.
    #[error("filter: it is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The field is missing or too long.
    #[error("filter: {0}")]
    Field(#[from] InvalidField),
    /// The operator is not one of the contract.
    #[error("filter: {field}: the operator {operator} is not known; expected for example FIELD_OPERATOR_IS")]
    Operator { field: String, operator: i32 },
    /// The operator takes another number of values.
    #[error("filter: {field}: {operator} takes {expected}; {given} are given")]
    ValueCount { field: String, operator: &'static str, expected: &'static str, given: usize },
    /// An empty or overlong value.
    #[error("filter: a value of {field} is empty or has more than {max} bytes")]
    Value { field: String, max: usize },
    /// A comparison of numbers with something else.
    #[error("filter: {field}: {value:?} is not a number")]
    NotANumber { field: String, value: String },
    /// The lower bound is above the upper one.
    #[error("filter: {field}: the bounds {low} and {high} are in the wrong order")]
    Bounds { field: String, low: String, high: String },
    /// Not a regular expression.
    #[error("filter: {field}: {pattern:?} is not a regular expression: {reason}")]
    Pattern { field: String, pattern: String, reason: String },
    /// No event can have this name.
    #[error("filter: the event name {0:?} is longer than {MAX_EVENT_NAME_BYTES} bytes")]
    EventName(String),
    /// `did` where only an event itself can be evaluated.
    #[error(
        "filter: a condition on what a visitor did (did) needs stored events, so live events cannot be filtered by it; \
         leave it out, or search stored events instead"
    )]
    LiveDid,
    /// `did` within `did`.
    #[error("filter: a condition on what a visitor did cannot contain another one")]
    NestedDid,
    /// Not a period that events are stored for.
    #[error("filter: did.within: expected between a minute and ten years, in seconds")]
    Within,
    /// Not a possible number of times.
    #[error("filter: did.times: {0} is given; expected 1 to {MAX_TIMES}")]
    Times(u32),
}

impl Filter {
    /// Validates a message. An absent one selects every event.
    pub(crate) fn parse(
        message: Option<&v1::EventFilter>,
        properties: &Properties,
    ) -> Result<Self, InvalidFilter> {
        let mut parser = Parser { properties, conditions: 0, in_did: false };
        message.map_or_else(|| Ok(Self::default()), |message| parser.filter(message, 1))
    }
}

/// The canonical form of an event name of a query: empty for any event.
pub(crate) fn check_event_name(name: &str) -> Result<String, InvalidFilter> {
    if name.len() > MAX_EVENT_NAME_BYTES {
        return Err(InvalidFilter::EventName(abbreviate(name)));
    }
    Ok(name.to_owned())
}

struct Parser<'a> {
    properties: &'a Properties,
    conditions: usize,
    in_did: bool,
}

impl Parser<'_> {
    fn filter(&mut self, message: &v1::EventFilter, depth: usize) -> Result<Filter, InvalidFilter> {
        if depth > MAX_DEPTH {
            return Err(InvalidFilter::TooDeep);
        }
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(InvalidFilter::TooManyConditions);
        }
        let mut list = |list: &v1::EventFilterList| {
            list.filters.iter().map(|filter| self.filter(filter, depth + 1)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match &message.condition {
            None => Filter::default(),
            Some(Condition::All(filters)) => Filter::All(list(filters)?),
            Some(Condition::Any(filters)) => Filter::Any(list(filters)?),
            Some(Condition::Not(filter)) => Filter::Not(Box::new(self.filter(filter, depth + 1)?)),
            Some(Condition::Field(condition)) => self.field(condition)?,
            Some(Condition::Did(did)) => Filter::Did(Box::new(self.did(did, depth)?)),
        })
    }

    fn did(&mut self, message: &v1::DidEvent, depth: usize) -> Result<Did, InvalidFilter> {
        if std::mem::replace(&mut self.in_did, true) {
            return Err(InvalidFilter::NestedDid);
        }
        let filter = message.filter.as_deref();
        let filter = filter.map_or_else(|| Ok(Filter::default()), |filter| self.filter(filter, depth + 1))?;
        self.in_did = false;
        let within_seconds = message.within.as_ref().map(|within| within.seconds);
        if within_seconds.is_some_and(|seconds| !(60..=MAX_WITHIN_SECONDS).contains(&seconds)) {
            return Err(InvalidFilter::Within);
        }
        let times = message.times.unwrap_or(1);
        if !(1..=MAX_TIMES).contains(&times) {
            return Err(InvalidFilter::Times(times));
        }
        Ok(Did { event_name: check_event_name(&message.event_name)?, filter, within_seconds, times })
    }

    fn field(&self, message: &v1::FieldCondition) -> Result<Filter, InvalidFilter> {
        use v1::FieldOperator as Operator;
        let v1::FieldCondition { field: name, operator, values } = message;
        let field = Field::parse(name, self.properties)?;
        let operator = Operator::try_from(*operator)
            .map_err(|_| InvalidFilter::Operator { field: abbreviate(name), operator: *operator })?;
        let count = |expected: std::ops::RangeInclusive<usize>, text: &'static str| {
            if expected.contains(&values.len()) {
                return Ok(());
            }
            Err(InvalidFilter::ValueCount {
                field: abbreviate(name),
                operator: operator.as_str_name(),
                expected: text,
                given: values.len(),
            })
        };
        let texts = |max: usize| {
            count(1..=MAX_VALUES, "1 to 100 values")?;
            if values.iter().any(|value| value.is_empty() || value.len() > max) {
                return Err(InvalidFilter::Value { field: abbreviate(name), max });
            }
            let mut texts = values.clone();
            texts.sort_unstable();
            texts.dedup();
            Ok(texts)
        };
        let number = |index: usize| {
            let value = &values[index];
            let parsed: Option<f64> = value.parse().ok();
            parsed.filter(|parsed| parsed.is_finite()).ok_or_else(|| InvalidFilter::NotANumber {
                field: abbreviate(name),
                value: abbreviate(value),
            })
        };
        let one_number = || {
            count(1..=1, "one value")?;
            number(0)
        };
        let below = |high, inclusive| Test::Number(Bounds { low: f64::NEG_INFINITY, high, inclusive });
        let above = |low, inclusive| Test::Number(Bounds { low, high: f64::INFINITY, inclusive });
        let (is_negated, test) = match operator {
            Operator::Unspecified | Operator::Is => (false, Test::Is(texts(MAX_VALUE_BYTES)?)),
            Operator::IsNot => (true, Test::Is(texts(MAX_VALUE_BYTES)?)),
            Operator::Contains => (false, Test::Contains(texts(MAX_VALUE_BYTES)?)),
            Operator::DoesNotContain => (true, Test::Contains(texts(MAX_VALUE_BYTES)?)),
            Operator::Matches => {
                let patterns = texts(MAX_PATTERN_BYTES)?;
                for pattern in &patterns {
                    check_pattern(pattern).map_err(|reason| InvalidFilter::Pattern {
                        field: abbreviate(name),
                        pattern: abbreviate(pattern),
                        reason,
                    })?;
                }
                (false, Test::Matches(patterns))
            }
            Operator::Greater => (false, above(one_number()?, false)),
            Operator::GreaterOrEqual => (false, above(one_number()?, true)),
            Operator::Less => (false, below(one_number()?, false)),
            Operator::LessOrEqual => (false, below(one_number()?, true)),
            Operator::Between => {
                count(2..=2, "two values")?;
                let (low, high) = (number(0)?, number(1)?);
                if low > high {
                    let (low, high) = (abbreviate(&values[0]), abbreviate(&values[1]));
                    return Err(InvalidFilter::Bounds { field: abbreviate(name), low, high });
                }
                (false, Test::Number(Bounds { low, high, inclusive: true }))
            }
            Operator::IsSet | Operator::IsNotSet => {
                count(0..=0, "no value")?;
                (operator == Operator::IsNotSet, Test::IsSet)
            }
        };
        let condition = Filter::Field(FieldCondition { field, test });
        Ok(if is_negated { Filter::Not(Box::new(condition)) } else { condition })
    }
}

/// Checks a regular expression. Its syntax is that of RE2, which the library shares.
pub(crate) fn check_pattern(text: &str) -> Result<(), String> {
    match pattern(text) {
        Ok(_) => Ok(()),
        // The library draws the place over several lines; the last one is the reason.
        Err(error) => {
            let text = error.to_string();
            Err(text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
    }
}
