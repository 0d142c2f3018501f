//! `tintype check`.

use std::{net::TcpListener, sync::Arc};

use clap::Args;
use tintype_function::settings::Settings;

use super::{Env, FAILED, OK, SettingsArguments, output};
use crate::{
    credentials::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY},
    disk::RealDisk,
    server::{Parts, open_parts},
    store::{DataFolder, FolderError},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tintype check\n  tintype check --config tintype.toml --data /var/lib/tintype"
)]
pub(super) struct Check {
    #[command(flatten)]
    settings: SettingsArguments,
}

/// The findings so far.
struct Findings(u8);

impl Findings {
    fn add(&mut self, what: &str, result: Result<String, String>) {
        let (good, words) = match result {
            Ok(words) => (true, words),
            Err(words) => (false, words),
        };
        output::print(
            || format!("{} {what}: {words}", if good { "ok  " } else { "FAIL" }),
            || serde_json::json!({"check": what, "ok": good, "message": words}),
        );
        if !good {
            self.0 = FAILED;
        }
    }
}

impl Check {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        let mut findings = Findings(OK);
        let count = settings.triggers.len();
        findings.add("settings", Ok(format!("{count} trigger(s), no overlap, no loop")));
        match DataFolder::open(&settings.data) {
            Ok(folder) => {
                findings.add("data folder", Ok(format!("{} can be written", settings.data.display())));
                let credentials = Credentials::load_or_make(
                    folder.root(),
                    (super::variable(env, ACCESS_KEY_ID), super::variable(env, SECRET_ACCESS_KEY)),
                );
                findings.add(
                    "credentials",
                    credentials
                        .map(|found| format!("access key {}", found.access_key_id))
                        .map_err(|error| error.to_string()),
                );
                store(&settings, folder, &mut findings);
                addresses(&settings, &mut findings);
            }
            Err(FolderError::InUse(folder)) => {
                findings
                    .add("data folder", Ok(format!("{} is in use by a running server", folder.display())));
                findings.add("server", ask(&settings));
            }
            Err(error) => findings.add("data folder", Err(error.to_string())),
        }
        Ok(findings.0)
    }
}

fn store(settings: &Settings, folder: DataFolder, findings: &mut Findings) {
    let Parts { store, .. } = match open_parts(settings, Arc::new(RealDisk), folder) {
        Ok(parts) => parts,
        Err(error) => return findings.add("ledger", Err(format!("{error:#}"))),
    };
    let counts = store.ledger().view().and_then(|view| Ok((view.event_count()?, view.dead_letter_count()?)));
    findings.add(
        "ledger",
        counts
            .map(|(events, dead)| format!("{events} event(s) waiting, {dead} dead letter(s)"))
            .map_err(|error| error.to_string()),
    );
    let buckets =
        store.buckets().map(|buckets| buckets.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    findings.add("buckets", buckets.map(|names| names.join(", ")).map_err(|fault| fault.to_string()));
}

fn addresses(settings: &Settings, findings: &mut Findings) {
    for (setting, address) in [("listen.s3", settings.listen.s3), ("listen.http", settings.listen.http)] {
        let free = TcpListener::bind(address).map(|_| format!("{address} is free"));
        findings.add(setting, free.map_err(|error| format!("{address}: {error}; choose another")));
    }
}

fn ask(settings: &Settings) -> Result<String, String> {
    let (server, trust) = super::remote::own(settings);
    let url = format!("{server}/readyz");
    let runtime = super::runtime().map_err(|error| error.to_string())?;
    let client = crate::http_client::HttpClient::new(&url, &trust).map_err(|error| format!("{error:#}"))?;
    let asked = runtime.block_on(client.send(http::Method::GET, &url, "", bytes::Bytes::new()));
    match asked {
        Ok(answer) if answer.status.is_success() => Ok(format!("{url} says it is ready")),
        Ok(answer) => Err(format!("{url} answers {}", answer.status)),
        Err(error) => Err(format!("{url}: {error:#}")),
    }
}
