//! A route: where each column of a table comes from in a message. Definitions, not code: the
//! market-data routes that ship with the binary and a user's own are the same thing.

mod settings;
mod shipped_routes;
mod subject;

pub use settings::{ColumnSettings, RouteProblem, RouteSettings};
pub use shipped_routes::{EXTERNAL_TYPES, TIMEFRAMES};
pub use subject::{BadPattern, Subjects};

pub(super) use shipped_routes::shipped_routes;

use super::{Catalog, Table};
use crate::units::{RouteId, TableId};

/// How messages become rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name, as in the configuration file.
    pub name: String,
    /// The table its rows go to.
    pub table: TableId,
    /// One per column of the table, in the table's order.
    pub fields: Vec<Field>,
    /// Times that the column of the table's partition key may have.
    pub time_range: TimeRange,
    /// Objects without which a message has nothing to store, such as `data` of an envelope.
    pub required_objects: Vec<Path>,
    /// Fields that belong to the format and fill no column: not counted as unknown.
    pub ignored: Vec<Path>,
}

/// Where the value of a column comes from, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it comes from.
    pub from: Supply,
    /// Whether a message without it, or with an empty text, is a dead letter.
    pub required: bool,
    /// What a text column takes.
    pub text: TextForm,
    /// What happens to digits that the column has no room for.
    pub excess_digits: ExcessDigits,
    /// How a time column reads a time.
    pub time: TimeForm,
}

/// The source of a column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supply {
    /// The first of these fields that is neither absent nor `null`.
    Json(Vec<Path>),
    /// As `Json`; without any, this token of the NATS subject, counted from 0.
    JsonElseSubject(Vec<Path>, usize),
    /// A date and, in a field of its own, the time of day; a date alone is its midnight.
    DateAndTime {
        /// The date.
        date: Path,
        /// The time of day.
        time: Path,
    },
    /// Partition or stream the message came from, such as `kafka:tick_archive:3`.
    Origin,
    /// Offset or sequence number.
    OriginPosition,
    /// Record time and position in one number: the newest copy of a row has the greatest.
    Version,
    /// The identity of the event: its header, else a hash over the stored values of these columns.
    EventId(Vec<String>),
}

/// What a text column takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextForm {
    /// A JSON text.
    Text,
    /// A JSON text, or the JSON of anything else as it came: `3.5`, `true`, `["a","b"]`.
    #[default]
    TextOrJson,
    /// The JSON as it came, quotes of a text included.
    Json,
    /// A JSON text that is one of these.
    OneOf(&'static [&'static str]),
}

/// What happens to digits that a column has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExcessDigits {
    /// Numbers are rounded half to even, times are cut.
    #[default]
    Round,
    /// The message is a dead letter, unless all of those digits are zeros.
    Reject,
}

/// How a time column reads a time. A text in ISO 8601 is always taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// Numbers are whole milliseconds since 1970.
    #[default]
    Milliseconds,
    /// Numbers are seconds since 1970, with or without a fraction.
    Seconds,
    /// Numbers are whole microseconds since 1970.
    Microseconds,
    /// Only texts in ISO 8601; a number is a dead letter.
    Iso,
}

/// Times that a row may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest, in ms since 1970.
    pub earliest_ms: i64,
    /// The latest.
    pub latest: Latest,
}

/// The end of a [`TimeRange`], itself allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latest {
    /// A fixed time, in ms since 1970.
    At(i64),
    /// So many ms after the moment of decoding.
    AfterNow(i64),
}

impl TimeRange {
    /// 1970-01-01 to 24 hours from now: what live market data can have.
    pub const LIVE: Self = Self { earliest_ms: 0, latest: Latest::AfterNow(24 * 3_600_000) };
    /// 1900 to 2199: series go far back and calendars ahead.
    pub const CALENDAR: Self =
        Self { earliest_ms: -2_208_988_800_000, latest: Latest::At(7_258_118_399_999) };
    /// 1900 to 2299: what a `DateTime64(3)` of ClickHouse can hold.
    pub const ANY: Self =
        Self { earliest_ms: -2_208_988_800_000, latest: Latest::At(10_413_791_999_999) };

