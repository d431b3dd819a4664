//! Questions, refusals, leaks, texts in other languages, and rows that only look broken.

use crate::random::Random;
use crate::texts::{Example, Language, paragraph, sentence};

/// A question that prose answers, and how the answer begins.
pub(super) fn question(language: Language, random: &mut Random) -> (String, &'static str) {
    let topic = sentence(language, random);
    let topic = topic.trim_end_matches(['.', '。', '!', '！', '?', '？']);
    match language {
        Language::English => {
            let frames = [
                "Explain what this means:",
                "Comment on the following remark.",
                "Give some background to this:",
                "Say more about this:",
            ];
            (format!("{} {topic}.", random.of(&frames)), "")
        }
        Language::Chinese => {
            let frames = ["请解释下面这句话：", "请就下面的说法谈谈看法：", "补充一些背景：", "请展开说说："];
            (format!("{}{topic}。", random.of(&frames)), "")
        }
    }
}

pub(super) fn html(language: Language, text: &str, random: &mut Random) -> String {
    let share = match language {
        Language::English => "Share",
        Language::Chinese => "分享",
    };
    match random.below(4) {
        0 => format!("<div class=\"post\"><p>{text}</p>&nbsp;<a href=\"#\">{share}</a></div>"),
        1 => format!("<p>{}</p>", text.replace(". ", ".<br/>").replace('。', "。<br/>")),
        2 => format!("{}&nbsp;&nbsp;&quot;{share}&quot; &amp; &#39;{share}&#39;", text.replace(' ', "&nbsp;")),
        _ => format!("<span style=\"color:#333\">{text}</span><br><br>"),
    }
}

pub(super) fn refusal(language: Language, random: &mut Random) -> &'static str {
    const ENGLISH: [&str; 8] = [
        "I'm sorry, but as an AI language model I cannot help with that.",
        "As an AI language model, I cannot fulfill this request.",
        "I'm sorry, but I can't assist with that request.",
        "I apologize, but I am unable to provide an answer to this question.",
        "I cannot assist with that.",
        "As an AI, I do not have the ability to do this.",
        "Unfortunately, I can't help with this, as it is outside of what I was made for.",
        "As an AI language model, I don't have personal opinions or experiences.",
    ];
    const CHINESE: [&str; 8] = [
        "作为一个AI语言模型，我无法回答这个问题。",
        "抱歉，我无法满足您的请求。",
        "对不起，作为一个人工智能，我不能提供这方面的内容。",
        "很抱歉，我不能回答这个问题。",
        "作为人工智能助手，我没有个人的观点和感受。",
        "我是一个人工智能语言模型，无法完成这项任务，因此无法为您提供帮助。我无法执行。",
        "抱歉，我无法协助处理这类问题。",
        "不好意思，作为AI助手，我无法提供相关信息。",
    ];
    let texts = match language {
        Language::English => ENGLISH,
        Language::Chinese => CHINESE,
    };
    super::one_of(random, &texts)
}

/// An answer in neither English nor the language of the question.
pub(super) fn other_language(language: Language, random: &mut Random) -> String {
    const OTHERS: [&str; 7] = [
        "Désolé, je ne peux répondre qu’en français, merci de votre compréhension ; voici toutefois ce que nous savons de cette \
         question et pourquoi elle est difficile.",
        "Das lässt sich nicht in einem Satz sagen, aber die wichtigsten Gründe dafür sind schnell genannt, und wir werden sie hier \
         der Reihe nach besprechen.",
        "Es una pregunta muy interesante, porque no todas las personas la entienden de la misma manera y hay que mirar cada caso \
         con mucho cuidado.",
        "Это хороший вопрос, и ответ на него зависит от того, что именно вы хотите узнать и сколько у вас времени.",
        "これはとても良い質問です。答えは状況によって違いますが、まず基本から順番に説明しましょう。",
        "좋은 질문입니다. 답은 상황에 따라 다르지만 먼저 기본적인 내용부터 차례대로 설명해 드리겠습니다.",
        "هذا سؤال جيد، والجواب عنه يتوقف على ما تريد أن تعرفه بالضبط وعلى الوقت المتاح لديك.",
    ];
    match random.below(3) {
        0 => match language {
            Language::English => paragraph(Language::Chinese, random, 3),
            Language::Chinese => paragraph(Language::English, random, 3),
        },
        _ => (*random.of(&OTHERS)).to_owned(),
    }
}

/// What a chat format leaves behind at the end of an answer.
pub(super) const LEAKS: &[&str] = &[
    "\n### Instruction:\nnext<|im_end|>\n<|im_start|>user",
    "<|im_end|>",
    "\n<|user|>\n",
    "</s>",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>",
    "\n### Human: And what about the other one?",
    "\n\nHuman: Thanks, and then?\n\nAssistant: Then it is done.",
    " [/INST] ok [INST] more",
    "<end_of_turn>\n<start_of_turn>user",
    "\n### Response:\n",
    "<|endoftext|>",
    "<｜end▁of▁sentence｜>",
];

