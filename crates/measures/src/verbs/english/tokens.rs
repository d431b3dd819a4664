//! Words and marks of an English text. Quotations, brackets, code and addresses are single tokens: what stands in them
//! is not asked for.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// In quotation marks.
    Quote,
    /// In brackets, or code, an address, a path.
    Opaque,
    /// A mark inside a sentence.
    Mark,
    /// `.`, `!`, `?` at the end of a sentence.
    Stop,
    /// The end of a line.
    Line,
}

#[derive(Clone, Debug)]
pub struct Token<'t> {
    pub kind: Kind,
    /// In lower case; contractions are split: `i`, `would` for "I'd", `month`, `'s` for "month's".
    pub low: &'t str,
    pub at: Range<usize>,
    /// The first letter is a capital.
    pub capital: bool,
}

impl Token<'_> {
    pub fn is_word(&self) -> bool {
        self.kind == Kind::Word
    }
}

/// The longest quotation and bracket that are skipped as one, in bytes.
const QUOTE_MAX: usize = 600;
const BRACKET_MAX: usize = 200;

/// `lower` is `text` with its ASCII letters in lower case.
pub fn tokens<'t>(text: &str, lower: &'t str) -> Vec<Token<'t>> {
    let mut out: Vec<Token> = Vec::with_capacity(text.len() / 5 + 4);
    let bytes = text.as_bytes();
    let mut at = 0;
    let (mut fenced, mut in_code) = (false, false);
    while at < bytes.len() {
        let Some(c) = text[at..].chars().next() else { break };
        if at == 0 || bytes[at - 1] == b'\n' {
            let line = text[at..].split('\n').next().unwrap_or("");
            let fence = line.trim_start().starts_with("```");
            let indented = line.starts_with([' ', '\t']);
            let skipped = fenced || fence || is_code(line) || in_code && indented;
            in_code = skipped && !fence;
            fenced ^= fence;
            if skipped && !line.is_empty() {
                at += line.len();
                continue;
            }
        }
        let end = match c {
            '\n' => {
                out.push(token(Kind::Line, lower, at..at + 1));
                at + 1
            }
            _ if c.is_whitespace() => at + c.len_utf8(),
            '"' | '“' | '„' | '«' | '`' | '\'' | '‘' | '(' | '[' | '{' | '<' => {
                enclosed(text, lower, at, c, &mut out)
            }
            _ if c.is_alphanumeric() || (c == '$' && starts_number(&bytes[at + 1..])) => {
                chunk(text, lower, at, &mut out)
            }
            '.' | '!' | '?' | '…' => {
                let run = text[at..].find(|c| !matches!(c, '.' | '!' | '?' | '…')).map_or(text.len(), |n| at + n);
                out.push(token(Kind::Stop, lower, at..run));
                run
            }
            '—' | '–' => {
                out.push(Token { kind: Kind::Mark, low: "-", at: at..at + c.len_utf8(), capital: false });
                at + c.len_utf8()
            }
            _ => {
                out.push(token(Kind::Mark, lower, at..at + c.len_utf8()));
                at + c.len_utf8()
            }
        };
        at = end;
    }
    out
}

/// A line of a program or a query: no sentence begins in it.
fn is_code(line: &str) -> bool {
    let text = line.trim();
    let sql = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE ", "ALTER TABLE ", "DROP TABLE "];
    let sql_parts = [" FROM ", " INTO ", " SET ", " WHERE ", " TABLE ", " VALUES"];
    let starts = ["def ", "class ", "#include", "public ", "private ", "static ", "function ", "elif ", "else:", "@"];
    let calls = text.contains('(') && text.contains(')');
    let formed = text.ends_with(['{', '}', ';', ':']) || calls;
    let indented = line.starts_with([' ', '\t']) && text.contains(['=', '(', '{', '[', ';']) && !text.contains(". ");
    sql.iter().any(|start| text.starts_with(start)) && sql_parts.iter().any(|part| text.contains(part))
        || starts.iter().any(|start| text.starts_with(start)) && formed
        || text.starts_with("import ") && !text[7..].contains(' ')
        || text.starts_with("from ") && text.contains(" import ")
        || text.starts_with("print(")
        || text.ends_with(';') && text.contains(['=', '('])
        || indented
}

fn token(kind: Kind, lower: &str, at: Range<usize>) -> Token<'_> {
    Token { kind, low: &lower[at.clone()], at, capital: false }
}

fn starts_number(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_digit)
}

/// A quotation, bracket or code that closes soon is one token; else its mark alone. Returns where reading goes on.
fn enclosed<'t>(text: &str, lower: &'t str, at: usize, open: char, out: &mut Vec<Token<'t>>) -> usize {
    let after = at + open.len_utf8();
    let (close, limit, kind) = match open {
        '"' => ('"', QUOTE_MAX, Kind::Quote),
        '“' | '„' => ('”', QUOTE_MAX, Kind::Quote),
        '«' => ('»', QUOTE_MAX, Kind::Quote),
        '\'' => ('\'', QUOTE_MAX, Kind::Quote),
        '‘' => ('’', QUOTE_MAX, Kind::Quote),
        '`' => ('`', QUOTE_MAX, Kind::Opaque),
        '(' => (')', BRACKET_MAX, Kind::Opaque),
        '[' => (']', BRACKET_MAX, Kind::Opaque),
        '{' => ('}', BRACKET_MAX, Kind::Opaque),
        _ => ('>', BRACKET_MAX, Kind::Opaque),
    };
    let window = &text[after..text.floor_char_boundary(after + limit)];
    let single = matches!(open, '\'' | '‘');
    let ends = window.char_indices().find(|&(i, c)| {
        c == close && !(single && window[i + c.len_utf8()..].starts_with(|c: char| c.is_alphanumeric()))
    });
    match ends {
        Some((n, c)) if !window[..n].contains("\n\n") && n > 0 && !(open == '<' && window.starts_with([' ', '='])) => {
            let end = after + n + c.len_utf8();
            out.push(token(kind, lower, at..end));
            end
        }
        _ => {
            out.push(token(Kind::Mark, lower, at..after));
            after
        }
    }
}

