//! Kinds of values: how each is written, what is in range, how a text becomes one.

use std::net::SocketAddr;
use std::time::Duration;

/// What a key's value may be. The reference and every error message are written from this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Whole { min: i64, max: i64 },
    /// A number above 0, up to 1.
    Share,
    /// A whole number of milliseconds.
    Millis { min: i64, max: i64 },
    /// A whole number of seconds.
    Seconds { min: i64, max: i64 },
    /// A number of bytes, with or without unit.
    Size { min: u64 },
    /// As `Size`, or −1 for no limit.
    SizeOrNone,
    /// A time with its unit: `7d`; 0 for no limit.
    Span,
    /// Any text, the empty one included.
    Text,
    /// A text that is not empty and without blanks.
    Name,
    /// A name of letters, digits, `.`, `_` and `-`, as Kafka wants in identifiers.
    Identifier,
    /// A name without what NATS reads as a pattern.
    StreamName,
    /// A level or a filter.
    Filter,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A text that is never shown.
    Secret,
    /// A path; empty for none.
    File,
    /// One URL of these schemes; empty for none.
    Url(&'static [&'static str]),
    /// Several URLs of these schemes, as a list or separated by commas.
    Urls(&'static [&'static str]),
    /// Several `host:port`, as a list or separated by commas.
    Hosts,
    /// `address:port` to listen on.
    Address,
    /// Names to names.
    Map,
    /// The user's own routes.
    Routes,
}

/// Why a text is not a value of a kind. `None`: nothing to add to what the kind says of itself.
pub(super) type Reason = Option<String>;

impl Kind {
    /// What a value looks like: completes "write …" in an error, and is the type in the reference.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Whole { min, max } => range("a whole number", min, max),
            Self::Share => "a number above 0, up to 1".to_owned(),
            Self::Millis { min, max } => range("a whole number of milliseconds", min, max),
            Self::Seconds { min, max } => range("a whole number of seconds", min, max),
            Self::Size { min } => format!("a size such as 64MiB, at least {}", show_size(min)),
            Self::SizeOrNone => "a size such as 64MiB, or -1 for no limit".to_owned(),
            Self::Span => "a time such as 7d, 12h, 30m or 10s, or 0 for no limit".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Name => "a text without blanks, not empty".to_owned(),
            Self::Identifier => "a name of letters, digits, `.`, `_` and `-`".to_owned(),
            Self::StreamName => {
                "a name without blanks and without `.`, `*`, `>`, `/`, `\\`".to_owned()
            }
            Self::Filter => {
                "error, warn, info, debug, trace, or a filter such as info,data_bridge=debug"
                    .to_owned()
            }
            Self::Choice(words) => one_of(words),
            Self::Secret => "a secret text".to_owned(),
            Self::File => "a path, or empty for none".to_owned(),
            Self::Url(schemes) => format!("a URL such as {}://host:port, or empty", schemes[0]),
            Self::Urls(schemes) => format!("a list of URLs such as {}://host:port", schemes[0]),
            Self::Hosts => "a list of host:port, or one text with commas between".to_owned(),
            Self::Address => "an IP address and a port, such as 127.0.0.1:9401".to_owned(),
            Self::Map => "a group of key: value".to_owned(),
            Self::Routes => "a group of routes, each under its name".to_owned(),
        }
    }
}

fn range(what: &str, min: i64, max: i64) -> String {
    match (min, max) {
        (i64::MIN, i64::MAX) => what.to_owned(),
        (_, i64::MAX) => format!("{what}, at least {min}"),
        _ => format!("{what} from {min} to {max}"),
    }
}

/// `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A whole number within a range.
pub(super) fn whole(text: &str, min: i64, max: i64) -> Result<i64, Reason> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(None);
    }
    let too_large = || Some("is out of range".to_owned());
    let number = text.parse::<i64>().ok().ok_or_else(too_large)?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(too_large()) }
}

/// A share: above 0, up to 1.
pub(super) fn share(text: &str) -> Result<f64, Reason> {
    let number = text.parse::<f64>().ok().ok_or(None)?;
    if number > 0.0 && number <= 1.0 { Ok(number) } else { Err(Some("is out of range".to_owned())) }
}

/// `true` or `false`, as YAML and Python write them.
pub(super) fn switch(text: &str) -> Result<bool, Reason> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(None),
    }
}

const UNITS: [(&str, u64); 11] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("", 1),
];

