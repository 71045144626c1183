//! `millrace dead-letters`: the batches that ClickHouse did not take.
//!
//! `replay` works with a server or without one. A running server holds the data folder: then the letters are marked, and
//! the server brings them back. Without one, this command starts ClickHouse itself.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::serve;
use crate::clickhouse::schema;
use crate::config::ClickHouseConfig;
use crate::writer::dead_letter::{DeadLetter, DeadLetters, Listing};
use crate::writer::redrive::{self, Tried};

/// How long a running server may take to bring the letters back.
const SERVER_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What to do with the dead letters.
#[derive(Args, Clone, Debug)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
    /// The data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    data_dir: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List them, oldest first
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Bring them back, also those that ClickHouse refused
    Replay {
        /// The batches; all of them where none is named
        #[arg(value_name = "BATCH_ID")]
        batches: Vec<Uuid>,
        #[command(flatten)]
        clickhouse: Box<ClickHouseConfig>,
    },
}

/// Runs the command.
pub async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    if !args.data_dir.is_dir() {
        bail!("MILLRACE_DATA_DIR (--data-dir): {} is no folder", args.data_dir.display());
    }
    let letters = DeadLetters::open(&args.data_dir)?;
    letters.refresh();
    match args.action {
        Action::List { json } => list(&letters, json),
        Action::Replay { batches, clickhouse } => {
            let chosen = choose(&letters, &batches)?;
            let problems = letters.list().problems;
            if chosen.is_empty() {
                all_readable(&problems)?;
                println!("there are no dead letters in {}", letters.folder().display());
                return Ok(());
            }
            match serve::lock(&args.data_dir) {
                Ok(_lock) => replay_here(&args.data_dir, &letters, chosen, *clickhouse).await?,
                Err(_) => replay_by_server(&letters, chosen).await?,
            }
            all_readable(&problems)
        }
    }
}

fn list(letters: &DeadLetters, json: bool) -> anyhow::Result<()> {
    let Listing { letters: found, problems } = letters.list();
    for letter in &found {
        if json {
            println!("{}", serde_json::to_string(letter)?);
        } else {
            println!("{}", line(letter));
        }
    }
    if !json {
        let events: u64 = found.iter().map(|letter| letter.events).sum();
        println!("{} batches, {events} events in {}", found.len(), letters.folder().display());
    }
    all_readable(&problems)
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter { batch_id, set_aside_at, events, bytes, tries, reason, .. } = letter;
    let state = if letter.refused { "refused" } else { "waiting" };
    let next = match &letter.next_try_at {
        Some(at) => format!("next {at}  "),
        None => String::new(),
    };
    format!(
        "{batch_id}  {set_aside_at}  {state}  {events} events  {bytes} bytes  {tries} tries  {next}{reason}"
    )
}

/// What cannot be read may hold events, so nobody should take the rest for all.
fn all_readable(problems: &[String]) -> anyhow::Result<()> {
    match problems {
        [] => Ok(()),
        problems => {
            bail!("{} files cannot be read and may hold events: {}", problems.len(), problems.join("; "))
        }
    }
}

fn choose(letters: &DeadLetters, batches: &[Uuid]) -> anyhow::Result<Vec<DeadLetter>> {
    let found = letters.list().letters;
    for id in batches {
        if !found.iter().any(|letter| letter.batch_id == *id) {
            bail!("BATCH_ID: there is no dead letter {id}; `millrace dead-letters list` names them");
        }
    }
    Ok(found.into_iter().filter(|letter| batches.is_empty() || batches.contains(&letter.batch_id)).collect())
}

async fn replay_here(
    data_dir: &std::path::Path,
    letters: &DeadLetters,
    chosen: Vec<DeadLetter>,
    config: ClickHouseConfig,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let storage = serve::connect(&config, data_dir, stop.clone()).await?;
    schema::apply(&storage.clickhouse, config.retention_days).await?;
    let durability = serve::durability(&storage, data_dir)?;
    // The data folder is locked, so no server inserts.
    let alone = tokio::sync::Mutex::new(());
    let mut failed = 0;
    for letter in chosen {
        let letter = letter.fresh();
        let tried = redrive::bring_back(&storage.clickhouse, letters, &durability, &alone, &letter, 0).await;
        if tried == Tried::Landed {
            println!("{}  brought back  {} events", letter.batch_id, letter.events);
        } else {
            failed += 1;
            println!("{}  stays  {}", letter.batch_id, why(letters, letter.batch_id));
        }
    }
    stop.cancel();
    if let Some((_, supervising)) = storage.engine {
        supervising.await.context("the engine could not be ended")?;
    }
    if failed > 0 {
        bail!("{failed} batches stay in {}", letters.folder().display());
    }
    Ok(())
}

/// Why a letter stays.
fn why(letters: &DeadLetters, batch_id: Uuid) -> String {
    let Listing { letters, problems } = letters.list();
    match letters.into_iter().find(|letter| letter.batch_id == batch_id) {
        Some(letter) if letter.last_try_at.is_some() => letter.reason,
        _ => problems.join("; "),
    }
}

async fn replay_by_server(letters: &DeadLetters, chosen: Vec<DeadLetter>) -> anyhow::Result<()> {
    for letter in &chosen {
        letters.retry(letter)?;
    }
    println!("a server holds the data folder; it brings {} batches back", chosen.len());
    let deadline = Instant::now() + SERVER_PATIENCE;
    let mut open = chosen;
    let mut stayed = 0;
    while !open.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        letters.refresh();
        let now = letters.list().letters;
        open.retain(|letter| match now.iter().find(|known| known.batch_id == letter.batch_id) {
            None => {
                println!("{}  brought back  {} events", letter.batch_id, letter.events);
                false
            }
            Some(DeadLetter { last_try_at: None, .. }) => true,
            Some(tried) => {
                stayed += 1;
                let state =
                    if tried.refused { "refused again" } else { "stays, and is tried again by itself" };
                println!("{}  {state}  {}", tried.batch_id, tried.reason);
                false
            }
        });
        if Instant::now() > deadline && !open.is_empty() {
            bail!(
                "{} batches are still waiting after {} s; ask HealthService.Check why",
                open.len(),
                SERVER_PATIENCE.as_secs()
            );
        }
    }
    if stayed > 0 {
        bail!("{stayed} batches stay in {}", letters.folder().display());
    }
    Ok(())
}
