//! `multipart/form-data` bodies: parameters, and files as external tables.

use crate::exception::Exception;

/// One part of the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Name of the parameter or of the external table.
    pub(crate) name: String,
    /// It is a file: the data of an external table.
    pub(crate) file: bool,
    pub(crate) data: Vec<u8>,
}

/// Splits a body.
///
/// # Errors
/// `CANNOT_READ_ALL_DATA` when the closing boundary is not there.
pub(crate) fn split(body: &[u8], boundary: &str) -> Result<Vec<Part>, Exception> {
    let cut = || {
        Exception::new(33, "CANNOT_READ_ALL_DATA", "a multipart body without its closing boundary")
    };
    let first = format!("--{boundary}");
    let next = format!("\r\n--{boundary}");
    let mut rest = match find(body, first.as_bytes()) {
        Some(at) => &body[at + first.len()..],
        None => return Err(cut()),
    };
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(cut)?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        let data = &rest[head_end + 4..];
        let end = find(data, next.as_bytes()).ok_or_else(cut)?;
        if let Some(name) = attribute(&head, "name") {
            let file = attribute(&head, "filename").is_some();
            parts.push(Part { name, file, data: data[..end].to_vec() });
        }
        rest = &data[end + next.len()..];
    }
}

/// `name="…"` of the part's Content-Disposition.
fn attribute(head: &str, name: &str) -> Option<String> {
    let line =
        head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    line.split(';').find_map(|item| {
        let (key, value) = item.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"').to_owned())
    })
}

/// Bodies are large and boundaries begin with a rare byte: looked for by that.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += text.get(from..)?.iter().position(|byte| *byte == first)?;
        if text[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_bytes_and_a_cut_body_is_an_error() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\n1\r\n--B\r\n\
            content-disposition: form-data; name=\"t\"; filename=\"f\"\r\nContent-Type: x\r\n\r\na\r\nb\r\n--B--\r\n";
        let parts = split(body, "B").unwrap();
        assert_eq!(
            parts,
            [
                Part { name: "param_x".into(), file: false, data: b"1".to_vec() },
                Part { name: "t".into(), file: true, data: b"a\r\nb".to_vec() },
            ]
        );
        assert_eq!(split(&body[..body.len() - 6], "B").unwrap_err().code, 33);
    }
}
