//! Text decoded with the wrong encoding.

use encoding_rs::{GBK, WINDOWS_1252};

use crate::random::Random;

/// A text as it becomes when its bytes are read in an encoding they are not in. A text that no way changes gets words that do.
pub(super) fn mojibake(text: &str, random: &mut Random) -> String {
    let text = match text.is_ascii() {
        true => format!("{text} “Crème brûlée” isn’t café food."),
        false => text.to_owned(),
    };
    match random.below(4) {
        0 => utf8_as_latin1(&text),
        // GBK has no é; Chinese alone goes through it.
        1 if text.chars().filter(|c| *c > '\u{2e7f}').count() > 20 => gbk_as_latin1(&text),
        2 if text.chars().filter(|c| *c > '\u{2e7f}').count() > 20 => utf8_as_gbk(&text),
        _ => utf8_as_windows_1252(&text),
    }
}

pub(super) fn utf8_as_windows_1252(text: &str) -> String {
    WINDOWS_1252.decode_without_bom_handling(text.as_bytes()).0.into_owned()
}

pub(super) fn utf8_as_latin1(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

pub(super) fn utf8_as_gbk(text: &str) -> String {
    GBK.decode_without_bom_handling(text.as_bytes()).0.into_owned()
}

pub(super) fn gbk_as_latin1(text: &str) -> String {
    GBK.encode(text).0.iter().map(|b| char::from(*b)).collect()
}
