//! Street addresses, Chinese and English, with modest confidence: a street alone is nobody's.

use super::context::{self, Word};
use super::scan::Text;
use crate::Spot;

/// Addresses whose house number is group `g`.
pub(super) fn at(text: &Text, g: usize, found: &mut Vec<Spot>) {
    chinese(text, g, found);
    english(text, g, found);
    post_box(text, g, found);
}

const ESTATES: [&str; 10] = ["小区", "花园", "大厦", "公寓", "苑", "家园", "广场", "新村", "校区", "山庄"];

/// …路123号 with what stands before (province, city, district) and behind (building, unit, room).
fn chinese(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = &text.groups[g];
    // The first bytes of the units below.
    if !matches!(text.byte(group.end), Some(0xe5 | 0xe6)) {
        return;
    }
    let after = text.after(group.end, 12);
    const UNITS: [&str; 6] = ["号", "弄", "栋", "幢", "座", "单元"];
    if group.len() > 5 || !UNITS.iter().any(|unit| after.starts_with(unit)) {
        return;
    }
    let before = text.before(group.start, 90);
    let estate = ESTATES.iter().any(|estate| before.ends_with(estate));
    let road = before.chars().next_back().is_some_and(|c| "路街道巷弄里村段坊庄".contains(c));
    let numbered = after.starts_with('号') || after.starts_with('弄');
    if !(estate || (numbered && (road || before.ends_with("胡同") || before.ends_with("条")))) {
        return;
    }
    let start = group.start - head_len(before);
    if group.start - start < 6 {
        return;
    }
    let (end, inner) = chinese_tail(text, group.end);
    let head = &text.s[start..group.start];
    let city = ["省", "市", "自治区"].iter().any(|mark| head.contains(mark));
    let district = ["区", "县", "镇", "乡"].iter().any(|mark| head.contains(mark));
    let near = context::before(&text.s[..start], &[Word::Home, Word::Address]).filter(|near| near.distance <= 15);
    let confidence = match (near.map(|near| near.word), inner, city || district) {
        (Some(Word::Home), _, _) => 0.85,
        (_, true, true) => 0.8,
        (Some(Word::Address), true, _) => 0.75,
        (Some(Word::Address), _, true) => 0.65,
        (_, true, false) => 0.6,
        (_, false, true) if city && district => 0.55,
        (Some(Word::Address), _, _) => 0.45,
        _ => 0.35,
    };
    found.push(Spot { kind: "address", rule: "cn_address", at: start..end, confidence });
}

/// Bytes of the address before its house number: back to punctuation or a word that introduces it.
fn head_len(before: &str) -> usize {
    const BOUNDS: [&str; 22] = [
        "家住",
        "住在",
        "住址",
        "地址",
        "寄到",
        "寄往",
        "送到",
        "位于",
        "坐落于",
        "坐落在",
        "地点",
        "是",
        "在",
        "为",
        "到",
        "去",
        "于",
        "我",
        "和",
        "及",
        "至",
        "住",
    ];
    let stop = |c: char| !(is_han(c) || c.is_ascii_digit());
    let mut head =
        &before[before.rfind(stop).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8))..];
    // What comes before a province or a word that introduces the address is not part of it.
    for bound in BOUNDS {
        let mut bounds = head.rmatch_indices(bound).filter(|(at, _)| !in_name(head, *at, bound));
        let tail = bounds.next().map(|(at, _)| &head[at + bound.len()..]);
        head = tail.filter(|tail| tail.chars().count() >= 3).unwrap_or(head);
    }
    head.len()
}

