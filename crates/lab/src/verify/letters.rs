//! Dead letters against the planted bad messages.

use std::collections::BTreeMap;

use super::verdict::{LetterVerdict, Sample, Wrong};
use super::{SAMPLES, Server, ServerError};
use crate::generate::Message;
use crate::model::{self, ByHash, Expected};
use crate::plan::Stamp;

/// Compares `dead_letters`.
pub(super) async fn compare(
    server: &Server,
    expected: &Expected,
    samples: &mut Vec<Sample>,
) -> Result<LetterVerdict, ServerError> {
    let query = format!(
        "SELECT origin, origin_position, toUnixTimestamp64Milli(received_at), reason, hex(key), \
         hex(payload) FROM {}.dead_letters FINAL{} FORMAT TabSeparated",
        server.database(),
        server.clause()
    );
    let mut verdict =
        LetterVerdict { expected: expected.dead_letters(), ..LetterVerdict::default() };
    let mut found: ByHash<u32> = ByHash::default();
    let mut strangers = Vec::new();
    let mut reasons: BTreeMap<(String, String), u64> = BTreeMap::new();
    let known_times = matches!(expected.plan().stamp, Stamp::Numbered { .. });
    server
        .lines(&query, |line| {
            let unreadable = || ServerError::Unreadable {
                line: String::from_utf8_lossy(line).chars().take(500).collect(),
                query: query.clone(),
            };
            let letter = Found::read(line).ok_or_else(unreadable)?;
            verdict.found += 1;
            let time = known_times.then_some(letter.received_ms);
            let hash = model::letter(letter.origin, time, &letter.key, &letter.payload);
            let times = found.entry(hash).or_insert(0);
            *times += 1;
            let reason = letter.reason;
            if let Some(planted) = expected.letters().get(&hash) {
                if *times > planted.expected {
                    verdict.duplicates += 1;
                }
                verdict.misnamed += u64::from(!planted.flaw.reasons().contains(&&*reason));
                *reasons.entry((planted.flaw.to_string(), reason)).or_default() += 1;
            } else {
                verdict.unexpected += 1;
                if strangers.len() < SAMPLES {
                    let payload = String::from_utf8_lossy(&letter.payload);
                    let payload: String = payload.chars().take(300).collect();
                    strangers.push(Sample {
                        table: "dead_letters".to_owned(),
                        wrong: Wrong::Unexpected,
                        message: None,
                        origin: Some(String::from_utf8_lossy(letter.origin).into_owned()),
                        position: Some(letter.position),
                        expected: String::new(),
                        found: format!("{reason}: {payload}"),
                    });
                }
            }
            Ok::<(), ServerError>(())
        })
        .await?;
    samples.append(&mut strangers);
    missing(expected, &found, &mut verdict, samples);
    verdict.reasons =
        reasons.into_iter().map(|((flaw, reason), count)| (flaw, reason, count)).collect();
    verdict.raw_rows = server.count("dead_letters").await?;
    Ok(verdict)
}

fn missing(
    expected: &Expected,
    found: &ByHash<u32>,
    verdict: &mut LetterVerdict,
    samples: &mut Vec<Sample>,
) {
    let mut gaps = Vec::new();
    for (hash, planted) in expected.letters() {
        let times = found.get(hash).copied().unwrap_or_default();
        if times < planted.expected {
            verdict.missing += u64::from(planted.expected - times);
            gaps.push((planted.number, planted.flaw));
        }
    }
    gaps.sort_unstable();
    let mut message = Message::default();
    for (number, flaw) in gaps.into_iter().take(SAMPLES) {
        expected.generator().message(u64::from(number), &mut message);
        let payload = String::from_utf8_lossy(message.payload().unwrap_or_default());
        let payload: String = payload.chars().take(300).collect();
        samples.push(Sample {
            table: "dead_letters".to_owned(),
            wrong: Wrong::Missing,
            message: Some(u64::from(number)),
            origin: Some(model::origin(expected.plan(), message.kind, message.partition)),
            position: None,
            expected: format!("{flaw}: {payload}"),
            found: String::new(),
        });
    }
}

struct Found<'a> {
    origin: &'a [u8],
    position: u64,
    received_ms: i64,
    reason: String,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl<'a> Found<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.split(|byte| *byte == b'\t');
        let mut next = || parts.next();
        Some(Self {
            origin: next()?,
            position: std::str::from_utf8(next()?).ok()?.parse().ok()?,
            received_ms: std::str::from_utf8(next()?).ok()?.parse().ok()?,
            reason: String::from_utf8_lossy(next()?).into_owned(),
            key: unhex(next()?)?,
            payload: unhex(next()?)?,
        })
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
