//! Requests in English. A text becomes sentences; in each, frames, openers and leading clauses are peeled off until a
//! verb stands where an imperative stands. Sentences without one may still ask by a passive or a gerund.

mod constraints;
mod frames;
mod level;
mod lexicon;
mod noun;
mod tokens;

use std::ops::Range;

use rustc_hash::FxHashSet;

use frames::{Form, Weight, frames};
use lexicon::{Classes, LEXICON, Verb};
use tokens::{Kind, Token};

use super::{Analysis, Root};

/// Requests that are counted in one text, at most.
const STEPS_MAX: usize = 99;

/// The shortest word whose spelling is corrected, in letters.
const MISSPELT_MIN: usize = 6;

pub fn analyse(text: &str) -> Analysis {
    let lower = text.to_ascii_lowercase();
    let page = Page::new(tokens::tokens(text, &lower));
    let mut found: Vec<Request> = Vec::new();
    for sentence in page.sentences() {
        page.requests(sentence, &mut found);
        if found.len() >= STEPS_MAX {
            break;
        }
    }
    let weight = found.iter().map(|request| request.weight).max();
    found.retain(|request| Some(request.weight) == weight);
    // The last sentence may have asked for more.
    found.truncate(STEPS_MAX);
    let root = found.first().map(|request| page.root(request));
    Analysis { root, steps: found.len() as u32, constraints: constraints::count(&page) }
}

/// A text's tokens with what the lexicon says of each.
struct Page<'t> {
    tokens: Vec<Token<'t>>,
    classes: Vec<Classes>,
    verbs: Vec<Option<Verb>>,
}

#[derive(Clone, Debug)]
struct Sentence {
    at: Range<usize>,
    question: bool,
    /// Ends with a stop.
    closed: bool,
}

struct Request {
    verb: usize,
    lemma: String,
    weight: Weight,
    object: Object,
}

enum Object {
    /// The phrase begins at or after this token.
    After(usize),
    /// The phrase is before the verb, as in passives.
    Before(Range<usize>),
}

/// What stands before the place where a request may begin: it decides how sure the verb must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The start of a sentence, or after its openers.
    Opening,
    /// After a leading clause: "Given a sentence, …", "If it fails, …", and after settings.
    Led,
    /// After a comma or another mark of a statement.
    Inside,
    /// After a question.
    Asked,
    /// After "please".
    Pleased,
}

enum Reading {
    Request(Request),
    /// None here; the rest of the sentence is to be read as in this place.
    Go(Place),
    /// None in this sentence.
    Never,
}

