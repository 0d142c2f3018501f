//! Conditions: an operator, a key, and values.
//! Sources: AWS, "IAM JSON policy elements: Condition operators"; "Conditions with multiple context keys or values"; "Set
//! operators for multi-valued context keys".

use std::net::IpAddr;

use time::{
    Date, OffsetDateTime, Time, format_description::well_known::Iso8601,
    format_description::well_known::Rfc3339,
};

use crate::{
    condition_key::{Context, Key, KeyName, Kind, Value},
    error::quoted,
    pattern::{Pattern, Syntax, Variables},
    principal::Principal,
    spelling::suggestion,
};

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What an operator does with a value of the request and one of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    TextIgnoringCase,
    TextLike,
    Arn,
    Number(Comparison),
    Date(Comparison),
    Bool,
    Address,
    Null,
}

macro_rules! operators {
    ($($operator:ident = $family:expr, $is_negated:literal;)+) => {
        /// The operators, without prefix and `IfExists`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum Operator { $($operator,)+ }

        impl Operator {
            const ALL: &[Self] = &[$(Self::$operator,)+];

            const fn name(self) -> &'static str {
                match self { $(Self::$operator => stringify!($operator),)+ }
            }

            const fn family(self) -> Family {
                match self { $(Self::$operator => $family,)+ }
            }

            const fn is_negated(self) -> bool {
                match self { $(Self::$operator => $is_negated,)+ }
            }
        }
    };
}

use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};

operators! {
    StringEquals = Family::Text, false;
    StringNotEquals = Family::Text, true;
    StringEqualsIgnoreCase = Family::TextIgnoringCase, false;
    StringNotEqualsIgnoreCase = Family::TextIgnoringCase, true;
    StringLike = Family::TextLike, false;
    StringNotLike = Family::TextLike, true;
    ArnEquals = Family::Arn, false;
    ArnLike = Family::Arn, false;
    ArnNotEquals = Family::Arn, true;
    ArnNotLike = Family::Arn, true;
    NumericEquals = Family::Number(Equal), false;
    NumericNotEquals = Family::Number(Equal), true;
    NumericLessThan = Family::Number(Less), false;
    NumericLessThanEquals = Family::Number(LessOrEqual), false;
    NumericGreaterThan = Family::Number(Greater), false;
    NumericGreaterThanEquals = Family::Number(GreaterOrEqual), false;
    DateEquals = Family::Date(Equal), false;
    DateNotEquals = Family::Date(Equal), true;
    DateLessThan = Family::Date(Less), false;
    DateLessThanEquals = Family::Date(LessOrEqual), false;
    DateGreaterThan = Family::Date(Greater), false;
    DateGreaterThanEquals = Family::Date(GreaterOrEqual), false;
    Bool = Family::Bool, false;
    IpAddress = Family::Address, false;
    NotIpAddress = Family::Address, true;
    Null = Family::Null, false;
}

/// How the values of a multivalued key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Quantifier {
    ForAnyValue,
    ForAllValues,
}

impl Quantifier {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ForAnyValue => "ForAnyValue:",
            Self::ForAllValues => "ForAllValues:",
        }
    }
}

/// An operator as a policy writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WrittenOperator {
    quantifier: Option<Quantifier>,
    operator: Operator,
    is_if_exists: bool,
}

impl WrittenOperator {
    /// # Errors
    /// What is wrong, with the nearest known name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let quantifier = [Quantifier::ForAnyValue, Quantifier::ForAllValues]
            .into_iter()
            .find(|quantifier| text.starts_with(quantifier.prefix()));
        let name = quantifier.map_or(text, |quantifier| &text[quantifier.prefix().len()..]);
        let (name, is_if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let operator = Operator::ALL.iter().find(|operator| operator.name() == name).ok_or_else(|| {
            let known = Operator::ALL.iter().map(|operator| operator.name());
            format!("{} is no operator{}", quoted(text), suggestion(name, known))
        })?;
        if *operator == Operator::Null && (is_if_exists || quantifier.is_some()) {
            return Err("`Null` has neither `IfExists` nor a prefix".into());
        }
        Ok(Self { quantifier, operator: *operator, is_if_exists })
    }

