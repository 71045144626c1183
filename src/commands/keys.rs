//! `millrace keys`: creates, lists, rotates and revokes keys. Works with and without a running server, which follows the file
//! of keys within a second.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::access::{KeyFile, KeyId, KeyOptions, KeyRecord, LimitSettings, Scope};
use crate::project::Project;

/// Arguments of `millrace keys`.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    action: KeysAction,
    /// Data folder of the server
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "FOLDER", default_value = "./data", global = true)]
    data_dir: PathBuf,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysAction {
    /// Create a key, and print it on standard output. With the first one, the server requires keys
    Create {
        /// What the key may do
        #[arg(long, value_name = "SCOPE")]
        scope: Scope,
        /// Whose key it is, for people
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        name: String,
        /// The project whose events it sends or reads
        #[arg(long, env = "MILLRACE_PROJECT", value_name = "NAME", default_value = Project::DEFAULT)]
        project: Project,
        /// Origin of the pages of a browser key, such as `https://example.com`. Can be repeated
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
        /// An event that a write or browser key may send; all without it. Can be repeated
        #[arg(long = "event", value_name = "NAME")]
        events: Vec<String>,
        /// DNS name or URI in a client certificate: a client with it needs no other credentials (MILLRACE_TLS_CLIENT_CA). Can
        /// be repeated
        #[arg(long = "certificate", value_name = "NAME")]
        certificates: Vec<String>,
        #[command(flatten)]
        limits: LimitSettings,
    },
    /// List all keys, without their secrets
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Add a secret to a key, and print the key with it. The newest two secrets are valid
    Rotate {
        /// Id of the key
        #[arg(value_name = "KEY_ID")]
        id: KeyId,
    },
    /// Revoke a key. Streams that use it end within 2 s
    Revoke {
        /// Id of the key
        #[arg(value_name = "KEY_ID")]
        id: KeyId,
        /// Keep the newest secret: ends a rotation
        #[arg(long)]
        old_secrets: bool,
    },
}

/// Runs the command.
pub(crate) fn run(args: KeysArgs) -> anyhow::Result<()> {
    let folder = args.data_dir.display();
    let file = KeyFile::new(&args.data_dir);
    match args.action {
        KeysAction::Create { scope, name, project, origins, events, certificates, limits } => {
            // The first key is made before the first start.
            std::fs::create_dir_all(&args.data_dir)
                .with_context(|| format!("MILLRACE_DATA_DIR (--data-dir): {folder} could not be created"))?;
            let options = KeyOptions { name, scope, project, origins, events, certificates, limits };
            let (record, new) = file.create(options)?;
            eprintln!("{}", describe(&record));
            eprintln!(
                "Keep the key: it is shown only now, and only its SHA-256 is in {}.",
                file.path().display()
            );
            println!("{}", new.text);
        }
        KeysAction::List { json } => {
            let Some(records) = file.read()? else {
                bail!(
                    "{} does not exist: the server requires no keys; make the first one with `millrace keys create`",
                    file.path().display()
                );
            };
            for record in &records {
                match json {
                    true => println!("{}", serde_json::to_string(&without_secrets(record))?),
                    false => println!("{}", describe(record)),
                }
            }
        }
        KeysAction::Rotate { id } => {
            let (record, new) = file.rotate(&id)?;
            eprintln!(
                "{}\nBoth secrets are valid. When all users of the key have the new one, run `millrace keys revoke {id} \
                 --old-secrets`.",
                describe(&record)
            );
            println!("{}", new.text);
        }
        KeysAction::Revoke { id, old_secrets: true } => println!("{}", describe(&file.revoke_old(&id)?)),
        KeysAction::Revoke { id, old_secrets: false } => {
            println!("revoked: {}", describe(&file.revoke(&id)?));
        }
    }
    Ok(())
}

fn describe(record: &KeyRecord) -> String {
    let KeyRecord { id, name, scope, project, origins, events, certificates, created_at, limits, secrets } =
        record;
    let mut line = format!("{id}  {scope}  project {project}  created {created_at}");
    for (title, values) in [("origins", origins), ("events", events), ("certificates", certificates)] {
        if !values.is_empty() {
            line.push_str(&format!("  {title} {}", values.join(",")));
        }
    }
    let LimitSettings {
        events_per_second,
        burst,
        bytes_per_second,
        events_per_day,
        max_streams,
        max_requests,
    } = limits;
    for (limit, unit) in [
        (events_per_second.map(|limit| u64::from(limit.get())), "events/s"),
        (burst.map(|limit| u64::from(limit.get())), "events at once"),
        (bytes_per_second.map(|limit| u64::from(limit.get())), "bytes/s"),
        (*events_per_day, "events/day"),
        (max_streams.map(|limit| u64::from(limit.get())), "streams"),
        (max_requests.map(|limit| u64::from(limit.get())), "requests in flight"),
    ] {
        if let Some(limit) = limit {
            line.push_str(&format!("  {limit} {unit}"));
        }
    }
    if secrets.len() > 1 {
        line.push_str(&format!("  {} valid secrets", secrets.len()));
    }
    if !name.is_empty() {
        line.push_str(&format!("  {name}"));
    }
    line
}

fn without_secrets(record: &KeyRecord) -> serde_json::Value {
    serde_json::json!({
        "id": record.id,
        "name": record.name,
        "scope": record.scope,
        "project": record.project,
        "origins": record.origins,
        "events": record.events,
        "certificates": record.certificates,
        "created_at": record.created_at,
        "limits": record.limits,
        "secrets": record.secrets.len(),
    })
}
