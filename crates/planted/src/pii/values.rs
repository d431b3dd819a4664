//! Values that are right by construction, in every form that people write them.

use super::Piece;
use crate::random::Random;

type Maker = fn(&mut Random) -> (&'static str, String);

/// A kind, how values of it are made, and the words around them.
struct Source {
    kind: &'static str,
    make: Maker,
    words: &'static [&'static str],
}

pub(super) fn english(random: &mut Random) -> Piece {
    draw(ENGLISH, random)
}

pub(super) fn chinese(random: &mut Random) -> Piece {
    draw(CHINESE, random)
}

fn draw(sources: &[Source], random: &mut Random) -> Piece {
    let source = random.of(sources);
    let (form, value) = (source.make)(random);
    Piece { kind: source.kind, form, value, words: random.of::<&str>(source.words) }
}

const ENGLISH: &[Source] = &[
    Source {
        kind: "phone",
        make: us_phone,
        words: &[
            "Call me back on {} please.",
            "Phone: {}.",
            "You can text {} after six.",
            "(cell {})",
            "My number is {}.",
        ],
    },
    Source {
        kind: "phone",
        make: abroad,
        words: &[
            "My number is {}.",
            "Ring {} from abroad.",
            "WhatsApp {} works best.",
            "tel:{};",
            "Reach us under {} today.",
        ],
    },
    Source {
        kind: "email",
        make: email,
        words: &["You can reach me at {}.", "Email: {}, thanks.", "(mail {})", "Write to <{}>.", "cc {};"],
    },
    Source {
        kind: "us_ssn",
        make: ssn,
        words: &["SSN {} for the form.", "My social security number is {}.", "social security no. {},"],
    },
    Source {
        kind: "bank_card",
        make: card,
        words: &[
            "charge card {} instead.",
            "card no. {}.",
            "My Visa or other card: {}!",
            "credit card number is {}, ok?",
        ],
    },
    Source { kind: "iban", make: iban, words: &["transfer to {} today.", "IBAN: {}.", "my account is {}, as before."] },
    Source {
        kind: "ip",
        make: ip_v4,
        words: &[
            "the host {} is down.",
            "logged in from {}.",
            "http://{}/status fails.",
            "IP={};",
            "ping {}:443 times out.",
        ],
    },
    Source { kind: "ip", make: ip_v6, words: &["ping {} fails.", "address {} is new.", "see [{}]:8080."] },
    Source {
        kind: "passport",
        make: passport,
        words: &["My passport number is {}.", "passport no. {},", "Passport: {}."],
    },
    Source {
        kind: "address",
        make: street,
        words: &["I live at {}.", "Please ship to {}.", "My home address is {}, thanks."],
    },
    Source { kind: "wechat", make: wechat, words: &["my WeChat ID is {}.", "Add me on WeChat: {}."] },
    Source {
        kind: "api_key",
        make: api_key,
        words: &["OPENAI_API_KEY=\"{}\"", "the key {} leaked.", "key: {}", "export KEY={}\n", "'{}'"],
    },
    Source {
        kind: "api_key",
        make: aws_secret,
        words: &["aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}", "\"SecretAccessKey\": \"{}\","],
    },
    Source {
        kind: "token",
        make: token,
        words: &["export GH_TOKEN={}", "token {} expired.", "Authorization: Bearer {}", "use `{}` here.", "\"{}\""],
    },
    Source { kind: "private_key", make: private_key, words: &["{}", "my key:\n{}\nkeep it.", "Here it is: {} ok"] },
    Source {
        kind: "url_password",
        make: url,
        words: &["postgres url: {}", "DATABASE_URL={}", "connect to {} first.", "\"{}\""],
    },
    Source {
        kind: "password",
        make: password,
        words: &["password: {}", "DB_PASSWORD=\"{}\"", "my password is {}, please reset it", "passwd = '{}'"],
    },
];

