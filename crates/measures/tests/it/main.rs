mod quality;
//! What the measures find in planted texts.

mod pii;
