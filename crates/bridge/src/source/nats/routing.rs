//! Which lane takes a subject: ours alone, since a server refuses overlapping filters.

use std::collections::HashMap;
use std::sync::Arc;

use data_bridge_core::catalog::{BadPattern, Catalog, EXTERNAL_TYPES, Subjects};
use data_bridge_core::units::{RouteId, TableId};
use foldhash::fast::RandomState;

use crate::config;

/// Index of a lane within its generation.
pub(super) type Slot = u16;

/// Subjects remembered by one task; beyond it forgets all. Markets have thousands of symbols.
const REMEMBERED: usize = 16_384;

/// Patterns, and the routes they lead to.
#[derive(Debug)]
pub(super) struct Routing {
    subjects: Subjects,
    catalog: Arc<Catalog>,
    routes: Vec<RouteId>,
}

impl Routing {
    pub(super) fn new(config: &config::Nats, catalog: Arc<Catalog>) -> Result<Self, BadPattern> {
        let mut subjects = Subjects::new();
        for (pattern, route) in &config.subjects {
            subjects.add(pattern, route.name())?;
        }
        Ok(Self { subjects, routes: routes(config, &catalog), catalog })
    }

    /// Routes by slot; the slot behind the last takes what has no route.
    pub(super) fn routes(&self) -> &[RouteId] {
        &self.routes
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.routes.len() + 1
    }

    /// The name of a slot's route; empty for what has none.
    pub(super) fn name(&self, slot: usize) -> &str {
        self.routes.get(slot).map_or("", |route| self.catalog.route(*route).name.as_str())
    }

    fn slot(&self, subject: &str) -> Slot {
        let sound = subject.split('.').all(|token| !token.is_empty());
        let route = sound.then(|| self.subjects.route(subject, &self.catalog)).flatten();
        let slot = route.and_then(|route| self.routes.iter().position(|known| *known == route));
        Slot::try_from(slot.unwrap_or(self.routes.len())).unwrap_or(Slot::MAX)
    }
}

/// All routes that the subjects can lead to.
fn routes(config: &config::Nats, catalog: &Catalog) -> Vec<RouteId> {
    let of = |route: &config::SubjectRoute| match route {
        config::SubjectRoute::Named(name) => vec![name.clone()],
        config::SubjectRoute::ExternalByType => {
            EXTERNAL_TYPES.iter().map(|kind| format!("{}_{kind}", Catalog::EXTERNAL)).collect()
        }
    };
    let names = config.subjects.values().flat_map(of);
    let mut routes: Vec<_> = names.filter_map(|name| catalog.route_id(&name)).collect();
    routes.sort_unstable();
    routes.dedup();
    routes
}

/// Tables that the subjects of this configuration lead to.
#[must_use]
pub fn tables(config: &config::Nats, catalog: &Catalog) -> Vec<TableId> {
    routes(config, catalog).into_iter().map(|route| catalog.route(route).table).collect()
}

/// Subjects that cover all patterns of the configuration without overlapping: `market.>` for
/// `market.*.tick` and `market.external.*`. What a stream stores, and what core NATS subscribes to.
#[must_use]
pub(super) fn roots(config: &config::Nats) -> Vec<String> {
    let root = |pattern: &String| match pattern.split_once('.') {
        _ if pattern.starts_with(['*', '>']) => ">".to_owned(),
        Some((first, _)) => format!("{first}.>"),
        None => pattern.clone(),
    };
    let mut roots: Vec<_> = config.subjects.keys().map(root).collect();
    roots.sort_unstable();
    roots.dedup();
    if roots.iter().any(|root| root == ">") {
        return vec![">".to_owned()];
    }
    roots
}

/// What one task remembers of subjects it has seen.
#[derive(Debug)]
pub(super) struct Memo {
    routing: Arc<Routing>,
    known: HashMap<Box<str>, Slot, RandomState>,
}

impl Memo {
    pub(super) fn new(routing: Arc<Routing>) -> Self {
        Self { routing, known: HashMap::default() }
    }

    pub(super) fn slots(&self) -> usize {
        self.routing.slots()
    }

    pub(super) fn slot(&mut self, subject: &str) -> Slot {
        if let Some(slot) = self.known.get(subject) {
            return *slot;
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let slot = self.routing.slot(subject);
        self.known.insert(subject.into(), slot);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn config() -> Config {
        Config::from_defaults(&Environment::default())
    }

    #[test]
    fn the_most_specific_route_takes_a_subject_and_what_fits_none_has_a_slot_of_its_own() {
        let catalog = Arc::new(Catalog::shipped());
        let routing = Routing::new(&config().nats, catalog).unwrap();
        let mut memo = Memo::new(Arc::new(routing));
        for (subject, route) in [
            ("market.EURUSD.tick", "ticks"),
            ("market.EURUSD.5m", "aggregates"),
            ("market.external.fear_greed_index", "external_fear_greed_index"),
            ("market.external.weather", ""),
            ("market.BRK.B.tick", ""),
            ("market..tick", ""),
            ("market", ""),
            ("orders.new", ""),
        ] {
            for _ in 0..2 {
                let slot = usize::from(memo.slot(subject));
                assert_eq!(memo.routing.name(slot), route, "{subject}");
            }
        }
    }

    #[test]
    fn roots_cover_all_patterns_and_do_not_overlap() {
        let mut config = config();
        assert_eq!(roots(&config.nats), ["market.>"]);
        let ticks = config::SubjectRoute::Named("ticks".to_owned());
        config.nats.subjects.insert("ticks.>".to_owned(), ticks.clone());
        config.nats.subjects.insert("quotes".to_owned(), ticks.clone());
        assert_eq!(roots(&config.nats), ["market.>", "quotes", "ticks.>"]);
        config.nats.subjects.insert("*.EURUSD".to_owned(), ticks);
        assert_eq!(roots(&config.nats), [">"]);
    }
}
