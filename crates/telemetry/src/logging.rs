//! Log lines go to standard error, as text on a terminal and elsewhere as JSON in Lambda's formats:
//! `platform.start` and `platform.report` for calls, and `timestamp`, `level`, `message` for the rest.

use std::{fmt, io::IsTerminal as _};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::{ParseError, Targets},
    fmt::{self as lines, FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The setting `logs.level` holds an invalid filter.
#[derive(Debug, thiserror::Error)]
#[error("logs.level \"{level}\": {error}; write one like \"info\"")]
pub struct BadLevel {
    level: String,
    error: String,
}

/// Starts logging what passes the filter `level`: a level, or levels by target, such as `info,access=off`. A second call
/// changes nothing.
///
/// # Errors
/// [`BadLevel`].
pub fn start(level: &str, format: LogFormat) -> Result<(), BadLevel> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let lines = lines::layer().with_writer(std::io::stderr).with_ansi(terminal).event_format(Lines { json });
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(())
}

/// What passes `level`.
fn filter(level: &str) -> Result<Targets, BadLevel> {
    // Else an empty part would mean errors alone, and a filter by span or field a target of that name.
    let parts: Vec<_> = level.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let level = parts.join(",");
    if level.contains(['[', '{']) {
        return Err(BadLevel { level, error: "filters by span or field are not supported".into() });
    }
    // s3s logs two lines for each client error; they are off unless the filter names s3s.
    let filter = if level.contains("s3s") { level.clone() } else { format!("{level},s3s=off") };
    filter.parse().map_err(|error: ParseError| BadLevel { level, error: error.to_string() })
}

struct Lines {
    json: bool,
}

/// The fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    /// A complete JSON line.
    line: Option<String>,
    others: Map<String, Value>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "json" => self.line = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.message),
            name => _ = self.others.insert(name.to_owned(), value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = event.metadata().level();
        if self.json {
            if let Some(line) = fields.line {
                return writeln!(writer, "{line}");
            }
            let mut all = Map::new();
            all.insert("timestamp".into(), timestamp().into());
            all.insert("level".into(), level.as_str().into());
            all.insert("message".into(), fields.message.into());
            all.append(&mut fields.others);
            return writeln!(writer, "{}", Value::Object(all));
        }
        // A complete line without a message is for machines only.
        if fields.message.is_empty() && fields.line.is_some() {
            return Ok(());
        }
        let (on, off) = match (writer.has_ansi_escapes(), *level) {
            (true, tracing::Level::ERROR) => ("\x1b[31m", "\x1b[0m"),
            (true, tracing::Level::WARN) => ("\x1b[33m", "\x1b[0m"),
            (true, tracing::Level::DEBUG | tracing::Level::TRACE) => ("\x1b[2m", "\x1b[0m"),
            _ => ("", ""),
        };
        write!(writer, "{} {on}{level:<5}{off} ", timestamp())?;
        write_on_one_line(&mut writer, &fields.message)?;
        for (name, value) in &fields.others {
            match value {
                Value::String(text) => write!(writer, "  {name}: {}", text.escape_debug())?,
                other => write!(writer, "  {name}: {other}")?,
            }
        }
        writeln!(writer)
    }
}

/// Writes a message without control characters, which may be from outside and forge lines.
fn write_on_one_line(writer: &mut Writer<'_>, message: &str) -> fmt::Result {
    for character in message.chars() {
        match character.is_control() {
            true => write!(writer, "{}", character.escape_default())?,
            false => writer.write_char(character)?,
        }
    }
    Ok(())
}

/// The time in UTC with date and zone, as log lines have it.
#[must_use]
pub fn timestamp() -> String {
    let time = time::OffsetDateTime::now_utc();
    let clock = time::macros::format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    format!("{}T{}Z", time.date(), time.format(clock).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn levels_are_by_target() {
        let enables = |level: &str, target, at| filter(level).unwrap().would_enable(target, &at);
        for level in ["info", "info,", ", info ,"] {
            assert!(
                enables(level, "access", Level::INFO) && !enables(level, "access", Level::DEBUG),
                "{level}"
            );
            assert!(!enables(level, "s3s", Level::ERROR), "{level}");
        }
        assert!(!enables("info,access=off", "access", Level::ERROR));
        assert!(enables("info,s3s=warn", "s3s", Level::WARN));
        for wrong in ["tintype[request]=debug", "info,a=loud"] {
            let error = filter(wrong).unwrap_err().to_string();
            assert!(error.starts_with("logs.level \"") && error.contains("write one like"), "{error}");
        }
    }

    #[test]
    fn a_message_is_one_line() {
        let mut line = String::new();
        write_on_one_line(&mut Writer::new(&mut line), "upload ignored: .x\n2026 ERROR \u{1b}[2J „ä“ \"q\"")
            .unwrap();
        assert_eq!(line, "upload ignored: .x\\n2026 ERROR \\u{1b}[2J „ä“ \"q\"");
    }
}
