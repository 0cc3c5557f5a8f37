//! Where a partition starts when it is assigned: a pure function of what is known about it.
//!
//! The rules exist because `auto_offset_reset: latest` must not lose: a start is decided once and
//! committed at once, a partition that was added later or a topic that was made anew starts at its
//! beginning, and nothing that retention deleted is skipped in silence.

use std::fmt;
use std::ops::Range;

use super::mark::Mark;
use crate::config::OffsetReset;

/// What is known when a partition is assigned.
#[derive(Clone, Debug)]
pub(super) struct Facts<'a> {
    pub(super) partition: i32,
    /// The topic's id now; `None` where the broker has none.
    pub(super) topic_id: Option<&'a str>,
    /// How many partitions the topic has now.
    pub(super) partitions: i32,
    /// First record that is left.
    pub(super) low: u64,
    /// End of what a reader of committed records can read.
    pub(super) high: u64,
    /// What the group has committed for this partition.
    pub(super) commit: Option<&'a Commit>,
    /// All commits of the topic's partitions, this one's included.
    pub(super) commits: &'a [Commit],
    /// Whether the topic came into being after this process started.
    pub(super) came_later: bool,
    pub(super) reset: OffsetReset,
}

/// What the group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// Next record to read.
    pub(super) offset: u64,
    /// `None`: another program committed.
    pub(super) mark: Option<Mark>,
}

/// Where to start, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) offset: u64,
    pub(super) mark: Mark,
    pub(super) reason: Reason,
    /// What was to be read and is gone.
    pub(super) lost: Option<Range<u64>>,
    /// Whether the group does not know all of this yet.
    pub(super) to_commit: bool,
}

/// Why a partition starts where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The group goes on where it was.
    Committed,
    /// Retention has deleted what comes next: at the oldest record.
    Expired,
    /// The log ends before the committed offset (it was cut): at the oldest record.
    Truncated,
    /// The topic is another one than at the last commit: at its beginning.
    MadeAnew,
    /// The topic came into being after the start: at its beginning.
    CameLater,
    /// The partition was added after the group first saw the topic: at its beginning.
    AddedLater,
    /// The group's commits are gone, but rows are there: at the beginning.
    CommitsGone,
    /// Never seen: as `auto_offset_reset` says.
    Reset(OffsetReset),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Committed => "committed",
            Self::Expired => "retention deleted the committed offset",
            Self::Truncated => "the log ends before the committed offset",
            Self::MadeAnew => "the topic was made anew",
            Self::CameLater => "the topic came after the start",
            Self::AddedLater => "the partition was added later",
            Self::CommitsGone => "the group's commits are gone",
            Self::Reset(OffsetReset::Latest) => "never seen: latest",
            Self::Reset(OffsetReset::Earliest) => "never seen: earliest",
        })
    }
}

/// Decides. `has_rows` answers whether ClickHouse has rows of this topic, and is asked only where
/// that matters; no answer counts as no.
pub(super) fn decide(facts: &Facts<'_>, has_rows: impl FnOnce() -> Option<bool>) -> Start {
    let Some(commit) = facts.commit else {
        return first_start(facts, has_rows);
    };
    if commit.mark.as_ref().is_some_and(|mark| facts.is_foreign(mark)) {
        return at_beginning(facts, Reason::MadeAnew);
    }
    let (offset, reason, lost) = if commit.offset < facts.low {
        (facts.low, Reason::Expired, Some(commit.offset..facts.low))
    } else if commit.offset > facts.high {
        (facts.low, Reason::Truncated, Some(facts.high..commit.offset))
    } else {
        (commit.offset, Reason::Committed, None)
    };
    let mut mark = match &commit.mark {
        Some(mark) => Mark {
            // A broker that learned topic ids since.
            topic_id: facts.topic_id.map(str::to_owned).or(mark.topic_id.clone()),
            ..mark.clone()
        },
        None => facts.new_mark(commit.offset),
    };
    if let (Reason::Expired, Some(lost)) = (reason, &lost) {
        mark.lose(lost.clone());
    }
    Start {
        to_commit: offset != commit.offset || commit.mark.as_ref() != Some(&mark),
        offset,
        mark,
        reason,
        lost,
    }
}

