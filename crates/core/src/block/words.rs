//! Texts of a keyword column as a decoder knows them: each is looked up once per block and by one
//! compare per row.

use super::dictionary::Dictionary;
use super::keywords::Keywords;

/// Texts that may stand in a keyword column, numbered in order of appearance; the first is the
/// empty text.
#[derive(Debug, Default)]
pub(crate) struct Words {
    texts: Dictionary,
    /// Per text, the block it was last put into and its code there.
    codes: Vec<(u64, u32)>,
    /// Per text, what an event id hashes of it, when that is short.
    forms: Vec<[u8; FORM]>,
    /// Texts below 16 bytes by their bytes: open addressing with linear probing, at most half full.
    short: Vec<Short>,
    /// The text of 16 bytes and more that was found last.
    last: u32,
}

/// Bytes of the canonical form of a text that are kept at hand: a tag, four bytes of length, and a
/// text of up to 27 bytes.
pub(crate) const FORM: usize = 32;

/// Bytes in front of a text in its canonical form.
pub(crate) const FORM_HEAD: usize = 5;

/// The bytes of a text below 16 bytes, its closing quote and zeros behind it. The quote tells a text
/// from one that goes on with zero bytes.
pub(crate) type Key = [u64; 2];

#[derive(Clone, Copy, Debug)]
struct Short {
    key: Key,
    word: u32,
}

/// No text.
const NONE: u32 = u32::MAX;

const FREE: Short = Short { key: [0; 2], word: NONE };

/// Texts that are kept. A column with more different ones does not repeat enough to gain from it;
/// the memory of a lane stays below half a megabyte per column.
const MOST: usize = 4_096;
/// Bytes of the longest text that is kept.
pub(crate) const LONGEST: usize = 128;

impl Words {
    /// Knows the empty text, as word 0; `empty` says whether a message may have it.
    pub(crate) fn new(empty: bool) -> Self {
        let mut words = Self::default();
        words.clear(empty);
        words
    }

    /// Forgets all but the empty text.
    pub(crate) fn clear(&mut self, empty: bool) {
        self.texts.clear();
        self.codes.clear();
        self.forms.clear();
        self.last = 0;
        self.short.clear();
        self.short.resize(64, FREE);
        let text = self.texts.code(b"");
        self.remember(text, b"");
        if empty {
            self.index([u64::from(b'"'), 0], text);
        }
    }

    /// Whether it is time to forget.
    pub(crate) fn is_full(&self) -> bool {
        self.texts.len() >= MOST
    }

