//! The level of a verb where it stands: its usual one, unless its object says otherwise.

use super::super::Level;
use super::lexicon::{Classes, LEXICON};
use super::{Object, Page, Request};

pub fn level(page: &Page, request: &Request, noun: Option<&str>) -> Level {
    let verb = request.lemma.as_str();
    let usual = LEXICON.verb(verb).map_or(Level::Apply, |verb| verb.level);
    let next = match request.object {
        Object::After(at) => at,
        Object::Before(_) => return of_noun(verb, noun).unwrap_or(usual),
    };
    if let Some(level) = of_clause(page, verb, next).or_else(|| of_noun(verb, noun)) {
        return level;
    }
    match (verb, noun) {
        ("find" | "look" | "locate", _) if !is_about_given_text(page, next) => Level::Remember,
        ("come" | "think", _) => Level::Create,
        ("put" | "arrange", _) if sentence_has(page, next, "order") => Level::Analyse,
        ("rewrite" | "edit", _) if sentence_has(page, next, "into") => Level::Create,
        ("predict" | "indicate", Some("intent" | "sentiment" | "category" | "genre" | "class" | "label")) => {
            Level::Understand
        }
        _ => usual,
    }
}

/// "tell me whether …" judges, "tell me what …" reports or explains.
fn of_clause(page: &Page, verb: &str, next: usize) -> Option<Level> {
    let asks = matches!(verb, "tell" | "say" | "show" | "state" | "let" | "know" | "see" | "find" | "give" | "inform");
    let near = (next..next + 3).find(|&j| page.is(j, Classes::WH) && page.is_word(j))?;
    match page.low(near) {
        "whether" | "if" if asks => Some(Level::Evaluate),
        "why" | "how" if asks => Some(Level::Understand),
        _ => None,
    }
}

/// Verbs that say little without their object.
fn of_noun(verb: &str, noun: Option<&str>) -> Option<Level> {
    let light = matches!(
        verb,
        "make"
            | "do"
            | "give"
            | "write"
            | "provide"
            | "conduct"
            | "perform"
            | "create"
            | "prepare"
            | "generate"
            | "offer"
            | "carry"
            | "run"
            | "produce"
            | "present"
            | "draw"
            | "get"
            | "return"
            | "output"
            | "compile"
            | "hold"
            | "complete"
            | "submit"
            | "send"
            | "share"
            | "show"
            | "list"
            | "supply"
    );
    if !light {
        return None;
    }
    let level = LEXICON.noun_level(noun?)?;
    let creates = matches!(verb, "write" | "create" | "generate" | "produce" | "prepare" | "make");
    let shows = matches!(verb, "list" | "send" | "share" | "show" | "get" | "return");
    match level {
        Level::Remember | Level::Apply if creates => None,
        Level::Evaluate if creates && !matches!(noun, Some("evaluation" | "assessment" | "critique")) => None,
        Level::Create | Level::Evaluate if shows => None,
        Level::Understand if creates && matches!(noun, Some("answer" | "example" | "biography" | "outline")) => None,
        Level::Understand if shows => None,
        level => Some(level),
    }
}

fn is_about_given_text(page: &Page, from: usize) -> bool {
    (from.saturating_sub(8)..from + 14).any(|j| {
        matches!(
            page.low(j),
            "text" | "sentence" | "paragraph" | "passage" | "given" | "below" | "following" | "code" | "these"
        )
    })
}

fn sentence_has(page: &Page, from: usize, word: &str) -> bool {
    (from..from + 20).any(|j| page.low(j) == word)
}
