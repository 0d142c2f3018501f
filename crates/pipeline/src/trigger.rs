//! Triggers: which objects the function is called for, and which renditions it creates. Filters follow S3's
//! rules (prefix and suffix, no wildcards, case-sensitive; no two may overlap for one event type), and
//! no trigger may match what any trigger writes.
//! Source: AWS, "Configuring event notifications using object key name filtering".

use tintype_engine::{Format, OutputFormat, Spec};

use crate::{event::Kind, naming::KeyTemplate};

/// One rendition of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// How its key follows from the source's.
    pub key: KeyTemplate,
    /// Its size, format and quality.
    pub spec: Spec,
}

/// A source bucket with a filter, and the renditions of its objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its name, if it was set through `PutBucketNotificationConfiguration`.
    pub id: Option<String>,
    /// The bucket watched.
    pub bucket: String,
    /// A key must begin with this.
    pub prefix: String,
    /// A key must end with one of these; empty: every key matches.
    pub suffixes: Vec<String>,
    /// The bucket written.
    pub destination: String,
    /// Called for created objects.
    pub created: bool,
    /// Called for removed objects: their thumbnails are removed too.
    pub removed: bool,
    /// The renditions.
    pub renditions: Vec<Rendition>,
}

impl Default for Trigger {
    /// That of the reference system.
    fn default() -> Self {
        let suffixes = [".jpg", ".jpeg", ".png", ".webp", ".gif", ".JPG", ".JPEG", ".PNG"];
        Self {
            id: None,
            bucket: "input-product-images".into(),
            prefix: String::new(),
            suffixes: suffixes.map(str::to_owned).to_vec(),
            destination: "output-product-thumbnail".into(),
            created: true,
            removed: false,
            renditions: vec![Rendition { key: KeyTemplate::default(), spec: Spec::default() }],
        }
    }
}

impl Trigger {
    /// Whether the filter passes a key.
    #[must_use]
    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        let ends =
            || self.suffixes.is_empty() || self.suffixes.iter().any(|suffix| key.ends_with(suffix.as_str()));
        self.bucket == bucket && key.starts_with(&self.prefix) && ends()
    }

    /// Whether it is called for events of this kind.
    #[must_use]
    pub const fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Created | Kind::Step(_) => self.created,
            Kind::Removed => self.removed,
        }
    }

    fn suffixes_or_all(&self) -> Vec<&str> {
        if self.suffixes.is_empty() { vec![""] } else { self.suffixes.iter().map(String::as_str).collect() }
    }
}

/// The trigger whose bucket is meant where none is named: the first of the settings.
#[must_use]
pub fn default_trigger(triggers: &[Trigger]) -> Option<&Trigger> {
    triggers.first()
}

/// The trigger for a key of a bucket: the one whose filter passes the key, otherwise the bucket's first. `None` where
/// no trigger watches the bucket.
#[must_use]
pub fn find_trigger<'a>(triggers: &'a [Trigger], bucket: &str, key: Option<&str>) -> Option<&'a Trigger> {
    // One called for removals alone renders nothing, unless the bucket has no other.
    let of_bucket = |created| {
        triggers.iter().filter(move |trigger| trigger.bucket == bucket && trigger.created == created)
    };
    let passes = |trigger: &&Trigger| key.is_some_and(|key| trigger.matches(bucket, key));
    of_bucket(true).find(passes).or_else(|| of_bucket(true).chain(of_bucket(false)).next())
}

/// Checks a set of triggers for overlaps, loops and collisions.
///
/// # Errors
/// The two triggers in conflict, and what to do.
pub fn check_all(triggers: &[Trigger]) -> Result<(), String> {
    for (index, trigger) in triggers.iter().enumerate() {
        for other in &triggers[index + 1..] {
            check_overlap(trigger, other)?;
        }
        check_suffixes(trigger)?;
    }
    for from in triggers {
        for to in triggers {
            check_loop(from, to)?;
        }
    }
    check_collisions(triggers)
}

