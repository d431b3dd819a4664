//! How long the texts are: exact counts, so that pieces of a set add up to the whole.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Rows shown at either end.
const ENDS: usize = 5;
const QUANTILES: [(&str, f64); 8] = [
    ("min", 0.0),
    ("p5", 0.05),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p95", 0.95),
    ("p99", 0.99),
    ("max", 1.0),
];
const LOGIT_BYTES: u64 = 4;
/// A batch whose padding is told: as many rows as peers usually take.
const BATCH: i32 = 8;

/// Where a row stands: index of the file, line.
pub type Place = (u32, u64);

/// The lengths of one text of every row, in one unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// Length → rows.
    counts: BTreeMap<u64, u64>,
    shortest: Vec<(u64, Place)>,
    longest: Vec<(u64, Place)>,
}

impl Lengths {
    pub fn add(&mut self, length: u64, place: Place) {
        *self.counts.entry(length).or_default() += 1;
        end(&mut self.shortest, (length, place), |&(length, place)| (length, place));
        end(&mut self.longest, (length, place), |&(length, place)| (u64::MAX - length, place));
    }

    pub fn merge(&mut self, other: &Lengths) {
        other.counts.iter().for_each(|(length, rows)| *self.counts.entry(*length).or_default() += rows);
        other.shortest.iter().for_each(|&one| end(&mut self.shortest, one, |&(length, place)| (length, place)));
        other
            .longest
            .iter()
            .for_each(|&one| end(&mut self.longest, one, |&(length, place)| (u64::MAX - length, place)));
    }

    pub fn rows(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn sum(&self) -> u64 {
        self.counts.iter().map(|(length, rows)| length * rows).sum()
    }

    /// Rows longer than `limit`.
    pub fn over(&self, limit: u64) -> u64 {
        self.counts.range(limit + 1..).map(|(_, rows)| rows).sum()
    }

    /// The smallest length that at least this share of the rows does not exceed; 0 without rows.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (share * self.rows() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (length, rows) in &self.counts {
            seen += rows;
            if seen >= wanted {
                return *length;
            }
        }
        0
    }

    /// The share of a batch's tokens that is padding, where `BATCH` rows chosen at random are padded to the longest of them and
    /// no row is longer than `limit`: 1 − E[length] / E[longest], both from the counts.
    pub fn padding(&self, limit: u64) -> f64 {
        let rows = self.rows() as f64;
        let (mut below, mut longest, mut mean) = (0.0, 0.0, 0.0);
        for (length, count) in &self.counts {
            let length = (*length).min(limit) as f64;
            let up_to = below + *count as f64 / rows;
            longest += length * (up_to.powi(BATCH) - below.powi(BATCH));
            mean += length * *count as f64 / rows;
            below = up_to;
        }
        if longest > 0.0 { (1.0 - mean / longest).max(0.0) } else { 0.0 }
    }

    /// The tokens in rows of at most `limit`, longer rows cut.
    pub fn tokens_within(&self, limit: u64) -> u64 {
        self.counts.iter().map(|(length, rows)| (*length).min(limit) * rows).sum()
    }

    /// For each limit, ascending, what follows from cutting or padding at it: the entries of `lengths.over` in `scan.json`. Memory is
    /// what a program that keeps a row's logits needs for them, which is most of what grows with its length.
    pub fn limits(&self, limits: &[u64], vocabulary: u64) -> Vec<Value> {
        let rows = self.rows().max(1) as f64;
        let entry = |&limit: &u64| {
            let within = self.tokens_within(limit) as f64;
            json!({
                "seq_len_max": limit,
                "rows": self.over(limit),
                "share": self.over(limit) as f64 / rows,
                "cut": 1.0 - within / (self.sum().max(1) as f64),
                "padding": 1.0 - within / (rows * limit.max(1) as f64),
                "padding_in_batch": self.padding(limit),
                "memory": limit * vocabulary * LOGIT_BYTES,
                "memory_of": format!("f32 logits over {vocabulary} tokens"),
            })
        };
        limits.iter().map(entry).collect()
    }

    /// As `scan.json` has it; `name` gives a file's name.
    pub fn shown(&self, name: &dyn Fn(u32) -> String) -> Value {
        let ends = |rows: &[(u64, Place)]| -> Vec<Value> {
            let row =
                |&(length, (file, line)): &(u64, Place)| json!({"file": name(file), "line": line, "length": length});
            rows.iter().map(row).collect()
        };
        json!({
            "rows": self.rows(),
            "mean": self.sum() as f64 / self.rows().max(1) as f64,
            "quantiles": QUANTILES.map(|(name, share)| (name.to_owned(), json!(self.quantile(share)))).into_iter().collect::<Map<_, _>>(),
            "histogram": self.histogram(),
            "shortest": ends(&self.shortest),
            "longest": ends(&self.longest),
        })
    }

    /// `{edges, counts}`, the last bin with its right edge; edges are whole numbers, from 8 on four to a doubling.
    pub fn histogram(&self) -> Value {
        let longest = self.counts.keys().next_back().copied().unwrap_or(0);
        let mut edges: Vec<u64> = (0..8).collect();
        for doubling in 3..63 {
            edges.extend((0..4).map(|quarter| (1 << doubling) + quarter * (1 << (doubling - 2))));
        }
        let end = edges.iter().position(|edge| *edge > longest).unwrap_or(edges.len() - 1).max(1);
        edges.truncate(end + 1);
        let counts: Vec<u64> =
            edges.windows(2).map(|bin| self.counts.range(bin[0]..bin[1]).map(|(_, rows)| rows).sum()).collect();
        json!({"edges": edges, "counts": counts})
    }
}

