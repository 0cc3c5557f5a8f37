//! `instance`, `http`, `hub`, `autoscale`, `log`: the instance as a part of a fleet.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::environment::Environment;
use super::number::Number;
use super::secret::Secret;
use super::show::Shown;
use super::values::Values;

/// Which instance this is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Unique within the fleet; the host name by default.
    pub id: String,
    /// Counts from 1; a hub sees to it that no other instance carries it too.
    pub number: Number,
}

/// The instance's own HTTP.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http {
    /// Where to listen; port 9400 + instance number by default.
    pub listen: SocketAddr,
    /// Under which URL others reach it; empty: the address that it listens on.
    pub advertise: String,
    /// Bearer token that callers must show; empty: none.
    pub token: Secret,
}

/// The hub that the instance reports to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hub {
    /// Its URL; empty: no hub.
    pub url: String,
    /// Where our own hub listens.
    pub listen: SocketAddr,
}

/// When a fleet on one machine grows and shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Autoscale {
    /// Whether it does at all.
    pub enabled: bool,
    /// Instances at least.
    pub min: NonZeroU32,
    /// Instances at most; not less than `min`.
    pub max: NonZeroU32,
    /// Lag above which it grows …
    pub lag: NonZeroU64,
    /// … when it lasts this long.
    pub for_time: Duration,
    /// Quiet time before it shrinks.
    pub quiet: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// A level or a filter such as `info,data_bridge::source=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Port of the hub; an instance listens on this plus its number.
const HUB_PORT: u16 = 9400;

impl Instance {
    pub(super) fn read(values: &mut Values, environment: &Environment) -> Self {
        let id = values.optional_text("instance.id").unwrap_or_else(|| {
            // A host's name may hold letters that Kafka refuses in a member's name.
            let id = environment
                .host_name
                .chars()
                .map(|letter| match letter {
                    letter if letter.is_ascii_alphanumeric() || "._-".contains(letter) => letter,
                    _ => '-',
                })
                .collect::<String>();
            let id = if id.is_empty() { "localhost".to_owned() } else { id };
            values.settle("instance.id", Shown::Text(id.clone()));
            id
        });
        Self { id, number: Number::new(values.count32("instance.number").get()) }
    }
}

impl Http {
    pub(super) fn read(values: &mut Values, instance: &Instance) -> Self {
        let listen = values.address("http.listen").unwrap_or_else(|| {
            let number =
                u16::try_from(instance.number.get()).expect("the key's range ends at 1023");
            let listen = SocketAddr::from(([127, 0, 0, 1], HUB_PORT + number));
            values.settle("http.listen", Shown::Text(listen.to_string()));
            listen
        });
        Self { listen, advertise: values.url("http.advertise"), token: values.secret("http.token") }
    }
}

impl Hub {
    pub(super) fn read(values: &mut Values) -> Self {
        let listen = values.address("hub.listen");
        let default = SocketAddr::from(([127, 0, 0, 1], HUB_PORT));
        Self { url: values.url("hub.url"), listen: listen.unwrap_or(default) }
    }
}

impl Autoscale {
    pub(super) fn read(values: &mut Values) -> Self {
        let autoscale = Self {
            enabled: values.switch("autoscale.enabled"),
            min: values.count32("autoscale.min"),
            max: values.count32("autoscale.max"),
            lag: values.count64("autoscale.lag"),
            for_time: values.duration("autoscale.for_s"),
            quiet: values.duration("autoscale.quiet_s"),
        };
        let sound = values.are_sound(&["autoscale.min", "autoscale.max"]);
        if autoscale.max < autoscale.min && sound {
            let key =
                if values.is_set("autoscale.max") { "autoscale.max" } else { "autoscale.min" };
            values.refuse(
                key,
                format!("at most {} instances, and at least {}", autoscale.max, autoscale.min),
                "let autoscale.max be at least autoscale.min",
            );
        }
        autoscale
    }
}

impl Log {
    pub(super) fn read(values: &mut Values) -> Self {
        let level = values.text("log.level");
        let level = match level.to_ascii_lowercase().as_str() {
            // Names that other services of the fleet use.
            "warning" => "warn".to_owned(),
            "critical" | "fatal" => "error".to_owned(),
            _ => level,
        };
        if let Err(what) = check_filter(&level) {
            values.refuse(
                "log.level",
                what,
                "write error, warn, info, debug, trace, or a filter such as info,data_bridge=debug",
            );
        }
        Self { level, format: values.choice("log.format", [LogFormat::Text, LogFormat::Json]) }
    }
}

/// Checks a level or a filter.
///
/// A lone word that is no level would be taken for the name of a module whose every line is
/// wanted: `inof` would silence the rest. So a lone word must be a level.
fn check_filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',').map(str::trim) {
        let word = !part.contains(['=', '[', ':']) && !part.starts_with("data_bridge");
        if word && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(format!("`{part}` is no level"));
        }
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`{text}` is no filter: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_level_is_no_filter() {
        for good in [
            "info",
            "INFO",
            "off",
            "info,data_bridge=debug",
            "data_bridge::source=trace",
            "warn,hyper=error",
        ] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "inof", "info,debgu", "data_bridge=loud"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
