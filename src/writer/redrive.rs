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

use super::checkpoint::Durability;
use super::dead_letter::{DeadLetter, DeadLetters};
use super::insert::{Inserting, blocking, insert};
use super::reconcile::store_doubtful;
use super::stats::Stats;
use crate::clickhouse::{ClickHouse, ClickHouseError, InsertFailure};

/// How often the folder is scanned, and due letters are looked for when no batch lands: a person may have changed the
/// folder, or ClickHouse may be there again without an event coming.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// The wait after the first counted try; it doubles up to the last.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(5);
const LAST_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// The wait after a try that does not count.
const UNCOUNTED_WAIT: SignedDuration = SignedDuration::from_secs(15);
/// How many tries may be answered with an error that may be the batch's fault. With the waits above that is close to three
/// hours, longer than merges that fell behind or a large query's memory need to recover.
const MAX_TRIES: u32 = 24;
/// A letter that is older is late: ClickHouse may have forgotten its token. Tables remember the last 10,000 inserts, which
/// begin at least 100 ms apart by default: a quarter of an hour.
const LATE_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// So is one after which so many batches landed, half of what the tables remember.
const LATE_AFTER_INSERTS: u64 = 5_000;

/// What the task stands on.
pub(super) struct Redriver {
    clickhouse: ClickHouse,
    dead_letters: DeadLetters,
    durability: Durability,
    inserting: Inserting,
    stats: Arc<Stats>,
    /// How many batches had landed when a letter was first tried.
    landed_before: HashMap<Uuid, u64>,
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    /// The batch is in ClickHouse, and the letter is gone.
    Landed,
    /// The letter stays, and says why.
    Failed,
    /// The letter stays, and no other would have landed.
    NoneCan,
}

impl Redriver {
    pub(super) fn new(
        clickhouse: ClickHouse,
        dead_letters: DeadLetters,
        durability: Durability,
        inserting: Inserting,
        stats: Arc<Stats>,
    ) -> Self {
        Self { clickhouse, dead_letters, durability, inserting, stats, landed_before: HashMap::new() }
    }

    /// Works until `stop`, once `reconciled`: until then nothing else may be inserted.
    pub(super) async fn run(mut self, reconciled: CancellationToken, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = reconciled.cancelled() => {}
        }
        let mut landed = self.stats.landed();
        let mut scan = tokio::time::interval(SCAN_EVERY);
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
        blocking(move || dead_letters.refresh()).await;
        self.stats.set_dead_letter_bytes(self.dead_letters.summary().bytes);
    }

    /// Tries each letter that is due, until none is or none can land.
    async fn run_once(&mut self) {
        while let Some(letter) = self.dead_letters.due(Timestamp::now()) {
            let landed = *self.stats.landed().borrow();
            let before = *self.landed_before.entry(letter.batch_id).or_insert(landed);
            let inserts = landed - before;
            match bring_back(
                &self.clickhouse,
                &self.dead_letters,
                &self.durability,
                &self.inserting,
                &letter,
                inserts,
            )
            .await
            {
                Tried::Landed => {
                    self.landed_before.remove(&letter.batch_id);
                    self.stats.count_inserted(letter.events);
                    self.stats.set_dead_letter_bytes(self.dead_letters.summary().bytes);
                }
                Tried::Failed => {}
                Tried::NoneCan => return,
            }
        }
    }
}

/// Tries a letter once, and notes what became of it. `inserts_since` is how many batches landed since it was set aside, as
/// far as is known.
pub(crate) async fn bring_back(
    clickhouse: &ClickHouse,
    dead_letters: &DeadLetters,
    durability: &Durability,
    inserting: &Mutex<()>,
    letter: &DeadLetter,
    inserts_since: u64,
) -> Tried {
    let id = letter.batch_id;
    let folder = dead_letters.clone();
    let body = match blocking(move || folder.body(id)).await {
        Ok(body) => body,
        Err(error) => return unreadable(dead_letters, letter, &error),
    };
    let now = Timestamp::now();
    if !letter.outcome_unknown {
        let (folder, sent) = (dead_letters.clone(), DeadLetter { outcome_unknown: true, ..letter.clone() });
        if let Err(error) = blocking(move || folder.update(sent)).await {
            return unreadable(dead_letters, letter, &error);
        }
    }
    let inserted = {
        let _inserting = inserting.lock().await;
        match letter.outcome_unknown || is_late(letter, inserts_since, now) {
            true => store_doubtful(clickhouse, durability, id, letter.events, &[body]).await,
            false => insert(clickhouse, id, vec![body]).await,
        }
    };
    let folder = dead_letters.clone();
    let error = match inserted {
        Ok(()) => {
            // The letter is the only safe copy until ClickHouse's files are synced too.
            if let Err(error) = durability.sync().await {
                return unreadable(dead_letters, letter, &error);
            }
            return match blocking(move || folder.remove(id)).await {
                Ok(()) => {
                    tracing::info!(batch = %id, events = letter.events, "a dead letter was brought back");
                    Tried::Landed
                }
                // It is inserted again, without effect.
                Err(error) => unreadable(dead_letters, letter, &error),
            };
        }
        Err(error) => error,
    };
    let failed = after_failure(letter.clone(), &error, now);
    if failed.refused {
        tracing::error!(batch = %id, tries = failed.tries, %error, "a dead letter is refused; it waits for a person");
    } else {
        let next_try = failed.next_try_at.as_deref();
        tracing::warn!(batch = %id, tries = failed.tries, next_try, %error, "a dead letter stays");
    }
    if let Err(error) = blocking(move || folder.update(failed)).await {
        tracing::warn!(batch = %id, %error, "what became of a dead letter cannot be written down");
    }
    match error.insert_failure() {
        InsertFailure::Unreachable | InsertFailure::Environment => Tried::NoneCan,
        InsertFailure::Transient | InsertFailure::Refused => Tried::Failed,
    }
}

