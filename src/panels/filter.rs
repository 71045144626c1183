//! Filters: only events with certain values of dimensions count.

use std::collections::BTreeMap;

use super::abbreviate;

/// The dimension of filters by the event's name.
pub(crate) const EVENT_NAME: &str = "event_name";

/// The most filters of a query.
const MAX_FILTERS: usize = 10;
/// The most values of a filter.
const MAX_VALUES: usize = 100;
/// The longest value. Texts of promoted properties have up to 500 characters.
const MAX_VALUE_BYTES: usize = 2_048;

/// The filters of a query. An event must have one of the values of each dimension. Equal filters are equal, whatever the
/// order of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

/// Why a filter is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// The panel's statement has no template.
    #[error(
        "filters: the panel {0} cannot be filtered, because its statement reads tables itself; use a template such as \
         {{{{series('page_view')}}}} in it"
    )]
    Unsupported(String),
    /// No such dimension is declared.
    #[error("filters: {dimension:?} is not a dimension; available: {available}")]
    UnknownDimension {
        /// The name, abbreviated.
        dimension: String,
        /// All dimensions.
        available: String,
    },
    /// More than [`MAX_FILTERS`].
    #[error("filters: {0} are given; the maximum is {MAX_FILTERS}")]
    TooMany(usize),
    /// None, or more than [`MAX_VALUES`].
    #[error("filters: {dimension} has {count} values; expected 1 to {MAX_VALUES}")]
    ValueCount {
        /// The dimension, abbreviated.
        dimension: String,
        /// How many it has.
        count: usize,
    },
    /// An empty value, or a long one.
    #[error("filters: a value of {0} is empty or has more than {MAX_VALUE_BYTES} bytes")]
    Value(String),
}

impl Filters {
    /// Parses the filters of a request. Several filters by a dimension must all be passed, like others.
    pub(crate) fn parse(
        filters: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> Result<Self, InvalidFilter> {
        let mut parsed = BTreeMap::<String, Vec<String>>::new();
        for (index, (dimension, mut values)) in filters.into_iter().enumerate() {
            if index == MAX_FILTERS {
                return Err(InvalidFilter::TooMany(index + 1));
            }
            if values.is_empty() || values.len() > MAX_VALUES {
                let count = values.len();
                return Err(InvalidFilter::ValueCount { dimension: abbreviate(&dimension), count });
            }
            if values.iter().any(|value| value.is_empty() || value.len() > MAX_VALUE_BYTES) {
                return Err(InvalidFilter::Value(abbreviate(&dimension)));
            }
            values.sort_unstable();
            values.dedup();
            match parsed.get_mut(&dimension) {
                Some(earlier) => earlier.retain(|value| values.contains(value)),
                None => {
                    parsed.insert(dimension, values);
                }
            }
        }
        Ok(Self(parsed))
    }

    /// Whether all events pass.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The dimensions, ascending.
    pub(super) fn dimensions(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The values by dimension, in the order of the dimensions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(dimension, values)| (dimension.as_str(), values.as_slice()))
    }

    /// The names of the events that pass. `None` for all.
    pub(super) fn event_names(&self) -> Option<&[String]> {
        self.0.get(EVENT_NAME).map(Vec::as_slice)
    }

    /// Memory use in bytes, estimated.
    pub(super) fn estimated_bytes(&self) -> usize {
        let text = |text: &String| text.len() + size_of::<String>();
        self.0.iter().map(|(dimension, values)| text(dimension) + values.iter().map(text).sum::<usize>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(filters: &[(&str, &[&str])]) -> Result<Filters, InvalidFilter> {
        Filters::parse(filters.iter().map(|(dimension, values)| {
            ((*dimension).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        }))
    }

    #[test]
    fn filters_have_one_form_and_several_by_a_dimension_are_intersected() {
        assert_eq!(parse(&[("a", &["y", "x", "y"])]), parse(&[("a", &["x", "y"])]));
        assert_eq!(parse(&[("a", &["x", "y"]), ("b", &["z"]), ("a", &["y", "z"])]), parse(&[("b", &["z"]), ("a", &["y"])]));
        let nothing = parse(&[("a", &["x"]), ("a", &["y"])]).unwrap();
        assert_eq!(nothing.iter().collect::<Vec<_>>(), [("a", &[][..])]);
    }

    #[test]
    fn filters_are_few_and_have_values() {
        let message = |filters: &[(&str, &[&str])]| parse(filters).unwrap_err().to_string();
        assert!(message(&[("a", &[])]).contains("a has 0 values; expected 1 to 100"));
        assert!(message(&[("a", &["x"; 101])]).contains("101 values"));
        assert!(message(&[("a", &[""])]).contains("is empty"));
        assert!(message(&[("a", &[&*"x".repeat(2_049)])]).contains("more than 2048 bytes"));
        assert!(message(&[("a", &["x"][..]); 11]).contains("11 are given"));
    }
}
