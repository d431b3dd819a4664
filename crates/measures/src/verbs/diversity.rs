//! How varied the requests of a corpus are: exact counts of (verb, noun, level) that merge in any order.

use super::{Analysis, Level};
use crate::hash::fnv;
use std::collections::BTreeMap;

/// Distinct pairs that are held, about 100 bytes each. Beyond it, only pairs whose hash ends in one more zero bit are
/// kept, and so on: what is kept depends on the set of pairs alone, never on the order they came in, so merged
/// shards equal one process. The counts of kept pairs stay exact.
pub const PAIRS_MAX: usize = 1 << 18;

/// The longest verb or noun that is counted as itself, in characters: longer ones are no words.
const WORD_MAX: usize = 24;

/// A class below this share of the requests is called rare.
const RARE_SHARE: f64 = 0.02;

/// Bars of the histograms of steps and constraints: 0, 1, … and the rest.
const BARS: usize = 9;

/// Verbs that ask for each level most often.
const USUAL: [(Level, &[&str]); 6] = [
    (Level::Remember, &["list", "name", "state", "recall", "列出", "列举", "说出", "查找"]),
    (Level::Understand, &["explain", "summarize", "describe", "translate", "解释", "总结", "描述", "翻译"]),
    (Level::Apply, &["calculate", "convert", "solve", "apply", "计算", "转换", "求解", "应用"]),
    (Level::Analyse, &["compare", "analyze", "classify", "extract", "比较", "分析", "分类", "提取"]),
    (Level::Evaluate, &["evaluate", "rate", "recommend", "justify", "评价", "评估", "推荐", "判断"]),
    (Level::Create, &["write", "design", "compose", "plan", "写", "设计", "创作", "规划"]),
];

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Diversity {
    texts: u64,
    requests: u64,
    levels: BTreeMap<Level, u64>,
    /// Texts by number of requests, and by number of constraints; the last bar holds all above.
    steps: [u64; BARS],
    constraints: [u64; BARS],
    /// Pairs are kept whose hash ends in this many zero bits.
    zero_bits: u32,
    /// Verb, noun and level, with how often.
    #[serde(with = "rows")]
    pairs: BTreeMap<Pair, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Pair {
    verb: Box<str>,
    noun: Option<Box<str>>,
    level: Level,
}

/// The inner ring of a sunburst of verbs and the nouns they take, as in Self-Instruct (Wang et al. 2023, figure 2).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sunburst {
    pub sectors: Vec<Sector>,
    /// Requests whose verb is not among the sectors.
    pub rest: u64,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sector {
    pub verb: String,
    pub count: u64,
    pub petals: Vec<Petal>,
    /// Requests with this verb and a noun that is not among the petals, or none.
    pub rest: u64,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Petal {
    pub noun: String,
    pub count: u64,
}

impl Diversity {
    pub fn add(&mut self, analysis: &Analysis) {
        self.texts += 1;
        self.steps[bar(analysis.steps)] += 1;
        self.constraints[bar(analysis.constraints)] += 1;
        let Some(root) = &analysis.root else { return };
        self.requests += 1;
        *self.levels.entry(root.level).or_default() += 1;
        let pair = Pair { verb: word(&root.verb), noun: root.noun.as_deref().map(word), level: root.level };
        self.count(pair, 1);
    }

    pub fn merge(&mut self, other: Diversity) {
        self.texts += other.texts;
        self.requests += other.requests;
        for (level, count) in other.levels {
            *self.levels.entry(level).or_default() += count;
        }
        for (mine, theirs) in self.steps.iter_mut().zip(other.steps) {
            *mine += theirs;
        }
        for (mine, theirs) in self.constraints.iter_mut().zip(other.constraints) {
            *mine += theirs;
        }
        if other.zero_bits > self.zero_bits {
            self.thin_to(other.zero_bits);
        }
        for (pair, count) in other.pairs {
            self.count(pair, count);
        }
    }

    pub fn texts(&self) -> u64 {
        self.texts
    }

    /// Texts that ask for something.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Texts by number of requests; the last place is for all above.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    pub fn constraints(&self) -> &[u64] {
        &self.constraints
    }

    pub fn level(&self, level: Level) -> u64 {
        self.levels.get(&level).copied().unwrap_or(0)
    }

    /// Levels that fewer than 2 % of the requests have, or none, with their counts.
    pub fn rare_levels(&self) -> Vec<(Level, u64)> {
        let counts = Level::ALL.map(|level| (level, self.level(level)));
        counts.into_iter().filter(|&(_, count)| (count as f64) < RARE_SHARE * self.requests as f64).collect()
    }

    /// Usual verbs of a level that no request has, in English and Chinese.
    pub fn unused_verbs(&self, level: Level) -> Vec<&'static str> {
        let used: std::collections::BTreeSet<&str> = self.pairs.keys().map(|pair| &*pair.verb).collect();
        USUAL
            .iter()
            .filter(|(of, _)| *of == level)
            .flat_map(|(_, verbs)| verbs.iter().copied())
            .filter(|verb| !used.contains(verb))
            .collect()
    }

    /// Distinct (verb, noun, level): exact up to [`PAIRS_MAX`], an estimate beyond.
    pub fn distinct_pairs(&self) -> u64 {
        (self.pairs.len() as u64) << self.zero_bits
    }

    /// Whether [`PAIRS_MAX`] was passed, so that figures of pairs are estimates from those that are kept.
    pub fn is_thinned(&self) -> bool {
        self.zero_bits > 0
    }

    /// Shannon entropy of the pairs.
    pub fn entropy_bits(&self) -> f64 {
        if self.requests == 0 {
            return 0.0;
        }
        let total = self.requests as f64;
        let kept: f64 = self.pairs.values().map(|&count| count as f64 / total).map(|p| -p * p.log2()).sum();
        // A single pair has -0.0.
        kept * (1u64 << self.zero_bits) as f64 + 0.0
    }

    /// Share of the requests that have the most frequent pair.
    pub fn top_share(&self) -> f64 {
        let top = self.pairs.values().max().copied().unwrap_or(0);
        if self.requests == 0 { 0.0 } else { top as f64 / self.requests as f64 }
    }

    /// The most frequent pairs, ties in the order of the words.
    pub fn top_pairs(&self, pairs_max: usize) -> Vec<(&str, Option<&str>, Level, u64)> {
        let mut all: Vec<_> = self.pairs.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        all.truncate(pairs_max);
        all.into_iter().map(|(pair, &count)| (&*pair.verb, pair.noun.as_deref(), pair.level, count)).collect()
    }

    /// The `verbs_max` most frequent verbs with the `nouns_max` most frequent nouns of each; ties in the order of the
    /// words.
    pub fn sunburst(&self, verbs_max: usize, nouns_max: usize) -> Sunburst {
        let mut verbs: BTreeMap<&str, BTreeMap<Option<&str>, u64>> = BTreeMap::new();
        for (pair, count) in &self.pairs {
            *verbs.entry(&pair.verb).or_default().entry(pair.noun.as_deref()).or_default() += count;
        }
        let all: u64 = self.pairs.values().sum();
        let mut sectors: Vec<Sector> = verbs.into_iter().map(|(verb, nouns)| sector(verb, nouns, nouns_max)).collect();
        sectors.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.verb.cmp(&b.verb)));
        sectors.truncate(verbs_max);
        let rest = all - sectors.iter().map(|sector| sector.count).sum::<u64>();
        Sunburst { sectors, rest }
    }

    fn count(&mut self, pair: Pair, times: u64) {
        if zeros(&pair) < self.zero_bits {
            return;
        }
        *self.pairs.entry(pair).or_default() += times;
        while self.pairs.len() > PAIRS_MAX {
            self.thin_to(self.zero_bits + 1);
        }
    }

    fn thin_to(&mut self, zero_bits: u32) {
        self.zero_bits = zero_bits;
        self.pairs.retain(|pair, _| zeros(pair) >= zero_bits);
    }
}

