//! A deterministic simulation of producers, the writer's [`State`], a disk that fails, and a ClickHouse that is slow, loses
//! answers, restarts and forgets tokens. The decisions are the real ones; what is simulated is what they stand on.
//!
//! `model.rs` drives it with the steps that proptest makes up and shrinks; `seeds.rs` with those of a seed, which replays a
//! run exactly. Both end a run the same way: every fault ends, and what was promised is checked.

mod disk;
mod model;
mod seeds;
mod warehouse;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;
use uuid::Uuid;

use super::batch::Limits;
use super::columns::EventColumns;
use super::recent_ids::RecentIds;
use super::record::{Record, Seal, kind};
use super::recover::JournalReader;
use super::state::{Batch, Held, Settings, State};
use super::{Receipt, Request, SubmitError};
use crate::event::{Rules, validate};
use crate::journal::JournalError;
use crate::proto::v1;
use disk::Disk;
use warehouse::Warehouse;

/// How many attempts an insert gets before its batch becomes a dead letter.
const ATTEMPTS: u32 = 4;
const NOW_MS: i64 = 1_800_000_000_000;
/// The journal of a run: small, so that it is full often.
const SEGMENT_BYTES: u64 = 2_000;
const MAX_BYTES: u64 = 24_000;
const RESERVE_BYTES: u64 = 8_000;
const RECENT_IDS: usize = 40;
const PRODUCERS: usize = 3;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A numbered request of a producer.
    Numbered { producer: usize, rows: usize, with_ids: bool },
    /// The oldest request that was not acknowledged is sent once more.
    Resend { producer: usize },
    /// A request without a number, of a caller that flow control does not slow, or of one that waits.
    Unnumbered { rows: usize, with_ids: bool, may_wait: bool },
    /// An earlier event id comes once more, among new ones.
    RepeatedId { rows: usize, back: usize },
    /// The disk has synced so many records.
    Sync { records: usize },
    /// A sync fails.
    DiskFails,
    /// The flush interval is over.
    Flush,
    /// The insert under way ends.
    Insert(Insert),
    /// A dead letter is sent again.
    Redrive,
    /// ClickHouse's files are synced.
    Checkpoint,
    /// Time goes by.
    Wait { millis: u64 },
    /// The server is killed and started again. Of what was on its way to the disk, a part may have arrived.
    Kill { kept: usize },
    /// The same for the machine: ClickHouse loses what was not synced.
    PowerCut { kept: usize },
}

/// How an insert ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Insert {
    Lands,
    /// It lands, and the answer gets lost.
    AnswerLost,
    /// The events are in, the rollup is not, and the answer is an error.
    Halfway,
    /// The engine dies in the middle: it may remember the token of a part that it does not have.
    EngineDies,
    Fails,
}

/// What a caller sent.
struct Sent {
    producer: Option<usize>,
    sequence: u64,
    rows: Vec<Row>,
}

#[derive(Clone, Copy)]
struct Row {
    id: Uuid,
    given: bool,
}

struct Producer {
    next_sequence: u64,
    /// Not acknowledged, oldest first.
    outstanding: VecDeque<(u64, Vec<Row>)>,
}

/// A dead letter.
struct Letter {
    batch: Uuid,
    rows: Vec<Uuid>,
    /// How many inserts there had been when it became one.
    inserts: usize,
    /// Whether an insert of it got no answer.
    doubtful: bool,
}

struct Inserting {
    batch: Batch,
    attempts: u32,
    /// Whether an attempt got no answer. Then every later one compares.
    doubtful: bool,
}

struct Server {
    state: State<usize>,
    inserting: Option<Inserting>,
    held: Option<Held<usize>>,
    /// A checkpoint that has begun, and what it covers.
    checkpoint: Option<u64>,
    /// Batches that the start found to be in ClickHouse.
    stored: BTreeSet<Uuid>,
}

