//! The summary of a scan that fits one screen.

use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::html::one_line;
use crate::json::{list, named, number, numbers, string, whole};
use crate::scan::{read_files, verdict};
use crate::text::{self, Text};
use crate::{Language, kinds, number as written};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    /// Escape sequences of a terminal.
    Ansi,
}

/// A screen of 24 lines keeps one for the prompt.
const LINES_MAX: usize = 23;
const WIDTH_MIN: usize = 40;
/// Columns of a line's name.
const NAME: usize = 14;
/// At least.
const ROWS: usize = 8;
const SHARE: usize = 7;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Share of a language that is worth its place.
const LANGUAGE_MIN: f64 = 0.005;
/// Blocks of a histogram.
const SPARK: usize = 16;

/// Of what `SCAN.md` says; `page` is where `scan.html` is, `width` the columns of the terminal. Ends in a line end. Control codes of
/// the data do not reach the terminal.
pub fn terminal(scan: &Value, page: Option<&str>, language: Language, width: usize, colour: Colour) -> String {
    let s = Screen { scan, language, width: width.max(WIDTH_MIN), colour };
    let mut top = s.head();
    let mut bottom: Vec<String> =
        [s.lengths(), s.languages(), s.instructions(), s.duplicates(), s.gates()].into_iter().flatten().collect();
    // A path that is cut short leads nowhere.
    bottom.extend(page.map(|p| s.named(text::BRIEF_PAGE, &one_line(p))));
    let room = LINES_MAX.saturating_sub(top.len() + bottom.len() + 2);
    let findings = s.findings(room);
    top.push(String::new());
    top.extend(findings);
    top.push(String::new());
    top.extend(bottom);
    let mut out = String::new();
    for line in top {
        out.push_str(&line.trim_end().replace('\u{a0}', " "));
        out.push('\n');
    }
    out
}

struct Screen<'a> {
    scan: &'a Value,
    language: Language,
    width: usize,
    colour: Colour,
}

#[derive(Clone, Copy)]
enum Style {
    Strong,
    Faint,
    Red,
    Yellow,
    Cyan,
    Green,
}

