//! Rows of a set with one normal form: they are compared with others once, by the row that stands for them.

use super::table::{Nr, Table};

/// For each row, the one that stands for its normal form: the tidiest of lowest rank, ties by the earliest.
pub(super) fn classes(table: &Table) -> Vec<Nr> {
    let mut order: Vec<Nr> = table.rows().filter(|&nr| !table.entry(nr).is_empty()).collect();
    order.sort_unstable_by_key(|&nr| {
        let e = table.entry(nr);
        (e.prints.normal, e.set, e.rank, e.untidy, nr)
    });
    let mut stands: Vec<Nr> = table.rows().collect();
    let same = |&a: &Nr, &b: &Nr| {
        let (a, b) = (table.entry(a), table.entry(b));
        (a.prints.normal, a.set) == (b.prints.normal, b.set)
    };
    for class in order.chunk_by(same) {
        class.iter().for_each(|&nr| stands[nr as usize] = class[0]);
    }
    stands
}
