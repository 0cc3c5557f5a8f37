//! What went wrong with an insert, and what to do about it.

/// Why an insert is not known to be durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// ClickHouse answered with an exception; nothing of the insert is visible.
    #[error("ClickHouse refused: code {code} ({name}): {message}")]
    Server {
        /// ClickHouse's error code, as in `system.errors`.
        code: i32,
        /// ClickHouse's name for it, such as `TOO_MANY_PARTS`; empty when the answer had none.
        name: String,
        /// The text of the exception, without code and name.
        message: String,
    },
    /// Something on the way answered, but not ClickHouse: no exception code.
    #[error("HTTP status {status} without a ClickHouse error code: {body}")]
    Http {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// No connection: nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The link broke after sending began: the insert may or may not have happened.
    #[error("connection lost: {0}")]
    Cut(String),
    /// No answer within the time limit: the insert may or may not have happened.
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
}

/// What to do with a batch whose insert failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server or the way to it is in trouble: the very same batch again, for as long as it takes.
    Retry,
    /// The batch is too large for the server as it is now: its halves, later.
    Split,
    /// Only people can mend it: say why, fetch nothing more for the table, and try again now and then.
    Pause,
    /// Some row is refused for what it holds: halve until it stands alone.
    Isolate,
    /// Not in the table below: a few retries, then [`Pause`](Self::Pause). Never a dead letter.
    Unknown,
}

/// How often a batch is retried for a reason nobody foresaw before its table is paused.
pub const UNKNOWN_RETRIES: u32 = 5;

impl Failure {
    /// What to do about it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Server { code, .. } => verdict_of_code(*code),
            Self::Http { status, .. } => verdict_of_status(*status),
            Self::Connect(_) | Self::Cut(_) | Self::TimedOut(_) => Verdict::Retry,
        }
    }

    /// ClickHouse's error code, when it was ClickHouse that answered.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Server { code, .. } => Some(*code),
            Self::Http { .. } | Self::Connect(_) | Self::Cut(_) | Self::TimedOut(_) => None,
        }
    }
}

/// The verdict for a ClickHouse error code.
#[must_use]
pub fn verdict_of_code(code: i32) -> Verdict {
    CODES
        .binary_search_by_key(&code, |(code, _, _)| *code)
        .ok()
        .and_then(|index| CODES.get(index))
        .map_or(Verdict::Unknown, |(_, _, verdict)| *verdict)
}

/// The verdict for an HTTP answer without a ClickHouse error code: a proxy speaks.
fn verdict_of_status(status: u16) -> Verdict {
    match status {
        401 | 403 | 404 | 407 => Verdict::Pause,
        413 => Verdict::Split,
        408 | 425 | 429 | 500..=599 => Verdict::Retry,
        _ => Verdict::Unknown,
    }
}