/// Whether a character that may join or introduce is part of a place's name: 和平路, 于洪区, 呼和浩特市.
fn in_name(head: &str, at: usize, bound: &str) -> bool {
    const JOINING: &str = "和于及至为";
    const NAMES: [&str; 44] = [
        "呼和浩特",
        "和林格尔",
        "和布克赛尔",
        "和平",
        "和谐",
        "和睦",
        "和顺",
        "和兴",
        "和盛",
        "和昌",
        "和润",
        "和美",
        "和义",
        "和龙",
        "和静",
        "和硕",
        "和政",
        "和田",
        "共和",
        "太和",
        "永和",
        "仁和",
        "祥和",
        "人和",
        "中和",
        "义和",
        "泰和",
        "雍和",
        "颐和",
        "安和",
        "嘉和",
        "云和",
        "清和",
        "谐和",
        "于洪区",
        "于都县",
        "于田县",
        "于家",
        "及第",
        "至善",
        "至诚",
        "为民",
        "有为",
        "无为",
    ];
    if !JOINING.contains(bound) {
        return false;
    }
    let end = at + bound.len();
    let covers = |name: &&str| {
        name.match_indices(bound).any(|(before, _)| {
            head[..end].ends_with(&name[..before + bound.len()])
                && head[end..].starts_with(&name[before + bound.len()..])
        })
    };
    NAMES.iter().any(covers) || is_no_name(&head[end..])
}

/// Whether less than a name stands before the first mark of a place, so that what is before belongs to it: 和|平里, 周至|县.
fn is_no_name(tail: &str) -> bool {
    const MARKS: &str = "省市区县旗镇乡村路街道巷弄里坊庄苑园桥";
    // They go with the mark: 和平北路, 太和南一路.
    const PARTS: &str = "东南西北中新大小一二三四五六七八九十";
    let Some(mark) = tail.find(|c| MARKS.contains(c)) else { return false };
    tail[..mark].trim_end_matches(|c| PARTS.contains(c)).chars().count() <= 1
}

fn is_han(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// Where an address ends behind its number, and whether it names a building, a floor or a room.
fn chinese_tail(text: &Text, number_end: usize) -> (usize, bool) {
    const UNITS: [&str; 14] =
        ["号楼", "号院", "号", "弄", "栋", "幢", "座", "单元", "层", "楼", "室", "房", "户", "院"];
    let mut end = number_end;
    let mut inner = false;
    let mut rest = &text.s[number_end..];
    while let Some(unit) = UNITS.iter().find(|unit| rest.starts_with(**unit)) {
        inner |= !matches!(*unit, "号" | "弄");
        rest = &rest[unit.len()..];
        end = text.s.len() - rest.len();
        // A name of an estate or a building may stand between: 88号阳光小区3栋.
        let name = rest.chars().take(8).take_while(|c| is_han(*c)).map(char::len_utf8).sum::<usize>();
        let estate = ESTATES.iter().filter_map(|word| rest[..name].find(word).map(|at| at + word.len())).max();
        let next = &rest[estate.unwrap_or(0)..];
        if estate.is_some() {
            inner = true;
            end = text.s.len() - next.len();
        }
        let next = next.strip_prefix(['-', ' ', '甲', '乙']).unwrap_or(next);
        let places = next.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'-').count();
        if !(1..=6).contains(&places) {
            break;
        }
        rest = &next[places..];
        if !UNITS.iter().any(|unit| rest.starts_with(*unit)) {
            // 3单元248: the number of the room, without a word behind it.
            let room = inner && estate.is_none() && next[..places].bytes().all(|c| c.is_ascii_digit());
            if room && (3..=4).contains(&places) && !rest.starts_with(|c: char| c.is_alphanumeric()) {
                end = text.s.len() - rest.len();
            }
            break;
        }
    }
    (end, inner)
}

const STREETS: [&str; 36] = [
    "Street",
    "St",
    "Avenue",
    "Ave",
    "Road",
    "Rd",
    "Boulevard",
    "Blvd",
    "Lane",
    "Ln",
    "Drive",
    "Dr",
    "Court",
    "Ct",
    "Way",
    "Place",
    "Pl",
    "Square",
    "Sq",
    "Terrace",
    "Parkway",
    "Pkwy",
    "Circle",
    "Cir",
    "Highway",
    "Hwy",
    "Close",
    "Crescent",
    "Trail",
    "Alley",
    "Row",
    "Walk",
    "Crossing",
    "Grove",
    "Gardens",
    "Plaza",
];

