//! Small pieces of text: numbers for people, and foreign text made safe for a terminal.

use std::time::Duration;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a terminal must fit: no line that we print ourselves is wider.
pub const COLUMNS: usize = 80;

/// Control characters as visible signs (`\n` as ⏎, escape as `\x1b`), so that text from a file cannot move the cursor,
/// change colours or reverse the reading direction.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push('⇥'),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || is_format(c) => out.push_str(&c.escape_unicode().to_string()),
            c => out.push(c),
        }
    }
    out
}

/// Unicode's direction, joining and line-separating marks: invisible, and able to disguise what stands around them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// At most `columns` wide, with … where something was cut.
pub fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        out.push(c);
    }
    out.push('…');
    out
}

/// With blanks up to `columns`.
pub fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// `text` in lines of at most `columns`, broken at spaces where possible; lines after the first start with `indent` spaces.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let width = word.width();
        if used > 0 && used + 1 + width > columns {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            used = indent;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += width;
    }
    out
}

/// 1536 → `1.5 KiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// 1234567 → `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// 12345.6 → `12.3k`.
pub fn rate(x: f64) -> String {
    match x {
        x if !x.is_finite() => "–".into(),
        x if x >= 1e6 => format!("{:.1}M", x / 1e6),
        x if x >= 1e4 => format!("{:.1}k", x / 1e3),
        x => format!("{x:.0}"),
    }
}

/// A loss, or any figure read to a few digits, in a width that stays put: four decimals, or exponents for the extremes.
pub fn figure(x: f64) -> String {
    match x.abs() {
        a if a == 0.0 || (1e-3..1e4).contains(&a) => format!("{x:.4}"),
        a if a.is_finite() => format!("{x:.2e}"),
        _ => x.to_string(),
    }
}

/// 3725 s → `1:02:05`; under an hour `2:05`.
pub fn clock(d: Duration) -> String {
    let s = d.as_secs();
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1234567].map(count), ["0", "999", "1,000", "1,234,567"].map(str::to_owned));
        assert_eq!([0, 1023, 1536, 8 << 30, 500 << 20].map(bytes), ["0 B", "1023 B", "1.5 KiB", "8.0 GiB", "500 MiB"]);
        assert_eq!([9.0, 9999.4, 12345.6, 2.5e6].map(rate), ["9", "9999", "12.3k", "2.5M"]);
        assert_eq!([0, 65, 3725].map(|s| clock(Duration::from_secs(s))), ["0:00", "1:05", "1:02:05"]);
        assert_eq!([0.0, 1.64159, 2e-5, 1e9].map(figure), ["0.0000", "1.6416", "2.00e-5", "1.00e9"]);
    }

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(visible("a\u{1b}[31mb\u{7}\r\n\tc\u{202e}d"), "a\\u{1b}[31mb\\u{7}\\r⏎⇥c\\u{202e}d");
        assert!(!visible(&(0..0x2100).filter_map(char::from_u32).collect::<String>()).chars().any(char::is_control));
    }

    #[test]
    fn widths_count_columns_not_characters() {
        assert_eq!(shortened("微调大模型", 7), "微调大…");
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(wrapped("one two three four", 9, 2), "one two\n  three\n  four");
    }
}
