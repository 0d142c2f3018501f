//! The fonts of drawings: one that is built in, and those that a host adds.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb::{Database, Family, Query, Source};

/// Latin, Greek and Cyrillic.
static BUILT_IN: &[u8] = include_bytes!("fonts/Roboto-Regular.ttf");
const BUILT_IN_NAME: &str = "Roboto";

/// Fonts that text may be set in.
#[derive(Clone)]
pub struct Fonts(Arc<Database>);

impl Default for Fonts {
    /// The built-in one alone.
    fn default() -> Self {
        static FONTS: LazyLock<Fonts> = LazyLock::new(|| Fonts::with(|_| {}));
        FONTS.clone()
    }
}

impl std::fmt::Debug for Fonts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fonts({} faces)", self.0.len())
    }
}

impl Fonts {
    /// The built-in one, and those that `add` puts into the database.
    pub fn with(add: impl FnOnce(&mut Database)) -> Self {
        let mut database = Database::new();
        database.load_font_source(Source::Binary(Arc::new(BUILT_IN)));
        add(&mut database);
        let known = |names: &[&str]| {
            let is_known = |name: &&&str| {
                let query = Query { families: &[Family::Name(name)], ..Query::default() };
                database.query(&query).is_some()
            };
            names.iter().find(is_known).map_or(BUILT_IN_NAME, |name| *name).to_owned()
        };
        let serif =
            known(&["Times New Roman", "Liberation Serif", "Noto Serif", "DejaVu Serif", "FreeSerif"]);
        let sans = known(&["Arial", "Liberation Sans", "Noto Sans", "DejaVu Sans", "FreeSans"]);
        let mono =
            known(&["Courier New", "Liberation Mono", "Noto Sans Mono", "DejaVu Sans Mono", "FreeMono"]);
        database.set_serif_family(serif);
        database.set_cursive_family(sans.clone());
        database.set_fantasy_family(sans.clone());
        database.set_sans_serif_family(sans);
        database.set_monospace_family(mono);
        Self(Arc::new(database))
    }

    pub(super) fn database(&self) -> Arc<Database> {
        self.0.clone()
    }
}
