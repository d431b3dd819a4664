//! Scripts, and the letters that tell languages of one script apart.

use std::sync::LazyLock;

use super::{Han, Language};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// No letter.
    None,
    Latin,
    Han,
    Kana,
    Hangul,
    Cyrillic,
    Arabic,
    Devanagari,
    Thai,
    Hebrew,
    Greek,
    Bengali,
    Tamil,
}

/// Scripts whose letters are counted one by one, each with the units of a letter.
const LETTERED: [(Script, f32); 9] = [
    (Script::Hangul, 1.0),
    (Script::Cyrillic, 0.4),
    (Script::Arabic, 0.5),
    (Script::Devanagari, 0.5),
    (Script::Thai, 0.5),
    (Script::Hebrew, 0.5),
    (Script::Greek, 0.4),
    (Script::Bengali, 0.5),
    (Script::Tamil, 0.5),
];

impl Script {
    pub(super) fn of(c: char) -> Self {
        match u32::from(c) {
            0x41..=0x5a | 0x61..=0x7a => Self::Latin,
            0..=0xbf | 0xd7 | 0xf7 => Self::None,
            0xc0..=0x24f | 0x1e00..=0x1eff | 0x300..=0x30f | 0xff21..=0xff3a | 0xff41..=0xff5a => Self::Latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => Self::Greek,
            0x400..=0x52f => Self::Cyrillic,
            0x591..=0x5f4 => Self::Hebrew,
            0x620..=0x65f | 0x66e..=0x6d3 | 0x6d5..=0x6ef | 0x750..=0x77f | 0xfb50..=0xfdff | 0xfe70..=0xfefc => {
                Self::Arabic
            }
            0x900..=0x963 | 0x970..=0x97f => Self::Devanagari,
            0x980..=0x9e3 => Self::Bengali,
            0xb80..=0xbd7 => Self::Tamil,
            0xe01..=0xe4e => Self::Thai,
            0x1100..=0x11ff | 0x3131..=0x318e | 0xac00..=0xd7a3 => Self::Hangul,
            0x3041..=0x3096 | 0x30a1..=0x30fa | 0x30fc | 0xff66..=0xff9d => Self::Kana,
            0x3005 | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3134f => Self::Han,
            _ => Self::None,
        }
    }

    /// The language of a script that is counted letter by letter.
    pub(super) fn language(self, counts: &Counts) -> Language {
        match self {
            Self::Hangul => Language::Korean,
            Self::Cyrillic if counts.second > 0 => Language::Ukrainian,
            Self::Cyrillic => Language::Russian,
            Self::Arabic if counts.third > 0 => Language::Urdu,
            Self::Arabic if counts.second > 0 => Language::Persian,
            Self::Arabic => Language::Arabic,
            Self::Devanagari => Language::Hindi,
            Self::Thai => Language::Thai,
            Self::Hebrew => Language::Hebrew,
            Self::Greek => Language::Greek,
            Self::Bengali => Language::Bengali,
            Self::Tamil => Language::Tamil,
            Self::Han | Self::Kana => Language::Chinese,
            Self::Latin | Self::None => Language::English,
        }
    }
}

/// Characters of a segment by script. Latin letters are counted as words, elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub words: u32,
    pub han: u32,
    pub kana: u32,
    lettered: [u32; LETTERED.len()],
    /// Letters of the second language of a script: Ukrainian, Persian.
    second: u32,
    /// Of the third: Urdu.
    third: u32,
    simplified: u32,
    traditional: u32,
    japanese: u32,
}

impl Counts {
    pub(super) fn add(&mut self, script: Script, c: char) {
        match script {
            Script::Han => {
                self.han += 1;
                let form = form_of(c);
                self.simplified += u32::from(form == Some(Form::Simplified));
                self.traditional += u32::from(form == Some(Form::Traditional));
                self.japanese += u32::from(form == Some(Form::Japanese));
            }
            Script::Kana => self.kana += 1,
            Script::Latin | Script::None => {}
            lettered => {
                if let Some(at) = LETTERED.iter().position(|(script, _)| *script == lettered) {
                    self.lettered[at] += 1;
                }
                self.second += u32::from(matches!(
                    c,
                    'і' | 'ї' | 'є' | 'ґ' | 'І' | 'Ї' | 'Є' | 'Ґ' | 'پ' | 'چ' | 'ژ' | 'گ' | 'ک' | 'ی'
                ));
                self.third += u32::from(matches!(c, 'ٹ' | 'ڈ' | 'ڑ' | 'ے' | 'ں'));
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words == 0 && self.han == 0 && self.kana == 0 && self.main_script().is_none()
    }

    /// The most frequent of the scripts that are counted letter by letter, with its units.
    pub(super) fn main_script(&self) -> Option<(Script, f32)> {
        let most = LETTERED.iter().zip(self.lettered).filter(|(_, n)| *n > 0).max_by_key(|(_, n)| *n);
        most.map(|(&(script, units), n)| (script, units * n as f32))
    }
}

/// Whether the Han characters of a text are Japanese: enough kana among them, or forms that only Japanese has.
pub(super) fn is_japanese<'a>(counts: impl Iterator<Item = &'a Counts>) -> bool {
    let (mut han, mut kana, mut simplified, mut japanese) = (0, 0, 0, 0);
    for counts in counts {
        han += counts.han;
        kana += counts.kana;
        simplified += counts.simplified;
        japanese += counts.japanese;
    }
    if kana > 0 { 12 * kana >= han } else { japanese > 0 && simplified == 0 && 10 * japanese >= han }
}

/// How the Chinese of a text is written, where it has characters that tell.
pub(super) fn han<'a>(counts: impl Iterator<Item = &'a Counts>) -> Option<Han> {
    let (simplified, traditional) = counts.fold((0, 0), |(s, t), c| (s + c.simplified, t + c.traditional));
    match simplified.cmp(&traditional) {
        std::cmp::Ordering::Greater => Some(Han::Simplified),
        std::cmp::Ordering::Less => Some(Han::Traditional),
        std::cmp::Ordering::Equal => None,
    }
}