fn sector(verb: &str, nouns: BTreeMap<Option<&str>, u64>, nouns_max: usize) -> Sector {
    let count = nouns.values().sum();
    let named = nouns.into_iter().filter_map(|(noun, count)| Some(Petal { noun: noun?.to_owned(), count }));
    let mut petals: Vec<Petal> = named.collect();
    petals.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.noun.cmp(&b.noun)));
    petals.truncate(nouns_max);
    let rest = count - petals.iter().map(|petal| petal.count).sum::<u64>();
    Sector { verb: verb.to_owned(), count, petals, rest }
}

fn bar(n: u32) -> usize {
    (n as usize).min(BARS - 1)
}

fn word(text: &str) -> Box<str> {
    let end = text.char_indices().nth(WORD_MAX).map_or(text.len(), |(at, _)| at);
    text[..end].into()
}

/// Zero bits at the end of a pair's hash: FNV-1a with the finishing steps of MurmurHash3, whose low bits are even. It must not
/// change between versions: shards are merged by it.
fn zeros(pair: &Pair) -> u32 {
    let noun = pair.noun.as_deref().unwrap_or("\0");
    let mut x = fnv(pair.verb.bytes().chain([0xff, pair.level as u8]).chain(noun.bytes()));
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (x ^ (x >> 33)).trailing_zeros()
}

/// Pairs as a list of `[verb, noun, level, count]`: JSON has no keys but strings.
mod rows {
    use super::{BTreeMap, Level, Pair};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(pairs: &BTreeMap<Pair, u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(pairs.iter().map(|(pair, count)| (&*pair.verb, pair.noun.as_deref(), pair.level, count)))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<BTreeMap<Pair, u64>, D::Error> {
        let rows = Vec::<(Box<str>, Option<Box<str>>, Level, u64)>::deserialize(from)?;
        Ok(rows.into_iter().map(|(verb, noun, level, count)| (Pair { verb, noun, level }, count)).collect())
    }
}
