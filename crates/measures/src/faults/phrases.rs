//! Phrases that give a model away: refusals, and the tokens of chat formats.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::context::{Context, Subject};
use super::push_near;
use crate::{Part, Spot};

pub(super) fn find(text: &str, part: Part, context: Context, spots: &mut Vec<Spot>) {
    find_tokens(text, part, context, spots);
    if matches!(part, Part::Response | Part::Text) {
        spots.extend(refusal(text, context));
    }
}

/// Where in a text a rule looks for a token.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Anywhere,
    /// At the start of a line.
    Line,
    /// At the start of a line of an answer: a turn that is not the answer's.
    Turn,
}

struct Token {
    text: &'static str,
    place: Place,
    confidence: f32,
}

macro_rules! tokens {
    ($($place:ident $confidence:literal: $($text:literal)*;)*) => {
        &[$($(Token { text: $text, place: Place::$place, confidence: $confidence },)*)*]
    };
}

const TOKENS: &[Token] = tokens! {
    Anywhere 0.98:
        "<|im_start|>" "<|im_end|>" "<|im_sep|>" "<|user|>" "<|assistant|>" "<|system|>" "<|end|>" "<|endoftext|>" "<|startoftext|>"
        "<|eot_id|>" "<|eom_id|>" "<|start_header_id|>" "<|end_header_id|>" "<|begin_of_text|>" "<|end_of_text|>" "<|python_tag|>"
        "<|prompter|>" "<|observation|>" "<|end_of_turn|>" "<|START_OF_TURN_TOKEN|>" "<|END_OF_TURN_TOKEN|>" "<|channel|>" "<|message|>"
        "<|start|>" "<|return|>" "<|pad|>" "<|bos|>" "<|eos|>" "<|sep|>" "<|fim_prefix|>" "<|fim_middle|>" "<|fim_suffix|>" "<|human|>"
        "<|bot|>" "<|tool|>" "<|header_start|>" "<|header_end|>" "<|eot|>" "<|eod|>"
        "<start_of_turn>" "<end_of_turn>" "<<SYS>>" "<</SYS>>" "[INST]" "[/INST]" "[gMASK]" "<reserved_106>" "<reserved_107>"
        "<｜begin▁of▁sentence｜>" "<｜end▁of▁sentence｜>" "<｜User｜>" "<｜Assistant｜>" "[AVAILABLE_TOOLS]" "[TOOL_CALLS]" "<eoh>" "<eoa>"
        "<_user>" "<_bot>" "<|Human|>" "<|MOSS|>";
    Anywhere 0.85: "<bos>" "<eos>" "<sop>" "<pad>" "[PAD]" "[EOS]" "[BOS]" "<unk>" "</s>";
    Anywhere 0.55: "<s>" "[CLS]" "[SEP]" "[UNK]";
    Line 0.9:
        "### Instruction:" "### Response:" "### Human:" "### Assistant:" "### User:" "### System:" "###Instruction:" "###Response:"
        "### 指令：" "### 指令:" "### 回答：" "### 回答:" "### 用户：" "### 助手：";
    Line 0.6: "### Input:" "### Output:" "### 输入：" "### 输入:";
    Turn 0.8: "Human:" "HUMAN:";
    Turn 0.6: "Assistant:" "ASSISTANT:" "User:" "USER:" "<human>:" "<bot>:" "[Human]" "[AI]" "用户：" "助手：" "用户:" "助手:" "人类：" "人类:";
};

static TOKEN_SEARCH: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .match_kind(MatchKind::LeftmostLongest)
        .build(TOKENS.iter().map(|t| t.text))
        .expect("fixed words make an automaton")
});

fn find_tokens(text: &str, part: Part, context: Context, spots: &mut Vec<Spot>) {
    if context.is_about(Subject::Tokens) && part != Part::Response {
        return;
    }
    // A text without sides that begins with a token is a conversation as a template renders it.
    let rendered = matches!(part, Part::Text)
        && TOKEN_SEARCH.find(text).is_some_and(|first| text[..first.start()].trim().is_empty());
    if rendered {
        return;
    }
    let end = text.trim_end().len();
    for found in TOKEN_SEARCH.find_iter(text) {
        let token = &TOKENS[found.pattern().as_usize()];
        let before = &text[..found.start()];
        let at_line = before.is_empty() || before.ends_with('\n');
        let excused = match token.place {
            // `<s>` in a sentence about it.
            Place::Anywhere => before.ends_with('`'),
            Place::Line => !at_line,
            Place::Turn => !at_line || part != Part::Response || context.is_about(Subject::Dialogue),
        };
        // A question about tokens has them in its answer; a turn at its end is still a leak.
        if excused || context.is_about(Subject::Tokens) && found.end() < end && token.confidence < 0.98 {
            continue;
        }
        push_near(
            spots,
            Spot { kind: "role_token", rule: token.text, at: found.range(), confidence: token.confidence },
        );
    }
}

