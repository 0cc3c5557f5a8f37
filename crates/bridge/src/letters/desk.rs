//! Letters as a page asks for them: opened anew for each question, so that it follows the tables.

use std::sync::Arc;
use std::time::Duration;

use data_bridge_core::catalog::Catalog;
use serde::Serialize;

use super::{Filter, Group, Letter, Letters, LettersError, Outcome, Replayer, Whole};
use crate::config::Config;
use crate::routes;
use crate::sink::clickhouse::ClickHouse;

/// Letters older than this are for `data-bridge dlq list`: a page must not read years.
const DAYS: i64 = 7;
/// Letters of one list.
const LISTED: u64 = 50;
/// Bytes of a message that a page is given.
const SHOWN: usize = 16 * 1_024;
/// Characters of an error that a page is given.
const LONGEST_ERROR: usize = 500;
/// A person waits for it; ClickHouse may be away.
const LIMIT: Duration = Duration::from_secs(10);

/// Answers questions about letters, each on its own.
#[derive(Debug)]
pub struct Desk {
    config: Config,
}

/// One letter of a list.
#[derive(Debug, Serialize)]
pub struct Row {
    /// As `data-bridge dlq show` takes it.
    letter: String,
    origin: String,
    /// A text: a browser's numbers are too short for it.
    position: String,
    route: String,
    reason: String,
    error: String,
    received_ms: i64,
    replayed_ms: Option<i64>,
    bytes: u64,
    attempts: u32,
}

/// One letter with its message.
#[derive(Debug, Serialize)]
pub struct Page {
    #[serde(flatten)]
    row: Row,
    key: Excerpt,
    payload: Excerpt,
    headers: Vec<(Excerpt, Excerpt)>,
}

/// Bytes of a message for people: what is no printable text is escaped.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    text: String,
    bytes: usize,
    /// Whether more follows.
    cut: bool,
}

/// What a replay came to.
#[derive(Debug, Serialize)]
pub struct Replayed {
    replayed: usize,
    /// Why the others stay.
    stay: Vec<String>,
}

impl Desk {
    /// A desk for the ClickHouse and the routes of `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Letters of the last days by route and reason, the most frequent first.
    ///
    /// # Errors
    /// When ClickHouse cannot be asked in time.
    pub async fn groups(&self, now_ms: i64) -> Result<Vec<Group>, LettersError> {
        in_time(async {
            let (letters, _catalog) = self.open().await?;
            letters.groups(&recent(now_ms)).await
        })
        .await
    }

    /// The youngest letters of a route and a reason.
    ///
    /// # Errors
    /// As for [`Desk::groups`].
    pub async fn newest(
        &self,
        route: String,
        reason: String,
        now_ms: i64,
    ) -> Result<Vec<Row>, LettersError> {
        in_time(async {
            let (letters, _catalog) = self.open().await?;
            let filter =
                Filter { routes: Some(vec![route]), reason: Some(reason), ..recent(now_ms) };
            let found = letters.newest(&filter, LISTED).await?;
            Ok(found.into_iter().map(Row::from).collect())
        })
        .await
    }

    /// The letters at a position, with their messages; one message may lie there for several reasons.
    ///
    /// # Errors
    /// As for [`Desk::groups`].
    pub async fn show(&self, origin: String, position: u64) -> Result<Vec<Page>, LettersError> {
        in_time(async {
            let (letters, _catalog) = self.open().await?;
            let found = at(&letters, origin, position).await?;
            Ok(found.into_iter().map(Page::from).collect())
        })
        .await
    }

    /// Replays the letters at a position by today's routes.
    ///
    /// # Errors
    /// As for [`Desk::groups`].
    pub async fn replay(
        &self,
        origin: String,
        position: u64,
        now_ms: i64,
    ) -> Result<Replayed, LettersError> {
        in_time(async {
            let (letters, catalog) = self.open().await?;
            let wholes = at(&letters, origin, position).await?;
            let mut replayer = Replayer::new(&letters, catalog, &self.config.kafka.topics);
            let outcomes = replayer.replay(&wholes, now_ms).await?;
            let replayed = outcomes.iter().filter(|one| **one == Outcome::Replayed).count();
            let stay = outcomes.into_iter().filter_map(|outcome| match outcome {
                Outcome::Replayed => None,
                Outcome::Stays(why) => Some(text(why.as_bytes(), SHOWN).text),
            });
            Ok(Replayed { replayed, stay: stay.collect() })
        })
        .await
    }

