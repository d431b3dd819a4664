//! Texts that are almost the same: normal forms, shingles, MinHash, Jaccard, containment.