    /// The latest allowed time in ms since 1970, when it is `now_ms`.
    #[must_use]
    pub fn latest_ms(self, now_ms: i64) -> i64 {
        match self.latest {
            Latest::At(ms) => ms,
            Latest::AfterNow(ms) => now_ms.saturating_add(ms),
        }
    }
}

/// The way to a JSON value: keys from the outermost object inwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<String>);

impl Path {
    /// Levels that a path may have.
    pub const MAX_LEVELS: usize = 8;

    /// A field of the outermost object, dots in its name included.
    #[must_use]
    pub fn key(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Reads `data.value`: a dot leads into an object. `None` when a key is empty or there are
    /// more than [`MAX_LEVELS`](Self::MAX_LEVELS).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let keys: Vec<_> = text.split('.').map(str::to_owned).collect();
        let sound = keys.len() <= Self::MAX_LEVELS && keys.iter().all(|key| !key.is_empty());
        sound.then_some(Self(keys))
    }

    /// The keys, outermost first.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Field {
    /// A field that may be absent, from any source, read as its column's type says.
    #[must_use]
    pub fn new(from: Supply) -> Self {
        Self {
            from,
            required: false,
            text: TextForm::default(),
            excess_digits: ExcessDigits::default(),
            time: TimeForm::default(),
        }
    }

    /// A field of the message under the first of these paths, dots leading inwards.
    fn json(paths: &[&str]) -> Self {
        let paths = paths.iter().map(|path| Path::parse(path));
        let paths = paths.collect::<Option<_>>();
        Self::new(Supply::Json(paths.expect("shipped routes name sound paths")))
    }

    fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn text(self, text: TextForm) -> Self {
        Self { text, ..self }
    }

    fn else_subject(self, token: usize) -> Self {
        match self.from {
            Supply::Json(paths) => Self { from: Supply::JsonElseSubject(paths, token), ..self },
            _ => self,
        }
    }
}

/// What the columns that every table has are computed from, by their names.
fn provenance(column: &str) -> Option<Supply> {
    match column {
        "origin" => Some(Supply::Origin),
        "origin_position" => Some(Supply::OriginPosition),
        Table::VERSION => Some(Supply::Version),
        _ => None,
    }
}

impl Catalog {
    /// Name that stands for all routes `external_<type>`: the type is the last token of the topic
    /// or subject.
    pub const EXTERNAL: &'static str = "external";

    /// Adds a route, or replaces the one of that name, whose id it then takes.
    ///
    /// # Panics
    /// With more than 65,536 routes.
    pub fn add_route(&mut self, route: Route) -> RouteId {
        if let Some(id) = self.route_id(&route.name) {
            self.routes[usize::from(id.0)] = route;
            return id;
        }
        let id = u16::try_from(self.routes.len()).expect("a catalog has at most 65,536 routes");
        self.routes.push(route);
        RouteId(id)
    }

    /// All routes, in the order of their ids.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route of an id that this catalog gave out.
    #[must_use]
    pub fn route(&self, id: RouteId) -> &Route {
        &self.routes[usize::from(id.0)]
    }

    /// The id of the route with this name.
    #[must_use]
    pub fn route_id(&self, name: &str) -> Option<RouteId> {
        let index = self.routes.iter().position(|route| route.name == name)?;
        u16::try_from(index).ok().map(RouteId)
    }

    /// As [`route_id`](Self::route_id); `external` means `external_<type>`, the type being the
    /// last token of `topic_or_subject`.
    #[must_use]
    pub fn resolve_route(&self, name: &str, topic_or_subject: &str) -> Option<RouteId> {
        if name != Self::EXTERNAL {
            return self.route_id(name);
        }
        let kind = topic_or_subject.rsplit('.').next()?;
        self.routes
            .iter()
            .position(|route| {
                let rest = route.name.strip_prefix(Self::EXTERNAL);
                rest.and_then(|rest| rest.strip_prefix('_')) == Some(kind)
            })
            .and_then(|index| u16::try_from(index).ok().map(RouteId))
    }
}
