//! A short story of who is where and who has what, and a question about its end.

use super::corpus::{Row, Skill};
use super::lexicon::{NAMES_EN, NAMES_ZH, PLACES_EN, PLACES_ZH, THINGS_EN, THINGS_ZH};
use super::wording::{Language, Split, Wording, fill};
use planted::random::Random;

const PEOPLE_MIN: usize = 2;
const PEOPLE_MAX: usize = 3;
/// One story in so many has a change at its end: somebody goes elsewhere, or gives something away.
const CHANGE_ONE_IN: usize = 3;
const TABLE_MIN: usize = 2;
const TABLE_MAX: usize = 4;

const LEADS_EN: &[&str] =
    &["", "", "Question: ", "Now tell me: ", "So: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "];
const LEADS_ZH: &[&str] =
    &["", "", "问题：", "请回答：", "那么，", "下一题：", "再来：", "轮到你：", "现在：", "接着："];

const WHERE_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Where is {p}?",
        "Where is {p} now?",
        "In which place is {p}?",
        "Where can {p} be found?",
        "{p} is where?",
    ],
    forms: &[""],
};
const WHO_IN_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Who is in the {l}?",
        "Who is in the {l} now?",
        "Which person is in the {l}?",
        "In the {l} is who?",
        "Who can be found in the {l}?",
    ],
    forms: &[""],
};
const WHO_HAS_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Who has the {t}?",
        "Who has the {t} now?",
        "Which person has the {t}?",
        "With whom is the {t}?",
        "The {t} is with whom?",
    ],
    forms: &[""],
};
const WHAT_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "What does {p} have?",
        "What has {p} got?",
        "Which thing does {p} have?",
        "What is with {p}?",
        "{p} has what?",
    ],
    forms: &[""],
};
const WHERE_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &["{p}在哪里？", "{p}现在在哪里？", "{p}在什么地方？", "哪里能找到{p}？", "{p}在哪儿？"],
    forms: &[""],
};
const WHO_IN_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &["谁在{l}？", "现在谁在{l}？", "在{l}的是谁？", "哪个人在{l}？", "{l}里有谁？"],
    forms: &[""],
};
const WHO_HAS_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &["谁有{t}？", "现在谁有{t}？", "{t}在谁那里？", "有{t}的是谁？", "哪个人有{t}？"],
    forms: &[""],
};
const WHAT_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &["{p}有什么？", "{p}现在有什么？", "{p}拿着什么？", "什么在{p}那里？", "{p}手里有什么？"],
    forms: &[""],
};

#[cfg(test)]
pub const WORDINGS: &[&Wording] =
    &[&WHERE_EN, &WHO_IN_EN, &WHO_HAS_EN, &WHAT_EN, &WHERE_ZH, &WHO_IN_ZH, &WHO_HAS_ZH, &WHAT_ZH];

const IS_EN: &[&str] = &["{p} is in the {l}.", "{p} sits in the {l}.", "{p} waits in the {l}."];
const IS_ZH: &[&str] = &["{p}在{l}。", "{p}坐在{l}。", "{p}在{l}等人。"];
const GOES_EN: &[&str] = &["{p} goes to the {l}.", "Then {p} walks to the {l}.", "{p} leaves for the {l}."];
const GOES_ZH: &[&str] = &["{p}去了{l}。", "后来{p}走到{l}。", "{p}离开去{l}。"];
const HAS_EN: &[&str] = &["{p} has the {t}.", "{p} holds the {t}.", "{p} takes the {t}."];
const HAS_ZH: &[&str] = &["{p}有{t}。", "{p}拿着{t}。", "{p}带着{t}。"];
const GIVES_EN: &[&str] = &["{p} gives the {t} to {q}.", "Then {p} hands the {t} to {q}."];
const GIVES_ZH: &[&str] = &["{p}把{t}给了{q}。", "后来{p}把{t}交给{q}。"];

