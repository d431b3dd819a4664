//! From tokens to an answer.

use data::{Control, Question, TextError, TextPipeline};

/// The answer in the tokens of one: without what the template still puts before and after it, up to a stop, and without white
/// space at its ends.
pub fn answer(text: &TextPipeline, question: &Question, ids: &[u32], stops: &[String]) -> Result<String, TextError> {
    let whole = text.tokenizer().decode(ids, Control::Skip)?;
    let rest = question.rest.trim();
    let said = whole.trim_start();
    let said = said.strip_prefix(rest).unwrap_or(said).trim_start();
    let end = stops.iter().filter_map(|stop| said.find(stop.as_str())).min().unwrap_or(said.len());
    let said = said[..end].trim_end();
    let after = question.after.trim();
    Ok(if after.is_empty() { said } else { said.strip_suffix(after).unwrap_or(said) }.trim_end().to_owned())
}
