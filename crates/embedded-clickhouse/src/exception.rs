//! An error as ClickHouse says it: code, name, text, HTTP status.

use std::fmt;

/// What the engine, or this server in its manner, has to say against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// As in `system.errors`.
    pub(crate) code: i32,
    /// Such as `UNKNOWN_TABLE`.
    pub(crate) name: String,
    /// From `Code:` up to the bracket with the name, without a version.
    text: String,
}

impl Exception {
    /// An exception of this server's own.
    pub(crate) fn new(code: i32, name: &str, message: &str) -> Self {
        let text = format!("Code: {code}. DB::Exception: {message} ({name})");
        Self { code, name: name.to_owned(), text }
    }

    /// Reads the engine's text: `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
    pub(crate) fn parse(engine_text: &str) -> Self {
        let text = without_version(engine_text.trim_end());
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next()?.trim().parse().ok());
        let name = text.strip_suffix(')').and_then(|text| {
            let name = &text[text.rfind('(')? + 1..];
            let plain =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
        });
        match (code, name) {
            (Some(code), Some(name)) => Self { code, name, text: text.to_owned() },
            (code, _) => {
                // A few errors of the C interface itself come without code and name.
                Self::new(code.unwrap_or(1002), "UNKNOWN_EXCEPTION", text)
            }
        }
    }

    /// The status that ClickHouse's HTTP interface answers with.
    pub(crate) fn status(&self) -> u16 {
        match self.name.as_str() {
            "REQUIRED_PASSWORD" => 401,
            "AUTHENTICATION_FAILED"
            | "UNKNOWN_USER"
            | "WRONG_PASSWORD"
            | "ACCESS_DENIED"
            | "SET_NON_GRANTED_ROLE" => 403,
            "UNKNOWN_TABLE"
            | "UNKNOWN_DATABASE"
            | "UNKNOWN_SETTING"
            | "UNKNOWN_FUNCTION"
            | "UNKNOWN_IDENTIFIER"
            | "UNKNOWN_TYPE"
            | "UNKNOWN_STORAGE"
            | "UNKNOWN_FORMAT"
            | "UNKNOWN_AGGREGATE_FUNCTION"
            | "UNKNOWN_DATABASE_ENGINE"
            | "UNKNOWN_ROLE"
            | "UNKNOWN_TYPE_OF_QUERY"
            | "UNKNOWN_DIRECTION_OF_SORTING"
            | "SESSION_NOT_FOUND" => 404,
            "TIMEOUT_EXCEEDED" => 408,
            "NOT_IMPLEMENTED" => 501,
            "SYNTAX_ERROR"
            | "INCORRECT_DATA"
            | "TYPE_MISMATCH"
            | "BAD_REQUEST_PARAMETER"
            | "UNKNOWN_ELEMENT_IN_AST"
            | "UNKNOWN_TYPE_OF_AST_NODE"
            | "TOO_DEEP_AST"
            | "TOO_BIG_AST"
            | "UNEXPECTED_AST_STRUCTURE"
            | "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"
            | "CANNOT_READ_ALL_DATA"
            | "CANNOT_DECOMPRESS"
            | "CHECKSUM_DOESNT_MATCH"
            | "UNKNOWN_COMPRESSION_METHOD"
            | "BAD_ARGUMENTS" => 400,
            name if name.starts_with("CANNOT_PARSE") => 400,
            _ => 500,
        }
    }

    /// The body of an error answer, with the engine's version behind it as a server puts it.
    pub(crate) fn body(&self, version: &str) -> String {
        format!("{self} (version {version})\n")
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Exception {}

impl Exception {
    /// What an error of reading a body means: our own exception inside it, or a body cut short.
    pub(crate) fn of_body(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(exception) => exception.clone(),
            None => {
                Self::new(33, "CANNOT_READ_ALL_DATA", &format!("cannot read the body: {error}"))
            }
        }
    }
}

fn without_version(text: &str) -> &str {
    text.rfind(" (version ").filter(|_| text.ends_with(')')).map_or(text, |at| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_text_gives_code_name_and_status() {
        let table = Exception::parse(
            "Code: 60. DB::Exception: Table market.nope does not exist. (UNKNOWN_TABLE)",
        );
        assert_eq!((table.code, table.name.as_str(), table.status()), (60, "UNKNOWN_TABLE", 404));
        let parse = Exception::parse(
            "Code: 27. DB::Exception: Cannot parse input: (at row 1)\n: While executing X. \
             (CANNOT_PARSE_INPUT_ASSERTION_FAILED) (version 26.7.2.1)",
        );
        assert_eq!((parse.code, parse.status()), (27, 400));
        assert!(parse.body("26.7.2.1").ends_with("FAILED) (version 26.7.2.1)\n"));
        assert_eq!(parse.body("26.7.2.1").matches("(version").count(), 1);
    }

    #[test]
    fn text_without_code_is_still_an_exception() {
        let odd = Exception::parse("Unexpected null connection");
        assert_eq!((odd.code, odd.status()), (1002, 500));
        assert_eq!(
            odd.to_string(),
            "Code: 1002. DB::Exception: Unexpected null connection (UNKNOWN_EXCEPTION)"
        );
    }
}
