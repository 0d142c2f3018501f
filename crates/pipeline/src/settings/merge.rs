//! Merging the sources of settings: file, then environment, then flags.

use super::{Schema, SettingsError, WrittenSetting, trigger::VARIABLES};

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

/// Words in the names of settings whose values nobody is shown.
const SECRET: [&str; 8] = ["key", "secret", "password", "token", "salt", "credential", "header", "hash"];

/// The settings of a merged document, each with where it was written last.
pub(super) fn written(document: &toml::Table, origins: &Origins) -> Vec<WrittenSetting> {
    fn walk(name: &str, path: &str, value: &toml::Value, origins: &Origins, out: &mut Vec<WrittenSetting>) {
        let below = |above: &str, part: &str| match above {
            "" => part.to_owned(),
            above => format!("{above}.{part}"),
        };
        match value {
            toml::Value::Table(table) => {
                for (part, value) in table {
                    walk(&below(name, part), &below(path, part), value, origins, out);
                }
            }
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                for (index, value) in items.iter().enumerate() {
                    walk(&format!("{name}[{index}]"), path, value, origins, out);
                }
            }
            value => {
                let last = path.rsplit('.').next().unwrap_or_default();
                // The template of a rendition's key is none, nor are tokens of a model.
                let is_known = path == "trigger.rendition.key" || last.starts_with("max_tokens");
                let is_secret = !is_known && SECRET.iter().any(|word| last.contains(word));
                let value = if is_secret { "(secret)".to_owned() } else { without_user(&value.to_string()) };
                out.push(WrittenSetting {
                    name: name.to_owned(),
                    value,
                    origin: origins.of(path).to_owned(),
                });
            }
        }
    }
    let mut out = Vec::new();
    for (name, value) in document {
        walk(name, name, value, origins, &mut out);
    }
    out
}

/// A value without the user and password that a URL in it may have.
fn without_user(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let end = rest.find(['/', '?', '"']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://(secret){}", &rest[at..]),
        None => value.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_has_its_origin_and_no_secret() {
        let text = "[[api.key]]\nname = \"shop\"\nkey = \"0123\"\n[[trigger]]\nbucket = \"in\"\n[[trigger.rendition]]\nkey = \"t_{key}\"\n\
                    [logs]\notlp = \"https://me:word@example.com/v1\"\n[function]\ntimeout_s = 5";
        let origins = Origins {
            file: "tintype.toml".into(),
            changed: vec![("function.timeout_s".into(), "flag --timeout".into())],
        };
        let written = written(&text.parse().unwrap(), &origins);
        let of = |name: &str| {
            let one = written.iter().find(|one| one.name == name).unwrap();
            (one.value.as_str(), one.origin.as_str())
        };
        assert_eq!(of("api.key[0].key"), ("(secret)", "tintype.toml"));
        assert_eq!(of("api.key[0].name"), ("\"shop\"", "tintype.toml"));
        assert_eq!(of("trigger[0].rendition[0].key"), ("\"t_{key}\"", "tintype.toml"));
        assert_eq!(of("logs.otlp"), ("\"https://(secret)@example.com/v1\"", "tintype.toml"));
        assert_eq!(of("function.timeout_s"), ("5", "flag --timeout"));
    }
}
