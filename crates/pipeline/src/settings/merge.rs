//! Merging the sources of settings: file, then environment, then flags.

use super::{Schema, SettingsError, trigger::VARIABLES};

/// The sources of settings. The caller reads files and environment; this only merges.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Name and text of the settings file, if there is one.
    pub file: Option<(String, String)>,
    /// The environment; variables that are no settings are ignored.
    pub env: Vec<(String, String)>,
    /// Settings given as flags.
    pub flags: Vec<Override>,
}

/// One setting from outside the file.
#[derive(Debug, Clone)]
pub struct Override {
    /// The flag's or variable's name, for errors.
    pub origin: String,
    /// The setting's path.
    pub path: Vec<String>,
    /// Its value.
    pub value: toml::Value,
}

impl Sources {
    /// The merged document, and the origin of each setting.
    pub(super) fn merged(self, schema: &Schema) -> Result<(toml::Table, Origins), SettingsError> {
        let (name, text) = self.file.unwrap_or_else(|| ("defaults".into(), String::new()));
        let mut document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line =
                error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            SettingsError::new(&name, format!("line {line}: {}", error.message()))
        })?;
        document.retain(|name, _| !schema.ignores(name));
        let mut changed = Vec::new();
        for change in from_environment(&self.env, schema).into_iter().chain(self.flags) {
            let path = change.path.join(".");
            if !schema.has(&path) {
                return Err(SettingsError::new(change.origin, schema.unknown(&path)));
            }
            set(&mut document, "", &change.path, change.value, schema)
                .map_err(|message| SettingsError::new(&change.origin, message))?;
            changed.push((path, change.origin));
        }
        Ok((document, Origins { file: name, changed }))
    }
}

/// Where settings were written, for errors.
#[derive(Debug, Default)]
pub(super) struct Origins {
    file: String,
    changed: Vec<(String, String)>,
}

impl Origins {
    /// Where the setting was written last.
    pub(super) fn of(&self, setting: &str) -> &str {
        let within = |path: &str| {
            setting == path || setting.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
        };
        let changed = self.changed.iter().rev().find(|(path, _)| within(path));
        changed.map_or(&self.file, |(_, origin)| origin)
    }
}

fn from_environment(env: &[(String, String)], schema: &Schema) -> Vec<Override> {
    let mut changes = Vec::new();
    for (name, value) in env {
        let origin = format!("environment variable {name}");
        if let Some((_, path)) = VARIABLES.iter().find(|(known, _)| known == name) {
            // Templates leave variables empty for parameters without a value.
            if value.is_empty() {
                continue;
            }
            // All but the quality are text, even if they look like numbers: a size of "128" is a box.
            let value = match value.parse::<i64>() {
                Ok(number) if name == "THUMBNAIL_QUALITY" => toml::Value::Integer(number),
                _ => toml::Value::String(value.clone()),
            };
            changes.push(Override {
                origin,
                path: path.iter().map(|part| (*part).to_owned()).collect(),
                value,
            });
        } else if let Some(path) = name.strip_prefix("TINTYPE_")
            && schema.is_setting_variable(name)
        {
            let path: Vec<String> = path.to_ascii_lowercase().split("__").map(str::to_owned).collect();
            if path.first().is_some_and(|first| schema.ignores(first)) {
                continue;
            }
            changes.push(Override { origin, path, value: value_of(value) });
        }
    }
    changes
}

/// A value as TOML; text that is no TOML is a string.
fn value_of(text: &str) -> toml::Value {
    format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Sets `path` below `above`, through the first element of lists; missing tables and lists are created.
fn set(
    table: &mut toml::Table,
    above: &str,
    path: &[String],
    value: toml::Value,
    schema: &Schema,
) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        table.insert(name.clone(), value);
        return Ok(());
    }
    let here = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
    let list = schema.is_list(&here);
    let empty = || toml::Value::Table(toml::Table::new());
    let inner =
        table.entry(name).or_insert_with(|| if list { toml::Value::Array(vec![empty()]) } else { empty() });
    let inner = match inner {
        toml::Value::Array(items) => {
            if items.is_empty() {
                items.push(empty());
            }
            items.first_mut()
        }
        other => Some(other),
    };
    match inner.and_then(toml::Value::as_table_mut) {
        Some(inner) => set(inner, &here, rest, value, schema),
        None => Err(format!("\"{name}\" is not a section in the settings file")),
    }
}
