//! Numbers and texts of the `Native` format, in order.

use super::BadNative;

/// Largest count that is believed.
const MOST: u64 = 1 << 31;

/// Bytes that are left.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn bad(&self, reason: impl Into<String>) -> BadNative {
        BadNative { at: self.at, reason: reason.into() }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], BadNative> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.bad(format!("ends before {length} more bytes")));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A count: seven bits a byte, least first.
    pub(super) fn size(&mut self) -> Result<usize, BadNative> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return self.believed(value);
            }
        }
        Err(self.bad("a count of too many bytes"))
    }

    /// A count of eight bytes.
    pub(super) fn wide_size(&mut self) -> Result<usize, BadNative> {
        let value = self.unsigned(8)?;
        self.believed(u64::try_from(value).expect("eight bytes"))
    }

    pub(super) fn text(&mut self) -> Result<String, BadNative> {
        let length = self.size()?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map_err(|invalid| self.bad(format!("a name: {invalid}")))
    }

    /// A whole number of `width` bytes, least first, without a sign.
    pub(super) fn unsigned(&mut self, width: usize) -> Result<u128, BadNative> {
        let mut padded = [0; 16];
        padded[..width].copy_from_slice(self.take(width)?);
        Ok(u128::from_le_bytes(padded))
    }

    /// The same with a sign.
    pub(super) fn signed(&mut self, width: usize) -> Result<i128, BadNative> {
        let bytes = self.take(width)?;
        let fill = if bytes[width - 1] & 0x80 == 0 { 0 } else { 0xFF };
        let mut padded = [fill; 16];
        padded[..width].copy_from_slice(bytes);
        Ok(i128::from_le_bytes(padded))
    }

    fn believed(&self, value: u64) -> Result<usize, BadNative> {
        let value = Some(value).filter(|value| *value <= MOST).map(usize::try_from);
        match value {
            Some(Ok(value)) => Ok(value),
            _ => Err(self.bad("a count that cannot be")),
        }
    }
}
