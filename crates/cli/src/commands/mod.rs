pub mod completions;
pub mod doctor;
pub mod plan;
pub mod train;
