//! What is traded.

use std::io::Write;

/// An instrument: its name, a usual price, and the digits it is quoted with.
pub(crate) struct Instrument {
    name: &'static str,
    pub(crate) price: u64,
    pub(crate) digits: u32,
}

const fn instrument(name: &'static str, price: u64, digits: u32) -> Instrument {
    Instrument { name, price, digits }
}

static INSTRUMENTS: [Instrument; 30] = [
    instrument("EUR/USD", 109_551, 5),
    instrument("USD/JPY", 148_321, 3),
    instrument("GBP/USD", 127_104, 5),
    instrument("USD/CHF", 86_512, 5),
    instrument("AUD/USD", 65_871, 5),
    instrument("USD/CAD", 135_022, 5),
    instrument("NZD/USD", 61_044, 5),
    instrument("EUR/GBP", 85_553, 5),
    instrument("EUR/JPY", 161_274, 3),
    instrument("GBP/JPY", 188_015, 3),
    instrument("XAU/USD", 202_155, 2),
    instrument("XAG/USD", 22_817, 3),
    instrument("EURCHF", 93_807, 5),
    instrument("EUR/AUD", 165_480, 5),
    instrument("AUD/JPY", 97_402, 3),
    instrument("CHF/JPY", 171_044, 3),
    instrument("CAD/JPY", 109_877, 3),
    instrument("USD/SEK", 1_044_871, 5),
    instrument("USD/NOK", 1_047_112, 5),
    instrument("USD/MXN", 1_712_044, 5),
    instrument("USD/ZAR", 1_880_931, 5),
    instrument("USD/TRY", 3_028_114, 5),
    instrument("BTC/USD", 4_283_115, 2),
    instrument("ETH/USD", 251_207, 2),
    instrument("SHIB/USD", 943, 8),
    instrument("DOGE/USD", 8_123_455, 8),
    instrument("WTI", 7_712, 2),
    instrument("BRENT", 8_255, 2),
    instrument("NATGAS", 2_713, 3),
    instrument("US500", 489_044, 2),
];

/// The instrument of a number; names go on for ever.
pub(crate) fn push_symbol(out: &mut Vec<u8>, number: u32) -> &'static Instrument {
    let index = number as usize;
    let known = &INSTRUMENTS[index % INSTRUMENTS.len()];
    if index < INSTRUMENTS.len() {
        out.extend_from_slice(known.name.as_bytes());
    } else {
        write!(out, "X{:04}/USD", index - INSTRUMENTS.len()).expect("writing to memory");
    }
    known
}
