//! Evaluation rows that are in the training set.
use super::spool::Texts;
use super::table::Table;
use super::{Leak, Limits, NearError, Settings, Stop};

pub(super) fn leaks(_: &Table, _: &Texts, _: Settings, _: &mut Limits, _: Stop) -> Result<Vec<Leak>, NearError> {
    Ok(Vec::new())
}
