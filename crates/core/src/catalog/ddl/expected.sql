CREATE TABLE IF NOT EXISTS market.ticks
(
    symbol LowCardinality(String),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    bid Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    ask Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    volume Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    exchange Nullable(Int32),
    source LowCardinality(String),
    event_type LowCardinality(String),
    event_id UInt64,
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (symbol, timestamp, event_id)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.aggregates
(
    symbol LowCardinality(String),
    timeframe LowCardinality(String),
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    open Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    high Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    low Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    close Decimal(18, 8) CODEC(Delta, ZSTD(1)),
    volume Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    vwap Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    range_pips Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    avg_spread Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    max_spread Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    min_spread Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    price_range Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    pct_change Nullable(Decimal(18, 8)) CODEC(Delta, ZSTD(1)),
    tick_count Nullable(UInt64),
    is_complete Nullable(UInt8),
    start_time Nullable(DateTime64(3, 'UTC')) CODEC(DoubleDelta, ZSTD(1)),
    end_time Nullable(DateTime64(3, 'UTC')) CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    event_type LowCardinality(String),
    indicators String CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (symbol, timeframe, timestamp)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_economic_calendar
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    date String CODEC(ZSTD(1)),
    time String CODEC(ZSTD(1)),
    currency String CODEC(ZSTD(1)),
    event String CODEC(ZSTD(1)),
    impact String CODEC(ZSTD(1)),
    forecast String CODEC(ZSTD(1)),
    previous String CODEC(ZSTD(1)),
    actual String CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (event_time, currency, event)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_fred_economic
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    series_id String CODEC(ZSTD(1)),
    date String CODEC(ZSTD(1)),
    value Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (series_id, event_time)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_crypto_sentiment
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    coin_id String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    symbol String CODEC(ZSTD(1)),
    price_usd Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    price_change_24h Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    market_cap_rank Nullable(Int64),
    sentiment_votes_up_percentage Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    community_score Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    twitter_followers Nullable(Int64),
    reddit_subscribers Nullable(Int64),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (coin_id, event_time)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_fear_greed_index
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    value Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    classification String CODEC(ZSTD(1)),
    sentiment_score Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    timestamp String CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (event_time)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_commodity_prices
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    symbol String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    price Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    currency String CODEC(ZSTD(1)),
    change_percent Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    volume Nullable(Decimal(38, 8)) CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (symbol, event_time)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.external_market_sessions
(
    event_time DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    source LowCardinality(String),
    current_utc_time String CODEC(ZSTD(1)),
    active_sessions_count Nullable(Int64),
    active_sessions String CODEC(ZSTD(1)),
    liquidity_level String CODEC(ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(event_time)
ORDER BY (event_time)
SETTINGS non_replicated_deduplication_window = 0;

CREATE TABLE IF NOT EXISTS market.dead_letters
(
    received_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    route LowCardinality(String),
    reason LowCardinality(String),
    error String CODEC(ZSTD(1)),
    clickhouse_code Int32,
    key String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(1)),
    headers Map(String, String) CODEC(ZSTD(1)),
    attempts UInt32,
    first_failed_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    last_failed_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
    replayed_at Nullable(DateTime64(3, 'UTC')) CODEC(DoubleDelta, ZSTD(1)),
    origin LowCardinality(String),
    origin_position UInt64 CODEC(DoubleDelta, ZSTD(1)),
    version UInt64 CODEC(DoubleDelta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(received_at)
ORDER BY (origin, origin_position, received_at, reason)
SETTINGS non_replicated_deduplication_window = 0;
