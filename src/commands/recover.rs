//! `millrace recover`: inserts what a server that is gone for good had accepted and not yet inserted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{dead_letters, migrate, serve};
use crate::catalogue::task::CatalogueTask;
use crate::clickhouse::people::{self, Marks, Selection};
use crate::config::{ClickHouseConfig, JournalSettings, WriterConfig};
use crate::server_id;
use crate::writer::batch::BatchEncoder;
use crate::writer::batch_id::ServerNumber;
use crate::writer::boot::BootMarker;
use crate::writer::dead_letter::DeadLetters;
use crate::writer::feed::Feed;
use crate::writer::{self, WriterDependencies};

/// How often the progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Delay between attempts to add the events to the tables of people.
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// Arguments of `millrace recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArgs {
    /// Data folder of the server that is gone
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    #[command(flatten)]
    clickhouse: Box<ClickHouseConfig>,
    #[command(flatten)]
    journal: JournalSettings,
    #[command(flatten)]
    writer: Box<WriterConfig>,
    /// File with the id of the machine's current boot
    #[arg(
        long,
        env = "MILLRACE_BOOT_ID_FILE",
        value_name = "FILE",
        default_value = "/proc/sys/kernel/random/boot_id"
    )]
    boot_id_file: PathBuf,
}

/// Runs the command.
pub(crate) async fn run(args: RecoverArgs) -> anyhow::Result<()> {
    let RecoverArgs { from, clickhouse: config, journal, writer: writer_config, boot_id_file } = args;
    let folder = from.display();
    ensure!(
        from.join("journal").is_dir(),
        "--from: {folder} is not a data folder: it has no journal; name the MILLRACE_DATA_DIR of the server that is gone"
    );
    ensure!(
        !config.clickhouse_url.is_empty(),
        "CLICKHOUSE_URL (--clickhouse-url) is empty: events are recovered into the ClickHouse that the servers share; a folder with an \
         embedded ClickHouse is served again with `millrace serve --data-dir {folder}`"
    );
    let _lock = serve::lock_data_dir(&from)?;
    // The id stays that of the server that is gone: its marks tell what it has done.
    let server = ServerNumber::of(&server_id::read_or_random(&from)?);
    let (journal, recovered) = serve::open_journal(&from, server, &journal, &writer_config).await?;
    let lowest_batch = recovered.lowest_batch_id();
    let letters = DeadLetters::open(&from)?;
    let properties = migrate::applied_properties(&config, &from)?;
    let [stop_writer, stop_storage] = std::array::from_fn(|_| CancellationToken::new());
    let storage = serve::connect_storage(&config, &from, properties.clone(), stop_storage.clone()).await?;
    migrate::apply_schema(&storage.shards, config.retention()?).await?;
    let durability = serve::durability(&storage, &from)?;
    let (_demand, demand) = watch::channel(None);
    let (_schema_state, schema_pending) = watch::channel(None);
    let (feed, _requests) = Feed::new();
    let (writer, writer_task) = writer::start(WriterDependencies {
        shards: storage.shards.clone(),
        replicas: storage.replicas.clone(),
        server,
        encoder: BatchEncoder::new(properties, config.rollup_values),
        journal: journal.clone(),
        recovered,
        dead_letters: letters.clone(),
        durability,
        boot: BootMarker::new(&from, &boot_id_file)?,
        config: *writer_config,
        demand,
        schema_pending,
        processes_are_servers: false,
        feed,
        stop: stop_writer.clone(),
    })
    .await
    .with_context(|| format!("whether the machine of {folder} lost power cannot be determined"))?;
    let events = writer.stats().unlanded();
    println!("{events} events in the journal of {folder} are not in ClickHouse yet");
    // It ends when all of them are there, or in the dead letters.
    stop_writer.cancel();
    let mut landing = std::pin::pin!(writer_task);
    loop {
        match tokio::time::timeout(PROGRESS_INTERVAL, &mut landing).await {
            Ok(ended) => break ended.context("the writer failed; run the command again")?,
            Err(_) => {
                let reason =
                    writer.stats().insert_error().map(|error| format!("; the last attempt failed: {error}"));
                eprintln!("{} events to go{}", writer.stats().unlanded(), reason.unwrap_or_default());
            }
        }
    }
    // Running servers have added what landed after their marks. The journal does not know what the lost server had not added: it is
    // repeated here until it succeeds.
    for shard in storage.shards.iter() {
        let add = async || {
            let mark = Marks::read(shard).await?.landed.unwrap_or_default();
            let since = lowest_batch.map_or(mark, |lowest| lowest.min(mark));
            people::add_events(shard, Selection::Since(since)).await
        };
        while let Err(error) = add().await {
            eprintln!("the events are in ClickHouse, but not yet in its tables of people: {error}; retrying");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
    let (catalogue, _mark) = CatalogueTask::new(storage.shards.clone(), &writer);
    if let Err(error) = catalogue.run_once().await {
        eprintln!("the properties of the recovered events are not counted in the catalogue: {error}");
    }
    journal.close().await.context("the journal could not be closed")?;
    stop_storage.cancel();
    letters.refresh();
    let listing = letters.list();
    if !listing.problems.is_empty() {
        bail!("files of dead letters cannot be read and may contain events: {}", listing.problems.join("; "));
    }
    if !listing.letters.is_empty() {
        println!("replaying {} dead letters", listing.letters.len());
        dead_letters::replay_locally(&from, &letters, listing.letters, *config).await?;
    }
    println!("all events of {folder} are in ClickHouse: the folder is no longer needed");
    Ok(())
}
