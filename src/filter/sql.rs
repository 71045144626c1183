//! Filters as conditions of ClickHouse. Names and values are parameters of the statement.

use clickhouse::query::Query;

use super::field::OwnField;
use super::{Bounds, Did, Field, FieldCondition, Filter, Test};

/// The parameters of a statement. A name of a field or a value of a request never becomes part of its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Params(Vec<Param>);

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Param {
    Text(String),
    Texts(Vec<String>),
    TextLists(Vec<Vec<String>>),
    Number(f64),
    /// Times in seconds since 1970 UTC.
    Seconds(Vec<i64>),
}

impl Params {
    /// Adds a parameter, and returns the reference to it.
    pub(crate) fn add(&mut self, param: Param) -> String {
        // Equal values, such as the key that a filter and a breakdown name, share a parameter.
        let index = self.0.iter().position(|known| *known == param).unwrap_or_else(|| {
            self.0.push(param.clone());
            self.0.len() - 1
        });
        let kind = match param {
            Param::Text(_) => "String",
            Param::Texts(_) => "Array(String)",
            Param::TextLists(_) => "Array(Array(String))",
            Param::Number(_) => "Float64",
            Param::Seconds(_) => "Array(UInt32)",
        };
        format!("{{p{index}:{kind}}}")
    }

    pub(crate) fn text(&mut self, text: &str) -> String {
        self.add(Param::Text(text.to_owned()))
    }

    /// Sets them in a query that refers to them.
    pub(crate) fn bind(&self, query: Query) -> Query {
        self.0.iter().enumerate().fold(query, |query, (index, param)| {
            let name = format!("p{index}");
            match param {
                Param::Text(text) => query.param(&name, text),
                Param::Texts(texts) => query.param(&name, texts),
                Param::TextLists(lists) => query.param(&name, lists),
                Param::Number(number) => query.param(&name, number),
                Param::Seconds(seconds) => query.param(&name, seconds),
            }
        })
    }
}

/// Writes the condition on what a visitor did.
pub(crate) type WriteDid<'a> = dyn Fn(&Did, &mut Params) -> String + 'a;

/// The condition that rows of `events` have to meet.
pub(crate) fn condition(filter: &Filter, params: &mut Params, did: &WriteDid<'_>) -> String {
    let mut join = |filters: &[Filter], operator: &str, empty: &str| {
        let conditions: Vec<String> = filters.iter().map(|filter| condition(filter, params, did)).collect();
        match conditions.as_slice() {
            [] => empty.to_owned(),
            [condition] => condition.clone(),
            _ => format!("({})", conditions.join(operator)),
        }
    };
    match filter {
        Filter::All(filters) => join(filters, " AND ", "1"),
        Filter::Any(filters) => join(filters, " OR ", "0"),
        Filter::Not(filter) => format!("NOT {}", condition(filter, params, did)),
        Filter::Field(field) => field_condition(field, params),
        Filter::Did(conditions) => did(conditions, params),
    }
}

fn field_condition(FieldCondition { field, test }: &FieldCondition, params: &mut Params) -> String {
    match test {
        Test::Is(values) => {
            format!("{} IN {}", text(field, params), params.add(Param::Texts(values.clone())))
        }
        Test::Contains(values) => {
            format!("multiSearchAny({}, {})", text(field, params), params.add(Param::Texts(values.clone())))
        }
        Test::Matches(patterns) => {
            let text = text(field, params);
            let matches: Vec<String> =
                patterns.iter().map(|pattern| format!("match({text}, {})", params.text(pattern))).collect();
            format!("({})", matches.join(" OR "))
        }
        Test::Number(bounds) => {
            let number = number(field, params);
            let Bounds { low, high, inclusive } = *bounds;
            let equal = if inclusive { "=" } else { "" };
            let mut bound = |operator: &str, bound: f64| {
                bound.is_finite().then(|| {
                    format!("ifNull({number} {operator}{equal} {}, 0)", params.add(Param::Number(bound)))
                })
            };
            let bounds: Vec<String> = [bound(">", low), bound("<", high)].into_iter().flatten().collect();
            format!("({})", bounds.join(" AND "))
        }
        Test::IsSet => format!("notEmpty({})", text(field, params)),
    }
}

/// The text of a field; empty if it is not set.
pub(crate) fn text(field: &Field, params: &mut Params) -> String {
    match field {
        Field::Own(OwnField::UserId) => "ifNull(events.user_id, '')".to_owned(),
        Field::Own(OwnField::CountryCode) => "toString(events.country_code)".to_owned(),
        Field::Own(own) => format!("events.{}", own.name()),
        Field::Promoted { name, is_number: true } => format!("ifNull(toString(events.`{name}`), '')"),
        Field::Promoted { name, is_number: false } => format!("events.`{name}`"),
        Field::Property(key) => {
            format!("ifNull(JSONExtract(events.properties, {}, 'Nullable(String)'), '')", params.text(key))
        }
    }
}

/// The number that a field is, as a `Nullable(Float64)`: NULL if it is something else.
pub(crate) fn number(field: &Field, params: &mut Params) -> String {
    match field {
        Field::Own(_) | Field::Promoted { is_number: false, .. } => {
            "CAST(NULL, 'Nullable(Float64)')".to_owned()
        }
        Field::Promoted { name, is_number: true } => format!("events.`{name}`"),
        // JSON of a string begins with a quote, which no number does. ClickHouse would also convert strings and booleans.
        Field::Property(key) => {
            format!("toFloat64OrNull(JSONExtractRaw(events.properties, {}))", params.text(key))
        }
    }
}
