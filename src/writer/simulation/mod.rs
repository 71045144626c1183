//! A deterministic simulation of producers, a failing disk, and a ClickHouse that is slow, loses responses, restarts and
//! expires tokens. The [`WriterState`] between them is the real one.
//!
//! `model.rs` runs it with steps that proptest generates and shrinks. `seeds.rs` generates the steps from a seed, which
//! repeats a run exactly. At the end of a run all faults stop, and the guarantees are checked.

mod fake_clickhouse;
mod fake_journal;
mod model;
mod seeds;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::columns::EventColumns;
use super::feed::Feed;
use super::flush_policy::BatchLimits;
use super::insert::{MAX_INSERTS_IN_FLIGHT, retain_possibly_sent};
use super::recent_ids::RecentIds;
use super::record::{Seal, WriterRecord, kind};
use super::recover::RecoveryBuilder;
use super::state::{DeferredRequest, SealedBatch, StateSettings, WriterState};
use super::{Ack, SubmitError, WriteRequest};
use crate::event::{ValidationRules, validate};
use crate::journal::JournalError;
use crate::project::Project;
use crate::properties::Properties;
use crate::proto::v1;
use fake_clickhouse::FakeClickHouse;
use fake_journal::FakeJournal;

/// Number of attempts of an insert before its batch is dead-lettered.
const ATTEMPTS: u32 = 4;
const NOW_MS: i64 = 1_800_000_000_000;
/// The journal is small, so that it is often full.
const SEGMENT_BYTES: u64 = 2_000;
const MAX_BYTES: u64 = 24_000;
const RESERVE_BYTES: u64 = 8_000;
const RECENT_IDS: usize = 40;
const PRODUCERS: usize = 3;