/// ClickHouse's error codes, sorted: number, name, verdict. Numbers and names as the function
/// `errorCodeToName` of ClickHouse 26.7 gives them.
///
/// `Isolate` is only for what a value in a row causes. Where the same code also stands for a server,
/// a schema or a setting at fault, the row gets the benefit of the doubt.
pub const CODES: &[(i32, &str, Verdict)] = &[
    (3, "UNEXPECTED_END_OF_FILE", Verdict::Retry),
    (6, "CANNOT_PARSE_TEXT", Verdict::Isolate),
    (7, "INCORRECT_NUMBER_OF_COLUMNS", Verdict::Pause),
    (8, "THERE_IS_NO_COLUMN", Verdict::Pause),
    (9, "SIZES_OF_COLUMNS_DOESNT_MATCH", Verdict::Pause),
    (10, "NOT_FOUND_COLUMN_IN_BLOCK", Verdict::Pause),
    (15, "DUPLICATE_COLUMN", Verdict::Pause),
    (16, "NO_SUCH_COLUMN_IN_TABLE", Verdict::Pause),
    (20, "NUMBER_OF_COLUMNS_DOESNT_MATCH", Verdict::Pause),
    (23, "CANNOT_READ_FROM_ISTREAM", Verdict::Retry),
    (24, "CANNOT_WRITE_TO_OSTREAM", Verdict::Retry),
    (25, "CANNOT_PARSE_ESCAPE_SEQUENCE", Verdict::Isolate),
    (26, "CANNOT_PARSE_QUOTED_STRING", Verdict::Isolate),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", Verdict::Isolate),
    (32, "ATTEMPT_TO_READ_AFTER_EOF", Verdict::Retry),
    (33, "CANNOT_READ_ALL_DATA", Verdict::Retry),
    (38, "CANNOT_PARSE_DATE", Verdict::Isolate),
    (40, "CHECKSUM_DOESNT_MATCH", Verdict::Retry),
    (41, "CANNOT_PARSE_DATETIME", Verdict::Isolate),
    (44, "ILLEGAL_COLUMN", Verdict::Pause),
    (46, "UNKNOWN_FUNCTION", Verdict::Pause),
    (47, "UNKNOWN_IDENTIFIER", Verdict::Pause),
    (48, "NOT_IMPLEMENTED", Verdict::Pause),
    (50, "UNKNOWN_TYPE", Verdict::Pause),
    (53, "TYPE_MISMATCH", Verdict::Pause),
    (60, "UNKNOWN_TABLE", Verdict::Pause),
    (62, "SYNTAX_ERROR", Verdict::Pause),
    (69, "ARGUMENT_OUT_OF_BOUND", Verdict::Isolate),
    (70, "CANNOT_CONVERT_TYPE", Verdict::Isolate),
    (72, "CANNOT_PARSE_NUMBER", Verdict::Isolate),
    (73, "UNKNOWN_FORMAT", Verdict::Pause),
    (74, "CANNOT_READ_FROM_FILE_DESCRIPTOR", Verdict::Retry),
    (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", Verdict::Retry),
    (76, "CANNOT_OPEN_FILE", Verdict::Retry),
    (81, "UNKNOWN_DATABASE", Verdict::Pause),
    (95, "CANNOT_READ_FROM_SOCKET", Verdict::Retry),
    (96, "CANNOT_WRITE_TO_SOCKET", Verdict::Retry),
    (115, "UNKNOWN_SETTING", Verdict::Pause),
    (117, "INCORRECT_DATA", Verdict::Isolate),
    (122, "INCOMPATIBLE_COLUMNS", Verdict::Pause),
    (128, "TOO_LARGE_ARRAY_SIZE", Verdict::Isolate),
    (130, "CANNOT_READ_ARRAY_FROM_TEXT", Verdict::Isolate),
    (131, "TOO_LARGE_STRING_SIZE", Verdict::Isolate),
    (153, "ILLEGAL_DIVISION", Verdict::Isolate),
    (158, "TOO_MANY_ROWS", Verdict::Split),
    (159, "TIMEOUT_EXCEEDED", Verdict::Retry),
    (160, "TOO_SLOW", Verdict::Retry),
    (164, "READONLY", Verdict::Pause),
    (173, "CANNOT_ALLOCATE_MEMORY", Verdict::Split),
    (192, "UNKNOWN_USER", Verdict::Pause),
    (193, "WRONG_PASSWORD", Verdict::Pause),
    (194, "REQUIRED_PASSWORD", Verdict::Pause),
    (195, "IP_ADDRESS_NOT_ALLOWED", Verdict::Pause),
    (198, "DNS_ERROR", Verdict::Retry),
    (201, "QUOTA_EXCEEDED", Verdict::Retry),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES", Verdict::Retry),
    (203, "NO_FREE_CONNECTION", Verdict::Retry),
    (204, "CANNOT_FSYNC", Verdict::Retry),
    (209, "SOCKET_TIMEOUT", Verdict::Retry),
    (210, "NETWORK_ERROR", Verdict::Retry),
    (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", Verdict::Retry),
    (218, "TABLE_IS_DROPPED", Verdict::Pause),
    (225, "NO_ZOOKEEPER", Verdict::Retry),
    (229, "QUERY_IS_TOO_LARGE", Verdict::Split),
    (236, "ABORTED", Verdict::Retry),
    (241, "MEMORY_LIMIT_EXCEEDED", Verdict::Split),
    (242, "TABLE_IS_READ_ONLY", Verdict::Retry),
    (243, "NOT_ENOUGH_SPACE", Verdict::Retry),
    (244, "UNEXPECTED_ZOOKEEPER_ERROR", Verdict::Retry),
    (252, "TOO_MANY_PARTS", Verdict::Retry),
    (254, "NO_ACTIVE_REPLICAS", Verdict::Retry),
    (265, "NO_AVAILABLE_REPLICA", Verdict::Retry),
    (271, "CANNOT_DECOMPRESS", Verdict::Retry),
    (274, "AIO_READ_ERROR", Verdict::Retry),
    (275, "AIO_WRITE_ERROR", Verdict::Retry),
    (279, "ALL_CONNECTION_TRIES_FAILED", Verdict::Retry),
    (285, "TOO_FEW_LIVE_REPLICAS", Verdict::Retry),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Verdict::Retry),
    (290, "LIMIT_EXCEEDED", Verdict::Retry),
    (291, "DATABASE_ACCESS_DENIED", Verdict::Pause),
    (307, "TOO_MANY_BYTES", Verdict::Split),
    (319, "UNKNOWN_STATUS_OF_INSERT", Verdict::Retry),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", Verdict::Isolate),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", Verdict::Isolate),
    (364, "RECEIVED_ERROR_TOO_MANY_REQUESTS", Verdict::Retry),
    (369, "ALL_REPLICAS_ARE_STALE", Verdict::Retry),
    (373, "SESSION_IS_LOCKED", Verdict::Retry),
    (376, "CANNOT_PARSE_UUID", Verdict::Isolate),
    (394, "QUERY_WAS_CANCELLED", Verdict::Retry),
    (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", Verdict::Isolate),
    (396, "TOO_MANY_ROWS_OR_BYTES", Verdict::Split),
    (407, "DECIMAL_OVERFLOW", Verdict::Isolate),
    (411, "PTHREAD_ERROR", Verdict::Retry),
    (416, "REPLICA_STATUS_CHANGED", Verdict::Retry),
    (425, "SYSTEM_ERROR", Verdict::Retry),
    (439, "CANNOT_SCHEDULE_TASK", Verdict::Retry),
    (441, "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING", Verdict::Isolate),
    (452, "SETTING_CONSTRAINT_VIOLATION", Verdict::Pause),
    (467, "CANNOT_PARSE_BOOL", Verdict::Isolate),
    (469, "VIOLATED_CONSTRAINT", Verdict::Isolate),
    (473, "DEADLOCK_AVOIDED", Verdict::Retry),
    (492, "ACCESS_ENTITY_NOT_FOUND", Verdict::Pause),
    (497, "ACCESS_DENIED", Verdict::Pause),
    (499, "S3_ERROR", Verdict::Retry),
    (500, "AZURE_BLOB_STORAGE_ERROR", Verdict::Retry),
    (516, "AUTHENTICATION_FAILED", Verdict::Pause),
    (519, "NO_REMOTE_SHARD_AVAILABLE", Verdict::Retry),
    (563, "CANNOT_READ_MAP_FROM_TEXT", Verdict::Isolate),
    (565, "TOO_MANY_PARTITIONS", Verdict::Pause),
    (574, "DISTRIBUTED_TOO_MANY_PENDING_BYTES", Verdict::Retry),
    (621, "CANNOT_NORMALIZE_STRING", Verdict::Isolate),
    (632, "UNEXPECTED_DATA_AFTER_PARSED_VALUE", Verdict::Isolate),
    (659, "UNKNOWN_STATUS_OF_TRANSACTION", Verdict::Retry),
    (675, "CANNOT_PARSE_IPV4", Verdict::Isolate),
    (676, "CANNOT_PARSE_IPV6", Verdict::Isolate),
    (677, "THREAD_WAS_CANCELED", Verdict::Retry),
    (691, "UNKNOWN_ELEMENT_OF_ENUM", Verdict::Isolate),
    (692, "TOO_MANY_MUTATIONS", Verdict::Retry),
    (693, "AWS_ERROR", Verdict::Retry),
    (700, "USER_SESSION_LIMIT_EXCEEDED", Verdict::Retry),
    (710, "FAULT_INJECTED", Verdict::Retry),
    (720, "USER_EXPIRED", Verdict::Pause),
    (733, "TABLE_IS_BEING_RESTARTED", Verdict::Retry),
    (734, "CANNOT_WRITE_AFTER_BUFFER_CANCELED", Verdict::Retry),
    (735, "QUERY_WAS_CANCELLED_BY_CLIENT", Verdict::Retry),
    (745, "SERVER_OVERLOADED", Verdict::Retry),
    (749, "TCP_CONNECTION_LIMIT_REACHED", Verdict::Retry),
    (760, "UNICODE_ERROR", Verdict::Isolate),
    (762, "HTTP_CONNECTION_LIMIT_REACHED", Verdict::Retry),
    (763, "SESSION_REFUSED", Verdict::Retry),
    (774, "TABLE_IS_PERMANENTLY_READ_ONLY", Verdict::Pause),
    (777, "MEMORY_RESERVATION_KILLED", Verdict::Split),
    (778, "MEMORY_RESERVATION_FAILED", Verdict::Split),
    (999, "KEEPER_EXCEPTION", Verdict::Retry),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_named_once() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{pair:?}");
            assert_ne!(pair[0].1, pair[1].1);
        }
    }

    #[test]
    fn every_code_of_the_table_is_found() {
        for (code, name, verdict) in CODES {
            assert_eq!(verdict_of_code(*code), *verdict, "{name}");
        }
    }

    /// Faults of the server, the way to it, the schema or the account: none may cost a row its table.
    #[test]
    fn a_fault_of_the_server_is_never_a_dead_letter() {
        let faults = [
            3, 7, 10, 16, 20, 32, 33, 47, 53, 60, 81, 115, 158, 159, 164, 173, 192, 193, 194, 202,
            209, 210, 225, 241, 242, 243, 252, 307, 319, 364, 425, 439, 497, 516, 745, 999, 1000,
            1001, 1002, 49, 36, 246,
        ];
        for code in faults {
            assert_ne!(verdict_of_code(code), Verdict::Isolate, "{code}");
        }
        for status in 300..=599 {
            let failure = Failure::Http { status, body: String::new() };
            assert_ne!(failure.verdict(), Verdict::Isolate, "{status}");
        }
        for failure in [
            Failure::Connect(String::new()),
            Failure::Cut(String::new()),
            Failure::TimedOut(std::time::Duration::from_secs(30)),
        ] {
            assert_eq!(failure.verdict(), Verdict::Retry);
        }
    }

    #[test]
    fn what_the_specification_names_has_its_verdict() {
        for code in [252, 319, 242, 999, 159, 209, 210, 425, 202] {
            assert_eq!(verdict_of_code(code), Verdict::Retry, "{code}");
        }
        for code in [516, 193, 497, 60, 81, 16, 10, 20, 47, 53] {
            assert_eq!(verdict_of_code(code), Verdict::Pause, "{code}");
        }
        for code in [6, 27, 26, 38, 41, 70, 72, 117, 131, 349, 407, 321, 395, 469] {
            assert_eq!(verdict_of_code(code), Verdict::Isolate, "{code}");
        }
        assert_eq!(verdict_of_code(241), Verdict::Split);
    }

    #[test]
    fn a_code_nobody_foresaw_is_unknown() {
        for code in [0, -1, 49, 1001, 1002, 123_456] {
            assert_eq!(verdict_of_code(code), Verdict::Unknown, "{code}");
        }
    }
}