/// Keeps the first `ENDS` by `key`.
fn end<K: Ord>(kept: &mut Vec<(u64, Place)>, one: (u64, Place), key: impl Fn(&(u64, Place)) -> K) {
    let at = kept.partition_point(|other| key(other) <= key(&one));
    if at < ENDS {
        kept.insert(at, one);
        kept.truncate(ENDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[u64]) -> Lengths {
        let mut all = Lengths::default();
        lengths.iter().enumerate().for_each(|(i, length)| all.add(*length, (0, i as u64 + 1)));
        all
    }

    #[test]
    fn quantiles_are_lengths_that_occur() {
        let lengths = of(&[10, 20, 30, 40]);
        let found: Vec<u64> = [0.0, 0.25, 0.5, 0.51, 1.0].iter().map(|share| lengths.quantile(*share)).collect();
        assert_eq!(found, [10, 10, 20, 30, 40]);
        assert_eq!(Lengths::default().quantile(0.5), 0);
    }

    #[test]
    fn over_counts_what_is_longer() {
        let lengths = of(&[511, 512, 513]);
        assert_eq!((lengths.over(512), lengths.over(513), lengths.over(0)), (1, 0, 3));
    }

    #[test]
    fn pieces_add_up_to_the_whole_in_any_order() {
        let values: Vec<u64> = (0..40).map(|i| i * 7919 % 23).collect();
        let whole = of(&values);
        for cut in [1, 13, 39] {
            let mut parts = [Lengths::default(), Lengths::default()];
            for (i, length) in values.iter().enumerate() {
                parts[usize::from(i >= cut)].add(*length, (0, i as u64 + 1));
            }
            let [first, mut second] = parts;
            second.merge(&first);
            assert_eq!(second, whole, "cut at {cut}");
        }
    }

    #[test]
    fn equal_rows_need_no_padding_and_uneven_ones_do() {
        assert_eq!(of(&[5, 5, 5]).padding(512), 0.0);
        // One row of 100 in two: a batch of 8 has one with 255/256, so 1 − 50.5 / (100·255/256 + 1/256).
        let padding = of(&[1, 100]).padding(512);
        assert!((padding - (1.0 - 50.5 / (100.0 * 255.0 / 256.0 + 1.0 / 256.0))).abs() < 1e-12, "{padding}");
        assert_eq!(of(&[1, 100]).padding(1), 0.0);
        assert_eq!(Lengths::default().padding(512), 0.0);
    }

    #[test]
    fn a_histogram_holds_every_row_once() {
        for lengths in [vec![0], vec![9], vec![10], vec![1, 7, 699, 700, 701, 12_345]] {
            let histogram = of(&lengths).histogram();
            let counts: Vec<u64> =
                histogram["counts"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
            assert_eq!(counts.iter().sum::<u64>(), lengths.len() as u64, "{lengths:?}");
            assert_eq!(histogram["edges"].as_array().map(Vec::len), Some(counts.len() + 1));
        }
        assert_eq!(Lengths::default().histogram(), json!({"edges": [0, 1], "counts": [0]}));
    }
}
