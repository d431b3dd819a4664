mod answers;
mod clean;
mod fuzz;
mod input;
