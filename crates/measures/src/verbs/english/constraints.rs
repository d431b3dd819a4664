//! Demands on how a request is to be met.

use super::Page;
use super::lexicon::Classes;
use super::tokens::Kind;

/// Bounds, forms, demands and bans, each where its words begin; what is two of these at one word counts once.
pub fn count(page: &Page) -> u32 {
    let mut n = 0;
    for i in 0..page.tokens.len() {
        let (low, next, third) = (page.low(i), page.low(i + 1), page.low(i + 2));
        let bound = match low {
            "at" => matches!(next, "least" | "most"),
            "no" => matches!(next, "more" | "less" | "fewer" | "longer"),
            "more" | "less" | "fewer" | "longer" | "shorter" => next == "than" && !(i > 0 && page.low(i - 1) == "no"),
            "up" => next == "to" && page.kind(i + 2) == Some(Kind::Number),
            "exactly" | "maximum" | "minimum" | "max" | "min" => true,
            "between" => page.kind(i + 1) == Some(Kind::Number),
            "within" | "under" | "only" => page.is(i + 1, Classes::DET) || page.kind(i + 1) == Some(Kind::Number),
            "in" => is_amount(page, i + 1),
            _ => false,
        };
        let form = match low {
            "in" | "as" => {
                (i + 1..i + 5).any(|j| {
                    matches!(page.low(j), "format" | "json" | "markdown" | "csv" | "xml" | "yaml" | "html" | "latex")
                }) || (i + 2..i + 5).any(|j| matches!(page.low(j), "tone" | "style" | "voice" | "order" | "manner"))
            }
            "bullet" | "numbered" => true,
            "starting" | "ending" | "beginning" => matches!(next, "with" | "from"),
            _ => false,
        };
        let demand = match low {
            "must" | "ensure" | "exclude" | "avoid" | "without" | "mandatory" => true,
            "make" | "be" => next == "sure" || next == "certain",
            "should" => {
                matches!(next, "be" | "have" | "include" | "contain" | "not" | "only" | "start" | "end" | "use")
            }
            "do" | "can" => next == "not" && !(i > 0 && page.is(i - 1, Classes::SUBJECT)),
            "never" => true,
            "not" => third == "than" && next == "more",
            _ => false,
        };
        n += u32::from(bound || form || demand);
    }
    n
}

/// "in three sentences", "in 100 words or less".
fn is_amount(page: &Page, i: usize) -> bool {
    let amount = page.kind(i) == Some(Kind::Number) || page.is(i, Classes::DET) && !page.is(i, Classes::ARTICLE);
    let units = ["word", "words", "sentence", "sentences", "paragraph", "paragraphs", "lines", "line", "characters"];
    (amount || page.low(i) == "a") && (i + 1..i + 4).any(|j| units.contains(&page.low(j)))
}
