use measures::verbs::{Analysis, Diversity, Level, PAIRS_MAX, Petal, Root, Tongue, analyse};
use proptest::prelude::*;

/// `verb / noun / level`, or `-` where nothing is asked.
fn shown(text: &str, tongue: Tongue) -> String {
    match analyse(text, tongue).root {
        None => "-".to_owned(),
        Some(Root { verb, noun, level, .. }) => {
            format!("{verb} / {} / {}", noun.as_deref().unwrap_or("-"), level.name())
        }
    }
}

#[track_caller]
fn check(tongue: Tongue, cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|&(text, expected)| (text, expected, shown(text, tongue)))
        .filter(|(_, expected, found)| expected != found)
        .map(|(text, expected, found)| format!("{text}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn english_frames_are_peeled_off() {
    check(
        Tongue::English,
        &[
            ("Write a poem about autumn.", "write / poem / create"),
            ("Could you possibly move the demo to Thursday?", "move / demo / apply"),
            ("Would you mind sending me the brochure?", "send / brochure / apply"),
            ("Would it be possible to move the demo?", "move / demo / apply"),
            ("May I trouble you to sign the attached form?", "sign / form / apply"),
            ("I was wondering if you could recommend a good dentist.", "recommend / dentist / evaluate"),
            ("I'd appreciate it if you wrote an introduction.", "write / introduction / create"),
            ("Any chance you can send the slides?", "send / slide / apply"),
            ("I need you to proofread this before noon.", "proofread / - / evaluate"),
            ("I'd like you to help me plan a birthday party.", "plan / party / create"),
            ("Can you help with formatting the bibliography?", "format / bibliography / apply"),
            ("Your task is to translate the manual into Polish.", "translate / manual / understand"),
            ("The goal of this game is to guess the word.", "guess / word / apply"),
            ("You will be asked to answer the following question.", "answer / question / understand"),
            ("You have to rotate the image by 90 degrees.", "rotate / image / apply"),
            ("Let's brainstorm a few slogans.", "brainstorm / slogan / create"),
            ("Take a moment to describe your last project.", "describe / project / understand"),
            ("Do me a favour and water the plants.", "water / plant / apply"),
            ("Please let me know your thoughts.", "know / thought / remember"),
            ("Hi there, just wanted to ask if you could resend the file?", "resend / file / apply"),
        ],
    );
}

#[test]
fn english_wishes_count_where_nothing_is_asked() {
    check(
        Tongue::English,
        &[
            ("I want to return the shoes I bought.", "return / shoe / apply"),
            ("I want to buy a printer. Compare these two models.", "compare / model / analyse"),
            ("I want my subscription paused for two months.", "pause / subscription / apply"),
            ("We'd like the invoice to be split into two parts.", "split / invoice / apply"),
            ("I need to calculate 20% of 500. Can you help me with that?", "calculate / - / apply"),
            ("I need a list of all suppliers.", "-"),
        ],
    );
}

#[test]
fn english_leading_clauses_settings_and_bans_are_not_asked_for() {
    check(
        Tongue::English,
        &[
            ("Using only the table below, answer the question.", "answer / question / understand"),
            ("If the customer is unhappy, offer a voucher.", "offer / voucher / apply"),
            ("To reset the device, hold the power button.", "hold / button / apply"),
            ("Act as a travel agent and suggest three destinations.", "suggest / destination / create"),
            ("You are a senior lawyer. Draft a letter.", "draft / letter / create"),
            ("Pretend to be a pirate and greet me.", "greet / - / create"),
            ("You are given a recipe, convert it to metric units.", "convert / - / apply"),
            ("Don't use any jargon. Explain blockchain.", "explain / blockchain / understand"),
            ("Do not repeat the question; just give the answer.", "give / answer / understand"),
            ("Why is the belt slow? Inspect the motor.", "inspect / motor / analyse"),
            ("The link is broken; fix it.", "fix / - / apply"),
            ("x + y = 4, express y in x", "express / - / understand"),
        ],
    );
}

#[test]
fn english_passives_and_gerunds() {
    check(
        Tongue::English,
        &[
            ("The floor should be swept.", "sweep / floor / apply"),
            ("All old files need to be archived.", "archive / file / apply"),
            ("This sentence has to be rewritten in the passive voice.", "rewrite / sentence / understand"),
            ("Labelling the boxes.", "label / box / understand"),
            ("Sorting a list of names alphabetically.", "sort / list / analyse"),
        ],
    );
}

#[test]
fn english_objects() {
    check(
        Tongue::English,
        &[
            ("List the pros and cons of home office.", "list / pro / remember"),
            ("Lend him two chairs.", "lend / chair / apply"),
            ("Give the guests a short tour.", "give / tour / remember"),
            ("Look for a cheap flight.", "look / flight / remember"),
            ("Come up with five names for a cat.", "come / name / create"),
            ("Back up the production database.", "back / database / apply"),
            ("Respond to the letter.", "respond / - / understand"),
            ("Check whether the door is locked.", "check / - / evaluate"),
            ("Predict next month's demand.", "predict / demand / apply"),
            ("Write a short, friendly and honest note.", "write / note / create"),
            ("Each of the words below is odd. Define all of the words.", "define / word / understand"),
            ("Reserve meeting room Atlas.", "reserve / room / apply"),
            ("Cancel order 55-A.", "cancel / order / apply"),
            ("Write a C++ program.", "write / program / create"),
            ("Convert 500 GBP to USD.", "convert / - / apply"),
            ("Make this paragraph sound more formal.", "make / paragraph / create"),
            ("Write a story beginning with a storm.", "write / story / create"),
            ("Collect the data and the criteria.", "collect / data / remember"),
        ],
    );
}

#[test]
fn english_words_that_are_nouns_as_often() {
    check(
        Tongue::English,
        &[
            ("Plan a two-day workshop.", "plan / workshop / create"),
            ("Plan of the ground floor", "-"),
            ("Design a logo for a bakery.", "design / logo / create"),
            ("Answer: forty-two", "-"),
            ("Email the client about the delay.", "email / client / create"),
            ("Exchange rate for my card is wrong", "-"),
            ("Order two pizzas.", "order / pizza / apply"),
            ("Terms and conditions of use", "-"),
        ],
    );
}

#[test]
fn english_lemmas_and_spelling() {
    check(
        Tongue::English,
        &[
            ("Summarise the report.", "summarise / report / understand"),
            ("Analyze the tone.", "analyze / tone / analyse"),
            ("Please translte the text.", "translate / text / understand"),
            ("Upcycle the crates.", "upcycle / crate / apply"),
            ("can u shorten this", "shorten / - / apply"),
        ],
    );
}

#[test]
fn english_levels_follow_the_object() {
    check(
        Tongue::English,
        &[
            ("Give the capital of Australia.", "give / capital / remember"),
            ("Give an example of irony.", "give / example / understand"),
            ("Write a summary of the talk.", "write / summary / understand"),
            ("Perform a sentiment analysis.", "perform / analysis / analyse"),
            ("Do a quick sanity check.", "do / check / evaluate"),
            ("Tell me whether it is safe.", "tell / - / evaluate"),
            ("Put the words in alphabetical order.", "put / word / analyse"),
        ],
    );
}

#[test]
fn english_texts_that_ask_for_nothing() {
    let texts = [
        "How do I delete my account?",
        "Can I bring my dog?",
        "Do I have to use a bank?",
        "Is it going to rain tomorrow?",
        "Thank you for your help.",
        "Hello!",
        "The delivery was late again and nobody answered the phone.",
        "A train travels 60 miles in 1.5 hours. What is its average speed?",
        "SELECT name FROM users WHERE age > 30;",
        "def main():\n    return 1",
        "User manual, version 2",
        "Yes, the red one.",
        "Error 404: not found.",
        "",
        "   \n ",
    ];
    check(Tongue::English, &texts.map(|text| (text, "-")));
}

#[test]
fn chinese_frames_are_peeled_off() {
    check(
        Tongue::Chinese,
        &[
            ("写一首关于秋天的诗。", "写 / 诗 / create"),
            ("能不能示范一下？", "示范 / - / understand"),
            ("劳驾把窗户关上。", "关 / 窗户 / apply"),
            ("麻烦您帮我修一下打印机。", "修 / 打印机 / apply"),
            ("给我讲个笑话。", "讲 / 笑话 / remember"),
            ("请替我给李经理订一束花。", "订 / 花 / apply"),
            ("我希望你能写一份检讨书。", "写 / 检讨书 / create"),
            ("能否提供一下开户行信息？", "提供 / 信息 / remember"),
            ("请问可以帮我查一下余额吗？", "查 / 余额 / remember"),
            ("好的，那就给我推荐一款耳机吧。", "推荐 / 耳机 / evaluate"),
            ("建议先升级驱动。", "升级 / 驱动 / apply"),
            ("吃完饭可以帮我叫一辆车吗？", "叫 / 车 / apply"),
            ("打印机卡纸了，请派人来修。", "派 / 人 / apply"),
            ("请所有员工核对姓名。", "核对 / 姓名 / evaluate"),
        ],
    );
}

#[test]
fn chinese_wishes_count_where_nothing_is_asked() {
    check(
        Tongue::Chinese,
        &[
            ("我想租一辆车。", "租 / 车 / apply"),
            ("我想买花，请包一束百合。", "包 / 百合 / apply"),
            ("我要预约周六的保养。", "预约 / 保养 / apply"),
            ("我需要一份离职证明。", "-"),
        ],
    );
}

#[test]
fn chinese_phrases_before_the_verb() {
    check(
        Tongue::Chinese,
        &[
            ("把钥匙交给我。", "交 / 钥匙 / apply"),
            ("将以下步骤分类为硬件或软件。", "分类 / 步骤 / understand"),
            ("对销售数据进行分析。", "分析 / 数据 / analyse"),
            ("针对客户的投诉，予以书面答复。", "答复 / 投诉 / apply"),
            ("使用扳手拧紧螺丝。", "拧紧 / 螺丝 / apply"),
            ("用三句话总结这份报告。", "总结 / 报告 / understand"),
            ("从简历中抽取候选人的姓名。", "抽取 / 姓名 / analyse"),
            ("根据用户评论，归纳主要问题。", "归纳 / 问题 / analyse"),
            ("向新同事介绍公司的报销制度。", "介绍 / 制度 / understand"),
            ("先打开文件，再删第一行。", "打开 / 文件 / apply"),
            ("在文件中将学习率改为1e-4。", "改 / 学习率 / apply"),
            ("把邮件标记为已读。", "标记 / 邮件 / understand"),
            ("使用以下脚本启动训练。", "启动 / 训练 / apply"),
            ("对训练好的模型进行评测。", "评测 / 模型 / evaluate"),
            ("就如何提高效率提出三点建议。", "提出 / 建议 / evaluate"),
            ("启动服务后检查日志。", "检查 / 日志 / evaluate"),
            ("如果客户要求退款，先核实订单状态。", "核实 / 状态 / evaluate"),
            ("扮演一名面试官，请提三个问题。", "提 / 问题 / create"),
            ("不要重复上面的内容，补充两个新观点。", "补充 / 观点 / apply"),
            ("店铺的地址给我发一下。", "发 / 地址 / remember"),
        ],
    );
}

#[test]
fn chinese_complements_and_separable_verbs() {
    check(
        Tongue::Chinese,
        &[
            ("把这段话改成书面语。", "改 / 话 / apply"),
            ("把下面的句子翻译成英文。", "翻译 / 句子 / understand"),
            ("提炼出三个要点。", "提炼 / 要点 / analyse"),
            ("找出句子中的语病。", "找出 / 语病 / remember"),
            ("试试新的方案。", "试 / 方案 / apply"),
            ("谈一谈你的理解。", "谈 / 理解 / understand"),
            ("做一次市场调查。", "调查 / 市场 / analyse"),
            ("给一份清单。", "给 / 清单 / remember"),
            ("画一张图。", "画 / 图 / create"),
            ("帮我请假。", "请假 / - / apply"),
            ("替我向经理请个假。", "请假 / - / apply"),
            ("给妈妈打电话。", "打 / 电话 / apply"),
        ],
    );
}

#[test]
fn chinese_objects() {
    check(
        Tongue::Chinese,
        &[
            ("告诉我餐厅的营业时间。", "告诉 / 时间 / remember"),
            ("问问有没有空房。", "问 / - / remember"),
            ("说明如何关闭续费。", "说明 / - / understand"),
            ("推荐一家。", "推荐 / - / evaluate"),
            ("默写《静夜思》。", "默写 / - / remember"),
            ("比较两种方案在成本上的差异。", "比较 / 差异 / analyse"),
            ("列出姓名、电话和地址。", "列出 / 姓名 / remember"),
            ("找一家评分在4分以上，有早餐的酒店。", "找 / 酒店 / remember"),
            ("运行以下命令启动服务。", "运行 / 命令 / apply"),
            ("说服客户续签合同。", "说服 / 客户 / create"),
            ("写一个函数来计算阶乘。", "写 / 函数 / create"),
            ("删除第二段。", "删除 / 段 / apply"),
            ("我要投诉你们的快递员。", "投诉 / 快递员 / apply"),
        ],
    );
}

#[test]
fn chinese_texts_that_ask_for_nothing() {
    let texts = [
        "怎么重置密码？",
        "请问你们几点下班？",
        "可以刷卡吗？",
        "你会写诗吗？",
        "你们支持退货吗？",
        "谢谢你的帮助！",
        "我的快递三天没有更新了。",
        "小红有三个苹果，送给弟弟一个，还剩几个？",
        "评分也不高。",
        "《员工手册》第三章",
        "max_length: 截断的长度",
        "减少浪费的三个步骤",
        "错误码：读取配置失败",
        "",
    ];
    check(Tongue::Chinese, &texts.map(|text| (text, "-")));
}

#[test]
fn steps_and_constraints_are_counted() {
    let cases = [
        (Tongue::English, "Write a poem.", 1, 0),
        (Tongue::English, "First open the file, then count the rows and delete the last one.", 3, 0),
        (Tongue::English, "1. Clone the repository.\n2. Install it.\n3. Run the tests.", 3, 0),
        (Tongue::English, "Write a story in at most 200 words without names. It must be in JSON format.", 1, 4),
        (Tongue::English, "How do I cook rice?", 0, 0),
        (Tongue::Chinese, "写一首诗。", 1, 0),
        (Tongue::Chinese, "先打开文件，再删除第一行，然后保存文件。", 3, 0),
        (Tongue::Chinese, "读取文件并统计行数。", 2, 0),
        (Tongue::Chinese, "写一段介绍，不超过100字，语气要正式，必须押韵。", 1, 5),
        // Each counts where it stands, also the second of a kind in a sentence.
        (Tongue::English, "Write exactly 3 lines of at least 4 and at most 5 words, without names.", 1, 4),
        (Tongue::Chinese, "写一段介绍，至少50字，不超过100字。不要用英文，不要押韵。", 1, 5),
        (Tongue::Chinese, "天空为什么是蓝色的？", 0, 0),
    ];
    for (tongue, text, steps, constraints) in cases {
        let found = analyse(text, tongue);
        assert_eq!((found.steps, found.constraints), (steps, constraints), "{text}");
    }
}

#[test]
fn steps_are_limited() {
    for (tongue, text) in [
        (Tongue::English, format!("Sort it{}.", " and sort it".repeat(300))),
        (Tongue::Chinese, format!("打开文件{}。", "，然后打开文件".repeat(190))),
    ] {
        assert_eq!(analyse(&text, tongue).steps, 99);
    }
}

#[test]
fn the_verb_is_found_where_it_stands() {
    for (tongue, text, verb) in [
        (Tongue::English, "Ok, could you please SEND it “now”?", "SEND"),
        (Tongue::Chinese, "你好，请把门打开。", "打开"),
    ] {
        let at = analyse(text, tongue).root.map(|root| root.at).unwrap_or_default();
        assert_eq!(&text[at], verb);
    }
}

#[test]
fn a_request_after_a_long_paste_is_found_at_its_end() {
    let english = format!("{}\nSummarize the log.", "The pump was on. ".repeat(2000));
    let chinese = format!("{}\n请总结这份日志。", "水泵已经开了。".repeat(2000));
    for (tongue, text, verb) in [(Tongue::English, english, "Summarize"), (Tongue::Chinese, chinese, "总结")] {
        let root = analyse(&text, tongue).root.map(|root| root.at).unwrap_or_default();
        assert_eq!(&text[root], verb);
    }
}

fn asked(verb: &str, noun: Option<&str>, level: Level) -> Analysis {
    let root = Root { verb: verb.to_owned(), noun: noun.map(str::to_owned), level, at: 0..0 };
    Analysis { root: Some(root), steps: 1, constraints: 0 }
}

#[test]
fn diversity_counts_pairs_and_their_spread() {
    let mut all = Diversity::default();
    for _ in 0..2 {
        all.add(&asked("write", Some("poem"), Level::Create));
    }
    all.add(&asked("write", Some("email"), Level::Create));
    all.add(&asked("list", None, Level::Remember));
    all.add(&Analysis::default());
    assert_eq!((all.texts(), all.requests(), all.distinct_pairs()), (5, 4, 3));
    assert_eq!((all.entropy_bits(), all.top_share()), (1.5, 0.5));
    assert_eq!((all.steps()[0], all.steps()[1]), (1, 4));
    assert_eq!(all.top_pairs(1), [("write", Some("poem"), Level::Create, 2)]);
    let rare: Vec<Level> = all.rare_levels().into_iter().map(|(level, _)| level).collect();
    assert_eq!(rare, [Level::Understand, Level::Apply, Level::Analyse, Level::Evaluate]);

    let sunburst = all.sunburst(1, 1);
    assert_eq!((sunburst.sectors.len(), sunburst.rest), (1, 1));
    let write = &sunburst.sectors[0];
    assert_eq!((write.verb.as_str(), write.count, write.rest), ("write", 3, 1));
    assert_eq!(write.petals, [Petal { noun: "poem".to_owned(), count: 2 }]);
}

#[test]
fn diversity_of_nothing_is_zero() {
    let none = Diversity::default();
    assert_eq!((none.entropy_bits(), none.top_share(), none.distinct_pairs()), (0.0, 0.0, 0));
    assert_eq!(none.rare_levels(), []);
}

#[test]
fn diversity_merges_in_any_order_and_survives_json() {
    let texts = ["Write a poem.", "List three rivers.", "Write a poem.", "Hello!", "Fix it.", "Draw a cat and a dog."];
    let mut whole = Diversity::default();
    let mut shards = [Diversity::default(), Diversity::default(), Diversity::default()];
    for (i, text) in texts.iter().enumerate() {
        let analysis = analyse(text, Tongue::English);
        whole.add(&analysis);
        shards[i % 3].add(&analysis);
    }
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut merged = Diversity::default();
        for i in order {
            let json = serde_json::to_string(&shards[i]).unwrap();
            merged.merge(serde_json::from_str(&json).unwrap());
        }
        assert_eq!(merged, whole);
    }
}

