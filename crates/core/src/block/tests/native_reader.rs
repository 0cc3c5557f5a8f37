//! Reads blocks of the Native format by the type texts they carry; shares nothing with the encoder.

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Read {
    /// Integers, times, decimals, booleans, and floats by their bits.
    Number(i128),
    /// Strings.
    Text(Vec<u8>),
    /// Maps, in the order they came in.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
    /// NULL, greater than all others.
    Null,
}

/// A column of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadColumn {
    pub(super) name: String,
    pub(super) type_text: String,
    pub(super) values: Vec<Read>,
    /// Texts of the dictionary, for `LowCardinality`.
    pub(super) dictionary: Vec<Vec<u8>>,
}

/// Reads one block; all bytes must belong to it.
pub(super) fn read_block(bytes: &[u8]) -> Vec<ReadColumn> {
    let mut reader = Reader(bytes);
    let columns = reader.length();
    let rows = reader.length();
    let block = (0..columns).map(|_| reader.column(rows)).collect();
    assert!(reader.0.is_empty(), "{} bytes behind the block", reader.0.len());
    block
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        assert!(count <= self.0.len(), "{count} bytes wanted, {} there", self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes.to_vec()
    }

    fn little_endian(&mut self, width: usize) -> u128 {
        self.bytes(width).iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    fn length(&mut self) -> usize {
        let mut length = 0;
        for shift in (0..).step_by(7) {
            let byte = self.little_endian(1);
            length |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        usize::try_from(length).expect("a length")
    }

    fn text(&mut self) -> Vec<u8> {
        let length = self.length();
        self.bytes(length)
    }

    fn column(&mut self, rows: usize) -> ReadColumn {
        let mut name = || String::from_utf8(self.text()).expect("names are UTF-8");
        let (name, type_text) = (name(), name());
        let mut dictionary = Vec::new();
        let values = if rows == 0 {
            Vec::new()
        } else if let Some(inner) = within(&type_text, "LowCardinality") {
            self.dictionary(inner.starts_with("Nullable"), rows, &mut dictionary)
        } else if let Some(inner) = within(&type_text, "Nullable") {
            let nulls: Vec<u128> = (0..rows).map(|_| self.little_endian(1)).collect();
            let value = |(null, value)| match null {
                0 => value,
                1 => Read::Null,
                other => panic!("{other} in a null map"),
            };
            nulls.into_iter().zip(self.values(inner, rows)).map(value).collect()
        } else {
            self.values(&type_text, rows)
        };
        ReadColumn { name, type_text, values, dictionary }
    }

    fn dictionary(&mut self, nullable: bool, rows: usize, texts: &mut Vec<Vec<u8>>) -> Vec<Read> {
        assert_eq!(self.little_endian(8), 1, "version of the keys");
        let flags = self.little_endian(8);
        assert_eq!(flags & !0xff, 0x600, "own dictionary, sent anew");
        let width = 1 << (flags & 0xff);
        let entries = self.little_endian(8);
        texts.extend((0..entries).map(|_| self.text()));
        assert_eq!(self.little_endian(8), rows as u128);
        let read = |code: u128| match code {
            0 if nullable => Read::Null,
            code => Read::Text(texts[usize::try_from(code).expect("a code")].clone()),
        };
        (0..rows).map(|_| read(self.little_endian(width))).collect()
    }

    fn values(&mut self, type_text: &str, rows: usize) -> Vec<Read> {
        if type_text == "String" {
            return (0..rows).map(|_| Read::Text(self.text())).collect();
        }
        if type_text == "Map(String, String)" {
            let ends: Vec<u128> = (0..rows).map(|_| self.little_endian(8)).collect();
            let all = ends.last().copied().unwrap_or(0);
            let keys: Vec<_> = (0..all).map(|_| self.text()).collect();
            let values: Vec<_> = (0..all).map(|_| self.text()).collect();
            let mut entries = keys.into_iter().zip(values);
            let mut before = 0;
            let mut map = |end: u128| {
                let count = usize::try_from(end - before).expect("offsets ascend");
                before = end;
                Read::Map(entries.by_ref().take(count).collect())
            };
            return ends.into_iter().map(&mut map).collect();
        }
        let (width, signed) = number_type(type_text);
        let number = |bits: u128| {
            let unused = 128 - 8 * width;
            let bits = bits << unused;
            let signed_number = bits.cast_signed() >> unused;
            Read::Number(if signed { signed_number } else { (bits >> unused).cast_signed() })
        };
        (0..rows).map(|_| number(self.little_endian(width))).collect()
    }
}

/// Width in bytes, and whether there is a sign.
fn number_type(type_text: &str) -> (usize, bool) {
    let (name, arguments) = type_text.split_once('(').unwrap_or((type_text, ""));
    match name {
        "Bool" | "UInt8" => (1, false),
        "UInt16" => (2, false),
        "UInt32" | "Float32" => (4, false),
        "UInt64" | "Float64" => (8, false),
        "Int8" => (1, true),
        "Int16" => (2, true),
        "Int32" => (4, true),
        "Int64" | "DateTime64" => (8, true),
        "Decimal" => {
            let (precision, _) = arguments.split_once(',').expect("precision and scale");
            let precision: u32 = precision.parse().expect("a number");
            (
                if precision <= 9 {
                    4
                } else if precision <= 18 {
                    8
                } else {
                    16
                },
                true,
            )
        }
        other => panic!("unknown type {other}"),
    }
}

fn within<'a>(type_text: &'a str, name: &str) -> Option<&'a str> {
    type_text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
}