struct World {
    disk: Disk,
    warehouse: Warehouse,
    server: Server,
    /// Whether the machine went down without a clean stop, and no start since has made that good.
    unclean_boot: bool,
    /// Batches that ClickHouse did not take; their files are synced.
    letters: Vec<Letter>,
    producers: Vec<Producer>,
    sent: Vec<Sent>,
    acknowledged: BTreeSet<Uuid>,
    /// The given ids of the last requests that have their place in the journal: well within the window.
    admitted_ids: VecDeque<Uuid>,
    next_id: u128,
    next_batch: u128,
    now: Instant,
    random: SmallRng,
    /// Whether each step is printed: for the replay of a seed.
    trace: bool,
}

impl World {
    fn new(seed: u64, window: usize) -> Self {
        let disk = Disk::new(SEGMENT_BYTES, MAX_BYTES, RESERVE_BYTES);
        let now = Instant::now();
        let producer = || Producer { next_sequence: 1, outstanding: VecDeque::new() };
        let mut server = start(&disk, 1_000_000, now);
        server.state.reconciled();
        Self {
            server,
            disk,
            warehouse: Warehouse::new(window),
            unclean_boot: false,
            letters: Vec::new(),
            producers: (0..PRODUCERS).map(|_| producer()).collect(),
            sent: Vec::new(),
            acknowledged: BTreeSet::new(),
            admitted_ids: VecDeque::new(),
            next_id: 1,
            next_batch: 2_000_000,
            now,
            random: SmallRng::seed_from_u64(seed),
            trace: std::env::var_os("SIMULATE_SEED").is_some(),
        }
    }

