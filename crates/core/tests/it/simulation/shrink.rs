//! A life that fails, made as short and as quiet as it can be and still fail.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::trouble::Trouble;
use super::world::{Counts, World};

/// One life: chance, length, and the kinds of trouble that are left out.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) seed: u64,
    pub(super) events: u64,
    pub(super) without: BTreeSet<Trouble>,
    /// Everything that engines are told and say is shown.
    pub(super) told: bool,
}

/// As arguments of `cargo xtask sim`.
impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --events {}", self.seed, self.events)?;
        let names: Vec<_> = self.without.iter().map(|trouble| trouble.name()).collect();
        if names.is_empty() { Ok(()) } else { write!(f, " --without {}", names.join(",")) }
    }
}

/// The kinds of trouble of a list of their names.
pub(super) fn without(names: &str) -> BTreeSet<Trouble> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let named = |name| Trouble::ALL.into_iter().find(|trouble| trouble.name() == name);
    names.map(|name| named(name).expect("a kind of trouble that there is")).collect()
}

impl Life {
    pub(super) fn new(seed: u64, events: u64) -> Self {
        Self { seed, events, without: BTreeSet::new(), told: false }
    }

    pub(super) fn live(&self) -> Counts {
        World::new(self.seed, self.without.clone(), self.told).live(self.events)
    }

    fn fails(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.live())).is_err()
    }

    /// Leaves out every kind of trouble that the failure does not need, then as many events as
    /// possible.
    pub(super) fn shrink(&self) -> Self {
        let said = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let life = self.shrink_while(Self::fails);
        std::panic::set_hook(said);
        life
    }

    fn shrink_while(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut life = self.clone();
        for trouble in Trouble::ALL {
            let mut quieter = life.clone();
            quieter.without.insert(trouble);
            if fails(&quieter) {
                life = quieter;
            }
        }
        // Not every shorter life fails, so the shortest of a few is what it finds.
        let mut step = life.events / 2;
        while step > 0 {
            let shorter = Self { events: life.events.saturating_sub(step), ..life.clone() };
            if shorter.events > 0 && fails(&shorter) {
                life = shorter;
            } else {
                step /= 2;
            }
        }
        life
    }
}

#[test]
fn a_life_shrinks_to_the_trouble_and_the_events_that_its_failure_needs() {
    let life = Life::new(1, 1_000);
    let needs = |life: &Life| {
        let calm = life.without.contains(&Trouble::Crash) || life.without.contains(&Trouble::Lose);
        life.events >= 137 && !calm
    };
    let shrunk = life.shrink_while(needs);
    assert_eq!((shrunk.events, shrunk.without.len()), (137, Trouble::ALL.len() - 2));
    let shown = shrunk.to_string();
    let (_, names) = shown.split_once("--without ").expect("some are left out");
    assert_eq!(without(names), shrunk.without);
}
