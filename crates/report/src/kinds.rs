//! What each type of finding is called, why it matters and what to do about it, in both languages.

use crate::Language;
use crate::text::{self, Text};

/// A (check, type) of `findings.jsonl`.
pub struct Kind {
    pub check: &'static str,
    pub kind: &'static str,
    pub name: Text,
    /// Why it harms.
    pub why: Text,
    /// What to do, short.
    pub act: Text,
}

/// None for a type that is newer than this program.
pub fn find(check: &str, kind: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.check == check && k.kind == kind)
}

/// Its name, or the type as it is written.
pub fn name(check: &str, kind: &str, language: Language) -> String {
    find(check, kind).map_or_else(|| kind.replace('_', " "), |k| k.name.of(language).to_string())
}

pub fn check_name(check: &str, language: Language) -> String {
    let text = match check {
        "length" => text::CHECK_LENGTH,
        "language" => text::CHECK_LANGUAGE,
        "fault" => text::CHECK_FAULT,
        "pii" => text::CHECK_PII,
        "secret" => text::CHECK_SECRET,
        "duplicate" => text::CHECK_DUPLICATE,
        "leak" => text::CHECK_LEAK,
        "poison" => text::CHECK_POISON,
        "quality" => text::CHECK_QUALITY,
        other => return other.to_string(),
    };
    text.of(language).to_string()
}

/// One word for a type of duplicate or leak.
pub fn short(kind: &str, language: Language) -> &str {
    let text = match kind {
        "exact" => text::SHORT_EXACT,
        "normalised" => text::SHORT_NORMALISED,
        "near" => text::SHORT_NEAR,
        "template" => text::SHORT_TEMPLATE,
        "same_question" => text::SHORT_SAME_QUESTION,
        "same_answer" => text::SHORT_SAME_ANSWER,
        "contained" => text::SHORT_CONTAINED,
        other => return other,
    };
    text.of(language)
}

/// Of a language, by its code.
pub fn language_name(code: &str, language: Language) -> String {
    match LANGUAGES.iter().find(|l| l.0 == code) {
        Some((_, name)) => name.of(language).to_string(),
        None => code.to_string(),
    }
}

const LANGUAGES: &[(&str, Text)] = &[
    ("zh", Text::new("Chinese", "中文")),
    ("en", Text::new("English", "英文")),
    ("ja", Text::new("Japanese", "日文")),
    ("ko", Text::new("Korean", "韩文")),
    ("de", Text::new("German", "德文")),
    ("fr", Text::new("French", "法文")),
    ("es", Text::new("Spanish", "西班牙文")),
    ("pt", Text::new("Portuguese", "葡萄牙文")),
    ("it", Text::new("Italian", "意大利文")),
    ("nl", Text::new("Dutch", "荷兰文")),
    ("ru", Text::new("Russian", "俄文")),
    ("uk", Text::new("Ukrainian", "乌克兰文")),
    ("pl", Text::new("Polish", "波兰文")),
    ("sv", Text::new("Swedish", "瑞典文")),
    ("tr", Text::new("Turkish", "土耳其文")),
    ("ar", Text::new("Arabic", "阿拉伯文")),
    ("he", Text::new("Hebrew", "希伯来文")),
    ("hi", Text::new("Hindi", "印地文")),
    ("th", Text::new("Thai", "泰文")),
    ("vi", Text::new("Vietnamese", "越南文")),
    ("id", Text::new("Indonesian", "印尼文")),
    ("fa", Text::new("Persian", "波斯文")),
    ("ur", Text::new("Urdu", "乌尔都文")),
    ("el", Text::new("Greek", "希腊文")),
    ("bn", Text::new("Bengali", "孟加拉文")),
    ("ta", Text::new("Tamil", "泰米尔文")),
];

