//! The command line: parses it and runs one command.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

#[cfg(feature = "kafka")]
use crate::commands::kafka;
use crate::commands::{
    dead_letters, engine, events, generate, keys, migrate, properties, query, recover, serve,
};
use crate::config::{self, ServeConfig};
use crate::telemetry;

/// Real-time event analytics that a team runs itself.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: accept events, serve panels and the dashboard page (the default)
    Serve(Box<ServeConfig>),
    /// Send synthetic events to a server
    Generate(generate::GenerateArgs),
    /// Ask for a trend, a funnel, retention or paths
    Query(query::QueryArgs),
    /// Print events as they are accepted
    Tail(events::TailArgs),
    /// Search stored events
    Events(events::EventsArgs),
    /// Apply the schema, or print it
    Migrate(migrate::MigrateArgs),
    /// Create, list, rotate or revoke the keys of callers
    Keys(keys::KeysArgs),
    /// Check the declarations of promoted properties, or apply them
    Properties(properties::PropertiesArgs),
    /// List the batches that could not be inserted, or replay them
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Decide what becomes of a partition of Kafka that is not consumed
    #[cfg(feature = "kafka")]
    Kafka(kafka::KafkaArgs),
    /// Insert what a server that is gone for good had accepted, from its data folder
    Recover(Box<recover::RecoverArgs>),
    /// Run the embedded ClickHouse alone (`serve` starts its own)
    Engine(engine::EngineArgs),
}

/// Runs the command that the process was started with, and returns its exit code: 0 on success, 1 if the command failed, 2 if
/// the command line is invalid.
pub fn run() -> ExitCode {
    let command = match parse_command_line() {
        Ok(command) => command,
        Err(code) => return code,
    };
    match run_command(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Parses the command line. Without a command it is `serve`.
fn parse_command_line() -> Result<Command, ExitCode> {
    let mut args: Vec<_> = std::env::args_os().collect();
    let has_command = args.get(1).is_some_and(|arg| {
        let arg = arg.to_string_lossy();
        !arg.starts_with('-') || ["-h", "--help", "-V", "--version"].contains(&arg.as_ref())
    });
    if !has_command {
        args.insert(1, "serve".into());
    }
    let definition = Cli::command();
    let parsed = Cli::command().try_get_matches_from(args).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let (Command::Serve(config), Some((name, matches))) = (&mut cli.command, matches.subcommand())
            && let Some(serve) = definition.find_subcommand(name)
        {
            config.settings = config::settings(serve, matches);
        }
        Ok(cli)
    });
    parsed.map_or_else(
        |error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
            _ => {
                eprintln!("millrace: {}", config::explain_parse_error(&error, &definition));
                Err(ExitCode::from(2))
            }
        },
        |cli| Ok(cli.command),
    )
}

fn run_command(command: Command) -> anyhow::Result<()> {
    // Everything that a command or the engine stores is about users, so files are private to their owner.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match command {
        Command::Serve(config) => run_in_runtime(async {
            let telemetry = telemetry::init(&config.telemetry)?;
            let result = serve::run(*config).await;
            telemetry.shutdown().await;
            result
        }),
        Command::Generate(args) => run_in_runtime(generate::run(args)),
        Command::Query(args) => run_in_runtime(query::run(args)),
        Command::Tail(args) => run_in_runtime(events::tail(args)),
        Command::Events(args) => run_in_runtime(events::run(args)),
        Command::Migrate(args) => run_in_runtime(migrate::run(args)),
        Command::Keys(args) => keys::run(args),
        Command::Properties(args) => run_in_runtime(properties::run(args)),
        Command::DeadLetters(args) => run_in_runtime(dead_letters::run(args)),
        #[cfg(feature = "kafka")]
        Command::Kafka(args) => run_in_runtime(kafka::run(args)),
        Command::Recover(args) => run_in_runtime(recover::run(*args)),
        Command::Engine(args) => {
            // The process confines itself, before the runtime starts threads: Landlock applies per thread.
            let prepared = engine::prepare(args)?;
            run_in_runtime(engine::run(prepared))
        }
    }
}

fn run_in_runtime(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // A blocking call that hangs, for example on a dead disk, must not keep the process alive.
    runtime.shutdown_background();
    result
}
