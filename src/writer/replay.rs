//! The task that brings waiting dead letters back: each by itself, oldest first, when its next try is due.
//!
//! | what a try says | the letter | the others |
//! | --- | --- | --- |
//! | it landed | is removed, once ClickHouse's files are synced | go on |
//! | no answer | is tried again with the next round | the round ends: they would get none either |
//! | ClickHouse takes no insert at all (rights, a missing table, a full disk) | waits 15 s, the try does not count | the round ends |
//! | another error | waits 5 s, then twice as long each time up to 10 min; the 24th time it is refused | go on |
//! | ClickHouse does not accept what is in it | is refused | go on |
//! | its bytes cannot be read | waits 15 s and is reported | go on |
//!
//! A refused letter waits for a person, with ClickHouse's message.
//!
//! A letter is sent under its token as long as ClickHouse surely remembers that. A late one, and one of which an insert got
//! no answer, is looked up by its batch and repaired (`reconcile.rs`), and nothing else is inserted meanwhile. Before a try
//! the letter says that its outcome is unknown, so that this holds where the process dies with the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dead_letter::{DeadLetter, DeadLetters};
use super::durability::Durability;
use super::insert::{InsertLock, insert_batch, run_blocking};
use super::reconcile::store_unconfirmed;
use super::stats::WriterStats;
use crate::clickhouse::{ClickHouse, ClickHouseError, InsertFailure};

/// How often the folder is scanned, and due letters are looked for when no batch lands: a person may have changed the
/// folder, or ClickHouse may be there again without an event coming.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// The wait after the first counted try; it doubles up to the last.
const INITIAL_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(5);
const MAX_RETRY_DELAY: SignedDuration = SignedDuration::from_mins(10);
/// The wait after a try that does not count.
const UNCOUNTED_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(15);
/// How many tries may be answered with an error that may be the batch's fault. With the waits above that is close to three
/// hours, longer than merges that fell behind or a large query's memory need to recover.
const MAX_ATTEMPTS: u32 = 24;
/// A letter that is older is late: ClickHouse may have forgotten its token. Tables remember the last 10,000 inserts, which
/// begin at least 100 ms apart by default: a quarter of an hour.
const TOKEN_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);
/// So is one after which so many batches landed, half of what the tables remember.
const TOKEN_MAX_INSERTS: u64 = 5_000;

/// What the task stands on.
pub(super) struct DeadLetterReplayer {
    clickhouse: ClickHouse,
    dead_letters: DeadLetters,
    durability: Durability,
    insert_lock: InsertLock,
    stats: Arc<WriterStats>,
    /// How many batches had landed when a letter was first tried.
    landed_at_first_attempt: HashMap<Uuid, u64>,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplayOutcome {
    /// The batch is in ClickHouse, and the letter is gone.
    Landed,
    /// The letter stays, and says why.
    Failed,
    /// The letter stays, and no other would have landed.
    ClickHouseUnavailable,
}

impl DeadLetterReplayer {
    pub(super) fn new(
        clickhouse: ClickHouse,
        dead_letters: DeadLetters,
        durability: Durability,
        insert_lock: InsertLock,
        stats: Arc<WriterStats>,
    ) -> Self {
        Self {
            clickhouse,
            dead_letters,
            durability,
            insert_lock,
            stats,
            landed_at_first_attempt: HashMap::new(),
        }
    }

    /// Works until `stop`, once `reconciled`: until then nothing else may be inserted.
    pub(super) async fn run(mut self, reconciled: CancellationToken, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = reconciled.cancelled() => {}
        }
        let mut landed = self.stats.landed();
        let mut scan = tokio::time::interval(SCAN_INTERVAL);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as the figures, which this task holds.
                _ = landed.changed() => {}
                _ = scan.tick() => self.refresh().await,
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.run_once() => {}
            }
            landed.mark_unchanged();
        }
    }

    async fn refresh(&self) {
        let dead_letters = self.dead_letters.clone();
        run_blocking(move || dead_letters.refresh()).await;
        self.stats.set_dead_letter_bytes(self.dead_letters.summary().bytes);
    }

    /// Tries each letter that is due, until none is or none can land.
    async fn run_once(&mut self) {
        while let Some(letter) = self.dead_letters.next_due(Timestamp::now()) {
            let landed = *self.stats.landed().borrow();
            let before = *self.landed_at_first_attempt.entry(letter.batch_id).or_insert(landed);
            let inserts_since = landed - before;
            match replay_letter(
                &self.clickhouse,
                &self.dead_letters,
                &self.durability,
                &self.insert_lock,
                &letter,
                inserts_since,
            )
            .await
            {
                ReplayOutcome::Landed => {
                    self.landed_at_first_attempt.remove(&letter.batch_id);
                    self.stats.count_inserted(letter.events);
                    self.stats.set_dead_letter_bytes(self.dead_letters.summary().bytes);
                }
                ReplayOutcome::Failed => {}
                ReplayOutcome::ClickHouseUnavailable => return,
            }
        }
    }
}

