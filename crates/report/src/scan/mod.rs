//! The page of `athanor scan`, from its `scan.json` (see `SCAN.md`) and nothing else: one file that needs no network.

mod context;
mod duplicates;
mod faults;
mod findings;
mod head;
mod instructions;
mod languages;
mod leaks;
mod lengths;
mod method;
mod privacy;
mod quality;

use serde_json::Value;

use crate::Language;
use crate::html::escape;
use crate::text;
use context::{Context, Section};

pub(crate) use head::{read_files, verdict};
pub(crate) use instructions::level_name;

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");
/// Of `SCRIPT`, so that nothing else runs, whatever stands in the data. A test computes it anew.
const SCRIPT_HASH: &str = "sha256-JuRhjHHbTrBNhM4ScCPyn3D8JIMGO3dvX15Fm6W5/rs=";

/// The whole page. What the record lacks is said to be not measured.
pub fn page(scan: &Value, language: Language) -> String {
    let c = Context::new(scan, language);
    let sections: Vec<Section> = vec![
        findings::ranked(&c),
        faults::files(&c),
        lengths::section(&c),
        languages::section(&c),
        instructions::section(&c),
        duplicates::section(&c),
        leaks::section(&c),
        privacy::section(&c),
        quality::poison(&c),
        quality::quality(&c),
        faults::faults(&c),
        findings::look(&c),
        findings::samples(&c),
        method::section(&c),
    ];
    let mut out = open(language, &c);
    out.push_str(&head::header(&c));
    out.push_str(&format!("<div class=\"columns\">{}<main id=\"main\">", navigation(&c, &sections)));
    for section in &sections {
        out.push_str(&section.html(&c));
    }
    let footer = text::FOOTER
        .with(language, &[("version", &c.string_of(&scan["athanor"])), ("schema", &c.string_of(&scan["schema"]))]);
    out.push_str(&format!(
        "<footer>{}</footer></main></div><script>{SCRIPT}</script></body></html>\n",
        escape(&footer)
    ));
    out
}

fn open(language: Language, c: &Context) -> String {
    let code = if language == Language::English { "en" } else { "zh-CN" };
    let (verdict, _) = verdict(c.scan, language);
    format!(
        "<!doctype html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{title} · {verdict}</title><style>{STYLE}</style></head><body>\
         <a class=\"skip\" href=\"#main\">{skip}</a>",
        title = c.t(text::TITLE),
        verdict = escape(verdict),
        skip = c.t(text::SKIP),
    )
}

fn navigation(c: &Context, sections: &[Section]) -> String {
    let links: String = sections
        .iter()
        .map(|s| {
            let marker = s.harm.map_or(String::new(), |h| h.marker());
            format!("<li><a href=\"#{}\">{}{marker}</a></li>", s.id, c.t(s.title))
        })
        .collect();
    format!("<nav aria-label=\"{0}\"><ol>{links}</ol></nav>", c.t(text::CONTENTS))
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    #[test]
    fn only_this_script_may_run() {
        let expected = format!("sha256-{}", base64(&sha2::Sha256::digest(super::SCRIPT)));
        assert_eq!(super::SCRIPT_HASH, expected, "page.js has changed: write its hash to SCRIPT_HASH");
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for three in bytes.chunks(3) {
            let word = (0..3).fold(0u32, |w, i| w << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
            for i in 0..4 {
                let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize] as char;
                out.push(if i <= three.len() { letter } else { '=' });
            }
        }
        out
    }
}