fn overlap_message(bucket: &str, a: (&str, &str), b: (&str, &str)) -> String {
    // The first sentence is S3's own.
    format!(
        "Configurations overlap. Configurations on the same bucket cannot share a common event type. \
         (bucket {bucket}: prefix \"{}\" suffix \"{}\", and prefix \"{}\" suffix \"{}\")",
        a.0, a.1, b.0, b.1
    )
}

fn check_overlap(a: &Trigger, b: &Trigger) -> Result<(), String> {
    let share_an_event = a.created && b.created || a.removed && b.removed;
    if a.bucket != b.bucket || !share_an_event || !starts_overlap(&a.prefix, &b.prefix) {
        return Ok(());
    }
    for one in a.suffixes_or_all() {
        for two in b.suffixes_or_all() {
            if ends_overlap(one, two) {
                return Err(overlap_message(&a.bucket, (&a.prefix, one), (&b.prefix, two)));
            }
        }
    }
    Ok(())
}

fn check_suffixes(trigger: &Trigger) -> Result<(), String> {
    for (index, one) in trigger.suffixes.iter().enumerate() {
        for two in &trigger.suffixes[index + 1..] {
            if ends_overlap(one, two) {
                return Err(overlap_message(&trigger.bucket, (&trigger.prefix, one), (&trigger.prefix, two)));
            }
        }
    }
    Ok(())
}

