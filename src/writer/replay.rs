//! The task that replays waiting dead letters: one at a time, the oldest due letter first.
//!
//! | result of an attempt | the letter | the round |
//! | --- | --- | --- |
//! | landed | is deleted after a sync of ClickHouse's files | continues |
//! | connection refused, or the engine is starting | is retried in the next round | ends: other letters would fail too |
//! | no response | is retried after 15 s; not counted | ends |
//! | ClickHouse accepts no insert (access rights, missing table, full disk) | is retried after 15 s; not counted | ends |
//! | other error | is retried after 5 s, doubling up to 10 min; rejected after 24 attempts | continues |
//! | ClickHouse does not accept the contents | is rejected | continues |
//! | the body cannot be read | is reported and retried after 15 s; not counted | continues |
//!
//! A rejected letter waits for a person, with ClickHouse's message.
//!
//! A letter is inserted under its deduplication token while ClickHouse certainly still stores the token. A letter whose
//! token may have expired, that is of an earlier version, or with an insert of unknown outcome, is compared and repaired instead (`reconcile.rs`), and
//! nothing else is inserted meanwhile. Each attempt first marks the letter's outcome as unknown on disk, in case this
//! process crashes together with the engine.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::insert_batch;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::insert::read_letter;
use super::reconcile::store_unconfirmed;
use super::store::BatchStore;
use crate::blocking::run_blocking;
use crate::clickhouse::people::{self, Selection};
use crate::clickhouse::{ClickHouseError, InsertFailure};

/// Interval of folder scans and of rounds while no batch lands: a person may change the folder, and ClickHouse may become
/// reachable while no events arrive.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Delay after the first counted attempt. It doubles up to [`MAX_RETRY_DELAY`].
const INITIAL_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(5);
const MAX_RETRY_DELAY: SignedDuration = SignedDuration::from_mins(10);
/// Delay after an attempt that is not counted.
const UNCOUNTED_RETRY_DELAY: SignedDuration = SignedDuration::from_secs(15);
/// Counted attempts before a letter is rejected. With the delays above that takes almost three hours, which is longer than
/// delayed merges or the memory of a large query need to recover.
const MAX_ATTEMPTS: u32 = 24;
/// The token of an older letter may have expired. Tables store the tokens of the last 10,000 inserts, which are at least
/// 100 ms apart by default: that is more than a quarter of an hour.
const TOKEN_MAX_AGE: SignedDuration = SignedDuration::from_mins(10);
/// The token may also have expired after this many landed batches: half of the tokens that tables store.
const TOKEN_MAX_INSERTS: u64 = 5_000;

pub(super) struct DeadLetterReplayer {
    store: BatchStore,
    /// The number of landed batches at the first attempt of each letter by this process.
    landed_at_first_attempt: HashMap<Uuid, u64>,
}

/// The result of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplayOutcome {
    /// The batch is in ClickHouse, and the letter is deleted.
    Landed,
    /// The letter stays, with the error. Other letters may succeed.
    Failed,
    /// The letter stays, with the error. Other letters would fail too.
    ClickHouseUnavailable,
}

impl DeadLetterReplayer {
    pub(super) fn new(store: BatchStore) -> Self {
        Self { store, landed_at_first_attempt: HashMap::new() }
    }

    /// Runs until `stop`. Starts when `reconciled` is cancelled: nothing may be inserted during reconciliation.
    pub(super) async fn run(mut self, reconciled: CancellationToken, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = reconciled.cancelled() => {}
        }
        let mut landed = self.store.stats.landed();
        let mut scan = tokio::time::interval(SCAN_INTERVAL);
        scan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // Never an error: the statistics hold the sender.
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
        let dead_letters = self.store.dead_letters.clone();
        run_blocking(move || dead_letters.refresh()).await;
        self.store.stats.set_dead_letter_bytes(self.store.dead_letters.summary().bytes);
    }

    /// One round: replays due letters until none is left, or ClickHouse is unavailable.
    async fn run_once(&mut self) {
        while let Some(letter) = self.store.dead_letters.next_due(Timestamp::now()) {
            let landed = *self.store.stats.landed().borrow();
            let landed_before = *self.landed_at_first_attempt.entry(letter.batch_id).or_insert(landed);
            match replay_letter(&self.store, &letter, landed - landed_before).await {
                ReplayOutcome::Landed => {
                    self.landed_at_first_attempt.remove(&letter.batch_id);
                    self.store.stats.count_inserted(letter.events);
                    self.store.stats.set_dead_letter_bytes(self.store.dead_letters.summary().bytes);
                }
                ReplayOutcome::Failed => {}
                ReplayOutcome::ClickHouseUnavailable => return,
            }
        }
    }
}

