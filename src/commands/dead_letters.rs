//! `millrace dead-letters`: lists the batches that could not be inserted, or replays them.
//!
//! `replay` works with and without a running server. A running server holds the lock of the data folder: then this command
//! requeues the letters and the server replays them. Otherwise this command connects to ClickHouse, or starts the embedded
//! one, and replays them itself.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{migrate, serve};
use crate::config::ClickHouseConfig;
use crate::writer::BatchStore;
use crate::writer::batch::BatchEncoder;
use crate::writer::dead_letter::{DeadLetter, DeadLetterListing, DeadLetters};
use crate::writer::replay::{self, ReplayOutcome};

/// How long to wait for a running server to replay the letters.
const SERVER_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Arguments of `millrace dead-letters`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    action: DeadLettersAction,
    /// Data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    data_dir: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum DeadLettersAction {
    /// List them, oldest first
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Replay them, including those that ClickHouse refused
    Replay {
        /// Batches to replay; all of them by default
        #[arg(value_name = "BATCH_ID")]
        batches: Vec<Uuid>,
        #[command(flatten)]
        clickhouse: Box<ClickHouseConfig>,
    },
}

/// Runs the command.
pub(crate) async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    if !args.data_dir.is_dir() {
        bail!("MILLRACE_DATA_DIR (--data-dir): {} is not a folder", args.data_dir.display());
    }
    let letters = DeadLetters::open(&args.data_dir)?;
    letters.refresh();
    match args.action {
        DeadLettersAction::List { json } => list(&letters, json),
        DeadLettersAction::Replay { batches, clickhouse } => {
            let selected = select_letters(&letters, &batches)?;
            let problems = letters.list().problems;
            if selected.is_empty() {
                ensure_all_readable(&problems)?;
                println!("there are no dead letters in {}", letters.folder().display());
                return Ok(());
            }
            match serve::lock_data_dir(&args.data_dir) {
                Ok(_lock) => replay_locally(&args.data_dir, &letters, selected, *clickhouse).await?,
                Err(_) => replay_through_server(&letters, selected).await?,
            }
            ensure_all_readable(&problems)
        }
    }
}

fn list(letters: &DeadLetters, json: bool) -> anyhow::Result<()> {
    let DeadLetterListing { letters: found, problems } = letters.list();
    for letter in &found {
        if json {
            println!("{}", serde_json::to_string(letter)?);
        } else {
            println!("{}", format_letter(letter));
        }
    }
    if !json {
        let events: u64 = found.iter().map(|letter| letter.events).sum();
        println!("{} batches, {events} events in {}", found.len(), letters.folder().display());
    }
    ensure_all_readable(&problems)
}

fn format_letter(letter: &DeadLetter) -> String {
    let DeadLetter { batch_id, dead_lettered_at, events, bytes, attempts, reason, .. } = letter;
    let state = if letter.rejected { "refused" } else { "waiting" };
    let next = match &letter.next_attempt_at {
        Some(at) => format!("next {at}  "),
        None => String::new(),
    };
    format!(
        "{batch_id}  {dead_lettered_at}  {state}  {events} events  {bytes} bytes  {attempts} tries  {next}{reason}"
    )
}

/// An unreadable file may contain events, so the command must not look complete without it.
fn ensure_all_readable(problems: &[String]) -> anyhow::Result<()> {
    match problems {
        [] => Ok(()),
        problems => {
            bail!("{} files cannot be read and may contain events: {}", problems.len(), problems.join("; "))
        }
    }
}

fn select_letters(letters: &DeadLetters, batches: &[Uuid]) -> anyhow::Result<Vec<DeadLetter>> {
    let found = letters.list().letters;
    for id in batches {
        if !found.iter().any(|letter| letter.batch_id == *id) {
            bail!("BATCH_ID: there is no dead letter {id}; `millrace dead-letters list` lists all");
        }
    }
    Ok(found.into_iter().filter(|letter| batches.is_empty() || batches.contains(&letter.batch_id)).collect())
}

/// Replays them without a server, whose data folder is locked.
pub(super) async fn replay_locally(
    data_dir: &std::path::Path,
    letters: &DeadLetters,
    selected: Vec<DeadLetter>,
    config: ClickHouseConfig,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let properties = migrate::applied_properties(&config, data_dir)?;
    let storage = serve::connect_storage(&config, data_dir, properties.clone(), stop.clone()).await?;
    migrate::apply_schema(&storage.shards, config.retention()?).await?;
    let durability = serve::durability(&storage, data_dir)?;
    let encoder = BatchEncoder::new(properties, config.rollup_values);
    encoder.load_admitted_values(storage.shards.reader()).await;
    // The data folder is locked, so no server inserts beside it.
    let store = BatchStore::for_replay(&storage.shards, encoder, letters.clone(), durability);
    let mut failed = 0;
    for letter in selected {
        let letter = letter.untried();
        let outcome = replay::replay_letter(&store, &letter, 0).await;
        if outcome == ReplayOutcome::Landed {
            println!("{}  replayed  {} events", letter.batch_id, letter.events);
        } else {
            failed += 1;
            println!("{}  failed  {}", letter.batch_id, failure_reason(letters, letter.batch_id));
        }
    }
    stop.cancel();
    if let Some((_, supervisor_task)) = storage.engine {
        supervisor_task.await.context("the engine's supervisor panicked")?;
    }
    if failed > 0 {
        bail!("{failed} batches remain in {}", letters.folder().display());
    }
    Ok(())
}

/// Why the replay of a letter failed.
fn failure_reason(letters: &DeadLetters, batch_id: Uuid) -> String {
    let DeadLetterListing { letters, problems } = letters.list();
    match letters.into_iter().find(|letter| letter.batch_id == batch_id) {
        Some(letter) if letter.last_attempt_at.is_some() => letter.reason,
        _ => problems.join("; "),
    }
}

async fn replay_through_server(letters: &DeadLetters, selected: Vec<DeadLetter>) -> anyhow::Result<()> {
    for letter in &selected {
        letters.requeue(letter.batch_id)?;
    }
    println!("a server is running on the data folder; it replays {} batches", selected.len());
    let deadline = Instant::now() + SERVER_TIMEOUT;
    let mut pending = selected;
    let mut remaining = 0;
    while !pending.is_empty() {
        tokio::time::sleep(POLL_INTERVAL).await;
        letters.refresh();
        let current = letters.list().letters;
        pending.retain(|letter| match current.iter().find(|known| known.batch_id == letter.batch_id) {
            None => {
                println!("{}  replayed  {} events", letter.batch_id, letter.events);
                false
            }
            Some(DeadLetter { last_attempt_at: None, .. }) => true,
            Some(attempted) => {
                remaining += 1;
                let state = if attempted.rejected { "refused again" } else { "failed, will be retried" };
                println!("{}  {state}  {}", attempted.batch_id, attempted.reason);
                false
            }
        });
        if Instant::now() > deadline && !pending.is_empty() {
            bail!(
                "{} batches are still waiting after {} s; see `GET /health` for the reason",
                pending.len(),
                SERVER_TIMEOUT.as_secs()
            );
        }
    }
    if remaining > 0 {
        bail!("{remaining} batches remain in {}", letters.folder().display());
    }
    Ok(())
}
