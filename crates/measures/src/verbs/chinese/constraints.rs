//! Demands on how a request is to be met.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

const MARKS: [&str; 62] = [
    "不超过",
    "不少于",
    "不多于",
    "不低于",
    "不高于",
    "至少",
    "至多",
    "最多",
    "最少",
    "以内",
    "之内",
    "以上",
    "以下字",
    "控制在",
    "左右",
    "必须",
    "务必",
    "不要",
    "不得",
    "不能",
    "不可",
    "请勿",
    "切勿",
    "禁止",
    "避免",
    "仅",
    "只回答",
    "只输出",
    "只看",
    "只需",
    "只用",
    "只能",
    "严格",
    "格式",
    "形式",
    "语气",
    "风格",
    "口吻",
    "口语化",
    "正式",
    "简洁",
    "字数",
    "限制",
    "限定",
    "要求",
    "确保",
    "保证",
    "需要包含",
    "要包含",
    "包含",
    "包括",
    "要覆盖",
    "要有",
    "不允许",
    "不改变",
    "开头",
    "结尾",
    "押韵",
    "分点",
    "分段",
    "一句话",
    "按顺序",
];

static FINDER: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(MARKS).ok());

/// Bounds, forms, demands, bans and manners, each where its mark stands, as often as it stands there.
pub fn count(text: &str) -> u32 {
    FINDER.as_ref().map_or(0, |finder| finder.find_iter(text).count() as u32)
}
