//! The page of `athanor scan`, from its `scan.json` (see `SCAN.md`) and nothing else: one file that needs no network.

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
use crate::page::{self, Context, Section};
use crate::text;

pub(crate) use head::{read_files, verdict};
pub(crate) use instructions::level_name;

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
    let footer = text::FOOTER
        .with(language, &[("version", &c.string_of(&scan["athanor"])), ("schema", &c.string_of(&scan["schema"]))]);
    let (verdict, _) = verdict(scan, language);
    page::frame(&c, (text::TITLE, verdict), &head::header(&c), &sections, &footer)
}
