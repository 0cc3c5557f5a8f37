//! The kinds of messages, each with its topic and its table.

use std::fmt;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A quote.
    Tick,
    /// An aggregate over a timeframe.
    Candle,
    /// External: a planned publication of a figure.
    EconomicCalendar,
    /// External: a figure of a FRED series.
    FredEconomic,
    /// External: how a coin is talked about.
    CryptoSentiment,
    /// External: the fear-and-greed index.
    FearGreedIndex,
    /// External: the price of a commodity.
    CommodityPrices,
    /// External: which exchanges are open.
    MarketSessions,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Tick,
        Self::Candle,
        Self::EconomicCalendar,
        Self::FredEconomic,
        Self::CryptoSentiment,
        Self::FearGreedIndex,
        Self::CommodityPrices,
        Self::MarketSessions,
    ];

    /// Place in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The topic, without a plan's prefix.
    #[must_use]
    pub fn topic(self) -> &'static str {
        match self {
            Self::Tick => "tick_archive",
            Self::Candle => "aggregate_archive",
            Self::EconomicCalendar => "market.external.economic_calendar",
            Self::FredEconomic => "market.external.fred_economic",
            Self::CryptoSentiment => "market.external.crypto_sentiment",
            Self::FearGreedIndex => "market.external.fear_greed_index",
            Self::CommodityPrices => "market.external.commodity_prices",
            Self::MarketSessions => "market.external.market_sessions",
        }
    }

    /// The table its rows go to.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Tick => "ticks",
            Self::Candle => "aggregates",
            Self::EconomicCalendar => "external_economic_calendar",
            Self::FredEconomic => "external_fred_economic",
            Self::CryptoSentiment => "external_crypto_sentiment",
            Self::FearGreedIndex => "external_fear_greed_index",
            Self::CommodityPrices => "external_commodity_prices",
            Self::MarketSessions => "external_market_sessions",
        }
    }

    /// The `metadata.type` of an external message.
    #[must_use]
    pub(crate) fn external_type(self) -> Option<&'static str> {
        self.table().strip_prefix("external_")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table())
    }
}
