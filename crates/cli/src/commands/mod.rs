pub mod completions;
pub mod doctor;
pub mod plan;
pub mod quantize;
pub mod train;