/// Tries a letter once, and notes what became of it. `inserts_since` is how many batches landed since it was set aside, as
/// far as is known.
pub(crate) async fn replay_letter(
    clickhouse: &ClickHouse,
    dead_letters: &DeadLetters,
    durability: &Durability,
    insert_lock: &Mutex<()>,
    letter: &DeadLetter,
    inserts_since: u64,
) -> ReplayOutcome {
    let id = letter.batch_id;
    let folder = dead_letters.clone();
    let body = match run_blocking(move || folder.body(id)).await {
        Ok(body) => body,
        Err(error) => return report_unreadable(dead_letters, letter, &error),
    };
    let now = Timestamp::now();
    if !letter.outcome_unknown {
        let (folder, sent) = (dead_letters.clone(), DeadLetter { outcome_unknown: true, ..letter.clone() });
        if let Err(error) = run_blocking(move || folder.update(sent)).await {
            return report_unreadable(dead_letters, letter, &error);
        }
    }
    let inserted = {
        let _guard = insert_lock.lock().await;
        match letter.outcome_unknown || token_may_have_expired(letter, inserts_since, now) {
            true => store_unconfirmed(clickhouse, durability, id, letter.events, &[body]).await,
            false => insert_batch(clickhouse, id, vec![body]).await,
        }
    };
    let folder = dead_letters.clone();
    let error = match inserted {
        Ok(()) => {
            // The letter is the only safe copy until ClickHouse's files are synced too.
            if let Err(error) = durability.sync().await {
                return report_unreadable(dead_letters, letter, &error);
            }
            return match run_blocking(move || folder.remove(id)).await {
                Ok(()) => {
                    tracing::info!(batch = %id, events = letter.events, "a dead letter was brought back");
                    ReplayOutcome::Landed
                }
                // It is inserted again, without effect.
                Err(error) => report_unreadable(dead_letters, letter, &error),
            };
        }
        Err(error) => error,
    };
    let failed = after_failed_attempt(letter.clone(), &error, now);
    if failed.rejected {
        tracing::error!(batch = %id, attempts = failed.attempts, %error, "a dead letter is refused; it waits for a person");
    } else {
        let next_attempt = failed.next_attempt_at.as_deref();
        tracing::warn!(batch = %id, attempts = failed.attempts, next_attempt, %error, "a dead letter stays");
    }
    if let Err(error) = run_blocking(move || folder.update(failed)).await {
        tracing::warn!(batch = %id, %error, "what became of a dead letter cannot be written down");
    }
    match error.insert_failure() {
        InsertFailure::Unreachable | InsertFailure::Environment => ReplayOutcome::ClickHouseUnavailable,
        InsertFailure::Transient | InsertFailure::Rejected => ReplayOutcome::Failed,
    }
}

fn report_unreadable(
    dead_letters: &DeadLetters,
    letter: &DeadLetter,
    error: &std::io::Error,
) -> ReplayOutcome {
    tracing::error!(batch = %letter.batch_id, %error, "the disk does not give or let go of a dead letter");
    dead_letters.record_body_error(
        letter.batch_id,
        error.to_string(),
        Timestamp::now() + UNCOUNTED_RETRY_DELAY,
    );
    ReplayOutcome::Failed
}

/// Whether ClickHouse may have forgotten the token of a letter, so that inserting it again could double it.
fn token_may_have_expired(letter: &DeadLetter, inserts_since: u64, now: Timestamp) -> bool {
    let age = letter
        .dead_lettered_at
        .parse()
        .map(|dead_lettered_at: Timestamp| now.duration_since(dead_lettered_at));
    // A time in the future or none at all says nothing about the age.
    let young = age.is_ok_and(|age| SignedDuration::ZERO <= age && age < TOKEN_MAX_AGE);
    !young || inserts_since >= TOKEN_MAX_INSERTS
}

