//! The cached and the durable state of the disk, and the changes between them.

use super::{CrashImage, Fault, names};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const ROOT: usize = 0;

pub(super) type Entries = BTreeMap<OsString, usize>;

/// A file or folder, as the program sees it and as it is on the device.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File { cached: Arc<Vec<u8>>, durable: Arc<Vec<u8>> },
    Dir { cached: Entries, durable: Entries },
}

/// A change of one folder that its fsync makes durable.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Link { name: OsString, ino: usize },
    Unlink { name: OsString },
    Rename { from: OsString, to: OsString },
    Exchange { a: OsString, b: OsString },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Change,
    /// A change that may take space.
    Grow,
}

#[derive(Debug)]
pub(super) struct Disk {
    /// By inode number; numbers are not used again.
    pub nodes: Vec<Node>,
    /// Changes of folders (by inode) that are not durable, in their order.
    pub pending: Vec<(usize, Change)>,
    pub countdown: Option<(u64, Fault)>,
    pub capacity: Option<u64>,
    pub write_max: usize,
    pub read_only: bool,
    pub exchanges: bool,
    pub operations: u64,
    pub recorded: Option<Vec<CrashImage>>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            nodes: vec![Node::Dir { cached: Entries::new(), durable: Entries::new() }],
            pending: Vec::new(),
            countdown: None,
            capacity: None,
            write_max: usize::MAX,
            read_only: false,
            exchanges: true,
            operations: 0,
            recorded: None,
        }
    }
}

impl Change {
    pub(super) fn apply(&self, entries: &mut Entries) {
        match self {
            Change::Link { name, ino } => drop(entries.insert(name.clone(), *ino)),
            Change::Unlink { name } => drop(entries.remove(name)),
            Change::Rename { from, to } => {
                if let Some(ino) = entries.remove(from) {
                    entries.insert(to.clone(), ino);
                }
            }
            Change::Exchange { a, b } => {
                if let (Some(x), Some(y)) = (entries.get(a).copied(), entries.get(b).copied()) {
                    entries.insert(a.clone(), y);
                    entries.insert(b.clone(), x);
                }
            }
        }
    }
}

