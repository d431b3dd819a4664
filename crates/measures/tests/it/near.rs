//! Normal forms, shingles, signatures.

use measures::near::{
    BANDS, BINS, LONG_UNITS, ShingleSet, bands, chance, fingerprint, glance, glance_similarity, long_shingles,
    normalise, numbers, overlap, shingles, signature, without_numbers,
};
use planted::near::{Variant, records, vary};
use planted::random::Random;
use planted::texts::{Language, paragraph};
use proptest::prelude::*;

fn normal(text: &str) -> String {
    normalise(text).text
}

#[test]
fn what_does_not_make_another_text_is_gone() {
    let cases = [
        ("Hello,  World!", "hello world"),
        ("don't — don’t", "dont dont"),
        ("Ｈｅｌｌｏ，　ｗｏｒｌｄ", "hello world"),
        ("ＡＢＣ１２３", "abc123"),
        ("你好，世界。", "你好世界"),
        ("用 Python 写 3 行", "用python写3行"),
        ("3 人 and 5 people", "3人and 5 people"),
        ("ﬁne ①", "fine 1"),
        ("Cafe\u{301} CAFÉ", "café café"),
        ("ÄÖÜ Привет ΑΒ", "äöü привет αβ"),
        ("zero\u{200b}width\u{feff}", "zerowidth"),
        ("a\u{0}b\u{7f}c", "abc"),
        ("1,000 + 2,500,000", "1000+2500000"),
        ("1,2,3 12,3456", "1 2 3 12 3456"),
        ("pi = 3.14. End.", "pi=3.14 end"),
        ("-5 degrees, well-known - or 3 - 4", "-5 degrees well known or 3-4"),
        ("5 -3 and 15 -3", "5-3 and 15-3"),
        ("in 2020\n- 5 apples", "in 2020 5 apples"),
        ("C# and C++ but #5", "c# and c++but 5"),
        ("100% of $5", "100% of$5"),
        ("a < b; a > b; a == b", "a<b a>b a==b"),
        ("6 × 7 ÷ 2 ≤ 21", "6×7÷2≤21"),
        ("I ♥ it 😀", "i it"),
        ("", ""),
        (" \n\t", ""),
        ("?", "?"),
        ("!! ??", "!! ??"),
        ("…", "…"),
    ];
    for (text, expected) in cases {
        assert_eq!(normal(text), expected, "{text:?}");
    }
}

#[test]
fn texts_of_other_meaning_stay_apart() {
    for (a, b) in [("1+1", "1-1"), ("3.5 m", "35 m"), ("C", "C++"), ("a < b", "a > b"), ("?", "!"), ("5%", "5")] {
        assert_ne!(normal(a), normal(b), "{a:?} {b:?}");
    }
}

#[test]
fn untidy_characters_are_counted() {
    for (text, expected) in
        [("a b", 0), ("a  b", 1), ("ａ１ b", 2), ("a\u{200b}b", 1), ("你好， 世界", 0), ("a\u{301}  ｂ", 2)]
    {
        assert_eq!(normalise(text).untidy, expected, "{text:?}");
    }
}

#[test]
fn numbers_are_runs_of_digits() {
    assert_eq!(numbers("a 3.5 b12 -7 1. x").collect::<Vec<_>>(), ["3.5", "12", "7", "1."]);
    assert_eq!(without_numbers("a 3.5 b12 -7 x"), "a 0 b0 -0 x");
    assert_eq!(without_numbers("无数"), "无数");
}

proptest! {
    #[test]
    fn a_normal_form_has_no_idle_spaces(text in "\\PC{0,60}") {
        let normal = normal(&text);
        prop_assert!(!normal.contains("  ") && normal.trim() == normal, "{:?} {:?}", text, normal);
        prop_assert_eq!(normal.is_empty(), text.trim().is_empty(), "{:?} {:?}", text, normal);
    }

    #[test]
    fn ascii_is_read_alike_beside_other_characters(text in "[ -~\n\t]{0,60}") {
        let beside = normal(&format!("{text}\n中"));
        let alone = normal(&text);
        prop_assume!(text.bytes().any(|b| b.is_ascii_alphanumeric()));
        prop_assert_eq!(beside.strip_suffix('中').unwrap(), alone);
    }
}

