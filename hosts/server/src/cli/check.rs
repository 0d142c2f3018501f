//! `tintype check`: settings, data folder, ledger and addresses; with `--repair` and `--scrub` the files, too.

mod repair;
mod sandbox;
mod scrub;

use std::{net::TcpListener, sync::Arc};

use clap::Args;
use tintype_api::Public;

use super::{Env, FAILED, OK, SettingsArguments, output, variable};
use crate::{
    alt_text,
    auth::{ACCESS_KEY_ID, Credentials, SECRET_ACCESS_KEY},
    disk::RealDisk,
    notify,
    sandbox::AllowedPaths,
    server::{Parts, open_as_it_is},
    settings::Settings,
    storage::repair::Finding,
    storage::{DataFolder, FolderError, Storage, has_object_files},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype check
  tintype check --config tintype.toml --data /var/lib/tintype
  tintype check --scrub                 every object's bytes against its checksum; a server may run, but only
                                        without one missing files are reported, too
  tintype check --repair                the ledger from the object files; the server must not run
  tintype check --sandbox               what the server drops on this kernel, tried out
  tintype check --repair --scrub        the same, and corrupt files go to quarantine, too

Without options no object, bucket or event is changed, and no data folder is created. --repair deletes nothing: what it does not use goes to
<data>/quarantine, the old ledger stays beside the new one, and each is listed.
Exit codes: 0 everything is well, 1 something is wrong (or was, and had to be left out), 2 wrong usage or settings.")]
pub(super) struct Check {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Rebuild a lost, corrupt or outdated ledger from the object files, and enqueue sources without a current thumbnail
    #[arg(long)]
    repair: bool,
    /// Verify every object's bytes by their checksum
    #[arg(long)]
    scrub: bool,
    /// Put the server's sandbox around this process and try what it forbids
    #[arg(long)]
    sandbox: bool,
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

/// Prints a finding of a repair or scrub.
fn print(finding: &Finding) {
    output::print(|| format!("     {finding}"), || serde_json::json!({"finding": finding}));
}

impl Check {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let settings = self.settings.load(env)?;
        let mut findings = Findings(OK);
        let count = settings.triggers.len();
        findings.add("settings", Ok(format!("{count} trigger(s), no overlap, no loop")));
        for notify in &settings.notify {
            let usable = notify::check(notify).map(|()| notify.name.clone());
            findings.add("notify", usable.map_err(|error| format!("{}: {error:#}", notify.name)));
        }
        if let Some(alt_text) = &settings.alt_text {
            let usable = alt_text::check(alt_text, |name| variable(env, name));
            let named = usable.map(|()| alt_text.model.clone());
            findings.add("alt_text", named.map_err(|error| format!("{error:#}")));
        }
        let shown = settings.data.display();
        let opened = match DataFolder::open_existing(&settings.data) {
            Err(FolderError::FormatLost(_)) if self.repair => {
                let written = DataFolder::write_format(&settings.data);
                let words = written.as_ref().map(|()| "was missing or corrupt; rewritten".into());
                findings.add("format", words.map_err(ToString::to_string));
                written.and_then(|()| DataFolder::open_existing(&settings.data))
            }
            opened => opened,
        };
        match opened {
            Ok(None) if self.repair || self.scrub => {
                findings
                    .add("data folder", Err(format!("{shown} is not there; name the one meant with --data")));
            }
            Ok(None) => {
                findings
                    .add("data folder", Ok(format!("{shown} is not there yet; tintype serve creates it")));
                addresses(&settings, &mut findings);
            }
            Ok(Some(folder)) => {
                findings.add("data folder", Ok(format!("{shown} can be written")));
                if self.repair {
                    repair::run(&settings, folder, self.scrub, &mut findings)?;
                    return Ok(findings.0);
                }
                credentials(&settings, env, &mut findings);
                let nameless = match self.scrub {
                    true => Some(scrub::run(&folder, true, &mut findings)?),
                    false => None,
                };
                let store = store(&settings, folder, &mut findings);
                match (store, nameless) {
                    (Some(store), Some(nameless)) => scrub::files(&store, nameless, &mut findings),
                    // Their objects are unknown.
                    (None, Some(nameless)) => nameless.values().for_each(print),
                    (_, None) => {}
                }
                addresses(&settings, &mut findings);
            }
            Err(FolderError::InUse(folder)) if self.repair => {
                let words = format!("{} is in use by a running server: stop it first", folder.display());
                findings.add("data folder", Err(words));
            }
            Err(FolderError::InUse(folder)) => {
                findings
                    .add("data folder", Ok(format!("{} is in use by a running server", folder.display())));
                findings.add("server", ask(&settings));
                if self.scrub {
                    scrub::run(&DataFolder::look_at(&settings.data), false, &mut findings)?;
                    let words = "missing files, and the objects of those with corrupt heads, are reported while no server runs";
                    findings.add("files", Ok(words.into()));
                }
            }
            Err(error) => findings.add("data folder", Err(error.to_string())),
        }
        if self.sandbox {
            let reach = AllowedPaths::new(&settings, self.settings.file(env).as_deref())
                .with_credentials(&settings, |name| super::variable(env, name));
            sandbox::run(&settings, &reach, &mut findings)?;
        }
        Ok(findings.0)
    }
}

/// The key that exists; none is created.
fn credentials(settings: &Settings, env: &Env, findings: &mut Findings) {
    let given = (super::variable(env, ACCESS_KEY_ID), super::variable(env, SECRET_ACCESS_KEY));
    if given.0.is_none() && given.1.is_none() && !settings.data.join("credentials").exists() {
        return findings.add("credentials", Ok("none yet; tintype serve creates them".into()));
    }
    let credentials = Credentials::load_or_create(&settings.data, given);
    findings.add(
        "credentials",
        credentials
            .map(|found| format!("access key {}", found.access_key_id))
            .map_err(|error| error.to_string()),
    );
}

/// The store, if there is one that can be opened.
fn store(settings: &Settings, folder: DataFolder, findings: &mut Findings) -> Option<Arc<Storage>> {
    let has_data = match folder.ledger().exists() {
        true => Ok(true),
        false => has_object_files(&RealDisk, &folder),
    };
    let opened = match has_data {
        Ok(true) => open_as_it_is(settings, Arc::new(RealDisk), folder).map_err(|error| format!("{error:#}")),
        Ok(false) => {
            findings.add("ledger", Ok("none yet; tintype serve creates it".into()));
            return None;
        }
        Err(error) => Err(error.to_string()),
    };
    let Parts { store, queue } = match opened {
        Ok(parts) => parts,
        Err(error) => {
            findings.add("ledger", Err(error));
            return None;
        }
    };
    let counts = queue.depth().and_then(|events| Ok((events, queue.dead_letter_count()?)));
    findings.add(
        "ledger",
        counts
            .map(|(events, dead)| format!("{events} event(s) waiting, {dead} dead letter(s)"))
            .map_err(|error| error.to_string()),
    );
    let buckets =
        store.buckets.list().map(|buckets| buckets.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    findings.add("buckets", buckets.map(|names| names.join(", ")).map_err(|fault| fault.to_string()));
    if !settings.notify.is_empty() {
        let waiting = store.outbox.waiting().map(|count| format!("{count} event(s) wait to be sent"));
        findings.add("notify", waiting.map_err(|fault| fault.to_string()));
    }
    findings.add("public", public(settings, &store));
    Some(store)
}

/// What everybody may read, or do otherwise, without a key.
fn public(settings: &Settings, store: &Storage) -> Result<String, String> {
    let buckets = store.buckets.list().map_err(|fault| fault.to_string())?;
    let names = buckets.into_iter().map(|(name, _)| name).filter(|name| {
        store.buckets.entry(name).is_some_and(|entry| entry.is_public(settings.storage.default_block()))
    });
    let names: Vec<_> = names.collect();
    let objects = store.objects.public_count().map_err(|fault| fault.to_string())?;
    let buckets = match names.is_empty() {
        true => String::new(),
        false => format!("by policies and ACLs of buckets: {}", names.join(", ")),
    };
    // Their buckets may forbid it.
    let objects = match objects {
        0 => String::new(),
        count => {
            format!("{count} object(s) by their ACL, unless their bucket ignores or disables ACLs")
        }
    };
    let images = match settings.api.public {
        Public::None => String::new(),
        public => {
            format!("images of the triggers' buckets at the HTTP port, as api.public = \"{public}\" says")
        }
    };
    let found: Vec<_> = [buckets, objects, images].into_iter().filter(|words| !words.is_empty()).collect();
    Ok(if found.is_empty() { "nothing".into() } else { found.join("; ") })
}

fn addresses(settings: &Settings, findings: &mut Findings) {
    for (setting, address) in [("listen.s3", settings.listen.s3), ("listen.http", settings.listen.http)] {
        let free = TcpListener::bind(address).map(|_| format!("{address} is free"));
        findings.add(setting, free.map_err(|error| format!("{address}: {error}; choose another")));
    }
}

fn ask(settings: &Settings) -> Result<String, String> {
    let server = super::remote::own(settings);
    let url = format!("{}/readyz", server.http);
    let runtime = super::runtime().map_err(|error| error.to_string())?;
    let client =
        crate::http_client::HttpClient::new(&url, &server.trust()).map_err(|error| format!("{error:#}"))?;
    let answer = runtime.block_on(client.send(http::Method::GET, &url, "", bytes::Bytes::new()));
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(format!("{url} is ready")),
        Ok(answer) => Err(format!("{url} answers {}", answer.status)),
        Err(error) => Err(format!("{url}: {error:#}")),
    }
}
