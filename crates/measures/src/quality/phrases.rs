//! The few words that the quality measure knows, as hashes of their tokens.

use super::tokens::{chained, tokens};
use rustc_hash::FxHashSet;
use std::sync::LazyLock;

/// Words that say nothing of what a text is about. Ideographs are looked up one by one.
pub(super) static EMPTY_WORDS: LazyLock<FxHashSet<u64>> = LazyLock::new(|| {
    let words = "a about above after again all also am an and any are as at be because been before being below between both but \
        by can could did do does doing down during each few for from further had has have having he her here hers him his how i \
        if in into is it its itself just me more most my no nor not now of off on once only or other our out over own please \
        same shall she should so some such than that the their them then there these they this those through to too under until \
        up us very was we were what when where which while who whom why will with would you your \
        add answer article brief character come compose construct create describe description design draft each essay example \
        examples explain find following generate given gives help identify imagine include input least list lists make name \
        new one output paragraph piece poem produce provide question rewrite sentence sentences short some something statement \
        story suggest summarise summarize summary tell text think two three four five use using ways word words write your \
        的 了 是 在 有 和 与 及 或 也 都 就 不 这 那 个 们 我 你 您 他 她 它 请 把 将 对 为 以 于 从 到 被 让 给 之 其 而 但 并 \
        吗 呢 吧 啊 着 过 地 得 很 还 又 会 能 可 要 去 来 上 下 中 里 什 么 怎 哪 谁 几 多 少 一 两 些 种 该 此 所 如 何 用 由 等";
    words.split_whitespace().flat_map(tokens).map(|token| token.hash).collect()
});

/// Answers that stand for a missing one.
pub(super) static PLACEHOLDERS: LazyLock<FxHashSet<u64>> = LazyLock::new(|| {
    let answers = "n/a|na|nan|null|nil|undefined|no output|no input|no response|no answer|empty|placeholder|lorem ipsum|\
        to be determined|tbd|tba|to be added|coming soon|same as above|see above|asdf|test test|xxx|output|answer|response|\
        the answer|your answer here|insert answer here|error|not available|unknown error|\
        无|暂无|略|同上|待补充|待定|空|无输出|无输入|无回答|没有回答|没有输出|答案|回答|输出|此处填写答案|测试测试";
    answers.split('|').map(whole).collect()
});

/// Words by which a question asks for more than a word or two.
pub(super) static ASKS_FOR_MUCH: LazyLock<FxHashSet<u64>> = LazyLock::new(|| {
    let words = "write compose draft explain describe discuss elaborate essay story article paragraph poem summarize summarise \
        outline design develop";
    words.split_whitespace().flat_map(tokens).map(|token| token.hash).collect()
});

/// The same for ideographs, as pairs.
pub(super) static ASKS_FOR_MUCH_PAIRS: LazyLock<FxHashSet<u64>> = LazyLock::new(|| {
    let words = "解释 描述 讨论 文章 故事 撰写 编写 阐述 论述 设计 介绍 作文 散文 说明 一篇 一首 一段";
    words.split_whitespace().map(whole).collect()
});

/// Words after which no sentence ends.
pub(super) static NEVER_LAST: LazyLock<FxHashSet<u64>> = LazyLock::new(|| {
    let words = "a an the and or of with from because although while than such as if 和 与 及 或 的 在 把 将 从 对 为 以 于 而 但 并";
    words.split_whitespace().flat_map(tokens).map(|token| token.hash).collect()
});

/// The hash of a text's content, whatever its case, width, spaces and punctuation.
pub(super) fn whole(text: &str) -> u64 {
    tokens(text).filter(super::tokens::Token::is_content).fold(0, |all, token| chained(all, token.hash))
}