/// A run of letters, digits and the marks that may stand inside a word, a number or an address.
fn chunk<'t>(text: &str, lower: &'t str, at: usize, out: &mut Vec<Token<'t>>) -> usize {
    let mut end = at;
    let mut rest = text[at..].char_indices().peekable();
    while let Some((n, c)) = rest.next() {
        let inside = c.is_alphanumeric() || c == '_' || (n == 0 && c == '$') || c == '%';
        let joins =
            matches!(c, '\'' | '’' | '-' | '.' | ',' | '@' | ':' | '/' | '+' | '=' | '*' | '^' | '&' | '#' | '\\');
        let next = rest.peek().map(|&(_, c)| c);
        if !(inside || joins && next.is_some_and(|c| c.is_alphanumeric() || (joins && matches!(c, '/' | '_')))) {
            break;
        }
        end = at + n + c.len_utf8();
    }
    let raw = &lower[at..end];
    let first = text[at..].chars().next().unwrap_or(' ');
    if raw.bytes().all(|b| b.is_ascii_digit() || b"$.,%:-/".contains(&b)) {
        out.push(token(Kind::Number, lower, at..end));
    } else if is_formula(raw)
        || raw.contains("://")
        || raw.contains(['@', '_', '=', '^', '\\', '#', '+', '*'])
        || is_dotted(raw)
    {
        out.push(token(Kind::Opaque, lower, at..end));
    } else {
        // "words,like this" and "and/or": cut at marks that letters follow.
        let mut start = 0;
        for (n, c) in raw.char_indices() {
            if matches!(c, ',' | ':' | '/' | '.') && !raw[start..].starts_with(|c: char| c.is_ascii_digit()) {
                word(lower, at + start..at + n, first.is_uppercase() && start == 0, out);
                out.push(token(if c == '.' { Kind::Stop } else { Kind::Mark }, lower, at + n..at + n + 1));
                start = n + 1;
            }
        }
        let capital = text[at + start..].starts_with(char::is_uppercase);
        word(lower, at + start..end, capital, out);
    }
    abbreviation(text, end, out)
}

/// "4z", "3x": no ordinal, and no word with a hyphen.
fn is_formula(raw: &str) -> bool {
    if raw.contains('-') && raw.split('-').all(|part| part.len() == 1) {
        return true;
    }
    // "A-2231-09", "55-A": a code, unlike "three-day" and "covid-19".
    let coded = |part: &str| part.len() < 3 || part.bytes().all(|b| b.is_ascii_digit());
    if raw.contains('-') && raw.bytes().any(|b| b.is_ascii_digit()) && raw.split('-').all(coded) {
        return true;
    }
    let letters = raw.trim_start_matches(|c: char| c.is_ascii_digit());
    letters.len() < raw.len() && !raw.contains('-') && !matches!(letters, "st" | "nd" | "rd" | "th" | "d" | "s")
}

/// `main.rs`, `a.b`: a dot between lower-case letters or digits; "end.Next" is a sentence end without its space.
fn is_dotted(raw: &str) -> bool {
    raw.contains('.')
        && (raw.bytes().any(|b| b.is_ascii_digit()) || raw.rsplit('.').next().is_some_and(|s| s.len() <= 4))
}

/// The dot after "e.g", "Dr", "etc" belongs to the word.
fn abbreviation(text: &str, end: usize, out: &[Token]) -> usize {
    let known =
        ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "approx", "inc", "ltd", "e.g", "i.e", "a.m", "p.m", "u.s"];
    let (Some(last), Some(rest)) = (out.last(), text[end..].strip_prefix('.')) else { return end };
    let single = last.is_word() && last.low.len() == 1 && last.capital && last.low != "i";
    // "etc." may close a sentence: a capital after it says so.
    let closes = last.low == "etc" && rest.trim_start().starts_with(char::is_uppercase);
    if (known.contains(&last.low) || single) && !closes { end + 1 } else { end }
}

fn word<'t>(lower: &'t str, at: Range<usize>, capital: bool, out: &mut Vec<Token<'t>>) {
    let low = &lower[at.clone()];
    if low.is_empty() {
        return;
    }
    let Some(cut) = low.find(['\'', '’']) else {
        out.push(Token { kind: Kind::Word, low, at, capital });
        return;
    };
    let (stem, tail) = (&low[..cut], low[cut..].trim_start_matches(['\'', '’']));
    let middle = at.start + cut;
    let stem_token = |low: &'t str| Token { kind: Kind::Word, low, at: at.start..middle, capital };
    let tail_token = |low: &'t str| Token { kind: Kind::Word, low, at: middle..at.end, capital: false };
    let negated = match (stem, tail) {
        ("can", "t") => Some("can"),
        ("won", "t") => Some("will"),
        (_, "t") => stem.strip_suffix('n'),
        _ => None,
    };
    if let Some(stem) = negated {
        out.extend([stem_token(stem), tail_token("not")]);
        return;
    }
    let tail = match tail {
        "d" => "would",
        "ll" => "will",
        "re" => "are",
        "ve" => "have",
        "m" => "am",
        "s" => "'s",
        _ => {
            out.push(Token { kind: Kind::Word, low, at, capital });
            return;
        }
    };
    out.extend([stem_token(stem), tail_token(tail)]);
}
