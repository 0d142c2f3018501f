//! Where log lines go: standard error, as text on a terminal and as JSON elsewhere.

use std::io::IsTerminal as _;

use tintype_function::settings::{LogFormat, Logs};
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. A second call changes nothing.
pub(super) fn start(logs: &Logs) -> anyhow::Result<()> {
    // What s3s logs are errors of clients, two lines each; whoever wants them names it in logs.level.
    let level =
        if logs.level.contains("s3s") { logs.level.clone() } else { format!("{},s3s=off", logs.level) };
    let filter = EnvFilter::try_new(&level).map_err(|error| {
        anyhow::anyhow!("logs.level \"{}\": {error}; write one like \"info\"", logs.level)
    })?;
    let terminal = std::io::stderr().is_terminal();
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let json = match logs.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    if json {
        let _ = builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init();
    } else {
        let _ = builder.with_ansi(terminal).try_init();
    }
    Ok(())
}
