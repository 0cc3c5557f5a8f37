//! CityHash128 of CityHash 1.0.2, the checksum of ClickHouse's compressed blocks. Later versions
//! of CityHash give other values.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_c7de_febe_6f55;

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
        let seed = (
            word(data, 0) ^ (length as u64).wrapping_mul(K0),
            word(data, length - 8) ^ K1,
        );
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
    v.0 = (y ^ K1)
        .rotate_right(49)
        .wrapping_mul(K1)
        .wrapping_add(word(data, 0));
    v.1 =
        v.0.rotate_right(42)
            .wrapping_mul(K1)
            .wrapping_add(word(data, 8));
    w.0 = y
        .wrapping_add(z)
        .rotate_right(35)
        .wrapping_mul(K1)
        .wrapping_add(x);
    w.1 = x
        .wrapping_add(word(data, 88))
        .rotate_right(53)
        .wrapping_mul(K1);
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
    y = y
        .wrapping_add(w.0.rotate_right(37).wrapping_mul(K0))
        .wrapping_add(z);
    x = x.wrapping_add(v.0.wrapping_add(z).rotate_right(49).wrapping_mul(K0));
    // The tail in steps of 32 from the end; the last step may reach back before `at`.
    let tail = data.len() - at;
    let mut done = 0;
    while done < tail {
        done += 32;
        let from = data.len() - done;
        y = y
            .wrapping_sub(x)
            .rotate_right(42)
            .wrapping_mul(K0)
            .wrapping_add(v.1);
        w.0 = w.0.wrapping_add(word(data, from + 16));
        x = x.rotate_right(49).wrapping_mul(K0).wrapping_add(w.0);
        w.0 = w.0.wrapping_add(v.0);
        v = weak(&data[from..], v.0, v.1);
    }
    x = mix(x, v.0);
    y = mix(y, w.0);
    (
        mix(x.wrapping_add(v.1), w.1).wrapping_add(y),
        mix(x.wrapping_add(w.1), y.wrapping_add(v.1)),
    )
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
        d = mix(
            b.wrapping_add(length as u64),
            c.wrapping_add(word(data, length - 16)),
        );
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
        mix(
            (length as u64).wrapping_add(a << 3),
            u64::from(half(data, length - 4)),
        )
    } else if length > 0 {
        let (a, b, c) = (
            u64::from(data[0]),
            u64::from(data[length >> 1]),
            u64::from(data[length - 1]),
        );
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
