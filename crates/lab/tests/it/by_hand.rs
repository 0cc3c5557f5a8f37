//! One message of every dialect and form, with the row worked out by hand from the specification.
//!
//! Times were checked with `date -u -d`; fractions by counting digits.

use data_bridge_lab::plan::Kind;

/// Kind, a piece by which the message is found, its payload, its row.
pub(crate) static BY_HAND: [(Kind, &str, &str, &str); 14] = [
    (
        Kind::Tick,
        r#""ev":"C""#,
        r#"{"ev":"C","t":1701388800000,"pair":"DOGE/USD","b":0.08111997,"a":0.08112007,"s":1240.5,"x":368}"#,
        r"symbol=DOGE/USD|timestamp=1701388800000|bid=0.08111997|ask=0.08112007|volume=1240.5|exchange=368|source=|event_type=C",
    ),
    (
        Kind::Tick,
        r"dukascopy",
        r#"{"timestamp": "2023-12-01 00:00:00", "symbol": "DOGE/USD", "bid": 0.08174349, "ask": 0.08174366, "volume": 1.5, "source": "dukascopy_historical"}"#,
        r"symbol=DOGE/USD|timestamp=1701388800000|bid=0.08174349|ask=0.08174366|volume=1.5|exchange=NULL|source=dukascopy_historical|event_type=",
    ),
    (
        Kind::Tick,
        r"e-05",
        r#"{"symbol": "NZD/USD", "bid": 61309e-05, "ask": 0.61336, "timestamp": 1701497301120, "timestamp_ms": 1701497301120, "exchange": 26, "source": "polygon_websocket", "event_type": "quote", "_transport": "both"}"#,
        r"symbol=NZD/USD|timestamp=1701497301120|bid=0.61309|ask=0.61336|volume=NULL|exchange=26|source=polygon_websocket|event_type=quote",
    ),
    (
        Kind::Tick,
        r"polygon",
        r#"{"symbol": "DOGE/USD", "bid": 0.08101539, "ask": 0.08101549, "timestamp": 1701388800000, "timestamp_ms": 1701388800000, "exchange": 190, "source": "polygon_websocket", "event_type": "quote", "_transport": "kafka"}"#,
        r"symbol=DOGE/USD|timestamp=1701388800000|bid=0.08101539|ask=0.08101549|volume=NULL|exchange=190|source=polygon_websocket|event_type=quote",
    ),
    (
        Kind::Tick,
        r"+14:00",
        r#"{"exchange":367,"source":"polygon_websocket","symbol":"NATGAS","bid":2.686,"event_type":"quote","ask":2.699,"a":77,"note":"a \"quoted\" text, with: {braces}, [brackets] and \\ at its end\\","timestamp":"2023-12-01T14:52:24.960+14:00"}"#,
        r"symbol=NATGAS|timestamp=1701391944960|bid=2.686|ask=2.699|volume=NULL|exchange=367|source=polygon_websocket|event_type=quote",
    ),
    (
        Kind::Candle,
        r"polygon_historical",
        r#"{"s": "X0003/USD", "timeframe": "5m", "t": 1701388800000, "o": 0.87185, "h": 0.87794, "l": 0.8704, "c": 0.87417, "v": 19588, "vw": -0.86512, "range_pips": 51.0, "start_time": "2023-12-01 00:00:00", "end_time": "2023-12-01 00:05:00", "source": "polygon_historical", "event_type": "ohlcv"}"#,
        r"symbol=X0003/USD|timeframe=5m|timestamp=1701388800000|open=0.87185|high=0.87794|low=0.8704|close=0.87417|volume=19588|vwap=-0.86512|range_pips=51|avg_spread=NULL|max_spread=NULL|min_spread=NULL|price_range=NULL|pct_change=NULL|tick_count=NULL|is_complete=NULL|start_time=1701388800000|end_time=1701389100000|source=polygon_historical|event_type=ohlcv|indicators=",
    ),
    (
        Kind::Candle,
        r"macd",
        r#"{"symbol": "EUR/GBP", "timeframe": "1m", "timestamp_ms": 1701389160000, "open": 0.8625, "high": 0.86358, "low": 0.86156, "close": 0.86257, "tick_count": 4029, "avg_spread": 0.00019, "max_spread": 0.00018, "min_spread": 0.0001, "price_range": 0.03852, "pct_change": 3.403, "is_complete": 1, "indicators": {"rsi_14": 53.1, "macd": {"line": -1.2e-05, "signal": null}, "name": "a\tb \"c\" \u00e9", "list": [1, 2 ,3 ]}}"#,
        r#"symbol=EUR/GBP|timeframe=1m|timestamp=1701389160000|open=0.8625|high=0.86358|low=0.86156|close=0.86257|volume=NULL|vwap=NULL|range_pips=NULL|avg_spread=0.00019|max_spread=0.00018|min_spread=0.0001|price_range=0.03852|pct_change=3.403|tick_count=4029|is_complete=1|start_time=NULL|end_time=NULL|source=|event_type=|indicators={"rsi_14": 53.1, "macd": {"line": -1.2e-05, "signal": null}, "name": "a\tb \"c\" \u00e9", "list": [1, 2 ,3 ]}"#,
    ),
    (
        Kind::Candle,
        r"123456785",
        r#"{"symbol": "USD/MXN", "timeframe": "5m", "timestamp_ms": 1701399300000, "open": 17.21693, "high": 17.40413, "low": 17.10119, "close": 17.25266, "volume": 123456789012345678901234567890.123456785, "vwap": 17.12044, "range_pips": 80.0, "start_time": "2023-12-01T02:55:00+00:00", "end_time": "2023-12-01T03:00:00+00:00", "source": "polygon_historical", "event_type": "ohlcv"}"#,
        r"symbol=USD/MXN|timeframe=5m|timestamp=1701399300000|open=17.21693|high=17.40413|low=17.10119|close=17.25266|volume=123456789012345678901234567890.12345678|vwap=17.12044|range_pips=80|avg_spread=NULL|max_spread=NULL|min_spread=NULL|price_range=NULL|pct_change=NULL|tick_count=NULL|is_complete=NULL|start_time=1701399300000|end_time=1701399600000|source=polygon_historical|event_type=ohlcv|indicators=",
    ),
    (
        Kind::EconomicCalendar,
        r"forecast",
        r#"{"data": {"date": "2023-12-16", "time": "00:00", "currency": "NZD", "event": "CPI y/y", "impact": "low", "forecast": "2.3%", "previous": "3.5%", "actual": ""}, "metadata": {"type": "economic_calendar", "timestamp": "2023-12-01T00:00:07Z", "version": "1.0.0", "source": "forexfactory"}}"#,
        r"event_time=1702684800000|currency=NZD|event=CPI y/y|date=2023-12-16|time=00:00|impact=low|forecast=2.3%|previous=3.5%|actual=|source=forexfactory",
    ),
    (
        Kind::FredEconomic,
        r#""19"#,
        r#"{"data": {"series_id": "UNRATE", "date": "2023-12-01", "value": "197.476"}, "metadata": {"type": "fred_economic", "timestamp": "2023-12-01T01:44:56Z", "version": "1.0.0", "source": "fred"}}"#,
        r"series_id=UNRATE|event_time=1701388800000|date=2023-12-01|value=197.476|source=fred",
    ),
    (
        Kind::CryptoSentiment,
        r"shib",
        r#"{"data": {"coin_id": "shiba-inu", "name": "Shiba Inu", "symbol": "shib", "price_usd": 9.43e-06, "price_change_24h": -1e-07, "market_cap_rank": 1101, "sentiment_votes_up_percentage": 77.31, "community_score": 64.125, "twitter_followers": 2399131, "reddit_subscribers": 6831974780178722127}, "metadata": {"timestamp": "2023-12-01 00:13:06", "type": "crypto_sentiment", "version": "1.0.0", "source": "coingecko"}}"#,
        r"coin_id=shiba-inu|event_time=1701389586000|name=Shiba Inu|symbol=shib|price_usd=0.00000943|price_change_24h=-0.0000001|market_cap_rank=1101|sentiment_votes_up_percentage=77.31|community_score=64.125|twitter_followers=2399131|reddit_subscribers=6831974780178722127|source=coingecko",
    ),
    (
        Kind::FearGreedIndex,
        r"+05:30",
        r#"{"data": {"value": 54, "classification": "Extreme Greed", "sentiment_score": 0.54, "timestamp": "2023-12-01T05:30:00.000+05:30"}, "metadata": {"type": "fear_greed_index", "timestamp": "2023-12-01T00:00:07Z", "version": "1.0.0", "source": "alternative.me"}}"#,
        r"event_time=1701388800000|value=54|classification=Extreme Greed|sentiment_score=0.54|timestamp=2023-12-01T05:30:00.000+05:30|source=alternative.me",
    ),
    (
        Kind::CommodityPrices,
        r"SRW",
        r#"{"data": {"symbol": "ZW=F", "name": "Wheat \"SRW\"", "price": 610.25, "currency": "USD", "change_percent": 6.1025, "volume": 4506217576578}, "metadata": {"timestamp": "2023-12-01T00:00:00Z", "type": "commodity_prices", "version": "1.0.0", "source": "yahoo"}}"#,
        r#"symbol=ZW=F|event_time=1701388800000|name=Wheat "SRW"|price=610.25|currency=USD|change_percent=6.1025|volume=4506217576578|source=yahoo"#,
    ),
    (
        Kind::MarketSessions,
        r"sydney",
        r#"{"data": {"current_utc_time": "2023-12-01T00:19:39Z", "active_sessions_count": 3, "active_sessions": [{"name": "sydney", "open": true}, "tokyo", "caf\u00e9"], "liquidity_level": "medium"}, "metadata": {"type": "market_sessions", "timestamp": "2023-12-01T00:19:46Z", "version": "1.0.0", "source": "internal"}}"#,
        r#"event_time=1701389979000|current_utc_time=2023-12-01T00:19:39Z|active_sessions_count=3|active_sessions=[{"name": "sydney", "open": true}, "tokyo", "caf\u00e9"]|liquidity_level=medium|source=internal"#,
    ),
];
