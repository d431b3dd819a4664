//! What figures are called and measured in.

use crate::text::{self, Text};

/// What figures of one axis have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// From 0 to 1.
    Share,
    /// From 0 to 100.
    Points,
    Nats,
    Perplexity,
    Other,
}

impl Unit {
    pub const ALL: [Unit; 5] = [Unit::Share, Unit::Points, Unit::Nats, Unit::Perplexity, Unit::Other];

    pub fn text(self) -> Text {
        match self {
            Unit::Share => text::PANEL_SHARE,
            Unit::Points => text::PANEL_POINTS,
            Unit::Nats => text::PANEL_NATS,
            Unit::Perplexity => text::PANEL_PERPLEXITY,
            Unit::Other => text::PANEL_OTHER,
        }
    }
}

/// Figures as EVAL.md lists them.
const FIGURES: &[(&str, Unit, Text)] = &[
    ("accuracy", Unit::Share, Text::new("accuracy", "准确率")),
    ("no_label", Unit::Share, Text::new("no label named", "未给出类别")),
    ("macro_f1", Unit::Share, Text::new("macro F1", "宏平均 F1")),
    ("micro_f1", Unit::Share, Text::new("micro F1", "微平均 F1")),
    ("exact", Unit::Share, Text::new("exact match", "完全一致率")),
    ("numeric", Unit::Share, Text::new("numeric match", "数值正确率")),
    ("regex", Unit::Share, Text::new("pattern match", "正则匹配率")),
    ("command", Unit::Share, Text::new("passed by the program", "程序判定通过率")),
    ("schema_valid", Unit::Share, Text::new("valid by the schema", "符合 JSON Schema")),
    ("json_valid", Unit::Share, Text::new("valid JSON", "合法 JSON")),
    ("instruction", Unit::Share, Text::new("instructions followed", "指令全部满足率")),
    ("instruction_checks", Unit::Share, Text::new("checks that hold", "指令检查项通过率")),
    ("style", Unit::Share, Text::new("style", "风格接近度")),
    ("style_length", Unit::Share, Text::new("style: length", "风格：长度")),
    ("style_punctuation", Unit::Share, Text::new("style: punctuation", "风格：标点")),
    ("style_person", Unit::Share, Text::new("style: person", "风格：人称")),
    ("style_politeness", Unit::Share, Text::new("style: politeness", "风格：礼貌用语")),
    ("style_characters", Unit::Share, Text::new("style: characters", "风格：用字")),
    ("style_voice", Unit::Share, Text::new("style: voice", "风格：语气")),
    ("rouge1", Unit::Share, Text::new("ROUGE-1", "ROUGE-1")),
    ("rouge2", Unit::Share, Text::new("ROUGE-2", "ROUGE-2")),
    ("rougeL", Unit::Share, Text::new("ROUGE-L", "ROUGE-L")),
    ("chrf", Unit::Points, Text::new("chrF", "chrF")),
    ("loss", Unit::Nats, Text::new("loss", "损失")),
    ("perplexity", Unit::Perplexity, Text::new("perplexity", "困惑度")),
];

pub fn unit(figure: &str) -> Unit {
    FIGURES.iter().find(|(name, ..)| *name == figure).map_or(Unit::Other, |(_, unit, _)| *unit)
}

/// None: the figure's own name has to do.
pub fn name(figure: &str) -> Option<Text> {
    FIGURES.iter().find(|(name, ..)| *name == figure).map(|(.., text)| *text)
}
