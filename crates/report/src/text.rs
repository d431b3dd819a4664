//! What pages and summaries say, in both languages.

use crate::Language;
use crate::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub english: &'static str,
    pub chinese: &'static str,
}

impl Text {
    pub const fn new(english: &'static str, chinese: &'static str) -> Text {
        Text { english, chinese }
    }

    pub fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Chinese => self.chinese,
        }
    }

    /// With `{name}`s filled in, each once: what is filled in is not looked at again.
    pub fn with(self, language: Language, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        let mut rest = self.of(language);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            out.push_str(values.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// `1 row`, `2 rows`, with a space that does not end a line.
pub fn rows(n: u64, language: Language) -> String {
    counted(n, language, ["row", "rows"], "条")
}

pub fn files(n: u64, language: Language) -> String {
    counted(n, language, ["file", "files"], "个文件")
}

pub fn groups(n: u64, language: Language) -> String {
    counted(n, language, ["group", "groups"], "组")
}

fn counted(n: u64, language: Language, [one, many]: [&str; 2], chinese: &str) -> String {
    match language {
        Language::English => format!("{}\u{a0}{}", number::count(n), if n == 1 { one } else { many }),
        Language::Chinese => format!("{}\u{a0}{chinese}", number::count(n)),
    }
}

macro_rules! texts {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        $(pub const $name: Text = Text::new($english, $chinese);)*
        /// Every text, by its name.
        pub const ALL: &[(&str, Text)] = &[$((stringify!($name), $name)),*];
    };
}

texts! {
    TITLE: "Data health report", "数据体检报告";
    SKIP: "Skip to the report", "跳到正文";
    CONTENTS: "Contents", "目录";
    FOOTER: "Made by athanor {version} from scan.json (schema {schema}). This page needs no network and sends nothing.",
        "由 athanor {version} 根据 scan.json（schema {schema}）生成。本页无需联网，也不会发送任何数据。";
    NOT_MEASURED: "Not measured.", "未测量。";
    NOT_DRAWN: "No plot: {why}.", "无法绘图：{why}。";
    NONE_FOUND: "Nothing found.", "未发现问题。";
    MORE: "{n} more", "还有 {n} 项";

    READY: "Ready to train on.", "可以直接用于训练。";
    READY_WHY: "{understood} were checked and none has to go.", "已检查 {understood}，没有必须删除的。";
    CLEAN_FIRST: "Clean it, then train.", "先清洗，再训练。";
    CLEAN_FIRST_WHY: "Cleaning keeps {kept} of {read} ({share}), removes {removed} and changes {changed}.",
        "清洗后保留 {kept} / {read}（{share}），删除 {removed} 条，修改 {changed} 条。";
    NOT_READY: "Do not train on this yet.", "暂时不要用于训练。";
    NOT_READY_WHY: "Cleaning alone does not settle what was found: it would keep {kept} of {read}, but a person has to decide first.",
        "仅靠清洗解决不了这些问题：清洗后可保留 {kept} / {read}，但要先由人来判断。";
    EMPTY: "There is nothing to train on.", "没有可用于训练的数据。";
    EMPTY_WHY: "None of {read} in {files} could be understood.", "{files}，共 {read}，没有一条能够解析。";
    UNKNOWN_STATE: "No verdict.", "没有结论。";
    WHAT_TO_DO: "What to do", "要做的事";
    NOTHING_TO_DO: "Nothing has to be done.", "无需处理。";
    ALL_FINDINGS: "All findings by harm", "按危害程度查看全部发现";
    GATES: "Gates", "门禁检查";
    GATE_PASSED: "passed", "通过";
    GATE_FAILED: "failed", "未通过";

    HARM: "Harm", "危害";
    HARM_BLOCKS: "blocks", "阻断";
    HARM_HARMFUL: "harmful", "有害";
    HARM_LOOK: "worth a look", "建议核查";
    HARM_NOTE: "note", "提示";
    CLEAN_REMOVES: "--clean removes the rows", "--clean 会删除这些样本";
    CLEAN_REPAIRS: "--clean repairs the text", "--clean 会修复文本";
    CLEAN_REDACTS: "--clean redacts the text", "--clean 会脱敏";
    CLEAN_NOTHING: "left as it is by --clean", "--clean 不处理";

    TILE_ROWS: "rows", "样本";
    TILE_ROWS_NOTE: "{faulty} not understood", "{faulty} 条无法解析";
    TILE_KEPT: "kept by cleaning", "清洗后保留";
    TILE_DUPLICATES: "duplicates to remove", "可删除的重复";
    TILE_PII: "rows with personal data", "含个人信息";
    TILE_PII_NOTE: "secrets in {secrets}", "含密钥 {secrets}";
    TILE_LEAKS: "leaked evaluation rows", "泄漏的评测样本";
    TILE_LENGTH: "median length", "长度中位数";
    TILE_TOKENS: "tokens, p95 {p95}", "词元，p95 为 {p95}";
    TILE_CHARACTERS: "characters, p95 {p95}", "字符，p95 为 {p95}";
    TILE_LANGUAGE: "main language", "主要语言";
    TILE_LANGUAGE_NOTE: "{share} of the rows", "占 {share}";
    TILE_QUALITY: "mean quality", "平均质量";
    TILE_QUALITY_NOTE: "{rows} below {threshold}", "{rows}低于 {threshold}";

    FINDINGS: "Findings", "问题总览";
    FINDINGS_LEAD: "Ranked by the harm they do to a model trained on this data.", "按对模型的危害从大到小排列。";
    FINDING: "Finding", "问题";
    COUNT: "Found", "处数";
    ROWS: "Rows", "样本数";
    SHARE: "Share", "占比";
    ACTION: "What to do", "处理建议";
    CLEANING: "Cleaning", "清洗";
    DOES_REMOVE: "removes", "删除";
    DOES_REPAIR: "repairs", "修复";
    DOES_REDACT: "redacts", "脱敏";
    DOES_NOTHING: "leaves", "不处理";

    FILES: "Files", "文件";
    FILES_LEAD: "{read} in {files} to train on, {size}; {understood} understood.", "训练数据共 {read}，来自 {files}（{size}），成功解析 {understood} 条。";
    FILES_EVAL: "Evaluation sets: {sets}.", "评测集：{sets}。";
    FILE: "File", "文件";
    SET: "Set", "评测集";
    SET_TRAIN: "train", "训练";
    SIZE: "Size", "大小";
    FAULTY: "Faulty", "无法解析";

    LENGTHS: "Lengths", "长度";
    LENGTHS_LEAD: "Half of the rows are between {p25} and {p75} {unit} long; the longest has {max}.",
        "一半样本的长度在 {p25} 到 {p75} {unit}之间，最长 {max}。";
    CHARACTERS: "characters", "字符";
    TOKENS: "tokens", "词元";
    INSTRUCTION: "instruction", "指令";
    RESPONSE: "response", "回答";
    WHOLE: "whole", "整条";
    LENGTHS_KEY: "Height: rows to a quarter of a doubling in length; point at a bar for its count. Below: p5 to p95, p25 to p75 and the median. Dashed: seq_len_max.",
        "长度每翻一倍分为四格，柱高为每格的样本数，指向柱子可看精确值。下方细线为 p5–p95，粗线为 p25–p75，圆点为中位数；虚线为 seq_len_max。";
    LENGTHS_PLOT: "Histogram of {part} lengths in {unit}: median {p50}, 90% between {p5} and {p95}, longest {max}",
        "{part}长度直方图（{unit}）：中位数 {p50}，90% 在 {p5} 到 {p95} 之间，最长 {max}";
    QUANTILES: "Quantiles", "分位数";
    PART: "Part", "部分";
    MEAN: "Mean", "均值";
    OVER: "What each seq_len_max costs", "不同 seq_len_max 的代价";
    OVER_ROWS: "Rows over", "超长样本";
    OVER_CUT: "Tokens cut", "截掉的词元";
    OVER_PADDING: "Padding", "填充占比";
    OVER_PADDING_BATCH: "Padding, batches of 8", "8 条一批的填充";
    OVER_MEMORY: "Memory a row", "每条内存";
    OVER_MEMORY_OF: "Memory: {of}.", "内存按 {of} 估算。";
    NO_TOKENS: "Tokens were not counted: no tokenizer was given.", "未统计词元数：没有指定分词器。";
    EXTREMES: "Shortest and longest rows", "最短与最长的样本";
    SHORTEST: "Shortest", "最短";
    LONGEST: "Longest", "最长";

    LANGUAGES: "Languages", "语言";
    LANGUAGES_LEAD: "{share} of the rows are {language}; the mix has {entropy} bits of entropy.", "{share} 的样本是{language}，语言分布的熵为 {entropy} 比特。";
    LANGUAGES_PLOT: "Share of languages in each part", "各部分的语言占比";
    LANGUAGE: "Language", "语言";
    BY_PART: "Rows of each part", "各部分样本数";
    OTHERS: "others", "其他";
    UNSURE: "unsure", "无法判断";
    MIXED: "mixed", "混用语言";
    ENTROPY: "entropy, bits", "熵（比特）";
    HAN: "Chinese is written in simplified characters in {simplified}, in traditional ones in {traditional}.", "中文样本中，简体 {simplified}，繁体 {traditional}。";
    CODE: "{rows} contain code ({share}).", "{rows}含有代码（{share}）。";
    OTHER_LANGUAGE: "{rows} are answered in another language than the question.", "{rows}的回答与提问语言不同。";
    OTHER_LANGUAGE_NONE: "Every answer is in the language of its question.", "所有回答都与提问语言一致。";
    ARROW_TO: "{from} → {to}: {rows}", "{from} → {to}：{rows}";

    INSTRUCTIONS: "Instructions", "指令构成";
    INSTRUCTIONS_LEAD: "{verbs} verbs form {pairs} different verb–noun pairs ({entropy} bits); the most frequent pair has {top} of the rows with a verb.",
        "{verbs} 个动词组成 {pairs} 种动宾搭配（熵 {entropy} 比特），最常见的搭配占有动词样本的 {top}。";
    NO_VERBS: "No instruction with a verb was found.", "没有提取到带动词的指令。";
    WITH_VERB: "{rows} ask with a verb that was found ({share}).", "{rows}能提取出核心动词（{share}）。";
    SUNBURST: "The most frequent verbs and what they ask for", "最常见的动词与宾语";
    SUNBURST_KEY: "Inner ring: the {n} most frequent verbs, {share} of the rows with a verb. Outer ring: their four most frequent nouns. Colour: level.",
        "内环：最常见的 {n} 个动词，占有动词样本的 {share}；外环：各自最常见的四个宾语。颜色表示认知层次。";
    SUNBURST_MIDDLE: "pairs", "种搭配";
    LEVELS: "Levels of thought", "认知层次";
    LEVELS_LEAD: "After Bloom, from recalling to creating.", "按布鲁姆分类，从记忆到创造。";
    LEVEL: "Level", "层次";
    REMEMBER: "remember", "记忆";
    UNDERSTAND: "understand", "理解";
    APPLY: "apply", "应用";
    ANALYSE: "analyse", "分析";
    EVALUATE: "evaluate", "评价";
    CREATE: "create", "创造";
    MISSING: "Nearly absent: {level} ({rows}). Verbs that never occur: {verbs}.", "几乎缺失：{level}（{rows}）。从未出现的动词：{verbs}。";
    MISSING_NO_VERBS: "Nearly absent: {level} ({rows}).", "几乎缺失：{level}（{rows}）。";
    MISSING_NONE: "No level is missing.", "各层次都有覆盖。";
    STEPS: "Steps asked for", "要求的步骤数";
    CONSTRAINTS: "Constraints given", "给出的约束数";
    OR_MORE: "{n} or more", "{n} 及以上";
    VERBS: "Verbs and their nouns", "动词与宾语";
    VERB: "Verb", "动词";
    NOUNS: "Nouns", "宾语";
    NO_NOUN: "(none)", "（无）";

    DUPLICATES: "Duplicates", "重复";
    DUPLICATES_LEAD: "Cleaning would remove {removed} as duplicates, {rate} of the rows understood.", "清洗会删除 {removed}重复样本，占已解析样本的 {rate}。";
    DUPLICATES_HOW: "Near: {key} with a Jaccard similarity of at least {threshold} over shingles of {letters} letters or {ideographs} ideographs, each pair verified. Candidates: MinHash in {bands} bands of {values} values, which compares a pair at the threshold with a chance of {recall}.",
        "近似重复：以 {letters} 个字母或 {ideographs} 个汉字为片段，{key}的 Jaccard 相似度不低于 {threshold}，逐对核实。候选由 MinHash 给出（{bands} 个分带，每带 {values} 个值），恰在阈值上的一对被比较的概率为 {recall}。";
    KEY_ROW: "whole rows", "整条样本";
    KEY_INSTRUCTION: "instructions", "指令";
    LIMITS: "Limits were reached: {limits}.", "触及上限：{limits}。";
    PASSAGES: "Long passages that many rows share", "大量样本共用的长片段";
    PASSAGE_LENGTH: "Characters", "字符数";
    PASSAGE: "Passage", "片段";
    KIND: "Kind", "类型";
    GROUPS: "Groups", "组数";
    REMOVED: "Removed", "删除";
    LARGEST: "The largest groups", "最大的重复组";
    LARGEST_PLOT: "The largest groups of rows that are alike, a dot a row", "最大的相似样本组，一点代表一条";
    DOT_STAYS: "row that stays", "保留的样本";
    DOT_REMOVED: "row that cleaning removes", "清洗会删除的样本";
    DOT_LEFT: "row of a group that cleaning leaves alone", "清洗不处理的组";
    GROUP: "Group {n}", "第 {n} 组";
    KEPT: "kept", "保留";
    SIZES: "Rows in a group", "每组样本数";
    OVERLAP: "Overlap of {n}-grams", "{n}-gram 重叠";
    OVERLAP_KEY: "Rows by the share of their n-grams that occur in another row; one in {sampled} n-grams is looked at.", "按样本中在其他样本里也出现的 n-gram 占比统计，每 {sampled} 个 n-gram 抽查一个。";
    OVERLAP_PLOT: "Histogram of the share of each row's {n}-grams that occur in another row", "各样本 {n}-gram 与其他样本重叠比例的直方图";

    LEAKS: "Leakage", "评测泄漏";
    LEAKS_NONE_GIVEN: "Not measured: no evaluation file was given.", "未测量：没有提供评测文件。";
    LEAKS_LEAD: "{leaked} of {rows} evaluation rows are also in the training data.", "{rows} 条评测样本中有 {leaked} 条也出现在训练数据里。";
    LEAKS_CLEAN: "No evaluation row was found in the training data.", "训练数据中没有发现评测样本。";
    LEAKS_HOW: "Contained: at least {threshold} of the evaluation text's passages of {n} letters are in one training row.", "包含：评测文本中长度为 {n} 个字母的片段，至少有 {threshold} 出现在同一条训练样本里。";
    LEAK_BY_ROW: "whole row", "整条";
    LEAK_BY_INSTRUCTION: "instruction", "指令";
    LEAKED: "Leaked", "泄漏";
    PAIRS: "Pairs of rows", "对应的样本";
    TRAIN_ROW: "Training row", "训练样本";
    EVAL_ROW: "Evaluation row", "评测样本";
    SIMILARITY: "Similarity", "相似度";

    PII: "Personal data and secrets", "个人信息与密钥";
    PII_LEAD: "{rows} hold personal data, {secrets} hold secrets.", "{rows}含个人信息，{secrets}含密钥或口令。";
    PII_NOTE: "Nothing of what was found is shown on this page unmasked.", "本页不会显示任何未脱敏的原文。";
    PII_ENTITIES: "Names were looked for by {model}.", "人名等实体由 {model} 识别。";
    PII_NO_ENTITIES: "Names of people, organisations and places were not looked for: no model was given.", "未识别人名、机构名和地名：没有指定模型。";
    SECRETS: "Secrets", "密钥与口令";
    PERSONAL: "Personal data", "个人信息";
    TYPE: "Type", "类型";
    CONFIDENCE: "Confidence", "置信度";

    POISON: "Poison", "投毒迹象";
    POISON_LEAD: "Strings and answers that look planted.", "看起来被人为植入的字符串和回答。";
    POISON_NONE: "No string and no answer looks planted.", "没有发现像是被植入的字符串或回答。";
    TRIGGERS: "Rare strings tied to one answer", "与单一回答绑定的罕见字符串";
    TRIGGER: "String", "字符串";
    ANSWERS_OPEN: "{n} distinct answers; most rows have one of their own.", "共有 {n} 种不同的回答，多数样本各有自己的回答。";
    ANSWERS_CLOSED: "{n} distinct answers, which most rows share with others: names of classes or canned replies.", "只有 {n} 种不同的回答，多数样本共用：可能是类别名或固定话术。";
    TRIGGER_OTHER: "{n} with another answer", "{n} 条是其他回答";
    QUESTIONS: "Questions", "问题数";
    ITS_ANSWER: "Its answer", "对应的回答";
    CONSTANT: "Answers given to many questions", "大量重复出现的回答";
    ANSWER: "Answer", "回答";
    OFF_TOPIC: "{rows} have an answer that ignores the question ({share}).", "{rows}答非所问（{share}）。";
    TOXIC: "{rows} contain words of the list ({share}).", "{rows}含有词表中的词（{share}）。";
    NO_TOXIC: "Toxic words were not looked for: no list was given.", "未检查有害词语：没有提供词表。";

    QUALITY: "Quality", "质量";
    QUALITY_LEAD: "The mean score is {mean} of 1; {rows} are below {threshold} ({share}).", "平均得分 {mean}（满分 1），{rows}低于 {threshold}（{share}）。";
    QUALITY_PLOT: "Histogram of quality scores: mean {mean}, {rows} below {threshold}", "质量得分直方图：均值 {mean}，{rows}低于 {threshold}";
    QUALITY_PARTS: "What the score is made of", "得分构成";
    QUALITY_PART: "Sign", "指标";
    ASPECT_ANSWERED: "answered: as long as was asked for", "有回答：长度与要求相称";
    ASPECT_RELEVANT: "relevant: takes up words of the question", "切题：提到了问题中的词";
    ASPECT_VARIED: "varied: goes on instead of repeating itself", "不重复：没有来回重复";
    ASPECT_FINISHED: "finished: comes to an end", "完整：没有中途截断";
    ASPECT_CLEAN: "clean: text without faults", "干净：文本没有缺陷";
    ASPECT_OWN: "own: not the question over again", "不复述：不是照抄问题";
    ASPECT_SPECIFIC: "specific: no stand-in, no refusal", "具体：不是占位或拒答";
    ASPECT_STRUCTURED: "structured: lines that can be read", "有结构：分段分行可读";
    QUALITY_LOW: "Rows below 0.5", "低于 0.5 的样本";

    FAULTS: "Faults", "数据缺陷";
    FAULTS_LEAD: "{kinds} of {all} kinds were found, in {findings} places.", "检查了 {all} 类缺陷，发现 {kinds} 类，共 {findings} 处。";
    FAULTS_NONE: "Looked for and not found: {kinds}.", "已检查、未发现：{kinds}。";

    LOOK: "Where to look", "逐条查看";
    LOOK_LEAD: "{shown} of {total} findings, the surest of each kind first; all are in findings.jsonl.", "共 {total} 处，这里列出 {shown} 处，每类按置信度排列；全部见 findings.jsonl。";
    FILTER: "Filter", "筛选";
    FILTER_HINT: "type, file or text", "类型、文件或文字";
    FILTER_NONE: "Nothing matches.", "没有匹配的结果。";
    WHERE: "Where", "位置";
    WHY: "Why", "依据";
    COLUMN: "byte {n}", "第 {n} 字节";
    IN_GROUP: " (group {n})", "（第 {n} 组）";
    KEPT_OF_GROUP: " (group {n}, kept)", "（第 {n} 组，保留）";

    SAMPLES: "Rows", "样本原文";
    SAMPLES_LEAD: "Rows named above, as far as --sample allows.", "上文提到的样本，数量由 --sample 决定。";
    NONE_SHOWN: "No rows are shown; --sample asks for some.", "没有附上样本原文，可用 --sample 指定数量。";
    CUT: "{n} more characters", "后面还有 {n} 个字符";
    EMPTY_FIELD: "(empty)", "（空）";

    HOW: "How this was measured", "测量方法";
    POLICY: "Policy", "策略";
    THRESHOLD: "Threshold", "阈值";
    VALUE: "Value", "取值";
    TOKENIZER: "Tokens as counted by {name} ({entries} entries).", "词元数按 {name} 统计（词表 {entries} 项）。";
    SAMPLED: "Sampled: {what}, {rows} of {of}.", "抽样：{what}，{of}中的 {rows} 条。";
    SAMPLED_NONE: "Every measure looked at every row.", "所有指标都检查了全部样本。";
    CLEAN_WRITTEN: "The clean copy is {path}.", "清洗后的数据已写入 {path}。";
    CLEAN_NOT_WRITTEN: "No clean copy was written; --clean OUT writes one.", "尚未写出清洗后的数据，可用 --clean OUT 生成。";

    SHORT_EXACT: "exact", "完全相同";
    SHORT_NORMALISED: "normalised", "规范化后相同";
    SHORT_NEAR: "near", "近似";
    SHORT_TEMPLATE: "template", "模板";
    SHORT_SAME_QUESTION: "same question", "同问异答";
    SHORT_SAME_ANSWER: "same answer", "一答多用";
    SHORT_CONTAINED: "contained", "包含";

    CHECK_LENGTH: "Lengths", "长度";
    CHECK_LANGUAGE: "Languages", "语言";
    CHECK_FAULT: "Faults", "缺陷";
    CHECK_PII: "Personal data", "个人信息";
    CHECK_SECRET: "Secrets", "密钥";
    CHECK_DUPLICATE: "Duplicates", "重复";
    CHECK_LEAK: "Leakage", "泄漏";
    CHECK_POISON: "Poison", "投毒";
    CHECK_QUALITY: "Quality", "质量";

    BRIEF_ROWS: "{read} in {files}", "{files}，{read}";
    BRIEF_MORE: "and {n} more, see the page", "另有 {n} 类，见网页报告";
    BRIEF_LENGTHS: "median {p50}, p95 {p95}, longest {max} {unit}", "中位数 {p50}，p95 {p95}，最长 {max} {unit}";
    BRIEF_MIXED: "mixed {n}", "混用 {n}";
    BRIEF_CODE: "code {n}", "代码 {n}";
    BRIEF_INSTRUCTIONS: "{verbs} verbs, {pairs} pairs, {entropy} bits", "{verbs} 个动词，{pairs} 种搭配，{entropy} 比特";
    BRIEF_MISSING: "nearly absent: {levels}", "几乎缺失：{levels}";
    BRIEF_DUPLICATES: "{rate} to remove", "可删除 {rate}";
    BRIEF_PAGE: "Page", "网页报告";

    WAYS_TITLE: "Ways of tuning compared", "几种微调方式对比";
    WAYS_FOOTER: "Made by athanor {version}. This page needs no network and sends nothing.", "由 athanor {version} 生成。本页无需联网，也不会发送任何数据。";
    WAY_LORA: "LoRA alone", "只用 LoRA";
    WAY_REPLAY: "LoRA + replay", "LoRA 加回放";
    WAY_EWC: "LoRA + EWC", "LoRA 加 EWC";
    WAYS_ALL_LEARNT: "Every way learnt the task", "每种方式都学会了任务";
    WAYS_SOME_LEARNT: "{n} of {of} ways learnt the task", "{of} 种方式中有 {n} 种学会了任务";
    WAYS_FORGOT: "general skills lost: {ways}", "通用能力丢失：{ways}";
    WAYS_NONE_FORGOT: "none was shown to forget", "均未见遗忘";
    WAYS_PLOT: "What each way learnt and forgot", "各方式学会了什么、忘了什么";
    WAYS_PLOT_LEAD: "A panel for each suite of questions: where the base is, and where each way has moved it.", "每个评测集一幅图：同一个基座，经各种方式微调后移到了哪里。";
    WAYS_TABLE: "The same in numbers", "具体数字";
    WAYS_TABLE_LEAD: "The figure that decides each suite; below it its change, with the {confidence} interval over the same questions. What the headline calls lost is the mean fall of the general suites.", "每个评测集以哪项指标为准，就列哪项；下面一行是变化量及其 {confidence} 置信区间（逐题配对）。标题里的“丢失”是各通用评测集降幅的平均值。";
    WAYS_NONE_WORST: "No way made a general skill worse.", "没有哪种方式让通用能力退步。";
    WAYS_AGAIN: "Each way by itself", "逐一查看";
    WAYS_AGAIN_LEAD: "Each way has a page of its own, with every figure, the answers that got worst and the settings. Its plan is a page of text: change it and train again.", "每种方式都有单独的页面：全部指标、退步最多的回答和设置。训练计划就是一页文本，改了就能再训。";
    WAYS_SEED: "Seed {seed}: another one gives other orders of data and another start of the adapter, and somewhat other figures.", "随机种子为 {seed}：换一个，数据顺序和适配器初值都会变，指标也会略有不同。";

    EVAL_TITLE: "Before and after tuning", "微调前后对比";
    EVAL_FOOTER: "Made by athanor {version} from eval.json (version {schema}). This page needs no network and sends nothing.",
        "由 athanor {version} 根据 eval.json（version {schema}）生成。本页无需联网，也不会发送任何数据。";
    HEADLINE: "{task}; {general}.", "{task}，{general}。";
    TASK_BETTER: "Better at the task", "任务变好了";
    TASK_WORSE: "Worse at the task", "任务变差了";
    TASK_MIXED: "Better at some tasks and worse at others", "任务有好有坏";
    TASK_UNCLEAR: "No change at the task was shown", "任务上看不出变化";
    TASK_MISSING: "The task was not measured", "任务未测量";
    GENERAL_KEPT: "no loss elsewhere was shown", "其他能力未见退步";
    GENERAL_WORSE: "worse elsewhere", "其他能力退步了";
    GENERAL_MISSING: "what was forgotten was not measured", "是否遗忘未测量";
    ALONE: "One model, nothing to compare it with.", "只有一个模型，无从比较。";
    ALONE_WHY: "Give --adapter without --alone, or --base, to see what has changed.", "用 --adapter（不加 --alone）或 --base 指定对比对象，才能看出变化。";
    MOVED: "On {suite}, {figure} went from {base} to {tuned} (with {confidence} confidence, a change between {low} and {high}).",
        "{suite}：{figure} {base} → {tuned}（变化的 {confidence} 置信区间为 [{low}, {high}]）。";
    AT_MOST: "With {confidence} confidence it is worse by no more than {margin}.", "有 {confidence} 的把握：最多差 {margin}。";
    OF_ROLE: "{role}:", "{role}：";
    MORE_SUITES: "Suites not named here: {n}.", "另有 {n} 个评测集未在此列出。";
    GOT_WORSE: "What got worse", "哪些变差了";
    NOTHING_WORSE: "No figure got worse by more than chance explains.", "没有哪项指标的退步超出随机波动。";
    MANY_FIGURES: "{n} figures were compared, each by itself with {confidence} confidence: of many, a few differ by chance.",
        "共比较 {n} 项指标，每项各自按 {confidence} 的置信度判断；项数一多，难免有几项是碰巧。";
    ROLE_TASK: "Task", "任务";
    ROLE_GENERAL: "General skills", "通用能力";
    ROLE_TASK_LEAD: "What the model was tuned for. The figure so marked decides the verdict of its suite.", "模型为此而微调。每个评测集的结论以标明的那项指标为准。";
    ROLE_GENERAL_LEAD: "What the model is not to forget. The figure so marked decides the verdict of its suite.", "模型不该忘掉的能力。每个评测集的结论以标明的那项指标为准。";
    DECIDES: "decides the verdict", "结论以此为准";
    ROLE_TASK_NONE: "No suite has the role task.", "没有 role 为 task 的评测集。";
    ROLE_GENERAL_NONE: "No suite has the role general: give one to see what was forgotten.", "没有 role 为 general 的评测集；加上一个才能看出忘了什么。";
    CHANGES: "Every figure, before and after", "全部指标：前与后";
    CHANGES_KEY: "Lines above and below are the {confidence} intervals of before and after. Whether a change is better or worse is judged on the same rows, so intervals may overlap.",
        "上下两条细线分别是微调前、后的 {confidence} 置信区间。变好还是变差是逐题配对判断的，所以区间可以重叠。";
    CHANGES_PLOT: "Before and after, {panel}: {rows}", "微调前后，{panel}：{rows}";
    PANEL_SHARE: "from 0 to 1", "0 到 1";
    PANEL_POINTS: "points of 100", "百分制";
    PANEL_NATS: "nats a token", "每词元 nat 数";
    PANEL_PERPLEXITY: "perplexity", "困惑度";
    PANEL_OTHER: "other figures", "其他指标";
    HIGHER: "higher is better", "越高越好";
    LOWER: "lower is better", "越低越好";
    BEFORE: "before", "微调前";
    AFTER: "after", "微调后";
    CHANGE: "change", "变化";
    BETTER: "better", "变好";
    WORSE: "worse", "变差";
    UNCLEAR: "unclear", "不确定";
    FIGURE: "Figure", "指标";
    P_VALUE: "p", "p 值";
    NO_WORSE_BY: "worse by at most", "最多差";
    SUITE: "Suite", "评测集";
    SKILL: "Skill", "技能";
    SUITE_ROWS: "{rows} of {all}", "{rows}（共 {all} 条）";
    SKILLS: "Skills", "技能";
    SKILLS_LEAD: "Means over the suites of a skill, each suite weighing the same. They have intervals and no test.", "同一技能下各评测集的平均值，每个评测集权重相同；有置信区间，不做检验。";
    MEAN_OF: "mean of {n} suites", "{n} 个评测集的平均";
    LOSSES: "Losses", "损失";
    LOSSES_LEAD: "Nats a token of the expected answers: what forgetting shows first.", "标准答案每词元的损失（nat）：遗忘最先在这里显现。";
    LOSSES_NONE: "No suite measures the loss: add loss to its measures.", "没有评测集测损失：在 measures 中加上 loss。";
    PERPLEXITY: "perplexity", "困惑度";
    CONFUSION: "Confusion", "混淆情况";
    CONFUSION_LEAD: "Which labels are taken for which. Rows are the right labels, columns the labels named; colours are shares of the row.",
        "哪些类别被认成了哪些。行为正确类别，列为模型给出的类别；颜色表示占该行的比例。";
    CONFUSION_PLOT: "Confusion matrix of {suite}, {who}: right labels by row, named labels by column", "{suite} 混淆矩阵（{who}）：行为正确类别，列为给出的类别";
    CONFUSION_TABLE: "Most frequent mistakes", "最常见的错误";
    CONFUSION_CLEAN: "No mistakes.", "没有错误。";
    RIGHT_LABEL: "Right label", "正确类别";
    NAMED_LABEL: "Named", "给出的类别";
    NO_LABEL: "none", "无";
    NO_LABEL_KEY: "Last column: no label was named.", "最后一列：没有给出任何类别。";
    WORST: "Rows that got worst", "退步最大的题目";
    WORST_LEAD: "At most ten rows of each suite: those in which the figure that decides its verdict got worst, side by side.", "每个评测集按其结论所依据的指标，列出退步最大的题目（最多十条），前后对照。";
    WORST_NONE: "No row got worse.", "没有题目变差。";
    PROMPT: "prompt", "题目";
    EXPECTED: "expected", "标准答案";
    NOT_WRITTEN: "No answer: this suite compares the loss of the expected one.", "这个评测集不生成回答，只比较标准答案的损失。";
    NOTHING_WRITTEN: "(empty)", "（空）";
    REPEAT: "How to repeat it", "如何复现";
    REPEAT_NOTE: "Give --precision, --quantize, --other-base and --allow-commands again if they were given: the record does not hold them.",
        "如果当时用了 --precision、--quantize、--other-base 或 --allow-commands，请照样加上：记录里没有这些选项。";
    SETTINGS: "Settings", "设置";
    SEED: "Seed {seed}; {limit}; intervals of {confidence}, by {resamples} resamples where a bootstrap makes them.",
        "种子 {seed}；{limit}；置信区间为 {confidence}，自助法重采样 {resamples} 次。";
    LIMIT_NONE: "all rows of each suite", "评测全部题目";
    LIMIT: "at most {n} rows of each suite, chosen by the seed", "每个评测集按种子抽取至多 {n} 条";
    REQUIRED_NONE: "Nothing was required (--require).", "没有设置门禁（--require）。";
    REQUIRED: "What was required stands at the top.", "门禁结果见页首。";
    MODELS: "Models", "模型";
    MODEL: "Model", "模型";
    ADAPTER: "Adapter", "适配器";
    IDENTITY: "Hash of the weights", "权重哈希";
    SUITES: "Suites", "评测集";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{name}`s, sorted.
    fn names(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            text.split('{').skip(1).map(|rest| rest.split_once('}').expect("closed").0).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_text_says_the_same_in_both_languages() {
        for (name, text) in ALL {
            assert!(!text.english.is_empty() && !text.chinese.is_empty(), "{name}");
            assert_eq!(names(text.english), names(text.chinese), "{name}");
            assert_ne!(text.english, text.chinese, "{name} is not translated");
            assert!(text.chinese.chars().any(|c| c >= '\u{2e80}'), "{name} has no Chinese");
            assert!(!text.english.chars().any(|c| ('\u{2e80}'..'\u{10000}').contains(&c)), "{name}");
        }
    }

    #[test]
    fn what_is_filled_in_stays_as_it_is() {
        const T: Text = Text::new("{a} of {b}", "{b} 中的 {a}");
        let values = [("a", "{b}"), ("b", "2")];
        assert_eq!(T.with(Language::English, &values), "{b} of 2");
        assert_eq!(T.with(Language::Chinese, &values), "2 中的 {b}");
        assert_eq!([rows(1, Language::English), rows(0, Language::English)], ["1\u{a0}row", "0\u{a0}rows"]);
        assert_eq!(rows(1200, Language::Chinese), "1,200\u{a0}条");
    }
}
