//! The settings that a program has; anything else is refused.

use super::{SettingsError, merge::Origins};

/// The settings of one program, joined by the host from the keys of each section's owner.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Every setting by its dotted path; elements of `[[lists]]` share their list's path.
    pub keys: &'static [&'static str],
    /// The paths of the `[[lists]]`.
    pub lists: &'static [&'static str],
    /// Variables that begin with `TINTYPE_` and are no settings.
    pub other_variables: &'static [&'static str],
    /// Top-level names of other programs that read the same file: ignored, whatever they hold.
    pub others: &'static [&'static str],
}

impl Schema {
    /// Whether `path` is a setting or has settings below it.
    pub(super) fn has(&self, path: &str) -> bool {
        self.keys.contains(&path) || self.is_section(path)
    }

    /// Whether a path of this first part is another program's.
    pub(super) fn ignores(&self, first: &str) -> bool {
        self.others.contains(&first)
    }

    fn is_section(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Refuses the first setting that is not among the keys, naming the nearest that is.
    pub(super) fn check(&self, document: &toml::Table, origins: &Origins) -> Result<(), SettingsError> {
        self.walk(document, "", &mut |path| Err(SettingsError::new(origins.of(path), self.unknown(path))))
    }

    /// The message for an unknown setting.
    pub(super) fn unknown(&self, path: &str) -> String {
        let known = self.keys.iter().chain(self.others).copied();
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
            let (is_key, is_section) = (self.keys.contains(&path.as_str()), self.is_section(&path));
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

/// How many names several lists have together; see [`joined`].
#[must_use]
pub const fn length(lists: &[&[&str]]) -> usize {
    let (mut length, mut list) = (0, 0);
    while list < lists.len() {
        length += lists[list].len();
        list += 1;
    }
    length
}

/// Several lists of names as one, for a [`Schema`]; `LENGTH` is their [`length`].
#[must_use]
pub const fn joined<const LENGTH: usize>(lists: &[&[&'static str]]) -> [&'static str; LENGTH] {
    let mut all = [""; LENGTH];
    let (mut place, mut list) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[place] = lists[list][index];
            place += 1;
            index += 1;
        }
        list += 1;
    }
    all
}
