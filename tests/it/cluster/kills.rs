//! Kills servers of a cluster at random moments under load: a batch stays on the shard that its seal names.
//!
//! `make equality-test KILLS=200` kills more often; the default is five times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use millrace::internals::journal::entry::SegmentEntry;
use millrace::internals::journal::reader::SegmentReader;
use millrace::internals::writer::record::{WriterRecord, kind};
use millrace_client::ProducerConfig;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use crate::common::emulation::{CLUSTER, EmulatedCluster};
use crate::common::{TIMEOUT, TestClickHouse};
use crate::replicas::name_engine;
use crate::rollup_assertions::assert_rollup_matches_events;
use crate::several_servers::{Member, send_until_stopped};

const SHARDS: usize = 3;

fn kills() -> usize {
    std::env::var("CLUSTER_KILLS").map_or(5, |text| text.parse().expect("CLUSTER_KILLS is a number"))
}

/// What the journals have said about batches.
#[derive(Default)]
struct Journals {
    /// The shards that seals and landed records name.
    shards: BTreeMap<Uuid, BTreeSet<u32>>,
    sealed: BTreeSet<Uuid>,
    landed: BTreeSet<Uuid>,
}

impl Journals {
    /// Reads the journal of a server that does not run.
    fn read(&mut self, folder: &Path) {
        for file in std::fs::read_dir(folder.join("journal")).unwrap() {
            let path = file.unwrap().path();
            let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".journal") else {
                continue;
            };
            let parts: Vec<&str> = name.split('-').collect();
            let [first, _, salt] = parts[..] else { panic!("{name}") };
            let (first, salt) = (first.parse().unwrap(), u32::from_str_radix(salt, 16).unwrap());
            let mut reader = SegmentReader::new(File::open(&path).unwrap(), salt, first, u64::MAX);
            while let Some(entry) = reader.next().unwrap() {
                if let SegmentEntry::Record(record) = entry {
                    self.add(record.kind, &record.payload);
                }
            }
        }
    }

    fn add(&mut self, record_kind: u8, payload: &[u8]) {
        if ![kind::SEAL, kind::LANDED].contains(&record_kind) {
            return;
        }
        let seal = match WriterRecord::decode(record_kind, payload).unwrap() {
            WriterRecord::Seal(seal) => {
                self.sealed.insert(seal.batch_id);
                seal
            }
            WriterRecord::Landed { batch_id, seal } => {
                self.landed.insert(batch_id);
                seal.unwrap()
            }
            other => panic!("{other:?}"),
        };
        self.shards.entry(seal.batch_id).or_default().insert(seal.shard);
    }

    /// The number of batches that have not landed.
    fn in_flight(&self) -> usize {
        self.sealed.difference(&self.landed).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_stay_on_their_shard_when_servers_are_killed() {
    let seed = std::env::var("CLUSTER_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("CLUSTER_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = tokio::task::block_in_place(|| EmulatedCluster::start(SHARDS));
    let settings = [("CLICKHOUSE_CLUSTER", CLUSTER), ("FLUSH_SIZE", "100"), ("FLUSH_INTERVAL_MS", "100")];
    let start = |name| Member::start(name, &cluster.urls, &settings);
    let mut members = tokio::task::block_in_place(|| ["east", "west"].map(start));
    let (started_at, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut sending = Vec::new();
    for member in &members {
        let config = ProducerConfig::new(member.server().url()).producer_id(member.name);
        let producer = config.connect().await.unwrap();
        let task = send_until_stopped(member.name, producer, started_at, Arc::clone(&stop));
        sending.push((member.name, tokio::spawn(task)));
    }

    let mut journals = Journals::default();
    let mut interrupted = 0;
    for round in 1..=kills() {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
        // Each fifth time a shard is away too, and comes back after the server.
        let away = (round % 5 == 0).then(|| random.random_range(0..SHARDS));
        if let Some(shard) = away {
            tokio::task::block_in_place(|| cluster.stop(shard));
            tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        }
        let killed = &mut members[random.random_range(0..2)];
        tokio::task::block_in_place(|| {
            killed.server = None; // kill -9
            let before = journals.in_flight();
            journals.read(killed.folder.path());
            interrupted += journals.in_flight().saturating_sub(before);
            killed.start_again();
            if let Some(shard) = away {
                cluster.start_again(shard);
            }
        });
    }
    stop.store(true, Relaxed);
    let mut sent = Vec::new();
    for (name, task) in sending {
        sent.push((name, task.await.unwrap()));
    }
    let total: u64 = sent.iter().map(|(_, events)| events).sum();
    for member in &members {
        member.server().wait_until_landed().await;
    }

    // A batch that was dead-lettered while its shard was away is replayed later.
    let deadline = Instant::now() + TIMEOUT;
    let stored = loop {
        let mut stored = BTreeMap::<Uuid, Vec<(u32, u64)>>::new();
        for shard in 0..SHARDS {
            let engine = TestClickHouse::client(&cluster.engine(shard));
            let statement = "SELECT toString(batch), count() FROM events GROUP BY batch";
            let batches: Vec<(String, u64)> = engine.query(statement).fetch_all().await.unwrap();
            assert!(!batches.is_empty(), "shard {shard} has no batches");
            for (batch, events) in batches {
                stored.entry(batch.parse().unwrap()).or_default().push((shard as u32, events));
            }
        }
        let events: u64 = stored.values().flatten().map(|(_, events)| events).sum();
        if events >= total {
            break stored;
        }
        let logs = || members.iter().map(|member| member.server().log()).collect::<Vec<_>>().join("\n\n");
        assert!(Instant::now() < deadline, "{events} of {total} are stored\n{}", logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    let server = members[0].server();
    for shard in 0..SHARDS {
        name_engine(server, &cluster.engine(shard));
        assert_rollup_matches_events(server).await;
    }
    for (name, events) in &sent {
        let counts = format!(
            "SELECT count(), uniqExact(JSONExtractUInt(properties, 'n')) FROM millrace_all.events \
             WHERE session_id LIKE '{name}/%'"
        );
        assert_eq!(server.sql_numbers(&counts).await, [*events, *events], "{name}");
    }
    for member in members {
        let (status, log) = tokio::task::block_in_place(|| member.server.unwrap().stop());
        assert!(status.success(), "{log}");
        journals.read(member.folder.path());
    }
    for (batch, shards) in &journals.shards {
        assert_eq!(shards.len(), 1, "the records of batch {batch} name several shards: {shards:?}");
    }
    let mut checked = 0;
    for (batch, places) in &stored {
        assert_eq!(places.len(), 1, "batch {batch} is on several shards: {places:?}");
        if let Some(shards) = journals.shards.get(batch) {
            assert!(
                shards.contains(&places[0].0),
                "batch {batch} is on {places:?}, its records name {shards:?}"
            );
            checked += 1;
        }
    }
    println!(
        "kills {}, events {total}, lost 0, duplicated 0; {} batches, each on one shard; the records of {checked} of them \
         name it; {interrupted} had not landed when their server was killed",
        kills(),
        stored.len()
    );
    // A few kills may all come between two inserts.
    assert!(interrupted > 0 || kills() < 50, "no kill has interrupted an insert");
}
