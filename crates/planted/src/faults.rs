//! Rows with one fault each.
