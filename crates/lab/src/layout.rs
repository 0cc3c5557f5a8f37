//! The tables as the specification describes them: columns that are compared, in a fixed order.

use crate::plan::Kind;

/// How the text of a message becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A text; absent is empty.
    Text,
    /// The JSON text as it came; absent is empty.
    Json,
    /// A decimal of eight digits after the point and at most `precision` digits in all.
    Decimal { precision: u32 },
    /// A whole number.
    Whole { min: i128, max: i128 },
    /// A time in milliseconds.
    Time,
}

/// A column that is compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// Absent is NULL; otherwise absent is a dead letter, or empty for texts.
    pub(crate) nullable: bool,
}

/// Columns of a table, the identity first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) columns: &'static [Column],
    /// How many of the first columns say which event a row is. For ticks all of them do, unless
    /// the publisher gave an id.
    pub(crate) identity: usize,
}

const fn text(name: &'static str) -> Column {
    Column { name, form: Form::Text, nullable: false }
}
const fn json(name: &'static str) -> Column {
    Column { name, form: Form::Json, nullable: false }
}
const fn price(name: &'static str) -> Column {
    Column { name, form: Form::Decimal { precision: 18 }, nullable: false }
}
const fn maybe_price(name: &'static str) -> Column {
    Column { name, form: Form::Decimal { precision: 18 }, nullable: true }
}
const fn amount(name: &'static str) -> Column {
    Column { name, form: Form::Decimal { precision: 38 }, nullable: true }
}
const fn whole(name: &'static str, min: i128, max: i128) -> Column {
    Column { name, form: Form::Whole { min, max }, nullable: true }
}
const fn count(name: &'static str) -> Column {
    whole(name, i64::MIN as i128, i64::MAX as i128)
}
const fn time(name: &'static str) -> Column {
    Column { name, form: Form::Time, nullable: false }
}
const fn maybe_time(name: &'static str) -> Column {
    Column { name, form: Form::Time, nullable: true }
}

static TICKS: [Column; 8] = [
    text("symbol"),
    time("timestamp"),
    price("bid"),
    price("ask"),
    maybe_price("volume"),
    whole("exchange", i32::MIN as i128, i32::MAX as i128),
    text("source"),
    text("event_type"),
];

static AGGREGATES: [Column; 22] = [
    text("symbol"),
    text("timeframe"),
    time("timestamp"),
    price("open"),
    price("high"),
    price("low"),
    price("close"),
    amount("volume"),
    maybe_price("vwap"),
    maybe_price("range_pips"),
    maybe_price("avg_spread"),
    maybe_price("max_spread"),
    maybe_price("min_spread"),
    maybe_price("price_range"),
    maybe_price("pct_change"),
    whole("tick_count", 0, u64::MAX as i128),
    whole("is_complete", 0, u8::MAX as i128),
    maybe_time("start_time"),
    maybe_time("end_time"),
    text("source"),
    text("event_type"),
    json("indicators"),
];

static ECONOMIC_CALENDAR: [Column; 10] = [
    time("event_time"),
    text("currency"),
    text("event"),
    text("date"),
    text("time"),
    text("impact"),
    text("forecast"),
    text("previous"),
    text("actual"),
    text("source"),
];

static FRED_ECONOMIC: [Column; 5] =
    [text("series_id"), time("event_time"), text("date"), amount("value"), text("source")];

static CRYPTO_SENTIMENT: [Column; 12] = [
    text("coin_id"),
    time("event_time"),
    text("name"),
    text("symbol"),
    amount("price_usd"),
    amount("price_change_24h"),
    count("market_cap_rank"),
    amount("sentiment_votes_up_percentage"),
    amount("community_score"),
    count("twitter_followers"),
    count("reddit_subscribers"),
    text("source"),
];

static FEAR_GREED_INDEX: [Column; 6] = [
    time("event_time"),
    amount("value"),
    text("classification"),
    amount("sentiment_score"),
    text("timestamp"),
    text("source"),
];

static COMMODITY_PRICES: [Column; 8] = [
    text("symbol"),
    time("event_time"),
    text("name"),
    amount("price"),
    text("currency"),
    amount("change_percent"),
    amount("volume"),
    text("source"),
];

static MARKET_SESSIONS: [Column; 6] = [
    time("event_time"),
    text("current_utc_time"),
    count("active_sessions_count"),
    json("active_sessions"),
    text("liquidity_level"),
    text("source"),
];

/// The layout of the table that takes `kind`.
pub(crate) fn layout(kind: Kind) -> Layout {
    let (columns, identity): (&'static [Column], usize) = match kind {
        Kind::Tick => (&TICKS, TICKS.len()),
        Kind::Candle => (&AGGREGATES, 3),
        Kind::EconomicCalendar => (&ECONOMIC_CALENDAR, 3),
        Kind::FredEconomic => (&FRED_ECONOMIC, 2),
        Kind::CryptoSentiment => (&CRYPTO_SENTIMENT, 2),
        Kind::FearGreedIndex => (&FEAR_GREED_INDEX, 1),
        Kind::CommodityPrices => (&COMMODITY_PRICES, 2),
        Kind::MarketSessions => (&MARKET_SESSIONS, 1),
    };
    Layout { columns, identity }
}
