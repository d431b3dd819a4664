//! Words beside a value that say what it is, or what it is not.

use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// What a word speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Phone,
    /// Calls and messages: a number that looks like a phone's is one.
    Call,
    Email,
    Id,
    Passport,
    Card,
    Ssn,
    Ip,
    Plate,
    Chat,
    Address,
    /// Where somebody lives or gets parcels.
    Home,
    /// Orders, tickets, parcels, articles, users: numbers that only look like others.
    Serial,
    Version,
    Digest,
    Book,
    Amount,
}

impl Word {
    /// Whether the word says that a number is nobody's.
    pub fn lowers(self) -> bool {
        matches!(self, Self::Serial | Self::Version | Self::Digest | Self::Book | Self::Amount)
    }
}

/// A word near a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Near {
    pub word: Word,
    /// Bytes between the two.
    pub distance: usize,
}

/// Bytes before a value in which words count: 16 Chinese characters, eight English words.
const BEFORE: usize = 48;
const AFTER: usize = 30;

const WORDS: &[(Word, &str)] = &[
    (
        Word::Phone,
        "phone|wa.me|telephone|cellphone|tel|mobile|cell|fax|landline|hotline|whatsapp|phone number|mobile number|\
         contact number|contact no|phone no|telegram|msisdn|电话|手机|手机号|手机号码|电话号码|联系方式|联系电话|\
         座机|传真|热线|固话|来电|致电|拨打|热线电话|客服电话|联系号码|手机尾号|本机号码|分机",
    ),
    (
        Word::Call,
        "call|call me|call us|dial|text|text me|sms|ring me|reach me|reach us|reached at|contact|call me at|call me on|\
         answering at|messages to|my number|number is|voicemail|handy|desk|office|打给我|打电话|联系我|联系|短信|\
         致电|回电|呼叫|号码|记一下|记下|记好",
    ),
    (Word::Email, "email|e-mail|mail|mailto|邮箱|邮件|电邮|电子邮箱|电子邮件|信箱"),
    (
        Word::Id,
        "id card|identity card|identity number|id number|id no|national id|resident id|身份证|身份证号|身份证号码|\
         证件号|证件号码|公民身份号码|居民身份证|身份号码|身份证件",
    ),
    (Word::Passport, "passport|passports|passport no|passport number|护照|护照号|护照号码|通行证|旅行证件"),
    (
        Word::Card,
        "card|credit card|debit card|card no|card number|cc|visa|mastercard|amex|unionpay|maestro|discover|\
         account number|account no|bank account|iban|卡号|银行卡|信用卡|储蓄卡|借记卡|账号|账户|帐号|帐户|银联|\
         银行卡号|信用卡号|银行账号|收款账号|打到|转账到|汇款到",
    ),
    (Word::Ssn, "ssn|social security|social security number|social security no|ss#|社会安全号|社会安全号码|社安号"),
    (
        Word::Ip,
        "ip|ip address|ipv4|ipv6|host|server|ping|gateway|client_ip|dns|subnet|logged in from|connect to|\
         ssh|telnet|ip地址|服务器|服务器地址|主机|网关|登录",
    ),
    (Word::Plate, "车牌|车牌号|车牌号码|牌照|号牌|车号|plate|license plate|licence plate|plate number"),
    (Word::Chat, "微信|微信号|wechat|weixin|qq|qq号|qq群|扣扣|企鹅号"),
    (Word::Address, "address|located at|street address|billing address|mailing address|地址|位于|坐落|地点|门牌"),
    (
        Word::Home,
        "live at|lives at|living at|lived at|home address|my address|reside|resides at|residing at|ship to|\
         shipping address|deliver to|delivery address|send it to|mail it to|家住|住在|住址|家庭住址|家庭地址|\
         收货地址|收件地址|寄到|寄往|送到|快递到|邮寄地址|通讯地址|联系地址|居住地|现居|住所|户籍地址|我家在",
    ),
    (
        Word::Serial,
        "order|orders|order no|order number|order id|order #|tracking|tracking id|tracking no|tracking number|\
         invoice|invoice no|transaction|transaction id|ticket|case|reference|ref|ref no|reference number|serial|\
         serial no|serial number|s/n|sn|sku|item|item no|item id|product|product id|part|part no|part number|\
         model|model no|batch|lot|barcode|ean|upc|gtin|imei|imsi|iccid|uid|user id|userid|user_id|account id|\
         customer id|session|session id|request|request id|job|job id|id|row|line|index|timestamp|ts|epoch|port|pid|\
         license key|license|licence|license number|patent|patent no|confirmation|confirmation number|booking|\
         booking reference|shipment|parcel|waybill|build id|zip code|postal code|postcode|article|receipt|\
         receipt no|coupon|voucher|room|flight|\
         订单|订单号|订单号码|房间号码|订单编号|单号|流水号|订单流水号|流水|交易号|交易单号|编号|快递|快递单号|运单|运单号|物流|\
         物流单号|发票|发票号|发票号码|工单|工单号|序列号|批号|批次|批次号|型号|货号|商品|商品编号|商品编码|产品编号|\
         条码|条形码|合同号|合同编号|许可证|备案号|邮编|邮政编码|时间戳|用户id|用户编号|会员号|会员编号|学号|工号|\
         专利号|案号|取件码|电话卡|手机卡|手机价格|手机型号|验证码|兑换码|券码|票号|航班|房间号|端口|参考号|凭证号|预订号|确认号|统一社会信用代码|\
         信用代码|纳税人识别号|税号|组织机构代码|检验报告|报告编号|设备号|设备编号",
    ),
    (
        Word::Version,
        "version|versions|ver|release|released|firmware|build|upgrade|upgraded|upgraded to|update to|python|node|\
         java|cuda|driver|kernel|oid|section|clause|版本|版本号|升级|升级到|更新到|固件|内核|发行版|章节|条款",
    ),
    (
        Word::Digest,
        "commit|sha|sha1|sha256|sha-256|sha512|md5|hash|checksum|digest|uuid|guid|etag|fingerprint|blob|revision|\
         哈希|校验和|摘要|指纹|提交",
    ),
    (Word::Book, "isbn|issn|doi|isbn-13|isbn-10|书号|国际标准书号|刊号|arxiv|pmid"),
    (
        Word::Amount,
        "price|total|amount|sum|cost|costs|usd|eur|rmb|cny|population|revenue|salary|distance|million|billion|\
         equals|result|answer is|budget|dollars|总价|市值|预算|价格|金额|总额|合计|共计|人民币|人口|营收|收入|工资|价值|结果|等于|距离|\
         面积|总数|数量|销量",
    ),
];