/// 742 Evergreen Terrace, Apt 5, Springfield, IL 62704.
fn english(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = &text.groups[g];
    if group.len() > 5 {
        return;
    }
    // 221B Baker Street.
    let letter = usize::from(text.byte(group.end).is_some_and(|c| c.is_ascii_uppercase()));
    let from = group.end + letter + 1;
    if text.byte(from - 1) != Some(b' ') || !text.opens(group.start) {
        return;
    }
    let Some(len) = street_len(text.after(from, 64)) else { return };
    let mut end = from + len;
    // The dot of "Ave." is the sentence's where nothing more of the address follows.
    let short = text.before(end, 5).contains(' ');
    let dot = usize::from(short && [". ", ".,", ".\n"].contains(&text.after(end, 2)));
    let unit = unit_len(text.after(end + dot, 32));
    let town = town_len(text.after(end + dot + unit.unwrap_or(0), 64));
    if unit.is_some() || town.is_some() {
        end += dot + unit.unwrap_or(0) + town.unwrap_or(0);
    }
    let near = context::before(&text.s[..group.start], &[Word::Home, Word::Address]);
    let confidence = match (near.map(|near| near.word), unit.is_some(), town.is_some()) {
        (_, _, true) => 0.8,
        (Some(Word::Home), _, _) => 0.75,
        (_, true, _) => 0.7,
        (Some(Word::Address), _, _) => 0.6,
        _ => 0.4,
    };
    found.push(Spot { kind: "address", rule: "street_address", at: group.start..end, confidence });
}

/// P.O. Box 123, Springfield, IL 62704.
fn post_box(text: &Text, g: usize, found: &mut Vec<Spot>) {
    const BOXES: [&str; 6] = ["P.O. Box ", "PO Box ", "P. O. Box ", "P.O.Box ", "PO BOX ", "Post Office Box "];
    let group = &text.groups[g];
    if !matches!(text.before(group.start, 2), "x " | "X ") {
        return;
    }
    let Some(words) = BOXES.iter().find(|words| text.before(group.start, 18).ends_with(*words)) else { return };
    let town = town_len(text.after(group.end, 64));
    let at = group.start - words.len()..group.end + town.unwrap_or(0);
    let confidence = if town.is_some() { 0.8 } else { 0.55 };
    found.push(Spot { kind: "address", rule: "post_box", at, confidence });
}

/// The length of one to five words with capitals of which the last is a kind of street.
fn street_len(rest: &str) -> Option<usize> {
    let mut at = 0;
    for place in 0..6 {
        let word = rest[at..].split([' ', ',', '\n', '.', ';', ')']).next().unwrap_or_default();
        let ordinal = word.ends_with("th") || word.ends_with("st") || word.ends_with("nd") || word.ends_with("rd");
        let capital = word.starts_with(|c: char| c.is_uppercase());
        let number = word.starts_with(|c: char| c.is_ascii_digit()) && ordinal;
        if word.is_empty() || !(capital || number) {
            return None;
        }
        at += word.len();
        if place > 0 && STREETS.contains(&word) {
            return Some(at);
        }
        // "5 St. John Street": a short form before the name.
        if rest[at..].starts_with(". ") && word.len() <= 2 {
            at += 1;
        }
        if !rest[at..].starts_with(' ') {
            return None;
        }
        at += 1;
    }
    None
}

/// The length of ", Apt. 5B" and the like.
fn unit_len(rest: &str) -> Option<usize> {
    const UNITS: [&str; 9] = ["Apartment ", "Apt. ", "Apt ", "Suite ", "Ste. ", "Ste ", "Unit ", "Floor ", "#"];
    let trimmed = rest.trim_start_matches([',', ' ', '\n']);
    let tail = UNITS.iter().find_map(|unit| trimmed.strip_prefix(unit))?;
    let len = tail.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'-').count();
    (1..=6).contains(&len).then(|| rest.len() - tail.len() + len)
}