/// What a phrase of a refusal does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phrase {
    /// Says that an AI speaks.
    Ai,
    Apology,
    /// Says that it will not or cannot.
    Unable,
    /// Says so of answering, helping, providing: nobody else speaks like that.
    UnableToHelp,
    /// Says that it has no opinions, feelings, body.
    Lacking,
    /// Asks for what the question lacks.
    Missing,
    /// Turns to an answer after all.
    Turn,
    /// Says what can be done instead.
    Offer,
}

/// A refusal is at the start: this many bytes are read.
const REFUSAL_BYTES: usize = 400;
/// Its first words are within so many bytes.
const OPENING_BYTES: usize = 120;
/// With more text than this behind it (Chinese characters count double) it may still be an answer,
const REST_SHORT: usize = 160;
/// with more than this it is one.
const REST_LONG: usize = 320;

/// A response that refuses or says what an AI cannot do, and says little else.
fn refusal(text: &str, context: Context) -> Option<Spot> {
    let mut end = text.len().min(REFUSAL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut first = [None; 8];
    let mut last_end = 0;
    for found in PHRASE_SEARCH.find_iter(&text[..end]) {
        let phrase = PHRASES[found.pattern().as_usize() % PHRASES.len()].0;
        first[phrase as usize].get_or_insert(found.start());
        if matches!(phrase, Phrase::Unable | Phrase::UnableToHelp | Phrase::Lacking) {
            last_end = found.end();
        }
    }
    let of = |phrase: Phrase| first[phrase as usize];
    let opens = |phrase: Phrase| of(phrase).is_some_and(|at| at <= OPENING_BYTES);
    let unable = of(Phrase::Unable).is_some() || of(Phrase::UnableToHelp).is_some();
    let (rule, sure) = match () {
        () if opens(Phrase::Ai) && unable => ("ai_unable", 0.95),
        () if opens(Phrase::Apology) && of(Phrase::UnableToHelp).is_some() => ("sorry_unable", 0.9),
        () if of(Phrase::UnableToHelp).is_some_and(|at| at <= 8) => ("unable", 0.75),
        () if opens(Phrase::Ai) && of(Phrase::Lacking).is_some() => ("ai_lacking", 0.75),
        () => return None,
    };
    let rest: usize = text[last_end..].trim().chars().map(|c| if c > '\u{2e7f}' { 2 } else { 1 }).sum();
    let answered = match rest {
        0..REST_SHORT => 1.0,
        REST_SHORT..REST_LONG if of(Phrase::Turn).is_none() => 0.6,
        _ => 0.4,
    };
    // A question about the AI itself, or without its text, is answered like that.
    let fair = if context.is_about(Subject::Refusing) || of(Phrase::Missing).is_some() { 0.5 } else { 1.0 };
    // It says what cannot be, such as fetching a book, and what can: more use than a set phrase.
    let useful = if of(Phrase::Offer).is_some_and(|at| at >= last_end) { 0.5 } else { 1.0 };
    let start = first.iter().flatten().min().copied().unwrap_or(0);
    Some(Spot { kind: "refusal", rule, at: start..last_end.max(start), confidence: sure * answered * fair * useful })
}

static PHRASE_SEARCH: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .prefilter(false)
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(PHRASES.iter().map(|(_, phrase)| (*phrase).to_owned()).chain(typeset()))
        .expect("fixed words make an automaton")
});

/// The phrases with typographic apostrophes, in the same order and as many.
fn typeset() -> impl Iterator<Item = String> {
    PHRASES.iter().map(|(_, phrase)| phrase.replace('\'', "’"))
}

macro_rules! phrases {
    ($($phrase:ident: $($text:literal)*;)*) => { &[$($((Phrase::$phrase, $text),)*)*] };
}