struct Lexicon {
    search: AhoCorasick,
    words: Vec<Word>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let entries = WORDS.iter().flat_map(|(word, list)| list.split('|').map(move |text| (*word, text)));
    let (words, texts): (Vec<Word>, Vec<&str>) = entries.unzip();
    let search = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(&texts)
        .expect("a short list of words makes an automaton");
    Lexicon { search, words }
});

/// The last word before a value that speaks of one of `wanted` or lowers it.
pub(super) fn before(text: &str, wanted: &[Word]) -> Option<Near> {
    last(text, |word| word.lowers() || wanted.contains(&word))
}

/// The last word before a value, whatever it speaks of.
pub(super) fn nearest(text: &str) -> Option<Near> {
    last(text, |_| true)
}

fn last(text: &str, relevant: impl Fn(Word) -> bool) -> Option<Near> {
    let (word, _, end) = words(text, tail(text)).filter(|(word, _, _)| relevant(*word)).last()?;
    let between = &text[end..];
    let elsewhere = spent(between) || (word.lowers() && ends_sentence(between));
    (!elsewhere).then_some(Near { word, distance: between.len() })
}

/// Whether a sentence ends and another begins: "tracking no. 5" is none, "a new version. See 5" is.
fn ends_sentence(between: &str) -> bool {
    let ends = ["。", "！", "？", ". ", "! ", "? ", "\n"].iter().filter_map(|mark| between.find(mark));
    ends.min().is_some_and(|at| between[at..].chars().any(char::is_alphabetic))
}