const CHINESE: &[Source] = &[
    Source {
        kind: "phone",
        make: cn_mobile,
        words: &[
            "我的手机号是{}，有事打给我。",
            "联系电话：{}。",
            "手机{}，微信同号。",
            "请致电{}谢谢。",
            "收件人王先生{}。",
            "+86 {}。",
            "（电话：{}）",
        ],
    },
    Source {
        kind: "phone",
        make: cn_landline,
        words: &["前台电话{}。", "电话是{}，请记一下。", "座机：{}。", "公司的号码是{}。", "传真{}。"],
    },
    Source {
        kind: "phone",
        make: bare_landline,
        words: &["电话是{}。", "餐厅的电话：{}。", "它的电话是{}，评分4.5分。"],
    },
    Source { kind: "phone", make: abroad, words: &["海外电话{}。", "他的号码是{}，现在在国外。"] },
    Source {
        kind: "email",
        make: email,
        words: &["请发邮件到{}谢谢。", "邮箱：{}。", "我的邮箱是{}，请查收。", "联系{}即可。", "（{}）"],
    },
    Source {
        kind: "cn_id",
        make: cn_id,
        words: &["身份证号{}，请核对。", "身份证：{}。", "证件号码是{}。", "我是李四{}。"],
    },
    Source {
        kind: "cn_id", make: cn_id_15, words: &["老身份证号{}。", "身份证号码：{}，十五位的。"]
    },
    Source {
        kind: "bank_card",
        make: unionpay,
        words: &["退款请打到卡号{}。", "银行卡：{}。", "我的工行卡号是{}，谢谢。", "账号{}开户行北京。"],
    },
    Source { kind: "bank_card", make: card, words: &["信用卡号{}。", "用卡{}支付。"] },
    Source {
        kind: "plate", make: plate, words: &["车牌{}停在门口。", "我的车牌号是{}。", "一辆{}挡住了出口。"]
    },
    Source {
        kind: "passport",
        make: cn_passport,
        words: &["护照号码为{}。", "护照：{}。", "我的护照号是{}，已过期。"],
    },
    Source {
        kind: "wechat",
        make: wechat,
        words: &["加我微信：{}。", "微信号{}。", "我的微信是{}，常联系。", "加微信{}进群。"],
    },
    Source {
        kind: "qq", make: qq, words: &["QQ：{}。", "我的QQ号是{}。", "加qq{}。", "QQ群号{}，欢迎加入。"]
    },
    Source {
        kind: "address",
        make: cn_address,
        words: &["我家住在{}。", "收货地址：{}。", "请寄到{}，谢谢。", "家庭住址是{}。"],
    },
    Source {
        kind: "ip",
        make: ip_v4,
        words: &["服务器地址{}登录不上。", "IP是{}。", "从{}登录。", "请ping一下{}看看。"],
    },
    Source { kind: "ip", make: ip_v6, words: &["地址{}不通。", "IPv6：{}。"] },
    Source {
        kind: "api_key", make: api_key, words: &["密钥是{}。", "我的key：{}，别外传。", "API_KEY={}"]
    },
    Source { kind: "token", make: token, words: &["令牌{}过期了。", "token是{}。", "请用{}调用。"] },
    Source { kind: "url_password", make: url, words: &["连接{} 失败。", "数据库地址是{}，打不开。"] },
    Source {
        kind: "password",
        make: password,
        words: &["密码是{}，请改掉。", "登录密码：{}。", "初始密码为{}。", "口令：{}"],
    },
    Source { kind: "iban", make: iban, words: &["请汇款到{}。", "国际账号：{}。"] },
];

fn us_phone(r: &mut Random) -> (&'static str, String) {
    let three = |r: &mut Random| format!("{}{}{}", 2 + r.below(8), r.below(9), 2 + r.below(8));
    let (a, b, c) = (three(r), three(r), r.digits(4));
    let value = match r.below(8) {
        0 => format!("({a}) {b}-{c}"),
        1 => format!("{a}-{b}-{c}"),
        2 => format!("{a}.{b}.{c}"),
        3 => format!("+1 {a} {b} {c}"),
        4 => format!("+1-{a}-{b}-{c}"),
        5 => format!("1-{a}-{b}-{c}"),
        6 => format!("({a}){b}-{c}"),
        _ => format!("+1{a}{b}{c}"),
    };
    ("us_phone", value)
}

