//! A directory as it is on the disk, held in memory: to be damaged, and opened again and again.

#![expect(clippy::disallowed_methods, reason = "damages files behind the engine's back")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files below a directory, by their path in it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<PathBuf, Vec<u8>>,
    /// Directories in the place of files.
    pub(crate) dirs: Vec<PathBuf>,
    /// Symbolic links in the place of files, which lead to themselves.
    pub(crate) links: Vec<PathBuf>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = Self { files: BTreeMap::new(), dirs: Vec::new(), links: Vec::new() };
        let mut todo = vec![PathBuf::new()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(root.join(&dir)).unwrap() {
                let entry = entry.unwrap();
                let path = dir.join(entry.file_name());
                let found = entry.file_type().unwrap();
                if found.is_dir() {
                    todo.push(path);
                } else if found.is_symlink() {
                    tree.links.push(path);
                } else {
                    tree.files.insert(path, fs::read(entry.path()).unwrap());
                }
            }
        }
        tree
    }

    /// Writes it into a new directory.
    pub(crate) fn write(&self) -> TempDir {
        let root = temporary_dir();
        for dir in &self.dirs {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        for (path, content) in &self.files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        for link in &self.links {
            let link = root.path().join(link);
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&link, &link).unwrap();
        }
        root
    }

    pub(crate) fn bytes(&mut self, path: impl AsRef<Path>) -> &mut Vec<u8> {
        let path = path.as_ref();
        self.files.get_mut(path).unwrap_or_else(|| panic!("there is no {}", path.display()))
    }

    pub(crate) fn remove(&mut self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = path.as_ref();
        self.files.remove(path).unwrap_or_else(|| panic!("there is no {}", path.display()))
    }

    pub(crate) fn replace_by_dir(&mut self, path: impl AsRef<Path>) {
        self.remove(&path);
        self.dirs.push(path.as_ref().to_owned());
    }

    pub(crate) fn swap(&mut self, one: impl AsRef<Path>, other: impl AsRef<Path>) {
        let content = std::mem::take(self.bytes(&one));
        let content = std::mem::replace(self.bytes(&other), content);
        *self.bytes(&one) = content;
    }

    /// The files of a partition with that extension, in order.
    pub(crate) fn of(&self, dir: &str, extension: &str) -> Vec<PathBuf> {
        let is_one = |path: &&PathBuf| path.starts_with(dir) && path.extension().is_some_and(|end| end == extension);
        self.files.keys().filter(is_one).cloned().collect()
    }

    /// All that lies in the quarantine.
    pub(crate) fn quarantine(&self) -> BTreeMap<&Path, &[u8]> {
        let files = self.files.iter().filter(|(path, _)| path.starts_with("quarantine"));
        files.map(|(path, content)| (path.as_path(), content.as_slice())).collect()
    }
}

/// A directory that goes away with the test; in memory where that is possible, since each test syncs a lot.
pub(crate) fn temporary_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Gives a file that many bytes, without any blocks for what is new.
pub(crate) fn lengthen(root: &Path, path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(root.join(path)).unwrap().set_len(len).unwrap();
}

/// How much memory the process has had at the most, in bytes; 0 where nobody tells.
pub(crate) fn memory_used() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
