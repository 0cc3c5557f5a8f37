//! Finding INSERTs in the bytes of HTTP/1.1 requests.

/// Longest first line that is looked at.
const LONGEST: usize = 16 * 1024;

/// Counts first lines `POST … INSERT … HTTP/1.1`, also when they arrive in pieces. Bodies are not
/// parsed: one would have to contain such a line to be taken for a request.
#[derive(Debug, Default)]
pub(super) struct InsertScanner {
    line: Vec<u8>,
    /// The line is longer than any first line: skipped up to its end.
    skipping: bool,
}

impl InsertScanner {
    /// How many first lines with an INSERT end in this piece.
    pub(super) fn count(&mut self, piece: &[u8]) -> u32 {
        let mut found = 0;
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if !self.skipping {
                self.line.extend_from_slice(&part[..part.len().min(LONGEST)]);
                self.skipping = self.line.len() > LONGEST;
            }
            if part.ends_with(b"\n") {
                found += u32::from(!self.skipping && is_insert(&self.line));
                self.skipping = false;
                self.line.clear();
            }
        }
        found
    }
}

fn is_insert(line: &[u8]) -> bool {
    // A body without a line break may stand before the request.
    let Some(start) = line.windows(6).position(|window| window == b"POST /") else {
        return false;
    };
    let line = &line[start..];
    line.ends_with(b" HTTP/1.1\r\n")
        && line.windows(6).any(|window| window.eq_ignore_ascii_case(b"insert"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: &[u8] = b"POST /?query=INSERT%20INTO%20t HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn an_insert_is_found_wherever_it_is_cut() {
        for cut in 0..INSERT.len() {
            let mut scanner = InsertScanner::default();
            let found = scanner.count(&INSERT[..cut]) + scanner.count(&INSERT[cut..]);
            assert_eq!(found, 1, "cut at {cut}");
        }
    }

    #[test]
    fn other_requests_and_bodies_are_no_inserts() {
        let mut scanner = InsertScanner::default();
        assert_eq!(scanner.count(b"GET /?query=INSERT HTTP/1.1\r\n\r\n"), 0);
        assert_eq!(scanner.count(b"POST /?query=SELECT HTTP/1.1\r\n\r\nINSERT INTO t\n"), 0);
        assert_eq!(scanner.count(&vec![7; 100_000]), 0);
        assert_eq!(scanner.count(b"\n"), 0);
        assert_eq!(scanner.count(b"body without a line break"), 0);
        assert_eq!(scanner.count(INSERT), 1);
    }
}