/// Bytes, from `64MiB`, `64 MiB`, `1.5GiB`, `500MB` or `67108864`.
///
/// # Errors
/// What is wrong with the text: no number, a unit that is not one, or beyond an `i64`.
pub fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|reason| reason.unwrap_or_else(|| "is not a size".to_owned()))
}

pub(super) fn parse_size(text: &str) -> Result<u64, Reason> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim();
    let Some(&(_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let reason = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit) || name.starts_with(unit))
            .map(|(name, _)| format!("has the unit `{unit}`, which is none: `{name}` is meant?"));
        return Err(reason.filter(|_| !number.is_empty()));
    };
    let bytes = match number.split_once('.') {
        None => number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)),
        Some((_, "")) => None,
        // 1.5GiB: few digits are enough, and 15 of them keep the product within 128 bits.
        Some((_, fraction)) if fraction.len() > 15 => None,
        Some((whole, fraction)) => exact(whole, fraction, factor),
    };
    if number.is_empty() || number.starts_with('.') {
        return Err(None);
    }
    match bytes {
        Some(bytes) if i64::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err(Some("is not a whole number of bytes in range".to_owned())),
    }
}

/// `whole.fraction × factor`, when that is whole.
fn exact(whole: &str, fraction: &str, factor: u64) -> Option<u64> {
    let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let product = digits.checked_mul(u128::from(factor))?;
    if product % scale != 0 {
        return None;
    }
    u64::try_from(product / scale).ok()
}

/// Bytes as a person writes them: the largest unit that divides them.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    UNITS[1..5]
        .iter()
        .rev()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

const SPANS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// A time from `7d`, `12h`, `30m`, `10s`, `500ms`; `0` is zero.
pub(super) fn span(text: &str) -> Result<Duration, Reason> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(|| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| "has no unit".to_owned())
    })?;
    let (number, unit) = text.split_at(end);
    let factor = SPANS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
    number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|millis| i64::try_from(*millis).is_ok())
        .map(Duration::from_millis)
        .ok_or(None)
}

/// A time as a person writes it: the largest unit that divides it.
pub(super) fn show_span(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0".to_owned();
    }
    let weeks_are_rare = &SPANS[..5];
    weeks_are_rare.iter().rev().find(|(_, factor)| millis.is_multiple_of(*factor)).map_or_else(
        || format!("{millis}ms"),
        |(unit, factor)| format!("{}{unit}", millis / factor),
    )
}

/// `address:port`.
pub(super) fn address(text: &str) -> Result<SocketAddr, Reason> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let reason = match text.rsplit_once(':') {
        Some(("localhost", _)) => Some("names a host: write 127.0.0.1".to_owned()),
        Some(("" | "*", _)) => Some("names no address: write 0.0.0.0 for all".to_owned()),
        Some(_) => None,
        None => Some("has no port".to_owned()),
    };
    Err(reason)
}

/// A URL without a final `/`: scheme, host, optional port, optional path. Who we are stands under
/// keys of its own, so a URL with a user or a query is refused, and can be shown.
pub(super) fn url(text: &str, schemes: &[&str]) -> Result<String, Reason> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None if schemes.contains(&"nats") => ("nats", text),
        None => return Err(Some("has no scheme".to_owned())),
    };
    if !schemes.contains(&scheme) {
        return Err(Some(format!("has the scheme `{scheme}`")));
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    if path.contains(['?', '#', ' ']) || authority.contains(['?', '#', ' ']) {
        return Err(Some("has a query or a blank".to_owned()));
    }
    host(authority).map_err(Some)?;
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(format!("{scheme}://{authority}{slash}{path}"))
}

/// Checks `host` or `host:port`; `[::1]:port` for an IPv6 address.
pub(super) fn host(text: &str) -> Result<(), String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or("has no port")?)),
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let bracketed = text.starts_with('[');
    let letter_fits = |letter: char| {
        letter.is_alphanumeric()
            || matches!(letter, '.' | '-' | '_')
            || (bracketed && letter == ':')
    };
    if name.is_empty() {
        return Err("names no host".to_owned());
    }
    if !name.chars().all(letter_fits) {
        return Err("has a host that is none".to_owned());
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => Err("has a port that is not from 1 to 65535".to_owned()),
    }
}

/// Whether a URL or a `host:port` carries a user, a password or a token.
pub(super) fn has_credentials(text: &str) -> bool {
    text.contains('@')
}

/// Whether a text is a name of letters, digits, `.`, `_`, `-`, as Kafka wants of topics and static
/// members, at most 249 long.
pub(super) fn is_identifier(text: &str) -> bool {
    (1..=249).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests;