/// Whether a word has spoken of another number, which stands in `between`: 订单号123456，电话是….
///
/// Of a list (电话：83172726、83172726) it speaks of every one.
fn spent(between: &str) -> bool {
    const JOINS: [&str; 12] = ["和", "及", "与", "或", "、", "，", "；", "：", "/", "and", "or", "&"];
    let part = |c: char| c.is_ascii_alphanumeric() || ".:/_-()*[]".contains(c);
    let number = |run: &&str| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        // What redaction leaves stands for a number, too.
        let tag = run.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let tag = tag.is_some_and(|(kind, _)| kind.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'));
        digits >= 3 || (digits > 0 && run.len() >= 6) || run.contains("***") || tag
    };
    let Some(run) = between.split(|c: char| !part(c)).rfind(number) else { return false };
    let from = run.as_ptr() as usize - between.as_ptr() as usize + run.len();
    let mut rest = between[from..].trim_start_matches([' ', ',', ';', '#']);
    while let Some(tail) = JOINS.iter().find_map(|join| rest.strip_prefix(join)) {
        rest = tail.trim_start_matches(' ');
    }
    !rest.is_empty() && rest != "(" && rest != "+"
}

/// The first word after a value that speaks of one of `wanted`.
pub(super) fn after(text: &str, wanted: &[Word]) -> Option<Near> {
    let near = &text[..text.floor_char_boundary(AFTER.min(text.len()))];
    // Another sentence or another number has words of its own.
    let near = &near[..near.find(['。', '！', '？', '\n', ';', '；']).or(near.find(". ")).unwrap_or(near.len())];
    let near = &near[..near.find(|c: char| c.is_ascii_digit()).unwrap_or(near.len())];
    words(near, 0).find(|(word, _, _)| wanted.contains(word)).map(|(word, start, _)| Near { word, distance: start })
}

/// What a rule believes after it has heard the words: `raised` if they speak of it, `lowered` if they deny it.
pub(super) fn weigh(near: Option<Near>, raised: f32, plain: f32, lowered: f32) -> f32 {
    match near {
        Some(near) if near.word.lowers() => lowered,
        Some(_) => raised,
        None => plain,
    }
}

/// Whether a text ends with one of the words that raise, as in `tel13800001234`.
pub(super) fn ends_with_word(text: &str) -> bool {
    words(text, tail(text)).last().is_some_and(|(word, _, end)| !word.lowers() && end == text.len())
}

fn tail(text: &str) -> usize {
    text.ceil_char_boundary(text.len().saturating_sub(BEFORE))
}

/// The words of a text from a place on, with where they begin and end; ASCII ones only where they stand alone. A value
/// may be glued to the last one.
fn words(text: &str, from: usize) -> impl Iterator<Item = (Word, usize, usize)> + '_ {
    let b = text.as_bytes();
    LEXICON.search.find_iter(&text[from..]).filter_map(move |found| {
        let (start, end) = (from + found.start(), from + found.end());
        let word = |at: Option<usize>| at.and_then(|i| b.get(i)).is_some_and(u8::is_ascii_alphanumeric);
        let open = b[start].is_ascii() && word(start.checked_sub(1));
        let close = b[end - 1].is_ascii_alphabetic() && word(Some(end));
        let spoken = LEXICON.words[found.pattern().as_usize()];
        // SET_CONFIG_CALL is no call, while user_phone is a phone.
        let named = spoken == Word::Call && start > 0 && b[start - 1] == b'_';
        // [PHONE] stands where a number was, and speaks of none.
        let tag = b.get(end) == Some(&b']') && start > 0 && matches!(b[start - 1], b'[' | b'_');
        (!open && !close && !named && !tag).then_some((spoken, start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let wanted = [Word::Phone];
        for (text, expect) in [
            ("订单号123，电话", Some(Word::Phone)),
            ("电话123，订单号", Some(Word::Serial)),
            ("my Phone: ", Some(Word::Phone)),
            ("hotel ", None),
            ("upgraded to version 5.8.12 ping ", None),
            ("", None),
            ("电话：83172726、", Some(Word::Phone)),
            ("订单号13812345678，", Some(Word::Serial)),
            ("订单号13812345678，请拨", None),
            ("call:[PHONE]; time ", None),
            ("a new version. See ", None),
            ("tracking no. ", Some(Word::Serial)),
            ("version 3.0.8 at ", None),
            ("电话（24小时）", Some(Word::Phone)),
        ] {
            assert_eq!(before(text, &wanted).map(|near| near.word), expect, "{text}");
        }
    }

    #[test]
    fn words_end_where_letters_do() {
        assert!(ends_with_word("my tel"));
        assert!(!ends_with_word("my hotel"));
        assert!(!ends_with_word("order"));
        assert!(ends_with_word("手机"));
    }
}
