//! Questions with values: parameters and tables go beside the statement, never into it.

use std::time::Duration;

use bytes::Bytes;
use data_bridge_core::verdict::Failure;
use reqwest::header::CONTENT_TYPE;

use super::ClickHouse;

/// A statement and what it speaks of.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The statement; `{name:Type}` stands for a parameter.
    pub statement: &'a str,
    /// Parameters by name, as plain text.
    pub parameters: &'a [(&'a str, String)],
    /// A table that exists for this question only.
    pub given: Option<&'a Given>,
    /// How long the answer may take.
    pub limit: Duration,
}

/// A table that is sent with a question ("external data" in ClickHouse's documentation).
#[derive(Clone, Debug)]
pub struct Given {
    /// Its name within the statement: letters and underscores.
    pub name: &'static str,
    /// Columns and types, such as `id UInt64, name String`.
    pub structure: String,
    /// The format of the data, such as `Native`.
    pub format: &'static str,
    /// Its rows.
    pub data: Vec<u8>,
}

impl ClickHouse {
    /// Asks, and returns the answer's text. An answer that breaks off is a failure.
    ///
    /// # Errors
    /// As for any request; a statement that changes something may have been carried out.
    pub async fn ask(&self, question: &Question<'_>) -> Result<String, Failure> {
        let mut settings = vec![("wait_end_of_query".to_owned(), "1".to_owned())];
        for (name, value) in question.parameters {
            settings.push((format!("param_{name}"), escaped(value)));
        }
        let mut content_type = String::new();
        let mut body = Bytes::new();
        if let Some(given) = question.given {
            settings.push((format!("{}_format", given.name), given.format.into()));
            settings.push((format!("{}_structure", given.name), given.structure.clone()));
            let boundary = boundary();
            content_type = format!("multipart/form-data; boundary={boundary}");
            body = multipart(given, &boundary);
        }
        let settings = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect::<Vec<_>>();
        let header = (!body.is_empty()).then_some((CONTENT_TYPE, content_type.as_str()));
        self.post(question.statement, &settings, header, body, question.limit).await
    }
}

/// A parameter's value as the HTTP interface reads it: by the escapes of `TabSeparated`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out
}

/// A line that does not occur in the data: 128 random bits, so nobody can have put it there.
fn boundary() -> String {
    format!("data-bridge-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

fn multipart(given: &Given, boundary: &str) -> Bytes {
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        name = given.name
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let mut body = Vec::with_capacity(head.len() + given.data.len() + tail.len());
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&given.data);
    body.extend_from_slice(tail.as_bytes());
    Bytes::from(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_leave_its_parameter() {
        assert_eq!(escaped("it's a \\ and\ta\nline\0"), "it's a \\\\ and\\ta\\nline\\0");
    }

    #[test]
    fn the_data_lies_between_its_boundaries_byte_for_byte() {
        let data = b"a\r\n--b\xFF\0".to_vec();
        let given = Given { name: "wanted", structure: "x String".into(), format: "Native", data };
        let boundary = boundary();
        let body = multipart(&given, &boundary);
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.starts_with(&format!("--{boundary}\r\n")), "{text}");
        assert!(text.contains("name=\"wanted\"; filename=\"wanted\""), "{text}");
        let data = b"\r\n\r\na\r\n--b\xFF\0\r\n--";
        assert!(body.windows(data.len()).any(|window| window == data));
        assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")), "{text}");
    }
}