    pub(crate) fn text(self) -> String {
        let prefix = self.quantifier.map_or("", Quantifier::prefix);
        let suffix = if self.is_if_exists { "IfExists" } else { "" };
        format!("{prefix}{}{suffix}", self.operator.name())
    }
}

/// A value of the policy.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Text(Pattern),
    /// A pattern a component.
    Arn(Box<[Pattern]>),
    Number(f64),
    Date(i128),
    Bool(bool),
    Network(Network),
}

/// Addresses with a common prefix.
/// Source: RFC 4632.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) address: IpAddr,
    /// Bits of the prefix.
    pub(crate) length: u8,
}

/// One condition of a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    pub(crate) operator: WrittenOperator,
    pub(crate) key: Key,
    /// As they were written.
    pub(crate) values: Vec<String>,
    expected: Vec<Expected>,
}

/// Why a condition is refused.
pub(crate) enum Refusal {
    /// The operator does not go with the key.
    Operator(String),
    /// This value is none.
    Value(usize, String),
}

impl Condition {
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn new(
        operator: WrittenOperator,
        key: Key,
        values: Vec<String>,
        variables: bool,
    ) -> Result<Self, Refusal> {
        use Kind as K;
        let family = operator.operator.family();
        let goes = match family {
            Family::Null => true,
            Family::Text | Family::TextIgnoringCase | Family::TextLike => {
                matches!(key.name.kind(), K::Text | K::Arn | K::Bool)
            }
            Family::Arn => key.name.kind() == K::Arn,
            Family::Number(_) => matches!(key.name.kind(), K::Number | K::Epoch),
            Family::Date(_) => matches!(key.name.kind(), K::Date | K::Epoch),
            Family::Bool => key.name.kind() == K::Bool,
            Family::Address => key.name.kind() == K::Address,
        };
        if !goes {
            let use_instead = match key.name.kind() {
                K::Text => "`StringEquals` or `StringLike`",
                K::Arn => "`ArnLike`",
                K::Number => "`NumericLessThan` and the like",
                K::Date | K::Epoch => "`DateLessThan` and the like",
                K::Bool => "`Bool`",
                K::Address => "`IpAddress`",
            };
            return Err(Refusal::Operator(format!(
                "`{}` does not go with `{}`; use {use_instead}",
                operator.text(),
                key.text()
            )));
        }
        if key.is_multivalued() && operator.quantifier.is_none() && family != Family::Null {
            return Err(Refusal::Operator(format!(
                "`{}` can have several values; write `ForAnyValue:` or `ForAllValues:` before the operator",
                key.text()
            )));
        }
        if family == Family::Null && values.len() != 1 {
            return Err(Refusal::Value(1, "`Null` takes one value, \"true\" or \"false\"".into()));
        }
        let expected = values.iter().enumerate().map(|(at, value)| {
            Expected::parse(family, value, variables).map_err(|detail| Refusal::Value(at, detail))
        });
        let expected = expected.collect::<Result<_, _>>()?;
        Ok(Self { operator, key, values, expected })
    }

    /// Whether it holds.
    pub(crate) fn holds(
        &self,
        principal: &Principal<'_>,
        context: &Context<'_>,
        variables: Variables<'_>,
    ) -> bool {
        let WrittenOperator { quantifier, operator, is_if_exists } = self.operator;
        let mut value = self.key.value(0, principal, context);
        if operator == Operator::Null {
            return self.expected == [Expected::Bool(value.is_none())];
        }
        if value.is_none() {
            // Nothing equals what is absent. Of no values, all are anything, and none is.
            return is_if_exists
                || match quantifier {
                    None => operator.is_negated(),
                    Some(Quantifier::ForAllValues) => true,
                    Some(Quantifier::ForAnyValue) => false,
                };
        }
        let mut at = 0;
        while let Some(found) = value {
            let is_equal =
                self.expected.iter().any(|expected| expected.matches(operator.family(), &found, variables));
            let holds = is_equal != operator.is_negated();
            match quantifier {
                None => return holds,
                Some(Quantifier::ForAllValues) if !holds => return false,
                Some(Quantifier::ForAnyValue) if holds => return true,
                Some(_) => {}
            }
            at += 1;
            value = self.key.value(at, principal, context);
        }
        quantifier == Some(Quantifier::ForAllValues)
    }