/// Makes one attempt to insert a letter, and records the result in the letter. `inserts_since` is the number of batches
/// known to have landed since the batch was dead-lettered.
pub(crate) async fn replay_letter(
    store: &BatchStore,
    letter: &DeadLetter,
    inserts_since: u64,
) -> ReplayOutcome {
    let BatchStore { encoder, dead_letters, durability, .. } = store;
    let id = letter.batch_id;
    let (bodies, of_earlier_version) = match read_letter(dead_letters, id).await {
        Ok(body) => (encoder.encode(vec![body.columns], id).await, body.of_earlier_version),
        Err(error) => return report_disk_error(dead_letters, letter, &error),
    };
    let now = Timestamp::now();
    if !letter.outcome_unknown {
        let (letters, marked) =
            (dead_letters.clone(), DeadLetter { outcome_unknown: true, ..letter.clone() });
        if let Err(error) = run_blocking(move || letters.update(marked)).await {
            return report_disk_error(dead_letters, letter, &error);
        }
    }
    let token_is_unknown = of_earlier_version || token_may_have_expired(letter, inserts_since, now);
    let insert = async {
        let shard = store.shard(letter.shard)?;
        if shard.compares(id, letter.outcome_unknown || token_is_unknown) {
            let _exclusive = shard.insert_lock.write().await;
            store_unconfirmed(&shard.clickhouse, durability, id, letter.events, &bodies.events_native)
                .await?;
        } else {
            let _shared = shard.insert_lock.read().await;
            insert_batch(&shard.clickhouse, id, &bodies).await?;
        }
        shard.set_failing(false);
        // Its id may be below the mark of the tables of people. If this fails, the next attempt finds the batch complete.
        people::add_events(&shard.clickhouse, Selection::Batches(&[id])).await
    };
    let inserted = insert.await;
    let letters = dead_letters.clone();
    let error = match inserted {
        Ok(()) => {
            // The letter is the only durable copy until ClickHouse's files are synced.
            if let Err(error) = durability.sync().await {
                return report_disk_error(dead_letters, letter, &error);
            }
            return match run_blocking(move || letters.remove(id)).await {
                Ok(()) => {
                    tracing::info!(batch = %id, events = letter.events, "replayed a dead letter");
                    ReplayOutcome::Landed
                }
                // The next attempt finds the batch complete and deletes the letter.
                Err(error) => report_disk_error(dead_letters, letter, &error),
            };
        }
        Err(error) => error,
    };
    let failed = after_failed_attempt(letter.clone(), &error, now);
    if failed.rejected {
        tracing::error!(
            batch = %id, attempts = failed.attempts, %error,
            "rejected a dead letter; run `millrace dead-letters replay` when the cause is fixed"
        );
    } else {
        let next_attempt = failed.next_attempt_at.as_deref();
        tracing::warn!(batch = %id, attempts = failed.attempts, next_attempt, %error, "dead letter replay failed");
    }
    if let Err(error) = run_blocking(move || letters.update(failed)).await {
        tracing::warn!(batch = %id, %error, "cannot update a dead letter");
    }
    match error.insert_failure() {
        InsertFailure::Unreachable | InsertFailure::Environment => ReplayOutcome::ClickHouseUnavailable,
        InsertFailure::Transient | InsertFailure::Rejected => ReplayOutcome::Failed,
    }
}

/// Reports a failed read, write or sync in health, and delays the next attempt.
fn report_disk_error(
    dead_letters: &DeadLetters,
    letter: &DeadLetter,
    error: &std::io::Error,
) -> ReplayOutcome {
    tracing::error!(batch = %letter.batch_id, %error, "disk error during dead letter replay");
    dead_letters.record_body_error(
        letter.batch_id,
        error.to_string(),
        Timestamp::now() + UNCOUNTED_RETRY_DELAY,
    );
    ReplayOutcome::Failed
}

