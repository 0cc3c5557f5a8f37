//! One number per row by which the same event is known again, whatever block it lies in.

use xxhash_rust::xxh3::xxh3_64;

use super::keywords::NULL;
use super::values::{Store, Values};

/// An odd number without pattern: 2⁶⁴ divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers of all rows, from the columns that say which event a row is.
pub(super) fn of(columns: &[Values], key: &[usize], rows: usize) -> Vec<u64> {
    let mut numbers = vec![0; rows];
    for values in key.iter().filter_map(|column| columns.get(*column)) {
        add(values, &mut numbers);
    }
    for number in &mut numbers {
        *number = (*number ^ (*number >> 32)).wrapping_mul(SPREAD);
        *number ^= *number >> 29;
    }
    numbers
}

fn add(values: &Values, numbers: &mut [u64]) {
    match &values.store {
        Store::Keyword(keywords) => {
            let of_texts: Vec<u64> = keywords.texts().map(xxh3_64).collect();
            for (number, code) in numbers.iter_mut().zip(&keywords.codes) {
                let text = if *code == NULL { SPREAD } else { of_texts[*code as usize] };
                *number = mixed(*number, text);
            }
        }
        Store::Text(texts) => {
            for (row, number) in numbers.iter_mut().enumerate() {
                *number = mixed(*number, xxh3_64(texts.get(row)));
            }
        }
        // No key has one.
        Store::Map(_) => {}
        Store::Bool(fixed) | Store::Int1(fixed) | Store::UInt1(fixed) => add_fixed(fixed, numbers),
        Store::Int2(fixed) | Store::UInt2(fixed) => add_fixed(fixed, numbers),
        Store::Int4(fixed)
        | Store::UInt4(fixed)
        | Store::Float4(fixed)
        | Store::Decimal4(fixed, _) => add_fixed(fixed, numbers),
        Store::Int8(fixed)
        | Store::UInt8(fixed)
        | Store::Float8(fixed)
        | Store::Decimal8(fixed, _) => add_fixed(fixed, numbers),
        Store::Decimal16(fixed, _) => add_fixed(fixed, numbers),
    }
    for (number, null) in numbers.iter_mut().zip(&values.nulls) {
        *number = mixed(*number, u64::from(*null));
    }
}

fn add_fixed<const N: usize>(fixed: &[[u8; N]], numbers: &mut [u64]) {
    for (number, value) in numbers.iter_mut().zip(fixed) {
        for part in value.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            *number = mixed(*number, u64::from_le_bytes(bytes));
        }
    }
}

fn mixed(number: u64, with: u64) -> u64 {
    (number.rotate_left(23) ^ with).wrapping_mul(SPREAD)
}
