//! `millrace kafka`: what an operator decides about partitions that are not consumed.

use anyhow::{bail, ensure};
use clap::{Args, Subcommand};

use crate::blocking::run_blocking;
use crate::config::kafka::KafkaConfig;
use crate::kafka::claim::Restart;

/// Arguments of `millrace kafka`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KafkaArgs {
    #[command(subcommand)]
    action: KafkaAction,
}

#[derive(Clone, Debug, Subcommand)]
enum KafkaAction {
    /// Consume a partition from an offset on, whatever was consumed before; the server's settings are expected in the environment
    Continue {
        /// Topic
        #[arg(long, value_name = "NAME")]
        topic: String,
        /// Number of the partition
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
        partition: i32,
        /// Offset of the first message to consume. Earlier ones that were not consumed are lost, later ones that were are stored
        /// twice
        #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
        offset: i64,
        /// Also if batches were sealed and have not landed: they may be in ClickHouse, in part, or not
        #[arg(long)]
        give_up_batches: bool,
        #[command(flatten)]
        settings: Box<KafkaConfig>,
    },
}

/// Runs the command.
pub(crate) async fn run(args: KafkaArgs) -> anyhow::Result<()> {
    let KafkaAction::Continue { topic, partition, offset, give_up_batches, settings } = args.action;
    ensure!(
        settings.is_enabled(),
        "KAFKA_BROKERS (--kafka-brokers) is empty: name the brokers of the server"
    );
    let restart = Restart { topic: topic.clone(), partition, offset, may_give_up: give_up_batches };
    let given_up = run_blocking(move || restart.run(*settings)).await?;
    for seal in &given_up {
        println!(
            "batch {}: {} messages at offsets {} to {} were sealed and have not landed",
            seal.batch_id, seal.messages, seal.first, seal.last
        );
    }
    if !given_up.is_empty() && !give_up_batches {
        bail!(
            "nothing was changed: start the server, which stores these batches; or, if it cannot, add --give-up-batches"
        );
    }
    println!(
        "partition {partition} of {topic} is consumed from offset {offset} on; a running server begins within 30 s"
    );
    Ok(())
}
