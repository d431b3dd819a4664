//! Texts and their near duplicates.
