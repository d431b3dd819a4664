//! Files, formats, the token cache, order and packing.

mod packing;
