//! The table's own rule for rows that may be gone.

/// A condition that holds for rows which the table's TTL deletes, read from
/// `system.tables.engine_full`; `None` when no rule deletes rows.
pub(super) fn expired(engine_full: &str) -> Option<String> {
    let rules = clause(engine_full)?;
    let deletes = split(rules, ",").into_iter().filter_map(deletes).collect::<Vec<_>>();
    (!deletes.is_empty()).then(|| deletes.join(" OR "))
}

/// What stands between ` TTL ` and ` SETTINGS `, both outside of brackets and quotes.
fn clause(engine_full: &str) -> Option<&str> {
    let rest = split(engine_full, " TTL ");
    let [_, ttl] = rest[..] else {
        return None;
    };
    split(ttl, " SETTINGS ").first().copied()
}

/// One rule, `time [DELETE] [WHERE condition]`; others move or pack parts and delete nothing.
fn deletes(rule: &str) -> Option<String> {
    let rule = rule.trim();
    for other in [" TO DISK ", " TO VOLUME ", " RECOMPRESS ", " GROUP BY "] {
        if split(rule, other).len() > 1 {
            return None;
        }
    }
    let mut parts = split(rule, " WHERE ").into_iter();
    let time = parts.next()?.trim();
    let time = time.strip_suffix(" DELETE").unwrap_or(time);
    let due = format!("(({time}) <= now())");
    Some(match parts.next() {
        Some(condition) => format!("({due} AND ({}))", condition.trim()),
        None => due,
    })
}

/// Splits where `at` stands outside of brackets and quotes.
fn split<'t>(text: &'t str, at: &str) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let (mut depth, mut quote, mut start) = (0_usize, None, 0);
    let mut skip_to = 0;
    for (index, sign) in text.char_indices() {
        if index < skip_to {
            continue;
        }
        match (quote, sign) {
            // What is escaped ends no quote.
            (Some(_), '\\') => skip_to = index + 2,
            (Some(open), sign) if sign == open => quote = None,
            (None, '\'' | '`' | '"') => quote = Some(sign),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && text[index..].starts_with(at) => {
                parts.push(&text[start..index]);
                start = index + at.len();
                skip_to = start;
            }
            (Some(_) | None, _) => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_delete_are_read_and_others_are_not() {
        let of = |ttl: &str| {
            expired(&format!(
                "ReplacingMergeTree(version) PARTITION BY toYYYYMM(timestamp) ORDER BY (symbol, \
                 timestamp){ttl} SETTINGS index_granularity = 8192"
            ))
        };
        assert_eq!(of(""), None);
        let month = of(" TTL toDateTime(timestamp) + toIntervalDay(30)");
        assert_eq!(
            month.as_deref(),
            Some("((toDateTime(timestamp) + toIntervalDay(30)) <= now())")
        );
        let some = of(
            " TTL toDateTime(timestamp) + toIntervalDay(30) DELETE WHERE symbol = 'a, b\\' TTL '",
        );
        assert_eq!(
            some.as_deref(),
            Some(
                "(((toDateTime(timestamp) + toIntervalDay(30)) <= now()) AND (symbol = 'a, b\\' TTL '))"
            )
        );
        let moves = of(" TTL toDateTime(timestamp) + toIntervalDay(1) TO VOLUME 'cold'");
        assert_eq!(moves, None);
        let both = of(
            " TTL toDateTime(timestamp) + toIntervalDay(1) TO DISK 'x', timestamp + toIntervalYear(2)",
        );
        assert_eq!(both.as_deref(), Some("((timestamp + toIntervalYear(2)) <= now())"));
    }
}