/// Whether ClickHouse may no longer store the token of a letter, so that a plain insert could store the batch twice.
fn token_may_have_expired(letter: &DeadLetter, inserts_since: u64, now: Timestamp) -> bool {
    let age = letter
        .dead_lettered_at
        .parse()
        .map(|dead_lettered_at: Timestamp| now.duration_since(dead_lettered_at));
    // The age is unknown if the time is in the future or malformed.
    let is_recent = age.is_ok_and(|age| SignedDuration::ZERO <= age && age < TOKEN_MAX_AGE);
    !is_recent || inserts_since >= TOKEN_MAX_INSERTS
}

/// The letter with the result of a failed attempt. Pure: the retry delay depends only on the error and the attempt count.
fn after_failed_attempt(letter: DeadLetter, error: &ClickHouseError, now: Timestamp) -> DeadLetter {
    let failure = error.insert_failure();
    let counted = matches!(failure, InsertFailure::Transient | InsertFailure::Rejected);
    let attempts = letter.attempts.saturating_add(u32::from(counted));
    let rejected = failure == InsertFailure::Rejected || (counted && attempts >= MAX_ATTEMPTS);
    let retry_delay = match failure {
        // A letter that was never sent is due as soon as ClickHouse is back.
        InsertFailure::Unreachable if !error.outcome_is_unknown() => None,
        InsertFailure::Rejected => None,
        // An attempt blocks all inserts until its deadline.
        InsertFailure::Unreachable | InsertFailure::Environment => Some(UNCOUNTED_RETRY_DELAY),
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
            received_at_ms: None,
            reason: "no response".into(),
            code: None,
            events: 1,
            bytes: 1,
            rejected: false,
            attempts: 0,
            last_attempt_at: None,
            next_attempt_at: None,
            outcome_unknown: true,
            shard: 0,
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
        let mut total_delay = SignedDuration::ZERO;
        let mut delays = Vec::new();
        for _ in 1..MAX_ATTEMPTS {
            attempted = after_failed_attempt(attempted, &server_error(ErrorKind::LimitExceeded, 241), now());
            let next: Timestamp = attempted.next_attempt_at.as_ref().unwrap().parse().unwrap();
            delays.push(next.duration_since(now()).as_secs());
            total_delay += next.duration_since(now());
            assert!(!attempted.rejected);
        }
        assert_eq!(delays[..9], [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(total_delay.as_hours(), 2, "almost three hours");
        let last = after_failed_attempt(attempted, &server_error(ErrorKind::LimitExceeded, 241), now());
        assert!(last.rejected && last.next_attempt_at.is_none() && last.attempts == MAX_ATTEMPTS);
        assert_eq!((last.code, last.reason.as_str()), (Some(241), "Code: 241"));
    }

    #[test]
    fn environment_failures_do_not_count_as_attempts() {
        let mut attempted = DeadLetter { attempts: MAX_ATTEMPTS - 1, ..letter() };
        for error in [server_error(ErrorKind::Permanent, 497), ClickHouseError::unreachable("no response")] {
            for _ in 0..100 {
                attempted = after_failed_attempt(attempted, &error, now());
            }
            assert!(!attempted.rejected && attempted.attempts == MAX_ATTEMPTS - 1);
        }
        let never_sent = ClickHouseError::unreachable("Connection refused (os error 111)");
        let attempted = after_failed_attempt(attempted, &never_sent, now());
        assert_eq!(attempted.next_attempt_at, None, "due as soon as ClickHouse is back");
    }

    #[test]
    fn an_unknown_outcome_is_not_cleared_by_later_attempts() {
        let known = DeadLetter { outcome_unknown: false, ..letter() };
        let never_sent = ClickHouseError::unreachable("Connection refused (os error 111)");
        let attempted = after_failed_attempt(known, &never_sent, now());
        assert!(!attempted.outcome_unknown);
        let attempted = after_failed_attempt(attempted, &ClickHouseError::unreachable("no response"), now());
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