/// A character that only one way of writing has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Simplified,
    Traditional,
    Japanese,
}

const HAN_FIRST: u32 = 0x4e00;
const HAN_LAST: u32 = 0x9fff;

fn form_of(c: char) -> Option<Form> {
    FORMS.get(u32::from(c).wrapping_sub(HAN_FIRST) as usize).copied().flatten()
}

/// By code point, from [`HAN_FIRST`] on.
static FORMS: LazyLock<Vec<Option<Form>>> = LazyLock::new(|| {
    let mut forms = vec![None; (HAN_LAST - HAN_FIRST + 1) as usize];
    for (form, chars) in [(Form::Simplified, SIMPLIFIED), (Form::Traditional, TRADITIONAL), (Form::Japanese, JAPANESE)]
    {
        chars.chars().for_each(|c| forms[(u32::from(c) - HAN_FIRST) as usize] = Some(form));
    }
    forms
});

/// Frequent characters whose simplified form is neither the traditional nor the Japanese one.
const SIMPLIFIED: &str = "们这个说时对来会为过发后里么还没经给从问让请开关长门间听见观觉认识语谁课话读写书车东两马风飞难题应该帮师现实视频网络电脑\
     样业务产专严丽举义乐习乡买乱争亚亿仅仓众优传伤伦侧债倾偿储儿况减凤击创别刘则刚劳动势单卖卫压厂历厅县变号吗员响团园图\
     圆圣场坏块坚报声处备够头夺奋妇妈孙宁宝审宽宾导尽层属岁岛币带帮广庆库庙废录归当总恶战户执扩扫抢护担拥择挥损换据摄敌数断无旧显\
     晓术机杀权条构标树桥检楼欢汉汤汇沟泽测济浓涛润温湾满灭灯灵点烂烧热爱状独狱猎献环畅疗监盖盘码确础积称稳穷窃竞笔简类粮红约级\
     纪纯纳纸纽线练组细终绍结绝统继绩续维综绿缓编缘缩网罗罚职联胜脉脏艺节苏药获营虑虽补装规览订计讨训记讲许论设访证评词译试诗诚\
     详误诸诺调谈谢质购贵费资赛赢赵赶趋跃转轮软轻载较辆输达迁运进远连适选递遗释针钟钱钢铁银错键镇闭闲闻队阳阴阶际陆险随隐页项顺顾预领颜\
     额飘饭饮馆驱验鱼鸟鸡麦黄齐龙龟";

/// Frequent characters whose traditional form is not the simplified one.
const TRADITIONAL: &str = "們這個說時對來會為過發後裡麼還沒經給從問讓請開關長門間聽見觀覺認識語誰課話讀寫書車東兩馬風飛難題應該幫師現實視頻網絡電腦\
     樣業務產專嚴麗舉義樂習鄉買亂爭亞億僅倉眾優傳傷倫側債傾償儲兒況減鳳擊創別劉則剛勞動勢單賣衛壓廠歷廳縣變號嗎員響團園圖\
     圓聖場壞塊堅報聲處備夠頭奪奮婦媽孫寧寶審寬賓導盡層屬歲島幣帶廣慶庫廟廢錄歸當總惡戰戶執擴掃搶護擔擁擇揮損換據攝敵數斷無舊顯\
     曉術機殺權條構標樹橋檢樓歡漢湯匯溝澤測濟濃濤潤溫灣滿滅燈靈點爛燒熱愛狀獨獄獵獻環暢療監蓋盤碼確礎積稱穩窮竊競筆簡類糧紅約級";

/// Forms of characters that Japanese has and Chinese has not.
const JAPANESE: &str =
    "気発読売込働駅広総様険検図価応戻渋帰県対芸伝転団囲観験済経続実変気択沢払仏駄鉄銭観権歩巻竜塩営桜処覚";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_of_two_forms() {
        for (one, other) in [(SIMPLIFIED, TRADITIONAL), (SIMPLIFIED, JAPANESE), (TRADITIONAL, JAPANESE)] {
            assert_eq!(one.chars().filter(|c| other.contains(*c)).collect::<String>(), "");
        }
    }
}
