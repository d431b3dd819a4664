//! The page of `athanor scan`, from its `scan.json` and the findings that the page shows.
