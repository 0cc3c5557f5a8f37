//! ClickHouse's error texts, as they stand in answers.

use data_bridge_core::verdict::Failure;

#[cfg(test)]
mod fuzz;

/// Reads `Code: 60. DB::Exception: Table market.ticks does not exist. (UNKNOWN_TABLE)`.
///
/// `code` is the value of `X-ClickHouse-Exception-Code` where the answer had one; it is the
/// authority, since the text may be cut or wrapped by a proxy. `None` when neither says anything.
pub(crate) fn failure_in(text: &str, code: Option<i32>) -> Option<Failure> {
    let stated = text.find("Code: ").and_then(|at| {
        let digits = &text[at + "Code: ".len()..];
        let end = digits.find(|c: char| !c.is_ascii_digit())?;
        digits[..end].parse().ok().filter(|_| digits[end..].starts_with(". DB::"))
    });
    let code = code.or(stated)?;
    let message = text.split_once("DB::Exception: ").map_or(text, |(_, message)| message).trim();
    let (message, name) = split_name(message);
    let (name, message) = (name.to_owned(), shorten(message).to_owned());
    Some(Failure::Server { code, name, message, row: None })
}

/// Notes which row of an insert into `table` (as `database.table`) was refused, where the text says
/// so exactly. A constraint counts the rows of the block that was sent, from 1; the same words about
/// another table come from a view, which may have dropped rows before.
pub(crate) fn with_row(failure: Failure, table: &str) -> Failure {
    match failure {
        Failure::Server { code: VIOLATED_CONSTRAINT, name, message, row: None } => {
            let row = violated_row(&message, table);
            Failure::Server { code: VIOLATED_CONSTRAINT, name, message, row }
        }
        other => other,
    }
}

/// ClickHouse's code for a constraint that a row violates.
const VIOLATED_CONSTRAINT: i32 = 469;

/// Reads "Constraint `sane` for table market.ticks (…) is violated at row 17. Expression: …".
fn violated_row(message: &str, table: &str) -> Option<u32> {
    let (constraint, at) = message.split_once(" is violated at row ")?;
    let (_, of) = constraint.split_once(" for table ")?;
    let named = of.split(" (").next()?.replace('`', "");
    let digits = at.split(|c: char| !c.is_ascii_digit()).next()?;
    let is_ours = named == table && !message.contains("while pushing to view");
    digits.parse::<u32>().ok()?.checked_sub(1).filter(|_| is_ours)
}

/// Cuts `… (UNKNOWN_TABLE) (version 26.7.2.1)` into the message and the error's name.
fn split_name(message: &str) -> (&str, &str) {
    let mut rest = message;
    while let Some(open) = rest.rfind('(') {
        let inside = &rest[open + 1..];
        if let Some(close) = inside.find(')') {
            let word = &inside[..close];
            let is_name = word.len() > 2
                && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if is_name {
                return (rest[..open].trim_end(), word);
            }
        }
        rest = &rest[..open];
    }
    (message, "")
}

/// At most 2,000 bytes: ClickHouse quotes rows and stack traces at length.
pub(crate) fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(2_000)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_name_and_message_are_told_apart() {
        let text = "Code: 60. DB::Exception: Table market.ticks does not exist. (UNKNOWN_TABLE) (version 26.7.2.1 (official build))";
        assert_eq!(
            failure_in(text, Some(60)),
            Some(Failure::Server {
                code: 60,
                name: "UNKNOWN_TABLE".to_owned(),
                message: "Table market.ticks does not exist.".to_owned(),
                row: None,
            })
        );
    }

    #[test]
    fn the_code_of_the_text_serves_where_the_header_is_missing() {
        let text = "\n\nCode: 395. DB::Exception: Value passed to 'throwIf' function is non-zero. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)";
        let Some(Failure::Server { code, name, .. }) = failure_in(text, None) else {
            unreachable!("the text states a code")
        };
        assert_eq!((code, name.as_str()), (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"));
    }

    #[test]
    fn text_of_a_proxy_is_no_exception() {
        assert_eq!(failure_in("<html>502 Bad Gateway</html>", None), None);
        assert_eq!(failure_in("Code: abc", None), None);
    }

    #[test]
    fn a_row_is_named_only_by_a_constraint_of_the_table_itself() {
        let row = |text: &str, table| {
            failure_in(text, None).and_then(|failure| with_row(failure, table).row())
        };
        let said = "Code: 469. DB::Exception: Constraint `sane` for table market.ticks \
                    (6f1c) is violated at row 17. Expression: (bid != 666). Column values: \
                    bid = 666. (VIOLATED_CONSTRAINT)";
        assert_eq!(row(said, "market.ticks"), Some(16));
        assert_eq!(row(said, "market.other"), None);
        let pushed = said.replace(" (VIOLATED", ": while pushing to view market.w (VIOLATED");
        assert_eq!(row(&pushed, "market.ticks"), None);
        assert_eq!(row(&said.replace("469", "395"), "market.ticks"), None);
        assert_eq!(row(&said.replace("row 17", "row 0"), "market.ticks"), None);
    }
}