#[test]
fn a_shingle_is_four_letters_or_two_ideographs() {
    let cases = [
        ("", 0),
        ("a", 1),
        ("abc", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("中", 1),
        ("中文", 1),
        ("中文字", 2),
        ("ab中", 1),
        ("a中文b", 2),
    ];
    for (text, expected) in cases {
        let mut hashes = Vec::new();
        shingles(text, &mut hashes);
        assert_eq!(hashes.len(), expected, "{text:?}");
    }
    // The same shingle has the same hash in ASCII and in other texts.
    let shared = |a: &str, b: &str| overlap(&ShingleSet::of(a), &ShingleSet::of(b)).both;
    assert_eq!(shared("xabcdx", "中中abcd中中"), 1);
    assert_eq!(shared("中文", "abc中文abc"), 1);
}

#[test]
fn a_long_shingle_is_three_shingles() {
    let long = |text: &str| {
        let mut hashes = Vec::new();
        long_shingles(text, &mut hashes);
        hashes
    };
    assert_eq!(LONG_UNITS, 12);
    assert_eq!(long("abcdefghijk").len(), 0);
    assert_eq!(long("abcdefghijkl").len(), 1);
    assert_eq!(long("一二三四五六").len(), 1);
    assert_eq!(long("xabcdefghijkly")[1], long("abcdefghijkl")[0]);
    assert_eq!(long("é一二三四五六"), long("一二三四五六"));
    assert_ne!(long("abcdefghijkl"), long("efghabcdijkl"));
}

#[test]
fn what_two_texts_share() {
    let of = |a: &str, b: &str| overlap(&ShingleSet::of(a), &ShingleSet::of(b));
    let o = of("abcdef", "abcdefgh");
    assert_eq!((o.both, o.a, o.b), (3, 3, 5));
    assert_eq!((o.jaccard(), o.containment(), o.of_a()), (0.6, 1.0, 1.0));
    assert_eq!(of("", "").jaccard(), 1.0);
    assert_eq!(of("", "abcd").jaccard(), 0.0);
    assert_eq!(of("abcd", "wxyz").containment(), 0.0);
}

/// A text of the same few shingles over and over has the signature of these few.
#[test]
fn copies_of_shingles_do_not_count() {
    let few: Vec<u64> = (1..=9).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let many = few.repeat(2000);
    let (mut a, mut b) = ([0; BINS], [0; BINS]);
    assert_eq!(signature(&few, &mut a), signature(&many, &mut b));
    assert_eq!(a, b);
}

fn bins_of(normal: &str) -> Box<[u64; BINS]> {
    let mut hashes = Vec::new();
    shingles(normal, &mut hashes);
    let mut bins = Box::new([0; BINS]);
    assert_eq!(signature(&hashes, &mut bins).is_some(), !normal.is_empty());
    bins
}

#[test]
fn values_agree_as_often_as_texts_are_similar() {
    // Over pairs of all lengths and similarities, the error is that of independent values.
    for seed in 1..4 {
        let mut random = Random::new(seed);
        let (mut error, mut glance_error, mut pairs) = (0.0, 0.0, 0.0);
        for i in 0..300 {
            let language = if i % 2 == 0 { Language::English } else { Language::Chinese };
            let text = paragraph(language, &mut random, 1 + i % 4);
            let variant = *random.of(&[Variant::Typo2, Variant::Drop5, Variant::Trunc80, Variant::Drop30]);
            let Some(copy) = vary(&text, language, variant, &mut random) else { continue };
            let (a, b) = (normal(&text), normal(&copy));
            let jaccard = f64::from(overlap(&ShingleSet::of(&a), &ShingleSet::of(&b)).jaccard());
            let (a, b) = (bins_of(&a), bins_of(&b));
            let equal = a.iter().zip(b.iter()).filter(|(a, b)| a == b).count() as f64 / BINS as f64;
            let seen = f64::from(glance_similarity(&glance(&a), &glance(&b)));
            error += (equal - jaccard).powi(2);
            glance_error += (seen - jaccard).powi(2);
            pairs += 1.0;
        }
        let deviations = ((error / pairs).sqrt(), (glance_error / pairs).sqrt());
        assert!(deviations.0 < 0.034 && deviations.1 < 0.065, "seed {seed}: {deviations:?}");
    }
}

#[test]
fn equal_texts_share_all_bands_and_others_none() {
    let shared = |a: &str, b: &str| {
        let (a, b) = (bands(&bins_of(a)), bands(&bins_of(b)));
        a.iter().zip(&b).filter(|(a, b)| a == b).count()
    };
    assert_eq!(shared("a short text", "a short text"), BANDS);
    assert_eq!(shared("x", "x"), BANDS);
    assert_eq!(shared("x", "y"), 0);
    assert_eq!(shared("nothing of this", "其他的文字"), 0);
    // The number of times a shingle occurs does not count.
    assert_eq!(shared("aaaaa", "aaaaaaaa"), BANDS);
    assert!(chance(0.7) > 0.999 && chance(0.1) < 1e-4, "{} {}", chance(0.7), chance(0.1));
}

#[test]
fn texts_that_are_not_copies_share_little() {
    for seed in 1..4 {
        let made = records(60, 60, seed);
        let sets: Vec<ShingleSet> = made.records.iter().map(|r| ShingleSet::of(&normal(&r.text))).collect();
        for (i, a) in made.records.iter().enumerate() {
            for (j, b) in made.records[..i].iter().enumerate() {
                let jaccard = overlap(&sets[i], &sets[j]).jaccard();
                assert!(a.group == b.group || jaccard < 0.45, "seed {seed}: {jaccard} {} | {}", a.text, b.text);
            }
        }
    }
}

#[test]
fn a_fingerprint_is_that_of_the_bytes() {
    assert_eq!(fingerprint(b"a"), fingerprint(b"a"));
    assert_ne!(fingerprint(b"a"), fingerprint(b"b"));
    assert_ne!(fingerprint(b""), fingerprint(b"\0"));
}
