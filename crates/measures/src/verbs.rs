//! What an instruction asks for: root verb, its noun, the level, steps and constraints.
