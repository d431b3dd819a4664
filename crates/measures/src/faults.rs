//! What is broken in a text: encodings gone wrong, markup, control codes, loops, refusals, role tokens, cut answers.
