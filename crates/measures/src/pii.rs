//! Personal data and secrets: where they stand, and texts without them.