    /// Whether it is negated, and has a variable.
    pub(crate) fn excepts_variable(&self) -> bool {
        let has_variable = |expected: &Expected| match expected {
            Expected::Text(pattern) => pattern.has_variable(),
            Expected::Arn(parts) => parts.iter().any(Pattern::has_variable),
            _ => false,
        };
        self.operator.operator.is_negated() && self.expected.iter().any(has_variable)
    }

    /// Whether it is about the tags that an object has.
    pub(crate) fn reads_tags(&self) -> bool {
        self.key.name == KeyName::ExistingObjectTag
    }

    /// The prefixes of listings for which it holds.
    pub(crate) fn listed_prefixes(&self) -> impl Iterator<Item = &Pattern> {
        let is_about = self.key.name == KeyName::Prefix && !self.operator.operator.is_negated();
        self.expected.iter().filter(move |_| is_about).filter_map(|expected| match expected {
            Expected::Text(pattern) => Some(pattern),
            _ => None,
        })
    }

    /// The networks outside of which it does not hold.
    pub(crate) fn networks(&self) -> Option<impl Iterator<Item = Network>> {
        (self.restricts() && self.operator.operator == Operator::IpAddress).then(|| {
            self.expected.iter().filter_map(|expected| match expected {
                Expected::Network(network) => Some(*network),
                _ => None,
            })
        })
    }

    /// Whether it holds for certain principals only, each named in full.
    pub(crate) fn names_principals(&self) -> bool {
        let is_fixed = |expected: &Expected| match expected {
            Expected::Text(pattern) => pattern.is_fixed(),
            Expected::Arn(parts) => parts.iter().all(Pattern::is_fixed),
            _ => false,
        };
        self.key.name == KeyName::PrincipalArn
            && self.restricts()
            && self.operator.operator != Operator::Null
            && self.expected.iter().all(is_fixed)
    }

    /// Whether it holds for no other values than its own.
    fn restricts(&self) -> bool {
        !self.operator.operator.is_negated()
            && !self.operator.is_if_exists
            && self.operator.quantifier != Some(Quantifier::ForAllValues)
    }
}

impl Expected {
    fn parse(family: Family, text: &str, variables: bool) -> Result<Self, String> {
        match family {
            Family::Text | Family::TextIgnoringCase => {
                Pattern::new(text, Syntax { wildcards: false, variables }).map(Self::Text)
            }
            Family::TextLike => Pattern::new(text, Syntax { wildcards: true, variables }).map(Self::Text),
            Family::Arn => arn_pattern(text, variables).map(Self::Arn),
            Family::Number(_) => number(text).map(Self::Number),
            Family::Date(_) => date(text).map(Self::Date),
            Family::Bool | Family::Null => match text {
                _ if text.eq_ignore_ascii_case("true") => Ok(Self::Bool(true)),
                _ if text.eq_ignore_ascii_case("false") => Ok(Self::Bool(false)),
                _ => Err(format!("{} is neither \"true\" nor \"false\"", quoted(text))),
            },
            Family::Address => Network::parse(text).map(Self::Network),
        }
    }

