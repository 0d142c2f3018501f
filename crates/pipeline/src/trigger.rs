//! Triggers: which objects the function is called for, and which renditions it creates. Filters follow S3's
//! rules (prefix and suffix, no wildcards, case-sensitive; no two may overlap for one event type), but for the extensions
//! of images in any case; and no trigger may match what any trigger writes.
//! Source: AWS, "Configuring event notifications using object key name filtering".

use tintype_engine::{Format, Spec};

use crate::{
    event::{CreatedTypes, Kind},
    naming::KeyTemplate,
    suffixes::{End, Suffixes},
};

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
    /// What a key must end with.
    pub suffixes: Suffixes,
    /// The bucket written.
    pub destination: String,
    /// Called for created objects.
    pub created: bool,
    /// Of these types.
    pub created_types: CreatedTypes,
    /// Called for removed objects: their thumbnails are removed too.
    pub removed: bool,
    /// The renditions.
    pub renditions: Vec<Rendition>,
}

impl Default for Trigger {
    /// That of the reference system.
    fn default() -> Self {
        Self {
            id: None,
            bucket: "input-product-images".into(),
            prefix: String::new(),
            suffixes: Suffixes::Images,
            destination: "output-product-thumbnail".into(),
            created: true,
            created_types: CreatedTypes::ALL,
            removed: false,
            renditions: vec![Rendition { key: KeyTemplate::default(), spec: Spec::default() }],
        }
    }
}

impl Trigger {
    /// Whether the filter passes a key.
    #[must_use]
    pub fn matches(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && key.starts_with(&self.prefix) && self.suffixes.matches(key)
    }

    /// Whether it is called for events of this kind.
    #[must_use]
    pub const fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Created | Kind::Step(_) => self.created,
            Kind::Removed => self.removed,
            Kind::Other => false,
        }
    }

    /// Whether it is called for an event of this kind and S3's name for it.
    #[must_use]
    pub fn wants_event(&self, kind: Kind, name: &str) -> bool {
        self.wants(kind) && (kind != Kind::Created || self.created_types.contains(name))
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
    let share_a_creation = a.created && b.created && a.created_types.intersects(b.created_types);
    let share_an_event = share_a_creation || a.removed && b.removed;
    if a.bucket != b.bucket || !share_an_event || !starts_overlap(&a.prefix, &b.prefix) {
        return Ok(());
    }
    for one in a.suffixes.ends() {
        for two in b.suffixes.ends() {
            if one.overlaps(&two) {
                return Err(overlap_message(&a.bucket, (&a.prefix, &one.text), (&b.prefix, &two.text)));
            }
        }
    }
    Ok(())
}

fn check_suffixes(trigger: &Trigger) -> Result<(), String> {
    let ends = match trigger.suffixes {
        Suffixes::Images => Vec::new(),
        Suffixes::Listed(_) => trigger.suffixes.ends(),
    };
    for (index, one) in ends.iter().enumerate() {
        if let Some(two) = ends[index + 1..].iter().find(|two| one.overlaps(two)) {
            let prefix = &trigger.prefix;
            return Err(overlap_message(&trigger.bucket, (prefix, &one.text), (prefix, &two.text)));
        }
    }
    Ok(())
}

