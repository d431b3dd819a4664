//! Full-width forms of ASCII.

/// How far a full-width form is from its character.
const APART: u32 = 0xfee0;

/// The ASCII character of a full-width one; any other as it is.
pub(crate) fn narrow(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from((wide - APART) as u8),
        _ => c,
    }
}

/// The full-width form of a visible ASCII character; any other as it is.
pub(crate) fn widen(c: char) -> char {
    if c.is_ascii_graphic() { char::from_u32(u32::from(c) + APART).unwrap_or(c) } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for c in '!'..='~' {
            assert!(narrow(c) == c && widen(c) != c && narrow(widen(c)) == c, "{c}");
        }
        for c in ['\u{3000}', '。', '｟', ' ', 'é'] {
            assert!(narrow(c) == c && widen(c) == c, "{c}");
        }
    }
}
