//! A copy without what the findings remove.