fn first_start(facts: &Facts<'_>, has_rows: impl FnOnce() -> Option<bool>) -> Start {
    let marks = || facts.commits.iter().filter_map(|commit| commit.mark.as_ref());
    if marks().any(|mark| facts.is_foreign(mark)) {
        return at_beginning(facts, Reason::MadeAnew);
    }
    if facts.came_later {
        return at_beginning(facts, Reason::CameLater);
    }
    if marks().any(|mark| mark.partitions <= facts.partition) {
        return at_beginning(facts, Reason::AddedLater);
    }
    if facts.reset == OffsetReset::Earliest {
        return at_beginning(facts, Reason::Reset(OffsetReset::Earliest));
    }
    if facts.commits.is_empty() && has_rows() == Some(true) {
        return at_beginning(facts, Reason::CommitsGone);
    }
    Start {
        offset: facts.high,
        mark: facts.new_mark(facts.high),
        reason: Reason::Reset(OffsetReset::Latest),
        lost: None,
        to_commit: true,
    }
}

fn at_beginning(facts: &Facts<'_>, reason: Reason) -> Start {
    Start {
        offset: facts.low,
        mark: facts.new_mark(facts.low),
        reason,
        lost: None,
        to_commit: true,
    }
}

impl Facts<'_> {
    /// Whether a mark speaks of another topic of the same name.
    fn is_foreign(&self, mark: &Mark) -> bool {
        match (self.topic_id, mark.topic_id.as_deref()) {
            (Some(now), Some(then)) => now != then,
            _ => false,
        }
    }

    fn new_mark(&self, began: u64) -> Mark {
        let seen = self
            .commits
            .iter()
            .filter_map(|commit| commit.mark.as_ref())
            .filter(|mark| !self.is_foreign(mark))
            .map(|mark| mark.partitions)
            .min();
        Mark {
            topic_id: self.topic_id.map(str::to_owned),
            partitions: seen.unwrap_or(self.partitions),
            began,
            lost: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: u64 = 100;
    const HIGH: u64 = 900;

    fn mark(id: &str, partitions: i32) -> Mark {
        Mark { topic_id: Some(id.into()), partitions, began: 7, lost: Vec::new() }
    }

    fn commit(offset: u64, mark: Option<Mark>) -> Commit {
        Commit { offset, mark }
    }

    /// Partition 3 of 6 of the topic with id `now`; `commits[own]` is its own.
    fn facts(commits: &[Commit], own: Option<usize>, reset: OffsetReset) -> Facts<'_> {
        Facts {
            partition: 3,
            topic_id: Some("now"),
            partitions: 6,
            low: LOW,
            high: HIGH,
            commit: own.map(|own| &commits[own]),
            commits,
            came_later: false,
            reset,
        }
    }

    fn never_asked() -> Option<bool> {
        panic!("ClickHouse need not be asked")
    }

    #[test]
    fn a_commit_is_where_the_group_goes_on() {
        for offset in [LOW, 500, HIGH] {
            let commits = [commit(offset, Some(mark("now", 6)))];
            let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
            assert_eq!(start.offset, offset);
            assert_eq!(start.reason, Reason::Committed);
            assert_eq!(start.mark, mark("now", 6));
            assert!(!start.to_commit, "the group knows it already");
        }
    }

    #[test]
    fn a_commit_of_another_program_counts_and_gets_a_mark() {
        let commits = [commit(500, None), commit(9, Some(mark("now", 5)))];
        let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
        assert_eq!((start.offset, start.reason), (500, Reason::Committed));
        assert_eq!(start.mark.partitions, 5, "as the sibling saw it first");
        assert_eq!(start.mark.began, 500);
        assert!(start.to_commit);
    }

    #[test]
    fn what_retention_deleted_is_named_and_reading_goes_on_at_the_oldest_record() {
        let commits = [commit(40, Some(mark("now", 6)))];
        let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
        assert_eq!((start.offset, start.reason), (LOW, Reason::Expired));
        assert_eq!(start.lost, Some(40..LOW));
        assert_eq!(start.mark.began, 7, "the bridge began where it began");
        assert_eq!(start.mark.lost, [Range { start: 40, end: LOW }], "for later audits");
        assert!(start.to_commit);
    }

    #[test]
    fn a_commit_behind_the_end_starts_at_the_oldest_record() {
        let commits = [commit(901, Some(mark("now", 6)))];
        let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
        assert_eq!((start.offset, start.reason), (LOW, Reason::Truncated));
        assert_eq!(start.lost, Some(HIGH..901));
    }

    #[test]
    fn a_topic_made_anew_starts_at_its_beginning() {
        let commits = [commit(500, Some(mark("then", 4)))];
        let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
        assert_eq!((start.offset, start.reason), (LOW, Reason::MadeAnew));
        assert_eq!(start.lost, None, "the old topic's records are not this topic's");
        assert_eq!(start.mark.topic_id.as_deref(), Some("now"));
        assert_eq!((start.mark.partitions, start.mark.began), (6, LOW));
        assert!(start.to_commit);
    }

    #[test]
    fn a_partition_without_commit_of_a_topic_made_anew_starts_at_its_beginning() {
        let commits = [commit(5, Some(mark("now", 6))), commit(500, Some(mark("then", 6)))];
        let start = decide(&facts(&commits, None, OffsetReset::Latest), never_asked);
        assert_eq!((start.offset, start.reason), (LOW, Reason::MadeAnew));
    }

    #[test]
    fn a_partition_added_later_starts_at_its_beginning() {
        for (seen, reason) in [(3, Reason::AddedLater), (4, Reason::Reset(OffsetReset::Latest))] {
            let commits = [commit(5, Some(mark("now", 6))), commit(5, Some(mark("now", seen)))];
            let start = decide(&facts(&commits, None, OffsetReset::Latest), never_asked);
            assert_eq!(start.reason, reason, "partition 3, first seen with {seen}");
            assert_eq!(start.mark.partitions, seen, "later ones are still later ones");
            assert!(start.to_commit);
        }
    }

    #[test]
    fn a_topic_that_came_after_the_start_is_read_from_its_beginning() {
        let mut facts = facts(&[], None, OffsetReset::Latest);
        facts.came_later = true;
        let start = decide(&facts, never_asked);
        assert_eq!((start.offset, start.reason), (LOW, Reason::CameLater));
        let commits = [commit(500, Some(mark("now", 6)))];
        facts.commits = &commits;
        facts.commit = Some(&commits[0]);
        assert_eq!(decide(&facts, never_asked).offset, 500, "a commit counts more");
    }

    #[test]
    fn a_partition_never_seen_starts_as_configured() {
        let latest = decide(&facts(&[], None, OffsetReset::Latest), || Some(false));
        assert_eq!(latest.offset, HIGH);
        assert_eq!(latest.mark.began, HIGH);
        assert_eq!(latest.mark.partitions, 6);
        let earliest = decide(&facts(&[], None, OffsetReset::Earliest), never_asked);
        assert_eq!(earliest.offset, LOW);
        for start in [latest, earliest] {
            assert!(start.to_commit, "before anything is handed out");
            assert_eq!(start.lost, None);
        }
    }

    #[test]
    fn rows_without_any_commit_mean_that_commits_expired() {
        let start = decide(&facts(&[], None, OffsetReset::Latest), || Some(true));
        assert_eq!((start.offset, start.reason), (LOW, Reason::CommitsGone));
        let unknown = decide(&facts(&[], None, OffsetReset::Latest), || None);
        assert_eq!(unknown.reason, Reason::Reset(OffsetReset::Latest));
        let commits = [commit(5, None)];
        let sibling = decide(&facts(&commits, None, OffsetReset::Latest), never_asked);
        assert_eq!(sibling.reason, Reason::Reset(OffsetReset::Latest));
    }

    #[test]
    fn a_broker_without_topic_ids_makes_no_topic_new() {
        let commits = [commit(500, Some(mark("then", 6)))];
        let mut without_id = facts(&commits, Some(0), OffsetReset::Latest);
        without_id.topic_id = None;
        let start = decide(&without_id, never_asked);
        assert_eq!(start.reason, Reason::Committed);
        assert_eq!(start.mark.topic_id.as_deref(), Some("then"), "kept for later");

        let without = Mark { topic_id: None, ..mark("", 6) };
        let commits = [commit(500, Some(without))];
        let start = decide(&facts(&commits, Some(0), OffsetReset::Latest), never_asked);
        assert_eq!(start.reason, Reason::Committed);
        assert_eq!(start.mark.topic_id.as_deref(), Some("now"), "learned");
        assert!(start.to_commit);
    }
}
