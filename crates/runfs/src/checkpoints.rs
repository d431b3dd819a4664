//! Checkpoints: one published folder per step.

use crate::RunFsError;
use crate::fs::{Fs, with_suffix};
use crate::manifest::{Manifest, verify_dir};
use crate::publish::{OLD, Staged, TMP, publish_dir, recover_dir};
use std::path::PathBuf;

const PREFIX: &str = "step-";
/// Steps are written with at least this many digits, so that names sort like numbers.
const DIGITS: usize = 8;
/// The newest may be the one that a failing disk has torn; one more valid one always stays.
const KEEP_MIN: usize = 2;

/// The checkpoints of a run: folders `step-00000050` in `dir`.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    pub dir: PathBuf,
    /// How many of the newest stay; at least two do.
    pub keep: usize,
}

/// What [`Checkpoints::newest_valid`] came to.
#[derive(Debug, Default)]
pub struct Search {
    pub found: Option<Found>,
    /// Newer ones that were not valid, newest first.
    pub skipped: Vec<Skipped>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub step: u64,
    pub path: PathBuf,
    pub manifest: Manifest,
}

/// A checkpoint that was passed over, and why: the error names file and hash.
#[derive(Debug)]
pub struct Skipped {
    pub path: PathBuf,
    pub why: RunFsError,
}

impl Checkpoints {
    /// The folder of a step, there or not.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:0DIGITS$}"))
    }

    /// Publishes the checkpoint of `step`, replacing one of the same step. See [`publish_dir`].
    pub fn publish(
        &self,
        fs: &dyn Fs,
        step: u64,
        fill: &mut dyn FnMut(&mut Staged) -> Result<(), RunFsError>,
    ) -> Result<PathBuf, RunFsError> {
        let path = self.path(step);
        publish_dir(fs, &path, fill)?;
        Ok(path)
    }

    /// The newest checkpoint whose files are all whole. Before looking it ends what an interrupted publish has left,
    /// so the caller holds the run's lock.
    pub fn newest_valid(&self, fs: &dyn Fs) -> Result<Search, RunFsError> {
        self.recover(fs)?;
        let mut search = Search::default();
        for step in self.steps(fs)?.into_iter().rev() {
            let path = self.path(step);
            match verify_dir(fs, &path) {
                Ok(manifest) => {
                    search.found = Some(Found { step, path, manifest });
                    break;
                }
                Err(why) => search.skipped.push(Skipped { path, why }),
            }
        }
        Ok(search)
    }

    /// Removes the oldest checkpoints: what stays is the newest `keep`, the two newest that are valid, and the steps
    /// in `protect`. To be called after the next one has been published.
    pub fn rotate(&self, fs: &dyn Fs, protect: &[u64]) -> Result<(), RunFsError> {
        let steps = self.steps(fs)?;
        let old = &steps[..steps.len().saturating_sub(self.keep.max(KEEP_MIN))];
        if old.iter().all(|step| protect.contains(step)) {
            return Ok(());
        }
        let valid = |step: &&u64| verify_dir(fs, &self.path(**step)).is_ok();
        let Some(second_valid) = steps.iter().rev().filter(valid).nth(KEEP_MIN - 1) else {
            return Ok(());
        };
        for step in old.iter().filter(|step| *step < second_valid && !protect.contains(step)) {
            self.remove(fs, *step)?;
        }
        Ok(())
    }

    /// Steps that have a folder, ascending, whether valid or not.
    pub fn steps(&self, fs: &dyn Fs) -> Result<Vec<u64>, RunFsError> {
        let mut steps: Vec<u64> = self.names(fs)?.iter().filter_map(|name| step_of(name)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Under a temporary name first: a power cut while its files go must not leave half a checkpoint.
    fn remove(&self, fs: &dyn Fs, step: u64) -> Result<(), RunFsError> {
        let path = self.path(step);
        let tmp = with_suffix(&path, TMP);
        fs.rename(&path, &tmp).map_err(|e| RunFsError::writing(fs, "rename", &path, 0, e))?;
        // Once more on an error, which stays the one to tell: nothing temporary is left behind if that can be helped.
        recover_dir(fs, &path).inspect_err(|_| drop(recover_dir(fs, &path)))
    }

    fn recover(&self, fs: &dyn Fs) -> Result<(), RunFsError> {
        for name in self.names(fs)? {
            if let Some(base) = name.strip_suffix(TMP).or_else(|| name.strip_suffix(OLD))
                && let Some(step) = step_of(base)
            {
                recover_dir(fs, &self.path(step))?;
            }
        }
        Ok(())
    }

    /// Names in the folder; none if it does not exist.
    fn names(&self, fs: &dyn Fs) -> Result<Vec<String>, RunFsError> {
        if !fs.exists(&self.dir) {
            return Ok(Vec::new());
        }
        let names = fs.list(&self.dir).map_err(|e| RunFsError::io("list", &self.dir, e))?;
        Ok(names.iter().filter_map(|name| name.to_str().map(str::to_owned)).collect())
    }
}

/// The step of a name exactly as [`Checkpoints::path`] writes it.
fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(PREFIX)?.parse().ok()?;
    (format!("{PREFIX}{step:0DIGITS$}") == name).then_some(step)
}