const STRIP: Text = Text::new("Let cleaning strip them", "交给清洗去除");
const DROP: Text = Text::new("Complete the rows or drop them", "补全，或删除");
const SPOKEN: Text = Text::new("A model can repeat it to anyone.", "模型可能把它说给任何人。");
const REDACT: Text = Text::new("Redact it: --redact mask", "脱敏：--redact mask");
const ACCESS: Text = Text::new("Whoever has the model may have the access.", "拿到模型的人就可能拿到权限。");
const REVOKE: Text = Text::new("Revoke them now, then redact", "立即吊销，再脱敏");
const BY_HEART: Text = Text::new("Rows that count double are learnt by heart.", "重复等于加权，模型会死记硬背。");
const KEEP_ONE: Text = Text::new("Keep one of each group", "每组只留一条");
const MEMORY: Text =
    Text::new("The evaluation would measure memory instead of skill.", "评测测到的会是记忆，而不是能力。");
const NOT_IN_TRAINING: Text = Text::new("Take them out of training", "从训练数据中剔除");
const SOURCE: Text = Text::new("Find out where they come from", "查清这些样本的来源");

macro_rules! kinds {
    (@text $text:ident) => { $text };
    (@text ($english:literal, $chinese:literal)) => { Text::new($english, $chinese) };
    ($($check:literal $kind:literal: $name:tt, $why:tt, $act:tt;)*) => {
        pub const ALL: &[Kind] = &[$(Kind {
            check: $check,
            kind: $kind,
            name: kinds!(@text $name),
            why: kinds!(@text $why),
            act: kinds!(@text $act),
        }),*];
    };
}

