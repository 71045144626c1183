//! Prometheus's text format, version 0.0.4.

use std::fmt::Write as _;

use crate::counters::{BUCKET_BOUNDS_SECONDS, HistogramSnapshot};

/// The `Content-Type` of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Writes families of samples. Values of labels are names of the program, or ids of keys: none needs an escape.
#[derive(Debug, Default)]
pub(super) struct TextEncoder {
    text: String,
    family: String,
}

impl TextEncoder {
    /// Starts a family. Its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        name.clone_into(&mut self.family);
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let name = std::mem::take(&mut self.family);
        self.line(format_args!("{name}{labels} {value}"));
        self.family = name;
    }

    /// A family of one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, snapshot: &HistogramSnapshot) {
        self.family(name, Kind::Histogram, help);
        let bounds = BUCKET_BOUNDS_SECONDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(snapshot.cumulative) {
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        self.line(format_args!("{name}_sum {}", snapshot.sum_seconds));
        let count = snapshot.cumulative[BUCKET_BOUNDS_SECONDS.len()];
        self.line(format_args!("{name}_count {count}"));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String accepts everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Histogram;

    #[test]
    fn families_have_help_type_and_samples() {
        let mut text = TextEncoder::default();
        text.family("a_total", Kind::Counter, "As.");
        text.sample(&[("field", "x"), ("key", "y")], 3.0);
        text.single("b", Kind::Gauge, "B.", 0.5);
        assert_eq!(
            text.finish(),
            "# HELP a_total As.\n# TYPE a_total counter\na_total{field=\"x\",key=\"y\"} 3\n# HELP b B.\n# TYPE b gauge\nb 0.5\n"
        );
    }

    #[test]
    fn the_buckets_of_a_histogram_are_cumulative() {
        let histogram = Histogram::default();
        histogram.observe(std::time::Duration::from_millis(2));
        let mut text = TextEncoder::default();
        text.histogram("h", "H.", &histogram.snapshot());
        let text = text.finish();
        for line in [
            "h_bucket{le=\"0.001\"} 0",
            "h_bucket{le=\"0.0025\"} 1",
            "h_bucket{le=\"+Inf\"} 1",
            "h_sum 0.002",
            "h_count 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
