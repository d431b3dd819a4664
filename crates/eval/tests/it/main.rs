//! Scores against reference implementations, statistics, suites, and whole evaluations with stand-ins for models.

mod runs;
mod scores;
mod statistics;
mod suites;
mod support;
