//! `CityHash128` of `CityHash` 1.0.2, the checksum of ClickHouse's compressed blocks. Later
//! versions of `CityHash` give other values.
#![expect(
    clippy::many_single_char_names,
    reason = "the names of the published algorithm, so that one can be held against the other"
)]

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;

/// The hash as it stands in a block: low word, then high word, both little-endian.
pub(crate) fn checksum(data: &[u8]) -> [u8; 16] {
    let (low, high) = hash128(data);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&high.to_le_bytes());
    bytes
}

fn hash128(data: &[u8]) -> (u64, u64) {
    let length = data.len();
    if length >= 16 {
        let seed = (word(data, 0) ^ K3, word(data, 8));
        hash128_with_seed(&data[16..], seed)
    } else if length >= 8 {
        let seed = (word(data, 0) ^ (length as u64).wrapping_mul(K0), word(data, length - 8) ^ K1);
        hash128_with_seed(&[], seed)
    } else {
        hash128_with_seed(data, (K0, K1))
    }
}

fn hash128_with_seed(data: &[u8], seed: (u64, u64)) -> (u64, u64) {
    if data.len() < 128 {
        return murmur(data, seed);
    }
    let (mut x, mut y) = seed;
    let mut z = (data.len() as u64).wrapping_mul(K1);
    let mut v = (0_u64, 0_u64);
    let mut w = (0_u64, 0_u64);
    v.0 = (y ^ K1).rotate_right(49).wrapping_mul(K1).wrapping_add(word(data, 0));
    v.1 = v.0.rotate_right(42).wrapping_mul(K1).wrapping_add(word(data, 8));
    w.0 = y.wrapping_add(z).rotate_right(35).wrapping_mul(K1).wrapping_add(x);
    w.1 = x.wrapping_add(word(data, 88)).rotate_right(53).wrapping_mul(K1);
    let mut at = 0;
    while data.len() - at >= 128 {
        for _ in 0..2 {
            x = x
                .wrapping_add(y)
                .wrapping_add(v.0)
                .wrapping_add(word(data, at + 16))
                .rotate_right(37)
                .wrapping_mul(K1);
            y = y
                .wrapping_add(v.1)
                .wrapping_add(word(data, at + 48))
                .rotate_right(42)
                .wrapping_mul(K1);
            x ^= w.1;
            y ^= v.0;
            z = (z ^ w.0).rotate_right(33);
            v = weak(&data[at..], v.1.wrapping_mul(K1), x.wrapping_add(w.0));
            w = weak(&data[at + 32..], z.wrapping_add(w.1), y);
            std::mem::swap(&mut z, &mut x);
            at += 64;
        }
    }
    y = y.wrapping_add(w.0.rotate_right(37).wrapping_mul(K0)).wrapping_add(z);
    x = x.wrapping_add(v.0.wrapping_add(z).rotate_right(49).wrapping_mul(K0));
    // The tail in steps of 32 from the end; the last step may reach back before `at`.
    let tail = data.len() - at;
    let mut done = 0;
    while done < tail {
        done += 32;
        let from = data.len() - done;
        y = y.wrapping_sub(x).rotate_right(42).wrapping_mul(K0).wrapping_add(v.1);
        w.0 = w.0.wrapping_add(word(data, from + 16));
        x = x.rotate_right(49).wrapping_mul(K0).wrapping_add(w.0);
        w.0 = w.0.wrapping_add(v.0);
        v = weak(&data[from..], v.0, v.1);
    }
    x = mix(x, v.0);
    y = mix(y, w.0);
    (mix(x.wrapping_add(v.1), w.1).wrapping_add(y), mix(x.wrapping_add(w.1), y.wrapping_add(v.1)))
}

/// Fewer than 128 bytes.
fn murmur(data: &[u8], seed: (u64, u64)) -> (u64, u64) {
    let length = data.len();
    let (mut a, mut b) = seed;
    let (mut c, mut d);
    if length <= 16 {
        a = shift_mix(a.wrapping_mul(K1)).wrapping_mul(K1);
        c = b.wrapping_mul(K1).wrapping_add(up_to_16(data));
        d = shift_mix(a.wrapping_add(if length >= 8 { word(data, 0) } else { c }));
    } else {
        c = mix(word(data, length - 8).wrapping_add(K1), a);
        d = mix(b.wrapping_add(length as u64), c.wrapping_add(word(data, length - 16)));
        a = a.wrapping_add(d);
        let mut at = 0;
        while at + 16 < length {
            a ^= shift_mix(word(data, at).wrapping_mul(K1)).wrapping_mul(K1);
            a = a.wrapping_mul(K1);
            b ^= a;
            c ^= shift_mix(word(data, at + 8).wrapping_mul(K1)).wrapping_mul(K1);
            c = c.wrapping_mul(K1);
            d ^= c;
            at += 16;
        }
    }
    a = mix(a, c);
    b = mix(d, b);
    (a ^ b, mix(b, a))
}