fn unreadable(dead_letters: &DeadLetters, letter: &DeadLetter, error: &std::io::Error) -> Tried {
    tracing::error!(batch = %letter.batch_id, %error, "the disk does not give or let go of a dead letter");
    dead_letters.body_failed(letter.batch_id, error.to_string(), Timestamp::now() + UNCOUNTED_WAIT);
    Tried::Failed
}

/// Whether ClickHouse may have forgotten the token of a letter, so that inserting it again could double it.
fn is_late(letter: &DeadLetter, inserts_since: u64, now: Timestamp) -> bool {
    let age = letter.set_aside_at.parse().map(|set_aside: Timestamp| now.duration_since(set_aside));
    // A time in the future or none at all says nothing about the age.
    let young = age.is_ok_and(|age| SignedDuration::ZERO <= age && age < LATE_AFTER);
    !young || inserts_since >= LATE_AFTER_INSERTS
}

/// What a failed try makes of a letter.
fn after_failure(letter: DeadLetter, error: &ClickHouseError, now: Timestamp) -> DeadLetter {
    let failure = error.insert_failure();
    let counts = matches!(failure, InsertFailure::Transient | InsertFailure::Refused);
    let tries = letter.tries.saturating_add(u32::from(counts));
    let refused = failure == InsertFailure::Refused || (counts && tries >= MAX_TRIES);
    let wait = match failure {
        InsertFailure::Unreachable | InsertFailure::Refused => None,
        InsertFailure::Environment => Some(UNCOUNTED_WAIT),
        InsertFailure::Transient => {
            let doubled = FIRST_WAIT.checked_mul(1 << (tries - 1).min(10));
            Some(doubled.unwrap_or(LAST_WAIT).min(LAST_WAIT))
        }
    };
    DeadLetter {
        reason: error.message.clone(),
        code: error.code,
        refused,
        tries,
        last_try_at: Some(now.to_string()),
        next_try_at: wait.filter(|_| !refused).map(|wait| (now + wait).to_string()),
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
            set_aside_at: "2026-01-01T00:00:00Z".into(),
            reason: "no answer".into(),
            code: None,
            events: 1,
            bytes: 1,
            refused: false,
            tries: 0,
            last_try_at: None,
            next_try_at: None,
            outcome_unknown: true,
        }
    }

    fn answer(kind: ErrorKind, code: i32) -> ClickHouseError {
        ClickHouseError { kind, code: Some(code), message: format!("Code: {code}") }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_letter_waits_longer_each_time_and_then_for_a_person() {
        let mut tried = letter();
        let mut waited = SignedDuration::ZERO;
        let mut waits = Vec::new();
        for _ in 1..MAX_TRIES {
            tried = after_failure(tried, &answer(ErrorKind::TooExpensive, 241), now());
            let next: Timestamp = tried.next_try_at.as_ref().unwrap().parse().unwrap();
            waits.push(next.duration_since(now()).as_secs());
            waited += next.duration_since(now());
            assert!(!tried.refused);
        }
        assert_eq!(waits[..9], [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(waited.as_hours(), 2, "close to three");
        let last = after_failure(tried, &answer(ErrorKind::TooExpensive, 241), now());
        assert!(last.refused && last.next_try_at.is_none() && last.tries == MAX_TRIES);
        assert_eq!((last.code, last.reason.as_str()), (Some(241), "Code: 241"));
    }

    #[test]
    fn what_is_not_the_letters_fault_never_counts() {
        let mut tried = DeadLetter { tries: MAX_TRIES - 1, ..letter() };
        for error in [answer(ErrorKind::Permanent, 497), ClickHouseError::unreachable("refused")] {
            for _ in 0..100 {
                tried = after_failure(tried, &error, now());
            }
            assert!(!tried.refused && tried.tries == MAX_TRIES - 1);
        }
        assert_eq!(tried.next_try_at, None, "the round decides, not the letter");
    }

    #[test]
    fn an_unknown_outcome_stays_unknown_whatever_later_tries_say() {
        let known = DeadLetter { outcome_unknown: false, ..letter() };
        let never_sent = ClickHouseError::unreachable("Connection refused (os error 111)");
        let tried = after_failure(known, &never_sent, now());
        assert!(!tried.outcome_unknown);
        let tried = after_failure(tried, &ClickHouseError::unreachable("no answer"), now());
        assert!(tried.outcome_unknown);
        let tried = after_failure(tried, &never_sent, now());
        assert!(after_failure(tried, &answer(ErrorKind::Permanent, 497), now()).outcome_unknown);
    }

    #[test]
    fn what_clickhouse_does_not_accept_is_refused_at_once() {
        let refused = after_failure(letter(), &answer(ErrorKind::Permanent, 117), now());
        assert!(refused.refused && refused.tries == 1 && refused.next_try_at.is_none());
    }

    #[test]
    fn a_letter_is_late_by_its_age_or_by_what_landed_since() {
        let at = |text: &str| text.parse().unwrap();
        assert!(!is_late(&letter(), 0, at("2026-01-01T00:09:59Z")));
        assert!(is_late(&letter(), 0, at("2026-01-01T00:10:00Z")));
        assert!(is_late(&letter(), 0, at("2025-12-31T23:59:59Z")), "the clock was set back");
        assert!(is_late(&letter(), LATE_AFTER_INSERTS, now()));
        assert!(is_late(&DeadLetter { set_aside_at: "t".into(), ..letter() }, 0, now()));
    }
}