    fn apply(&mut self, step: &Step) {
        self.trace(|| format!("{step:?}"));
        match *step {
            Step::Numbered { producer, rows, with_ids } => {
                let rows = self.new_rows(rows, with_ids);
                let Producer { next_sequence, outstanding } = &mut self.producers[producer];
                let sequence = *next_sequence;
                *next_sequence += 1;
                outstanding.push_back((sequence, rows.clone()));
                self.submit(Some(producer), sequence, rows, true);
            }
            Step::Resend { producer } => {
                if let Some((sequence, rows)) = self.producers[producer].outstanding.front().cloned() {
                    self.submit(Some(producer), sequence, rows, true);
                }
            }
            Step::Unnumbered { rows, with_ids, may_wait } => {
                let rows = self.new_rows(rows, with_ids);
                self.submit(None, 0, rows, may_wait);
            }
            Step::RepeatedId { rows, back } => {
                let mut rows = self.new_rows(rows, true);
                if let Some(&id) = self.admitted_ids.iter().rev().nth(back) {
                    rows.push(Row { id, given: true });
                }
                self.submit(None, 0, rows, true);
            }
            Step::Sync { records } => {
                for _ in 0..records.min(self.disk.pending()) {
                    self.disk.sync_one();
                    self.server.state.written(Ok(()), self.now, &mut self.disk);
                    self.settle();
                }
            }
            Step::DiskFails => {
                for _ in 0..self.disk.fail() {
                    let error = JournalError::Closed;
                    self.server.state.written(Err(error), self.now, &mut self.disk);
                    // The journal takes nothing until every failed append was told.
                    self.settle();
                }
                self.disk.repair();
                self.settle();
            }
            Step::Flush => self.server.state.seal_open(self.now),
            Step::Insert(outcome) => self.insert(outcome),
            Step::Redrive => self.redrive(),
            Step::Checkpoint => match self.server.checkpoint.take() {
                None => {
                    self.server.checkpoint = self.server.state.checkpoint_due();
                    // What lands from here on until it ends may be covered or not; it is not.
                    self.warehouse.sync();
                }
                Some(covered) => self.server.state.checkpointed(covered, &mut self.disk),
            },
            Step::Wait { millis } => self.now += Duration::from_millis(millis),
            Step::Kill { kept } => {
                self.disk.crash(kept);
                self.restart();
            }
            Step::PowerCut { kept } => {
                self.disk.crash(kept);
                self.warehouse.power_cut(&mut self.random);
                self.unclean_boot = true;
                self.restart();
            }
        }
        self.settle();
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{}", line());
        }
    }

    fn new_rows(&mut self, rows: usize, given: bool) -> Vec<Row> {
        let rows: Vec<Row> =
            (self.next_id..).take(rows).map(|id| Row { id: Uuid::from_u128(id), given }).collect();
        self.next_id += rows.len() as u128;
        rows
    }

    fn submit(&mut self, producer: Option<usize>, sequence: u64, rows: Vec<Row>, may_wait: bool) {
        // The task takes nothing while a request is held back.
        if self.server.held.is_some() {
            return;
        }
        let ticket = self.sent.len();
        let request = Request {
            producer_id: producer.map_or_else(String::new, |number| format!("producer-{number}")),
            sequence,
            new_numbering: false,
            received_at_ms: NOW_MS,
            columns: columns(&rows),
        };
        let place = self.server.state.producers().place(&request.producer_id);
        let repeat = producer.is_some() && place.is_some_and(|place| sequence <= place.handed_over);
        let given_ids: Vec<Uuid> = rows.iter().filter(|row| row.given).map(|row| row.id).collect();
        self.trace(|| format!("  request {ticket} of {producer:?}, sequence {sequence}: {}", ids(&rows)));
        self.sent.push(Sent { producer, sequence, rows });
        match self.server.state.submit(request, None, ticket, &mut self.disk) {
            Some(held) if may_wait => self.server.held = Some(held),
            Some(_) => {}
            // Where it is refused, the reply takes them out again.
            None if !repeat => self.admitted_ids.extend(given_ids),
            None => {}
        }
        let old = self.admitted_ids.len().saturating_sub(RECENT_IDS / 4);
        self.admitted_ids.drain(..old);
        self.settle();
    }

    /// What the task does at each turn.
    fn settle(&mut self) {
        loop {
            if let Some(Held { request, share, ticket, .. }) = self.server.held.take() {
                self.server.held = self.server.state.submit(request, share, ticket, &mut self.disk);
            }
            self.server.state.flush(self.now, NOW_MS, &mut self.disk);
            if self.server.inserting.is_none()
                && let Some(batch) = self.server.state.next_insert()
            {
                self.server.inserting = Some(Inserting { batch, attempts: 0, doubtful: false });
            }
            self.unclean_boot &= !self.server.state.is_reconciled();
            let replies: Vec<_> = self.server.state.take_replies().collect();
            if replies.is_empty() {
                return;
            }
            for (ticket, reply) in replies {
                self.reply(ticket, reply);
            }
        }
    }

    fn reply(&mut self, ticket: usize, reply: Result<Receipt, SubmitError>) {
        self.trace(|| format!("  request {ticket}: {reply:?}"));
        let Sent { producer, sequence, rows } = &self.sent[ticket];
        match reply {
            Ok(receipt) => {
                let counted = receipt.accepted + receipt.duplicates;
                assert_eq!(counted, rows.len() as u64, "request {ticket}: {receipt:?} does not add up");
                self.acknowledged.extend(rows.iter().map(|row| row.id));
                if let Some(producer) = *producer {
                    assert!(receipt.last_durable_sequence >= *sequence, "request {ticket}: {receipt:?}");
                    self.acknowledge(producer, receipt.last_durable_sequence);
                }
            }
            Err(error) => {
                if let SubmitError::Gap { expected, .. } = error {
                    assert!(expected < *sequence, "request {ticket}: {error}");
                }
                self.admitted_ids.retain(|id| rows.iter().all(|row| row.id != *id));
            }
        }
    }

    fn acknowledge(&mut self, producer: usize, durable: u64) {
        let outstanding = &mut self.producers[producer].outstanding;
        while let Some((_, rows)) = outstanding.pop_front_if(|(sequence, _)| *sequence <= durable) {
            self.acknowledged.extend(rows.into_iter().map(|row| row.id));
        }
    }

    fn insert(&mut self, outcome: Insert) {
        let Some(Inserting { batch, attempts, mut doubtful }) = self.server.inserting.take() else {
            return;
        };
        let id = batch.seal.batch_id;
        if self.server.stored.contains(&id) {
            return self.server.state.landed();
        }
        let rows = self.rows(&batch);
        self.trace(|| {
            format!("  insert {}: {:?}", id.as_u128(), rows.iter().map(Uuid::as_u128).collect::<Vec<_>>())
        });
        let token = id.to_string();
        match outcome {
            Insert::Lands | Insert::AnswerLost if doubtful => self.store_once(id, &rows),
            Insert::Lands | Insert::AnswerLost => self.warehouse.insert(id, &token, &rows),
            Insert::Halfway => self.warehouse.insert_halfway(id, &token, &rows),
            Insert::EngineDies => self.warehouse.die(id, &token, &rows, &mut self.random),
            Insert::Fails => {}
        }
        doubtful |= matches!(outcome, Insert::AnswerLost | Insert::EngineDies);
        if outcome == Insert::Lands {
            self.server.state.landed();
        } else if attempts + 1 == ATTEMPTS {
            let inserts = self.warehouse.inserts();
            self.letters.push(Letter { batch: id, rows, inserts, doubtful });
            self.server.state.landed();
        } else {
            self.server.inserting = Some(Inserting { batch, attempts: attempts + 1, doubtful });
        }
    }

    fn rows(&self, batch: &Batch) -> Vec<Uuid> {
        let rows = match &batch.resident {
            Some(resident) => resident.columns.event_ids(),
            None => self.journaled(batch.seal),
        };
        assert_eq!(rows.len() as u64, batch.seal.events, "{:?}: the journal lost events", batch.seal);
        rows
    }

    fn journaled(&self, seal: Seal) -> Vec<Uuid> {
        let within = |lsn| (seal.first..=seal.last).contains(&lsn);
        let records = self.disk.records().filter(|(lsn, _)| within(*lsn));
        records
            .flat_map(|(_, record)| match record {
                Record::Events(events) => events.columns.event_ids(),
                _ => Vec::new(),
            })
            .collect()
    }

    /// A letter is sent again under its token as long as ClickHouse surely remembers that; later it is looked up.
    fn redrive(&mut self) {
        let Some(Letter { batch, rows, inserts, doubtful }) = self.letters.pop() else {
            return;
        };
        if doubtful || self.warehouse.inserts() - inserts > self.warehouse.window() / 2 {
            self.store_once(batch, &rows);
        } else {
            self.warehouse.insert(batch, &batch.to_string(), &rows);
        }
        // The letter is deleted only when its events are safe.
        self.warehouse.sync();
    }

    fn store_once(&mut self, batch: Uuid, rows: &[Uuid]) {
        self.trace(|| format!("  compare {}: {:?}", batch.as_u128(), self.warehouse.rows_of(batch)));
        if self.warehouse.rows_of(batch) != [rows.len(); warehouse::TABLES] {
            self.warehouse.repair(batch, rows);
        }
    }

    fn restart(&mut self) {
        self.next_batch += 1_000;
        self.admitted_ids.clear();
        self.server = start(&self.disk, self.next_batch, self.now);
        if self.unclean_boot {
            for seal in self.server.state.known_batches() {
                let rows = self.journaled(seal);
                self.store_once(seal.batch_id, &rows);
                self.server.stored.insert(seal.batch_id);
            }
            for Letter { batch, rows, .. } in std::mem::take(&mut self.letters) {
                self.store_once(batch, &rows);
                self.server.stored.insert(batch);
            }
            // The letters are deleted only when their events are safe.
            self.warehouse.sync();
        } else {
            // The oldest may have been in flight, and so may any of which there is something.
            let mut sealed = self.server.state.known_sealed();
            sealed.retain(|seal| self.letters.iter().all(|letter| letter.batch != seal.batch_id));
            for (number, seal) in sealed.into_iter().enumerate() {
                if number == 0 || self.warehouse.rows_of(seal.batch_id)[0] > 0 {
                    let rows = self.journaled(seal);
                    self.store_once(seal.batch_id, &rows);
                    self.server.stored.insert(seal.batch_id);
                }
            }
        }
        self.server.state.reconciled();
        // A batch that became a letter just before the end is the letter's from here on.
        self.server.stored.extend(self.letters.iter().map(|letter| letter.batch));
        self.settle();
        for producer in 0..PRODUCERS {
            self.resume(producer);
        }
    }

    /// A producer that has connected again asks where it is, and sends what was not acknowledged.
    fn resume(&mut self, producer: usize) {
        let place = self.server.state.producers().place(&format!("producer-{producer}"));
        self.acknowledge(producer, place.map_or(0, |place| place.durable));
        for (sequence, rows) in self.producers[producer].outstanding.clone() {
            self.submit(Some(producer), sequence, rows, true);
        }
    }

    /// Every fault ends, and everything goes its way.
    fn heal(&mut self) {
        for _ in 0..2_000 {
            self.apply(&Step::Sync { records: usize::MAX });
            self.apply(&Step::Flush);
            self.apply(&Step::Insert(Insert::Lands));
            self.apply(&Step::Redrive);
            // It begins, and ends.
            self.apply(&Step::Checkpoint);
            self.apply(&Step::Checkpoint);
            self.apply(&Step::Wait { millis: 1_000 });
            if self.server.held.is_some() {
                continue;
            }
            match (0..PRODUCERS).find(|&producer| !self.producers[producer].outstanding.is_empty()) {
                Some(producer) => self.resume(producer),
                None if self.server.state.is_drained()
                    && self.letters.is_empty()
                    && self.server.state.checkpoint_due().is_none() =>
                {
                    return;
                }
                None => {}
            }
        }
        panic!(
            "no progress: {} bytes in the journal, {} dead letters, held: {}",
            self.disk.bytes(),
            self.letters.len(),
            self.server.held.is_some()
        );
    }

    /// What was promised.
    fn check(&mut self) {
        self.heal();
        let counts: BTreeMap<Uuid, (usize, usize)> = self.warehouse.counts();
        for id in &self.acknowledged {
            let count = counts.get(id).copied().unwrap_or_default();
            assert_eq!(count, (1, 1), "event {} was acknowledged", id.as_u128());
        }
        for (id, count) in counts {
            assert_eq!(count, (1, 1), "event {} is there twice, or in one table only", id.as_u128());
        }
        // Everything has landed, so the journal is nearly empty, and takes events again.
        let bytes = self.disk.bytes();
        assert!(bytes <= MAX_BYTES / 2, "everything has landed, and the journal still holds {bytes} bytes");
        let before = self.acknowledged.len();
        self.apply(&Step::Unnumbered { rows: 1, with_ids: false, may_wait: false });
        self.apply(&Step::Sync { records: usize::MAX });
        assert_eq!(self.acknowledged.len(), before + 1, "the journal takes events again");
    }
}

