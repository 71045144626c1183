//! Reports progress on stderr: updating bars on a terminal, else lines.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};

/// Without a terminal, a line is printed after this many percent, or after this time if that is sooner.
const PERCENT_PER_LINE: u64 = 10;
const TIME_PER_LINE: Duration = Duration::from_secs(5);

/// Where progress is reported. Clones share the terminal.
#[derive(Clone)]
pub(super) struct Reporter {
    /// `None` without a terminal.
    terminal: Option<MultiProgress>,
}

impl Reporter {
    pub(super) fn stderr() -> Self {
        Self { terminal: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Prints a line that stays.
    pub(super) fn line(&self, text: &str) -> std::io::Result<()> {
        match &self.terminal {
            Some(bars) => bars.println(text),
            None => {
                eprintln!("{text}");
                Ok(())
            }
        }
    }

    /// Reports an upload of about `expected` events.
    pub(super) fn upload(&self, name: &'static str, expected: u64) -> UploadProgress {
        let bar = self.terminal.as_ref().map(|bars| {
            let style = ProgressStyle::with_template(
                "{prefix} {bar:30} {human_pos}/{human_len} events  {per_sec}  {eta} left",
            );
            let bar = ProgressBar::new(expected).with_style(style.expect("the template is valid"));
            bars.add(bar.with_prefix(name))
        });
        if bar.is_none() {
            eprintln!("{name}: sending about {} events", HumanCount(expected));
        }
        let started = Instant::now();
        let reporter = self.clone();
        UploadProgress {
            name,
            reporter,
            bar,
            expected,
            sent: 0,
            started,
            next_percent: PERCENT_PER_LINE,
            last_line: started,
            last_waiting_line: None,
        }
    }

    /// Reports live traffic. It is shown on a terminal only: it may run for days.
    pub(super) fn live(&self) -> Option<ProgressBar> {
        self.terminal.as_ref().map(|bars| {
            let style =
                ProgressStyle::with_template("live {spinner} {human_pos} events  {per_sec}  {elapsed}");
            bars.add(ProgressBar::no_length().with_style(style.expect("the template is valid")))
        })
    }
}

/// Progress of one upload.
pub(super) struct UploadProgress {
    name: &'static str,
    reporter: Reporter,
    /// `None` without a terminal.
    bar: Option<ProgressBar>,
    expected: u64,
    sent: u64,
    started: Instant,
    next_percent: u64,
    last_line: Instant,
    /// When the last line about waiting for inserts was printed.
    last_waiting_line: Option<Instant>,
}

impl UploadProgress {
    /// Reports that the upload is slowed down, since the server has this many events to insert. Prints a line from time to time.
    pub(super) fn waiting_for_inserts(&mut self, events: u64) -> std::io::Result<()> {
        if self.last_waiting_line.is_some_and(|last| last.elapsed() < TIME_PER_LINE) {
            return Ok(());
        }
        self.last_waiting_line = Some(Instant::now());
        self.reporter.line(&describe_waiting(self.name, events))
    }

    /// Adds sent events.
    pub(super) fn add(&mut self, events: u64) {
        self.sent += events;
        if let Some(bar) = &self.bar {
            bar.inc(events);
            return;
        }
        let percent = percent(self.sent, self.expected);
        if percent >= self.next_percent || self.last_line.elapsed() >= TIME_PER_LINE {
            eprintln!("{}: {}", self.name, describe(self.sent, self.expected, self.started.elapsed()));
            self.next_percent = (percent / PERCENT_PER_LINE + 1) * PERCENT_PER_LINE;
            self.last_line = Instant::now();
        }
    }

    /// Reports that every event was acknowledged.
    pub(super) fn complete(self) -> std::io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        self.reporter.line(&format!(
            "{}: complete, {} events in {seconds:.1} s",
            self.name,
            HumanCount(self.sent)
        ))
    }
}

/// At most 99: the number of expected events is an estimate, and 100 % is reported as complete.
fn percent(sent: u64, expected: u64) -> u64 {
    (sent * 100 / expected.max(1)).min(99)
}

/// How far an upload is, how fast, and how long the rest takes at that speed.
fn describe(sent: u64, expected: u64, elapsed: Duration) -> String {
    let rate = sent as f64 / elapsed.as_secs_f64().max(0.001);
    let left = expected.saturating_sub(sent) as f64 / rate.max(0.001);
    format!(
        "{} %, {} of about {} events, {} events/s, about {} left",
        percent(sent, expected),
        HumanCount(sent),
        HumanCount(expected),
        HumanCount(rate as u64),
        describe_duration(left)
    )
}

/// Why an upload is slow.
fn describe_waiting(name: &str, events: u64) -> String {
    format!("{name}: waiting for inserts, {} accepted events are not inserted yet", HumanCount(events))
}

fn describe_duration(seconds: f64) -> String {
    if seconds < 100.0 {
        format!("{:.0} s", seconds.ceil())
    } else {
        format!("{:.0} min", (seconds / 60.0).ceil())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_events_rate_and_remaining_time() {
        assert_eq!(
            describe(600_000, 2_400_000, Duration::from_secs(10)),
            "25 %, 600,000 of about 2,400,000 events, 60,000 events/s, about 30 s left"
        );
        assert_eq!(
            describe(1_000, 1_000_000, Duration::from_secs(1)),
            "0 %, 1,000 of about 1,000,000 events, 1,000 events/s, about 17 min left"
        );
    }

    #[test]
    fn a_line_says_what_the_upload_waits_for() {
        assert_eq!(
            describe_waiting("history", 43_210),
            "history: waiting for inserts, 43,210 accepted events are not inserted yet"
        );
    }

    #[test]
    fn an_estimate_that_was_too_low_does_not_exceed_its_end() {
        let line = describe(120, 100, Duration::from_secs(1));
        assert!(
            line.starts_with("99 %, 120 of about 100 events") && line.ends_with("about 0 s left"),
            "{line}"
        );
        assert!(describe(0, 0, Duration::ZERO).starts_with("0 %"));
    }
}
