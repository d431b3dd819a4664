//! Files as rows: opened, read in pieces, understood in parallel.
