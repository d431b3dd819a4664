//! What looks like personal data or a secret and is none.

use super::Piece;
use super::values::{cn_id_number, iban_check, with_luhn};
use crate::random::Random;

type Maker = fn(&mut Random) -> String;

/// What it is, how it is made, and the words around it.
type Source = (&'static str, Maker, &'static [&'static str]);

pub(super) fn english(random: &mut Random) -> Piece {
    draw(ENGLISH, random)
}

pub(super) fn chinese(random: &mut Random) -> Piece {
    draw(CHINESE, random)
}

fn draw(sources: &[Source], random: &mut Random) -> Piece {
    let (kind, make, words) = *random.of(sources);
    Piece { kind, form: kind, value: make(random), words: random.of::<&str>(words) }
}

const ENGLISH: &[Source] = &[
    ("order_no", order_no, &["Your order {} is on its way.", "order no. {}.", "order id: {}", "invoice {} is open."]),
    ("order_no", like_mobile, &["order number {}.", "ticket {} was closed.", "transaction id {}"]),
    ("bad_luhn", bad_luhn, &["tracking id {}", "card {} was refused as wrong.", "number {} is not valid."]),
    ("bad_iban", bad_iban, &["transfer to {} failed.", "IBAN {} is wrong."]),
    ("bad_ssn", bad_ssn, &["SSN {} cannot be.", "id {} for the test."]),
    ("version", version, &["upgraded to version {}.", "v{} is out.", "release {} of the app", "Python {} works."]),
    ("version", version_of_four, &["version {} is stable.", "build {} fails.", "firmware {}, please."]),
    ("uuid", uuid, &["request {} failed.", "session {}.", "id={}"]),
    ("sha256", |r| hex(r, 64), &["commit {}", "sha256: {}", "the digest is {}."]),
    ("sha1", |r| hex(r, 40), &["commit {}", "at revision {}."]),
    ("md5", |r| hex(r, 32), &["md5 {}", "checksum {} matches."]),
    ("isbn", isbn, &["ISBN {}", "the book (ISBN: {}) is out."]),
    ("date", date, &["on {}.", "from {} on,", "dated {}"]),
    ("timestamp", |r| format!("17{}", r.digits(8)), &["timestamp {}.", "\"time\": {}", "at epoch {}"]),
    ("timestamp", |r| format!("17{}", r.digits(11)), &["ts={} ms", "timestamp {}."]),
    ("price", price, &["for ${} in all.", "costs {} dollars.", "a total of {} euros"]),
    (
        "short_code",
        |r| (*r.of(&["911", "112", "611", "40404", "22000"])).to_owned(),
        &["dial {} now.", "text STOP to {}."],
    ),
    ("placeholder", placeholder_key, &["API_KEY=<{}>", "api_key = \"{}\"", "token: {}"]),
    ("placeholder", |r| (*r.of(PLACEHOLDER_MAILS)).to_owned(), &["e.g. {}", "such as {}."]),
    ("placeholder", |r| (*r.of(&["123-456-7890", "555-555-5555", "XXX-XXX-XXXX"])).to_owned(), &["a number like {}."]),
    ("placeholder", |r| (*r.of(PLACEHOLDER_URLS)).to_owned(), &["use {} here.", "URL={}"]),
    (
        "placeholder",
        |r| (*r.of(&["********", "your_password", "<password>", "changeme"])).to_owned(),
        &["password: {}", "PASSWORD={}"],
    ),
    ("barcode", barcode, &["barcode {}.", "EAN {} is out of stock."]),
    ("imei", |r| with_luhn(&format!("35{}", r.digits(12))), &["IMEI {}", "imei: {}."]),
    ("mac", mac, &["MAC {} joined.", "device {}"]),
    ("coordinates", coordinates, &["at {}.", "the point {} on the map"]),
    ("time_range", |r| format!("{}:00-1{}:30", 8 + r.below(2), r.below(10)), &["open {} daily."]),
    (
        "local_host",
        |r| (*r.of(&["127.0.0.1", "0.0.0.0", "255.255.255.0", "::1"])).to_owned(),
        &["listens on {}", "bind to {} first."],
    ),
    ("ssh_url", |r| format!("git@example.org:team/repo{}.git", r.below(9)), &["clone {} first."]),
    ("package", |r| format!("react@{}.{}.0", 16 + r.below(4), r.below(9)), &["install {} with npm.", "uses {}."]),
    ("oid", |r| format!("1.3.6.1.4.1.{}.{}", 1 + r.below(9000), r.below(9)), &["OID {}.", "walk {}"]),
    (
        "large_number",
        |r| format!("{}{}000000", 1 + r.below(9), r.digits(4)),
        &["a budget of {} dollars", "population {}."],
    ),
    ("code", |_| "tokenizer.convert_tokens_to_ids(text)".to_owned(), &["token = {}", "secret = {}"]),
    ("code", |_| "os.environ[\"DB_PASSWORD_2\"]".to_owned(), &["password = {}"]),
    ("percent", |r| format!("{}.{}%", r.below(100), r.digits(8)), &["grew by {}."]),
    ("bitcoin_block", |r| format!("0x{}", hex(r, 40)), &["sent to {}."]),
];

const CHINESE: &[Source] = &[
    ("order_no", order_no, &["您的订单号是{}。", "快递单号{}。", "流水号：{}。", "发票号码{}。"]),
    ("order_no", like_mobile, &["订单号{}已发货。", "工单编号{}。", "交易号：{}。"]),
    ("bad_cn_id", bad_cn_id, &["订单流水号{}已生成。", "身份证号{}校验不通过。", "编号{}。"]),
    ("bad_luhn", bad_luhn, &["卡号{}无效。", "运单号{}。", "会员编号{}。"]),
    ("version", version, &["升级到版本{}。", "固件版本{}。", "v{}发布了。"]),
    ("version", version_of_four, &["版本号{}。", "升级到{}之后正常。"]),
    ("uuid", uuid, &["请求{}失败。", "会话编号{}。"]),
    ("sha256", |r| hex(r, 64), &["提交{}。", "哈希值为{}。"]),
    ("md5", |r| hex(r, 32), &["校验和{}。", "md5是{}。"]),
    ("isbn", isbn, &["书号ISBN {}。", "ISBN：{}。"]),
    ("date", date, &["日期是{}。", "从{}开始。"]),
    ("timestamp", |r| format!("17{}", r.digits(8)), &["时间戳{}。", "时间戳是{}。"]),
    ("price", price, &["总价{}元。", "一共{}元。", "价格：￥{}。"]),
    (
        "short_code",
        |r| (*r.of(&["110", "12306", "10086", "95588", "12345"])).to_owned(),
        &["请拨打{}。", "客服电话{}。"],
    ),
    ("large_number", |r| format!("1{}{}00000000", 3 + r.below(7), r.below(10)), &["总人口{}。", "市值{}元。"]),
    ("amount", |r| format!("1{}{}{}", 3 + r.below(7), r.below(10), r.digits(8)), &["总金额{}元。", "销量{}件。"]),
    ("placeholder", placeholder_key, &["api_key填{}。", "密钥是{}。"]),
    ("placeholder", |r| (*r.of(PLACEHOLDER_MAILS)).to_owned(), &["例如{}。", "格式如{}。"]),
    ("placeholder", |r| (*r.of(&["******", "123456", "xxxxxx"])).to_owned(), &["密码是{}。", "默认密码：{}。"]),
    ("barcode", barcode, &["条形码{}。", "商品编码{}。"]),
    ("credit_code", credit_code, &["统一社会信用代码{}。", "税号：{}。"]),
    ("train", |r| format!("G{}", 1000 + r.below(8000)), &["坐{}次高铁。", "{}晚点了。"]),
    ("time_range", |_| "9:00-21:30".to_owned(), &["营业时间{}。"]),
    ("local_host", |r| (*r.of(&["127.0.0.1", "0.0.0.0"])).to_owned(), &["监听{}。", "访问{}即可。"]),
    ("model", |r| format!("SM-G{}", r.digits(4)), &["型号{}。", "手机{}很好用。"]),
    ("line", |r| format!("{}号线", 1 + r.below(16)), &["坐地铁{}。"]),
    ("share", |r| format!("60{}", r.digits(4)), &["股票代码{}。"]),
    ("stock_name", |_| "新A股".to_owned(), &["投资{}市场。"]),
    ("post_code", |r| format!("{}{}", 1 + r.below(7), r.digits(5)), &["邮编{}。"]),
    ("verification_code", |r| r.digits(6), &["验证码{}。", "验证码是{}，请勿泄露。"]),
    ("coordinates", coordinates, &["坐标{}。"]),
    ("year_range", |_| "2018-2023".to_owned(), &["电话业务{}年的数据。"]),
];

const PLACEHOLDER_MAILS: &[&str] = &["user@example.com", "your.name@example.com", "name@domain.com", "xxx@example.com"];
const PLACEHOLDER_URLS: &[&str] = &[
    "postgres://user:password@localhost/db",
    "https://<user>:<password>@host",
    "redis://:${REDIS_PASSWORD}@cache:6379",
];

fn order_no(r: &mut Random) -> String {
    match r.below(4) {
        0 => format!("2024{:02}{:02}{}", 1 + r.below(12), 1 + r.below(28), r.digits(12)),
        1 => format!("{}{}", 1 + r.below(9), r.digits(9)),
        2 => format!("SO-{}-{}", r.digits(4), r.digits(8)),
        _ => format!("{}{}", 1 + r.below(9), r.digits(13)),
    }
}

/// Eleven digits that would be a mobile number elsewhere.
fn like_mobile(r: &mut Random) -> String {
    format!("1{}{}", 3 + r.below(7), r.digits(9))
}

fn wrong_last(number: &str) -> String {
    let last = number.bytes().next_back().map_or(0, |c| c.wrapping_sub(b'0'));
    let wrong = if last > 9 { 5 } else { (last + 3) % 10 };
    format!("{}{wrong}", &number[..number.len() - 1])
}

fn bad_cn_id(r: &mut Random) -> String {
    wrong_last(&cn_id_number(r))
}

fn bad_luhn(r: &mut Random) -> String {
    wrong_last(&with_luhn(&format!("4{}", r.digits(14))))
}

fn bad_iban(r: &mut Random) -> String {
    let account = r.digits(18);
    format!("DE{:02}{account}", 2 + (iban_check("DE", &account) + 40) % 95)
}

fn bad_ssn(r: &mut Random) -> String {
    match r.below(3) {
        0 => format!("000-{:02}-{:04}", 1 + r.below(99), 1 + r.below(9999)),
        1 => format!("9{}-{:02}-{:04}", r.digits(2), 1 + r.below(99), 1 + r.below(9999)),
        _ => format!("{}-00-{:04}", 100 + r.below(500), 1 + r.below(9999)),
    }
}

fn version(r: &mut Random) -> String {
    format!("{}.{}.{}", 1 + r.below(20), r.below(30), r.below(30))
}

fn version_of_four(r: &mut Random) -> String {
    format!("{}.{}.{}.{}", 1 + r.below(120), r.below(30), r.below(255), r.below(200))
}

fn hex(r: &mut Random, n: usize) -> String {
    (0..n).map(|_| char::from(b"0123456789abcdef"[r.below(16)])).collect()
}

fn uuid(r: &mut Random) -> String {
    format!("{}-{}-4{}-a{}-{}", hex(r, 8), hex(r, 4), hex(r, 3), hex(r, 3), hex(r, 12))
}

fn ean_check(body: &str) -> u32 {
    let sum: u32 = body.bytes().enumerate().map(|(at, c)| u32::from(c - b'0') * if at % 2 == 0 { 1 } else { 3 }).sum();
    (10 - sum % 10) % 10
}

fn isbn(r: &mut Random) -> String {
    let body = format!("978{}{}", 1 + r.below(9), r.digits(8));
    let check = ean_check(&body);
    match r.below(2) {
        0 => format!("{body}{check}"),
        _ => format!("978-{}-{}-{}-{check}", &body[3..4], &body[4..8], &body[8..12]),
    }
}

fn barcode(r: &mut Random) -> String {
    let body = format!("69{}", r.digits(10));
    format!("{body}{}", ean_check(&body))
}

fn date(r: &mut Random) -> String {
    let (y, m, d) = (1970 + r.below(60), 1 + r.below(12), 1 + r.below(28));
    match r.below(4) {
        0 => format!("{y}-{m:02}-{d:02}"),
        1 => format!("{y}/{m}/{d}"),
        2 => format!("{d:02}.{m:02}.{y}"),
        _ => format!("{y}-{m:02}-{d:02} 11:34:35"),
    }
}

fn price(r: &mut Random) -> String {
    format!("{}.{}", 1 + r.below(99_999), r.digits(2))
}

fn placeholder_key(r: &mut Random) -> String {
    (*r.of(&[
        "YOUR_API_KEY_HERE",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "your-api-key",
        "xxxxxxxxxxxxxxxx",
    ]))
    .to_owned()
}

fn mac(r: &mut Random) -> String {
    (0..6).map(|_| hex(r, 2)).collect::<Vec<_>>().join(":")
}

fn coordinates(r: &mut Random) -> String {
    format!("{}.{}, {}.{}", r.below(90), r.digits(6), r.below(180), r.digits(6))
}

/// Eighteen places of which one or more are letters.
fn credit_code(r: &mut Random) -> String {
    format!("9111010{}MA{}{}X", r.digits(1), r.digits(2), r.digits(5))
}
