//! Languages of texts, code in them, and answers in another language than the question.

use std::path::Path;

use measures::language::{Han, Language, answers_in_other_language, code_share, entropy, identify, profile};

fn iso(text: &str) -> &'static str {
    identify(text).map_or("-", |found| found.language.iso())
}

#[test]
fn short_instructions_in_twelve_languages_are_told_apart() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/labels/languages.jsonl");
    let rows = std::fs::read_to_string(path).unwrap();
    let (mut right, mut all) = (0, 0);
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        all += 1;
        right += usize::from(row["lang"] == iso(row["text"].as_str().unwrap()));
    }
    assert_eq!(all, 480);
    assert!(right as f64 / all as f64 >= 0.98, "{right} of {all}");
}

#[test]
fn texts_of_a_few_words_are_in_their_language() {
    let texts = [
        ("en", "Tell John to call back"),
        ("en", "Don't forget the milk"),
        ("es", "Necesito una factura de marzo"),
        ("fr", "Je n'arrive pas à ouvrir l'application"),
        ("de", "Weck mich um sechs"),
        ("pt", "Receita de pão sem fermento"),
        ("vi", "Hủy đăng ký của tôi"),
        ("it", "Trova un nome per il mio negozio"),
        ("nl", "Zoek goedkope vluchten naar Lima"),
        ("sv", "Skrivaren fungerar inte"),
        ("tr", "Yazıcı çalışmıyor"),
        ("pl", "Napisz krótki list do szefa"),
        ("id", "Tuliskan tiga kalimat tentang kota"),
        ("zh", "把这句话改得更礼貌"),
        ("zh", "用Python写一个排序函数"),
        ("ja", "この文を丁寧に書き直して"),
        ("ja", "返金手続き"),
        ("ja", "東京駅発の図書券"),
        ("ko", "환불해 주세요"),
        ("ru", "Верни деньги за заказ 5521"),
        ("uk", "Напиши коротку історію про її кота"),
        ("ar", "أعد كتابة هذه الجملة"),
        ("fa", "چند جمله درباره گربه بنویس"),
        ("hi", "पाँच कारण बताओ"),
        ("th", "เขียนประโยคสั้น ๆ"),
        ("he", "כתוב משפט קצר"),
        ("el", "Γράψε μια μικρή ιστορία"),
    ];
    for (language, text) in texts {
        assert_eq!(iso(text), language, "{text}");
    }
}

#[test]
fn texts_without_letters_outside_of_code_have_no_language() {
    for text in ["", "  \n", "12345", "3.14 + 2 = 5.14", "👍👍", "```\nlet x = f(1);\n```", "x_1 = 5\ny_2 = [x_1]"]
    {
        assert_eq!(identify(text), None, "{text:?}");
    }
}

#[test]
fn chinese_says_how_it_is_written() {
    let han = |text| identify(text).unwrap().han;
    assert_eq!(han("请帮我检查这封信"), Some(Han::Simplified));
    assert_eq!(han("請幫我檢查這封信"), Some(Han::Traditional));
    assert_eq!(han("一二三四"), None);
}

#[test]
fn a_quotation_does_not_change_the_language_of_an_instruction() {
    for (language, text) in [
        ("en", "Translate \"bonjour tout le monde, comment allez-vous aujourd'hui\" for me, please"),
        ("zh", "请把“The quick brown fox jumps over the lazy dog”这句话改写得更正式一些"),
        ("en", "What does 「今日はいい天気ですね」 mean?"),
    ] {
        assert_eq!(iso(text), language, "{text}");
    }
}