fn up_to_16(data: &[u8]) -> u64 {
    let length = data.len();
    if length > 8 {
        let (a, b) = (word(data, 0), word(data, length - 8));
        let turn = u32::try_from(length).expect("at most 16");
        mix(a, b.wrapping_add(length as u64).rotate_right(turn)) ^ b
    } else if length >= 4 {
        let a = u64::from(half(data, 0));
        mix((length as u64).wrapping_add(a << 3), u64::from(half(data, length - 4)))
    } else if length > 0 {
        let (a, b, c) =
            (u64::from(data[0]), u64::from(data[length >> 1]), u64::from(data[length - 1]));
        let y = a.wrapping_add(b << 8);
        let z = (length as u64).wrapping_add(c << 2);
        shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
    } else {
        K2
    }
}

fn weak(data: &[u8], a: u64, b: u64) -> (u64, u64) {
    let (w, x, y, z) = (word(data, 0), word(data, 8), word(data, 16), word(data, 24));
    let mut a = a.wrapping_add(w);
    let mut b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    a = a.wrapping_add(x).wrapping_add(y);
    b = b.wrapping_add(a.rotate_right(44));
    (a.wrapping_add(z), b.wrapping_add(c))
}

fn mix(low: u64, high: u64) -> u64 {
    const MULTIPLIER: u64 = 0x9ddf_ea08_eb38_2d69;
    let a = shift_mix((low ^ high).wrapping_mul(MULTIPLIER));
    shift_mix((high ^ a).wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER)
}

fn shift_mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

fn word(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"))
}

fn half(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the package `clickhouse-cityhash` 1.0.2.6, which wraps Google's own code:
    /// length, first and second word.
    #[test]
    fn hashes_are_those_of_the_original() {
        let vectors: [(usize, u64, u64); 20] = [
            (0, 0x3df0_9dfc_64c0_9a2b, 0x3cb5_40c3_92e5_1e29),
            (3, 0x3108_fa6b_1da1_6986, 0x3230_1bf0_c250_612d),
            (7, 0x9ef9_0f69_597e_95c7, 0x4987_956c_9782_ee8f),
            (8, 0xb6ad_7c9a_5953_432f, 0x9f0e_0210_9921_888c),
            (9, 0x5601_ccf1_e058_519a, 0xf851_2fca_2833_3fef),
            (15, 0x5a82_99d8_ab8f_2f47, 0x8ea0_a478_a90d_3277),
            (16, 0x21e7_9cab_7f9c_2b79, 0xa356_15c2_3531_3f7a),
            (17, 0x0cd5_bb13_faea_6e4c, 0x32bf_7191_78f6_bbfe),
            (31, 0x6e4f_7032_5ec2_7ffc, 0x9a23_a7e9_f0b5_15e0),
            (33, 0x094b_bf1d_5b6d_db61, 0x1057_2bd5_8efa_7aaf),
            (100, 0x11d0_15d1_18ce_1f34, 0x7fb9_4259_beb9_939d),
            (127, 0x55e0_07a5_488e_6a51, 0xbf49_bf6e_e9bb_75e3),
            (128, 0x0c58_563b_af04_cf17, 0x4e9b_1407_7ea4_8421),
            (143, 0x90ed_9da9_9e42_d8d6, 0xbf2f_62d7_1476_a694),
            (144, 0x23d4_e55b_8404_250b, 0xe001_7edb_0524_65f0),
            (145, 0x992b_3975_75e3_e447, 0x98b9_089a_1656_d1c3),
            (200, 0xee3d_6499_026c_6ebc, 0x3859_2b6f_14cc_d4e6),
            (256, 0xb920_30e0_aa94_4f01, 0x1b4a_abf3_3c52_66c6),
            (300, 0x499b_9ee6_cc46_f477, 0x8e40_9f5e_6d07_86ea),
            (1000, 0xde82_8a03_8aa5_5521, 0xb071_37e4_3cb7_2327),
        ];
        for (length, first, second) in vectors {
            let byte = |index: usize| u8::try_from((index * 7 + 3) % 251).unwrap();
            let data: Vec<u8> = (0..length).map(byte).collect();
            assert_eq!(hash128(&data), (first, second), "{length} bytes");
        }
    }
}