impl Screen<'_> {
    fn head(&self) -> Vec<String> {
        let files = text::files(read_files(self.scan, "train").count() as u64, self.language);
        let read = self.rows(&self.scan["rows"]["read"]);
        let counted = text::BRIEF_ROWS.with(self.language, &[("read", &read), ("files", &files)]);
        let (short, long) = verdict(self.scan, self.language);
        let (sign, style) = match string(&self.scan["verdict"]["state"]) {
            "ready" => ("✓", Style::Green),
            "clean_first" => ("▲", Style::Yellow),
            _ => ("✗", Style::Red),
        };
        let mut lines = vec![self.paint(&cut(&format!("athanor scan · {counted}"), self.width), Style::Faint)];
        let verdict = self.paint(&format!("{sign} {short}"), style);
        let space = if self.language == Language::English { " " } else { "" };
        let rest = wrap(&format!("{sign} {short}{space}{long}"), self.width);
        lines.extend(rest.into_iter().take(3).enumerate().map(|(i, line)| {
            let start = format!("{sign} {short}");
            let line = cut(&line, self.width);
            if i == 0 { line.replacen(&start, &verdict, 1) } else { line }
        }));
        lines
    }

    fn findings(&self, room: usize) -> Vec<String> {
        let items: Vec<&Value> = list(&self.scan["verdict"]["items"]).iter().collect();
        if items.is_empty() {
            return vec![text::NONE_FOUND.of(self.language).to_string()];
        }
        let shown = if items.len() <= room { items.len() } else { room.saturating_sub(1) };
        let names: Vec<String> = items[..shown]
            .iter()
            .map(|i| one_line(&kinds::name(string(&i["check"]), string(&i["type"]), self.language)))
            .collect();
        let name = names.iter().map(|n| n.width()).max().unwrap_or(0).min(self.width * 2 / 5);
        let counts: Vec<String> = items[..shown].iter().map(|i| self.count(&i["rows"])).collect();
        let columns = (name, counts.iter().map(|c| c.width() + 2).max().unwrap_or(0).max(ROWS));
        let mut lines: Vec<String> = items[..shown]
            .iter()
            .zip(names.iter().zip(&counts))
            .map(|(item, (words, rows))| self.finding(item, words, rows, columns))
            .collect();
        if shown < items.len() {
            let more = written::count((items.len() - shown) as u64);
            let words = text::BRIEF_MORE.with(self.language, &[("n", &more)]);
            lines.push(self.paint(&cut(&format!("  {words}"), self.width), Style::Faint));
        }
        lines
    }

    fn finding(&self, item: &Value, words: &str, rows: &str, (name, count): (usize, usize)) -> String {
        let (sign, style) = match string(&item["harm"]) {
            "blocks" => ("■", Style::Red),
            "harmful" => ("▲", Style::Yellow),
            "look" => ("●", Style::Cyan),
            _ => ("○", Style::Faint),
        };
        let share = number(&item["share"]).map_or_else(|| written::UNKNOWN.to_string(), written::share);
        let act = kinds::find(string(&item["check"]), string(&item["type"])).map_or("", |k| k.act.of(self.language));
        let used = 2 + name + count + SHARE + 2;
        format!(
            "{} {}{}{}  {}",
            self.paint(sign, style),
            pad_right(&cut(words, name), name),
            pad_left(rows, count),
            self.paint(&pad_left(&share, SHARE), Style::Faint),
            cut(act, self.width.saturating_sub(used))
        )
    }

    fn lengths(&self) -> Option<String> {
        let parts = list(&self.scan["lengths"]["parts"]);
        let of = |unit: &str| parts.iter().find(|p| p["part"] == "whole" && p["unit"] == unit);
        let (part, unit) = match of("tokens") {
            Some(part) => (part, text::TOKENS),
            None => (of("characters")?, text::CHARACTERS),
        };
        let [p50, p95, max] = ["p50", "p95", "max"].map(|q| self.count(&part["quantiles"][q]));
        let values = [("p50", p50.as_str()), ("p95", &p95), ("max", &max), ("unit", unit.of(self.language))];
        let said = text::BRIEF_LENGTHS.with(self.language, &values);
        Some(self.line(text::LENGTHS, &format!("{} {said}", spark(&part["histogram"]))))
    }

    fn languages(&self) -> Option<String> {
        let languages = &self.scan["languages"];
        let part = named(&languages["parts"], "part", "whole").or(list(&languages["parts"]).last())?;
        let total = number(&part["rows"]).unwrap_or(0.0);
        let mut said: Vec<String> = list(&part["counts"])
            .iter()
            .take(3)
            .map(|c| (string(&c["language"]), number(&c["rows"]).unwrap_or(0.0) / total))
            .filter(|(_, share)| *share >= LANGUAGE_MIN)
            .map(|(code, share)| format!("{} {}", kinds::language_name(code, self.language), written::share(share)))
            .collect();
        said.push(text::BRIEF_MIXED.with(self.language, &[("n", &self.count(&part["mixed"]))]));
        said.push(text::BRIEF_CODE.with(self.language, &[("n", &self.count(&languages["code"]["rows"]))]));
        Some(self.line(text::LANGUAGES, &said.join(self.separator())))
    }

    fn instructions(&self) -> Option<String> {
        let found = self.scan["instructions"].as_object()?;
        let of = |key: &str| found.get(key).unwrap_or(&Value::Null);
        let (verbs, pairs) = (self.count(of("verbs")), self.count(of("pairs")));
        let entropy = number(of("entropy")).map_or_else(|| written::UNKNOWN.to_string(), |x| written::decimal(x, 1));
        let values = [("verbs", verbs.as_str()), ("pairs", &pairs), ("entropy", &entropy)];
        let mut said = text::BRIEF_INSTRUCTIONS.with(self.language, &values);
        let missing: Vec<&str> =
            list(of("missing")).iter().map(|m| crate::scan::level_name(string(&m["level"]), self.language)).collect();
        if !missing.is_empty() {
            let levels = missing.join(self.separator());
            said.push_str(self.separator());
            said.push_str(&text::BRIEF_MISSING.with(self.language, &[("levels", &levels)]));
        }
        Some(self.line(text::INSTRUCTIONS, &said))
    }

    fn duplicates(&self) -> Option<String> {
        let found = &self.scan["duplicates"];
        let rate = written::share(number(&found["rate"])?);
        let mut said = vec![text::BRIEF_DUPLICATES.with(self.language, &[("rate", &rate)])];
        for kind in ["exact", "normalised", "near"] {
            let removed = named(&found["kinds"], "type", kind).and_then(|k| whole(&k["removed"]));
            said.extend(removed.map(|n| format!("{} {}", kinds::short(kind, self.language), written::count(n))));
        }
        Some(self.line(text::DUPLICATES, &said.join(self.separator())))
    }

    fn gates(&self) -> Option<String> {
        let gates = list(&self.scan["gates"]);
        let said: Vec<String> = gates
            .iter()
            .map(|gate| {
                let sign = if gate["passed"] == true { "✓" } else { "✗" };
                let value =
                    number(&gate["value"]).map_or_else(|| written::UNKNOWN.to_string(), |x| written::decimal(x, 4));
                format!("{sign} {} ({value})", string(&gate["expr"]))
            })
            .collect();
        (!said.is_empty()).then(|| self.line(text::GATES, &said.join("  ")))
    }

    fn line(&self, name: Text, said: &str) -> String {
        self.named(name, &cut(&one_line(said), self.width - NAME))
    }

    fn named(&self, name: Text, said: &str) -> String {
        format!("{}{said}", self.paint(&pad_right(name.of(self.language), NAME), Style::Strong))
    }

    fn rows(&self, value: &Value) -> String {
        whole(value).map_or_else(|| written::UNKNOWN.to_string(), |n| text::rows(n, self.language))
    }

    fn count(&self, value: &Value) -> String {
        whole(value).map_or_else(|| written::UNKNOWN.to_string(), written::count)
    }

    fn separator(&self) -> &'static str {
        if self.language == Language::English { ", " } else { "，" }
    }

    fn paint(&self, words: &str, style: Style) -> String {
        let code = match style {
            Style::Strong => 1,
            Style::Faint => 2,
            Style::Red => 31,
            Style::Yellow => 33,
            Style::Cyan => 36,
            Style::Green => 32,
        };
        match self.colour {
            Colour::Plain => words.to_string(),
            Colour::Ansi => format!("\u{1b}[{code}m{words}\u{1b}[0m"),
        }
    }
}