#[derive(Clone, Debug)]
enum SimulationStep {
    /// A producer sends a request with the next sequence.
    Numbered {
        producer: usize,
        rows: usize,
        with_ids: bool,
    },
    /// A producer resends its oldest unacknowledged request.
    Resend {
        producer: usize,
    },
    /// A caller without a producer id sends a request. Streams may wait, unary calls may not.
    Unnumbered {
        rows: usize,
        with_ids: bool,
        may_wait: bool,
    },
    /// A request with new event ids and one duplicate id.
    DuplicateId {
        rows: usize,
        nth_newest: usize,
    },
    /// The journal syncs this many records.
    Sync {
        records: usize,
    },
    /// A sync of the journal fails.
    DiskFailure,
    /// The flush interval elapses.
    Flush,
    /// An attempt to insert one of the batches in flight ends.
    Insert {
        nth_oldest: usize,
        outcome: InsertOutcome,
    },
    /// The newest dead letter is replayed.
    Replay,
    /// A checkpoint starts, or the running one completes.
    Checkpoint,
    Wait {
        millis: u64,
    },
    /// The server is killed and restarted. The first pending records may have reached the disk.
    Kill {
        surviving_records: usize,
    },
    /// The machine goes down, too: ClickHouse loses parts that are not synced.
    PowerCut {
        surviving_records: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InsertOutcome {
    Success,
    /// The batch lands, but the response is lost.
    ResponseLost,
    /// The events are stored, the rollup is not, and the response is an error.
    Partial,
    /// The engine crashes during the insert, and may store a token without its part.
    EngineCrash,
    /// Nothing is stored, and the response says so.
    Failure,
}

/// The oldest batch in flight is inserted.
const INSERT: SimulationStep = SimulationStep::Insert { nth_oldest: 0, outcome: InsertOutcome::Success };

struct SentRequest {
    producer: Option<usize>,
    sequence: u64,
    rows: Vec<SentRow>,
}

#[derive(Clone, Copy)]
struct SentRow {
    id: Uuid,
    explicit: bool,
}

struct SimulatedProducer {
    next_sequence: u64,
    /// Sequences and rows of the unacknowledged requests, oldest first.
    outstanding: VecDeque<(u64, Vec<SentRow>)>,
}

struct SimulatedLetter {
    batch: Uuid,
    rows: Vec<Uuid>,
    /// Number of inserts when the batch was dead-lettered.
    inserts: usize,
    /// Whether an insert got no response.
    unconfirmed: bool,
}

struct InsertAttempt {
    batch: SealedBatch,
    /// Number of failed attempts.
    attempts: u32,
    /// Whether an attempt got no response. Further attempts compare the batch with ClickHouse.
    unconfirmed: bool,
}

struct SimulatedServer {
    state: WriterState<usize>,
    /// The batches in flight, oldest first. `None` for one that is done, and waits until those before it are done, too.
    insert_attempts: VecDeque<Option<InsertAttempt>>,
    deferred: Option<DeferredRequest<usize>>,
    /// The running checkpoint, as the number of landed batches that it covers.
    checkpoint: Option<u64>,
    /// Batches that are not inserted again after a restart: ClickHouse or a dead letter holds them.
    stored: BTreeSet<Uuid>,
}

struct Simulation {
    journal: FakeJournal,
    /// Number of batches that may be inserted at the same time.
    inserts_in_flight: usize,
    clickhouse: FakeClickHouse,
    server: SimulatedServer,
    /// Whether the machine went down, and no start since has reconciled all batches.
    unclean_boot: bool,
    /// The dead letters, which are always durable.
    letters: Vec<SimulatedLetter>,
    producers: Vec<SimulatedProducer>,
    sent: Vec<SentRequest>,
    acknowledged: BTreeSet<Uuid>,
    /// The shard of each batch that was dispatched, in any process: it never changes.
    shards: BTreeMap<Uuid, u32>,
    /// Explicit ids of the last admitted requests, fewer than the deduplication window holds.
    admitted_ids: VecDeque<Uuid>,
    next_id: u128,
    next_batch: u128,
    now: Instant,
    rng: SmallRng,
    /// Whether to print each step (`SIMULATE_SEED`).
    trace: bool,
}

impl Simulation {
    fn new(seed: u64, window: usize) -> Self {
        let journal = FakeJournal::new(SEGMENT_BYTES, MAX_BYTES, RESERVE_BYTES);
        let now = Instant::now();
        let producer = || SimulatedProducer { next_sequence: 1, outstanding: VecDeque::new() };
        let inserts_in_flight = 1 + (seed % MAX_INSERTS_IN_FLIGHT as u64) as usize;
        let mut server = start(&journal, inserts_in_flight, 1_000_000, now);
        server.state.reconciliation_completed();
        Self {
            server,
            journal,
            inserts_in_flight,
            clickhouse: FakeClickHouse::new(window),
            unclean_boot: false,
            letters: Vec::new(),
            producers: (0..PRODUCERS).map(|_| producer()).collect(),
            sent: Vec::new(),
            acknowledged: BTreeSet::new(),
            shards: BTreeMap::new(),
            admitted_ids: VecDeque::new(),
            next_id: 1,
            next_batch: 2_000_000,
            now,
            rng: SmallRng::seed_from_u64(seed),
            trace: std::env::var_os("SIMULATE_SEED").is_some(),
        }
    }

    fn apply(&mut self, step: &SimulationStep) {
        self.trace(|| format!("{step:?}"));
        match *step {
            SimulationStep::Numbered { producer, rows, with_ids } => {
                let rows = self.new_rows(rows, with_ids);
                let SimulatedProducer { next_sequence, outstanding } = &mut self.producers[producer];
                let sequence = *next_sequence;
                *next_sequence += 1;
                outstanding.push_back((sequence, rows.clone()));
                self.submit(Some(producer), sequence, rows, true);
            }
            SimulationStep::Resend { producer } => {
                if let Some((sequence, rows)) = self.producers[producer].outstanding.front().cloned() {
                    self.submit(Some(producer), sequence, rows, true);
                }
            }
            SimulationStep::Unnumbered { rows, with_ids, may_wait } => {
                let rows = self.new_rows(rows, with_ids);
                self.submit(None, 0, rows, may_wait);
            }
            SimulationStep::DuplicateId { rows, nth_newest } => {
                let mut rows = self.new_rows(rows, true);
                if let Some(&id) = self.admitted_ids.iter().rev().nth(nth_newest) {
                    rows.push(SentRow { id, explicit: true });
                }
                self.submit(None, 0, rows, true);
            }
            SimulationStep::Sync { records } => {
                for _ in 0..records.min(self.journal.pending()) {
                    self.journal.complete_oldest();
                    self.server.state.append_completed(Ok(()), self.now, &mut self.journal);
                    self.run_task_turn();
                }
            }
            SimulationStep::DiskFailure => {
                for _ in 0..self.journal.fail_pending() {
                    let error = JournalError::Closed;
                    self.server.state.append_completed(Err(error), self.now, &mut self.journal);
                    // The journal rejects appends until every failed append was reported.
                    self.run_task_turn();
                }
                self.journal.repair();
                self.run_task_turn();
            }
            SimulationStep::Flush => self.server.state.seal_open_batch(self.now),
            SimulationStep::Insert { nth_oldest, outcome } => self.insert(nth_oldest, outcome),
            SimulationStep::Replay => self.replay(),
            SimulationStep::Checkpoint => match self.server.checkpoint.take() {
                None => {
                    self.server.checkpoint = self.server.state.checkpoint_due();
                    // Batches that land before the checkpoint completes may or may not be synced. Here they are not.
                    self.clickhouse.sync();
                }
                Some(covered) => self.server.state.checkpoint_completed(covered, &mut self.journal),
            },
            SimulationStep::Wait { millis } => self.now += Duration::from_millis(millis),
            SimulationStep::Kill { surviving_records } => {
                self.journal.crash(surviving_records);
                self.restart();
            }
            SimulationStep::PowerCut { surviving_records } => {
                self.journal.crash(surviving_records);
                self.clickhouse.power_cut(&mut self.rng);
                self.unclean_boot = true;
                self.restart();
            }
        }
        self.run_task_turn();
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{}", line());
        }
    }

    fn new_rows(&mut self, rows: usize, explicit: bool) -> Vec<SentRow> {
        let rows: Vec<SentRow> =
            (self.next_id..).take(rows).map(|id| SentRow { id: Uuid::from_u128(id), explicit }).collect();
        self.next_id += rows.len() as u128;
        rows
    }

    fn submit(&mut self, producer: Option<usize>, sequence: u64, rows: Vec<SentRow>, may_wait: bool) {
        // The task admits nothing behind a deferred request.
        if self.server.deferred.is_some() {
            return;
        }
        let request_index = self.sent.len();
        let request = WriteRequest {
            project: Project::default(),
            producer_id: producer.map_or_else(String::new, |number| format!("producer-{number}")),
            sequence,
            start_new_numbering: false,
            sent_to_another_server: false,
            received_at_ms: NOW_MS,
            sender: None,
            columns: columns(&rows),
        };
        let producer_state = self.server.state.producers().get(&request.producer_id);
        let is_duplicate =
            producer.is_some() && producer_state.is_some_and(|state| sequence <= state.last_sequence);
        let explicit_ids: Vec<Uuid> = rows.iter().filter(|row| row.explicit).map(|row| row.id).collect();
        self.trace(|| {
            format!("  request {request_index} of {producer:?}, sequence {sequence}: {}", format_ids(&rows))
        });
        self.sent.push(SentRequest { producer, sequence, rows });
        match self.server.state.admit(request, None, request_index, &mut self.journal) {
            Some(deferred) if may_wait => self.server.deferred = Some(deferred),
            Some(_) => {}
            // If the request is rejected, `receive_reply` removes them.
            None if !is_duplicate => self.admitted_ids.extend(explicit_ids),
            None => {}
        }
        let old = self.admitted_ids.len().saturating_sub(RECENT_IDS / 4);
        self.admitted_ids.drain(..old);
        self.run_task_turn();
    }

    /// One iteration of the writer's task, repeated until there are no more replies.
    fn run_task_turn(&mut self) {
        loop {
            if let Some(DeferredRequest { request, permit, waiter, .. }) = self.server.deferred.take() {
                self.server.deferred = self.server.state.admit(request, permit, waiter, &mut self.journal);
            }
            self.server.state.append_due_records(self.now, NOW_MS, &mut self.journal);
            while let Some(batch) = self.server.state.next_insert() {
                let Seal { batch_id, shard, .. } = batch.seal;
                assert_eq!(
                    *self.shards.entry(batch_id).or_insert(shard),
                    shard,
                    "{batch_id} goes to two shards"
                );
                let attempt = InsertAttempt { batch, attempts: 0, unconfirmed: false };
                self.server.insert_attempts.push_back(Some(attempt));
            }
            self.unclean_boot &= !self.server.state.is_reconciled();
            let replies: Vec<_> = self.server.state.drain_replies().collect();
            if replies.is_empty() {
                return;
            }
            for (request_index, reply) in replies {
                self.receive_reply(request_index, reply);
            }
        }
    }

    fn receive_reply(&mut self, request_index: usize, reply: Result<Ack, SubmitError>) {
        self.trace(|| format!("  request {request_index}: {reply:?}"));
        let SentRequest { producer, sequence, rows } = &self.sent[request_index];
        match reply {
            Ok(ack) => {
                let counted = ack.accepted + ack.duplicates;
                assert_eq!(counted, rows.len() as u64, "request {request_index}: {ack:?} has a wrong total");
                self.acknowledged.extend(rows.iter().map(|row| row.id));
                if let Some(producer) = *producer {
                    assert!(ack.last_durable_sequence >= *sequence, "request {request_index}: {ack:?}");
                    self.acknowledge(producer, ack.last_durable_sequence);
                }
            }
            Err(error) => {
                if let SubmitError::SequenceGap { expected, .. } = error {
                    assert!(expected < *sequence, "request {request_index}: {error}");
                }
                self.admitted_ids.retain(|id| rows.iter().all(|row| row.id != *id));
            }
        }
    }

    fn acknowledge(&mut self, producer: usize, last_durable_sequence: u64) {
        let outstanding = &mut self.producers[producer].outstanding;
        while let Some((_, rows)) =
            outstanding.pop_front_if(|(sequence, _)| *sequence <= last_durable_sequence)
        {
            self.acknowledged.extend(rows.into_iter().map(|row| row.id));
        }
    }

    fn insert(&mut self, nth_oldest: usize, outcome: InsertOutcome) {
        let unfinished: Vec<usize> = self
            .server
            .insert_attempts
            .iter()
            .enumerate()
            .filter_map(|(index, attempt)| attempt.as_ref().map(|_| index))
            .collect();
        let Some(&index) = unfinished.get(nth_oldest % unfinished.len().max(1)) else {
            return;
        };
        if let Some(attempt) = self.server.insert_attempts[index].take() {
            self.server.insert_attempts[index] = self.attempt_insert(attempt, outcome);
        }
        while self.server.insert_attempts.pop_front_if(|attempt| attempt.is_none()).is_some() {
            self.server.state.batch_landed();
        }
    }

    /// Ends an attempt. Returns the next one, unless the batch is in ClickHouse or dead-lettered.
    fn attempt_insert(&mut self, attempt: InsertAttempt, outcome: InsertOutcome) -> Option<InsertAttempt> {
        let InsertAttempt { batch, attempts, mut unconfirmed } = attempt;
        let id = batch.seal.batch_id;
        if self.server.stored.contains(&id) {
            return None;
        }
        let rows = self.rows(&batch);
        self.trace(|| {
            format!("  insert {}: {:?}", id.as_u128(), rows.iter().map(Uuid::as_u128).collect::<Vec<_>>())
        });
        let token = id.to_string();
        match outcome {
            InsertOutcome::Success | InsertOutcome::ResponseLost if unconfirmed => self.store_once(id, &rows),
            InsertOutcome::Success | InsertOutcome::ResponseLost => self.clickhouse.insert(id, &token, &rows),
            InsertOutcome::Partial => self.clickhouse.insert_partially(id, &token, &rows),
            InsertOutcome::EngineCrash => {
                self.clickhouse.crash_during_insert(id, &token, &rows, &mut self.rng)
            }
            InsertOutcome::Failure => {}
        }
        unconfirmed |= outcome != InsertOutcome::Failure;
        if outcome == InsertOutcome::Success {
            return None;
        }
        if attempts + 1 == ATTEMPTS {
            let inserts = self.clickhouse.inserts();
            self.letters.push(SimulatedLetter { batch: id, rows, inserts, unconfirmed });
            return None;
        }
        Some(InsertAttempt { batch, attempts: attempts + 1, unconfirmed })
    }

    fn rows(&self, batch: &SealedBatch) -> Vec<Uuid> {
        let rows = match &batch.buffered {
            Some(buffered) => buffered.records.iter().flat_map(EventColumns::event_ids).collect(),
            None => self.journal_rows(batch.seal),
        };
        assert_eq!(
            rows.len() as u64,
            batch.seal.events,
            "{:?}: events are missing in the journal",
            batch.seal
        );
        rows
    }

    fn journal_rows(&self, seal: Seal) -> Vec<Uuid> {
        let within = |lsn| (seal.first..=seal.last).contains(&lsn);
        let records = self.journal.records().filter(|(lsn, _)| within(*lsn));
        records
            .flat_map(|(_, record)| match record {
                WriterRecord::Events(events) => events.columns.event_ids(),
                _ => Vec::new(),
            })
            .collect()
    }

    /// Inserts a letter under its token while ClickHouse certainly stores it. Otherwise compares and repairs.
    fn replay(&mut self) {
        let Some(SimulatedLetter { batch, rows, inserts, unconfirmed }) = self.letters.pop() else {
            return;
        };
        if unconfirmed || self.clickhouse.inserts() - inserts > self.clickhouse.window() / 2 {
            self.store_once(batch, &rows);
        } else {
            self.clickhouse.insert(batch, &batch.to_string(), &rows);
        }
        // A letter is deleted only after a sync.
        self.clickhouse.sync();
    }

    fn store_once(&mut self, batch: Uuid, rows: &[Uuid]) {
        self.trace(|| format!("  compare {}: {:?}", batch.as_u128(), self.clickhouse.row_counts(batch)));
        if self.clickhouse.row_counts(batch) != [rows.len(); fake_clickhouse::TABLES] {
            self.clickhouse.repair(batch, rows);
            self.clickhouse.sync();
        }
    }

    fn restart(&mut self) {
        self.next_batch += 1_000;
        self.admitted_ids.clear();
        self.server = start(&self.journal, self.inserts_in_flight, self.next_batch, self.now);
        if self.unclean_boot {
            for seal in self.server.state.recovered_batches() {
                let rows = self.journal_rows(seal);
                self.store_once(seal.batch_id, &rows);
                self.server.stored.insert(seal.batch_id);
            }
            for SimulatedLetter { batch, rows, .. } in std::mem::take(&mut self.letters) {
                self.store_once(batch, &rows);
                self.server.stored.insert(batch);
            }
            // Letters are deleted only after a sync.
            self.clickhouse.sync();
        } else {
            let mut sealed = self.server.state.recovered_sealed();
            sealed.retain(|seal| self.letters.iter().all(|letter| letter.batch != seal.batch_id));
            let has_stored_events = |batch_id| self.clickhouse.row_counts(batch_id)[0] > 0;
            for seal in retain_possibly_sent(sealed, has_stored_events) {
                let rows = self.journal_rows(seal);
                self.store_once(seal.batch_id, &rows);
                self.server.stored.insert(seal.batch_id);
            }
        }
        self.server.state.reconciliation_completed();
        // The replayer inserts batches that were dead-lettered just before the crash.
        self.server.stored.extend(self.letters.iter().map(|letter| letter.batch));
        self.run_task_turn();
        for producer in 0..PRODUCERS {
            self.resume(producer);
        }
    }

    /// A producer reconnects, queries its last durable sequence, and resends what is not acknowledged.
    fn resume(&mut self, producer: usize) {
        let state = self.server.state.producers().get(&format!("producer-{producer}"));
        self.acknowledge(producer, state.map_or(0, |state| state.last_durable_sequence));
        for (sequence, rows) in self.producers[producer].outstanding.clone() {
            self.submit(Some(producer), sequence, rows, true);
        }
    }

    /// Runs without faults until everything has landed.
    fn run_until_drained(&mut self) {
        for _ in 0..2_000 {
            self.apply(&SimulationStep::Sync { records: usize::MAX });
            self.apply(&SimulationStep::Flush);
            self.apply(&INSERT);
            self.apply(&SimulationStep::Replay);
            // The first starts a checkpoint, the second completes it.
            self.apply(&SimulationStep::Checkpoint);
            self.apply(&SimulationStep::Checkpoint);
            self.apply(&SimulationStep::Wait { millis: 1_000 });
            if self.server.deferred.is_some() {
                continue;
            }
            match (0..PRODUCERS).find(|&producer| !self.producers[producer].outstanding.is_empty()) {
                Some(producer) => self.resume(producer),
                None if self.server.state.is_drained()
                    && self.letters.is_empty()
                    && self.server.state.checkpoint_due().is_none() =>
                {
                    assert_eq!(self.server.state.oldest_unlanded_ms(), None, "nothing waits");
                    return;
                }
                None => {}
            }
        }
        panic!(
            "no progress: {} bytes in the journal, {} dead letters, deferred: {}",
            self.journal.bytes(),
            self.letters.len(),
            self.server.deferred.is_some()
        );
    }

    /// Ends all faults, then checks: acknowledged events are stored, no event is stored twice, the journal drains.
    fn assert_guarantees(&mut self) {
        self.run_until_drained();
        let counts: BTreeMap<Uuid, (usize, usize)> = self.clickhouse.counts();
        for id in &self.acknowledged {
            let count = counts.get(id).copied().unwrap_or_default();
            assert_eq!(count, (1, 1), "acknowledged event {} is not stored exactly once", id.as_u128());
        }
        for (id, count) in counts {
            assert_eq!(count, (1, 1), "event {} is stored twice, or in one table only", id.as_u128());
        }
        let bytes = self.journal.bytes();
        assert!(bytes <= MAX_BYTES / 2, "everything has landed, but the journal still holds {bytes} bytes");
        let before = self.acknowledged.len();
        self.apply(&SimulationStep::Unnumbered { rows: 1, with_ids: false, may_wait: false });
        self.apply(&SimulationStep::Sync { records: usize::MAX });
        assert_eq!(self.acknowledged.len(), before + 1, "the journal accepts no events");
    }
}

fn start(
    journal: &FakeJournal,
    inserts_in_flight: usize,
    first_batch: u128,
    now: Instant,
) -> SimulatedServer {
    let limits = BatchLimits {
        flush_events: 10,
        flush_interval: Duration::from_millis(100),
        flush_min_interval: Duration::ZERO,
        concurrent_events: 12,
        max_bytes: 1_500,
        max_events: 20,
    };
    let mut builder = RecoveryBuilder::new(RecentIds::new(RECENT_IDS));
    for (lsn, record) in journal.records() {
        builder.apply(lsn, record).expect("the state encoded the record");
    }
    let mut next_batch = first_batch;
    let mut new_batch_id = move || {
        next_batch += 1;
        Uuid::from_u128(next_batch)
    };
    let recovered = builder.finish(&limits, &mut new_batch_id);
    let settings = StateSettings {
        limits,
        inserts_in_flight,
        producer_idle_timeout: Duration::from_secs(3_600),
        snapshot_interval_bytes: (2_000, MAX_BYTES / 8),
        snapshot_part_bytes: 150,
        new_batch_id: Box::new(new_batch_id),
        // Another order in each process.
        choose_shard: Box::new({
            let mut rng = SmallRng::seed_from_u64(first_batch as u64);
            move || rng.random_range(0..3)
        }),
        feed: Feed::new().0,
    };
    let state = WriterState::new(settings, recovered, now);
    SimulatedServer {
        state,
        insert_attempts: VecDeque::new(),
        deferred: None,
        checkpoint: None,
        stored: BTreeSet::new(),
    }
}

fn format_ids(rows: &[SentRow]) -> String {
    let ids: Vec<String> = rows
        .iter()
        .map(|row| format!("{}{}", row.id.as_u128(), if row.explicit { " (explicit)" } else { "" }))
        .collect();
    ids.join(", ")
}

fn columns(rows: &[SentRow]) -> EventColumns {
    let rules = ValidationRules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
    let (properties, project) = (no_properties(), Project::default());
    let mut columns = EventColumns::new(&properties);
    for row in rows {
        let event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
            // Identifies the event in ClickHouse.
            session_id: row.id.to_string(),
            event_id: row.explicit.then(|| row.id.to_string()),
            ..Default::default()
        };
        let valid = validate(&event, &rules, &properties, NOW_MS).expect("the event is valid");
        columns.push(&valid, &project, NOW_MS);
    }
    columns
}

fn no_properties() -> Properties {
    Properties::parse("").expect("a file without properties is valid")
}

/// The record kind that tests damage.
const SEAL: u8 = kind::SEAL;
