//! Which route takes a NATS subject: the one with the most specific pattern.

use crate::units::RouteId;

use super::super::Catalog;

/// Patterns of NATS subjects and the routes behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    /// Most specific first, so that the first match is the right one.
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    tokens: Vec<Token>,
    route: String,
}

/// Ordered by how specific they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Literal(String),
    /// `*`: any one token.
    One,
    /// `>`: one or more tokens, up to the end.
    Rest,
}

/// A text that is no pattern of NATS subjects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a subject pattern: {reason}")]
pub struct BadPattern {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Subjects {
    /// No pattern: no subject has a route.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends the subjects of `pattern` to the route with this name. `external` is resolved for
    /// each subject. The same pattern again replaces what was said before.
    ///
    /// # Errors
    /// [`BadPattern`] for what NATS would not take as a subject with wildcards.
    pub fn add(&mut self, pattern: &str, route: &str) -> Result<(), BadPattern> {
        let tokens = Token::parse(pattern)
            .map_err(|reason| BadPattern { pattern: pattern.to_owned(), reason })?;
        match self.patterns.binary_search_by(|known| known.tokens.cmp(&tokens)) {
            Ok(at) => route.clone_into(&mut self.patterns[at].route),
            Err(at) => self.patterns.insert(at, Pattern { tokens, route: route.to_owned() }),
        }
        Ok(())
    }

    /// Name of the route of the most specific pattern that covers `subject`: at the first token
    /// where two patterns differ, a literal beats `*`, and `*` beats `>`.
    #[must_use]
    pub fn route_name(&self, subject: &str) -> Option<&str> {
        let matching = self.patterns.iter().find(|pattern| pattern.covers(subject))?;
        Some(&matching.route)
    }

    /// The route of `subject`; `None` makes its messages dead letters with the reason `no_route`.
    #[must_use]
    pub fn route(&self, subject: &str, catalog: &Catalog) -> Option<RouteId> {
        catalog.resolve_route(self.route_name(subject)?, subject)
    }
}

impl Pattern {
    fn covers(&self, subject: &str) -> bool {
        let mut given = subject.split('.');
        for token in &self.tokens {
            match (token, given.next()) {
                (Token::Rest, Some(_)) => return true,
                (Token::One, Some(_)) => {}
                (Token::Literal(literal), Some(part)) if literal == part => {}
                (Token::Literal(_), Some(_)) | (_, None) => return false,
            }
        }
        given.next().is_none()
    }
}

impl Token {
    fn parse(pattern: &str) -> Result<Vec<Self>, &'static str> {
        let count = pattern.split('.').count();
        let tokens = pattern.split('.').enumerate().map(|(index, token)| match token {
            "" => Err("a token between dots is empty"),
            "*" => Ok(Self::One),
            ">" if index + 1 == count => Ok(Self::Rest),
            ">" => Err("`>` stands only at the end"),
            _ if token.contains(char::is_whitespace) => Err("a subject has no spaces"),
            _ => Ok(Self::Literal(token.to_owned())),
        });
        tokens.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(pairs: &[(&str, &str)]) -> Subjects {
        let mut subjects = Subjects::new();
        for (pattern, route) in pairs {
            subjects.add(pattern, route).unwrap();
        }
        subjects
    }

    #[test]
    fn the_default_subjects_route_each_message_once() {
        let subjects = subjects(&[
            ("market.*.*", "aggregates"),
            ("market.external.*", "external"),
            ("market.*.tick", "ticks"),
            ("ticks.>", "ticks"),
            ("bars.>", "aggregates"),
        ]);
        for (subject, route) in [
            ("market.EURUSD.tick", Some("ticks")),
            ("market.EURUSD.5m", Some("aggregates")),
            ("market.external.fred_economic", Some("external")),
            ("market.external.tick", Some("external")),
            ("ticks.EURUSD", Some("ticks")),
            ("ticks.a.b.c", Some("ticks")),
            ("ticks", None),
            ("bars.EURUSD.1h", Some("aggregates")),
            ("market.EURUSD", None),
            ("market.EURUSD.5m.x", None),
            ("confirmation.x", None),
            ("", None),
        ] {
            assert_eq!(subjects.route_name(subject), route, "{subject}");
        }
        let catalog = Catalog::shipped();
        let id = subjects.route("market.external.market_sessions", &catalog);
        assert_eq!(id, catalog.route_id("external_market_sessions"));
        assert_eq!(subjects.route("market.external.weather", &catalog), None);
    }

    #[test]
    fn the_order_of_patterns_does_not_matter() {
        let pairs = [("a.>", "1"), ("a.*", "2"), ("a.b", "3"), (">", "4"), ("*.b", "5")];
        let (mut forward, mut backward) = (Subjects::new(), Subjects::new());
        for (pattern, route) in pairs {
            forward.add(pattern, route).unwrap();
        }
        for (pattern, route) in pairs.iter().rev() {
            backward.add(pattern, route).unwrap();
        }
        assert_eq!(forward, backward);
        for (subject, route) in
            [("a.b", "3"), ("a.c", "2"), ("a.c.d", "1"), ("x.b", "5"), ("x", "4")]
        {
            assert_eq!(forward.route_name(subject), Some(route), "{subject}");
        }
    }

    #[test]
    fn what_nats_refuses_is_refused() {
        for pattern in ["", "a..b", ".a", "a.", "a.>.b", "a b.c"] {
            assert!(Subjects::new().add(pattern, "x").is_err(), "{pattern:?}");
        }
    }
}
