//! The head noun of a verb's direct object.

use super::lexicon::{Classes, LEXICON};
use super::tokens::Kind;
use super::{Page, Request};

/// Verbs whose "for", "of" or "up with" belongs to them: "look for a snippet" has the object "snippet".
const WITH_PARTICLE: [(&str, &[&str]); 10] = [
    ("look", &["for"]),
    ("search", &["for"]),
    ("come", &["up", "with"]),
    ("think", &["of"]),
    ("think", &["up"]),
    ("get", &["rid", "of"]),
    ("take", &["care", "of"]),
    ("make", &["up"]),
    ("hunt", &["for"]),
    ("put", &["together"]),
];

/// "a couple of ideas", "all of the rows": words that leave the head to what follows "of".
const QUANTITY: [&str; 20] = [
    "couple", "lot", "lots", "number", "bunch", "plenty", "dozen", "handful", "majority", "all", "both", "each",
    "some", "one", "any", "none", "many", "most", "few", "several",
];

/// The token that heads the object of a request, whose phrase begins at or after `from`.
pub fn object(page: &Page, request: &Request, from: usize) -> Option<usize> {
    let (verb, lemma) = (request.verb, request.lemma.as_str());
    let mut i = after_particles(page, lemma, from);
    if page.is(i, Classes::WH) && !(page.low(i) == "that" && is_determiner(page, i)) {
        return None;
    }
    let double = page.is(verb, Classes::DOUBLE) || LEXICON.classes(lemma).has(Classes::DOUBLE);
    if page.is(i, Classes::OBJECT) && !is_determiner(page, i) {
        i += 1;
        let goes_on = double && !page.is(i, Classes::WH.or(Classes::CONJ).or(Classes::PREP));
        return if goes_on { head(page, i, page.tokens.len()) } else { None };
    }
    if matches!(page.low(i), "sure" | "certain") {
        return None;
    }
    let causes = matches!(lemma, "make" | "let" | "help" | "get" | "have" | "watch" | "see" | "hear");
    let (first, stop) = phrase_of(page, i, page.tokens.len(), causes)?;
    if double {
        let mut j = stop;
        while page.is(j, Classes::ADVERB) {
            j += 1;
        }
        if page.is(j, Classes::ARTICLE) && j < i + 8 {
            return head(page, j, page.tokens.len()).or(Some(first));
        }
    }
    Some(first)
}

/// The head of the noun phrase from `from`, which ends before `end`.
pub fn head(page: &Page, from: usize, end: usize) -> Option<usize> {
    phrase(page, from, end).map(|(head, _)| head)
}

fn after_particles(page: &Page, verb: &str, from: usize) -> usize {
    let mut i = from;
    while page.is(i, Classes::ADVERB) && !page.is(i, Classes::PARTICLE.or(Classes::DET).or(Classes::WH))
        || is_manner(page, i)
    {
        i += 1;
    }
    for (word, particles) in WITH_PARTICLE {
        let found = verb == word && particles.iter().enumerate().all(|(n, part)| page.low(i + n) == *part);
        if found {
            return i + particles.len();
        }
    }
    let particle =
        page.is(i, Classes::PARTICLE) && !matches!(page.low(i), "for" | "about" | "across" | "along" | "around");
    let object_next = page.is(i + 1, Classes::DET.or(Classes::WH).or(Classes::ADJECTIVE)) || is_content(page, i + 1);
    // "turn in the report" against "live in the house": "in", "over", "through" are particles of few verbs.
    let doubtful = matches!(page.low(i), "in" | "over" | "through" | "on" | "by" | "down");
    let takes = matches!(verb, "fill" | "hand" | "turn" | "bring" | "read" | "write" | "break" | "go" | "put" | "note");
    if particle && object_next && (!doubtful || takes && page.low(i) != "on") { i + 1 } else { i }
}

fn is_manner(page: &Page, i: usize) -> bool {
    let low = page.low(i);
    page.is_word(i)
        && low.len() > 4
        && low.ends_with("ly")
        && !LEXICON.is_adjective(low)
        && !page.is(i, Classes::NOUN)
        && page.verbs[i].is_none()
}

/// "this text", "her letter", "each row": a word that could be an object is followed by a noun.
fn is_determiner(page: &Page, i: usize) -> bool {
    page.is(i, Classes::DET)
        && (is_content(page, i + 1)
            || page.low(i + 1) == "of"
            || page.is(i + 1, Classes::DET)
            || page.kind(i + 1) == Some(Kind::Number))
}

/// A noun, an adjective or an unknown word.
fn is_content(page: &Page, i: usize) -> bool {
    page.is_word(i) && (!page.is(i, Classes::CLOSED) || page.is(i, Classes::ADJECTIVE))
}

/// What an object may be made to do: "make it sound better".
const STATES: [&str; 12] =
    ["sound", "look", "feel", "seem", "appear", "become", "work", "run", "stand", "read", "fit", "stop"];

struct Phrase {
    /// The phrase is the object of "make", "let" and the like.
    caused: bool,
    head: Option<usize>,
    /// Words that could be heads, all of them capitals: a name.
    names: usize,
    nouns: usize,
    determined: bool,
}

/// The head and the token after the phrase.
fn phrase(page: &Page, from: usize, end: usize) -> Option<(usize, usize)> {
    phrase_of(page, from, end, false)
}

fn phrase_of(page: &Page, from: usize, end: usize, caused: bool) -> Option<(usize, usize)> {
    let mut np = Phrase { caused, head: None, names: 0, nouns: 0, determined: false };
    let mut i = from;
    while i < end {
        match step(page, from, i, end, &mut np) {
            Step::Stop => break,
            Step::Next => i += 1,
            Step::Over(n) => i += n,
        }
    }
    let head = np.head?;
    let is_name = np.names == np.nouns && (!np.determined || np.nouns > 1);
    (!is_name).then_some((head, i))
}