    async fn open(&self) -> Result<(Letters, Arc<Catalog>), LettersError> {
        let clickhouse = ClickHouse::new(&self.config.clickhouse)
            .map_err(|error| LettersError::Table(error.to_string()))?;
        let catalog = routes::described(&self.config, &clickhouse)
            .await
            .map_err(|error| LettersError::Table(error.to_string()))?;
        let letters = Letters::open(clickhouse, &catalog).await?;
        Ok((letters, Arc::new(catalog)))
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, LettersError>>,
) -> Result<T, LettersError> {
    tokio::time::timeout(LIMIT, answer)
        .await
        .unwrap_or_else(|_elapsed| Err(LettersError::Late(LIMIT.as_secs())))
}

fn recent(now_ms: i64) -> Filter {
    Filter { from_ms: Some(now_ms - DAYS * 24 * 3_600_000), ..Filter::default() }
}

async fn at(letters: &Letters, origin: String, position: u64) -> Result<Vec<Whole>, LettersError> {
    let filter = Filter { origin: Some(origin), position: Some(position), ..Filter::default() };
    let found = letters.page(&filter, None, LISTED).await?;
    let ids: Vec<_> = found.into_iter().map(|letter| letter.id).collect();
    letters.whole(&ids).await
}

impl From<Letter> for Row {
    fn from(letter: Letter) -> Self {
        Self {
            letter: letter.id.to_string(),
            origin: letter.id.origin,
            position: letter.id.position.to_string(),
            route: letter.route,
            reason: letter.id.reason,
            error: text(letter.error.as_bytes(), LONGEST_ERROR).text,
            received_ms: letter.id.received_ms,
            replayed_ms: letter.replayed_ms,
            bytes: letter.bytes,
            attempts: letter.attempts,
        }
    }
}

impl From<Whole> for Page {
    fn from(whole: Whole) -> Self {
        let headers = whole.headers.iter().take(100);
        Self {
            key: text(&whole.key, SHOWN),
            payload: text(&whole.payload, SHOWN),
            headers: headers
                .map(|(name, value)| (text(name, LONGEST_ERROR), text(value, LONGEST_ERROR)))
                .collect(),
            row: Row::from(whole.letter),
        }
    }
}

/// The beginning of these bytes, at most `most` of them, with all escaped that is not printable or
/// turns the direction of writing.
fn text(bytes: &[u8], most: usize) -> Excerpt {
    let shown = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for sign in chunk.valid().chars() {
            match sign {
                '\n' | '\t' => text.push(sign),
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {
                    text.extend(sign.escape_unicode());
                }
                sign if sign.is_control() => text.extend(sign.escape_unicode()),
                sign => text.push(sign),
            }
        }
        let invalid = chunk.invalid().iter();
        text.extend(invalid.map(|byte| format!("\\x{byte:02x}")));
    }
    Excerpt { text, bytes: bytes.len(), cut: shown.len() < bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gets_text_that_steers_nothing_and_is_cut() {
        let hostile = text(b"<b>\x1b[31m\n\xff\xe2\x80\xaex", 100);
        assert_eq!(hostile.text, "<b>\\u{1b}[31m\n\\xff\\u{202e}x");
        assert!(!hostile.cut);
        let long = text(&vec![b'a'; 1 << 20], SHOWN);
        assert_eq!((long.text.len(), long.bytes, long.cut), (SHOWN, 1 << 20, true));
        // A character that the cut goes through is no reason to fail.
        assert_eq!(text("é".as_bytes(), 1), Excerpt { text: "\\xc3".into(), bytes: 2, cut: true });
    }
}
