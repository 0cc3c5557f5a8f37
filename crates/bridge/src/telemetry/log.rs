//! Log lines: text or JSON, on standard error, each with the instance's id and number. What comes from
//! outside cannot begin a line of its own or steer a terminal, and no fault fills a disk.

mod repeats;

use std::fmt;
use std::io::IsTerminal;
use std::time::Instant;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

pub use repeats::lines_left_out;
use repeats::{Passage, Repeats};

use crate::config::{Instance, Log, LogFormat, Number};

/// Whether standard error is a terminal that wants colours: `NO_COLOR` says no.
#[must_use]
pub fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stderr().is_terminal()
}

/// Logs from here on, for the whole process.
///
/// # Errors
/// Something in this process logs already.
pub fn init(log: &Log, instance: &Instance) -> Result<(), TryInitError> {
    match log.format {
        LogFormat::Text => text(log, instance, colours(), std::io::stderr).try_init(),
        LogFormat::Json => json(log, instance, std::io::stderr).try_init(),
    }
}

fn text<W>(log: &Log, instance: &Instance, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level))
        .with_ansi(ansi)
        .with_writer(writer)
        .event_format(TextLine {
            instance: Instance { id: one_line(&instance.id), ..instance.clone() },
            repeats: Repeats::default(),
            rest: Format::default().without_time().with_ansi(ansi),
        })
        .finish()
}

fn json<W>(log: &Log, instance: &Instance, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level))
        .with_ansi(false)
        .with_writer(writer)
        .fmt_fields(JsonFields::new())
        .event_format(JsonLine {
            id: serde_json::Value::from(instance.id.as_str()),
            number: instance.number.clone(),
            repeats: Repeats::default(),
            rest: Format::default().json().flatten_event(true),
        })
        .finish()
}

fn filter(level: &str) -> EnvFilter {
    // Checked with the configuration; `new` leaves out what it cannot read.
    EnvFilter::new(level)
}

/// A text without what ends a line or steers a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign.is_control() {
            line.extend(sign.escape_default());
        } else {
            line.push(sign);
        }
    }
    line
}

/// `2024-01-25T16:00:00.123456Z bridge-1#1  INFO data_bridge::pipeline: batch inserted rows=5`
struct TextLine {
    instance: Instance,
    repeats: Repeats,
    rest: Format<Full, ()>,
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Passage::Through(left_out) = self.repeats.pass(event.metadata(), Instant::now()) else {
            return Ok(());
        };
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {}#{} ", self.instance.id, self.instance.number.get())?;
        let mut line = String::new();
        self.rest.format_event(context, Writer::new(&mut line), event)?;
        let line = line.strip_suffix('\n').unwrap_or(&line);
        if writer.has_ansi_escapes() {
            // The colours are ours; what else steers a terminal is escaped where it is formatted.
            writer.write_str(&line.replace(['\n', '\r'], "\\n"))?;
        } else {
            writer.write_str(&one_line(line))?;
        }
        if left_out > 0 {
            write!(writer, " left_out={left_out}")?;
        }
        writeln!(writer)
    }
}

/// `{"instance":"bridge-1","instance_number":1,"timestamp":…,"level":"INFO","message":…}`
struct JsonLine {
    id: serde_json::Value,
    number: Number,
    repeats: Repeats,
    rest: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Passage::Through(left_out) = self.repeats.pass(event.metadata(), Instant::now()) else {
            return Ok(());
        };
        let mut line = String::new();
        self.rest.format_event(context, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').unwrap_or(&line);
        let (id, number) = (&self.id, self.number.get());
        write!(writer, "{{\"instance\":{id},\"instance_number\":{number},")?;
        if left_out > 0 {
            write!(writer, "\"left_out\":{left_out},")?;
        }
        writer.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Config, Environment};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn config() -> Config {
        let environment = Environment { host_name: "bridge-7".into(), ..Environment::default() };
        Config::from_defaults(&environment)
    }

    #[test]
    fn every_text_line_carries_the_instance() {
        let (config, lines) = (config(), Lines::default());
        let writer = lines.clone();
        let subscriber = text(&config.log, &config.instance, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(rows = 5, "batch inserted");
            tracing::debug!("not wanted");
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(" bridge-7#1  INFO "), "{text}");
        assert!(text.contains("batch inserted rows=5"), "{text}");
        assert!(text.starts_with("20") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn a_fault_that_repeats_is_counted_not_repeated_and_steers_no_terminal() {
        let (config, lines) = (config(), Lines::default());
        let hostile = "Code: 27\n2024-01-25T16:00:00Z forged#1 ERROR \x1b[31m\u{9b}2J<script>";
        let writer = lines.clone();
        let subscriber = text(&config.log, &config.instance, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1_000 {
                tracing::warn!(error = %hostile, "insert failed");
            }
        });
        let text = lines.text();
        assert_eq!(text.lines().count(), 60, "a burst, and no line of the text's own");
        assert!(!text.contains(['\x1b', '\u{9b}']), "{text}");
        assert!(lines_left_out() >= 940);
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json(&config.log, &config.instance, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1_000 {
                tracing::warn!(error = %hostile, "insert failed");
            }
        });
        for line in lines.text().lines() {
            let line = serde_json::from_str::<serde_json::Value>(line).unwrap();
            assert!(line["error"].as_str().unwrap().contains("<script>"), "{line}");
        }
        assert_eq!(lines.text().lines().count(), 60);
    }

    #[test]
    fn every_json_line_is_an_object_with_the_instance() {
        let (config, lines) = (config(), Lines::default());
        let writer = lines.clone();
        let subscriber = json(&config.log, &config.instance, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(table = "ticks", "insert \"failed\"");
        });
        let line = serde_json::from_str::<serde_json::Value>(lines.text().trim()).unwrap();
        assert_eq!(line["instance"], "bridge-7");
        assert_eq!(line["instance_number"], 1);
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["table"], "ticks");
        assert_eq!(line["message"], "insert \"failed\"");
    }
}