#[test]
fn sentences_in_two_languages_are_mixed_and_foreign_terms_are_not() {
    for text in [
        "The meeting starts at nine o'clock in the big room. 会议九点在大会议室开始，请大家准时参加。",
        "Please read the following text first.\n请先阅读下面的文字，然后回答问题。",
        "The weather is nice today and we are going out. Il fait beau aujourd'hui et nous allons sortir avec les enfants.",
    ] {
        let profile = profile(text);
        assert!(profile.is_mixed(), "{text} {profile:?}");
        assert!((profile.shares.iter().map(|s| s.1).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    for text in [
        "我们使用 machine learning 和 deep learning 来训练 large language model，效果不错。",
        "The word 你好 means hello and is used every day.",
        "请解释 API、SDK 和 REST 的区别。然后说明 HTTP 请求的过程。",
        "She said \"je ne sais pas ce que tu veux dire par là\" and left the room without another word.",
    ] {
        assert!(!profile(text).is_mixed(), "{text} {:?}", profile(text));
    }
}

#[test]
fn the_share_of_code_counts_fences_and_lines_that_look_like_code() {
    for (text, least, most) in [
        ("Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\n", 0.6, 0.9),
        ("for (int i = 0; i < n; i++) {\n  sum += a[i];\n}", 1.0, 1.0),
        ("def add(a, b):\n    return a + b", 1.0, 1.0),
        ("import os\nx = os.getcwd()\nprint(x)", 1.0, 1.0),
        ("<ul>\n  <li>one</li>\n</ul>", 1.0, 1.0),
        ("{\n  \"name\": \"x\",\n  \"size\": 3\n}", 0.6, 1.0),
        ("For each of you, if you like, there is cake.\nFrom Monday on; let me know.", 0.0, 0.0),
        ("If you want to go, do it:\n- today\n- tomorrow", 0.0, 0.0),
        ("这是一个例子：第一步，打开文件；第二步，关闭文件。", 0.0, 0.0),
        ("", 0.0, 0.0),
    ] {
        let share = code_share(text);
        assert!((least..=most).contains(&share), "{text:?} {share}");
    }
}

#[test]
fn answers_in_another_language_are_found() {
    for (question, answer) in [
        ("列出三种水果。", "Here are three kinds of fruit that you can buy in every shop: apples, pears and plums."),
        ("Name three kinds of fruit.", "苹果、梨和李子是三种常见的水果。"),
        (
            "How do I get to the station from here?",
            "Désolé, je ne peux pas répondre à cette question, parce que je ne connais pas la ville et que je n'ai pas de plan.",
        ),
        ("Erkläre bitte, wie ein Motor funktioniert.", "Это сложный вопрос, и ответ на него занимает много времени."),
    ] {
        let confidence = answers_in_other_language(question, answer).unwrap_or(0.0);
        assert!(confidence >= 0.5, "{question} {answer} {confidence}");
    }
}

#[test]
fn answers_that_were_asked_for_in_another_language_are_not() {
    for (question, answer) in [
        (
            "Name three kinds of fruit in French.",
            "La pomme, la poire et la prune sont des fruits que tout le monde connaît dans ce pays.",
        ),
        ("用英语介绍一下你自己。", "My name is Anna and I have been working as a teacher in this town for ten years."),
        (
            "翻译：我们明天上午九点开会。",
            "We have a meeting at nine o'clock tomorrow morning, so please do not be late.",
        ),
        ("Rewrite more politely: 你快点把文件给我，我很着急。", "麻烦您尽快把文件发给我，非常感谢您的帮助。"),
        ("推荐一部电影。", "The Lord of the Rings"),
        ("写一个函数。", "def add(first, second):\n    # returns the sum of both of them\n    return first + second"),
        (
            "用“opulent”造一个句子。",
            "The wedding was held in an opulent room with large windows and a view of the sea.",
        ),
        ("12 + 30 = ?", "十二加三十等于四十二。"),
        ("Who wrote Faust?", "Johann Wolfgang von Goethe, Die Leiden des jungen Werther"),
        (
            "Describe a mojito cocktail.",
            "A mojito is a Cuban drink made of rum, sugar, lime juice, soda water and mint, served cold in a glass.",
        ),
        (
            "请介绍 Transformer。",
            "Transformer 是一种 neural network，使用 self-attention 处理序列，常用于 machine translation。",
        ),
    ] {
        let found = answers_in_other_language(question, answer);
        assert!(found.is_none_or(|confidence| confidence < 0.5), "{question} {answer} {found:?}");
    }
}

/// "language" alone is no request for another one.
#[test]
fn languages_that_are_none_of_people_excuse_nothing() {
    let english = "Spring comes softly over the hills, and the rivers wake from their long sleep under the ice.";
    for asked in [
        "请用优美的语言描述春天的景色。",
        "请推荐一门适合初学者的编程语言，并说明理由。",
        "用通俗易懂的语言解释什么是黑洞。",
    ] {
        assert!(answers_in_other_language(asked, english).is_some(), "{asked}");
    }
    let chinese = "春天来了，山坡上开满了花，小河在阳光下静静地流过村庄，孩子们在草地上放风筝。";
    for asked in
        ["Describe the spring in beautiful language.", "Which programming language should a beginner learn first?"]
    {
        assert!(answers_in_other_language(asked, chinese).is_some(), "{asked}");
    }
    for asked in ["请用另一种语言描述春天的景色。", "请用外国语言描述春天的景色。", "把下面这句话翻译一下：春天来了。"]
    {
        assert_eq!(answers_in_other_language(asked, english), None, "{asked}");
    }
    for asked in [
        "Describe the spring in another language.",
        "Describe the spring in a foreign language.",
        "In any other language, describe the spring.",
    ] {
        assert_eq!(answers_in_other_language(asked, chinese), None, "{asked}");
    }
}

/// Bytes were counted where characters are promised: an ideograph weighed as much as three letters of code.
#[test]
fn the_share_of_code_is_one_of_characters() {
    let text = "这是一个用来求和的函数，十分简单。\n```\nabcdefghijk\n```";
    assert_eq!((code_share(text), profile(text).code), (0.5, 0.5));
}

#[test]
fn entropy_is_in_bits() {
    assert_eq!(entropy([]), 0.0);
    assert_eq!(entropy([0, 9]), 0.0);
    assert!((entropy([5, 5]) - 1.0).abs() < 1e-12);
    assert!((entropy([1; 8]) - 3.0).abs() < 1e-12);
}

#[test]
fn every_language_has_a_code_of_its_own() {
    for &language in Language::ALL {
        assert_eq!(Language::from_iso(language.iso()), Some(language));
        assert_eq!(serde_json::to_value(language).unwrap(), language.iso());
    }
    assert_eq!(Language::from_iso("xx"), None);
}

proptest::proptest! {
    #[test]
    fn any_text_has_a_profile(text in "\\PC*|[a-zé\"`“”「」 .\\n一-十あ-おА-я]{0,200}") {
        let profile = profile(&text);
        proptest::prop_assert!((0.0..=1.0).contains(&profile.code));
        proptest::prop_assert!(profile.shares.iter().all(|(_, share)| *share > 0.0 && *share <= 1.0 + 1e-4));
        proptest::prop_assert_eq!(profile.main.is_some(), !profile.shares.is_empty());
    }
}
