//! Just enough of Rust's grammar to see which names a file uses: comments and literals are taken
//! out, what is left is cut into tokens.

/// A token and the line it stands on, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// Identifiers, `::` and single other characters. `code` comes from [`without_literals`].
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, content) in code.lines().enumerate() {
        let mut rest = content.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_name(first) {
                rest.find(|next| !is_name(next)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { text: &rest[..length], line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    found
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The text with every comment, string and character literal replaced by blanks, lines kept.
pub(super) fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// Bytes of the comment or literal that `rest` begins with; 0 if it begins with neither.
fn literal(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    // A prefix counts only where a name begins: `for"` is not `r"`.
    if before.is_some_and(is_name) {
        return 0;
    }
    raw_string(rest)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters, `'a` is a lifetime.
fn character(rest: &str) -> usize {
    let mut following = rest.chars().skip(1);
    let (first, second) = (following.next(), following.next());
    match (first, second) {
        (Some('\\'), Some(_)) => quoted(rest, '\''),
        (Some(character), Some('\'')) => 2 + character.len_utf8(),
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, and the same with `b` or `c` before it.
fn raw_string(rest: &str) -> usize {
    let marker = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix));
    let Some(marker) = marker else { return 0 };
    let behind = &rest[marker.len()..];
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    if !behind[hashes..].starts_with('"') {
        return 0;
    }
    let open = marker.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[open..].find(&end).map_or(rest.len(), |at| open + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let code = without_literals(text);
        let names = tokens(&code);
        names.iter().filter(|t| t.text.starts_with(is_name)).map(|t| t.text.to_owned()).collect()
    }

    #[test]
    fn names_in_comments_and_literals_do_not_count() {
        let text =
            "a // b\n/* c /* d */ e */ f \"g \\\" h\" i 'j' k<'l> '\\'' m b\"n\" r#\"o \" p\"# q";
        assert_eq!(names(text), ["a", "f", "i", "k", "l", "m", "b", "q"]);
        assert_eq!(names("number\"x\" raw#y"), ["number", "raw", "y"]);
        assert_eq!(names("r#type 'ä' z"), ["r", "type", "z"]);
    }

    #[test]
    fn lines_are_kept() {
        let code = without_literals("/* 1\n2 */ a\n\"3\n4\" b");
        let tokens = tokens(&code);
        assert_eq!(tokens[0], Token { text: "a", line: 2 });
        assert_eq!(tokens[1], Token { text: "b", line: 4 });
    }
}