fn starts_overlap(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn ends_overlap(a: &str, b: &str) -> bool {
    a.ends_with(b) || b.ends_with(a)
}

/// Refuses a trigger that could match another's output. Errs towards refusing: it compares prefixes and suffixes of the
/// output, not single keys.
fn check_loop(from: &Trigger, to: &Trigger) -> Result<(), String> {
    // A trigger for removals alone writes, too, where its source exists again.
    if from.destination != to.bucket || !to.created {
        return Ok(());
    }
    for rendition in &from.renditions {
        let start = rendition.key.start(rendition.spec.size, &from.prefix);
        if !starts_overlap(&start, &to.prefix) {
            continue;
        }
        if possible_ends(from, rendition)
            .iter()
            .any(|end| to.suffixes_or_all().iter().any(|suffix| ends_overlap(end, suffix)))
        {
            return Err(format!(
                "this would loop: thumbnails written to bucket \"{}\" under \"{}\" match the trigger on that same \
                 bucket (prefix \"{}\"), so that every thumbnail would be rendered again, without end. Write to \
                 another bucket, or give key template and prefix different beginnings",
                from.destination, rendition.key, to.prefix
            ));
        }
    }
    Ok(())
}

/// Everything a rendition's key may end with.
fn possible_ends(from: &Trigger, rendition: &Rendition) -> Vec<String> {
    let suffixes = from.suffixes_or_all().into_iter();
    let mut ends: Vec<String> =
        suffixes.map(|suffix| rendition.key.end(rendition.spec.size, suffix)).collect();
    // The output's extension, appended where its format is not the source's.
    ends.extend(match rendition.spec.format {
        OutputFormat::Same | OutputFormat::Png => vec![format!(".{}", Format::Png.extension())],
        OutputFormat::Jpeg => vec![format!(".{}", Format::Jpeg.extension())],
        OutputFormat::WebP => vec![format!(".{}", Format::WebP.extension())],
    });
    ends
}

/// Refuses two renditions of one trigger, or of two in the settings with one destination, that share a
/// name. Triggers set through S3 all have the same renditions; if two of their sources collide, the function refuses
/// the second (see `Thumbnails`).
fn check_collisions(triggers: &[Trigger]) -> Result<(), String> {
    let all: Vec<_> = triggers
        .iter()
        .flat_map(|trigger| trigger.renditions.iter().map(move |rendition| (trigger, rendition)))
        .collect();
    for (index, (trigger, rendition)) in all.iter().enumerate() {
        for (other_trigger, other) in &all[index + 1..] {
            let same_name =
                Format::ALL.into_iter().any(|from| sample_keys(rendition, from) == sample_keys(other, from));
            let same_source = trigger.bucket == other_trigger.bucket;
            // Triggers on one bucket never overlap, so their sources differ and so do their thumbnails.
            let of_settings = trigger.id.is_none() && other_trigger.id.is_none();
            let can_meet = std::ptr::eq(*trigger, *other_trigger) || !same_source && of_settings;
            if same_name && can_meet && trigger.destination == other_trigger.destination {
                return Err(format!(
                    "two renditions write \"{}\" into bucket \"{}\": give each a key of its own, such as \"{{width}}/{{key}}\"",
                    rendition.key, trigger.destination
                ));
            }
        }
    }
    Ok(())
}

/// The keys of a few sources of a format: templates that are written differently may be equivalent.
fn sample_keys(rendition: &Rendition, from: Format) -> [Option<String>; 3] {
    let to = rendition.spec.format.resolve(from);
    ["a/b.c", "d.e", "f/g"].map(|source| rendition.key.render(source, rendition.spec.size, from, to).ok())
}

/// Checks a bucket's name by S3's rules (AWS, "General purpose bucket naming rules").
///
/// # Errors
/// Which rule it breaks.
pub fn check_bucket_name(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let problem = if !(3..=63).contains(&name.len()) {
        "has 3 to 63 characters"
    } else if !name.chars().all(legal) {
        "has only lower-case letters, digits, dots and hyphens"
    } else if !edge(name.chars().next()) || !edge(name.chars().last()) {
        "begins and ends with a letter or digit"
    } else if name.contains("..") {
        "has no two dots in a row"
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        "is not an IP address"
    } else {
        return Ok(());
    };
    Err(format!("\"{name}\" is no bucket name: a bucket name {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(bucket: &str, prefix: &str, suffixes: &[&str], destination: &str) -> Trigger {
        Trigger {
            id: None,
            bucket: bucket.into(),
            prefix: prefix.into(),
            suffixes: suffixes.iter().map(|s| (*s).to_owned()).collect(),
            destination: destination.into(),
            created: true,
            removed: false,
            renditions: vec![Rendition { key: KeyTemplate::default(), spec: Spec::default() }],
        }
    }

    fn with_key(mut trigger: Trigger, key: &str) -> Trigger {
        trigger.renditions[0].key = key.parse().unwrap();
        trigger
    }

    #[test]
    fn filters_are_case_sensitive_and_have_no_wildcards() {
        let trigger = trigger("in", "raw/", &[".jpg"], "out");
        assert!(trigger.matches("in", "raw/a.jpg"));
        for (bucket, key) in
            [("in", "raw/a.JPG"), ("in", "a.jpg"), ("other", "raw/a.jpg"), ("in", "raw/a.jpg ")]
        {
            assert!(!trigger.matches(bucket, key), "{bucket} {key}");
        }
    }

    #[test]
    fn a_trigger_is_found_by_bucket_and_key() {
        let mut removals = trigger("two", "", &[], "out");
        removals.created = false;
        let triggers = [
            trigger("one", "", &[".jpg"], "out"),
            removals,
            trigger("two", "raw/", &[".jpg"], "out"),
            trigger("two", "big/", &[".jpg"], "out"),
        ];
        let found = |bucket: &str, key| {
            let found = find_trigger(&triggers, bucket, key)?;
            triggers.iter().position(|trigger| std::ptr::eq(trigger, found))
        };
        assert_eq!(found("one", Some("a.jpg")), Some(0));
        assert_eq!(found("two", Some("big/a.jpg")), Some(3));
        assert_eq!(found("two", Some("raw/a.jpg")), Some(2));
        // No filter passes the key, or there is none: the bucket's first that renders.
        assert_eq!((found("two", Some("a.png")), found("two", None)), (Some(2), Some(2)));
        assert_eq!(found("three", Some("a.jpg")), None);
        assert_eq!(find_trigger(&triggers[..2], "two", None).map(|found| found.created), Some(false));
    }

    #[test]
    fn overlaps_are_refused_in_the_words_of_s3() {
        let disjoint = [trigger("in", "raw/", &[".jpg"], "out"), trigger("in", "raw/", &[".png"], "out")];
        assert_eq!(check_all(&disjoint), Ok(()));
        for (a, b) in [
            (trigger("in", "", &["jpg"], "out"), trigger("in", "", &["pg"], "out")),
            (trigger("in", "", &[], "out"), trigger("in", "raw/", &[".png"], "out")),
            (trigger("in", "raw/", &[".png"], "out"), trigger("in", "raw/x", &[".png"], "out")),
        ] {
            let message = check_all(&[a, b]).unwrap_err();
            assert!(message.starts_with("Configurations overlap."), "{message}");
        }
        assert!(check_all(&[trigger("in", "", &["jpg", ".jpg"], "out")]).is_err());
    }

    #[test]
    fn loops_are_refused() {
        for looping in [
            vec![trigger("same", "", &[".jpg"], "same")],
            vec![trigger("same", "", &[], "same")],
            vec![trigger("same", "thumb_", &[".jpg"], "same")],
            vec![trigger("one", "", &[".jpg"], "two"), trigger("two", "", &[".jpg"], "one")],
            // The second watches for the extension that the first appends.
            vec![
                trigger("one", "", &[".gif"], "two"),
                with_key(trigger("two", "", &[".png"], "three"), "x/{key}"),
            ],
            vec![with_key(trigger("same", "in/", &[".jpg"], "same"), "{dir}t_{name}")],
            // Widths that are each other's prefixes.
            vec![
                with_key(trigger("one", "64/", &[".jpg"], "two"), "{width}/{key}"),
                with_key(trigger("two", "128/", &[".jpg"], "one"), "{height}/{key}"),
            ],
            // A stem that ends as the other's filter requires.
            vec![
                with_key(trigger("one", "", &["_a.jpg"], "two"), "{dir}{stem}_b{ext}"),
                with_key(trigger("two", "", &["_b.jpg"], "one"), "{dir}{stem}_a{ext}"),
            ],
        ] {
            let message = check_all(&looping).unwrap_err();
            assert!(message.starts_with("this would loop"), "{message}");
        }
    }

    #[test]
    fn one_bucket_is_legal_where_names_are_disjoint() {
        assert_eq!(
            check_all(&[with_key(trigger("same", "raw/", &[".jpg"], "same"), "thumbs/{key}")]),
            Ok(())
        );
        assert_eq!(
            check_all(&[trigger("a-in", "", &[".jpg"], "out"), trigger("b-in", "", &[".png"], "out2")]),
            Ok(())
        );
    }

    #[test]
    fn renditions_with_one_name_are_refused() {
        let mut twice = trigger("in", "", &[".jpg"], "out");
        twice.renditions.push(twice.renditions[0].clone());
        assert!(check_all(std::slice::from_ref(&twice)).unwrap_err().contains("a key of its own"));
        // For a JPEG both would be thumb_a.jpg.
        twice.renditions[0].spec.format = OutputFormat::Jpeg;
        assert!(check_all(std::slice::from_ref(&twice)).is_err());
        twice.renditions[0].spec.format = OutputFormat::Same;
        twice.renditions[0].key = "{dir}thumb_{name}".parse().unwrap();
        assert_eq!(check_all(std::slice::from_ref(&twice)), Ok(()));
        twice.renditions[0].key = "{width}/{key}".parse().unwrap();
        twice.renditions[1].key = "{width}/{key}".parse().unwrap();
        twice.renditions[1].spec.size = "64x64".parse().unwrap();
        assert_eq!(check_all(&[twice]), Ok(()));
    }

    #[test]
    fn bucket_names() {
        for good in ["input-product-images", "a.b-c", "abc", "1a2"] {
            assert_eq!(check_bucket_name(good), Ok(()), "{good}");
        }
        for bad in ["ab", "Upper", "-a-b", "a..b", "127.0.0.1", "a_b", ""] {
            assert!(check_bucket_name(bad).is_err(), "{bad}");
        }
    }
}
