//! What the seals topic says about a partition: which batches were cut, which of them have not landed, and where the next one
//! begins.
//!
//! A new owner of a partition reads the whole topic into a [`SealLog`], after it has fenced its predecessor. That yields a
//! [`PartitionState`], which it keeps up to date with the records that it commits. Both are pure; records are applied after
//! their transaction was committed, never before.
//!
//! # Invariants
//!
//! 1. The batches of a partition follow each other: each begins at the offset after the end of the one before.
//! 2. A seal never changes. A landed record repeats it.
//! 3. Batches are released from the oldest on, after they have landed and ClickHouse has synced them. The newest one is never
//!    released: it says where the next one begins.
//!
//! If the topic violates one of them, the partition must not be consumed: some offsets could be inserted twice or never.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use uuid::Uuid;

use super::record::{PartitionId, Seal, SealRecord};

/// The records of the seals topic, folded in their order. Compaction may have removed any record that a later one replaces.
#[derive(Debug, Default)]
pub struct SealLog {
    partitions: HashMap<PartitionId, BTreeMap<i64, Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Start { topic: String, store: Uuid },
    Batch(Batch),
}

/// A sealed batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub seal: Seal,
    pub landed: bool,
}

/// What was read of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchContents {
    /// Offset of the last message.
    pub last: i64,
    pub messages: u32,
    /// Number of valid events.
    pub events: u32,
    /// The [`digest`](super::record::digest) of the messages.
    pub digest: u32,
}

/// A partition as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    partition: PartitionId,
    topic: String,
    /// The ClickHouse that gets the next batches.
    store: Uuid,
    /// In the order of their offsets, without the released ones.
    batches: VecDeque<Batch>,
    next_offset: i64,
}

/// Why the records of a partition contradict each other. A process without fencing has written them, or some are missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealConflict {
    #[error("a batch of partition {} begins at offset {first}, but the one before ends at {}", partition.partition, next - 1)]
    NotAdjacent { partition: PartitionId, next: i64, first: i64 },
    #[error("two different batches of partition {} begin at offset {first}", partition.partition)]
    Changed { partition: PartitionId, first: i64 },
    #[error("the batch of partition {} at offset {first} cannot be {step} in its state", partition.partition)]
    WrongStep { partition: PartitionId, first: i64, step: &'static str },
}

impl SealLog {
    /// Applies the next record.
    pub fn apply(&mut self, record: SealRecord) -> Result<(), SealConflict> {
        let (partition, first) = (record.partition(), record.first());
        let entries = self.partitions.entry(partition).or_default();
        match record {
            SealRecord::Released { .. } => {
                entries.remove(&first);
            }
            SealRecord::Start { topic, store, .. } => match entries.get(&first) {
                Some(Entry::Batch(_)) => return Err(SealConflict::Changed { partition, first }),
                Some(Entry::Start { .. }) | None => {
                    entries.insert(first, Entry::Start { topic, store });
                }
            },
            SealRecord::Sealed(seal) => match entries.get(&first) {
                Some(Entry::Batch(_)) => return Err(SealConflict::Changed { partition, first }),
                Some(Entry::Start { .. }) | None => {
                    entries.insert(first, Entry::Batch(Batch { seal, landed: false }));
                }
            },
            SealRecord::Landed(seal) => match entries.get(&first) {
                Some(Entry::Batch(batch)) if batch.seal != seal => {
                    return Err(SealConflict::Changed { partition, first });
                }
                _ => {
                    entries.insert(first, Entry::Batch(Batch { seal, landed: true }));
                }
            },
        }
        Ok(())
    }

    /// The state of a partition after the last record of the topic; `None` if it was never consumed.
    pub fn state(&self, partition: PartitionId) -> Result<Option<PartitionState>, SealConflict> {
        let mut state: Option<PartitionState> = None;
        for (&first, entry) in self.partitions.get(&partition).into_iter().flatten() {
            let (topic, store) = match entry {
                Entry::Start { topic, store } => (topic, *store),
                Entry::Batch(batch) => (&batch.seal.topic, batch.seal.store),
            };
            let new = || PartitionState::new(partition, topic.clone(), store, first);
            let state = state.get_or_insert_with(new);
            state.store = store;
            if first != state.next_offset {
                return Err(SealConflict::NotAdjacent { partition, next: state.next_offset, first });
            }
            match entry {
                Entry::Start { .. } => {}
                Entry::Batch(batch) => state.push(batch.clone()),
            }
        }
        Ok(state)
    }

    /// The ids that the topic of this name had before it was deleted and created again.
    pub fn former_ids(&self, topic: &str, topic_id: Uuid) -> BTreeSet<Uuid> {
        let with_name = self.partitions.iter().filter(|(_, entries)| is_of_topic(entries, topic));
        with_name.map(|(partition, _)| partition.topic_id).filter(|id| *id != topic_id).collect()
    }

