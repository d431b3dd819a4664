//! Shingles of a normal form, and what two sets of them share.

use super::normal::is_wide;

/// Units of a shingle: a letter, digit or space is one, an ideograph two.
pub const SHINGLE_UNITS: u32 = 4;
/// Units of a long shingle: three shingles end to end. Chance alone hardly ever makes two texts share one.
pub const LONG_UNITS: u32 = 3 * SHINGLE_UNITS;

/// The distinct shingles of a text, by their hashes. Two of a text's shingles meet in 32 bits less than once in a thousand
/// texts of a thousand characters.
#[derive(Clone, Debug, Default)]
pub struct ShingleSet {
    hashes: Vec<u32>,
    /// The same, open addressing: sorting them would take five times as long. 0 is an empty place.
    table: Vec<u32>,
}

impl ShingleSet {
    pub fn of(normal: &str) -> Self {
        let mut set = Self::with_capacity(normal.chars().count());
        each(normal, |hash, _| set.insert(hash));
        set
    }

    /// The same of long shingles.
    pub fn of_long(normal: &str) -> Self {
        let mut long = Vec::new();
        long_shingles(normal, &mut long);
        let mut set = Self::with_capacity(long.len());
        long.into_iter().for_each(|hash| set.insert(hash));
        set
    }

    fn with_capacity(shingles: usize) -> Self {
        Self { hashes: Vec::with_capacity(shingles), table: vec![0; (2 * shingles).max(2).next_power_of_two()] }
    }

    fn insert(&mut self, hash: u64) {
        let hash = ((hash >> 32) as u32).max(1);
        if let Err(place) = self.place(hash) {
            self.table[place] = hash;
            self.hashes.push(hash);
        }
    }

    /// Where the hash is, or else where it would go.
    fn place(&self, hash: u32) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            match self.table[place] {
                0 => return Err(place),
                there if there == hash => return Ok(place),
                _ => place = (place + 1) & mask,
            }
        }
    }

    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }
}

/// How many shingles two texts share, and how many each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    pub both: usize,
    pub a: usize,
    pub b: usize,
}

impl Overlap {
    /// Shared shingles over all shingles. Two texts without any are alike.
    pub fn jaccard(self) -> f32 {
        ratio(self.both, self.a + self.b - self.both)
    }

    /// How much of the smaller one is in the other.
    pub fn containment(self) -> f32 {
        ratio(self.both, self.a.min(self.b))
    }

    /// How much of `a` is in `b`.
    pub fn of_a(self) -> f32 {
        ratio(self.both, self.a)
    }
}

fn ratio(part: usize, whole: usize) -> f32 {
    if whole == 0 { 1.0 } else { part as f32 / whole as f32 }
}

pub fn overlap(a: &ShingleSet, b: &ShingleSet) -> Overlap {
    let (fewer, more) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let both = match more.is_empty() {
        true => 0,
        false => fewer.hashes.iter().filter(|&&hash| more.place(hash).is_ok()).count(),
    };
    Overlap { both, a: a.len(), b: b.len() }
}

/// Appends the hash of each shingle in order, repeated ones too. A text shorter than one shingle is one by itself; an
/// empty one has none.
pub fn shingles(normal: &str, into: &mut Vec<u64>) {
    each(normal, |hash, _| into.push(hash));
}

/// Appends the hash of each long shingle in order. A shorter text has none.
pub fn long_shingles(normal: &str, into: &mut Vec<u64>) {
    if normal.is_ascii() {
        let mut ends = Vec::with_capacity(normal.len());
        each_ascii(normal.as_bytes(), |hash, _| ends.push(hash));
        into.extend(ends.windows(9).map(|ends| long(ends[8], ends[4], ends[0])));
        return;
    }
    // Once one shingle has ended, one ends at each character: two that follow each other are as many characters apart as
    // the second is long.
    let mut ends: Vec<(u64, u8)> = Vec::with_capacity(normal.len());
    each(normal, |hash, chars| ends.push((hash, chars)));
    for (i, &(last, chars)) in ends.iter().enumerate() {
        let Some(before) = i.checked_sub(usize::from(chars)) else { continue };
        let (middle, chars) = ends[before];
        let Some(before) = before.checked_sub(usize::from(chars)) else { continue };
        into.push(long(last, middle, ends[before].0));
    }
}

fn long(last: u64, middle: u64, first: u64) -> u64 {
    mix(last ^ middle.rotate_left(21) ^ first.rotate_left(42))
}

/// Calls `f` with hash and number of characters of the shingle that ends at each character, once the text is long enough.
fn each(normal: &str, mut f: impl FnMut(u64, u8)) {
    if normal.is_ascii() {
        each_ascii(normal.as_bytes(), f);
        return;
    }
    // The last four characters, 16 bits each, the newest lowest; which of them are wide; how many there have been.
    let (mut pack, mut wide, mut seen, mut ended) = (0u64, 0u8, 0u8, false);
    for c in normal.chars() {
        pack = pack << 16 | code(c);
        wide = wide << 1 & 0b1111 | u8::from(is_wide(c));
        seen = (seen + 1).min(4);
        let chars = CHARS[usize::from(wide)];
        if chars <= seen {
            ended = true;
            f(mix(pack & (u64::MAX >> (64 - 16 * u32::from(chars)))), chars);
        }
    }
    if !ended && seen > 0 {
        f(mix(pack), seen);
    }
}

fn each_ascii(normal: &[u8], mut f: impl FnMut(u64, u8)) {
    let mut pack = 0u64;
    for (i, &b) in normal.iter().enumerate() {
        pack = pack << 16 | u64::from(b);
        if i >= 3 {
            f(mix(pack), 4);
        }
    }
    if (1..4).contains(&normal.len()) {
        f(mix(pack), normal.len() as u8);
    }
}

/// A character in 16 bits: itself, but for those beyond the basic plane, where some share a code.
fn code(c: char) -> u64 {
    let c = c as u32;
    u64::from((c ^ (c >> 16).wrapping_mul(0x3d4d)) as u16)
}

/// Characters of a shingle, by which of the last four are wide (the newest in the lowest bit).
const CHARS: [u8; 16] = {
    let mut table = [0; 16];
    let mut wide = 0;
    while wide < 16 {
        let (mut units, mut chars) = (0, 0);
        while units < SHINGLE_UNITS {
            units += 1 + (wide as u32 >> chars & 1);
            chars += 1;
        }
        table[wide] = chars as u8;
        wide += 1;
    }
    table
};

/// The finisher of MurmurHash3 with Stafford's thirteenth set of constants: every bit depends on every bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