impl<'t> Page<'t> {
    fn new(tokens: Vec<Token<'t>>) -> Page<'t> {
        let words = || tokens.iter().map(|token| if token.is_word() { token.low } else { "" });
        let classes = words().map(|low| LEXICON.classes(low)).collect();
        let verbs = words().map(|low| LEXICON.verb(low)).collect();
        Page { tokens, classes, verbs }
    }

    fn is(&self, at: usize, class: Classes) -> bool {
        self.classes.get(at).is_some_and(|classes| classes.has(class))
    }

    fn low(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.low)
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is_word(&self, at: usize) -> bool {
        self.kind(at) == Some(Kind::Word)
    }

    fn sentences(&self) -> Vec<Sentence> {
        let mut out = Vec::new();
        let mut start = 0;
        for (i, token) in self.tokens.iter().enumerate() {
            let ends = match token.kind {
                Kind::Stop => true,
                Kind::Line => !self.is_wrapped(start, i),
                _ => false,
            };
            if ends {
                if start < i {
                    let question = token.low.contains('?');
                    out.push(Sentence { at: start..i, question, closed: token.kind == Kind::Stop });
                }
                start = i + 1;
            }
        }
        if start < self.tokens.len() {
            out.push(Sentence { at: start..self.tokens.len(), question: false, closed: false });
        }
        out
    }

    /// A line end inside a sentence: the line before is long, and the next goes on in lower case.
    fn is_wrapped(&self, start: usize, line: usize) -> bool {
        let goes_on = self.tokens.get(line + 1).is_some_and(|next| next.is_word() && !next.capital);
        let before = line > start && self.is_word(line - 1);
        let long = self.tokens[line].at.start - self.tokens[start].at.start > 60;
        goes_on && before && long && self.verbs[line + 1].is_none_or(|verb| verb.ambiguous)
    }

    fn requests(&self, sentence: Sentence, found: &mut Vec<Request>) {
        let Range { start, end } = sentence.at;
        let opening = self.after_openers(start, end);
        let mut barren = FxHashSet::default();
        let mut place = match self.read(opening, Place::Opening, &sentence, &mut barren) {
            Reading::Request(request) => return self.take(request, end, found),
            Reading::Never => return,
            Reading::Go(place) => place,
        };
        for i in opening..end {
            if !self.may_begin_after(i, place) {
                continue;
            }
            let next = self.after_openers(i + 1, end);
            match self.read(next, place, &sentence, &mut barren) {
                Reading::Request(request) => return self.take(request, end, found),
                Reading::Go(Place::Led) if place == Place::Inside => place = Place::Led,
                _ => {}
            }
        }
        let declared = self.passive(opening, end).or_else(|| self.gerund(opening, &sentence));
        if let Some(request) = declared {
            self.take(request, end, found);
        }
    }

    fn take(&self, request: Request, end: usize, found: &mut Vec<Request>) {
        let (after, weight) = (request.verb + 1, request.weight);
        found.push(request);
        self.joined(after, end, weight, found);
    }

    /// Further requests of the same sentence: "… and count the rows", "…, then send it".
    fn joined(&self, from: usize, end: usize, weight: Weight, found: &mut Vec<Request>) {
        let mut i = from;
        while i < end {
            let joins = matches!(self.low(i), "and" | "then" | ";" | "&" | "or") && self.low(i) != "or";
            let listed = self.low(i) == "," && self.verbs.get(i + 1).is_some_and(|verb| verb.is_some());
            let next = self.after_openers(i + 1, end);
            i += 1;
            if !(joins || listed) || next >= end || self.verbs[next].is_none() {
                continue;
            }
            // "a tool to read and write files": the verb before hangs on "to" or on a relative word.
            let chained =
                i >= 3 && self.verbs[i - 2].is_some() && matches!(self.low(i - 3), "to" | "can" | "that" | "will");
            if !chained && self.is_imperative(next, end, Place::Inside) {
                found.push(Request {
                    verb: next,
                    lemma: self.low(next).to_owned(),
                    weight,
                    object: Object::After(next + 1),
                });
                i = next + 1;
            }
        }
    }

    /// Skips list marks, greetings, "ok", "please", "then", "also" and adverbs.
    fn after_openers(&self, mut i: usize, end: usize) -> usize {
        while i < end {
            let token = &self.tokens[i];
            let skip = match token.kind {
                Kind::Mark => token.low != "," || i == 0 || self.is_opener(i - 1) || !self.is_word(i - 1),
                Kind::Number => matches!(self.low(i + 1), ")" | "." | ":") || self.kind(i + 1) == Some(Kind::Stop),
                Kind::Opaque => {
                    self.is_word(i + 1) && !self.is(i + 1, Classes::AUX.or(Classes::PREP).or(Classes::CONJ))
                }
                Kind::Word => {
                    if self.is(i, Classes::GREETING) && i + 1 < end && self.low(i) != "morning" {
                        i = self.after_greeting(i, end);
                        continue;
                    }
                    if self.is_label(i, end) {
                        i += 2;
                        continue;
                    }
                    self.is_opener(i) && !self.is(i + 1, Classes::AUX)
                }
                _ => false,
            };
            if !skip {
                break;
            }
            i += 1;
        }
        i
    }

    fn is_opener(&self, i: usize) -> bool {
        let low = self.low(i);
        let adverb = low.len() > 4 && low.ends_with("ly") && self.verbs[i].is_none() && !self.is(i, Classes::NOUN);
        // "first names", "second paragraph": openers that are followed by a noun phrase are no openers.
        self.is(i, Classes::OPENER) || adverb
    }

    /// "Hi Anna," and "hello team": up to the comma, or over the words a greeting takes.
    fn after_greeting(&self, i: usize, end: usize) -> usize {
        let near = (i + 1..end.min(i + 5)).find(|&j| self.low(j) == "," || self.low(j) == "-");
        if let Some(comma) = near {
            return comma + 1;
        }
        let mut j = i + 1;
        while j < end && (self.is(j, Classes::VOCATIVE) || self.is(j, Classes::GREETING)) {
            j += 1;
        }
        j
    }

    /// "Task:", "Your job:": up to three words and a colon, none of which names what is given.
    fn is_label(&self, i: usize, _end: usize) -> bool {
        self.low(i + 1) == ":" && self.verbs[i].is_none() && !self.is(i, Classes::LABEL.or(Classes::QUESTION))
            || self.low(i + 1) == ":" && self.low(i) == "note"
    }

    fn may_begin_after(&self, i: usize, place: Place) -> bool {
        let low = self.low(i);
        match self.kind(i) {
            Some(Kind::Mark) => match place {
                Place::Asked => matches!(low, "-" | ";" | ":" | ","),
                _ => matches!(low, "," | ";" | ":" | "-" | ")"),
            },
            Some(Kind::Word) => match place {
                Place::Led => matches!(low, "and" | "then" | "please" | "kindly"),
                Place::Inside => matches!(low, "but" | "so" | "please" | "kindly" | "then"),
                _ => matches!(low, "please" | "kindly"),
            },
            _ => false,
        }
    }

    fn read(&self, i: usize, place: Place, sentence: &Sentence, barren: &mut FxHashSet<usize>) -> Reading {
        let end = sentence.at.end;
        if i >= end {
            return Reading::Never;
        }
        if !self.is_word(i) {
            return Reading::Go(Place::Inside);
        }
        if let Some(reading) = self.framed(i, end, barren) {
            return reading;
        }
        if self.low(i) == "let" && self.is(i + 1, Classes::OBJECT) && self.low(i + 2) == "know" {
            return self.plain(i + 2, Weight::Ask);
        }
        if self.is_prohibition(i) {
            return Reading::Go(Place::Led);
        }
        if self.is_setting(i) {
            return Reading::Go(Place::Led);
        }
        let pleased = i > 0 && matches!(self.low(i - 1), "please" | "kindly" | "pls" | "plz");
        let dashed = i > 0 && matches!(self.low(i - 1), "-" | ";");
        let asked = place == Place::Asked && !pleased && !dashed;
        if !asked && self.is_imperative(i, end, if pleased { Place::Pleased } else { place }) {
            return self.plain(i, if self.is_bare_help(i, end) { Weight::Hint } else { Weight::Ask });
        }
        if self.is(i, Classes::LEADING) || self.is_leading_gerund(i, end) {
            let when_asked = sentence.question && self.is(i, Classes::QUESTION) && self.is(i + 1, Classes::AUX);
            return match self.unmarked(i, end) {
                _ if when_asked => Reading::Go(Place::Asked),
                Some(request) => Reading::Request(request),
                None => Reading::Go(if place == Place::Inside { Place::Inside } else { Place::Led }),
            };
        }
        if self.low(i) == "in" || self.low(i) == "to" {
            return Reading::Go(Place::Led);
        }
        if self.is(i, Classes::QUESTION) || sentence.question {
            return Reading::Go(Place::Asked);
        }
        if self.is(i, Classes::LABEL) && self.low(i + 1) == ":" {
            return Reading::Never;
        }
        Reading::Go(Place::Inside)
    }

    fn plain(&self, verb: usize, weight: Weight) -> Reading {
        let lemma = self.corrected(verb);
        Reading::Request(Request { verb, lemma, weight, object: Object::After(verb + 1) })
    }

    /// A frame with a verb after it; frames may follow one another: "I'd like you to help me plan". Places of the sentence
    /// where no framed request begins become `barren`: each is read once, however many frames lead to it.
    fn framed(&self, i: usize, end: usize, barren: &mut FxHashSet<usize>) -> Option<Reading> {
        for framed in frames(&self.tokens, i, end) {
            let mut verb = framed.next;
            while verb < end && (self.is_opener(verb) || matches!(self.low(verb), "both" | ":")) {
                verb += 1;
            }
            if verb >= end || !self.is_word(verb) {
                continue;
            }
            if self.low(verb) == "not" {
                return Some(Reading::Go(Place::Led));
            }
            if framed.form == Form::Base && verb > i && !barren.contains(&verb) {
                if let Some(Reading::Request(mut request)) = self.framed(verb, end, barren) {
                    request.weight = request.weight.min(framed.weight);
                    return Some(Reading::Request(request));
                }
                barren.insert(verb);
            }
            let lemma = match framed.form {
                Form::Base if self.is_base_after_frame(verb) => self.corrected(verb),
                Form::Gerund => match LEXICON.base_of_gerund(self.low(verb)) {
                    Some(base) if !self.is(verb, Classes::ING) || LEXICON.verb(&base).is_some() => base,
                    _ => continue,
                },
                Form::Past => match LEXICON.base_of_participle(self.low(verb)) {
                    Some(base) => base,
                    None => continue,
                },
                Form::Base => continue,
            };
            if self.is_setting(verb) {
                return Some(Reading::Go(Place::Led));
            }
            let weight = if self.is_bare_help(verb, end) { Weight::Hint } else { framed.weight };
            let object = Object::After(verb + 1);
            return Some(Reading::Request(Request { verb, lemma, weight, object }));
        }
        self.wanted_passive(i, end).map(Reading::Request)
    }

    /// "help", "help me with that": what it is about stands elsewhere.
    fn is_bare_help(&self, verb: usize, end: usize) -> bool {
        let mut i = verb + 1;
        while i < end && (self.is(i, Classes::OBJECT) || matches!(self.low(i), "with" | "please" | "out" | "on")) {
            i += 1;
        }
        matches!(self.low(verb), "help" | "assist") && (i >= end || !self.is_word(i))
    }

    /// The word itself, or the verb of the lexicon that it misspells by one letter.
    fn corrected(&self, verb: usize) -> String {
        let low = self.low(verb);
        // "reboil" is a verb of its own.
        let derived =
            ["re", "un", "dis", "mis", "out", "over", "under", "pre", "de"].iter().any(|start| low.starts_with(start));
        let known = self.verbs[verb].is_some() || low.len() < MISSPELT_MIN || derived;
        if known { low.to_owned() } else { LEXICON.nearest_verb(low).unwrap_or(low).to_owned() }
    }

    fn is_base_after_frame(&self, i: usize) -> bool {
        if !self.is_word(i) || self.low(i).len() < 2 {
            return false;
        }
        let low = self.low(i);
        if matches!(low, "be" | "have" | "been" | "being" | "make" | "help") && self.is_participle_next(i) {
            return false;
        }
        if matches!(low, "be" | "have" | "am" | "like") {
            return low == "have" && self.is(i + 1, Classes::ARTICLE);
        }
        // "help humanity prepare": after a help without an object, only known verbs.
        let helped = i > 0 && matches!(self.low(i - 1), "help" | "assist");
        let formed = low.ends_with("ing") || LEXICON.is_participle(low);
        self.verbs[i].is_some() || low == "do" || !(self.is(i, Classes::CLOSED) || helped || formed)
    }

    fn is_participle_next(&self, i: usize) -> bool {
        LEXICON.is_participle(self.low(i + 1))
    }

    /// "I want my card frozen", "I need the walls painted".
    fn wanted_passive(&self, i: usize, end: usize) -> Option<Request> {
        let verb =
            (i + 1..end.min(i + 4)).find(|&j| matches!(self.low(j), "want" | "need" | "like" | "have" | "get"))?;
        if !matches!(self.low(i), "i" | "we") || !self.is(verb + 1, Classes::ARTICLE) {
            return None;
        }
        let done = (verb + 3..end.min(verb + 9)).find(|&j| LEXICON.is_participle(self.low(j)))?;
        let to_be = self.low(done - 2) == "to" && self.low(done - 1) == "be";
        let between = verb + 1..if to_be { done - 2 } else { done };
        let plain =
            between.clone().all(|j| self.is_word(j) && !self.is(j, Classes::PREP.or(Classes::WH).or(Classes::AUX)));
        let goes_on = self.is_word(done + 1) && done + 1 < end && !self.is(done + 1, Classes::CLOSED);
        if !plain || goes_on && !self.low(done + 1).ends_with("ly") {
            return None;
        }
        let lemma = LEXICON.base_of_participle(self.low(done))?;
        let weight = if matches!(self.low(verb), "have" | "get") { Weight::Hint } else { Weight::Wish };
        Some(Request { verb: done, lemma, weight, object: Object::Before(between) })
    }

    fn is_prohibition(&self, i: usize) -> bool {
        let low = self.low(i);
        (low == "do" && self.low(i + 1) == "not")
            || matches!(low, "never" | "don" | "dont" | "avoid" | "refrain" | "not" | "no" | "stop")
                && !(low == "stop" && self.is(i + 1, Classes::ARTICLE))
    }

    /// "Imagine …", "Act as …", "You are …": what the model is to be, not to do.
    fn is_setting(&self, i: usize) -> bool {
        let (low, next) = (self.low(i), self.low(i + 1));
        match low {
            "act" => matches!(next, "as" | "like"),
            "think" => next == "of" && self.low(i + 2) == "yourself",
            "take" | "play" | "assume" | "adopt" => {
                low == "assume"
                    || (i + 1..i + 4).any(|j| matches!(self.low(j), "role" | "part" | "persona" | "identity"))
            }
            "put" => next == "yourself",
            "you" => next == "are" || next == "will" && self.low(i + 2) == "be" || next == "were",
            "let" => next == "'s" && matches!(self.low(i + 2), "say" | "imagine" | "pretend" | "assume"),
            "say" => next == "that" || next == "you",
            "there" | "here" => next == "is" || next == "are",
            _ => self.is(i, Classes::SETTING) && !(self.is(i + 1, Classes::AUX)),
        }
    }

    /// "Using the table below, …": a gerund that leads a sentence with a comma.
    fn is_leading_gerund(&self, i: usize, end: usize) -> bool {
        let low = self.low(i);
        low.ends_with("ing")
            && self.verbs[i].is_none()
            && LEXICON.base_of_gerund(low).is_some()
            && (i..end).any(|j| self.low(j) == ",")
    }

    /// An imperative after a leading phrase that no comma closes: "Using the data below write a report".
    fn unmarked(&self, i: usize, end: usize) -> Option<Request> {
        let first_mark = (i..end).find(|&j| self.kind(j) != Some(Kind::Word)).unwrap_or(end);
        let verb = (i + 2..first_mark).find(|&j| {
            self.verbs[j].is_some_and(|verb| !verb.ambiguous)
                && self.is(j + 1, Classes::ARTICLE)
                && !self.is(j - 1, Classes::CLOSED.or(Classes::SUBJECT)) | self.is(j - 1, Classes::ADVERB)
                && !LEXICON.is_adjective(self.low(j - 1))
                && !self.tokens[j].low.ends_with("ed")
        })?;
        let object = Object::After(verb + 1);
        Some(Request { verb, lemma: self.low(verb).to_owned(), weight: Weight::Ask, object })
    }

    fn is_imperative(&self, i: usize, end: usize, place: Place) -> bool {
        let low = self.low(i);
        let next = i + 1;
        let at_end = next >= end;
        if low == "do" {
            return !self.is(next, Classes::SUBJECT.or(Classes::WH)) && low != "not" && self.is(next, Classes::ARTICLE);
        }
        let Some(verb) = self.verbs[i] else { return self.is_unknown_imperative(i, end, place) };
        if !at_end && self.is(next, Classes::AUX) && self.low(next) != "do" {
            return false;
        }
        let clear = !at_end && (self.begins_object(next, end) || self.begins_particle(next, end));
        if place == Place::Pleased {
            return !matches!(low, "note" | "like");
        }
        match place {
            Place::Inside if self.is_formula_before(i) => {}
            Place::Inside | Place::Asked => return clear && !self.follows_subject(i),
            Place::Led if verb.ambiguous => return clear,
            _ => {}
        }
        if !verb.ambiguous {
            return true;
        }
        if at_end {
            return self.kind(end) == Some(Kind::Stop);
        }
        if clear {
            return true;
        }
        if verb.rare || self.has_finite_verb(next, end) {
            return false;
        }
        match self.low(next) {
            "of" | ":" | "," | "/" | "-" => return false,
            "and" | "or" | "&" => {
                return self.verbs.get(next + 1).is_some_and(|verb| verb.is_some())
                    && self.begins_object(next + 2, end);
            }
            _ => {}
        }
        if self.is(next, Classes::PREP) {
            return self.is(i, Classes::PREPOSITIONAL)
                || self.is(next, Classes::PARTICLE) && self.begins_object(next + 1, end);
        }
        let done = LEXICON.is_participle(self.low(next)) && next + 1 >= end;
        !done && !self.is_title(i, end) && !self.is(next, Classes::SUBJECT)
    }

    /// "Exchange rate for my card is wrong": an auxiliary before any mark or relative word.
    fn has_finite_verb(&self, from: usize, end: usize) -> bool {
        let stops =
            |j: &usize| !self.is_word(*j) || self.is(*j, Classes::WH.or(Classes::CONJ)) && !self.is(*j, Classes::DET);
        let clause = from..(from..end).find(stops).unwrap_or(end);
        clause
            .into_iter()
            .any(|j| self.is(j, Classes::AUX) && !matches!(self.low(j), "'s" | "not" | "do" | "being" | "be"))
    }

    /// A word that the lexicon lacks at the start of a sentence, with an article after it: "Upcycle the crates".
    fn is_unknown_imperative(&self, i: usize, end: usize, place: Place) -> bool {
        let low = self.low(i);
        let shaped = low.len() > 2
            && low.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            && !["ing", "ed", "ly", "tion"].iter().any(|ending| low.ends_with(ending))
            && (!low.ends_with('s') || low.ends_with("ss"));
        let next_the = i + 1 < end && self.is(i + 1, Classes::ARTICLE) && !self.is(i + 2, Classes::AUX);
        let classes = Classes::CLOSED.or(Classes::OPENER).or(Classes::LEADING).or(Classes::QUESTION).or(Classes::LABEL);
        let pleased = place == Place::Pleased && (i + 1 >= end || self.begins_object(i + 1, end));
        let begins = match place {
            Place::Opening => next_the,
            Place::Led => next_the && !self.tokens[i].capital,
            Place::Pleased => pleased || next_the,
            _ => false,
        };
        begins && shaped && !self.is(i, classes)
    }

    /// "out every mistake", "up something": a particle and what can be an object.
    fn begins_particle(&self, i: usize, end: usize) -> bool {
        let particle = matches!(self.low(i), "out" | "up" | "off" | "down" | "away");
        particle
            && i + 1 < end
            && (self.begins_object(i + 1, end) || self.is_word(i + 1) && !self.is(i + 1, Classes::CLOSED))
    }

    /// What can follow a verb but hardly a noun.
    fn begins_object(&self, i: usize, end: usize) -> bool {
        if i >= end {
            return false;
        }
        match self.kind(i) {
            Some(Kind::Number | Kind::Quote) => true,
            Some(Kind::Word) => {
                self.is(i, Classes::DET.or(Classes::OBJECT).or(Classes::WH)) && !self.is(i, Classes::AUX)
            }
            _ => false,
        }
    }

    /// "x + y = 4, express y": what stands before is no sentence.
    fn is_formula_before(&self, i: usize) -> bool {
        let line = (0..i).rev().find(|&j| matches!(self.kind(j), Some(Kind::Line))).map_or(0, |j| j + 1);
        line < i && (line..i).all(|j| !self.is_word(j) || self.low(j).len() == 1)
    }

    /// "…, you change the tone": the word before is a subject or an auxiliary.
    fn follows_subject(&self, i: usize) -> bool {
        i > 0 && self.is(i - 1, Classes::SUBJECT.or(Classes::AUX)) && self.is_word(i - 1)
    }

    /// Capitals in the words after the first, and no stop: a heading.
    fn is_title(&self, i: usize, end: usize) -> bool {
        let open = self.kind(end) != Some(Kind::Stop);
        open && self.tokens[i].capital
            && self.tokens[i + 1..end].iter().take(3).all(|token| token.capital || !token.is_word())
    }

    /// "The floor should be swept": a subject, a modal that demands, "be" and a participle.
    fn passive(&self, start: usize, end: usize) -> Option<Request> {
        if self.is(start, Classes::SUBJECT.or(Classes::QUESTION).or(Classes::LEADING)) && !self.is(start, Classes::DET)
        {
            return None;
        }
        let modal = (start + 1..end.min(start + 25)).find(|&j| {
            let low = self.low(j);
            matches!(low, "should" | "must" | "shall")
                || matches!(low, "needs" | "need" | "has" | "have" | "ought" | "is" | "are") && self.low(j + 1) == "to"
        })?;
        let be = (modal + 1..end.min(modal + 4)).find(|&j| self.low(j) == "be")?;
        let done = (be + 1..end.min(be + 4)).find(|&j| LEXICON.is_participle(self.low(j)))?;
        if (be + 1..done).any(|j| !self.low(j).ends_with("ly") && !self.is(j, Classes::ADVERB))
            || self.is(start, Classes::OBJECT) && !self.is_word(start + 1)
        {
            return None;
        }
        let lemma = LEXICON.base_of_participle(self.low(done))?;
        if matches!(self.low(modal - 1), "it" | "they" | "that" | "which" | "this" | "not" | "output" | "answer") {
            return None;
        }
        Some(Request { verb: done, lemma, weight: Weight::Ask, object: Object::Before(start..modal) })
    }

    /// "Labelling the boxes.": a sentence that a gerund begins and that has no finite verb.
    fn gerund(&self, start: usize, sentence: &Sentence) -> Option<Request> {
        let end = sentence.at.end;
        let low = self.low(start);
        let base = LEXICON.base_of_gerund(low).filter(|base| LEXICON.verb(base).is_some())?;
        let finite =
            (start + 1..end).any(|j| self.is(j, Classes::AUX.or(Classes::SUBJECT)) && !self.is(j, Classes::OBJECT));
        let followed =
            start + 1 < end && self.is_word(start + 1) && !self.is(start + 1, Classes::PREP.or(Classes::CONJ));
        if finite || !followed || sentence.question || !sentence.closed {
            return None;
        }
        Some(Request { verb: start, lemma: base, weight: Weight::Ask, object: Object::After(start + 1) })
    }

    fn root(&self, request: &Request) -> Root {
        let noun = match &request.object {
            Object::After(at) => noun::object(self, request, *at),
            Object::Before(range) => noun::head(self, range.start, range.end),
        };
        let noun = noun.map(|at| LEXICON.singular(self.low(at)));
        let level = level::level(self, request, noun.as_deref());
        Root { verb: request.lemma.clone(), noun, level, at: self.tokens[request.verb].at.clone() }
    }
}
