//! Placeholders of .sql files, for what a query parameter cannot be: table names, subqueries, settings.

/// Replaces each `{{name}}` with its value. Values come from this crate, never from users: they are not escaped.
pub(crate) fn render<N: AsRef<str>, V: AsRef<str>>(
    template: &str,
    values: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut statement = template.to_owned();
    for (name, value) in values {
        statement = statement.replace(&format!("{{{{{}}}}}", name.as_ref()), value.as_ref());
    }
    debug_assert!(!statement.contains("{{"), "every placeholder has a value: {statement}");
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_query_parameters_are_kept() {
        let template = "SELECT {n:UInt8} FROM {{source}} WHERE '{{source}}' != '{{other}}'";
        assert_eq!(
            render(template, [("source", "events"), ("other", "x")]),
            "SELECT {n:UInt8} FROM events WHERE 'events' != 'x'"
        );
    }
}
