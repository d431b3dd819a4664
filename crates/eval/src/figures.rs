//! From rows to figures: each measure leaves a few numbers a row, and a figure is a function of their sums.
//!
//! That the sums suffice makes every figure as quick on a bootstrap sample as on the rows themselves, also those that are
//! not means of rows, such as chrF, perplexity and macro F1.

use crate::score::{chrf, classes};
use serde::Serialize;

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Higher,
    Lower,
}

/// A named function of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// As conditions and eval.json have it: `accuracy`.
    pub name: &'static str,
    /// The key in the suite: `classification`.
    pub measure: &'static str,
    pub better: Better,
    pub how: How,
}

/// How it follows from columns of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The share of rows in which the column is 1 and not 0.
    Rate(usize),
    Mean(usize),
    /// Sum of the first column by that of the second.
    Ratio(usize, usize),
    /// e to that.
    ExpRatio(usize, usize),
    /// chrF of the columns from this on.
    Chrf(usize),
    /// Of label and named label in the column and the next; so many labels.
    MacroF1(usize, usize),
    MicroF1(usize, usize),
    /// The share of rows in which the column is this.
    RateOf(usize, usize),
    /// The share of rows in which the column is as the next.
    Agree(usize),
}

/// [rows, width], row after row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub values: &'a [f64],
    pub width: usize,
}

impl<'a> Rows<'a> {
    pub fn len(self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn row(self, i: usize) -> &'a [f64] {
        &self.values[i * self.width..(i + 1) * self.width]
    }
}

impl Figure {
    /// Over all rows.
    pub fn of(&self, rows: Rows) -> f64 {
        self.over(rows, 0..rows.len())
    }

    /// Over the rows at these places.
    pub fn over(&self, rows: Rows, places: impl Iterator<Item = usize>) -> f64 {
        let mut sums = vec![0.0; self.sums()];
        let mut n = 0u64;
        for place in places {
            self.add(&mut sums, rows.row(place));
            n += 1;
        }
        self.value(&sums, n as f64)
    }

    /// Over the rows of `a`, but those of `b` where `sides` says so.
    pub fn mixed(&self, a: Rows, b: Rows, sides: &[bool]) -> f64 {
        let mut sums = vec![0.0; self.sums()];
        sides.iter().enumerate().for_each(|(i, side)| self.add(&mut sums, if *side { b.row(i) } else { a.row(i) }));
        self.value(&sums, sides.len() as f64)
    }

    /// Of one row alone.
    pub fn of_row(&self, rows: Rows, place: usize) -> f64 {
        self.over(rows, std::iter::once(place))
    }

    /// Whether it is a share of rows that pass.
    pub fn is_rate(&self) -> bool {
        matches!(self.how, How::Rate(_) | How::RateOf(..) | How::Agree(_))
    }

    /// A change, positive where it is for the worse.
    pub fn harm(&self, change: f64) -> f64 {
        match self.better {
            Better::Higher => -change,
            Better::Lower => change,
        }
    }

    fn sums(&self) -> usize {
        match self.how {
            How::Rate(_) | How::Mean(_) | How::RateOf(..) | How::Agree(_) => 1,
            How::Ratio(..) | How::ExpRatio(..) => 2,
            How::Chrf(_) => chrf::WIDTH,
            How::MacroF1(_, labels) | How::MicroF1(_, labels) => 3 * labels,
        }
    }

    fn add(&self, sums: &mut [f64], row: &[f64]) {
        match self.how {
            How::Rate(at) | How::Mean(at) => sums[0] += row[at],
            How::RateOf(at, what) => sums[0] += f64::from(row[at] as usize == what),
            How::Agree(at) => sums[0] += f64::from(row[at] == row[at + 1]),
            How::Ratio(a, b) | How::ExpRatio(a, b) => {
                sums[0] += row[a];
                sums[1] += row[b];
            }
            How::Chrf(at) => sums.iter_mut().zip(&row[at..]).for_each(|(sum, x)| *sum += x),
            How::MacroF1(at, _) | How::MicroF1(at, _) => classes::add(sums, row[at] as usize, row[at + 1] as usize),
        }
    }

    fn value(&self, sums: &[f64], n: f64) -> f64 {
        match self.how {
            How::Rate(_) | How::Mean(_) | How::RateOf(..) | How::Agree(_) => sums[0] / n,
            How::Ratio(..) => sums[0] / sums[1],
            How::ExpRatio(..) => (sums[0] / sums[1]).exp(),
            How::Chrf(_) => chrf::score(sums),
            How::MacroF1(..) => classes::Counts { counts: sums }.macro_f1(),
            How::MicroF1(..) => classes::Counts { counts: sums }.micro_f1(),
        }
    }
}
