//! Characters that travel through a template unseen. They are Unicode noncharacters (U+FDD0…U+FDEF), which stand for no text,
//! so that no tokenizer, filter or trim has a use for them; a record that holds one is refused.

use super::TextError;

/// The assistant speaks from here …
pub(super) const START: char = '\u{FDD0}';
/// … to here.
pub(super) const END: char = '\u{FDD1}';
/// The bounds of one message's content, while looking for it in the rendered text.
pub(super) const CONTENT_START: char = '\u{FDD2}';
pub(super) const CONTENT_END: char = '\u{FDD3}';
/// Stands inside text that looks like a control token, after its first character, so that it is not taken for one.
pub(super) const BREAK: char = '\u{FDD4}';
/// `ALIAS number ALIAS` stands for a control token that the template itself wrote, in text that also holds look-alikes.
pub(super) const ALIAS: char = '\u{FDD5}';

/// The first reserved character in a text.
pub(super) fn reserved(text: &str) -> Option<u32> {
    text.chars().find(|c| is_mark(*c)).map(u32::from)
}

/// # Errors
/// `ReservedCharacter`.
pub(super) fn check(text: &str) -> Result<(), TextError> {
    reserved(text).map_or(Ok(()), |code| Err(TextError::ReservedCharacter { code }))
}

pub(super) fn is_mark(c: char) -> bool {
    ('\u{FDD0}'..='\u{FDEF}').contains(&c)
}

/// The text without its marks.
pub(super) fn strip(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c)).collect()
}