/// What is so at the end of a story: of each person the place or the thing.
#[derive(Clone, Copy)]
enum Fact {
    At(&'static str),
    With(&'static str),
}

struct Story {
    language: Language,
    text: String,
    facts: Vec<(&'static str, Fact)>,
}

/// A test asks where somebody is and what somebody has. Who is somewhere or has something is learnt, too, but not well enough to be
/// counted on: see LOG.md.
pub fn row(split: Split, random: &mut Random) -> Row {
    let story = story(random);
    let (person, fact) = story.facts[random.below(story.facts.len())];
    let asked = if split == Split::Learn && random.below(2) == 0 { Asked::Person } else { Asked::Fact };
    let (question, answer) = question(story.language, person, fact, asked, split, random);
    let prompt = format!("{}{}{question}", story.text, story.language.of(" ", ""));
    Row { skill: Skill::World, prompt, answer: answer.to_owned() }
}

/// Whether a row of the world is of the kind that tests ask.
pub fn as_tested(row: &Row) -> bool {
    ![NAMES_EN, NAMES_ZH].concat().contains(&row.answer.as_str())
}

/// Which sides of a fact a conversation asks for.
#[derive(Clone, Copy, PartialEq)]
pub enum Sides {
    Both,
    /// One, so that no earlier turn gives it away; mostly the person, who stands before the fact and is harder to find.
    One,
}

/// One-sided questions that are not about the person: one in so many.
const FACT_ONE_IN: usize = 4;

/// A story and questions about all of it, turn by turn: as many answers to learn from as there are facts to find in it. The first
/// turn has the story.
pub fn conversation(sides: Sides, random: &mut Random) -> Vec<Row> {
    let story = story(random);
    let mut questions = Vec::new();
    for (person, fact) in &story.facts {
        questions.extend(asked(sides, random).iter().map(|asked| (*person, *fact, *asked)));
    }
    random.shuffle(&mut questions);
    let head = format!("{}{}", story.text, story.language.of(" ", ""));
    let turns = questions.into_iter().map(|(person, fact, asked)| {
        let (question, answer) = question(story.language, person, fact, asked, Split::Learn, random);
        (question, answer.to_owned())
    });
    turns_after(&head, turns.collect())
}

/// The same without a story, the shortest form of it: who has what, and questions of one word.
pub fn table(sides: Sides, random: &mut Random) -> Vec<Row> {
    let language = Language::any(random);
    let n = TABLE_MIN + random.below(TABLE_MAX - TABLE_MIN + 1);
    let people = some(n, language.of(NAMES_EN, NAMES_ZH), random);
    let kinds = language.of([PLACES_EN, THINGS_EN], [PLACES_ZH, THINGS_ZH]);
    let values = some(n, random.of::<&[&'static str]>(&kinds), random);
    let (is, between) = *random
        .of(language.of(&[(": ", ", "), (" - ", "; "), (" = ", ", ")], &[("：", "，"), ("是", "，"), ("=", "；")]));
    let (end, asks) = language.of((". ", "?"), ("。", "？"));
    let entries: Vec<String> =
        people.iter().zip(&values).map(|(person, value)| format!("{person}{is}{value}")).collect();
    let mut questions = Vec::new();
    for (person, value) in people.iter().zip(values) {
        questions.extend(asked(sides, random).iter().map(|asked| match asked {
            Asked::Fact => (*person, value),
            Asked::Person => (value, *person),
        }));
    }
    random.shuffle(&mut questions);
    let turns =
        questions.into_iter().take(TABLE_MAX).map(|(asked, answer)| (format!("{asked}{asks}"), answer.to_owned()));
    turns_after(&format!("{}{end}", entries.join(between)), turns.collect())
}

fn asked(sides: Sides, random: &mut Random) -> &'static [Asked] {
    match sides {
        Sides::Both => &[Asked::Person, Asked::Fact],
        Sides::One if random.below(FACT_ONE_IN) == 0 => &[Asked::Fact],
        Sides::One => &[Asked::Person],
    }
}

fn turns_after(head: &str, turns: Vec<(String, String)>) -> Vec<Row> {
    let heads = std::iter::once(head).chain(std::iter::repeat(""));
    let rows = heads.zip(turns);
    rows.map(|(head, (question, answer))| Row { skill: Skill::World, prompt: format!("{head}{question}"), answer })
        .collect()
}

fn story(random: &mut Random) -> Story {
    let language = Language::any(random);
    let n = PEOPLE_MIN + random.below(PEOPLE_MAX - PEOPLE_MIN + 1);
    let people = some(n + 1, language.of(NAMES_EN, NAMES_ZH), random);
    let places = some(n + 1, language.of(PLACES_EN, PLACES_ZH), random);
    let things = some(n, language.of(THINGS_EN, THINGS_ZH), random);
    let mut sentences = Vec::new();
    let mut facts = Vec::new();
    for i in 0..n {
        let (forms, fact) = if random.below(2) == 0 {
            (language.of(IS_EN, IS_ZH), Fact::At(places[i]))
        } else {
            (language.of(HAS_EN, HAS_ZH), Fact::With(things[i]))
        };
        sentences.push(fill(one(forms, random), &[("p", people[i]), ("l", places[i]), ("t", things[i])]));
        facts.push((people[i], fact));
    }
    if random.below(CHANGE_ONE_IN) == 0 {
        let i = random.below(n);
        let (forms, changed) = match facts[i].1 {
            Fact::At(_) => (language.of(GOES_EN, GOES_ZH), (people[i], Fact::At(places[n]))),
            // To somebody who was not spoken of: nobody has two things.
            Fact::With(thing) => (language.of(GIVES_EN, GIVES_ZH), (people[n], Fact::With(thing))),
        };
        let holes = [("p", people[i]), ("q", people[n]), ("l", places[n]), ("t", things[i])];
        sentences.push(fill(one(forms, random), &holes));
        facts[i] = changed;
    }
    Story { language, text: sentences.join(language.of(" ", "")), facts }
}

/// Which side of a fact is asked for.
#[derive(Clone, Copy)]
enum Asked {
    Person,
    Fact,
}

fn question(
    language: Language,
    person: &'static str,
    fact: Fact,
    asked: Asked,
    split: Split,
    random: &mut Random,
) -> (String, &'static str) {
    let (wording, hole, answer) = match (fact, asked) {
        (Fact::At(place), Asked::Person) => (language.of(WHO_IN_EN, WHO_IN_ZH), ("l", place), person),
        (Fact::At(place), Asked::Fact) => (language.of(WHERE_EN, WHERE_ZH), ("p", person), place),
        (Fact::With(thing), Asked::Person) => (language.of(WHO_HAS_EN, WHO_HAS_ZH), ("t", thing), person),
        (Fact::With(thing), Asked::Fact) => (language.of(WHAT_EN, WHAT_ZH), ("p", person), thing),
    };
    (fill(&wording.pick(split, random), &[hole]), answer)
}

fn one(forms: &[&'static str], random: &mut Random) -> &'static str {
    random.of::<&'static str>(forms)
}

/// So many different ones, in any order.
fn some(n: usize, among: &[&'static str], random: &mut Random) -> Vec<&'static str> {
    let mut found = Vec::new();
    while found.len() < n {
        let item = *random.of(among);
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}
