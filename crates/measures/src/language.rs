//! Which language a text is in, and how much of it is code.