/// Numbers of nine countries in the way they are written there.
fn abroad(r: &mut Random) -> (&'static str, String) {
    let d = |r: &mut Random, n: usize| r.digits(n);
    let value = match r.below(9) {
        0 => format!("+44 7700 900{}", d(r, 3)),
        1 => format!("+33 6 {} {} {} {}", 10 + r.below(70), d(r, 2), d(r, 2), d(r, 2)),
        2 => format!("+49 151 {}{}", 1 + r.below(9), d(r, 7)),
        3 => format!("+81 90-{}{}-{}", 1 + r.below(9), d(r, 3), d(r, 4)),
        4 => format!("+91 98{} {}", d(r, 3), d(r, 5)),
        5 => format!("+61 4{} {} {}", 10 + r.below(20), d(r, 3), d(r, 3)),
        6 => format!("+852 9{} {}", d(r, 3), d(r, 4)),
        7 => format!("+44 (0)20 7{} {}", d(r, 3), d(r, 4)),
        _ => format!("+6591{}", d(r, 6)),
    };
    ("intl_phone", value)
}

fn name(r: &mut Random) -> String {
    const NAMES: &[&str] = &["anna", "bruno", "chen", "dora", "erik", "fatima", "goran", "hana", "li.wei", "zhang"];
    const TAILS: &[&str] = &["", "_k", ".meier", "88", "-1990", "+news", ".j.long"];
    format!("{}{}", r.of(NAMES), r.of(TAILS))
}

fn email(r: &mut Random) -> (&'static str, String) {
    const HOSTS: &[&str] = &["example.org", "mail.example.cn", "qq.com", "posteo.de", "uni.example.ac.uk", "corp.io"];
    ("email", format!("{}@{}", name(r), r.of(HOSTS)))
}

fn ssn(r: &mut Random) -> (&'static str, String) {
    let area = loop {
        let area = 1 + r.below(899);
        if area != 666 {
            break area;
        }
    };
    let (group, serial) = (1 + r.below(99), 1 + r.below(9999));
    let gap = if r.below(4) == 0 { " " } else { "-" };
    ("us_ssn", format!("{area:03}{gap}{group:02}{gap}{serial:04}"))
}

/// The digits with the one that makes their Luhn sum a multiple of ten.
pub(super) fn with_luhn(body: &str) -> String {
    let mut sum = 0;
    for (place, c) in body.bytes().rev().enumerate() {
        let digit = u32::from(c - b'0');
        // The check digit will stand to the right, so the last of the body is doubled.
        sum += if place % 2 == 0 { [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit as usize] } else { digit };
    }
    format!("{body}{}", (10 - sum % 10) % 10)
}

fn card(r: &mut Random) -> (&'static str, String) {
    let (form, head, len) = *r.of(&[
        ("visa", "4", 16),
        ("mastercard", "52", 16),
        ("mastercard", "2223", 16),
        ("amex", "37", 15),
        ("discover", "6011", 16),
        ("jcb", "3530", 16),
        ("diners", "36", 14),
    ]);
    let number = with_luhn(&format!("{head}{}", r.digits(len - 1 - head.len())));
    let gap = *r.of(&["", "", " ", "-"]);
    let cuts: &[usize] = if len == 16 { &[4, 8, 12] } else { &[4, 10] };
    (form, cut(&number, cuts, gap))
}

fn cut(number: &str, cuts: &[usize], gap: &str) -> String {
    let mut out = String::new();
    for (at, c) in number.chars().enumerate() {
        if cuts.contains(&at) {
            out.push_str(gap);
        }
        out.push(c);
    }
    out
}

fn unionpay(r: &mut Random) -> (&'static str, String) {
    let len = *r.of(&[16, 19, 19]);
    let head = *r.of(&["622202", "621700", "622848", "625912", "621226"]);
    let number = with_luhn(&format!("{head}{}", r.digits(len - 1 - head.len())));
    let gap = *r.of(&["", "", " "]);
    ("unionpay", cut(&number, &[4, 8, 12, 16], gap))
}

