//! The measures from outside.

mod faults;
mod language;
mod near;
mod pii;
mod quality;
mod verbs;