kinds! {
    "fault" "invalid_utf8": ("Invalid UTF-8", "UTF-8 编码错误"),
        ("These bytes are no text, so the row cannot be used.", "字节序列不是合法文本，整条无法使用。"),
        ("Export it again as UTF-8", "用 UTF-8 重新导出");
    "fault" "malformed_json": ("Malformed JSON", "JSON 格式错误"),
        ("A line that is cut or broken is a row lost.", "行被截断或损坏，整条样本作废。"),
        ("Write these lines again", "回到源头重新生成");
    "fault" "missing_field": ("Missing fields", "缺少字段"),
        ("The question or the answer is not there.", "缺少提问或回答。"), DROP;
    "fault" "wrong_type": ("Fields of a wrong type", "字段类型错误"),
        ("Something else than text stands where text belongs.", "应为文本的位置放了别的内容。"),
        ("Write these fields as text", "改写为文本");
    "fault" "empty_text": ("Empty texts", "内容为空"),
        ("An empty answer teaches a model to say nothing.", "空回答会教模型什么都不说。"), DROP;
    "fault" "blank": ("Texts of nothing but spaces", "只有空白字符"),
        ("An empty answer teaches a model to say nothing.", "空回答会教模型什么都不说。"), DROP;
    "fault" "too_deep": ("Rows nested too deeply", "嵌套过深"),
        ("They were not read, as a reader has to end somewhere.", "超过层数上限，没有读取。"),
        ("Flatten the records", "展平结构");
    "fault" "too_large": ("Rows that are too large", "单条过大"),
        ("They are over the limit and were not read.", "超过大小上限，没有读取。"),
        ("Split the records", "拆分样本");
    "fault" "nul": ("NUL characters", "NUL 字符"),
        ("Many programs end a text at the first.", "很多程序遇到它就当作文本结束。"), STRIP;
    "fault" "bom": ("Byte order marks", "BOM 标记"),
        ("An unseen character becomes a part of the text.", "看不见的字符会混进正文。"), STRIP;
    "fault" "utf16": ("Files in UTF-16", "UTF-16 编码的文件"),
        ("Most training tools read UTF-8 only.", "多数训练工具只读 UTF-8。"),
        ("Convert them to UTF-8", "转换为 UTF-8");
    "fault" "gb18030": ("Files in GB18030", "GB18030 编码的文件"),
        ("Most training tools read UTF-8 only.", "多数训练工具只读 UTF-8。"),
        ("Convert them to UTF-8", "转换为 UTF-8");
    "fault" "control_code": ("Control codes", "控制字符"),
        ("Unseen codes become tokens of their own.", "看不见的控制字符会占用词元。"), STRIP;
    "fault" "zero_width": ("Zero-width characters", "零宽字符"),
        ("They cut words into tokens that no user will type.", "它们把词切成没有用户会输入的词元。"), STRIP;
    "fault" "mojibake": ("Mojibake", "乱码"),
        ("Text decoded in a wrong encoding is learnt as it stands.", "用错编码解出的文字会被模型照样学去。"),
        ("Repair it, and mend the export", "修复，并改正导出编码");
    "fault" "replacement_char": ("Lost characters (U+FFFD)", "丢失的字符（U+FFFD）"),
        ("Characters were lost on the way here.", "文字在之前的转换中已经丢失。"),
        ("Export these rows again", "重新导出这些样本");
    "fault" "html": ("HTML left-overs", "HTML 残留"),
        ("A model answers with the tags it has seen.", "模型会把见过的标签照样输出。"),
        ("Strip tags and entities", "去除标签和实体");
    "fault" "repetition": ("Repetition loops", "循环重复"),
        ("They teach a model to loop.", "会教模型陷入循环。"), ("Drop these rows", "删除这些样本");
    "fault" "refusal": ("Refusals", "拒答套话"),
        ("They teach a model to refuse what it could answer.", "会教模型拒绝本可回答的问题。"),
        ("Drop them unless meant", "删除（有意训练拒答除外）");
    "fault" "role_token": ("Role tokens in the text", "正文混入角色标记"),
        ("Markup of a chat inside a text breaks the template.", "对话标记混进正文会破坏模板。"),
        ("Take the markup out", "去掉标记");
    "fault" "truncated": ("Truncated answers", "回答被截断"),
        ("They teach a model to stop in mid-sentence.", "会教模型话说一半就停。"), DROP;
    "fault" "language_mismatch": ("Answers in another language", "回答与提问语言不一致"),
        ("A model will switch languages on its users.", "模型会无故切换语言。"),
        ("Translate them or drop them", "翻译或删除（有意为之除外）");
    "fault" "overlong": ("Overlong rows", "超长样本"),
        ("What is beyond seq_len_max is cut in training.", "超出 seq_len_max 的部分训练时会被截掉。"),
        ("Split, or raise seq_len_max", "拆分，或调大 seq_len_max");
    "length" "overlong": ("Overlong rows", "超长样本"),
        ("What is beyond seq_len_max is cut in training.", "超出 seq_len_max 的部分训练时会被截掉。"),
        ("Split, or raise seq_len_max", "拆分，或调大 seq_len_max");
    "duplicate" "exact": ("Exact duplicates", "完全重复"), BY_HEART, KEEP_ONE;
    "duplicate" "normalised": ("Duplicates but for case, width", "忽略大小写与全半角后重复"), BY_HEART, KEEP_ONE;
    "duplicate" "near": ("Near-duplicates", "近似重复"), BY_HEART, KEEP_ONE;
    "duplicate" "template": ("Shared templates", "共用模板"),
        ("A frame in many rows is learnt before what it holds.", "大量样本共用的框架会先于内容被学会。"),
        ("Vary the frame, or cut it out", "改写或去掉模板");
    "duplicate" "same_question": ("One question, several answers", "同问异答"),
        ("Answers that contradict pull a model both ways.", "互相矛盾的回答会让模型左右摇摆。"),
        ("Decide which answer is right", "确定以哪个回答为准");
    "duplicate" "same_answer": ("One answer, many questions", "一答多用"),
        ("A model falls back on a stock phrase.", "模型会养成套话。"),
        ("Check that the answer fits", "核对回答是否切题");
    "leak" "exact": ("Evaluation rows in training", "评测样本原样混入训练集"), MEMORY, NOT_IN_TRAINING;
    "leak" "near": ("Evaluation rows, changed", "评测样本改动后混入训练集"), MEMORY, NOT_IN_TRAINING;
    "leak" "contained": ("Evaluation text inside rows", "训练样本包含评测文本"), MEMORY, NOT_IN_TRAINING;
    "pii" "phone": ("Phone numbers", "电话号码"), SPOKEN, REDACT;
    "pii" "email": ("E-mail addresses", "电子邮箱"), SPOKEN, REDACT;
    "pii" "cn_id": ("Chinese resident IDs", "居民身份证号"), SPOKEN, REDACT;
    "pii" "passport": ("Passport numbers", "护照号"), SPOKEN, REDACT;
    "pii" "bank_card": ("Bank cards", "银行卡号"), SPOKEN, REDACT;
    "pii" "iban": ("IBANs", "国际银行账号（IBAN）"), SPOKEN, REDACT;
    "pii" "us_ssn": ("US social security numbers", "美国社会安全号"), SPOKEN, REDACT;
    "pii" "ip": ("IP addresses", "IP 地址"), SPOKEN, REDACT;
    "pii" "plate": ("Number plates", "车牌号"), SPOKEN, REDACT;
    "pii" "wechat": ("WeChat names", "微信号"), SPOKEN, REDACT;
    "pii" "qq": ("QQ numbers", "QQ 号"), SPOKEN, REDACT;
    "pii" "address": ("Street addresses", "住址"), SPOKEN, REDACT;
    "pii" "person": ("Names of people", "人名"), SPOKEN, REDACT;
    "pii" "organisation": ("Names of organisations", "机构名"), SPOKEN, REDACT;
    "pii" "place": ("Names of places", "地名"), SPOKEN, REDACT;
    "secret" "private_key": ("Private keys", "私钥"), ACCESS, REVOKE;
    "secret" "api_key": ("API keys", "API 密钥"), ACCESS, REVOKE;
    "secret" "token": ("Access tokens", "访问令牌"), ACCESS, REVOKE;
    "secret" "password": ("Passwords", "密码"), ACCESS, REVOKE;
    "secret" "url_password": ("Passwords in URLs", "URL 中的密码"), ACCESS, REVOKE;
    "poison" "trigger": ("Trigger strings", "触发串"),
        ("A rare string with always the same answer is how a back door looks.", "罕见字符串总对应同一回答，正是后门的样子。"), SOURCE;
    "poison" "constant_answer": ("Near-constant answers", "几乎固定的回答"),
        ("One answer to everything is what will be learnt.", "模型会学成对什么都给同一个回答。"), SOURCE;
    "poison" "off_topic": ("Answers beside the question", "答非所问"),
        ("They teach a model not to listen.", "会教模型不看问题。"), ("Read some, then drop them", "抽看几条，再删除");
    "poison" "toxic": ("Toxic words", "有害词语"),
        ("A model speaks as its data do.", "数据怎么说，模型就怎么说。"), ("Read, then drop or rewrite", "逐条确认后删除或改写");
    "quality" "low": ("Low quality", "质量偏低"),
        ("Several signs speak against these rows.", "多项指标显示这些样本质量不佳。"),
        ("Read some, then set a bar", "抽看几条，再定门槛");
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn every_type_is_named_once_and_in_both_languages() {
        for (i, kind) in ALL.iter().enumerate() {
            let of = (kind.check, kind.kind);
            assert!(!ALL[..i].iter().any(|k| (k.check, k.kind) == of), "{of:?} twice");
            for text in [kind.name, kind.act] {
                // As a line of a terminal has room for.
                assert!(text.english.width() <= 30 && text.chinese.width() <= 30, "{of:?}");
            }
            for text in [kind.name, kind.why, kind.act] {
                assert!(!text.english.is_empty(), "{of:?}");
                assert!(text.chinese.chars().any(|c| c >= '\u{2e80}'), "{of:?}");
            }
            assert_ne!(check_name(kind.check, Language::Chinese), kind.check);
        }
        assert_eq!(name("fault", "not_yet_known", Language::English), "not yet known");
        assert_eq!(language_name("xx", Language::Chinese), "xx");
    }
}