impl Disk {
    /// Counts an operation and decides whether it fails.
    pub fn admit(&mut self, access: Access) -> io::Result<()> {
        self.operations += 1;
        if let Some((left, fault)) = &mut self.countdown
            && (*fault == Fault::Io || access == Access::Grow)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let fault = *fault;
                self.countdown = None;
                return Err(match fault {
                    Fault::Io => io::Error::other("input/output error (injected)"),
                    Fault::NoSpace => ErrorKind::StorageFull.into(),
                });
            }
        }
        if self.read_only && access != Access::Read {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    pub fn find(&self, path: &Path) -> io::Result<usize> {
        names(path).iter().try_fold(ROOT, |at, name| self.child(at, name)?.ok_or(ErrorKind::NotFound.into()))
    }

    pub fn child(&self, dir: usize, name: &OsString) -> io::Result<Option<usize>> {
        Ok(self.entries(dir)?.get(name).copied())
    }

    /// The folder that `path` is in, and its name there.
    pub fn parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let mut names = names(path);
        let name = names.pop().ok_or(ErrorKind::InvalidInput)?;
        Ok((self.find(&names.iter().collect::<PathBuf>())?, name))
    }

    pub fn entries(&self, ino: usize) -> io::Result<&Entries> {
        match &self.nodes[ino] {
            Node::Dir { cached, .. } => Ok(cached),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    pub fn content(&self, ino: usize) -> io::Result<&Arc<Vec<u8>>> {
        match &self.nodes[ino] {
            Node::File { cached, .. } => Ok(cached),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub fn new_dir(&mut self, dir: usize, name: OsString) -> io::Result<usize> {
        self.link_new(dir, name, Node::Dir { cached: Entries::new(), durable: Entries::new() })
    }

    pub fn new_file(&mut self, dir: usize, name: OsString) -> io::Result<usize> {
        self.link_new(dir, name, Node::File { cached: Arc::default(), durable: Arc::default() })
    }

    fn link_new(&mut self, dir: usize, name: OsString, node: Node) -> io::Result<usize> {
        let ino = self.nodes.len();
        self.change(dir, Change::Link { name, ino })?;
        self.nodes.push(node);
        Ok(ino)
    }

    fn change(&mut self, dir: usize, change: Change) -> io::Result<()> {
        let Node::Dir { cached, .. } = &mut self.nodes[dir] else {
            return Err(ErrorKind::NotADirectory.into());
        };
        change.apply(cached);
        self.pending.push((dir, change));
        Ok(())
    }

    pub fn write(&mut self, ino: usize, bytes: &[u8]) -> io::Result<usize> {
        let free = usize::try_from(self.free_bytes()).unwrap_or(usize::MAX);
        let n = bytes.len().min(self.write_max).min(free);
        if n == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        Arc::make_mut(self.cached_mut(ino)?).extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    pub fn resize(&mut self, ino: usize, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        Arc::make_mut(self.cached_mut(ino)?).resize(len, 0);
        Ok(())
    }

    fn cached_mut(&mut self, ino: usize) -> io::Result<&mut Arc<Vec<u8>>> {
        match &mut self.nodes[ino] {
            Node::File { cached, .. } => Ok(cached),
            Node::Dir { .. } => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub fn sync_content(&mut self, ino: usize) -> io::Result<()> {
        match &mut self.nodes[ino] {
            Node::File { cached, durable } => *durable = cached.clone(),
            Node::Dir { .. } => return Err(ErrorKind::IsADirectory.into()),
        }
        Ok(())
    }

    pub fn sync_entries(&mut self, ino: usize) -> io::Result<()> {
        let Node::Dir { cached, durable } = &mut self.nodes[ino] else {
            return Err(ErrorKind::NotADirectory.into());
        };
        *durable = cached.clone();
        self.pending.retain(|(dir, _)| *dir != ino);
        Ok(())
    }

    /// Within one folder; between folders two fsyncs would be needed, and no caller does it.
    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (dir, from, to) = self.same_dir(from, to)?;
        let moved = self.child(dir, &from)?.ok_or(ErrorKind::NotFound)?;
        if let Some(target) = self.child(dir, &to)? {
            match (&self.nodes[moved], &self.nodes[target]) {
                (Node::File { .. }, Node::File { .. }) => {}
                (Node::Dir { .. }, Node::Dir { cached, .. }) if cached.is_empty() => {}
                (Node::Dir { .. }, Node::Dir { .. }) => return Err(ErrorKind::DirectoryNotEmpty.into()),
                (Node::Dir { .. }, Node::File { .. }) => return Err(ErrorKind::NotADirectory.into()),
                (Node::File { .. }, Node::Dir { .. }) => return Err(ErrorKind::IsADirectory.into()),
            }
        }
        self.change(dir, Change::Rename { from, to })
    }

    pub fn exchange(&mut self, a: &Path, b: &Path) -> io::Result<()> {
        if !self.exchanges {
            return Err(ErrorKind::Unsupported.into());
        }
        let (dir, a, b) = self.same_dir(a, b)?;
        self.child(dir, &a)?.and(self.child(dir, &b)?).ok_or(ErrorKind::NotFound)?;
        self.change(dir, Change::Exchange { a, b })
    }

    fn same_dir(&self, a: &Path, b: &Path) -> io::Result<(usize, OsString, OsString)> {
        let ((dir, a), (other, b)) = (self.parent(a)?, self.parent(b)?);
        if dir == other { Ok((dir, a, b)) } else { Err(ErrorKind::CrossesDevices.into()) }
    }

    pub fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        self.child(dir, &name)?.ok_or(ErrorKind::NotFound)?;
        self.change(dir, Change::Unlink { name })
    }

    /// Removes what is in the folder first, as the real call does: each of these may become durable without the rest.
    pub fn remove_tree(&mut self, dir: &Path) -> io::Result<()> {
        let ino = self.find(dir)?;
        for (name, child) in self.entries(ino)?.clone() {
            match self.nodes[child] {
                Node::Dir { .. } => self.remove_tree(&dir.join(name))?,
                Node::File { .. } => self.change(ino, Change::Unlink { name })?,
            }
        }
        self.unlink(dir)
    }

    pub fn free_bytes(&self) -> u64 {
        let used: u64 = self.contents().values().flatten().map(|content| content.len() as u64).sum();
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(used))
    }

    pub fn contents(&self) -> BTreeMap<PathBuf, Option<Arc<Vec<u8>>>> {
        let mut found = BTreeMap::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, ino)) = open.pop() {
            match &self.nodes[ino] {
                Node::File { cached, .. } => drop(found.insert(path, Some(cached.clone()))),
                Node::Dir { cached, .. } => {
                    open.extend(cached.iter().map(|(name, child)| (path.join(name), *child)));
                    found.insert(path, None);
                }
            }
        }
        found
    }

    /// The same content, all of it durable, without faults.
    pub fn settled(&self) -> Disk {
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            match node {
                Node::File { cached, durable } => *durable = cached.clone(),
                Node::Dir { cached, durable } => *durable = cached.clone(),
            }
        }
        Disk { nodes, exchanges: self.exchanges, ..Disk::default() }
    }

    pub fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let ino = self.find(path)?;
        change(Arc::make_mut(self.cached_mut(ino)?));
        self.sync_content(ino)
    }
}
