//! The settings that a program has; anything else is refused.

use serde::de::DeserializeOwned;

use super::{SettingsError, declared::Declared, merge::Origins};

/// What a program knows besides its settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Foreign {
    /// Variables that begin with `TINTYPE_` and are no settings.
    pub variables: &'static [&'static str],
    /// Top-level names of other programs that read the same file: ignored, whatever they hold.
    pub sections: &'static [&'static str],
}

/// The settings of one program, as its sections declare them.
#[derive(Debug, Clone)]
pub struct Schema {
    declared: Declared,
    foreign: Foreign,
}

impl Schema {
    /// That of the struct of a host's sections.
    #[must_use]
    pub fn of<T: DeserializeOwned>(foreign: Foreign) -> Self {
        Self { declared: Declared::by::<T>(), foreign }
    }

    /// Every setting by its dotted path; elements of `[[lists]]` share their list's path.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.declared.keys.iter().map(String::as_str)
    }

    /// Whether `path` is a setting or has settings below it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.is_key(path) || self.is_section(path)
    }

    /// Whether a path of this first part is another program's.
    pub(super) fn ignores(&self, first: &str) -> bool {
        self.foreign.sections.contains(&first)
    }

    /// Whether the elements of `path` are tables.
    pub(super) fn is_list(&self, path: &str) -> bool {
        self.declared.lists.iter().any(|list| list == path)
    }

    /// Whether a variable that begins with `TINTYPE_` may be a setting.
    pub(super) fn is_setting_variable(&self, name: &str) -> bool {
        !self.foreign.variables.contains(&name)
    }

    fn is_key(&self, path: &str) -> bool {
        self.keys().any(|key| key == path)
    }

    fn is_section(&self, path: &str) -> bool {
        self.keys().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Refuses the first setting that is not among the keys, naming the nearest that is.
    pub(super) fn check(&self, document: &toml::Table, origins: &Origins) -> Result<(), SettingsError> {
        self.walk(document, "", &mut |path| Err(SettingsError::new(origins.of(path), self.unknown(path))))
    }

    /// The message for an unknown setting.
    pub(super) fn unknown(&self, path: &str) -> String {
        let known = self.keys().chain(self.foreign.sections.iter().copied());
        let nearest = crate::spelling::nearest(path, known);
        format!("unknown setting \"{path}\"; did you mean \"{}\"?", nearest.unwrap_or_default())
    }

    fn walk(
        &self,
        table: &toml::Table,
        prefix: &str,
        found: &mut impl FnMut(&str) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let (is_key, is_section) = (self.is_key(&path), self.is_section(&path));
            match value {
                toml::Value::Table(inner) if is_section => self.walk(inner, &path, found)?,
                toml::Value::Array(items) if is_section => {
                    for item in items.iter().filter_map(toml::Value::as_table) {
                        self.walk(item, &path, found)?;
                    }
                }
                toml::Value::Table(inner) if !is_key => {
                    // Of an unknown section report the first setting, for a better suggestion.
                    let path = inner.keys().next().map_or(path.clone(), |first| format!("{path}.{first}"));
                    found(&path)?;
                }
                _ if is_key || is_section => {}
                _ => found(&path)?,
            }
        }
        Ok(())
    }
}
