//! The summary on a screen.

use report::Language::{Chinese, English};
use report::terminal;
use report::terminal::Colour;
use unicode_width::UnicodeWidthStr;

use crate::{odd, paths, sample, small, with_strings};

#[test]
fn a_summary_fits_the_screen() {
    for language in [English, Chinese] {
        for width in [40, 80, 200] {
            let text = terminal(&sample(), Some("out/scan.html"), language, width, Colour::Plain);
            assert!(text.lines().count() < 24, "{text}");
            for line in text.lines() {
                assert!(line.width() <= width, "{} columns: {line}", line.width());
            }
        }
    }
}

#[test]
fn a_summary_says_what_matters() {
    let text = terminal(&sample(), Some("out/scan.html"), English, 80, Colour::Plain);
    for said in [
        "12,514 rows in 2 files",
        "▲ Clean it, then train. Cleaning keeps 11,248 of 12,514 rows (89.9%)",
        "■ API keys                          3  <0.1%  Revoke them now, then redact",
        "  and 10 more, see the page",
        "median 135, p95 456, longest 27,660 tokens",
        "Chinese 72.7%, English 26.6%, mixed 603, code 431",
        "412 verbs, 3,871 pairs, 10.4 bits, nearly absent: evaluate",
        "7.0% to remove, exact 231, normalised 46, near 602",
        "✗ pii>0 (429)  ✓ dup_rate>0.1 (0.0703)",
        "out/scan.html",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
}

#[test]
fn colours_change_nothing_else() {
    let plain = terminal(&sample(), None, Chinese, 80, Colour::Plain);
    let coloured = terminal(&sample(), None, Chinese, 80, Colour::Ansi);
    assert!(coloured.contains("\u{1b}[31m") && !plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for piece in coloured.split('\u{1b}') {
        stripped.push_str(piece.strip_prefix('[').map_or(piece, |p| p.split_once('m').expect("a sequence").1));
    }
    assert_eq!(stripped.replace(' ', ""), plain.replace(' ', ""));
}

#[test]
fn data_cannot_steer_the_terminal() {
    let text =
        terminal(&with_strings(&sample(), "\u{1b}[2J\u{7}\r\n\u{9b}x"), Some("a\u{1b}b"), English, 80, Colour::Plain);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.lines().count() < 24, "{text}");
}

#[test]
fn any_value_may_be_missing_or_odd() {
    let whole = small();
    for path in paths(&whole) {
        for odd in odd(whole.pointer(&path).expect("a path of it")) {
            let mut scan = whole.clone();
            *scan.pointer_mut(&path).expect("a path of it") = odd;
            let text = terminal(&scan, None, English, 80, Colour::Plain);
            assert!(text.lines().count() < 24 && text.lines().all(|l| l.width() <= 80), "{path}: {text}");
        }
    }
}