enum Step {
    Stop,
    Next,
    Over(usize),
}

fn step(page: &Page, from: usize, i: usize, end: usize, np: &mut Phrase) -> Step {
    let low = page.low(i);
    match page.kind(i) {
        Some(Kind::Word) => {}
        Some(Kind::Number) if np.head.is_none() => {
            np.determined = true;
            return Step::Next;
        }
        Some(Kind::Quote | Kind::Opaque) if np.head.is_none() && is_content(page, i + 1) => return Step::Next,
        Some(Kind::Mark) if low == "," || low == "/" => return joined_adjective(page, i, np),
        Some(Kind::Mark) if matches!(low, "*" | "#" | "%" | "&" | "+") && np.head.is_none() => return Step::Next,
        _ => return Step::Stop,
    }
    if QUANTITY.contains(&low) && page.low(i + 1) == "of" {
        np.head = None;
        np.determined = true;
        return Step::Over(2);
    }
    if low == "'s" {
        np.head = None;
        np.determined = true;
        return Step::Next;
    }
    if matches!(low, "and" | "or") {
        return joined_adjective(page, i, np);
    }
    if low == "that" && i > from || np.caused && np.head.is_some() && STATES.contains(&low) {
        return Step::Stop;
    }
    if page.is(i, Classes::DET) {
        np.determined |= np.head.is_none();
        return if np.head.is_none() { Step::Next } else { Step::Stop };
    }
    let after_noun = ["effective", "due", "worth", "available", "able", "suitable", "starting", "beginning"];
    if np.head.is_some() && after_noun.contains(&low) {
        return Step::Stop;
    }
    if matches!(low, "usd" | "gbp" | "eur" | "cny" | "jpy" | "inr" | "chf" | "aud" | "cad" | "rmb") && np.head.is_none()
    {
        return Step::Stop;
    }
    if matches!(low, "no" | "number") && page.kind(i + 1) == Some(Kind::Number) && np.head.is_some() {
        return Step::Stop;
    }
    if page.is(i, Classes::CLOSED) && !page.is(i, Classes::ADJECTIVE.or(Classes::NOUN)) {
        let passes = np.head.is_none() && i > from && page.is(i, Classes::ADVERB) && !page.is(i, Classes::PREP);
        return if passes || np.head.is_none() && page.is(i, Classes::ADVERB) { Step::Next } else { Step::Stop };
    }
    content(page, i, end, np)
}

/// A comma or "and" goes on where it joins adjectives: "a short, friendly note".
fn joined_adjective(page: &Page, i: usize, np: &Phrase) -> Step {
    let adjective = i > 0 && is_modifier(page, i - 1);
    if np.head.is_none() && adjective && is_content(page, i + 1) { Step::Next } else { Step::Stop }
}

fn is_modifier(page: &Page, i: usize) -> bool {
    let low = page.low(i);
    page.is_word(i)
        && (LEXICON.is_adjective(low) || LEXICON.is_participle(low) || low.ends_with("ing") || low.ends_with('y'))
}

/// "short, friendly": a comma or "and" and another word follow.
fn is_joined(page: &Page, i: usize) -> bool {
    matches!(page.low(i + 1), "," | "and" | "or" | "/" | "but" | "yet") && is_content(page, i + 2)
}

fn content(page: &Page, i: usize, end: usize, np: &mut Phrase) -> Step {
    let low = page.low(i);
    let token = &page.tokens[i];
    let more = i + 1 < end && is_content(page, i + 1);
    if low.ends_with("ing") && low.len() > 4 && !page.is(i, Classes::ING) {
        let object_next = page.is(i + 1, Classes::ARTICLE) || page.is(i + 1, Classes::OBJECT);
        if np.head.is_some() || object_next {
            return Step::Stop;
        }
        if more {
            return Step::Next;
        }
    }
    if page.is(i, Classes::ING) && np.head.is_some() && page.is(i + 1, Classes::ARTICLE) {
        return Step::Stop;
    }
    if LEXICON.is_participle(low) && page.verbs[i].is_none_or(|verb| !verb.ambiguous) {
        return if np.head.is_some() { Step::Stop } else { Step::Next };
    }
    if LEXICON.is_adjective(low) || is_manner(page, i) {
        if np.head.is_none() {
            // "the following", "the best": nothing follows, so there is no noun; but "the blank".
            let bare =
                ["following", "given", "best", "first", "second", "third", "last", "next", "previous", "same", "other"];
            let may_head = page.is(i, Classes::ADJECTIVE)
                && np.determined
                && !more
                && page.kind(i + 1) != Some(Kind::Number)
                && !bare.contains(&low)
                && !low.ends_with("est")
                && !is_joined(page, i);
            if !may_head || is_manner(page, i) {
                np.determined |= !token.capital;
                return Step::Next;
            }
            np.head = Some(i);
            np.nouns += 1;
            return Step::Next;
        }
        return if more { Step::Next } else { Step::Stop };
    }
    // "help students solve it": what the object is to do.
    if np.head.is_some() && page.verbs[i].is_some_and(|verb| !verb.ambiguous) {
        return Step::Stop;
    }
    // "meeting room Atlas": a name after the noun.
    if token.capital && np.head.is_some_and(|head| !page.tokens[head].capital) && !more {
        return Step::Stop;
    }
    // "a C++ program", "an R script"; but "express y".
    if low.len() == 1 {
        let named = np.head.is_none() && (more || matches!(page.low(i + 1), "+" | "#"));
        return if named { Step::Next } else { Step::Stop };
    }
    np.head = Some(i);
    np.nouns += 1;
    np.names += usize::from(token.capital);
    Step::Next
}