    /// The text with these bytes.
    #[inline]
    pub(crate) fn find_short(&self, key: Key) -> Option<u32> {
        let mask = self.short.len() - 1;
        let mut at = slot(key) & mask;
        loop {
            let short = self.short.get(at)?;
            if short.key == key && short.word != NONE {
                return Some(short.word);
            }
            if short.word == NONE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// The text of 16 bytes and more.
    pub(crate) fn find_long(&mut self, text: &[u8]) -> Option<u32> {
        let word = self.texts.find(text)?;
        self.last = word;
        Some(word)
    }

    /// What [`find_long`](Self::find_long) found last; the empty text at first.
    #[inline]
    pub(crate) fn last(&self) -> (u32, &[u8]) {
        (self.last, self.texts.get(self.last))
    }

    /// Whether these are the words of a keyword column.
    pub(crate) fn is_used(&self) -> bool {
        self.texts.len() > 0
    }

    /// Takes a text in that the column may hold; `None` when there is no room.
    pub(crate) fn add(&mut self, text: &[u8]) -> Option<u32> {
        if self.is_full() || text.len() > LONGEST {
            return self.texts.find(text);
        }
        let before = self.texts.len();
        let word = self.texts.code(text);
        if self.texts.len() > before {
            self.remember(word, text);
            if let Some(key) = key(text) {
                self.index(key, word);
            }
        }
        Some(word)
    }

    /// The text of a staged word.
    pub(crate) fn text(&self, word: u64) -> &[u8] {
        u32::try_from(word).map_or(&[], |word| self.texts.get(word))
    }

    /// What an event id hashes of each word: whole when the text is short.
    pub(crate) fn forms(&self) -> &[[u8; FORM]] {
        &self.forms
    }

    /// Codes of the texts in a block, in the order of `words`; `bytes` grows by what new entries
    /// of its dictionary take.
    #[inline]
    pub(super) fn code(
        &mut self,
        word: u64,
        generation: u64,
        keywords: &mut Keywords,
        bytes: &mut usize,
    ) -> u32 {
        let word = usize::try_from(word).unwrap_or(0);
        match self.codes.get(word) {
            Some((known, code)) if *known == generation => *code,
            Some(_) | None => self.introduce(word, generation, keywords, bytes),
        }
    }

    #[cold]
    fn introduce(
        &mut self,
        word: usize,
        generation: u64,
        keywords: &mut Keywords,
        bytes: &mut usize,
    ) -> u32 {
        let word = u32::try_from(word).unwrap_or(0);
        let (code, more) = keywords.code(self.texts.get(word));
        *bytes += more;
        if let Some(entry) = self.codes.get_mut(word as usize) {
            *entry = (generation, code);
        }
        code
    }

    fn remember(&mut self, word: u32, text: &[u8]) {
        debug_assert_eq!(word as usize, self.codes.len(), "texts are numbered without a gap");
        self.codes.push((0, 0));
        let mut form = [0; FORM];
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        form[0] = 1;
        form[1..FORM_HEAD].copy_from_slice(&length.to_le_bytes());
        if let Some(place) = form.get_mut(FORM_HEAD..FORM_HEAD + text.len()) {
            place.copy_from_slice(text);
        }
        self.forms.push(form);
    }

    fn index(&mut self, key: Key, word: u32) {
        let entries = self.short.iter().filter(|short| short.word != NONE).count();
        if (entries + 1) * 2 > self.short.len() {
            let capacity = self.short.len() * 2;
            let old = std::mem::replace(&mut self.short, vec![FREE; capacity]);
            for short in old.into_iter().filter(|short| short.word != NONE) {
                self.place(short);
            }
        }
        self.place(Short { key, word });
    }

    fn place(&mut self, short: Short) {
        let mask = self.short.len() - 1;
        let mut at = slot(short.key) & mask;
        while self.short[at].word != NONE {
            at = (at + 1) & mask;
        }
        self.short[at] = short;
    }
}

/// The bytes of a text below 16 bytes.
fn key(text: &[u8]) -> Option<Key> {
    let mut bytes = [0; 16];
    *bytes.get_mut(text.len())? = b'"';
    bytes[..text.len()].copy_from_slice(text);
    let (low, high) = bytes.split_at(8);
    let half = |half: &[u8]| half.try_into().map_or(0, u64::from_le_bytes);
    Some([half(low), half(high)])
}

/// A place for a key: the high bits of a product depend on all bits (Fibonacci hashing).
#[inline]
fn slot(key: Key) -> usize {
    ((key[0] ^ key[1].rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_all_of_its_bytes() {
        let mut words = Words::new(true);
        let texts: Vec<String> = (0..600).map(|n| format!("{}{n}", "x".repeat(n % 40))).collect();
        let added: Vec<u32> =
            texts.iter().map(|text| words.add(text.as_bytes()).unwrap()).collect();
        for (text, word) in texts.iter().zip(&added) {
            assert_eq!(words.text((*word).into()), text.as_bytes());
            match key(text.as_bytes()) {
                Some(key) => assert_eq!(words.find_short(key), Some(*word), "{text}"),
                None => assert_eq!(words.find_long(text.as_bytes()), Some(*word), "{text}"),
            }
        }
        assert_eq!(words.find_short(key(b"").unwrap()), Some(0));
        assert_eq!(words.find_short(key(b"y").unwrap()), None);
        assert_eq!(words.find_long(b"a text that nobody added"), None);
    }

    #[test]
    fn the_empty_text_is_found_only_where_it_may_stand() {
        assert_eq!(Words::new(false).find_short(key(b"").unwrap()), None);
        assert_eq!(Words::new(false).text(0), b"");
    }

    #[test]
    fn memory_is_bounded() {
        let mut words = Words::new(true);
        let added = (0..10_000).filter(|n| words.add(format!("{n}").as_bytes()).is_some()).count();
        assert_eq!(added, MOST - 1);
        assert!(words.is_full());
        assert_eq!(words.add(&[b'x'; LONGEST + 1]), None);
        words.clear(true);
        assert!(!words.is_full());
        assert_eq!(words.find_short(key(b"7").unwrap()), None);
    }
}
