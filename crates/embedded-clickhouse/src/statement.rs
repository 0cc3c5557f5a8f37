//! Reading a statement as far as the HTTP interface must: where the data of an INSERT begins, in
//! which format the answer comes, and whether there is more than one statement. All else is the
//! engine's.

use crate::exception::Exception;

/// What a text asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// `INSERT … VALUES` or `INSERT … FORMAT X`, data behind it.
    Insert {
        /// The statement without the format clause.
        head: Vec<u8>,
        /// The format of the data.
        format: String,
        /// Where the data begins in the text.
        data_at: usize,
    },
    /// Anything else.
    Query {
        /// The format named at the end.
        format: Option<String>,
        /// A SELECT whose answer may come in pieces.
        piecewise: bool,
        /// `USE` and `SET`: they change the session and nothing else.
        session_only: bool,
        /// `KILL …`.
        kills: bool,
    },
}

/// Reads `text`; of an INSERT it need only hold the beginning.
///
/// # Errors
/// `SYNTAX_ERROR` when it is empty or holds several statements.
pub(crate) fn parse(text: &[u8]) -> Result<Statement, Exception> {
    let mut tokens = Tokens { text, at: 0 };
    let Some(first) = tokens.next() else {
        return Err(syntax("Empty query"));
    };
    if first.is(text, "INSERT")
        && let Some(insert) = insert(tokens.clone())?
    {
        return Ok(insert);
    }
    query(text)
}

/// `None`: an INSERT … SELECT, or one that the engine shall judge.
fn insert(mut tokens: Tokens<'_>) -> Result<Option<Statement>, Exception> {
    let text = tokens.text;
    let mut token = tokens.next();
    for word in ["INTO", "TABLE", "FUNCTION"] {
        if token.as_ref().is_some_and(|token| token.is(text, word)) {
            token = tokens.next();
        }
    }
    // The name, which may look like a keyword.
    token = tokens.next();
    while token.as_ref().is_some_and(|token| token.kind == Kind::Sign(b'.')) {
        tokens.next();
        token = tokens.next();
    }
    let mut depth = 0_usize;
    while let Some(now) = token {
        match now.kind {
            Kind::Sign(b'(' | b'[' | b'{') => depth += 1,
            Kind::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Kind::Word if now.is(text, "SELECT") || now.is(text, "WITH") => return Ok(None),
            Kind::Word if depth == 0 && now.is(text, "INFILE") => return Err(no_input("INFILE")),
            Kind::Word if depth == 0 && now.is(text, "VALUES") => {
                return Ok(Some(Statement::Insert {
                    head: text[..now.start].to_vec(),
                    format: "Values".to_owned(),
                    data_at: now.end,
                }));
            }
            Kind::Word if depth == 0 && now.is(text, "FORMAT") => {
                return format_clause(tokens, now.start).map(Some);
            }
            Kind::Word | Kind::Quoted | Kind::Other | Kind::Sign(_) => {}
        }
        token = tokens.next();
    }
    Ok(None)
}

/// `FORMAT name [SETTINGS …]`, the data behind it.
fn format_clause(mut tokens: Tokens<'_>, start: usize) -> Result<Statement, Exception> {
    let text = tokens.text;
    let Some(name) = tokens.next().filter(|token| token.kind == Kind::Word) else {
        return Err(syntax("FORMAT of an INSERT without a name"));
    };
    let mut head = text[..start].to_vec();
    let mut end = name.end;
    let mut ahead = tokens.clone();
    // On the same line only: data may begin with that word.
    let same_line = |token: &Token| !text[end..token.start].contains(&b'\n');
    if ahead.next().is_some_and(|token| token.is(text, "SETTINGS") && same_line(&token)) {
        let from = ahead.at;
        end = settings_end(&mut ahead);
        head.extend_from_slice(b" SETTINGS ");
        head.extend_from_slice(&text[from..end]);
    }
    // On the same line only: a byte of the data may well be a semicolon.
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | 0x0c);
    if text[end..].iter().find(|byte| !blank(byte)) == Some(&b';') {
        return Err(syntax("You have excessive ';' symbol before data for INSERT"));
    }
    Ok(Statement::Insert {
        head,
        format: String::from_utf8_lossy(&text[name.start..name.end]).into_owned(),
        data_at: data_start(text, end),
    })
}