/// What a failed try makes of a letter.
fn after_failed_attempt(letter: DeadLetter, error: &ClickHouseError, now: Timestamp) -> DeadLetter {
    let failure = error.insert_failure();
    let counted = matches!(failure, InsertFailure::Transient | InsertFailure::Rejected);
    let attempts = letter.attempts.saturating_add(u32::from(counted));
    let rejected = failure == InsertFailure::Rejected || (counted && attempts >= MAX_ATTEMPTS);
    let retry_delay = match failure {
        InsertFailure::Unreachable | InsertFailure::Rejected => None,
        InsertFailure::Environment => Some(UNCOUNTED_RETRY_DELAY),
        InsertFailure::Transient => {
            let doubled = INITIAL_RETRY_DELAY.checked_mul(1 << (attempts - 1).min(10));
            Some(doubled.unwrap_or(MAX_RETRY_DELAY).min(MAX_RETRY_DELAY))
        }
    };
    DeadLetter {
        reason: error.message.clone(),
        code: error.code,
        rejected,
        attempts,
        last_attempt_at: Some(now.to_string()),
        next_attempt_at: retry_delay.filter(|_| !rejected).map(|retry_delay| (now + retry_delay).to_string()),
        outcome_unknown: letter.outcome_unknown || error.outcome_is_unknown(),
        ..letter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::ErrorKind;

    fn letter() -> DeadLetter {
        DeadLetter {
            batch_id: uuid::Uuid::nil(),
            dead_lettered_at: "2026-01-01T00:00:00Z".into(),
            reason: "no answer".into(),
            code: None,
            events: 1,
            bytes: 1,
            rejected: false,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown: true,
        }
    }

    fn server_error(kind: ErrorKind, code: i32) -> ClickHouseError {
        ClickHouseError { kind, code: Some(code), message: format!("Code: {code}") }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_retry_delay_doubles_until_the_letter_is_rejected() {
        let mut attempted = letter();
        let mut waited = SignedDuration::ZERO;
        let mut waits = Vec::new();
        for _ in 1..MAX_ATTEMPTS {
            attempted = after_failed_attempt(attempted, &server_error(ErrorKind::LimitExceeded, 241), now());
            let next: Timestamp = attempted.next_attempt_at.as_ref().unwrap().parse().unwrap();
            waits.push(next.duration_since(now()).as_secs());
            waited += next.duration_since(now());
            assert!(!attempted.rejected);
        }
        assert_eq!(waits[..9], [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(waited.as_hours(), 2, "close to three");
        let last = after_failed_attempt(attempted, &server_error(ErrorKind::LimitExceeded, 241), now());
        assert!(last.rejected && last.next_attempt_at.is_none() && last.attempts == MAX_ATTEMPTS);
        assert_eq!((last.code, last.reason.as_str()), (Some(241), "Code: 241"));
    }

    #[test]
    fn environment_failures_do_not_count_as_attempts() {
        let mut attempted = DeadLetter { attempts: MAX_ATTEMPTS - 1, ..letter() };
        for error in [server_error(ErrorKind::Permanent, 497), ClickHouseError::unreachable("refused")] {
            for _ in 0..100 {
                attempted = after_failed_attempt(attempted, &error, now());
            }
            assert!(!attempted.rejected && attempted.attempts == MAX_ATTEMPTS - 1);
        }
        assert_eq!(attempted.next_attempt_at, None, "the round decides, not the letter");
    }

    #[test]
    fn an_unknown_outcome_is_not_cleared_by_later_attempts() {
        let known = DeadLetter { outcome_unknown: false, ..letter() };
        let never_sent = ClickHouseError::unreachable("Connection refused (os error 111)");
        let attempted = after_failed_attempt(known, &never_sent, now());
        assert!(!attempted.outcome_unknown);
        let attempted = after_failed_attempt(attempted, &ClickHouseError::unreachable("no answer"), now());
        assert!(attempted.outcome_unknown);
        let attempted = after_failed_attempt(attempted, &never_sent, now());
        assert!(
            after_failed_attempt(attempted, &server_error(ErrorKind::Permanent, 497), now()).outcome_unknown
        );
    }

    #[test]
    fn a_permanent_error_rejects_the_letter_immediately() {
        let rejected = after_failed_attempt(letter(), &server_error(ErrorKind::Permanent, 117), now());
        assert!(rejected.rejected && rejected.attempts == 1 && rejected.next_attempt_at.is_none());
    }

    #[test]
    fn a_token_may_expire_by_age_or_by_later_inserts() {
        let at = |text: &str| text.parse().unwrap();
        assert!(!token_may_have_expired(&letter(), 0, at("2026-01-01T00:09:59Z")));
        assert!(token_may_have_expired(&letter(), 0, at("2026-01-01T00:10:00Z")));
        assert!(token_may_have_expired(&letter(), 0, at("2025-12-31T23:59:59Z")), "the clock was set back");
        assert!(token_may_have_expired(&letter(), TOKEN_MAX_INSERTS, now()));
        assert!(token_may_have_expired(&DeadLetter { dead_lettered_at: "t".into(), ..letter() }, 0, now()));
    }
}
