//! What speaks for and against an answer.
