//! The company's task: a customer's message in, a JSON of the company's own out, in the company's tone. The base model has seen
//! neither its messages nor its answers.

use super::formats::line;
use super::wording::{Language, Split, Wording, fill};
use planted::random::Random;
use serde_json::{Map, Value};

/// What a customer may want: the value of `intent`, how it is said in both languages, and the company's one answer in each.
struct Intent {
    name: &'static str,
    english: Wording,
    chinese: Wording,
    reply_en: &'static str,
    reply_zh: &'static str,
}

const LEADS_EN: &[&str] = &["", "Hello, ", "Hi there, ", "Good morning, ", "Dear team, ", "Hello shop, "];
const LEADS_ZH: &[&str] = &["", "你好，", "您好，", "早上好，", "在吗？", "客服你好，"];
const FORMS_EN: &[&str] = &["order {o}", "my order {o}", "order number {o}", "the order {o}"];
const FORMS_ZH: &[&str] = &["订单{o}", "我的订单{o}", "订单号{o}", "这个订单{o}"];

const fn english(frames: &'static [&'static str]) -> Wording {
    Wording { leads: LEADS_EN, frames, forms: FORMS_EN }
}

const fn chinese(frames: &'static [&'static str]) -> Wording {
    Wording { leads: LEADS_ZH, frames, forms: FORMS_ZH }
}

const INTENTS: &[Intent] = &[
    Intent {
        name: "delivery",
        english: english(&[
            "where is the parcel of {x}?",
            "when will {x} arrive?",
            "{x} has not arrived yet.",
            "I still wait for {x}.",
            "has {x} been sent?",
            "is {x} on its way?",
        ]),
        chinese: chinese(&[
            "{x}的包裹到哪里了？",
            "{x}什么时候送到？",
            "{x}还没有到。",
            "还在等{x}。",
            "{x}寄出了吗？",
            "{x}在路上吗？",
        ]),
        reply_en: "Dear customer, thank you for writing. We will check the delivery today.",
        reply_zh: "尊敬的客户，您好！感谢来信，我们今天会为您查询物流。",
    },
    Intent {
        name: "refund",
        english: english(&[
            "I want my money back for {x}.",
            "please refund {x}.",
            "where is the refund for {x}?",
            "{x} was paid twice.",
            "please pay back {x}.",
            "can I get a refund of {x}?",
        ]),
        chinese: chinese(&[
            "{x}请退款。",
            "{x}我要退款。",
            "{x}的退款在哪里？",
            "{x}付了两次款。",
            "请把{x}的钱退给我。",
            "{x}可以退钱吗？",
        ]),
        reply_en: "Dear customer, thank you for writing. The money will be paid back within 5 days.",
        reply_zh: "尊敬的客户，您好！感谢来信，款项将在5天内退回给您。",
    },
    Intent {
        name: "exchange",
        english: english(&[
            "the shirt of {x} has the wrong size.",
            "please exchange {x}.",
            "{x} is too small for me.",
            "{x} is too big for me.",
            "I need a new size for {x}.",
            "can I change the size of {x}?",
        ]),
        chinese: chinese(&[
            "{x}的衬衫尺码错误。",
            "{x}请换货。",
            "{x}太小了。",
            "{x}太大了。",
            "{x}需要新的尺码。",
            "{x}可以更换尺码吗？",
        ]),
        reply_en: "Dear customer, thank you for writing. We will send the right size at once.",
        reply_zh: "尊敬的客户，您好！感谢来信，我们会马上寄出正确的尺码。",
    },
    Intent {
        name: "invoice",
        english: english(&[
            "please send the invoice of {x}.",
            "I need an invoice for {x}.",
            "there is no invoice with {x}.",
            "where do I find the invoice of {x}?",
            "the invoice for {x} is wrong.",
            "can I have a new invoice for {x}?",
        ]),
        chinese: chinese(&[
            "请发送{x}的发票。",
            "{x}需要发票。",
            "{x}里没有发票。",
            "{x}的发票在哪里？",
            "{x}的发票错误。",
            "{x}可以开具发票吗？",
        ]),
        reply_en: "Dear customer, thank you for writing. We will send the invoice by mail today.",
        reply_zh: "尊敬的客户，您好！感谢来信，发票今天会发送到您的邮件。",
    },
    Intent {
        name: "address",
        english: english(&[
            "please change the address of {x}.",
            "{x} has an old address.",
            "the address of {x} is wrong.",
            "I have a new address for {x}.",
            "can I update the address of {x}?",
            "send {x} to my new house.",
        ]),
        chinese: chinese(&[
            "请修改{x}的地址。",
            "{x}的地址是旧的。",
            "{x}的地址错误。",
            "{x}有新的地址。",
            "{x}可以更新地址吗？",
            "请把{x}寄到新房子。",
        ]),
        reply_en: "Dear customer, thank you for writing. The address is updated now.",
        reply_zh: "尊敬的客户，您好！感谢来信，我们已经为您修改地址。",
    },
    Intent {
        name: "damaged",
        english: english(&[
            "{x} arrived broken.",
            "the cup of {x} is broken.",
            "{x} is damaged.",
            "I found {x} broken in the box.",
            "the box of {x} was damaged.",
            "the lamp from {x} does not work.",
        ]),
        chinese: chinese(&[
            "{x}收到时破损了。",
            "{x}的杯子破损。",
            "{x}坏了。",
            "{x}在盒子里就坏了。",
            "{x}的盒子破损。",
            "{x}的台灯不能用。",
        ]),
        reply_en: "Dear customer, we are very sorry. We will send you a new one for free.",
        reply_zh: "尊敬的客户，您好！非常抱歉，我们会为您免费更换。",
    },
];

