//! Texts in other encodings: found by their first stretch, converted to UTF-8 while they are read.

use encoding_rs::{CoderResult, Decoder, GB18030, UTF_16BE, UTF_16LE};
use std::io::{BufRead, Read};

/// How the text of a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32,
    /// And its subsets GBK and GB2312.
    Gb18030,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "UTF-8",
            Encoding::Utf16Le => "UTF-16 (little endian)",
            Encoding::Utf16Be => "UTF-16 (big endian)",
            Encoding::Utf32 => "UTF-32",
            Encoding::Gb18030 => "GB18030 (GBK)",
        }
    }

    pub fn is_utf8(self) -> bool {
        self == Encoding::Utf8
    }
}

/// The encoding that a byte order mark says; UTF-8 without one.
pub(crate) fn by_mark(start: &[u8]) -> Encoding {
    match start {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Encoding::Utf32,
        [0xff, 0xfe, ..] => Encoding::Utf16Le,
        [0xfe, 0xff, ..] => Encoding::Utf16Be,
        _ => Encoding::Utf8,
    }
}

/// Code units looked at for UTF-16 without a mark: the braces, quotes and names that files begin with are ASCII.
const UNITS_LOOKED_AT: usize = 64;
const UNITS_MIN: usize = 4;

/// The encoding that the first stretch of a text looks like.
pub(crate) fn by_looking(start: &[u8]) -> Encoding {
    let marked = by_mark(start);
    if !marked.is_utf8() || start.starts_with(b"PAR1") {
        return marked;
    }
    let units = start.chunks_exact(2).take(UNITS_LOOKED_AT);
    let count = |fits: fn(&[u8]) -> bool| units.clone().filter(|unit| fits(unit)).count();
    let (little, big) = (count(|u| u[0] != 0 && u[1] == 0), count(|u| u[0] == 0 && u[1] != 0));
    // Most of the first units in one byte order, and hardly one in the other.
    let most = units.len().div_ceil(2).max(UNITS_MIN);
    if little >= most && big * 8 <= little {
        Encoding::Utf16Le
    } else if big >= most && little * 8 <= big {
        Encoding::Utf16Be
    } else if whole_file_is_gb18030(start) {
        Encoding::Gb18030
    } else {
        Encoding::Utf8
    }
}

/// Bytes of foreign lines that are enough to tell by.
const FOREIGN_BYTES_ENOUGH: usize = 1 << 14;

/// Whether all lines that are not ASCII are GB18030. A UTF-8 file with a few such lines is a UTF-8 file with faulty rows.
fn whole_file_is_gb18030(start: &[u8]) -> bool {
    // The last line may be cut anywhere.
    let end = memchr::memrchr(b'\n', start).map_or(start.len(), |at| at + 1);
    let (mut utf8_lines, mut foreign_lines, mut foreign) = (0usize, 0usize, Vec::new());
    for line in start[..end].split_inclusive(|b| *b == b'\n').filter(|line| !line.is_ascii()) {
        match std::str::from_utf8(line) {
            Ok(_) => utf8_lines += 1,
            // Cut inside a character is not another encoding.
            Err(e) if e.error_len().is_none() => utf8_lines += 1,
            Err(_) => {
                foreign_lines += 1;
                if foreign.len() < FOREIGN_BYTES_ENOUGH {
                    foreign.extend_from_slice(line);
                }
            }
        }
    }
    // Short texts in GBK can be valid UTF-8 by chance, so one in eight lines may be.
    foreign_lines > 0 && utf8_lines * 8 <= foreign_lines && gb18030(&foreign).is_some()
}

/// Two-byte characters needed before anything is said about an encoding.
const PAIRS_MIN: usize = 4;
/// The commonest characters of Chinese text; about two fifths of any of it, and of text in another encoding read as GB18030 next
/// to nothing.
const COMMON: &str = concat!(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然",
    "家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日军者意无力它与长把机",
    "十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加",
    "西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更",
    "别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马",
    "科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确",
    "传师观清今切院让识候带导争运",
);
/// Share of them from which on a text is Chinese.
const COMMON_SHARE_MIN: f64 = 0.2;
/// Share of characters of GB2312's first level, where nearly all of modern Chinese is.
const FIRST_LEVEL_SHARE_MIN: f64 = 0.6;

/// The text of bytes that are GB18030 by all appearances; None where they are something else.
pub fn gb18030(bytes: &[u8]) -> Option<String> {
    let (mut pairs, mut first_level) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&lead) = bytes.get(at) {
        if lead < 0x80 {
            at += 1;
            continue;
        }
        let &trail = bytes.get(at + 1)?;
        // Four bytes: characters outside GBK, which are rare in any text.
        if trail.is_ascii_digit() {
            at += 4;
            continue;
        }
        pairs += 1;
        // Chinese punctuation stands in rows A1 and A3 and belongs to Chinese as much.
        first_level += usize::from(matches!(lead, 0xb0..=0xd7 | 0xa1 | 0xa3) && trail >= 0xa1);
        at += 2;
    }
    if pairs < PAIRS_MIN || (first_level as f64) < FIRST_LEVEL_SHARE_MIN * pairs as f64 {
        return None;
    }
    let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes)?;
    let han = text.chars().filter(|c| matches!(c, '\u{4e00}'..='\u{9fff}'));
    let common = han.clone().filter(|c| COMMON.contains(*c)).count();
    let enough = common as f64 >= COMMON_SHARE_MIN * han.count() as f64 && common > 0;
    enough.then(|| text.into_owned())
}

