//! Sentences, instructions and answers in English and Chinese.
