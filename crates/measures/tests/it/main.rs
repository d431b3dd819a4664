//! The measures from outside.

mod any_text;
mod faults;
mod language;
mod near;
mod pii;
mod quality;
mod verbs;