fn starts_overlap(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
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
            .any(|end| to.suffixes.ends().iter().any(|suffix| end.overlaps(suffix)))
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
fn possible_ends(from: &Trigger, rendition: &Rendition) -> Vec<End> {
    let suffixes = from.suffixes.ends().into_iter();
    let end = |suffix: End| End { text: rendition.key.end(rendition.spec.size, &suffix.text), ..suffix };
    let mut ends: Vec<End> = suffixes.map(end).collect();
    // The output's extension, appended where its format is not the source's.
    for format in Format::ALL {
        let to = rendition.spec.resolve(format);
        let end = End::written(format!(".{}", to.extension()));
        if to != format && !ends.contains(&end) {
            ends.push(end);
        }
    }
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
            let same_name = Format::ALL.into_iter().any(|from| share_a_key(trigger, rendition, other, from));
            let same_source = trigger.bucket == other_trigger.bucket;
            // Triggers on one bucket never overlap, so their sources differ. Two that give one name by {format} are refused
            // when the second is rendered.
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

/// Whether two renditions give a source of a format one key: templates that are written differently may be equivalent, for
/// all sources, or for those of the trigger that have the usual extension.
fn share_a_key(trigger: &Trigger, one: &Rendition, other: &Rendition, from: Format) -> bool {
    let key = |rendition: &Rendition, source: &str| {
        let to = rendition.spec.resolve(from);
        rendition.key.render(source, rendition.spec.size, from, to).ok()
    };
    let equal = |source: &str| key(one, source) == key(other, source);
    let usual = Format::ALL.map(|format| format!("{}d/e.{}", trigger.prefix, format.extension()));
    usual.iter().any(|source| trigger.matches(&trigger.bucket, source) && equal(source))
        || ["a/b.c", "d.e", "f/g"].into_iter().all(equal)
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
    use tintype_engine::OutputFormat;

    use super::*;

    fn trigger(bucket: &str, prefix: &str, suffixes: &[&str], destination: &str) -> Trigger {
        Trigger {
            id: None,
            bucket: bucket.into(),
            prefix: prefix.into(),
            suffixes: suffixes.iter().map(|s| (*s).to_owned()).collect(),
            destination: destination.into(),
            created: true,
            created_types: CreatedTypes::ALL,
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
    fn renditions_with_one_name_for_the_usual_extension_are_refused() {
        let mut twice = trigger("in", "", &[".jpg"], "out");
        twice.renditions.push(twice.renditions[0].clone());
        twice.renditions[0].key = "{dir}{stem}.{format}".parse().unwrap();
        twice.renditions[1].key = "{dir}{stem}{ext}".parse().unwrap();
        assert!(check_all(std::slice::from_ref(&twice)).unwrap_err().contains("a key of its own"));
        twice.renditions[0].spec.format = OutputFormat::WebP;
        assert_eq!(check_all(&[twice]), Ok(()));
        // Thumbnails beside their sources, under the name of another.
        assert!(check_all(&[with_key(trigger("same", "", &[], "same"), "{dir}{stem}.{format}")]).is_err());
    }

    #[test]
    fn densities_loop_as_their_rendition_does() {
        let dense = |trigger: Trigger, key: &str| {
            let mut trigger = with_key(trigger, key);
            let Rendition { key, spec } = trigger.renditions[0].clone();
            trigger.renditions.push(Rendition { key: key.at_density(2), spec });
            trigger
        };
        assert_eq!(check_all(&[dense(trigger("in", "", &[".jpg"], "out"), "thumb_{key}")]), Ok(()));
        let raw = dense(trigger("same", "raw/", &[".jpg"], "same"), "thumbs/{key}");
        assert_eq!(check_all(std::slice::from_ref(&raw)), Ok(()));
        assert!(check_all(&[Trigger { prefix: String::new(), ..raw }]).is_err());
        // Its 2x alone ends as the second's filter requires.
        let mut first = trigger("one", "", &[".jpg"], "two");
        first.renditions[0].key = "{key}_x".parse::<KeyTemplate>().unwrap().at_density(2);
        assert!(check_all(&[first, with_key(trigger("two", "", &["_x"], "one"), "y/{key}")]).is_err());
    }

    #[test]
    fn images_in_any_case_loop_and_overlap_as_their_extensions_do() {
        let images = |bucket: &str, destination: &str| Trigger {
            bucket: bucket.into(),
            destination: destination.into(),
            ..Trigger::default()
        };
        assert_eq!(check_all(&[images("in", "out")]), Ok(()));
        assert!(check_all(&[images("in", "out"), trigger("in", "", &[".Jpg"], "out2")]).is_err());
        assert_eq!(check_all(&[images("in", "out"), trigger("in", "", &[".txt"], "out2")]), Ok(()));
        for looping in [
            vec![images("same", "same")],
            vec![trigger("one", "", &[".JPG"], "two"), images("two", "one")],
            vec![trigger("one", "", &[".x"], "two"), images("two", "three")],
        ] {
            assert!(check_all(&looping).unwrap_err().starts_with("this would loop"));
        }
    }

    #[test]
    fn triggers_for_other_types_do_not_overlap() {
        let of = |types: &[&str]| Trigger {
            created_types: types.iter().fold(CreatedTypes::NONE, |all, name| all | CreatedTypes::of(name)),
            ..trigger("in", "", &[".jpg"], "out")
        };
        let ids = |mut triggers: [Trigger; 2]| {
            triggers.iter_mut().for_each(|trigger| trigger.id = Some("set".into()));
            check_all(&triggers)
        };
        assert_eq!(ids([of(&["s3:ObjectCreated:Put"]), of(&["s3:ObjectCreated:Copy"])]), Ok(()));
        assert!(ids([of(&["s3:ObjectCreated:Put"]), of(&["s3:ObjectCreated:*"])]).is_err());
        let put = of(&["s3:ObjectCreated:Put"]);
        assert!(put.wants_event(Kind::Created, "ObjectCreated:Put"));
        assert!(!put.wants_event(Kind::Created, "ObjectCreated:Copy"));
        // What is asked for by name alone, as by a backfill.
        assert!(put.wants_event(Kind::Created, "ObjectCreated:Backfill"));
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