/// The two digits that make letters as numbers leave 1 by 97 (ISO 13616).
pub(super) fn iban_check(country: &str, account: &str) -> u32 {
    let mut rest = 0u32;
    for c in format!("{account}{country}00").chars() {
        let value = c.to_digit(36).unwrap_or(0);
        rest = (rest * if value >= 10 { 100 } else { 10 } + value) % 97;
    }
    98 - rest
}

fn iban(r: &mut Random) -> (&'static str, String) {
    let letters =
        |r: &mut Random, n: usize| -> String { (0..n).map(|_| char::from(b'A' + r.below(26) as u8)).collect() };
    let (country, account) = match r.below(6) {
        0 => ("DE", r.digits(18)),
        1 => ("GB", format!("{}{}", letters(r, 4), r.digits(14))),
        2 => ("FR", format!("{}{}{}", r.digits(10), r.digits(11), r.digits(2))),
        3 => ("NL", format!("{}{}", letters(r, 4), r.digits(10))),
        4 => ("ES", r.digits(20)),
        _ => ("NO", r.digits(11)),
    };
    let number = format!("{country}{:02}{account}", iban_check(country, &account));
    let value = match r.below(4) {
        0 => cut(&number, &[4, 8, 12, 16, 20, 24], " "),
        1 => number.to_lowercase(),
        _ => number,
    };
    ("iban", value)
}

fn ip_v4(r: &mut Random) -> (&'static str, String) {
    let first = *r.of(&[45, 81, 104, 114, 183, 203]);
    ("ipv4", format!("{first}.{}.{}.{}", 20 + r.below(230), r.below(256), 1 + r.below(254)))
}

fn ip_v6(r: &mut Random) -> (&'static str, String) {
    let group = |r: &mut Random| format!("{:x}", 0x100 + r.below(0xfeff));
    let groups: Vec<String> = (0..6).map(|_| group(r)).collect();
    let value = match r.below(3) {
        0 => format!("2001:db8::{}:{}", groups[0], groups[1]),
        1 => format!("fe80::{}", groups[..4].join(":")),
        _ => format!("2001:db8:{}", groups.join(":")),
    };
    ("ipv6", value)
}

fn passport(r: &mut Random) -> (&'static str, String) {
    let letter = char::from(b'A' + r.below(26) as u8);
    let value = match r.below(3) {
        0 => format!("{}{}", 1 + r.below(9), r.digits(8)),
        1 => format!("{letter}{}", r.digits(8)),
        _ => format!("{letter}{letter}{}", r.digits(7)),
    };
    ("passport", value)
}

fn cn_passport(r: &mut Random) -> (&'static str, String) {
    let value = match r.below(3) {
        0 => format!("G{}", r.digits(8)),
        1 => format!("E{}{}", r.of(&["A", "B", "H", "K"]), r.digits(7)),
        _ => format!("E{}", r.digits(8)),
    };
    ("cn_passport", value)
}

fn street(r: &mut Random) -> (&'static str, String) {
    let road = *r.of(&["Maple", "North Oak", "Juniper Hill", "Old Mill", "St. James", "Harbor View"]);
    let kind = *r.of(&["Street", "Avenue", "Road", "Lane", "Dr", "Blvd", "Court"]);
    let town = *r.of(&["Fairview, OH", "Lake City, MN", "Ashton, ID", "Marlow, NH"]);
    let number = 1 + r.below(9900);
    let value = match r.below(3) {
        0 => format!("{number} {road} {kind}"),
        1 => format!("{number} {road} {kind}, Apt {}", 1 + r.below(90)),
        _ => format!("{number} {road} {kind}, {town} {}", 10_000 + r.below(89_999)),
    };
    ("street_address", value)
}

fn cn_address(r: &mut Random) -> (&'static str, String) {
    let city = *r.of(&["北京市海淀区", "上海市徐汇区", "广东省深圳市南山区", "浙江省杭州市西湖区", "成都市武侯区"]);
    let road = *r.of(&["学院路", "漕溪北路", "科技南十二路", "文三路", "人民南路四段", "幸福街", "柳树巷"]);
    let number = 1 + r.below(300);
    let value = match r.below(3) {
        0 => format!("{city}{road}{number}号"),
        1 => format!("{city}{road}{number}号{}号楼{}室", 1 + r.below(30), 101 + r.below(2000)),
        _ => format!("{city}{road}{number}号{}栋{}单元{}", 1 + r.below(30), 1 + r.below(6), 101 + r.below(900)),
    };
    ("cn_address", value)
}

