//! YAML as a tree whose nodes know their lines.
//!
//! Only what a description of a message needs: one document of mappings with text keys, lists and scalars. Aliases are refused, so
//! that a small file cannot become a large tree, and so are tags and keys that occur twice.

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The deepest nesting. A filter, the deepest part of a query, has three levels of its ten.
const MAX_DEPTH: usize = 64;
/// The most entries of a mapping. No message has as many fields.
const MAX_ENTRIES: usize = 100;

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// The line that it begins on, from 1.
    pub(super) line: u32,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A scalar without quotes.
    Plain(String),
    /// A scalar in quotes, or a block of text.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The line of its key.
    pub(super) line: u32,
    pub(super) key: String,
    pub(super) value: Node,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(super) struct Problem {
    /// From 1.
    pub(super) line: u32,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl Node {
    /// Whether there is no value: nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entry of a mapping with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The first entry with this key, in the node or below it.
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.get(key).or_else(|| match &self.value {
            Value::Map(entries) => entries.iter().find_map(|entry| entry.value.find(key)),
            Value::List(nodes) => nodes.iter().find_map(|node| node.find(key)),
            Value::Plain(_) | Value::Quoted(_) => None,
        })
    }

    /// For messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Plain(_) if self.is_null() => "nothing",
            Value::Plain(_) | Value::Quoted(_) => "a text or number",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A collection that has not ended.
enum Open {
    List(u32, Vec<Node>),
    /// With the key whose value comes next.
    Map(u32, Vec<Entry>, Option<(u32, String)>),
}

/// Parses a document.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            // What is missing at the end is reported behind the last line.
            let at = line(error.marker().line().min(text.lines().count()));
            Problem::new(at, format!("this is not YAML: {}", error.info()))
        })?;
        let at = line(span.start.line());
        if let Event::Scalar(_, _, _, Some(_))
        | Event::SequenceStart(_, Some(_))
        | Event::MappingStart(_, Some(_)) = &event
        {
            return Err(Problem::new(at, "tags (!) are not allowed; remove it"));
        }
        let node = match event {
            Event::DocumentStart(_) if root.is_some() => {
                return Err(Problem::new(at, "a file has one document; remove what follows \"---\""));
            }
            Event::Alias(_) => {
                return Err(Problem::new(at, "aliases (*) are not allowed; repeat the value instead"));
            }
            Event::Scalar(text, style, ..) => {
                let text = text.into_owned();
                let value = match style {
                    ScalarStyle::Plain => Value::Plain(text),
                    _ => Value::Quoted(text),
                };
                Node { line: at, value }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == MAX_DEPTH {
                    return Err(Problem::new(at, format!("this is nested deeper than {MAX_DEPTH} levels")));
                }
                open.push(match event {
                    Event::SequenceStart(..) => Open::List(at, Vec::new()),
                    _ => Open::Map(at, Vec::new(), None),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(line, nodes)) => Node { line, value: Value::List(nodes) },
                Some(Open::Map(line, entries, _)) => Node { line, value: Value::Map(entries) },
                None => continue,
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        match open.last_mut() {
            None => root = Some(node),
            Some(Open::List(_, nodes)) => nodes.push(node),
            Some(Open::Map(_, entries, key)) => match key.take() {
                Some((line, key)) => entries.push(Entry { line, key, value: node }),
                None => *key = Some(check_key(node, entries)?),
            },
        }
    }
    root.ok_or_else(|| Problem::new(1, "the file is empty"))
}

fn check_key(node: Node, entries: &[Entry]) -> Result<(u32, String), Problem> {
    let key = match node.value {
        Value::Plain(text) | Value::Quoted(text) => text,
        Value::List(_) | Value::Map(_) => return Err(Problem::new(node.line, "a key has to be a name")),
    };
    if entries.len() == MAX_ENTRIES {
        return Err(Problem::new(node.line, format!("there are more than {MAX_ENTRIES} entries")));
    }
    if entries.iter().any(|entry| entry.key == key) {
        let key = crate::panels::abbreviate(&key);
        return Err(Problem::new(node.line, format!("{key:?} is given twice")));
    }
    Ok((node.line, key))
}

fn line(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_their_lines() {
        let root = parse("# a comment\na: 1\nb:\n  - x\n  - c: 'null'\n    d: ~\n").unwrap();
        assert_eq!(root.get("b").unwrap().line, 3);
        let entry = root.find("c").unwrap();
        assert_eq!((entry.line, &entry.value.value), (5, &Value::Quoted("null".into())));
        assert!(root.find("d").unwrap().value.is_null() && !entry.value.is_null());
        assert_eq!(root.find("e"), None);
    }

    #[test]
    fn what_a_description_does_not_need_is_refused() {
        let many: String = (0..=100).map(|number| format!("a{number}: 1\n")).collect();
        let deep = "[".repeat(100);
        let deep_block = "- ".repeat(100) + "a";
        for (text, line, part) in [
            ("", 1, "empty"),
            ("a: 1\nb: [", 2, "not YAML"),
            ("a: &x [1]\nb: *x", 2, "aliases"),
            ("a: !!str 1", 1, "tags"),
            ("a: 1\n\"a\": 2", 2, "\"a\" is given twice"),
            ("a: 1\n---\nb: 1", 2, "one document"),
            ("? [a]\n: 1", 1, "a key has to be a name"),
            (many.as_str(), 101, "more than 100 entries"),
            (deep.as_str(), 1, ""),
            (deep_block.as_str(), 1, "64 levels"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.line == line && problem.message.contains(part), "{text}: {problem}");
        }
    }
}
