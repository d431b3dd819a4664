//! The page of `athanor eval`, from its `eval.json` (see EVAL.md of the crate `eval`) and nothing else: one file that needs no network.

mod confusion;
pub(crate) mod figures;
mod head;
mod method;
mod names;
pub(crate) mod plots;
pub(crate) mod view;
pub(crate) mod worst;

use serde_json::Value;

use crate::Language;
use crate::page::{self, Context, Section};
use crate::text;
use view::Role;

/// The whole page. What the record lacks is said to be missing.
pub fn page(eval: &Value, language: Language) -> String {
    let c = Context::new(eval, language);
    let sections: Vec<Section> = [
        Some(plots::section(&c)),
        Some(figures::of_role(&c, Role::Task)),
        Some(figures::of_role(&c, Role::General)),
        figures::skills(&c),
        Some(figures::losses(&c)),
        confusion::section(&c),
        Some(worst::section(&c)),
        Some(method::section(&c)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let values = [("version", c.string_of(&eval["athanor"])), ("schema", c.string_of(&eval["version"]))];
    let footer = text::EVAL_FOOTER.with(language, &values.each_ref().map(|(key, value)| (*key, value.as_str())));
    page::frame(&c, (text::EVAL_TITLE, &head::verdict(&c)), &head::header(&c), &sections, &footer)
}