#[test]
fn diversity_beyond_its_bound_keeps_what_the_pairs_alone_decide() {
    let pairs = PAIRS_MAX + PAIRS_MAX / 2;
    let noun = |i: usize| asked("make", Some(&format!("n{i}")), Level::Create);
    let (mut up, mut low, mut high) = (Diversity::default(), Diversity::default(), Diversity::default());
    for i in 0..pairs {
        up.add(&noun(i));
        if i < pairs / 3 { &mut low } else { &mut high }.add(&noun(pairs - 1 - i));
    }
    high.merge(low);
    assert!(up == high, "the same pairs in another order and in two parts");
    assert!(up.is_thinned());
    let ratio = up.distinct_pairs() as f64 / pairs as f64;
    assert!((0.99..1.01).contains(&ratio), "distinct pairs are estimated at {ratio} of what they are");
    assert!((up.entropy_bits() / (pairs as f64).log2() - 1.0).abs() < 0.01, "{} bits", up.entropy_bits());
}

proptest! {
    #[test]
    fn any_text_is_read_and_positions_are_its_own(text in "(?s)[ -~\n“”’—…，。？请把给我写一首诗的吗、《》（]{0,80}") {
        for tongue in [Tongue::English, Tongue::Chinese] {
            let found = analyse(&text, tongue);
            prop_assert_eq!(found.steps > 0, found.root.is_some());
            if let Some(root) = found.root {
                prop_assert!(text.get(root.at.clone()).is_some_and(|verb| !verb.is_empty()));
                prop_assert!(!root.verb.is_empty());
            }
        }
    }
}

