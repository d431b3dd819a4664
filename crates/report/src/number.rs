//! Numbers as people of either language write them.

use crate::Language;

/// What stands where a number is not known.
pub const UNKNOWN: &str = "–";

/// All digits: 12,514.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits or so, for axes and tiles: 12.5k, 1.25万.
pub fn short(x: f64, language: Language) -> String {
    let units: &[(f64, &str)] = match language {
        Language::English => &[(1e9, "B"), (1e6, "M"), (1e3, "k")],
        Language::Chinese => &[(1e8, "亿"), (1e4, "万")],
    };
    let size = x.abs();
    if !x.is_finite() || size >= 1e15 {
        return format!("{x:.1e}");
    }
    if size < 1e4 && x.fract() == 0.0 && (language == Language::Chinese || size < 1e3) {
        return if x < 0.0 { format!("-{}", count(size as u64)) } else { count(x as u64) };
    }
    for (unit, name) in units {
        // 999,950 would otherwise be written as 1000k.
        if size >= unit * 0.9995 {
            return format!("{}{name}", digits(x / unit));
        }
    }
    digits(x)
}

/// Percent: `<0.1%` is not 0, and `>99.9%` is not all. In a page it is to be escaped.
pub fn share(x: f64) -> String {
    match x {
        // A share of more than tenfold is a mistake of the record.
        _ if !(0.0..=10.0).contains(&x) => UNKNOWN.to_string(),
        0.0 => "0%".to_string(),
        1.0 => "100%".to_string(),
        _ if x > 0.0 && x < 0.0005 => "<0.1%".to_string(),
        _ if x > 0.9995 && x < 1.0 => ">99.9%".to_string(),
        _ => format!("{:.1}%", x * 100.0),
    }
}

/// At most so many places, without zeros at the end.
pub fn decimal(x: f64, places: usize) -> String {
    let text = format!("{x:.places$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// Three digits.
fn digits(x: f64) -> String {
    let places = match x.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    decimal(x, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_do() {
        for (x, english, chinese) in [
            (0.0, "0", "0"),
            (7.0, "7", "7"),
            (0.25, "0.25", "0.25"),
            (999.0, "999", "999"),
            (1024.0, "1.02k", "1,024"),
            (12_514.0, "12.5k", "1.25万"),
            (999_950.0, "1M", "100万"),
            (123_456_789.0, "123M", "1.23亿"),
            (1e300, "1.0e300", "1.0e300"),
            (-2500.0, "-2.5k", "-2,500"),
        ] {
            assert_eq!(
                (short(x, Language::English).as_str(), short(x, Language::Chinese).as_str()),
                (english, chinese)
            );
        }
        assert_eq!([count(0), count(999), count(1000), count(12_345_678)], ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(
            [share(0.0), share(1e-6), share(0.0703), share(0.99999), share(1.0)],
            ["0%", "<0.1%", "7.0%", ">99.9%", "100%"]
        );
        assert_eq!([share(f64::NAN), share(-0.1), share(1e300)], [UNKNOWN; 3]);
        assert_eq!([bytes(0), bytes(1023), bytes(1024), bytes(1_048_575)], ["0 B", "1023 B", "1.0 KiB", "1.0 MiB"]);
        assert_eq!([decimal(10.0, 2), decimal(0.5, 3), decimal(100.0, 0)], ["10", "0.5", "100"]);
    }
}
