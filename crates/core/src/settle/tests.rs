//! The ledger against a model that knows every chunk.

use proptest::prelude::*;

use super::*;

const TABLE: TableId = TableId(0);
const NOW: Moment = Moment(std::time::Duration::ZERO);

fn receipt(ledger: &mut Ledger, lane: u32, next: u64) -> Receipt {
    ledger.open(LaneId(lane), Position(next), 1, NOW).expect("the lane is ours")
}

fn settle(ledger: &mut Ledger, claims: impl IntoIterator<Item = Claim>) -> Vec<ChunkId> {
    let mut freed = Vec::new();
    ledger.settle(claims.into_iter().collect(), &mut freed);
    freed.into_iter().map(|freed| freed.chunk).collect()
}

fn asked(ledger: &mut Ledger) -> Vec<(LaneId, Position)> {
    ledger.commit().map_or_else(Vec::new, |commit| {
        let positions = commit.positions().to_vec();
        ledger.confirm(commit);
        positions
    })
}

#[test]
fn a_front_moves_only_over_contiguous_settled_chunks() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(0), TABLE);
    let [first, second, third] = [10, 20, 30].map(|next| receipt(&mut ledger, 1, next));
    settle(&mut ledger, [Claim::Receipt(second)]);
    assert_eq!(asked(&mut ledger), []);
    settle(&mut ledger, [Claim::Receipt(first)]);
    assert_eq!(asked(&mut ledger), [(LaneId(1), Position(20))]);
    settle(&mut ledger, [Claim::Receipt(third)]);
    assert_eq!(asked(&mut ledger), [(LaneId(1), Position(30))]);
}

#[test]
fn a_chunk_settles_when_all_that_was_cut_from_its_receipt_did() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(0), TABLE);
    let first = receipt(&mut ledger, 1, 10);
    let chunk = first.chunk();
    let second = ledger.cut(&first);
    let third = ledger.cut(&second);
    assert_eq!(settle(&mut ledger, [Claim::Receipt(second)]), []);
    assert_eq!(settle(&mut ledger, [Claim::Receipt(first)]), []);
    assert_eq!(asked(&mut ledger), []);
    assert_eq!(settle(&mut ledger, [Claim::Receipt(third)]), [chunk]);
    assert_eq!(asked(&mut ledger), [(LaneId(1), Position(10))]);
}

#[test]
fn a_receipt_that_is_dropped_leaves_its_chunk_open_for_ever() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(0), TABLE);
    drop(receipt(&mut ledger, 1, 10));
    let second = receipt(&mut ledger, 1, 20);
    settle(&mut ledger, [Claim::Receipt(second)]);
    assert_eq!(asked(&mut ledger), []);
    assert_eq!(ledger.open_chunks(), 1);
    assert!(!ledger.is_done(LaneId(1)));
}

#[test]
fn a_bundle_settles_when_all_its_shares_did() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(0), TABLE);
    let claims = [10, 20].map(|next| Claim::Receipt(receipt(&mut ledger, 1, next)));
    let first = ledger.bundle(claims.into());
    let second = ledger.cut_share(&first);
    // A share may itself be bundled: a letter's batch can be split too.
    let outer = ledger.bundle(vec![Claim::Share(second)]);
    assert_eq!(settle(&mut ledger, [Claim::Share(first)]), []);
    assert_eq!(settle(&mut ledger, [Claim::Share(outer)]).len(), 2);
    assert_eq!(asked(&mut ledger), [(LaneId(1), Position(20))]);
}

#[test]
fn a_lane_that_ended_commits_nothing_and_its_chunks_live_until_they_settle() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(0), TABLE);
    let [first, second] = [10, 20].map(|next| receipt(&mut ledger, 1, next));
    settle(&mut ledger, [Claim::Receipt(first)]);
    ledger.end(LaneId(1));
    assert_eq!(asked(&mut ledger), []);
    assert_eq!((ledger.open_chunks(), ledger.open_chunks_of_ours()), (1, 0));
    assert_eq!(settle(&mut ledger, [Claim::Receipt(second)]).len(), 1);
    assert_eq!(asked(&mut ledger), []);
    assert_eq!((ledger.open_chunks(), ledger.lanes.len()), (0, 0));
}

#[test]
fn records_that_were_opened_before_are_refused() {
    let mut ledger = Ledger::default();
    ledger.assign(LaneId(1), Position(5), TABLE);
    assert_eq!(ledger.open(LaneId(1), Position(5), 1, NOW), None);
    let first = receipt(&mut ledger, 1, 10);
    assert_eq!(ledger.open(LaneId(1), Position(10), 1, NOW), None);
    assert_eq!(ledger.open(LaneId(1), Position(7), 1, NOW), None);
    assert_eq!(ledger.open(LaneId(2), Position(7), 1, NOW), None);
    settle(&mut ledger, [Claim::Receipt(first)]);
    assert_eq!(asked(&mut ledger), [(LaneId(1), Position(10))]);
}

#[test]
fn a_commit_of_a_lane_that_ended_meanwhile_changes_nothing() {
    let mut ledger = Ledger::default();
    for lane in [1, 2] {
        ledger.assign(LaneId(lane), Position(0), TABLE);
        let receipt = receipt(&mut ledger, lane, 10);
        settle(&mut ledger, [Claim::Receipt(receipt)]);
    }
    let commit = ledger.commit().expect("both fronts moved");
    ledger.end(LaneId(1));
    ledger.refuse(commit);
    assert_eq!(asked(&mut ledger), [(LaneId(2), Position(10))]);
}

