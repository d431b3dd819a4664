//! Texts without what was found in them.

use super::forms::{self, Dice};
use crate::Spot;
use std::collections::{HashMap, HashSet};

/// What stands in the place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redact {
    /// Asterisks, as many as the value has characters and at most [`MASK_MAX`]. No character of the value stays: of
    /// 138****5678 a list of a company's customers would give back the number.
    Mask,
    /// The kind in brackets: `[PHONE]`.
    Tag,
    /// Another value of the same form that is nobody's: see [`Surrogates`].
    Surrogate,
}

/// Asterisks at most: the length of a private key tells nothing worth a page of them.
pub const MASK_MAX: usize = 24;

/// Draws for one surrogate before a value is taken that another original has already.
const DRAWS_MAX: u64 = 64;

/// The surrogates of one record: the same original gets the same one in every field, however it is written there
/// (138-0000-1690 and １３８００００１６９０), and different originals get different ones as long as the range has any.
///
/// A surrogate is a function of seed and original. Numbers, plates, passwords and keys keep length, separators and width.
/// All pass the checks of their kind, and come from a range that is reserved for examples where there is one: example.com,
/// 555-01xx, 203.0.113.x, test cards, social security numbers from 900 on, resident IDs of region 99, mobiles of a segment
/// that is not given out. Who knows the seed can find an original by trying all there are, so a seed is a secret.
#[derive(Clone, Debug)]
pub struct Surrogates {
    seed: u64,
    given: HashMap<(&'static str, String), String>,
    used: HashSet<(&'static str, String)>,
}

impl Surrogates {
    pub fn new(seed: u64) -> Self {
        Self { seed, given: HashMap::new(), used: HashSet::new() }
    }

    fn of(&mut self, spot: &Spot, original: &str) -> String {
        let plain = forms::plain(spot.kind, spot.rule, original);
        let key = (spot.kind, plain.clone());
        if let Some(made) = self.given.get(&key) {
            return forms::pour(spot.kind, spot.rule, original, made);
        }
        let mut made = String::new();
        for draw in 0..DRAWS_MAX {
            let mut dice = Dice::new(self.seed, spot.kind, &plain, draw);
            made = forms::make(spot.kind, spot.rule, &plain, &mut dice);
            if made != plain && self.used.insert((spot.kind, made.clone())) {
                break;
            }
        }
        let poured = forms::pour(spot.kind, spot.rule, original, &made);
        self.given.insert(key, made);
        poured
    }
}

/// The text with every one of `spots`, which are in order and do not overlap, replaced.
///
/// With mask and tag, [`super::find`] finds nothing in what comes back; with surrogates, only these.
pub fn redact(text: &str, spots: &[Spot], mode: Redact, surrogates: &mut Surrogates) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for spot in spots {
        let original = &text[spot.at.clone()];
        out.push_str(&text[done..spot.at.start]);
        match mode {
            Redact::Mask => out.extend(original.chars().take(MASK_MAX).map(|_| '*')),
            Redact::Tag => {
                out.push('[');
                out.push_str(&spot.kind.to_ascii_uppercase());
                out.push(']');
            }
            Redact::Surrogate => out.push_str(&surrogates.of(spot, original)),
        }
        done = spot.at.end;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::super::{FINDING, find};
    use super::*;
    use crate::width::{narrow, widen};

    const TEXT: &str = "张三，手机号13912340987（即１３９-1234-0987），邮箱zhang.san@corp.cn，身份证51010719730304453X，\
        车牌川A65NW8，卡号6222024932755903267，ssn 123-31-7950, call (212) 664-7665 x12, +44 7911 123456, \
        GB82 WEST 1234 5698 7654 32, 45.84.77.210, 2001:db8:d9c5:72dd:69d6:c306:2d7b:5dcf, 护照E38836321, \
        微信：wx_hb10ak3f, QQ：12345678, AKIA745MWW25ZS3R557V, ghp_7VQMRaXDwen9O5dop7posYEV2zgL8XsvRroB, \
        password: Tr0ub4dor&3, \
        postgres://app:P3IVFvCXTqzG8y@db.corp.io:5432/prod, 010-63553377，家住北京市海淀区学院路37号3号楼502室。";

    fn sure(text: &str) -> Vec<Spot> {
        find(text).into_iter().filter(|spot| spot.confidence >= FINDING).collect()
    }

    #[test]
    fn nothing_is_found_behind_mask_and_tag() {
        let spots = sure(TEXT);
        assert!(spots.len() >= 19, "{spots:#?}");
        for mode in [Redact::Mask, Redact::Tag] {
            let out = redact(TEXT, &spots, mode, &mut Surrogates::new(1));
            assert_eq!(sure(&out), [], "{out}");
            assert!(!out.contains("0987") && !out.contains("zhang.san"), "{out}");
        }
        assert!(redact(TEXT, &spots, Redact::Tag, &mut Surrogates::new(1)).contains("手机号[PHONE]（即[PHONE]）"));
    }

    #[test]
    fn surrogates_keep_kinds_and_are_consistent() {
        for seed in [1, 2, 3] {
            let spots = sure(TEXT);
            let mut surrogates = Surrogates::new(seed);
            let out = redact(TEXT, &spots, Redact::Surrogate, &mut surrogates);
            for spot in &spots {
                assert!(
                    !out.contains(&TEXT[spot.at.clone()]),
                    "seed {seed}: {} stays in {out}",
                    &TEXT[spot.at.clone()]
                );
            }
            let kinds = |spots: &[Spot]| spots.iter().map(|spot| spot.kind).collect::<Vec<_>>();
            // An ID of region 99 and an SSN from 900 on are of the right form and found by nobody.
            let expect: Vec<_> =
                kinds(&spots).into_iter().filter(|kind| !matches!(*kind, "cn_id" | "us_ssn")).collect();
            assert_eq!(kinds(&sure(&out)), expect, "seed {seed}: {out}");
            let again = redact(TEXT, &spots, Redact::Surrogate, &mut surrogates);
            assert_eq!(out, again, "seed {seed}");
            assert_eq!(out, redact(TEXT, &spots, Redact::Surrogate, &mut Surrogates::new(seed)), "seed {seed}");
            let digits = |s: &str| s.chars().filter_map(forms::digit).collect::<String>();
            let first = digits(out.split('（').next().unwrap_or_default());
            let second = digits(out.split(['（', '）']).nth(1).unwrap_or_default());
            assert_eq!(first, second, "seed {seed}: one number, written twice");
        }
    }

    /// Keys and passwords in full width had no letter that a surrogate would change, and stayed.
    #[test]
    fn full_width_values_are_replaced_in_every_mode() {
        let wide: String = TEXT.chars().map(widen).collect();
        let narrowed = |s: &str| s.chars().map(narrow).collect::<String>();
        let spots = sure(&wide);
        let kinds = |spots: &[Spot]| spots.iter().map(|spot| spot.kind).collect::<Vec<_>>();
        assert_eq!(kinds(&spots), kinds(&sure(TEXT)));
        for mode in [Redact::Mask, Redact::Tag, Redact::Surrogate] {
            let out = redact(&wide, &spots, mode, &mut Surrogates::new(4));
            for spot in &spots {
                let value = narrowed(&wide[spot.at.clone()]);
                assert!(!narrowed(&out).contains(&value), "{mode:?}: {value} stays in {out}");
            }
        }
        let key = "ｓｋ－ａｂ９ＸＫ２８ｍｍＱｐ７Ｌｗ１２ＺｒＴ５";
        let made = redact(key, &sure(key), Redact::Surrogate, &mut Surrogates::new(4));
        assert!(made != key && made.chars().count() == key.chars().count() && made.starts_with("ｓｋ－"), "{made}");
        assert!(made.chars().all(|c| narrow(c) != c), "{made}");
    }

    #[test]
    fn nothing_of_a_value_stays_for_want_of_letters() {
        for (kind, value) in [
            ("password", "!?%~#"),
            ("password", "пароль密码"),
            ("name", "王芳"),
            ("name", "Zoë"),
            ("plate", "京DFFDFD"),
            ("plate", "沪FDDDFF"),
        ] {
            let spot = Spot { kind, rule: "", at: 0..value.len(), confidence: 1.0 };
            let out = redact(value, &[spot], Redact::Surrogate, &mut Surrogates::new(5));
            assert!(out != value && out.chars().count() == value.chars().count(), "{value}: {out}");
        }
    }

    #[test]
    fn different_originals_get_different_surrogates() {
        let mut surrogates = Surrogates::new(7);
        let mut seen = HashSet::new();
        for host in 0..200 {
            let text = format!("ip 45.84.77.{host}");
            let out = redact(&text, &sure(&text), Redact::Surrogate, &mut surrogates);
            assert!(seen.insert(out.clone()), "{out}");
        }
    }
}