/// A histogram at the size of a word: bins of the record are shared out by the logarithm of their edges.
fn spark(histogram: &Value) -> String {
    let (edges, counts) = (numbers(&histogram["edges"]), numbers(&histogram["counts"]));
    let first = counts.iter().position(|c| *c > 0.0);
    let last = counts.iter().rposition(|c| *c > 0.0);
    let (Some(first), Some(last)) = (first, last) else { return String::new() };
    if edges.len() != counts.len() + 1 || edges.iter().chain(&counts).any(|x| !x.is_finite()) {
        return String::new();
    }
    let place = |x: f64| (x + 1.0).ln();
    let (low, high) = (place(edges[first]), place(edges[last + 1]));
    let mut heights = [0.0; SPARK];
    for i in first..=last {
        let scale = SPARK as f64 / (high - low);
        let (from, to) = ((place(edges[i]) - low) * scale, (place(edges[i + 1]) - low) * scale);
        for (k, height) in heights.iter_mut().enumerate() {
            let common = (to.min(k as f64 + 1.0) - from.max(k as f64)).max(0.0);
            *height += if to > from { counts[i] * common / (to - from) } else { 0.0 };
        }
    }
    let most = heights.iter().copied().fold(0.0, f64::max);
    let level = |h: f64| ((h / most * 8.0).ceil() as usize).clamp(1, 8) - 1;
    heights.iter().map(|h| if *h > 0.0 { BLOCKS[level(*h)] } else { ' ' }).collect()
}

/// Columns: a Chinese character has two.
fn pad_right(words: &str, columns: usize) -> String {
    format!("{words}{}", " ".repeat(columns.saturating_sub(words.width())))
}

fn pad_left(words: &str, columns: usize) -> String {
    format!("{}{words}", " ".repeat(columns.saturating_sub(words.width())))
}

/// At most so many columns, with a mark where something is left out.
fn cut(words: &str, columns: usize) -> String {
    if words.width() <= columns {
        return words.to_string();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in words.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Lines of at most so many columns, without spaces at their ends, broken at spaces, and beside Chinese characters where there are none.
fn wrap(words: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in pieces(words) {
        let wide = word.trim_end().width();
        if used > 0 && used + wide > columns {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
        used += word.width();
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// What is not broken: a word with the spaces behind it, or one Chinese character with its punctuation.
fn pieces(words: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in words.char_indices() {
        let breaks = last.is_some_and(|l: char| l == ' ' || (is_wide(l) && c != ' ')) || (last.is_some() && is_wide(c));
        // No line begins with punctuation.
        if breaks && c != ' ' && !"，。、：；！？）》".contains(c) {
            out.push(&words[start..at]);
            start = at;
        }
        last = Some(c);
    }
    out.push(&words[start..]);
    out
}

fn is_wide(c: char) -> bool {
    c.width() == Some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_where_either_language_breaks_them() {
        for (words, columns, expected) in [
            ("one two three", 8, vec!["one two", "three"]),
            ("清洗后保留 12 条，删除 3 条。", 12, vec!["清洗后保留", "12 条，删除", "3 条。"]),
            ("abc，def", 3, vec!["abc，", "def"]),
            ("", 10, vec![""]),
        ] {
            assert_eq!(wrap(words, columns), expected);
        }
        assert_eq!([cut("数据体检", 8), cut("数据体检", 7), cut("数据体检", 6)], ["数据体检", "数据体…", "数据…"]);
    }

    #[test]
    fn a_histogram_becomes_blocks() {
        let histogram = |edges: &[f64], counts: &[f64]| serde_json::json!({"edges": edges, "counts": counts});
        assert_eq!(spark(&histogram(&[0.0, 1.0], &[5.0])), "█".repeat(SPARK));
        assert_eq!(spark(&histogram(&[0.0, 1.0], &[0.0])), "");
        assert_eq!(spark(&histogram(&[0.0, 1.0], &[1.0, 2.0])), "");
        let two = spark(&histogram(&[0.0, 1.0, 3.0], &[4.0, 8.0]));
        assert_eq!(two, format!("{}{}", "▄".repeat(8), "█".repeat(8)));
    }
}
