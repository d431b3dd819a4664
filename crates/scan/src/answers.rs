//! Answers against their questions over the whole set: one question with many answers, one answer to many questions, triggers, templates.