fn cn_mobile(r: &mut Random) -> (&'static str, String) {
    let head =
        *r.of(&["130", "135", "138", "139", "147", "150", "158", "166", "173", "177", "182", "186", "191", "198"]);
    let (a, b) = (r.digits(4), r.digits(4));
    let value = match r.below(8) {
        0 => format!("{head}-{a}-{b}"),
        1 => format!("{head} {a} {b}"),
        2 => wide(&format!("{head}{a}{b}")),
        _ => format!("{head}{a}{b}"),
    };
    ("cn_mobile", value)
}

/// The full-width forms of digits and hyphens.
fn wide(s: &str) -> String {
    s.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap_or(c)).collect()
}

fn cn_landline(r: &mut Random) -> (&'static str, String) {
    let (area, len) = *r.of(&[("010", 8), ("021", 8), ("028", 8), ("0755", 8), ("0571", 8), ("0931", 7), ("0592", 7)]);
    let local = format!("{}{}", 2 + r.below(7), r.digits(len - 1));
    let value = match r.below(7) {
        0 => format!("({area}){local}"),
        1 => format!("（{area}）{local}"),
        2 => format!("{area} {local}"),
        3 => format!("{area}{local}"),
        4 => format!("{area}-{local}-{}", r.digits(3)),
        5 => format!("{area}-{local}转{}", r.digits(3)),
        _ => format!("{area}-{local}"),
    };
    ("cn_landline", value)
}

fn bare_landline(r: &mut Random) -> (&'static str, String) {
    ("cn_landline", format!("{}{}", 5 + r.below(4), r.digits(7)))
}

fn birthday(r: &mut Random) -> (usize, String) {
    let year = 1950 + r.below(56);
    (year, format!("{:02}{:02}", 1 + r.below(12), 1 + r.below(28)))
}

/// Seventeen digits and the one by the weights of powers of two modulo eleven (GB 11643).
pub(super) fn cn_id_number(r: &mut Random) -> String {
    let region = *r.of(&["110101", "310104", "420106", "510107", "440305", "330106", "652301", "210202"]);
    let (year, day) = birthday(r);
    let body = format!("{region}{year}{day}{}", r.digits(3));
    let mut sum = 0;
    for (at, c) in body.bytes().enumerate() {
        sum += u32::from(c - b'0') * (2u32.pow(17 - at as u32) % 11);
    }
    let check = (12 - sum % 11) % 11;
    format!("{body}{}", if check == 10 { "X".to_owned() } else { check.to_string() })
}

fn cn_id(r: &mut Random) -> (&'static str, String) {
    let number = cn_id_number(r);
    let value = match r.below(8) {
        0 => cut(&number, &[6, 14], " "),
        1 => number.to_lowercase(),
        2 => wide(&number),
        _ => number,
    };
    ("cn_id", value)
}

fn cn_id_15(r: &mut Random) -> (&'static str, String) {
    let (year, day) = birthday(r);
    ("cn_id_15", format!("510107{:02}{day}{}", year % 100, r.digits(3)))
}

fn plate(r: &mut Random) -> (&'static str, String) {
    const PLACES: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
    let head = *r.of(&["京", "沪", "粤", "川", "浙", "苏", "鄂", "鲁", "湘", "陕"]);
    let city = *r.of(&["A", "B", "C", "E"]);
    let place = |r: &mut Random| char::from(*r.of(PLACES));
    let value = match r.below(5) {
        0 => format!("{head}{city}D{}", r.digits(5)),
        1 => format!("{head}{city}{}F", r.digits(5)),
        2 => format!("{head}{city}·{}{}{}", place(r), r.digits(3), place(r)),
        _ => format!("{head}{city}{}{}{}{}", r.digits(1), place(r), place(r), r.digits(2)),
    };
    ("cn_plate", value)
}