fn start(disk: &Disk, first_batch: u128, now: Instant) -> Server {
    let limits = Limits {
        flush_events: 10,
        flush_interval: Duration::from_millis(100),
        flush_min_interval: Duration::ZERO,
        max_bytes: 1_500,
        max_events: 20,
    };
    let mut reader = JournalReader::new(RecentIds::new(RECENT_IDS));
    for (lsn, record) in disk.records() {
        reader.read(lsn, record).expect("the state wrote it");
    }
    let mut next_batch = first_batch;
    let mut new_batch_id = move || {
        next_batch += 1;
        Uuid::from_u128(next_batch)
    };
    let recovered = reader.finish(&limits, &mut new_batch_id);
    let settings = Settings {
        limits,
        producer_idle: Duration::from_secs(3_600),
        snapshot_after_bytes: (2_000, MAX_BYTES / 8),
        snapshot_part_bytes: 150,
        new_batch_id: Box::new(new_batch_id),
    };
    let state = State::new(settings, recovered, now);
    Server { state, inserting: None, held: None, checkpoint: None, stored: BTreeSet::new() }
}

fn ids(rows: &[Row]) -> String {
    let ids: Vec<String> = rows
        .iter()
        .map(|row| format!("{}{}", row.id.as_u128(), if row.given { " (given)" } else { "" }))
        .collect();
    ids.join(", ")
}

fn columns(rows: &[Row]) -> EventColumns {
    let rules = Rules { retention: Duration::from_secs(86_400), max_clock_skew: Duration::ZERO };
    let mut columns = EventColumns::default();
    for row in rows {
        let event = v1::Event {
            event_name: "a".into(),
            timestamp: Some(prost_types::Timestamp { seconds: NOW_MS / 1_000, nanos: 0 }),
            event_id: row.given.then(|| row.id.to_string()),
            ..Default::default()
        };
        let valid = validate(&event, &rules, NOW_MS).expect("it is valid");
        columns.push(&valid, NOW_MS, || row.id);
    }
    columns
}

/// The kinds of records that a test damages.
const SEAL: u8 = kind::SEAL;
