pub mod ask;
pub mod combine;
pub mod completions;
pub mod doctor;
pub mod eval;
pub mod inspect;
pub mod merge;
pub mod mix;
pub mod plan;
pub mod quantize;
pub mod quickstart;
pub mod scan;
pub mod shrink;
pub mod train;

/// What `--other-base` means.
fn other_base(flag: bool) -> model::OtherBase {
    if flag { model::OtherBase::Taken } else { model::OtherBase::Refused }
}

/// The language of a page.
fn language(language: crate::args::ReportLanguage) -> report::Language {
    match language {
        crate::args::ReportLanguage::En => report::Language::English,
        crate::args::ReportLanguage::Zh => report::Language::Chinese,
    }
}
