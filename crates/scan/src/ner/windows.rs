//! Long texts in pieces that a model can take.

use std::ops::Range;

/// Of a text's tokens those that are looked at together, and those of them whose answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub at: Range<usize>,
    pub keep: Range<usize>,
}

/// Windows of at most `size` tokens that overlap by `overlap`. What two of them see counts where it is farther from an end.
///
/// `overlap` is less than `size`; every token is kept once.
pub fn windows(tokens: usize, size: usize, overlap: usize) -> Vec<Window> {
    let step = size.saturating_sub(overlap).max(1);
    let mut windows: Vec<Window> = Vec::new();
    let mut start = 0;
    loop {
        let at = start..tokens.min(start + size);
        let from = match windows.last_mut() {
            None => 0,
            Some(before) => {
                before.keep.end = start + (before.at.end - start) / 2;
                before.keep.end
            }
        };
        let last = at.end == tokens;
        windows.push(Window { keep: from..at.end, at });
        if last {
            return windows;
        }
        start += step;
    }
}