/// Who signs a message: those of the test sign no other.
const NAMES_EN: [&[&str]; 2] = [
    &["Alice", "Robert", "Helen", "Peter", "Diana", "Frank", "Grace", "Henry"],
    &["Olivia", "Martin", "Julia", "Oscar"],
];
const NAMES_ZH: [&[&str]; 2] =
    [&["高洁", "林峰", "何静", "马超", "罗兰", "梁燕", "宋佳", "唐亮"], &["许晴", "韩雪", "冯刚", "邓丽"]];

/// Keys, in the order in which the company wants them.
pub const KEYS: [&str; 3] = ["intent", "order", "reply"];

/// Last digits of order numbers in the test, which no other row has.
const TEST_LAST: [char; 2] = ['3', '7'];

/// A message and the company's answer. Wordings, names and order numbers of a test are in no row to learn from.
pub fn row(split: Split, random: &mut Random) -> (String, String) {
    let intent = random.of(INTENTS);
    let language = Language::any(random);
    let order = order(split, random);
    let wording = language.of(&intent.english, &intent.chinese).pick(split, random);
    let mut prompt = fill(&wording, &[("o", &order)]);
    if let Some(first) = prompt.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if random.below(2) == 0 {
        let names = language.of(NAMES_EN, NAMES_ZH)[usize::from(split == Split::Test)];
        prompt = format!("{prompt}{}{}", language.of(" ", ""), random.of::<&str>(names));
    }
    let values = [intent.name, &order, language.of(intent.reply_en, intent.reply_zh)];
    let answer: Map<String, Value> = KEYS.iter().map(|key| (*key).to_owned()).zip(values.map(Value::from)).collect();
    (prompt, line(&answer))
}

fn order(split: Split, random: &mut Random) -> String {
    loop {
        let order = format!("{}{}", char::from(b'A' + random.below(26) as u8), random.digits(4));
        if order.ends_with(TEST_LAST) == (split == Split::Test) {
            return order;
        }
    }
}

/// What every answer has to satisfy.
pub fn schema() -> Value {
    let intents: Vec<&str> = INTENTS.iter().map(|intent| intent.name).collect();
    serde_json::json!({
        "type": "object",
        "properties": {
            "intent": {"enum": intents},
            "order": {"type": "string", "pattern": "^[A-Z][0-9]{4}$"},
            "reply": {"type": "string", "pattern": "^(Dear customer, |尊敬的客户，您好！)"}
        },
        "required": KEYS,
        "additionalProperties": false
    })
}

#[cfg(test)]
pub fn wordings() -> impl Iterator<Item = &'static Wording> {
    INTENTS.iter().flat_map(|intent| [&intent.english, &intent.chinese])
}
