//! The layout's invariants: who may depend on whom, and what must be documented.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use tintype::settings::Settings;
use tintype_pipeline::settings::Sources;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The project's own crates that a crate depends on, tests apart.
fn own_dependencies(folder: &str) -> Vec<String> {
    let manifest: toml::Table = read(&format!("{folder}/Cargo.toml")).parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let own = dependencies.keys().filter_map(|name| name.strip_prefix("tintype-")).map(str::to_owned);
    own.collect()
}

#[test]
fn crates_depend_one_way() {
    for (folder, allowed) in [
        ("crates/engine", &[][..]),
        ("crates/codec-process", &["engine"][..]),
        ("crates/pipeline", &["engine"][..]),
        ("crates/stores", &["pipeline"][..]),
        ("crates/sources", &["pipeline", "stores"][..]),
        ("crates/policy", &[][..]),
        ("crates/alt-text", &["pipeline"][..]),
        ("crates/telemetry", &["pipeline"][..]),
        ("crates/api", &["engine", "pipeline"][..]),
        (
            "hosts/lambda",
            &["engine", "codec-process", "pipeline", "stores", "sources", "telemetry", "api"][..],
        ),
        (
            "hosts/worker",
            &["engine", "codec-process", "pipeline", "stores", "sources", "telemetry", "api", "alt-text"][..],
        ),
        (
            "hosts/server",
            &["engine", "codec-process", "pipeline", "policy", "telemetry", "api", "worker", "alt-text"][..],
        ),
    ] {
        for dependency in own_dependencies(folder) {
            assert!(allowed.contains(&dependency.as_str()), "{folder} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_engine_does_nothing_but_compute() {
    for file in rust_files(&root().join("crates/engine/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in
            ["std::fs", "std::net", "std::env", "std::time", "std::thread", "tokio", "tracing", "async fn"]
        {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

/// The pipeline waits by `await` alone; what computes runs where its host says.
#[test]
fn the_pipeline_holds_up_no_thread_that_polls_it() {
    for file in rust_files(&root().join("crates/pipeline/src")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in ["Condvar", "thread::sleep", "block_on", "blocking_", "park"] {
            assert!(!code.contains(word), "{} has {word}", file.display());
        }
    }
}

/// The port on the disk waits for it on the thread that polls: whoever serves requests hands it to another.
#[test]
fn only_workers_poll_the_port_on_the_disk() {
    let source = root().join("hosts/server/src");
    let may = ["storage/", "dispatch/", "cli/"].map(|folder| source.join(folder));
    for file in rust_files(&source) {
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("DiskPort") && !may.iter().any(|folder| file.starts_with(folder)) {
            assert!(text.contains("spawn_blocking"), "{} polls the port on the disk", file.display());
        }
    }
}

/// What each folder (or file) of the server may use of the others.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("disk", &[][..]),
        ("ledger", &["disk"][..]),
        ("queue", &["ledger", "settings", "steady_clock"][..]),
        ("storage", &["disk", "ledger", "queue"][..]),
        ("history", &["disk", "request_id", "http_client", "steady_clock"][..]),
        ("dispatch", &["queue", "storage", "history", "request_id", "settings"][..]),
        ("auth", &["disk", "request_id", "settings", "storage"][..]),
        ("http_client", &["auth"][..]),
        ("rendered_cache", &["disk"][..]),
        ("alt_text", &["dispatch", "history", "http_client", "queue", "settings", "storage"][..]),
        ("notify", &["history", "http_client", "settings", "storage"][..]),
        ("listen", &["auth", "settings"][..]),
        ("sandbox", &["settings"][..]),
        ("request_id", &[][..]),
        // Only what is written; whom it concerns acts on it.
        ("settings", &[][..]),
        ("steady_clock", &[][..]),
        ("s3", &["storage", "auth", "listen", "request_id"][..]),
        (
            "admin",
            &["auth", "dispatch", "history", "queue", "storage", "listen", "request_id", "settings"][..],
        ),
        // It renders what `admin` answers.
        ("console", &["admin", "auth", "settings"][..]),
        (
            "http",
            &["dispatch", "storage", "history", "auth", "listen", "rendered_cache", "request_id", "settings"]
                [..],
        ),
        (
            "server",
            &[
                "admin",
                "alt_text",
                "auth",
                "console",
                "disk",
                "dispatch",
                "history",
                "http",
                "listen",
                "notify",
                "queue",
                "rendered_cache",
                "s3",
                "settings",
                "storage",
            ][..],
        ),
        (
            "cli",
            &[
                "admin",
                "alt_text",
                "auth",
                "cli",
                "disk",
                "dispatch",
                "history",
                "http",
                "http_client",
                "listen",
                "notify",
                "sandbox",
                "server",
                "settings",
                "storage",
            ][..],
        ),
        // Compiled for fuzz targets only.
        ("fuzzing", &["admin", "s3", "storage"][..]),
        ("lib", &[][..]),
        ("main", &[][..]),
    ])
}

#[test]
fn server_folders_depend_one_way() {
    let source = root().join("hosts/server/src");
    let allowed = allowed();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let place = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let may =
            allowed.get(place).unwrap_or_else(|| panic!("{place} is in no row of the table of dependencies"));
        for used in used_modules(&fs::read_to_string(&file).unwrap()) {
            assert!(
                used == place || may.contains(&used.as_str()),
                "{} uses crate::{used}, which {place} may not",
                relative.display()
            );
        }
    }
}

/// The top-level modules named by `crate::…`, singly or in a group.
fn used_modules(text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && depth == 0 && (c.is_alphanumeric() || c == '_') => {
                    used.push(word(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    used.retain(|name| !name.is_empty());
    used
}

#[test]
fn the_scan_for_modules_sees_groups() {
    let text = "use crate::{a::{b, c}, d,\n e::f};\nlet x = crate::g::h();";
    assert_eq!(used_modules(text), ["a", "d", "e", "g"]);
}

#[test]
fn s3s_is_confined_to_one_folder() {
    let source = root().join("hosts/server/src");
    for file in rust_files(&source).into_iter().filter(|file| !file.starts_with(source.join("s3"))) {
        assert!(!fs::read_to_string(&file).unwrap().contains("s3s::"), "{} uses s3s", file.display());
    }
}

/// A line of the example, a setting in it even if it is a comment.
fn uncommented(line: &str) -> &str {
    let inner = line.strip_prefix("# ").unwrap_or(line);
    let name = inner.split(" = ").next().unwrap_or_default();
    let is_setting =
        inner.contains(" = ") && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    if is_setting || inner.starts_with("[[") { inner } else { line }
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let example = read("tintype.example.toml");
    // What there is none of by default stands there as a comment; uncommented it must be right, too.
    let whole: Vec<&str> = example.lines().map(uncommented).collect();
    let whole = whole.join("\n");
    let table: toml::Table = whole.parse().unwrap();
    for key in Settings::schema().keys() {
        let mut value = Some(&toml::Value::Table(table.clone())).cloned();
        for part in key.split('.') {
            value = value.and_then(|value| match value {
                toml::Value::Array(items) => items.iter().find_map(|item| item.get(part)).cloned(),
                other => other.get(part).cloned(),
            });
        }
        assert!(value.is_some(), "{key} is not in tintype.example.toml");
    }
    // The names come from the sections: nothing that they declare may escape.
    let written = whole.lines().filter(|line| line.contains(" = ")).count();
    let known = Settings::schema().keys().count();
    assert!(known >= 55 && written >= known, "{known} settings, {written} lines");
    let load = |text: String| {
        Settings::load(Sources { file: Some(("example".into(), text)), ..Sources::default() }).unwrap()
    };
    load(whole);
    // What is written as it is by default is written all the same.
    let mut shown = load(example);
    assert!(std::mem::take(&mut shown.function.is_memory_given));
    shown.written.clear();
    assert_eq!(format!("{shown:?}"), format!("{:?}", load(String::new())), "the example shows the defaults");
}

#[test]
fn every_command_has_an_example() {
    for command in tintype::cli::Arguments::command().get_subcommands() {
        let name = command.get_name();
        assert!(command.get_after_help().is_some(), "tintype {name} --help has no example");
    }
}

/// Promises stand beside their tests: `path::test` for each.
#[test]
fn every_promise_names_a_test_that_exists() {
    let mut promises = 0;
    for entry in fs::read_dir(root().join("docs/design")).unwrap() {
        let page = entry.unwrap().path();
        if page.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        for reference in text.split('`').skip(1).step_by(2) {
            let Some((path, test)) = reference.split_once("::") else { continue };
            if !(path.ends_with(".rs") || path.ends_with(".py")) {
                continue;
            }
            let is_there = ["fn ", "def "].iter().any(|word| read(path).contains(&format!("{word}{test}(")));
            assert!(is_there, "{}: there is no {reference}", page.display());
            promises += 1;
        }
    }
    assert!(promises > 100, "{promises}");
}

/// The list of mutations names the tests that detect them, long names by their beginning and `…`.
#[test]
fn every_mutation_names_tests_that_exist() {
    let mut code = String::new();
    for file in ["hosts/server/src", "hosts/server/tests", "crates"].map(|folder| root().join(folder)) {
        code.extend(rust_files(&file).iter().map(|file| fs::read_to_string(file).unwrap()));
    }
    let e2e = fs::read_dir(root().join("e2e")).unwrap().map(|entry| entry.unwrap().path());
    code.extend(e2e.filter(|file| file.is_file()).map(|file| fs::read_to_string(file).unwrap()));
    let mutations = read("hosts/server/tests/power/MUTATIONS.md");
    let is_test = |name: &&str| {
        let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '…');
        is_word && name.matches('_').count() > 2
    };
    let names: Vec<_> = mutations.split('`').skip(1).step_by(2).filter(is_test).collect();
    for name in &names {
        let name = name.strip_suffix('…').map_or(format!("{name}("), str::to_owned);
        let is_there = ["fn ", "def "].iter().any(|word| code.contains(&format!("{word}{name}")));
        assert!(is_there, "MUTATIONS.md: there is no test {name}");
    }
    assert!(names.len() > 30, "{}", names.len());
}
