//! Patterns with `*` and `?`, and policy variables.
//! Sources: AWS, "IAM JSON policy elements: Resource"; "IAM policy elements: Variables and tags".

/// Characters that a part between two `*` may have if it also has a `?` or a variable. Such parts are tried at every
/// place; the bound is what makes matching linear in the text.
const LONGEST_SEARCHED_PART: usize = 64;

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// `*` is any text, `?` one character.
    pub(crate) wildcards: bool,
    /// `${…}` is a variable or an escaped character. Otherwise `${` is refused.
    pub(crate) variables: bool,
}

/// Values of policy variables in a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variables<'a> {
    /// `${aws:username}`. A pattern with a variable that has no value matches nothing.
    pub(crate) username: Option<&'a str>,
}

/// A pattern, as written and as it is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Box<str>,
    /// What stands before, between and after each `*`; one part is a pattern without any.
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Part(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    AnyCharacter,
    Username,
}

impl Pattern {
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn new(text: &str, syntax: Syntax) -> Result<Self, String> {
        let mut parts = vec![Part::default()];
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let part = parts.len() - 1;
            rest = &rest[c.len_utf8()..];
            match c {
                '*' if syntax.wildcards => parts.push(Part::default()),
                '?' if syntax.wildcards => parts[part].0.push(Piece::AnyCharacter),
                '$' if rest.starts_with('{') => {
                    if !syntax.variables {
                        return Err("`${` needs \"Version\": \"2012-10-17\"".into());
                    }
                    let end = rest.find('}').ok_or("`${` has no `}`")?;
                    let name = &rest[1..end];
                    rest = &rest[end + 1..];
                    match name {
                        "*" | "?" | "$" => parts[part].push(name),
                        _ if name.eq_ignore_ascii_case("aws:username") => parts[part].0.push(Piece::Username),
                        _ => {
                            return Err(format!(
                                "the variable {} is not known; there are ${{aws:username}}, ${{*}}, ${{?}} and ${{$}}",
                                crate::error::quoted(name)
                            ));
                        }
                    }
                }
                _ => parts[part].push(c.encode_utf8(&mut [0; 4])),
            }
        }
        // `**` is `*`.
        let last = parts.len() - 1;
        let mut at = 0;
        parts.retain(|part| {
            at += 1;
            at == 1 || at == last + 1 || !part.0.is_empty()
        });
        let searched = parts.get(1..parts.len() - 1).unwrap_or_default();
        if searched.iter().any(|part| part.literal().is_none() && part.cost() > LONGEST_SEARCHED_PART) {
            return Err(format!(
                "what stands between two `*` may have {LONGEST_SEARCHED_PART} characters if it has a `?` or a \
                 variable; shorten it"
            ));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches one text only, whoever asks.
    pub(crate) fn is_fixed(&self) -> bool {
        self.parts.len() == 1 && self.parts[0].0.iter().all(|piece| matches!(piece, Piece::Literal(_)))
    }

    /// Whether it has a variable.
    pub(crate) fn has_variable(&self) -> bool {
        self.parts.iter().any(|part| part.0.contains(&Piece::Username))
    }

    /// Whether it matches every text.
    pub(crate) fn is_everything(&self) -> bool {
        self.parts.len() == 2 && self.parts.iter().all(|part| part.0.is_empty())
    }

    /// The shortest text that it matches; `None` if it has a variable without a value.
    pub(crate) fn shortest(&self, variables: Variables<'_>) -> Option<String> {
        let pieces = self.parts.iter().flat_map(|part| &part.0);
        pieces
            .map(|piece| match piece {
                Piece::AnyCharacter => Some("x"),
                _ => piece.text(variables),
            })
            .collect()
    }

    /// In time linear in the text and without allocating.
    pub(crate) fn matches(&self, text: &str, variables: Variables<'_>) -> bool {
        self.matched(text, variables).is_some()
    }

    fn matched(&self, text: &str, variables: Variables<'_>) -> Option<()> {
        let (first, others) = self.parts.split_first()?;
        let text = first.strip_start(text, variables)?;
        let Some((last, middle)) = others.split_last() else {
            return text.is_empty().then_some(());
        };
        let mut text = last.strip_end(text, variables)?;
        // Each part has a fixed length, so its first place leaves the most for the others.
        for part in middle {
            text = part.skip_to_end(text, variables)?;
        }
        Some(())
    }

    /// Whether it is this text, in any case of ASCII letters; for patterns without wildcards.
    pub(crate) fn equals_ignoring_case(&self, text: &str, variables: Variables<'_>) -> bool {
        let [part] = &*self.parts else { return false };
        let mut rest = text;
        for piece in &part.0 {
            let Some(piece) = piece.text(variables) else { return false };
            let Some((start, end)) = rest.split_at_checked(piece.len()) else { return false };
            if !start.eq_ignore_ascii_case(piece) {
                return false;
            }
            rest = end;
        }
        rest.is_empty()
    }
}

impl Part {
    fn push(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Literal(literal)) => literal.push_str(text),
            _ => self.0.push(Piece::Literal(text.to_owned())),
        }
    }

    fn literal(&self) -> Option<&str> {
        match &*self.0 {
            [Piece::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    fn cost(&self) -> usize {
        let cost = |piece: &Piece| match piece {
            Piece::Literal(literal) => literal.chars().count(),
            Piece::AnyCharacter => 1,
            Piece::Username => 16,
        };
        self.0.iter().map(cost).sum()
    }

    fn strip_start<'t>(&self, mut text: &'t str, variables: Variables<'_>) -> Option<&'t str> {
        for piece in &self.0 {
            text = match piece {
                Piece::AnyCharacter => {
                    let mut rest = text.chars();
                    rest.next()?;
                    rest.as_str()
                }
                _ => text.strip_prefix(piece.text(variables)?)?,
            };
        }
        Some(text)
    }

    fn strip_end<'t>(&self, mut text: &'t str, variables: Variables<'_>) -> Option<&'t str> {
        for piece in self.0.iter().rev() {
            text = match piece {
                Piece::AnyCharacter => {
                    let mut rest = text.chars();
                    rest.next_back()?;
                    rest.as_str()
                }
                _ => text.strip_suffix(piece.text(variables)?)?,
            };
        }
        Some(text)
    }

    /// What follows its first place in the text.
    fn skip_to_end<'t>(&self, text: &'t str, variables: Variables<'_>) -> Option<&'t str> {
        if let Some(literal) = self.literal() {
            return text.find(literal).map(|at| &text[at + literal.len()..]);
        }
        let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.map(|at| &text[at..]).find_map(|text| self.strip_start(text, variables))
    }
}

impl Piece {
    fn text<'a>(&'a self, variables: Variables<'a>) -> Option<&'a str> {
        match self {
            Self::Literal(literal) => Some(literal),
            Self::Username => variables.username,
            Self::AnyCharacter => None,
        }
    }
}

/// A text as a pattern that matches this text only.
pub(crate) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '$' => pattern.extend(['$', '{', c, '}']),
            _ => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: Variables<'_> = Variables { username: Some("alice") };

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text, Syntax { wildcards: true, variables: true }).unwrap()
    }

    fn is_match(text: &str, subject: &str) -> bool {
        pattern(text).matches(subject, ALICE)
    }

    #[test]
    fn wildcards() {
        for (text, subject, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "A", false),
            ("*", "", true),
            ("**", "a/b", true),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*?", "", false),
            ("*?*", "x", true),
            ("*a?c*", "aabc", true),
            ("*?é", "éé", true),
            ("raw/*.jpg", "raw/a/b.jpg", true),
            ("raw/*.jpg", "raw/.jpg", true),
            ("raw/*.jpg", "rawr/a.jpg", false),
        ] {
            assert_eq!(is_match(text, subject), expected, "{text} {subject}");
        }
    }

    #[test]
    fn variables_and_escapes_are_literal() {
        assert!(is_match("home/${aws:username}/*", "home/alice/a"));
        assert!(is_match("home/${AWS:UserName}/*", "home/alice/a"));
        assert!(!is_match("home/${aws:username}/*", "home/alicex/a"));
        assert!(is_match("*${aws:username}*", "xxalicexx"));
        assert!(!pattern("home/${aws:username}/*").matches("home//a", Variables::default()));
        assert!(!pattern("*${aws:username}*").matches("", Variables::default()));
        let star = Variables { username: Some("*") };
        assert!(!pattern("home/${aws:username}/a").matches("home/bob/a", star));
        assert!(pattern("home/${aws:username}/a").matches("home/*/a", star));
        assert!(is_match("${*}${?}${$}", "*?$"));
        assert!(!is_match("${*}", "a"));
        assert!(is_match("a$b$", "a$b$"));
        assert!(is_match("${$}{aws:username}", "${aws:username}"));
    }

    #[test]
    fn unknown_variables_are_refused() {
        let with = Syntax { wildcards: true, variables: true };
        for text in
            ["${", "a${aws:username", "${aws:userid}", "${}", "${aws:username, 'x'}", "${${*}}", "${ * }"]
        {
            assert!(Pattern::new(text, with).is_err(), "{text}");
        }
        assert!(Pattern::new("${*}", Syntax { wildcards: true, variables: false }).is_err());
        assert!(Pattern::new(&format!("*{}?*", "a".repeat(64)), with).is_err());
        assert!(Pattern::new(&format!("*{}*", "a".repeat(10_000)), with).is_ok());
        assert!(Pattern::new(&format!("{}?*?{}", "a".repeat(64), "a".repeat(64)), with).is_ok());
    }

    #[test]
    fn twenty_kilobytes_of_stars_and_nearly_matching_texts() {
        let text = "a".repeat(20 << 10);
        assert!(is_match(&"*".repeat(20 << 10), &text));
        assert!(!is_match(&"a*".repeat(10 << 10), &text[..1024]));
        assert!(!is_match(&format!("{}b", "a*".repeat(10 << 10)), &text));
        assert!(!is_match(&format!("*{}b*", "?".repeat(63)), &text));
        assert!(!is_match(&format!("*{}b*", "a".repeat(10_000)), &text));
    }

    /// Exponential, and obviously right.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..])),
            (Some(('?', rest)), Some((_, text))) => naive(rest, text),
            (Some((c, rest)), Some((d, text))) => c == d && naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn agrees_with_the_naive_matcher(text in "[abé*?]{0,10}", subject in "[abé]{0,12}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(is_match(&text, &subject), naive(&characters(&text), &characters(&subject)));
        }

        #[test]
        fn an_escaped_text_matches_itself_only(text in ".{0,20}", other in ".{0,20}") {
            let escaped = pattern(&escaped(&text));
            prop_assert!(escaped.is_fixed() || text.is_empty());
            prop_assert!(escaped.matches(&text, ALICE));
            prop_assert_eq!(escaped.matches(&other, ALICE), text == other);
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(text in ".*", subject in ".*") {
            if let Ok(pattern) = Pattern::new(&text, Syntax { wildcards: true, variables: true }) {
                pattern.matches(&subject, ALICE);
                pattern.equals_ignoring_case(&subject, ALICE);
                prop_assert!(pattern.shortest(ALICE).is_some_and(|text| pattern.matches(&text, ALICE)));
            }
        }
    }
}