const READ_BYTES: usize = 1 << 16;
/// The most bytes of UTF-8 that one call of the decoder may need to get on.
const CHARACTER_BYTES: usize = 16;

/// Text in another encoding as UTF-8. What is malformed becomes U+FFFD, and is found as that.
pub(crate) struct Decoding<R> {
    text: R,
    decoder: Decoder,
    /// Decoded and not yet handed out.
    ready: Vec<u8>,
    taken: usize,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Ended,
}

impl<R: BufRead> Decoding<R> {
    pub fn new(text: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Utf16Le => UTF_16LE.new_decoder_with_bom_removal(),
            Encoding::Utf16Be => UTF_16BE.new_decoder_with_bom_removal(),
            Encoding::Gb18030 => GB18030.new_decoder_without_bom_handling(),
            Encoding::Utf8 | Encoding::Utf32 => encoding_rs::UTF_8.new_decoder_without_bom_handling(),
        };
        Self { text, decoder, ready: vec![0; READ_BYTES], taken: READ_BYTES, place: Place::Within }
    }

    /// Decodes the next stretch; nothing is ready after it only at the end.
    fn decode(&mut self) -> std::io::Result<()> {
        self.ready.resize(READ_BYTES.max(CHARACTER_BYTES), 0);
        self.taken = 0;
        while self.place == Place::Within {
            let from = self.text.fill_buf()?;
            let last = from.is_empty();
            let (result, read, written, _) = self.decoder.decode_to_utf8(from, &mut self.ready, last);
            self.text.consume(read);
            if last && result == CoderResult::InputEmpty {
                self.place = Place::Ended;
            }
            if written > 0 {
                self.ready.truncate(written);
                return Ok(());
            }
        }
        self.ready.clear();
        Ok(())
    }
}

impl<R: BufRead> Read for Decoding<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.taken >= self.ready.len() {
            self.decode()?;
        }
        let n = buf.len().min(self.ready.len() - self.taken);
        buf[..n].copy_from_slice(&self.ready[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn encodings_are_recognised() {
        let json = "{\"instruction\":\"你好，请介绍一下你自己。\",\"output\":\"我是一个助手，可以回答问题。\"}\n";
        let gb = GB18030.encode(json).0.into_owned();
        let korean = encoding_rs::EUC_KR.encode("안녕하세요 저는 학생입니다 오늘은 날씨가 좋습니다\n").0.into_owned();
        let japanese = encoding_rs::EUC_JP.encode("こんにちは。私は学生です。今日は天気がいいです。\n").0.into_owned();
        let shift_jis =
            encoding_rs::SHIFT_JIS.encode("こんにちは。私は学生です。今日は天気がいいです。\n").0.into_owned();
        let big5 = encoding_rs::BIG5.encode("今天的天氣很好，我們一起去學校吧。\n").0.into_owned();
        let latin = encoding_rs::WINDOWS_1252.encode("déjà vu, naïve façade, Übergröße, été à Noël\n").0.into_owned();
        let mixed = [json.repeat(20).as_bytes(), &gb].concat();
        for (bytes, expect) in [
            (utf16(json, u16::to_le_bytes), Encoding::Utf16Le),
            (utf16(json, u16::to_be_bytes), Encoding::Utf16Be),
            (utf16("\u{feff}你好", u16::to_le_bytes), Encoding::Utf16Le),
            (utf16("\u{feff}你好", u16::to_be_bytes), Encoding::Utf16Be),
            (b"\xff\xfe\0\0{\0\0\0".to_vec(), Encoding::Utf32),
            (gb.repeat(3), Encoding::Gb18030),
            (json.as_bytes().to_vec(), Encoding::Utf8),
            (mixed, Encoding::Utf8),
            (json.as_bytes()[..20].to_vec(), Encoding::Utf8),
            (korean, Encoding::Utf8),
            (japanese, Encoding::Utf8),
            (shift_jis, Encoding::Utf8),
            (big5, Encoding::Utf8),
            (latin, Encoding::Utf8),
            (b"PAR1\0\x15\0\x15\0".to_vec(), Encoding::Utf8),
            (b"a\0b\0".to_vec(), Encoding::Utf8),
            (Vec::new(), Encoding::Utf8),
        ] {
            assert_eq!(by_looking(&bytes), expect, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn decoded_as_it_is_read() {
        let text = "a\n你好，𠀀\u{1f600}\n".repeat(20_000);
        for (bytes, encoding) in [
            (utf16(&text, u16::to_le_bytes), Encoding::Utf16Le),
            (utf16(&text, u16::to_be_bytes), Encoding::Utf16Be),
            (GB18030.encode(&text).0.into_owned(), Encoding::Gb18030),
        ] {
            let mut decoded = String::new();
            let source = std::io::BufReader::with_capacity(7, &bytes[..]);
            Decoding::new(source, encoding).read_to_string(&mut decoded).unwrap();
            assert_eq!(decoded, text, "{encoding:?}");
        }
        // Half a code unit at the end.
        let mut decoded = String::new();
        Decoding::new(&b"a\0b"[..], Encoding::Utf16Le).read_to_string(&mut decoded).unwrap();
        assert_eq!(decoded, "a\u{fffd}");
    }
}
