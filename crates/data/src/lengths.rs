//! What happens to an example that is longer than the plan allows.

use crate::plan::{LengthPlan, OverLength, Packing};
use std::ops::Range;

/// What the plan makes of one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The token ranges that become examples, and under which name to count the row, if something was done to it.
    Keep {
        pieces: Vec<Range<usize>>,
        counted: Option<&'static str>,
    },
    /// Not used, and counted under this name.
    Drop(&'static str),
    Refuse,
}

pub(crate) const NO_SUPERVISED: &str = "no supervised token";
pub(crate) const DROPPED: &str = "dropped: over seq_len_max";
pub(crate) const TRUNCATED: &str = "truncated to seq_len_max";
pub(crate) const CUT_AWAY: &str = "dropped: truncation leaves no supervised token";
pub(crate) const SPLIT: &str = "split at seq_len_max";

/// Applies the plan's policy. An example that is kept always has a supervised token beyond position 0, so the loss is never an
/// empty sum. With `BfdSplit` and `Wrapped` packing cuts long examples itself, so that they are kept whole here.
pub(crate) fn fate(supervised: &[bool], plan: &LengthPlan) -> Fate {
    let len = supervised.len();
    if supervised_in(supervised, 0..len) == 0 {
        return Fate::Drop(NO_SUPERVISED);
    }
    let packing_cuts = matches!(plan.packing, Packing::BfdSplit | Packing::Wrapped);
    if len <= plan.seq_len_max || packing_cuts {
        return keep(0..len, None);
    }
    match plan.over {
        OverLength::Refuse => Fate::Refuse,
        OverLength::Drop => Fate::Drop(DROPPED),
        OverLength::Truncate if supervised_in(supervised, 0..plan.seq_len_max) == 0 => Fate::Drop(CUT_AWAY),
        OverLength::Truncate => keep(0..plan.seq_len_max, Some(TRUNCATED)),
        OverLength::Split => {
            let pieces = crate::packing::fragments(0, len, plan.seq_len_max.max(1)).map(|p| p.tokens);
            let pieces: Vec<_> = pieces.filter(|tokens| supervised_in(supervised, tokens.clone()) > 0).collect();
            if pieces.is_empty() { Fate::Drop(NO_SUPERVISED) } else { Fate::Keep { pieces, counted: Some(SPLIT) } }
        }
    }
}

fn keep(piece: Range<usize>, counted: Option<&'static str>) -> Fate {
    Fate::Keep { pieces: std::iter::once(piece).collect(), counted }
}

/// Supervised tokens of a range that count in the loss when it stands alone: its first token is predicted by nothing.
pub(crate) fn supervised_in(supervised: &[bool], range: Range<usize>) -> usize {
    supervised[range].iter().skip(1).filter(|on| **on).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mask: &str, over: OverLength, packing: Packing, expect: Fate) {
        let supervised: Vec<bool> = mask.bytes().map(|b| b == b'x').collect();
        assert_eq!(
            fate(&supervised, &LengthPlan { seq_len_max: 4, over, packing }),
            expect,
            "{mask} {over:?} {packing:?}"
        );
    }

    fn split(first: Range<usize>, second: Range<usize>) -> Fate {
        Fate::Keep { pieces: vec![first, second], counted: Some(SPLIT) }
    }

    #[test]
    fn around_the_limit() {
        use OverLength::*;
        for over in [Refuse, Drop, Truncate, Split] {
            check("..x", over, Packing::Examples, keep(0..3, None));
            check("...x", over, Packing::Examples, keep(0..4, None));
            check("x...", over, Packing::Examples, Fate::Drop(NO_SUPERVISED));
            check("", over, Packing::Examples, Fate::Drop(NO_SUPERVISED));
            check("..xxx", over, Packing::BfdSplit, keep(0..5, None));
            check("..xxx", over, Packing::Wrapped, keep(0..5, None));
        }
        check("..xxx", Refuse, Packing::Examples, Fate::Refuse);
        check("..xxx", Drop, Packing::Bfd, Fate::Drop(DROPPED));
        check("..xxx", Truncate, Packing::Bfd, keep(0..4, Some(TRUNCATED)));
        check("....x", Truncate, Packing::Examples, Fate::Drop(CUT_AWAY));
        check("..xx.xx", Split, Packing::Examples, split(0..4, 4..7));
        check(".....xx", Split, Packing::Examples, keep(4..7, Some(SPLIT)));
        check("....x", Split, Packing::Examples, Fate::Drop(NO_SUPERVISED));
    }
}
