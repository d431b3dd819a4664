pub mod completions;
pub mod doctor;
pub mod inspect;
pub mod merge;
pub mod plan;
pub mod quantize;
pub mod shrink;
pub mod train;
