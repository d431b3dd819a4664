//! Durable run folders: what a long computation writes survives a crash, a full disk and a power cut.
//!
//! Everything that must survive goes through [`Fs`], which has two implementations: [`RealFs`], and [`FaultyFs`],
//! which loses power, fills up and fails on demand. On top of it:
//!
//! * [`publish_file`], [`publish_file_with`] and [`publish_dir`]: a reader finds the old state or the new one, never a mixture;
//! * [`verify_dir`]: a published folder against the hashes in its manifest;
//! * [`Checkpoints`]: folders by step, the newest valid one, rotation;
//! * [`Journal`]: lines of JSON that grow, and are cut back on resume;
//! * [`RunLock`]: one run per folder.
//!
//! The crate does not know what it stores.

mod checkpoints;
mod clock;
mod error;
mod faulty;
mod fs;
mod hash;
mod journal;
mod lock;
mod manifest;
mod publish;
mod real;

pub use checkpoints::{Checkpoints, Found, Search, Skipped};
pub use clock::{Clock, FixedClock, SystemClock};
pub use error::{Damage, RunFsError};
pub use faulty::{CrashImage, Fault, FaultyFs};
pub use fs::{Fs, FsFile, create_dir_durable, writable};
pub use hash::{sha256_file, sha256_hex};
pub use journal::Journal;
pub use lock::RunLock;
pub use manifest::{Entry, MANIFEST, Manifest, verify_dir, verify_dir_with};
pub use publish::{Staged, publish_dir, publish_file, publish_file_with, recover_dir};
pub use real::RealFs;