    fn matches(&self, family: Family, found: &Value<'_>, variables: Variables<'_>) -> bool {
        match (self, found) {
            (Self::Text(pattern), Value::Text(text)) if family == Family::TextIgnoringCase => {
                pattern.equals_ignoring_case(text, variables)
            }
            (Self::Text(pattern), Value::Text(text)) => pattern.matches(text, variables),
            (Self::Text(pattern), Value::Bool(flag)) => {
                let text = if *flag { "true" } else { "false" };
                match family {
                    Family::TextIgnoringCase => pattern.equals_ignoring_case(text, variables),
                    _ => pattern.matches(text, variables),
                }
            }
            (Self::Arn(parts), Value::Text(text)) => {
                let mut components = text.splitn(parts.len(), ':');
                parts.iter().all(|part| components.next().is_some_and(|text| part.matches(text, variables)))
            }
            (Self::Number(expected), Value::Number(found)) => compare(family, found, expected),
            (Self::Number(expected), Value::Date(found)) => {
                compare(family, &(found.div_euclid(NANOSECONDS) as f64), expected)
            }
            (Self::Date(expected), Value::Date(found)) => compare(family, found, expected),
            (Self::Bool(expected), Value::Bool(found)) => expected == found,
            (Self::Network(network), Value::Address(address)) => network.contains(*address),
            _ => false,
        }
    }
}

fn compare<T: PartialOrd>(family: Family, found: &T, expected: &T) -> bool {
    let (Family::Number(comparison) | Family::Date(comparison)) = family else { return false };
    match comparison {
        Equal => found == expected,
        Less => found < expected,
        LessOrEqual => found <= expected,
        Greater => found > expected,
        GreaterOrEqual => found >= expected,
    }
}

const NANOSECONDS: i128 = 1_000_000_000;

/// A pattern for each of the six components: a wildcard does not reach into the next.
fn arn_pattern(text: &str, variables: bool) -> Result<Box<[Pattern]>, String> {
    let mut parts = Vec::new();
    let (mut start, mut is_variable) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => is_variable = true,
            '}' => is_variable = false,
            ':' if !is_variable && parts.len() < 5 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if parts.len() != 6 || parts[0] != "arn" {
        return Err(format!("{} is no ARN; write `arn:aws:iam::ACCOUNT:user/NAME`", quoted(text)));
    }
    parts.into_iter().map(|part| Pattern::new(part, Syntax { wildcards: true, variables })).collect()
}

/// Numbers are exact up to 2^53.
fn number(text: &str) -> Result<f64, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b"-.".contains(&b));
    let number = text.parse().ok().filter(|number: &f64| is_plain && number.abs() < 9_007_199_254_740_992.0);
    number.ok_or_else(|| format!("{} is no number below 2^53", quoted(text)))
}

/// Nanoseconds since 1970, of a date, a date and time, or seconds since 1970.
/// Source: W3C, "Date and Time Formats".
fn date(text: &str) -> Result<i128, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|seconds| *seconds < 1 << 53);
        return seconds
            .map(|seconds: i128| seconds * NANOSECONDS)
            .ok_or_else(|| format!("{} is too late", quoted(text)));
    }
    let time = OffsetDateTime::parse(text, &Rfc3339);
    let time = time.or_else(|_| {
        // Of the forms of ISO 8601, `2026-01-31` only: no weeks, no days of the year.
        let is_plain = text.len() == 10 && text.bytes().filter(u8::is_ascii_digit).count() == 8;
        Date::parse(if is_plain { text } else { "" }, &Iso8601::DATE)
            .map(|date| date.with_time(Time::MIDNIGHT).assume_utc())
    });
    time.map(OffsetDateTime::unix_timestamp_nanos).map_err(|_| {
        format!(
            "{} is no date; write `2026-01-31T00:00:00Z`, `2026-01-31` or seconds since 1970",
            quoted(text)
        )
    })
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let refused =
            || format!("{} is no address or CIDR; write `192.0.2.0/24` or `2001:db8::/32`", quoted(text));
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => bits,
            Some(digits) if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|length| *length <= bits).ok_or_else(refused)?
            }
            Some(_) => return Err(refused()),
        };
        Ok(match (address, address.to_canonical()) {
            // ::ffff:192.0.2.0/120
            (IpAddr::V6(_), canonical @ IpAddr::V4(_)) if length >= 96 => {
                Self { address: canonical, length: length - 96 }
            }
            _ => Self { address, length },
        })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.length)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= u32::from(self.length)
            }
            _ => false,
        }
    }
}