#[derive(Clone, Debug)]
enum Step {
    Open { lane: u32, records: u64 },
    Cut { which: usize },
    Settle { which: usize },
    Bundle { from: usize },
    Commit { accepted: bool },
    Finish { lane: u32 },
    End { lane: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let lane = || 0_u32..3;
    prop_oneof![
        8 => (lane(), 1_u64..50).prop_map(|(lane, records)| Step::Open { lane, records }),
        3 => any::<usize>().prop_map(|which| Step::Cut { which }),
        8 => any::<usize>().prop_map(|which| Step::Settle { which }),
        1 => any::<usize>().prop_map(|from| Step::Bundle { from }),
        3 => any::<bool>().prop_map(|accepted| Step::Commit { accepted }),
        1 => lane().prop_map(|lane| Step::Finish { lane }),
        1 => lane().prop_map(|lane| Step::End { lane }),
    ]
}

/// What the model holds for one claim: the chunks it keeps open.
type Holding = (Claim, Vec<ChunkId>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is opened, cut, bundled, settled and ended in whatever order: a commit names exactly
    /// the lanes whose front moved, with the position of the last chunk before the first open one;
    /// never backward, never for an ended lane; and a chunk is freed with its last claim, once.
    #[test]
    fn commits_are_exactly_the_fronts_of_a_model(steps in proptest::collection::vec(step(), 1..200)) {
        let mut ledger = Ledger::default();
        let mut holdings: Vec<Holding> = Vec::new();
        let mut chunks: [Vec<(ChunkId, u64)>; 3] = Default::default();
        let mut freed: Vec<ChunkId> = Vec::new();
        let mut next = [0_u64; 3];
        let mut committed = [0_u64; 3];
        let (mut live, mut ours) = ([true; 3], [true; 3]);
        for lane in 0..3 {
            ledger.assign(LaneId(lane), Position(0), TABLE);
        }
        for step in steps {
            match step {
                Step::Open { lane, records } => {
                    let index = lane as usize;
                    let position = next[index] + records;
                    let opened = ledger.open(LaneId(lane), Position(position), 1, NOW);
                    prop_assert_eq!(opened.is_some(), live[index]);
                    if let Some(receipt) = opened {
                        next[index] = position;
                        chunks[index].push((receipt.chunk(), position));
                        let chunk = receipt.chunk();
                        holdings.push((Claim::Receipt(receipt), vec![chunk]));
                    }
                }
                Step::Cut { which } if !holdings.is_empty() => {
                    let (claim, held) = &holdings[which % holdings.len()];
                    let (cut, held) = match claim {
                        Claim::Receipt(receipt) => (Claim::Receipt(ledger.cut(receipt)), held.clone()),
                        Claim::Share(share) => (Claim::Share(ledger.cut_share(share)), held.clone()),
                    };
                    holdings.push((cut, held));
                }
                Step::Settle { which } if !holdings.is_empty() => {
                    let (claim, held) = holdings.swap_remove(which % holdings.len());
                    let gone = settle(&mut ledger, [claim]);
                    for chunk in held {
                        let is_held = holdings.iter().any(|(_, held)| held.contains(&chunk));
                        prop_assert_eq!(gone.contains(&chunk), !is_held, "chunk {}", chunk);
                    }
                    freed.extend(gone);
                }
                Step::Bundle { from } if !holdings.is_empty() => {
                    let claims = holdings.split_off(from % holdings.len());
                    let (claims, held): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
                    holdings.push((Claim::Share(ledger.bundle(claims)), held.concat()));
                }
                Step::Commit { accepted } => {
                    let mut expected = Vec::new();
                    for lane in 0..3 {
                        let settled = chunks[lane].iter().take_while(|(chunk, _)| freed.contains(chunk));
                        let front = settled.last().map_or(0, |(_, next)| *next);
                        if ours[lane] && front > committed[lane] {
                            expected.push((LaneId(u32::try_from(lane).unwrap_or(0)), Position(front)));
                        }
                    }
                    prop_assert_eq!(ledger.has_news(), !expected.is_empty());
                    let commit = ledger.commit();
                    prop_assert_eq!(commit.as_ref().map_or(&[][..], Commit::positions), &expected[..]);
                    prop_assert!(!ledger.has_news());
                    if let Some(commit) = commit {
                        if accepted {
                            ledger.confirm(commit);
                            for (lane, position) in expected {
                                committed[lane.0 as usize] = position.0;
                            }
                        } else {
                            ledger.refuse(commit);
                        }
                    }
                }
                Step::Finish { lane } => {
                    ledger.finish(LaneId(lane));
                    live[lane as usize] = false;
                }
                Step::End { lane } => {
                    ledger.end(LaneId(lane));
                    (live[lane as usize], ours[lane as usize]) = (false, false);
                }
                Step::Cut { .. } | Step::Settle { .. } | Step::Bundle { .. } => {}
            }
            let all: usize = chunks.iter().map(Vec::len).sum();
            prop_assert_eq!(ledger.open_chunks(), all - freed.len());
        }
    }
}
