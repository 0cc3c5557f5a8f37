//! The order of a block's rows by the table's sort key.

use std::cmp::Ordering;

use super::values::{Store, Values};

/// Which row comes at which place; `None` when they are in order already. Stable.
///
/// Leading keyword columns are sorted by counting, which leaves one run per symbol; within a run
/// the rows of a lane are nearly always in order of time, so that a look is enough.
pub(super) fn order(columns: &[Values], key: &[usize], rows: u32) -> Option<Vec<u32>> {
    let key: Vec<&Values> = key.iter().map(|column| &columns[*column]).collect();
    let leading = key.iter().take_while(|values| matches!(values.store, Store::Keyword(_))).count();
    let (leading, rest) = key.split_at(leading);
    let ranks: Vec<(Vec<u32>, u32)> = leading.iter().filter_map(|values| ranks(values)).collect();
    let compare_ranks = |left: u32, right: u32| {
        let compare = |(rank, _): &(Vec<u32>, u32)| rank[left as usize].cmp(&rank[right as usize]);
        ranks.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    let in_order = |left: u32, right: u32| {
        compare_ranks(left, right).then_with(|| compare(rest, left, right)).is_le()
    };
    if (1..rows).all(|row| in_order(row - 1, row)) {
        return None;
    }

    let mut order: Vec<u32> = (0..rows).collect();
    for (rank, ranks) in ranks.iter().rev() {
        order = counted(&order, rank, *ranks as usize);
    }
    let mut pairs = Vec::new();
    for run in order.chunk_by_mut(|left, right| compare_ranks(*left, *right).is_eq()) {
        sort_run(run, rest, &mut pairs);
    }
    Some(order)
}

fn ranks(values: &Values) -> Option<(Vec<u32>, u32)> {
    match &values.store {
        Store::Keyword(keywords) => Some(keywords.ranks()),
        _ => None,
    }
}

/// A stable sort by rank in two passes.
fn counted(order: &[u32], rank: &[u32], ranks: usize) -> Vec<u32> {
    let mut next = vec![0_u32; ranks + 1];
    for rank in rank {
        next[*rank as usize + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut sorted = vec![0; order.len()];
    for row in order {
        let place = &mut next[rank[*row as usize] as usize];
        sorted[*place as usize] = *row;
        *place += 1;
    }
    sorted
}

/// Sorts rows that are alike in what comes before `key`.
///
/// Column by column, so that rows in order of time stay where they are and only those of one
/// instant are looked at again. `pairs` is memory to be used again.
fn sort_run(run: &mut [u32], key: &[&Values], pairs: &mut Vec<(u64, u32)>) {
    let Some((first, rest)) = key.split_first().filter(|_| run.len() > 1) else {
        return;
    };
    if !first.ordinals(run, pairs) {
        run.sort_by(|left, right| compare(key, *left, *right));
        return;
    }
    if !pairs.is_sorted_by_key(|(ordinal, _)| *ordinal) {
        // By row within an ordinal, which is what a stable sort would leave.
        pairs.sort_unstable();
        for (row, (_, sorted)) in run.iter_mut().zip(&*pairs) {
            *row = *sorted;
        }
    }
    if rest.is_empty() {
        return;
    }
    let mut start = 0;
    let lengths: Vec<usize> =
        pairs.chunk_by(|left, right| left.0 == right.0).map(<[_]>::len).collect();
    for length in lengths {
        sort_run(&mut run[start..start + length], rest, pairs);
        start += length;
    }
}

fn compare(key: &[&Values], left: u32, right: u32) -> Ordering {
    let compare = |values: &&Values| values.compare(left as usize, right as usize);
    key.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