/// Behind `SETTINGS`: `name = value` with commas between.
fn settings_end(tokens: &mut Tokens<'_>) -> usize {
    loop {
        tokens.next();
        tokens.next();
        let value = tokens.next();
        if value.is_some_and(|token| token.kind == Kind::Sign(b'-')) {
            tokens.next();
        }
        let end = tokens.at;
        if tokens.clone().next().is_none_or(|token| token.kind != Kind::Sign(b',')) {
            return end;
        }
        tokens.next();
    }
}

/// Blanks, then at most one end of line, stand between the format's name and the data.
fn data_start(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

fn query(text: &[u8]) -> Result<Statement, Exception> {
    let mut tokens = Tokens { text, at: 0 };
    let mut first = None;
    let mut format = None;
    let mut whole = false;
    let mut depth = 0_usize;
    while let Some(token) = tokens.next() {
        if first.is_none() && token.kind == Kind::Word {
            first = Some(token.clone());
        }
        match token.kind {
            Kind::Sign(b'(' | b'[' | b'{') => depth += 1,
            Kind::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Kind::Sign(b';') => {
                if let Some(more) = tokens.next() {
                    return Err(several(more.start));
                }
            }
            Kind::Word if token.is(text, "FORMAT") && depth == 0 => {
                let mut ahead = tokens.clone();
                let name = ahead.next().filter(|token| token.kind == Kind::Word);
                let last = ahead
                    .next()
                    .is_none_or(|next| next.kind == Kind::Sign(b';') || next.is(text, "SETTINGS"));
                if let (Some(name), true) = (name, last) {
                    let name = String::from_utf8_lossy(&text[name.start..name.end]).into_owned();
                    format = Some(name);
                }
            }
            // The engine would read the process's standard input instead of the body.
            Kind::Word
                if token.is(text, "input")
                    && calls(&tokens)
                    && first.as_ref().is_some_and(|first| first.is(text, "INSERT")) =>
            {
                return Err(no_input("input()"));
            }
            Kind::Word if token.is(text, "OUTFILE") && outfile(&text[..token.start]) => {
                let message =
                    "INTO OUTFILE is not allowed: this is a server's answer, not a client";
                return Err(Exception::new(358, "INTO_OUTFILE_NOT_ALLOWED", message));
            }
            // Totals, extremes and arrays of rows are written around the rows, piece by piece.
            Kind::Word
                if token.is(text, "TOTALS")
                    || token.is(text, "extremes")
                    || token.is(text, "output_format_json_array_of_rows") =>
            {
                whole = true;
            }
            Kind::Word | Kind::Quoted | Kind::Other | Kind::Sign(_) => {}
        }
    }
    let is = |words: &[&str]| {
        first.as_ref().is_some_and(|first| words.iter().any(|word| first.is(text, word)))
    };
    Ok(Statement::Query {
        format,
        piecewise: !whole && is(&["SELECT", "WITH"]),
        session_only: is(&["USE", "SET"]),
        kills: is(&["KILL"]),
    })
}

fn no_input(source: &str) -> Exception {
    let message = format!(
        "INSERT from {source} is not supported by the embedded ClickHouse; put the data behind \
         INSERT … FORMAT, if need be into a temporary table"
    );
    Exception::new(48, "NOT_IMPLEMENTED", &message)
}

/// A bracket comes next.
fn calls(tokens: &Tokens<'_>) -> bool {
    tokens.clone().next().is_some_and(|next| next.kind == Kind::Sign(b'('))
}

/// `INTO` stands before `OUTFILE`.
fn outfile(before: &[u8]) -> bool {
    before.trim_ascii_end().to_ascii_uppercase().ends_with(b"INTO")
}

fn syntax(message: &str) -> Exception {
    Exception::new(62, "SYNTAX_ERROR", &format!("Syntax error: {message}"))
}

fn several(at: usize) -> Exception {
    syntax(&format!(
        "failed at position {} (end of query). Multi-statements are not allowed",
        at + 1
    ))
}

/// Watches the data of `INSERT … VALUES` for a second statement, which the engine would skip in
/// silence.
#[derive(Debug, Default)]
pub(crate) struct ValuesGuard {
    quoted: bool,
    escaped: bool,
    ended: bool,
}

impl ValuesGuard {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// `SYNTAX_ERROR` when something follows the semicolon.
    pub(crate) fn check(&mut self, data: &[u8]) -> Result<(), Exception> {
        for &byte in data {
            if self.escaped {
                self.escaped = false;
            } else if self.quoted {
                match byte {
                    b'\\' => self.escaped = true,
                    b'\'' => self.quoted = false,
                    _ => {}
                }
            } else if self.ended {
                if !byte.is_ascii_whitespace() && byte != b';' {
                    return Err(syntax("Multi-statements are not allowed: text after the values"));
                }
            } else {
                match byte {
                    b'\'' => self.quoted = true,
                    b';' => self.ended = true,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// `text` as an SQL literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('\'');
    literal
}

/// `name` as an SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A bare word: keyword, name or number.
    Word,
    /// A text or a quoted name.
    Quoted,
    /// One sign of ASCII.
    Sign(u8),
    /// Anything beyond ASCII.
    Other,
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Token {
    /// Whether this is the bare word `word`, in any case.
    fn is(&self, text: &[u8], word: &str) -> bool {
        self.kind == Kind::Word && text[self.start..self.end].eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Words, texts and signs; comments and blanks are skipped.
#[derive(Clone)]
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        let start = self.at;
        let &byte = self.text.get(start)?;
        let kind = match byte {
            b'\'' | b'"' | b'`' => {
                self.at = self.quote_end(byte);
                Kind::Quoted
            }
            b'$' if self.heredoc() => Kind::Quoted,
            _ if word(byte) => {
                let rest = &self.text[start..];
                self.at = start + rest.iter().position(|&byte| !word(byte)).unwrap_or(rest.len());
                Kind::Word
            }
            _ => {
                self.at += 1;
                if byte.is_ascii() { Kind::Sign(byte) } else { Kind::Other }
            }
        };
        Some(Token { kind, start, end: self.at })
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let length =
                if rest.starts_with(b"--") || rest.starts_with(b"#!") || rest.starts_with(b"# ") {
                    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
                } else if rest.starts_with(b"/*") {
                    find(rest, b"*/").map_or(rest.len(), |end| end + 2)
                } else {
                    rest.iter()
                        .position(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0 | 0x0b))
                        .unwrap_or(rest.len())
                };
            if length == 0 {
                return;
            }
            self.at += length;
        }
    }

    /// Behind the closing quote; doubled and escaped ones do not close. An open text ends the
    /// whole.
    fn quote_end(&self, quote: u8) -> usize {
        let mut at = self.at + 1;
        while let Some(&byte) = self.text.get(at) {
            at += 1;
            if byte == b'\\' {
                at += 1;
            } else if byte == quote {
                if self.text.get(at) != Some(&quote) {
                    return at;
                }
                at += 1;
            }
        }
        self.text.len()
    }

    /// `$tag$ … $tag$`.
    fn heredoc(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(tag) = rest[1..].iter().position(|&byte| !word(byte)).map(|end| end + 2) else {
            return false;
        };
        if rest.get(tag - 1) != Some(&b'$') {
            return false;
        }
        let Some(end) = find(&rest[tag..], &rest[..tag]) else {
            return false;
        };
        self.at += tag + end + tag;
        true
    }
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(text: &str) -> (String, String, String) {
        match parse(text.as_bytes()) {
            Ok(Statement::Insert { head, format, data_at }) => {
                (String::from_utf8(head).unwrap(), format, text[data_at..].to_owned())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn data_may_begin_with_what_looks_like_a_semicolon() {
        // 11 columns and 59 rows, as a Native block begins.
        let (_, _, data) = inserted("INSERT INTO t FORMAT Native\n\x0b;rest");
        assert_eq!(data, "\x0b;rest");
        let (_, _, data) = inserted("INSERT INTO t FORMAT Native\n\n;");
        assert_eq!(data, "\n;");
        let (_, _, data) = inserted("INSERT INTO t FORMAT CSV\nsettings,1");
        assert_eq!(data, "settings,1");
        assert!(parse(b"INSERT INTO t FORMAT Native ;\n1").is_err());
    }

    #[test]
    fn data_of_an_insert_begins_behind_its_format() {
        let cases = [
            ("INSERT INTO t FORMAT CSV\n1,2\n", "INSERT INTO t ", "CSV", "1,2\n"),
            (
                "insert into a.b (x, y) format JSONEachRow {\"x\":1}",
                "insert into a.b (x, y) ",
                "JSONEachRow",
                "{\"x\":1}",
            ),
            ("INSERT INTO t FORMAT CSV \t\r\n\n1", "INSERT INTO t ", "CSV", "\n1"),
            ("INSERT INTO values VALUES (1)", "INSERT INTO values ", "Values", " (1)"),
            (
                "INSERT INTO `format`.`values` (a) VALUES(1)",
                "INSERT INTO `format`.`values` (a) ",
                "Values",
                "(1)",
            ),
            (
                "/* FORMAT x */ INSERT INTO FUNCTION file('a') -- VALUES\nFORMAT TSV\n",
                "/* FORMAT x */ INSERT INTO FUNCTION file('a') -- VALUES\n",
                "TSV",
                "",
            ),
            (
                "INSERT INTO t SETTINGS a = 'VALUES' FORMAT Native\n",
                "INSERT INTO t SETTINGS a = 'VALUES' ",
                "Native",
                "",
            ),
            (
                "INSERT INTO t FORMAT CSV SETTINGS a = -1, b='x'\n7",
                "INSERT INTO t  SETTINGS  a = -1, b='x'",
                "CSV",
                "7",
            ),
        ];
        for (text, head, format, data) in cases {
            assert_eq!(inserted(text), (head.into(), format.into(), data.into()), "{text}");
        }
    }

    #[test]
    fn several_statements_are_refused_wherever_the_semicolon_is_real() {
        for text in [
            "SELECT 1; SELECT 2",
            "SELECT 1;;x",
            "SELECT ';' ; SELECT 1",
            "SET a=1; SELECT $x$;$x$",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().code, 62, "{text}");
        }
        for text in [
            "SELECT 1;",
            "SELECT ';a' -- ; b",
            "SELECT `;`",
            "SELECT $a$ ; b $a$ ;\n/* ; x */",
            "SELECT 'it''s; \\'; x'",
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
        let mut guard = ValuesGuard::default();
        assert!(guard.check(b"(1,'a;\\';b'),('').;\n ; ").is_ok());
        assert!(guard.check(b"SELECT 1").is_err());
    }

    #[test]
    fn format_of_a_query_is_the_one_at_its_end() {
        let format = |text: &str| match parse(text.as_bytes()).unwrap() {
            Statement::Query { format, piecewise, .. } => (format, piecewise),
            Statement::Insert { .. } => panic!("{text}"),
        };
        assert_eq!(format("SELECT 1 FORMAT JSON"), (Some("JSON".into()), true));
        assert_eq!(format("SELECT 1 format Native SETTINGS a=1;"), (Some("Native".into()), true));
        assert_eq!(format("SELECT format FROM t"), (None, true));
        assert_eq!(format("SELECT (SELECT 1 FORMAT CSV)"), (None, true));
        assert_eq!(format("SHOW TABLES"), (None, false));
        assert_eq!(format("SELECT k, count() FROM t GROUP BY k WITH TOTALS"), (None, false));
        assert_eq!(format("INSERT INTO t SELECT 1"), (None, false));
        assert_eq!(format("INSERT INTO t (a) WITH 1 AS x SELECT x"), (None, false));
    }
}
