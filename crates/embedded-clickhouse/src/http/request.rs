//! A request of ClickHouse's HTTP interface, read from method, URL and headers.

use std::time::Duration;

use hyper::Method;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;

use crate::codec::decode::ContentEncoding;
use crate::codec::encode::AnswerEncoding;
use crate::exception::Exception;

/// `default_session_timeout` and `max_session_timeout` of a server.
const SESSION_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_SESSION_TIMEOUT: Duration = Duration::from_hours(1);

/// What the client wants, without the body.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the URL")]
pub(crate) struct Request {
    /// GET and HEAD may only read.
    pub(crate) reads_only: bool,
    /// From the URL (and from parts of a multipart body).
    pub(crate) query: String,
    /// To be current for this statement.
    pub(crate) database: Option<String>,
    /// Format of the answer when the statement names none.
    pub(crate) default_format: Option<String>,
    /// The client's, or one made here.
    pub(crate) query_id: String,
    pub(crate) settings: Vec<(String, String)>,
    /// `param_*`.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) session: Option<SessionRequest>,
    pub(crate) content_encoding: ContentEncoding,
    pub(crate) decompress: bool,
    compress: bool,
    accept_encoding: String,
    /// Answer only when the statement is done.
    pub(crate) wait_end: bool,
    /// The boundary of a multipart body.
    pub(crate) boundary: Option<String>,
    user: Option<String>,
    key: Option<String>,
    role: bool,
}

/// The session parameters of the URL.
#[derive(Clone, Debug)]
pub(crate) struct SessionRequest {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    /// The session must exist.
    pub(crate) check: bool,
    /// It ends with this request.
    pub(crate) close: bool,
}

impl Request {
    /// Reads URL and headers.
    ///
    /// # Errors
    /// What ClickHouse answers to malformed ones.
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Exception> {
        let headers = &parts.headers;
        let mut request = Self {
            reads_only: parts.method == Method::GET || parts.method == Method::HEAD,
            query: String::new(),
            database: header(headers, "x-clickhouse-database"),
            default_format: header(headers, "x-clickhouse-format"),
            query_id: header(headers, "x-clickhouse-query-id").unwrap_or_default(),
            settings: Vec::new(),
            parameters: Vec::new(),
            session: None,
            content_encoding: match headers.get(CONTENT_ENCODING) {
                Some(value) => ContentEncoding::parse(&String::from_utf8_lossy(value.as_bytes()))?,
                None => ContentEncoding::Identity,
            },
            decompress: false,
            compress: false,
            accept_encoding: header(headers, ACCEPT_ENCODING.as_str()).unwrap_or_default(),
            wait_end: false,
            boundary: header(headers, CONTENT_TYPE.as_str()).as_deref().and_then(boundary),
            user: header(headers, "x-clickhouse-user"),
            key: header(headers, "x-clickhouse-key"),
            role: false,
        };
        if let Some(value) = header(headers, AUTHORIZATION.as_str()) {
            let (user, key) = basic(&value).ok_or_else(|| {
                Exception::new(
                    516,
                    "AUTHENTICATION_FAILED",
                    "only Basic authorization is supported by the embedded ClickHouse",
                )
            })?;
            request.user = Some(user);
            request.key = Some(key);
        }
        let mut session = RawSession::default();
        for (name, value) in pairs(parts.uri.query().unwrap_or_default()) {
            match name.as_str() {
                "session_id" => session.id = value,
                "session_timeout" => session.timeout = value,
                "session_check" => session.check = value,
                "close_session" => session.close = value,
                _ => request.apply(name, value),
            }
        }
        request.session = session.read()?;
        if request.query_id.is_empty() {
            request.query_id = uuid();
        }
        Ok(request)
    }

    /// Takes one parameter of the URL or of a multipart body.
    pub(crate) fn apply(&mut self, name: String, value: String) {
        let empty = value.is_empty();
        match name.as_str() {
            "query" => {
                if !self.query.is_empty() {
                    self.query.push('\n');
                }
                self.query.push_str(&value);
            }
            "database" if !empty => self.database = Some(value),
            "default_format" if !empty => self.default_format = Some(value),
            "query_id" if !empty => self.query_id = value,
            "user" if !empty => self.user = Some(value),
            "password" => self.key = Some(value),
            "compress" => self.compress = truth(&value),
            "decompress" => self.decompress = truth(&value),
            "wait_end_of_query" => self.wait_end = truth(&value),
            "role" => self.role = true,
            // Accepted as a server accepts them; they mean nothing here.
            "database"
            | "default_format"
            | "query_id"
            | "user"
            | "buffer_size"
            | "stacktrace"
            | "quota_key"
            | "client_protocol_version"
            | "session_id"
            | "session_timeout"
            | "session_check"
            | "close_session" => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((name, value)),
            },
        }
    }

    /// Who asks, and whether they may.
    ///
    /// # Errors
    /// `AUTHENTICATION_FAILED` for an unknown user or a wrong password; `UNKNOWN_ROLE` for any
    /// role.
    pub(crate) fn authenticate(&self, password: Option<&str>) -> Result<(), Exception> {
        let user = self.user.as_deref().unwrap_or("default");
        let right = password.is_none_or(|password| self.key.as_deref() == Some(password));
        if !(user.is_empty() || user == "default") || !right {
            let message = format!(
                "{user}: Authentication failed: password is incorrect, or there is no user with \
                 such name."
            );
            return Err(Exception::new(516, "AUTHENTICATION_FAILED", &message));
        }
        if self.role {
            return Err(Exception::new(
                511,
                "UNKNOWN_ROLE",
                "the embedded ClickHouse has no roles",
            ));
        }
        Ok(())
    }

    /// How the answer shall be compressed.
    pub(crate) fn answer_encoding(&self) -> AnswerEncoding {
        let setting = |name: &str| {
            self.settings.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        if self.compress {
            return AnswerEncoding::Blocks;
        }
        if setting("enable_http_compression").is_some_and(|value| !truth(value)) {
            return AnswerEncoding::Identity;
        }
        let level = setting("http_zlib_compression_level").and_then(|level| level.parse().ok());
        AnswerEncoding::negotiate(&self.accept_encoding, level.unwrap_or(3))
    }
}