    /// What makes a partition begin again at an offset, whatever its records say, in one transaction: they are released, and a
    /// start is written. Records of this partition of an earlier topic with the same name are released too. Also returns the
    /// batches that are given up: sealed ones that have not landed.
    pub fn restart(&self, partition: PartitionId, topic: &str, first: i64) -> (Vec<SealRecord>, Vec<Seal>) {
        let (mut records, mut given_up) = (Vec::new(), Vec::new());
        for (&id, entries) in &self.partitions {
            let is_former = id.partition == partition.partition && is_of_topic(entries, topic);
            if id != partition && !is_former {
                continue;
            }
            records.extend(entries.keys().map(|&first| SealRecord::Released { partition: id, first }));
            given_up.extend(entries.values().filter_map(|entry| match entry {
                Entry::Batch(batch) if !batch.landed => Some(batch.seal.clone()),
                Entry::Batch(_) | Entry::Start { .. } => None,
            }));
        }
        let store = Uuid::nil();
        records.push(SealRecord::Start { partition, topic: topic.to_owned(), first, store });
        (records, given_up)
    }
}

fn is_of_topic(entries: &BTreeMap<i64, Entry>, topic: &str) -> bool {
    entries.values().any(|entry| match entry {
        Entry::Start { topic: name, .. } => name == topic,
        Entry::Batch(batch) => batch.seal.topic == topic,
    })
}

impl PartitionState {
    /// A partition that was never consumed, and will be from `first` on. Commit its [`Self::start`] before the first seal.
    #[must_use]
    pub fn new(partition: PartitionId, topic: String, store: Uuid, first: i64) -> Self {
        Self { partition, topic, store, batches: VecDeque::new(), next_offset: first }
    }

    /// The partition, which does not change when the topic's name is used again.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The ClickHouse that the last batch was for; nil if that is not decided.
    #[must_use]
    pub fn store(&self) -> Uuid {
        self.store
    }

    /// The record that decides the store, if there is no batch yet.
    #[must_use]
    pub fn with_store(mut self, store: Uuid) -> Self {
        self.store = store;
        self
    }

    /// The record that says where consumption begins.
    #[must_use]
    pub fn start(&self) -> SealRecord {
        let Self { partition, store, .. } = *self;
        SealRecord::Start { partition, topic: self.topic.clone(), first: self.next_offset, store }
    }

    /// The first offset that belongs to no batch.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The batches that have to be inserted, in the order of their offsets. Anyone may insert them, any number of times.
    pub fn unlanded(&self) -> impl Iterator<Item = &Seal> {
        self.batches.iter().filter(|batch| !batch.landed).map(|batch| &batch.seal)
    }

    /// The batches that have landed and may not be durable in ClickHouse yet.
    pub fn landed(&self) -> impl Iterator<Item = &Seal> {
        self.batches.iter().filter(|batch| batch.landed).map(|batch| &batch.seal)
    }

    /// Cuts a batch of the messages up to `last`, which must be behind the last batch. It exists once its record is committed.
    #[must_use]
    pub fn cut(&self, contents: BatchContents, shard: u16, batch_id: Uuid) -> Seal {
        let BatchContents { last, messages, events, digest } = contents;
        assert!(last >= self.next_offset, "a batch has a message");
        let (partition, first) = (self.partition, self.next_offset);
        Seal {
            partition,
            topic: self.topic.clone(),
            first,
            last,
            batch_id,
            messages,
            events,
            digest,
            shard,
            store: self.store,
        }
    }

    /// The records that release the oldest batches, as far as they have landed and are durable.
    pub fn releasable(&self, is_durable: impl Fn(&Seal) -> bool) -> Vec<SealRecord> {
        let older = self.batches.iter().take(self.batches.len().saturating_sub(1));
        older
            .take_while(|batch| batch.landed && is_durable(&batch.seal))
            .map(|batch| SealRecord::Released { partition: self.partition, first: batch.seal.first })
            .collect()
    }

    /// Applies a record that was committed.
    pub fn apply(&mut self, record: &SealRecord) -> Result<(), SealConflict> {
        let partition = self.partition;
        match record {
            SealRecord::Start { first, .. } if self.batches.is_empty() && *first == self.next_offset => {
                Ok(())
            }
            SealRecord::Start { first, .. } => {
                Err(SealConflict::WrongStep { partition, first: *first, step: "started" })
            }
            SealRecord::Sealed(seal) if seal.first == self.next_offset => {
                self.push(Batch { seal: seal.clone(), landed: false });
                Ok(())
            }
            SealRecord::Sealed(seal) => {
                Err(SealConflict::NotAdjacent { partition, next: self.next_offset, first: seal.first })
            }
            SealRecord::Landed(seal) => {
                match self.batches.iter_mut().find(|batch| batch.seal.first == seal.first) {
                    Some(batch) if batch.seal != *seal => {
                        Err(SealConflict::Changed { partition, first: seal.first })
                    }
                    Some(batch) if !batch.landed => {
                        batch.landed = true;
                        Ok(())
                    }
                    _ => Err(SealConflict::WrongStep { partition, first: seal.first, step: "landed" }),
                }
            }
            SealRecord::Released { first, .. } => match self.batches.front() {
                Some(batch) if batch.seal.first == *first && batch.landed && self.batches.len() > 1 => {
                    self.batches.pop_front();
                    Ok(())
                }
                _ => Err(SealConflict::WrongStep { partition, first: *first, step: "released" }),
            },
        }
    }

    fn push(&mut self, batch: Batch) {
        self.next_offset = batch.seal.last + 1;
        self.batches.push_back(batch);
    }
}
