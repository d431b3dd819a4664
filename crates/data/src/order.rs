//! Shuffled order in O(1) memory: a permutation of `0..n` that is a pure function of (seed, epoch).
//!
//! A balanced Feistel network (Luby and Rackoff 1988) permutes the smallest even-width binary domain that holds `n`;
//! values that fall outside `0..n` are walked along their cycle until they fall inside (Black and Rogaway 2002). The
//! domain is less than 4n wide (or 64 for tiny n), so a look-up costs a few rounds and no memory, and both directions exist.

/// What a permutation is for; different purposes never share an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of the examples in an epoch.
    Shuffle,
    /// Which rows a validation share takes.
    Split,
    /// The order of the packed rows inside one packing window.
    Window(u64),
    /// The order of one task's examples, by its place; `epoch` counts how often it was gone through.
    Task(u64),
    /// The same of the replay rows, by the number of their choice.
    Replay(u64),
    /// Which replay rows are used.
    Pool,
}

const ROUNDS: usize = 8;
const HALF_BITS_MIN: u32 = 3;

/// A keyed bijection of `0..n`.
#[derive(Clone, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    pub fn new(n: u64, seed: u64, epoch: u64, purpose: Purpose) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let mut state = mix(seed ^ 0x6174_6861_6e6f_7221);
        for word in [epoch, purpose.tag(), purpose.detail()] {
            state = mix(state ^ mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15)));
        }
        let mut keys = [0; ROUNDS];
        for key in &mut keys {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            *key = mix(state);
        }
        Self { n, half_bits: bits.div_ceil(2).max(HALF_BITS_MIN), keys }
    }

    /// The value at place `i`. `i` at or beyond `n` has no place and comes back as it is.
    pub fn at(&self, i: u64) -> u64 {
        self.walk(i, Self::forwards)
    }

    /// The place at which `value` stands: `inverse(at(i)) == i`.
    pub fn inverse(&self, value: u64) -> u64 {
        self.walk(value, Self::backwards)
    }

    fn walk(&self, start: u64, step: impl Fn(&Self, u64) -> u64) -> u64 {
        if start >= self.n {
            return start;
        }
        // Ends: the walk stays on a cycle of a bijection, and that cycle contains `start`, which is inside.
        let mut x = step(self, start);
        while x >= self.n {
            x = step(self, x);
        }
        x
    }

    fn forwards(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in &self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }

    fn backwards(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in self.keys.iter().rev() {
            (left, right) = (right ^ (mix(left ^ key) & mask), left);
        }
        left << self.half_bits | right
    }
}

impl Purpose {
    fn tag(self) -> u64 {
        match self {
            Purpose::Shuffle => 1,
            Purpose::Split => 2,
            Purpose::Window(_) => 3,
            Purpose::Task(_) => 4,
            Purpose::Replay(_) => 5,
            Purpose::Pool => 6,
        }
    }

    fn detail(self) -> u64 {
        match self {
            Purpose::Shuffle | Purpose::Split | Purpose::Pool => 0,
            Purpose::Window(detail) | Purpose::Task(detail) | Purpose::Replay(detail) => detail,
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: u64, seed: u64, epoch: u64) -> Vec<u64> {
        let p = Permutation::new(n, seed, epoch, Purpose::Shuffle);
        (0..n).map(|i| p.at(i)).collect()
    }

    #[test]
    fn every_value_once_and_back() {
        for n in [0, 1, 2, 3, 7, 63, 64, 65, 1000, 4097] {
            let p = Permutation::new(n, 9, 2, Purpose::Shuffle);
            let mut seen = vec![false; n as usize];
            for i in 0..n {
                let v = p.at(i);
                assert!(!std::mem::replace(&mut seen[v as usize], true), "n {n}: {v} twice");
                assert_eq!(p.inverse(v), i, "n {n}");
            }
        }
    }

    #[test]
    fn a_function_of_seed_epoch_and_purpose() {
        assert_eq!(order(100, 1, 0), order(100, 1, 0));
        assert_ne!(order(100, 1, 0), order(100, 1, 1));
        assert_ne!(order(100, 1, 0), order(100, 2, 0));
        let split = Permutation::new(100, 1, 0, Purpose::Split);
        assert_ne!(order(100, 1, 0), (0..100).map(|i| split.at(i)).collect::<Vec<_>>());
        assert_ne!(order(100, 1, 0), (0..100).collect::<Vec<_>>());
    }

    /// Over many epochs each value visits each place about equally often (chi-squared, 15 degrees of freedom a row).
    #[test]
    fn places_are_even() {
        const N: u64 = 16;
        const EPOCHS: u64 = 8000;
        let mut hits = [[0f64; N as usize]; N as usize];
        for epoch in 0..EPOCHS {
            for (place, value) in order(N, 5, epoch).into_iter().enumerate() {
                hits[value as usize][place] += 1.0;
            }
        }
        let expected = EPOCHS as f64 / N as f64;
        let chi2: f64 = hits.iter().flatten().map(|h| (h - expected).powi(2) / expected).sum();
        // 225 degrees of freedom: mean 225, standard deviation 21.
        assert!((140.0..320.0).contains(&chi2), "chi squared {chi2}");
    }

    #[test]
    fn large_n_needs_no_memory() {
        let n = 10_000_000_019;
        let p = Permutation::new(n, 0, 0, Purpose::Shuffle);
        for i in [0, 1, n / 2, n - 1] {
            assert!(p.at(i) < n);
            assert_eq!(p.inverse(p.at(i)), i);
        }
    }
}