/// The length of ", Springfield, IL 62704" and the like.
fn town_len(rest: &str) -> Option<usize> {
    let trimmed = rest.trim_start_matches([',', ' ', '\n']);
    if trimmed.len() == rest.len() {
        return None;
    }
    let mut words = trimmed.char_indices().filter(|(_, c)| c.is_ascii_digit());
    let (zip, _) = words.next()?;
    let town = &trimmed[..zip];
    let names = town.split([' ', ',', '\n']).filter(|word| !word.is_empty());
    let capitals = names.clone().all(|word| word.starts_with(|c: char| c.is_uppercase()));
    let digits = trimmed[zip..].bytes().take_while(u8::is_ascii_digit).count();
    let count = names.count();
    let state = town.trim_end().ends_with(|c: char| c.is_ascii_uppercase());
    let long = trimmed[zip + digits..].starts_with('-')
        && trimmed[zip + digits + 1..].bytes().take_while(u8::is_ascii_digit).count() == 4;
    let whole = digits + if long { 5 } else { 0 };
    ((1..=5).contains(&count) && capitals && state && digits == 5).then(|| rest.len() - trimmed.len() + zip + whole)
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn addresses() {
        for (text, rule, value) in [
            ("我家住在北京市海淀区学院路37号3号楼502室，", "cn_address", "北京市海淀区学院路37号3号楼502室"),
            ("收货地址：广东省深圳市南山区科技园南路12号", "cn_address", "广东省深圳市南山区科技园南路12号"),
            ("地址是上海市徐汇区漕溪北路88号。", "cn_address", "上海市徐汇区漕溪北路88号"),
            ("寄到幸福路5号2单元301室", "cn_address", "幸福路5号2单元301室"),
            ("I live at 742 Evergreen Terrace.", "street_address", "742 Evergreen Terrace"),
            ("ship to 12 N. Oak Street, Apt 5B", "street_address", "12 N. Oak Street, Apt 5B"),
            ("家住朝阳区幸福里小区5号楼3单元201室。", "cn_address", "朝阳区幸福里小区5号楼3单元201室"),
            ("I live at 221B Baker Street, London", "street_address", "221B Baker Street"),
            ("地址：天津市和平区南京路128号", "cn_address", "天津市和平区南京路128号"),
            ("沈阳市于洪区黄河北大街56号2单元", "cn_address", "沈阳市于洪区黄河北大街56号2单元"),
            ("内蒙古呼和浩特市新城区中山东路7号", "cn_address", "内蒙古呼和浩特市新城区中山东路7号"),
            ("新疆和田地区和田市北京西路5号", "cn_address", "新疆和田地区和田市北京西路5号"),
            ("我住在和平路12号3单元。", "cn_address", "和平路12号3单元"),
            ("家住西安市周至县为民路3号院", "cn_address", "西安市周至县为民路3号院"),
            ("位于武汉市洪山区珞喻路1037号5栋", "cn_address", "武汉市洪山区珞喻路1037号5栋"),
            ("我和同事在上海市黄浦区西藏中路18号2楼", "cn_address", "上海市黄浦区西藏中路18号2楼"),
            ("张三和北京市朝阳区建国路88号3座的李四", "cn_address", "北京市朝阳区建国路88号3座"),
            ("我住在北京市朝阳区建国路88号和他一起", "cn_address", "北京市朝阳区建国路88号"),
            ("收货地址：成都市武侯区文三路293号7栋6单元189。", "cn_address", "成都市武侯区文三路293号7栋6单元189"),
            ("家住幸福街5号2单元300米外", "cn_address", "幸福街5号2单元"),
            ("I live at 7670 Maple Blvd. Come and see me.", "street_address", "7670 Maple Blvd"),
            ("ship to 12 Oak St. Apt 5B", "street_address", "12 Oak St. Apt 5B"),
            ("PO Box 1234, Ashton, ID 83420", "post_box", "PO Box 1234, Ashton, ID 83420"),
            ("at 1600 Elm Ave, Springfield, IL 62704.", "street_address", "1600 Elm Ave, Springfield, IL 62704"),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in
            ["地铁10号线", "第3号", "12月5号", "长安街1号", "5 people Walk", "in 1999 Main Street fell", "3 Drive"]
        {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
