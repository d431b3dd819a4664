//! One run per folder.

use crate::RunFsError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = "lock";
/// Held only while a process takes the lock and writes its pid, or finds it taken and reads the holder's: whoever
/// reads finds the pid of the process that holds, not of one before it.
const GATE: &str = "lock.gate";

/// The exclusive use of a run folder, until dropped or until the process ends in whatever way: the operating system
/// frees it. Its two small files stay in the folder; removing a lock file would let two processes hold "the" lock.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of `dir`, which is created if absent; does not wait.
    ///
    /// # Errors
    /// [`RunFsError::InUse`] with the holder's pid.
    pub fn acquire(dir: &Path) -> Result<RunLock, RunFsError> {
        let fs = &crate::RealFs;
        std::fs::create_dir_all(dir).map_err(|e| RunFsError::writing(fs, "create the folder", dir, 0, e))?;
        let (gate_path, path) = (dir.join(GATE), dir.join(LOCK));
        let failed = |op, path: &PathBuf| {
            let path = path.clone();
            move |e| RunFsError::writing(fs, op, &path, 0, e)
        };
        let gate = open(&gate_path).map_err(failed("open", &gate_path))?;
        gate.lock().map_err(failed("lock", &gate_path))?;
        let mut file = open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&mut file).map_err(failed("read", &path))?;
                return Err(RunFsError::InUse { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(e)) => return Err(failed("lock", &path)(e)),
        }
        file.set_len(0).map_err(failed("write", &path))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed("write", &path))?;
        Ok(RunLock { _file: file })
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn read_pid(file: &mut File) -> std::io::Result<Option<u32>> {
    const PID_BYTES_MAX: u64 = 32;
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(PID_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}
