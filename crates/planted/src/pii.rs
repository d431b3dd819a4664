//! Texts with personal data and secrets, and with what only looks like them.
