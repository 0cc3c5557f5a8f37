//! The bytes between two values, compared sixteen at a time.

/// A literal of any length.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Literal {
    /// The first 16 bytes, zeros behind a shorter one; and which of them count.
    head: [u64; 2],
    mask: [u64; 2],
    /// The last 16 bytes of a longer one.
    tail: [u64; 2],
    pub(super) length: u32,
    /// Where its bytes lie among those of all literals.
    place: u32,
}

impl Literal {
    /// Appends the literal's bytes to those of others.
    pub(super) fn new(bytes: &[u8], literals: &mut Vec<u8>) -> Option<Self> {
        let (mut wide, mut mask) = ([0; 16], [0; 16]);
        let first = bytes.len().min(16);
        wide[..first].copy_from_slice(&bytes[..first]);
        mask[..first].fill(0xff);
        let tail = bytes.len().checked_sub(16).and_then(|start| halves(bytes, start));
        let literal = Self {
            head: halves(&wide, 0)?,
            mask: halves(&mask, 0)?,
            tail: tail.unwrap_or_default(),
            length: u32::try_from(bytes.len()).ok()?,
            place: u32::try_from(literals.len()).ok()?,
        };
        literals.extend_from_slice(bytes);
        Some(literal)
    }

    pub(super) fn bytes<'l>(&self, literals: &'l [u8]) -> Option<&'l [u8]> {
        literals.get(self.place as usize..)?.get(..self.length as usize)
    }

    /// Whether the bytes at `at` are this literal. `padded` has 64 bytes behind the message.
    #[inline]
    pub(super) fn fits(&self, literals: &[u8], padded: &[u8], at: usize) -> bool {
        let Some(head) = halves(padded, at) else {
            return false;
        };
        let differs =
            ((head[0] ^ self.head[0]) & self.mask[0]) | ((head[1] ^ self.head[1]) & self.mask[1]);
        if differs != 0 {
            return false;
        }
        let length = self.length as usize;
        if length <= 16 {
            return true;
        }
        if halves(padded, at + length - 16) != Some(self.tail) {
            return false;
        }
        length <= 32 || {
            let place = self.place as usize;
            let middle = literals.get(place + 16..place + length - 16);
            middle == padded.get(at + 16..at + length - 16)
        }
    }
}

/// Sixteen bytes as two numbers.
#[inline]
pub(super) fn halves(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    let chunk: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    let (low, high) = chunk.split_at(8);
    let half = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
    Some([half(low), half(high)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A literal fits itself and nothing that differs in a single byte, whatever its length.
    #[test]
    fn every_byte_counts() {
        for length in 1..80 {
            let bytes: Vec<u8> = (0..length).map(|n| b'A' + n % 50).collect();
            let mut literals = b"others before".to_vec();
            let literal = Literal::new(&bytes, &mut literals).unwrap();
            assert_eq!(literal.bytes(&literals), Some(&bytes[..]));
            let mut padded = b"before".to_vec();
            padded.extend_from_slice(&bytes);
            padded.resize(padded.len() + 64, 0);
            assert!(literal.fits(&literals, &padded, 6));
            for at in 6..6 + bytes.len() {
                let mut other = padded.clone();
                other[at] ^= 1;
                assert!(!literal.fits(&literals, &other, 6), "{length} {at}");
            }
        }
    }
}
