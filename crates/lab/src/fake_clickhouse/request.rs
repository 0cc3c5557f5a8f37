//! What was asked.

use std::time::Instant;

use bytes::Bytes;

use super::native::{self, Block};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// Path without parameters.
    pub path: String,
    /// Parameters of the URL, decoded, in order.
    pub params: Vec<(String, String)>,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Bytes,
    /// When it was complete.
    pub at: Instant,
}

impl Request {
    /// A parameter of the URL.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The query: the parameter `query`, or the body when there is none.
    #[must_use]
    pub fn sql(&self) -> String {
        match self.param("query") {
            Some(query) => query.to_owned(),
            None => String::from_utf8_lossy(&self.body).into_owned(),
        }
    }

    /// It inserts rows.
    #[must_use]
    pub fn is_insert(&self) -> bool {
        let sql = self.sql();
        let start = sql.trim_start().get(..6).unwrap_or_default();
        start.eq_ignore_ascii_case("insert")
    }

    /// The table an insert names, without database and quotes.
    #[must_use]
    pub fn table(&self) -> Option<String> {
        let sql = self.sql();
        let mut words = sql.split(|letter: char| letter.is_whitespace() || letter == '(');
        words.find(|word| word.eq_ignore_ascii_case("into"))?;
        let name = words.find(|word| !word.is_empty() && !word.eq_ignore_ascii_case("table"))?;
        let last = name.rsplit('.').next().unwrap_or(name);
        Some(last.trim_matches(['`', '"']).to_owned())
    }

    /// The rows of an insert in the `Native` format.
    ///
    /// # Errors
    /// When the body is not whole or uses a type that the lab does not know.
    pub fn rows(&self) -> Result<Vec<Block>, native::BadNative> {
        native::read(&self.body)
    }
}

/// Splits and decodes the parameters of a URL.
pub(super) fn params(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match (first, code.and_then(|code| u8::from_str_radix(code, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let params = params("query=INSERT%20INTO+%60a%60.b%20(x)&wait=1&odd=100%&empty");
        let expected =
            [("query", "INSERT INTO `a`.b (x)"), ("wait", "1"), ("odd", "100%"), ("empty", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(params, expected);
    }
}