const PHRASES: &[(Phrase, &str)] = phrases! {
    Ai:
        "as an ai" "as a language model" "as a large language model" "as an artificial intelligence" "i am an ai" "i'm an ai"
        "i'm just an ai" "i am just an ai" "i'm only an ai" "as a computer program" "as a machine learning model" "as a text-based ai"
        "作为一个AI" "作为AI" "作为一个人工智能" "作为人工智能" "作为一名AI" "作为一款AI" "作为一名人工智能" "作为一款人工智能" "作为语言模型"
        "作为一个语言模型" "作为一个大型语言模型" "我是一个AI" "我是AI" "我是一个人工智能" "我是人工智能" "我只是一个AI" "我只是一个人工智能" "我是一个语言模型"
        "作为一个机器" "作為一個AI" "作為AI" "作為一個人工智能" "作為人工智能" "作为一个 AI" "作为 AI" "我是一个 AI" "作为一名 AI";
    Apology:
        "i'm sorry" "i am sorry" "i apologize" "i apologise" "sorry," "my apologies" "unfortunately," "i regret"
        "抱歉" "对不起" "很遗憾" "對不起" "遗憾的是" "不好意思";
    Unable:
        "i cannot" "i can't" "i can not" "i am unable" "i'm unable" "i am not able" "i'm not able"
        "i do not have the ability" "i don't have the ability" "i do not have the capability"
        "i don't have the capability" "i am not capable" "i'm not capable" "i won't be able" "i don't have access" "i do not have access"
        "i am not programmed" "i'm not programmed" "i will not" "我无法" "我不能" "我没有能力" "我没办法" "我無法" "我不具备" "我不会" "我没有办法" "我并不能"
        "我并没有能力" "我没有权限" "因此无法" "所以无法" "所以不能";
    UnableToHelp:
        "i cannot assist" "i can't assist" "i cannot help" "i can't help" "i cannot provide" "i can't provide"
        "i cannot fulfill" "i can't fulfill" "i cannot fulfil" "i can't fulfil" "i cannot comply" "i can't comply" "i cannot answer"
        "i can't answer" "i cannot complete" "i can't complete" "i cannot generate" "i can't generate" "i cannot create" "i can't create"
        "i can't do that" "i cannot do that" "i can't discuss" "i cannot discuss" "i cannot write" "i can't write" "i cannot support"
        "i am unable to assist" "i'm unable to assist" "i'm unable to help" "i am unable to help" "i am unable to provide"
        "i'm unable to provide" "i am not able to provide" "i'm not able to provide" "i'm not able to help" "i am not able to help"
        "i am not able to assist" "i'm not able to assist" "i am unable to fulfill" "i'm unable to fulfill" "i must decline"
        "i cannot engage" "i can't engage" "i can't support" "i cannot perform" "i can't perform"
        "i'm unable to complete" "i am unable to complete" "i'm unable to answer" "i am unable to answer" "i won't help" "i will not help"
        "我无法回答" "我不能回答" "我无法提供" "我不能提供" "我无法帮助" "我不能帮助" "我无法协助" "我无法完成" "我不能完成" "我无法满足" "我无法为您" "我无法为你"
        "我不能为您" "我不能为你" "我无法执行" "我无法处理" "我无法给出" "我无法生成" "我不能生成" "我無法回答" "我無法提供" "无法回答您" "无法回答你" "无法回答这个"
        "无法提供相关" "无法协助您" "不便回答" "我拒绝回答" "我不能协助";
    Lacking:
        "i do not have personal" "i don't have personal" "i do not have feelings" "i don't have feelings"
        "i do not have emotions" "i don't have emotions" "i do not have opinions" "i don't have opinions" "i do not have a physical"
        "i don't have a physical" "i do not possess" "i don't possess" "i do not have preferences" "i don't have preferences"
        "i do not experience" "i don't experience" "我没有个人" "我没有情感" "我没有感情" "我没有实体" "我没有身体" "我没有意识" "我没有自己的" "我没有主观" "我不具有"
        "我没有偏好" "我没有喜好" "我并没有";
    Turn:
        "however" "but here" "but i can help" "but i can provide" "but i can offer" "but i can give" "here is" "here are" "here's" "that being said" "nevertheless" "但是，我" "但我可以" "不过，" "不过我可以"
        "以下是" "然而，" "但可以";
    Offer:
        "you can " "you could " "you may want to" "you might want to" "if you could " "if you would " "i can help you" "i can assist you"
        "我可以帮" "我可以协助" "您可以" "你可以" "如果你希望" "如果您希望" "如果你需要" "如果您需要" "建议您" "建议你" "随时可供";
    Missing:
        "did not provide" "didn't provide" "have not provided" "haven't provided" "not provided"
        "please provide" "can you provide" "could you provide" "could you please provide" "can you please provide" "not been provided"
        "no input" "do not see any" "don't see any" "没有提供" "未提供" "请提供" "没有给出" "未给出" "缺少" "没有看到" "没有足够的信息" "您能提供" "你能提供"
        "没有具体" "without being provided" "without additional information";
};