/// A row that looks like a broken one and is whole.
pub(super) fn hard(language: Language, random: &mut Random) -> Example {
    let number = 2 + random.below(900);
    let prose = sentence(language, random);
    let rows: &[(&str, &str)] = match language {
        Language::English => ENGLISH_HARD,
        Language::Chinese => CHINESE_HARD,
    };
    let (instruction, output) = random.of(rows);
    let output = output.replace("{prose}", &prose).replace("{n}", &number.to_string());
    Example { instruction: instruction.replace("{n}", &number.to_string()), input: String::new(), output }
}

const ENGLISH_HARD: &[(&str, &str)] = &[
    ("Write an HTML list with {n} as its first item.", "<ul>\n  <li>{n}</li>\n  <li>two</li>\n</ul>"),
    (
        "How is an ampersand written in HTML, example {n}?",
        "As &amp;amp; and a space that does not break as &amp;nbsp;. Tags such as <br> need no end.",
    ),
    (
        "Build a small landing page for shop {n}.",
        "<!DOCTYPE html>\n<html>\n<head>\n<title>Shop {n}</title>\n</head>\n<body>\n<h1>Welcome</h1>\n</body>\n</html>",
    ),
    ("Which is larger, {n} or 7?", "{n}"),
    (
        "Translate into French: I have {n} apples.",
        "J'ai {n} pommes, et je les mange toutes avec mes amis dans le jardin.",
    ),
    (
        "Write a song about day {n} with a long chorus.",
        "La la la la la la la la la la la la la la la la la la la la la la la la\nOh day {n}, oh day {n}",
    ),
    ("Write a Python function that adds {n}.", "```python\ndef add(x):\n    return x + {n}\n```"),
    ("Write a dialogue about order {n}.", "User: Where is order {n}?\nAssistant: On its way.\nUser: Thanks!"),
    ("Send greetings to team {n} with emoji.", "Well done, team {n}! 👩‍💻👨‍👩‍👧🏳️‍🌈❤️ {prose}"),
    ("Name {n} things or fewer, as a list.", "- red paint\n- a small brush\n- two sheets of paper\n- glue"),
    (
        "What is a language model, in one line (draft {n})?",
        "An AI language model predicts the next word. It cannot see or feel. {prose}",
    ),
    ("Write a polite refusal of invitation {n}.", "I'm sorry, but I can't come on that day. {prose}"),
    (
        "Draw a line of {n} dashes or so.",
        "--------------------------------------------------------------------------------",
    ),
    ("Sign a short note about room {n}.", "{prose}\n\nKind regards,\nAnna"),
    ("Who was at table {n}?", "Łukasz, Zoë, Núñez, Müller, Çelik and Åse — “all” of them, naïve or not… {prose}"),
    ("Say it in Chinese: room {n}.", "{n}号房间，谢谢你的帮助，我们明天上午再见。"),
    (
        "Give a table for run {n}.",
        "| a | b |\n|---|---|\n| 1 | 2 |\n| 1 | 2 |\n| 1 | 2 |\n| 1 | 2 |\n| 1 | 2 |\n| 1 | 2 |",
    ),
    ("Solve {n} + 1.", "{n} + 1 = <<{n}+1>> and so on, if a < b and c > d."),
];

const CHINESE_HARD: &[(&str, &str)] = &[
    ("写一个包含{n}的HTML列表。", "<ul>\n  <li>{n}</li>\n  <li>二</li>\n</ul>"),
    ("把“我有{n}个苹果”翻译成英文。", "I have {n} apples, and I will share them with all of my friends."),
    ("用Python写一个加{n}的函数。", "```python\ndef add(x):\n    return x + {n}\n```"),
    ("{n}和7哪个大？", "{n}"),
    ("写一段关于订单{n}的客服对话。", "用户：订单{n}到哪了？\n助手：已经发货。\n用户：谢谢！"),
    (
        "什么是语言模型？请用一句话说明（第{n}稿）。",
        "语言模型是人工智能的一种，它根据上文预测下一个词，不能看见东西，也没有感情。{prose}",
    ),
    (
        "介绍一下 machine learning 和 deep learning，第{n}课。",
        "Machine learning 是让计算机从数据中学习的方法，deep learning 是其中使用多层 neural network 的一类。{prose}",
    ),
    (
        "写一首有副歌的歌，编号{n}。",
        "啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦啦\n第{n}天，我们一起唱",
    ),
    ("给第{n}组发一条带表情的祝福。", "第{n}组辛苦了！👩‍💻👨‍👩‍👧❤️ {prose}"),
    ("列出{n}号箱里的东西。", "- 红色颜料\n- 小刷子\n- 两张纸\n- 胶水"),
    ("请用日语说：{n}号房间在哪里？", "{n}号室はどこですか。教えてください。"),
    ("替我婉拒第{n}号邀请。", "抱歉，那天我不能参加。{prose}"),
    ("写出生僻字的例子，第{n}题。", "例如：彧、翀、堃、赟、淼、犇、骉、麤。{prose}"),
    ("用繁體字寫一句話，第{n}題。", "這是一個關於學習與時間的例子，請認真閱讀。"),
];
