mod quality;
//! What the measures find in planted texts.

mod pii;
//! The measures from outside.

mod faults;
mod language;
//! The measures crate from outside.

mod near;
mod verbs;