struct Figures {
    /// Right verbs of those given.
    precision: f64,
    /// Rows with a verb that got one.
    answered: f64,
    /// Of right verbs.
    nouns: f64,
    levels: f64,
}

fn judged(name: &str, tongue: Tongue) -> Figures {
    let path = format!("{}/../../fixtures/labels/instructions/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (mut wanted, mut answered, mut given, mut verbs, mut nouns, mut levels) = (0, 0, 0, 0, 0, 0);
    for line in file.lines() {
        let label: serde_json::Value = serde_json::from_str(line).unwrap();
        let root = analyse(label["text"].as_str().unwrap(), tongue).root;
        wanted += u32::from(label["verb"].is_string());
        let Some(root) = root else { continue };
        given += 1;
        answered += u32::from(label["verb"].is_string());
        if label["verb"] == root.verb.as_str() {
            verbs += 1;
            nouns += u32::from(label["noun"].as_str() == root.noun.as_deref());
            levels += u32::from(label["level"] == root.level.name());
        }
    }
    let share = |n: u32, of: u32| f64::from(n) / f64::from(of);
    Figures {
        precision: share(verbs, given),
        answered: share(answered, wanted),
        nouns: share(nouns, verbs),
        levels: share(levels, verbs),
    }
}

#[test]
fn the_open_halves_are_read_as_labelled() {
    for (name, tongue) in [("en.open", Tongue::English), ("zh.open", Tongue::Chinese)] {
        let found = judged(name, tongue);
        assert!(found.precision >= 0.97, "{name}: precision {:.3}", found.precision);
        assert!(found.answered >= 0.97, "{name}: answered {:.3}", found.answered);
        assert!(found.nouns >= 0.93, "{name}: nouns {:.3}", found.nouns);
        assert!(found.levels >= 0.88, "{name}: levels {:.3}", found.levels);
    }
}

/// Prints one figure alone: these rows are not to be looked at.
#[test]
fn verbs_of_the_held_out_halves_are_right_in_nine_of_ten() {
    for (name, tongue) in [("en.held_out", Tongue::English), ("zh.held_out", Tongue::Chinese)] {
        let found = judged(name, tongue);
        assert!(found.precision >= 0.9, "{name}: precision {:.3}", found.precision);
        assert!(found.answered >= 0.9, "{name}: answered {:.3}", found.answered);
    }
}
