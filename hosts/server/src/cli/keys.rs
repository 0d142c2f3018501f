//! `tintype keys`: access keys of a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Env, OK, output,
    remote::{ServerArguments, plain, time},
};
use crate::admin::{KeyAction, KeyActionRequest, KeyEntry, KeysRequest};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype keys add camera --allow write:input-product-images/raw/
  tintype keys add shop --allow read:output-product-thumbnail --allow list:output-product-thumbnail
  tintype keys add team --preset bucket-owner --daily-bytes 10GiB
  tintype keys list
  tintype keys rotate camera            a second id and secret; the first remain valid
  tintype keys rotate camera --finish   the first become invalid
  tintype keys remove camera

ACTION is read, write, delete, list or admin; BUCKET may be *. A key may do what it was given here, everything in buckets
that it created, and what bucket policies allow. The root key is needed: it is found in the data folder (--data), or in
TINTYPE_ACCESS_KEY_ID and TINTYPE_SECRET_ACCESS_KEY.")]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a key; its secret is printed once
    Add {
        #[command(flatten)]
        server: ServerArguments,
        /// The key's name, which policies and logs have
        name: String,
        /// What it may do; may be given several times
        #[arg(long, value_name = "ACTION:BUCKET[/PREFIX]")]
        allow: Vec<String>,
        /// What it may do, by name: uploader, thumbnail-reader, operator or bucket-owner
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        /// What it may do, as an identity policy in JSON
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Bytes it may upload in a day (UTC), e.g. 10GiB [default: any number]
        #[arg(long, value_name = "BYTES")]
        daily_bytes: Option<String>,
    },
    /// List the keys, and when each was last used
    List {
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Give a key another id and secret
    Rotate {
        #[command(flatten)]
        server: ServerArguments,
        /// The key's name
        name: String,
        /// Make the older id and secret invalid
        #[arg(long)]
        finish: bool,
    },
    /// Remove a key
    Remove {
        #[command(flatten)]
        server: ServerArguments,
        /// The key's name
        name: String,
    },
}

impl Keys {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        match self.action {
            Action::Add { server, name, allow, preset, policy, daily_bytes } => {
                let policy = policy.map(|file| {
                    std::fs::read_to_string(&file)
                        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
                });
                let daily_bytes = daily_bytes.map(|text| {
                    tintype_pipeline::settings::parse_bytes(&text)
                        .map_err(|error| anyhow::anyhow!("--daily-bytes: {error}"))
                });
                let request = KeyActionRequest {
                    allow,
                    preset,
                    policy: policy.transpose()?,
                    daily_bytes: daily_bytes.transpose()?,
                    ..request(KeyAction::Add, name)
                };
                act(&server, env, &request)
            }
            Action::List { server } => {
                for key in server.find(env)?.send(&KeysRequest::default())?.keys {
                    output::print(|| row(&key), || json!(key));
                }
                Ok(OK)
            }
            Action::Rotate { server, name, finish } => {
                let action = if finish { KeyAction::FinishRotation } else { KeyAction::Rotate };
                act(&server, env, &request(action, name))
            }
            Action::Remove { server, name } => act(&server, env, &request(KeyAction::Remove, name)),
        }
    }
}

fn request(action: KeyAction, name: String) -> KeyActionRequest {
    KeyActionRequest { action, name, allow: Vec::new(), preset: None, policy: None, daily_bytes: None }
}

fn act(server: &ServerArguments, env: &Env, request: &KeyActionRequest) -> anyhow::Result<u8> {
    let done = server.find(env)?.send(request)?;
    output::print(
        || {
            let name = plain(&done.name);
            match (&done.access_key_id, &done.secret_access_key) {
                (Some(id), Some(secret)) => {
                    format!("access_key_id      {id}\nsecret_access_key  {secret}   (shown only now)")
                }
                (Some(id), None) => format!("{name} has the id {id} alone"),
                _ => format!("{name} removed"),
            }
        },
        || json!(done),
    );
    Ok(OK)
}

fn row(key: &KeyEntry) -> String {
    if key.is_unreadable {
        return format!(
            "{:<20} not used: its rights cannot be read; remove it, or run the newer version",
            plain(&key.name)
        );
    }
    let used = key.last_used_ms.map_or_else(|| "never used".into(), |at| format!("last used {}", time(at)));
    let rights = key.allow.iter().map(|text| plain(text));
    let rights = rights.chain(key.preset.as_ref().map(|name| format!("preset {}", plain(name))));
    let rights = rights.chain(key.policy.as_ref().map(|_| "a policy".to_owned()));
    let rights: Vec<_> = rights.collect();
    let rights = if rights.is_empty() { "nothing but its own buckets".into() } else { rights.join(", ") };
    format!("{:<20} {:<42} {used}  {rights}", plain(&key.name), key.access_key_ids.join(" "))
}
