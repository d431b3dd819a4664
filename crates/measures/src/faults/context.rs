//! What was asked for, as far as it excuses what would otherwise be a fault.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What the instruction is about. The default is a question about nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    markup: Markup,
    subjects: u8,
}

/// Whether tags may be what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Markup {
    #[default]
    No,
    /// A web site, code: tags in lines of their own are an answer, tags around prose are left over.
    Perhaps,
    /// HTML, XML, SVG, tags.
    Yes,
}

/// What is asked for that looks like a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// To repeat something, songs, patterns.
    Repeating = 1,
    /// A conversation, a play: names and colons at starts of lines.
    Dialogue = 2,
    /// Chat templates, special tokens, prompts.
    Tokens = 4,
    /// To refuse, decline, apologise, to play a role, or what the AI itself is and feels.
    Refusing = 8,
    /// To begin, continue, complete or cut something: an answer may end anywhere.
    Cutting = 16,
}

impl Context {
    /// Reads what the instruction of an example says.
    pub fn of(instruction: &str) -> Self {
        let mut context = Self::default();
        let letter =
            |at: Option<usize>| at.and_then(|i| instruction.as_bytes().get(i)).is_some_and(u8::is_ascii_alphabetic);
        for found in WORDS.0.find_overlapping_iter(instruction) {
            // A word, not the middle of one; Chinese has no edges.
            if letter(Some(found.start())) && letter(found.start().checked_sub(1)) {
                continue;
            }
            match WORDS.1[found.pattern().as_usize()] {
                Excuse::Markup(markup) => context.markup = context.markup.max(markup),
                Excuse::Subject(subject) => context.subjects |= subject as u8,
                Excuse::Asked if !letter(Some(found.end())) => context.subjects |= Subject::Refusing as u8,
                Excuse::YouAre if asks_what_you_are(&instruction[found.end()..]) => {
                    context.subjects |= Subject::Refusing as u8;
                }
                Excuse::Asked | Excuse::YouAre => {}
            }
        }
        context
    }

    pub(super) fn markup(self) -> Markup {
        self.markup
    }

    pub(super) fn is_about(self, subject: Subject) -> bool {
        self.subjects & subject as u8 != 0
    }
}

#[derive(Clone, Copy)]
enum Excuse {
    Markup(Markup),
    Subject(Subject),
    /// A question about the AI, if a word ends where it does: "who are you", not "who are your readers".
    Asked,
    /// 你是, which begins a question about the AI as well as a role for it.
    YouAre,
}

/// Whether 你是 goes on as a question about who is asked: 你是谁, 你是AI吗, but not 你是一名律师 nor 你是否可以写一首诗.
fn asks_what_you_are(rest: &str) -> bool {
    const CLAUSE_CHARS: usize = 24;
    let clause = rest.char_indices().nth(CLAUSE_CHARS).map_or(rest, |(end, _)| &rest[..end]);
    let clause = clause.split(['，', '。', '！', '；', '：', ',', '!', ';', ':', '\n']).next().unwrap_or_default();
    let has = |words: &[&str]| words.iter().any(|word| clause.contains(word));
    if clause.starts_with('否') || clause.starts_with("不是") {
        return has(&[
            "人类",
            "是人",
            "真人",
            "机器人",
            "感情",
            "情感",
            "情绪",
            "意识",
            "生命",
            "灵魂",
            "思想",
            "模型",
            "GPT",
            "AI",
            "活",
            "男",
            "女",
            "真的",
        ]);
    }
    has(&["谁", "什么", "吗", "还是", "哪", "怎么"])
}

static WORDS: LazyLock<(AhoCorasick, Vec<Excuse>)> = LazyLock::new(|| {
    let lists = [
        (Excuse::Markup(Markup::Yes), YES),
        (Excuse::Markup(Markup::Perhaps), PERHAPS),
        (Excuse::Subject(Subject::Repeating), REPEATING),
        (Excuse::Subject(Subject::Dialogue), DIALOGUE),
        (Excuse::Subject(Subject::Tokens), TOKENS),
        (Excuse::Subject(Subject::Refusing), REFUSING),
        (Excuse::Asked, ASKED),
        (Excuse::YouAre, "你是"),
        (Excuse::Subject(Subject::Cutting), CUTTING),
    ];
    let words: Vec<(&str, Excuse)> =
        lists.iter().flat_map(|(excuse, words)| words.split(", ").map(|word| (word.trim(), *excuse))).collect();
    let automaton = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .build(words.iter().map(|(word, _)| word))
        .expect("fixed words make an automaton");
    (automaton, words.into_iter().map(|(_, excuse)| excuse).collect())
});

const YES: &str =
    "html, xml, svg, markup, <, &lt;, &amp;, &nbsp;, href, jsx, rss, html标签, 标记语言, 超链接, 网页代码, hyperlink";
const PERHAPS: &str = "web page, webpage, website, web site, web form, landing page, homepage, home page, code, javascript, php, css, tag, tags, \
    entity, escape, markdown, template, react, vue, bootstrap, script, newsletter, email, 网页, 网站, 前端, 代码, 表单, 脚本, 程序, 编程, 标签, 转义, 模板";
const REPEATING: &str = "repeat, times, a song, the song, lyric, chorus, chant, loop, pattern, refrain, palindrome, duplicate, copies, \
    nursery rhyme, tongue twister, sequence, ascii, concatenat, 重复, 遍, 首歌, 歌词, 副歌, 循环, 绕口令, 复制, 序列";
const DIALOGUE: &str = "dialog, conversation, chat, script, interview, screenplay, skit, role-play, roleplay, role play, transcript, debate, \
    scene, 对话, 聊天, 剧本, 采访, 访谈, 交谈, 会话, 台词, 辩论";
const TOKENS: &str = "special token, chat template, prompt template, prompt format, system prompt, few-shot, tokeniz, bert, [mask], masked, \
    strikethrough, 提示词, 特殊标记, 词元, 分词, <|, [INST], <s>";
const REFUSING: &str = "refus, declin, apolog, excuse, turn down, reject, do you have, do you like, have you ever, \
    your favorite, your favourite, say no, role-play, roleplay, role play, 拒绝, 婉拒, 道歉, 致歉, 抱歉, 推辞, 扮演, 你有没有, 你喜欢, 你看到, \
    你觉得你, 你觉得自己, 你觉得孤独, 你觉得无聊, 你觉得累";
const ASKED: &str = "who are you, what are you, how are you, how old are you, where are you, are you a, are you an, are you human, \
    are you real, are you conscious, are you sentient, are you alive, are you self-aware, are you aware, are you intelligent, are you smart, \
    are you smarter, are you better, are you happy, are you sad, are you lonely, are you afraid, are you scared, are you tired, are you bored, \
    are you angry, are you jealous, are you in love, are you married, are you religious, are you male, are you female, are you chatgpt, \
    are you gpt, are you siri, are you alexa, are you capable of, are you able to feel, are you able to think, are you able to love, \
    are you able to dream, are you able to see, are you able to hear, are you able to remember, are you able to learn";
const CUTTING: &str = "first line, opening line, begin, start, continue, complete the, fill in, headline, title, slogan, incomplete, fragment, \
    unfinished, prefix, half of, 开头, 续写, 填空, 标题, 补全, 口号, 未完成, 残句, 前半, 开场, lyrics, poem, haiku, 诗, 歌词, truncate, \
    tagline, tweet, hashtag, code, function, 代码, 函数";