fn wechat(r: &mut Random) -> (&'static str, String) {
    const OF: &[u8] = b"abcdefghijkmnpqrstuvwxyz0123456789";
    let head = *r.of(&["wx_", "li", "happy-", "wxid_k2", "Tom"]);
    let tail: String = (0..7).map(|_| char::from(*r.of(OF))).collect();
    ("wechat", format!("{head}{tail}{}", r.below(10)))
}

fn qq(r: &mut Random) -> (&'static str, String) {
    let len = 6 + r.below(4);
    ("qq", format!("{}{}", 1 + r.below(9), r.digits(len)))
}

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn chars(r: &mut Random, of: &[u8], n: usize) -> String {
    (0..n).map(|_| char::from(*r.of(of))).collect()
}

/// So many characters with a digit among the first ones: a key without any is one in a thousand.
fn mixed(r: &mut Random, n: usize) -> String {
    format!("{}{}{}", chars(r, ALNUM, 3), r.digits(1), chars(r, ALNUM, n - 4))
}

fn api_key(r: &mut Random) -> (&'static str, String) {
    match r.below(10) {
        0 => ("aws_access_key", format!("AKIA{}", chars(r, UPPER, 16))),
        1 => ("openai_key", format!("sk-proj-{}", mixed(r, 48))),
        2 => ("openai_key", format!("sk-{}", mixed(r, 48))),
        3 => ("anthropic_key", format!("sk-ant-api03-{}", mixed(r, 80))),
        4 => ("google_api_key", format!("AIza{}", mixed(r, 35))),
        5 => ("stripe_key", format!("sk_live_{}", mixed(r, 24))),
        6 => ("sendgrid_key", format!("SG.{}.{}", mixed(r, 22), mixed(r, 43))),
        7 => ("alibaba_access_key", format!("LTAI{}", mixed(r, 20))),
        8 => ("tencent_secret_id", format!("AKID{}", mixed(r, 32))),
        _ => ("shopify_key", format!("shpat_{}", chars(r, HEX, 32))),
    }
}

fn aws_secret(r: &mut Random) -> (&'static str, String) {
    ("aws_secret_key", chars(r, BASE64, 40))
}

fn token(r: &mut Random) -> (&'static str, String) {
    match r.below(8) {
        0 => ("github_token", format!("ghp_{}", mixed(r, 36))),
        1 => ("github_token", format!("github_pat_{}_{}", mixed(r, 22), mixed(r, 59))),
        2 => ("gitlab_token", format!("glpat-{}", mixed(r, 20))),
        3 => ("slack_token", format!("xoxb-{}-{}-{}", r.digits(12), r.digits(12), mixed(r, 24))),
        4 => ("huggingface_token", format!("hf_{}", mixed(r, 34))),
        5 => ("npm_token", format!("npm_{}", mixed(r, 36))),
        6 => ("telegram_token", format!("{}{}:AA{}", 1 + r.below(9), r.digits(8), mixed(r, 33))),
        _ => ("jwt", format!("eyJ{}.eyJ{}.{}", mixed(r, 33), mixed(r, 48), mixed(r, 43))),
    }
}

fn private_key(r: &mut Random) -> (&'static str, String) {
    let label = *r.of(&["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"]);
    let lines: Vec<String> = (0..4 + r.below(10)).map(|_| chars(r, BASE64, 64)).collect();
    ("pem_private_key", format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", lines.join("\n")))
}

fn url(r: &mut Random) -> (&'static str, String) {
    let scheme = *r.of(&["postgres", "mysql", "mongodb+srv", "redis", "https", "amqp", "ftp"]);
    let user = *r.of(&["app", "root", "svc_reader", "deploy"]);
    let host = *r.of(&[
        "db.example.com:5432/prod",
        "10.3.2.1:6379/0",
        "cluster0.example.net/test?w=1",
        "git.example.org/a/b.git",
    ]);
    let len = 8 + r.below(9);
    ("url_password", format!("{scheme}://{user}:{}@{host}", mixed(r, len)))
}

fn password(r: &mut Random) -> (&'static str, String) {
    let len = 8 + r.below(6);
    let sign = *r.of(&["", "!", "@", "#", "&", "%"]);
    let head = mixed(r, len);
    ("password", format!("{head}{sign}{}", r.digits(2)))
}
