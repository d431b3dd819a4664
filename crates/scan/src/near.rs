//! Duplicates and leaks over any number of rows: bands on disk, verified pairs, groups.