#[derive(Default)]
struct RawSession {
    id: String,
    timeout: String,
    check: String,
    close: String,
}

impl RawSession {
    fn read(self) -> Result<Option<SessionRequest>, Exception> {
        if self.id.is_empty() {
            return Ok(None);
        }
        let timeout = match self.timeout.as_str() {
            "" => SESSION_TIMEOUT,
            text => text
                .parse()
                .ok()
                .map(Duration::from_secs)
                .filter(|timeout| *timeout <= MAX_SESSION_TIMEOUT)
                .ok_or_else(|| {
                    let message = format!("Invalid session timeout: '{text}', maximum is 3600");
                    Exception::new(374, "INVALID_SESSION_TIMEOUT", &message)
                })?,
        };
        let (check, close) = (truth(&self.check), truth(&self.close));
        Ok(Some(SessionRequest { id: self.id, timeout, check, close }))
    }
}

fn truth(value: &str) -> bool {
    matches!(value, "1" | "true" | "TRUE" | "True")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned();
    (!value.is_empty()).then_some(value)
}

/// The boundary of `multipart/form-data; boundary=…`.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    })
}

/// User and password of `Basic …`.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(base64(rest.trim())?).ok()?;
    let (user, key) = text.split_once(':')?;
    Some((user.to_owned(), key.to_owned()))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for symbol in text.trim_end_matches('=').bytes() {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).expect("eight bits"));
        }
    }
    Some(bytes)
}

/// Name and value of a URL's query, decoded.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits"));
                at += 3;
            }
            (byte, _, _) => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A random UUID (version 4).
fn uuid() -> String {
    let bits = fastrand::u128(..);
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Result<Request, Exception> {
        let mut builder = hyper::Request::post(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        Request::parse(&builder.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn url_is_decoded_and_sorted_into_its_parts() {
        let request = request(
            "/?query=SELECT+%7Bx:UInt8%7D&param_x=1&database=market&max_threads=2&session_id=s\
             &compress=1&query_id=q%201",
            &[],
        )
        .unwrap();
        assert_eq!(request.query, "SELECT {x:UInt8}");
        assert_eq!(request.parameters, [("x".to_owned(), "1".to_owned())]);
        assert_eq!(request.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(request.database.as_deref(), Some("market"));
        assert_eq!(request.query_id, "q 1");
        assert_eq!(request.session.as_ref().unwrap().timeout, SESSION_TIMEOUT);
        assert_eq!(request.answer_encoding(), AnswerEncoding::Blocks);
    }

    #[test]
    fn only_the_right_password_of_default_is_let_in() {
        let basic = request("/", &[("authorization", "Basic ZGVmYXVsdDpzZWNyZXQ=")]).unwrap();
        assert!(basic.authenticate(Some("secret")).is_ok());
        assert_eq!(basic.authenticate(Some("other")).unwrap_err().code, 516);
        assert!(basic.authenticate(None).is_ok());
        let other = request("/?user=alice", &[]).unwrap();
        assert_eq!(other.authenticate(None).unwrap_err().status(), 403);
        assert_eq!(request("/?role=r", &[]).unwrap().authenticate(None).unwrap_err().code, 511);
    }

    #[test]
    fn encodings_are_negotiated_or_refused() {
        assert_eq!(request("/", &[("content-encoding", "br")]).unwrap_err().code, 89);
        let accept = |value| request("/", &[("accept-encoding", value)]).unwrap().answer_encoding();
        assert_eq!(accept("zstd;q=0, gzip"), AnswerEncoding::Gzip(3));
        assert_eq!(accept("br"), AnswerEncoding::Identity);
        assert_eq!(accept("zstd"), AnswerEncoding::Zstd);
        let off = request("/?enable_http_compression=0", &[("accept-encoding", "gzip")]).unwrap();
        assert_eq!(off.answer_encoding(), AnswerEncoding::Identity);
    }

    #[test]
    fn made_query_ids_are_uuids() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
    }
}
