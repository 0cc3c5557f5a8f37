//! What an audit finds.

use data_bridge_core::catalog::Table;
use serde::Serialize;

use super::question::{BURIED, DIFFERS, EXPIRED, MISSING};

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// An event of which there is neither a row nor a dead letter.
    Missing {
        /// Which event.
        #[serde(flatten)]
        of: Identity,
    },
    /// A row that does not hold what the message says.
    Differs {
        /// Which event.
        #[serde(flatten)]
        of: Identity,
        /// Column by column.
        columns: Vec<Difference>,
    },
    /// Offsets that were deleted before the bridge read them.
    RangeLost {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset.
        from: u64,
        /// The first offset behind it.
        to: u64,
    },
    /// Messages of the stream that were deleted before they were delivered.
    SequencesLost {
        /// The stream.
        stream: String,
        /// The first sequence.
        from: u64,
        /// The first sequence behind it.
        to: u64,
        /// How many messages.
        messages: u64,
    },
}

/// Where an event came from, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The table it belongs to.
    pub table: String,
    /// Such as `kafka:tick_archive:3`; empty for a table that does not keep it.
    pub origin: String,
    /// The offset; `None` for a table that does not keep it.
    pub position: Option<u64>,
    /// The sort key's columns and their values.
    pub identity: Vec<(String, String)>,
}

/// A column whose value is another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The column.
    pub column: String,
    /// What the message says; the first 200 bytes.
    pub expected: String,
    /// What the row holds.
    pub found: String,
}

/// One line of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) row: u32,
    pub(super) what: What,
}

/// What became of a row that is not visible as it was sent.
#[derive(Debug)]
pub(super) enum What {
    Found(Finding),
    Expired,
    Buried,
}

impl What {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Found(Finding::Missing { .. }))
    }
}

/// A line as `JSONCompactEachRow` writes it.
type Line = (u32, String, String, String, Vec<String>, Vec<Vec<String>>);

/// Reads the answer to a question about rows of `table`.
pub(super) fn read(answer: &str, table: &Table) -> Result<Vec<Answer>, String> {
    answer.lines().filter(|line| !line.is_empty()).map(|line| read_line(line, table)).collect()
}

fn read_line(line: &str, table: &Table) -> Result<Answer, String> {
    let (row, state, origin, position, identity, differences): Line =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let names = if identity.len() == table.sort_key.len() {
        table.sort_key.clone()
    } else {
        // Dead letters are the same whatever the reason, which stands last.
        table.sort_key.iter().take(identity.len()).cloned().collect()
    };
    let identity = names.into_iter().zip(identity).collect();
    let position = position.parse().ok();
    let of = Identity { table: table.name.clone(), origin, position, identity };
    let what = match state.as_str() {
        MISSING => What::Found(Finding::Missing { of }),
        DIFFERS => What::Found(Finding::Differs {
            of,
            columns: differences.into_iter().map(difference).collect::<Result<_, _>>()?,
        }),
        EXPIRED => What::Expired,
        BURIED => What::Buried,
        other => return Err(format!("state {other:?}")),
    };
    Ok(Answer { row, what })
}

fn difference(fields: Vec<String>) -> Result<Difference, String> {
    let [_, column, expected, found]: [String; 4] =
        fields.try_into().map_err(|fields| format!("a difference of {fields:?}"))?;
    Ok(Difference { column, expected, found })
}
