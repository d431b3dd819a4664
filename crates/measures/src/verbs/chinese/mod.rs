//! Requests in Chinese. A text becomes sentences and clauses; in each clause, what surrounds a request (请, 麻烦您, 能否,
//! 帮我, 我想, 把 …, 用 …, 在 … 中) is peeled off until its verb is found.

mod clause;
mod constraints;
mod frame;
mod lexicon;
mod object;
mod phrase;
mod scan;
mod segment;

use std::ops::Range;

use clause::{Object, Request};
use segment::{Kind, Token};

use super::{Analysis, Level, Root};

/// Requests that are counted in one text, at most.
const STEPS_MAX: usize = 99;

pub fn analyse(text: &str) -> Analysis {
    let tokens = segment::tokens(text);
    let mut found: Vec<Request> = Vec::new();
    for sentence in tokens.split_inclusive(|token| matches!(token.kind, Kind::Stop | Kind::Question)) {
        clause::requests(sentence, &mut found);
        if found.len() >= STEPS_MAX {
            break;
        }
    }
    let weight = found.iter().map(|request| request.weight).max();
    found.retain(|request| Some(request.weight) == weight);
    // The last sentence may have asked for more.
    found.truncate(STEPS_MAX);
    let root = found.first().map(|request| root(text, request));
    Analysis { root, steps: found.len() as u32, constraints: constraints::count(text) }
}

fn root(text: &str, request: &Request) -> Root {
    let noun = match &request.object {
        Object::None | Object::Clause(_) => None,
        Object::Tokens(tokens) => object::head(tokens),
        Object::Named(noun) => Some(noun.clone()),
    };
    let level = level(text, request, noun.as_deref());
    Root { verb: request.verb.clone(), noun, level, at: request.at.clone() }
}

/// The verb's usual level, unless its object says otherwise.
fn level(_text: &str, request: &Request, noun: Option<&str>) -> Level {
    let usual = request.level;
    let object = match &request.object {
        Object::Tokens(tokens) | Object::Clause(tokens) => tokens,
        _ => &[][..],
    };
    let has = |words: &[&str]| object.iter().any(|token| words.contains(&token.word));
    match request.verb.as_str() {
        "告诉" | "告知" | "说" | "看" | "看看" if has(&["是否", "有没有", "能不能", "是不是", "会不会"]) => {
            Level::Evaluate
        }
        "找" | "找出" | "寻找" if has(&["不同", "错误", "区别", "差异", "相同", "文中", "文本", "段落"]) => {
            Level::Analyse
        }
        "介绍" if has(&["家", "个", "间", "所", "处", "款", "几"]) => Level::Evaluate,
        "给" | "给出" | "提供" | "提出" | "写" | "写出" | "做" | "列" => match noun {
            Some("建议" | "意见" | "评价" | "理由" | "反馈") => Level::Evaluate,
            Some("总结" | "摘要" | "概述" | "解释" | "定义" | "简介" | "说明") => Level::Understand,
            Some("问题" | "方案" | "计划" | "例子" | "创意" | "点子") if request.verb != "列" => {
                Level::Create
            }
            _ => usual,
        },
        _ => usual,
    }
}

fn span(tokens: &[Token]) -> Range<usize> {
    tokens.first().map_or(0, |token| token.at.start)..tokens.last().map_or(0, |token| token.at.end)
}
