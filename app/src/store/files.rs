//! Blocks as files.
//!
//! ```text
//!  root/blocks/3f/3f9a…   a block, named by its hash; when it was used last is the file's own time
//!  root/new/PID-N         a block that is being written; renamed when it is whole
//!  root/pins/77c0…        hashes that stay, 32 bytes each
//! ```
//!
//! A rename is all or nothing, so that no program that is stopped leaves half a block. Bytes are not forced to the disk: after a
//! power cut a block may be damaged, which its hash shows when it is read.

use super::{BlockStore, Hash, StoreError, Usage, compare, limits, parse};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Names of files being written, for all stores of this program.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A store in a folder.
#[derive(Debug)]
pub struct FileStore {
    root: PathBuf,
    quota: AtomicU64,
    /// Bytes in the folder as far as is known, and those written since it was looked through.
    used: AtomicU64,
    unlooked: AtomicU64,
}

/// A block on disk.
struct Kept {
    block: Hash,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl FileStore {
    /// The store in a folder, which is made if it is not there, of `quota` bytes at most.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn open(root: &Path, quota: u64) -> Result<Self, StoreError> {
        let (used, unlooked) = (AtomicU64::new(0), AtomicU64::new(0));
        let store = Self { root: root.to_owned(), quota: AtomicU64::new(quota), used, unlooked };
        for folder in ["blocks", "new", "pins"] {
            let folder = store.root.join(folder);
            fs::create_dir_all(&folder).map_err(disk(&folder))?;
        }
        store.tidy();
        store.look()?;
        Ok(store)
    }

    fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn quota(&self) -> u64 {
        self.quota.load(Ordering::Relaxed)
    }

    fn path(&self, block: Hash) -> PathBuf {
        let name = block.to_string();
        self.root.join("blocks").join(&name[..2]).join(name)
    }

    /// Takes away what was never finished. Another program may be at the same, so that nothing of it is an error.
    fn tidy(&self) {
        for entry in fs::read_dir(self.root.join("new")).into_iter().flatten().flatten() {
            if entry.metadata().is_ok_and(|data| older(&data, limits::UNFINISHED_S)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Looks the folder through.
    fn look(&self) -> Result<Vec<Kept>, StoreError> {
        let mut all = Vec::new();
        for folder in entries(&self.root.join("blocks"))? {
            for path in entries(&folder)? {
                let block = path.file_name().and_then(|name| parse(name.to_str()?));
                // What others take out while we look is gone, which is no error.
                let (Some(block), Ok(data)) = (block, fs::metadata(&path)) else { continue };
                let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                all.push(Kept { block, path, bytes: data.len(), used });
            }
        }
        self.used.store(all.iter().map(|kept| kept.bytes).sum(), Ordering::Relaxed);
        self.unlooked.store(0, Ordering::Relaxed);
        Ok(all)
    }

    /// Makes room for so many bytes.
    fn make_room(&self, bytes: u64) -> Result<(), StoreError> {
        let fits = |used: u64| used.saturating_add(bytes) <= self.quota();
        let due = self.unlooked.load(Ordering::Relaxed) > self.quota() / limits::LOOKS;
        if fits(self.used_bytes()) && !due {
            return Ok(());
        }
        let all = self.look()?;
        if !fits(self.used_bytes()) {
            self.cut_down(all, limits::kept(self.quota()).saturating_sub(bytes))?;
        }
        if fits(self.used_bytes()) {
            return Ok(());
        }
        Err(StoreError::NoRoom(format!("{} of {} bytes are pinned", self.used_bytes(), self.quota())))
    }

    /// Takes out what nobody used for longest until there are `most` bytes, or only what is pinned.
    fn cut_down(&self, mut all: Vec<Kept>, most: u64) -> Result<(), StoreError> {
        let pinned = self.pinned()?;
        all.retain(|kept| !pinned.contains(&kept.block));
        all.sort_by_key(|kept| kept.used);
        for kept in all {
            if self.used_bytes() <= most {
                break;
            }
            take_out(&kept.path)?;
            self.used.fetch_sub(kept.bytes.min(self.used_bytes()), Ordering::Relaxed);
        }
        Ok(())
    }

    fn pinned(&self) -> Result<BTreeSet<Hash>, StoreError> {
        let mut pinned = BTreeSet::new();
        for path in entries(&self.root.join("pins"))? {
            let bytes = read(&path)?.unwrap_or_default();
            pinned.extend(bytes.as_chunks().0.iter().map(|hash| Hash(*hash)));
        }
        Ok(pinned)
    }

    /// Writes a file so that it is there as a whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let new = self.root.join("new").join(format!("{}-{number}", std::process::id()));
        let written = File::create(&new).and_then(|mut file| file.write_all(bytes)).and_then(|()| {
            let folder = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            fs::rename(&new, path)
        });
        written.map_err(|error| {
            let _ = fs::remove_file(&new);
            match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::NoRoom(error.to_string()),
                _ => disk(path)(error),
            }
        })
    }
}

impl BlockStore for FileStore {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(block);
        let too_long = fs::metadata(&path).is_ok_and(|data| data.len() > limits::BLOCK_BYTES as u64);
        let bytes = if too_long { Some(Vec::new()) } else { read(&path)? };
        match bytes {
            Some(bytes) if Hash::of(&bytes) == block => {
                touch(&path);
                Ok(Some(bytes))
            }
            Some(_) => self.remove(block).await.map(|()| None),
            None => Ok(None),
        }
    }

    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        compare(block, bytes)?;
        let (path, length) = (self.path(block), bytes.len() as u64);
        // What is there may be damaged: it is replaced, and counted once.
        let before = fs::metadata(&path).map_or(0, |data| data.len());
        self.make_room(length)?;
        self.write(&path, bytes)?;
        self.used.fetch_add(length, Ordering::Relaxed);
        self.used.fetch_sub(before.min(self.used_bytes()), Ordering::Relaxed);
        self.unlooked.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        let path = self.path(block);
        path.try_exists().map_err(disk(&path))
    }

    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        let path = self.path(block);
        let bytes = fs::metadata(&path).map_or(0, |data| data.len());
        take_out(&path)?;
        self.used.fetch_sub(bytes.min(self.used_bytes()), Ordering::Relaxed);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        Ok(self.look()?.into_iter().map(|kept| (kept.block, kept.bytes)).collect())
    }

    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        let path = self.root.join("pins").join(name.to_string());
        if blocks.is_empty() {
            return take_out(&path);
        }
        let blocks = blocks.iter().take(limits::PINNED);
        self.write(&path, &blocks.flat_map(|block| block.0).collect::<Vec<u8>>())
    }

    async fn clear(&self) -> Result<(), StoreError> {
        for path in entries(&self.root.join("pins"))? {
            take_out(&path)?;
        }
        for kept in self.look()? {
            take_out(&kept.path)?;
        }
        self.used.store(0, Ordering::Relaxed);
        Ok(())
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        Ok(Usage { durable: true, used: self.used_bytes(), quota: self.quota() })
    }

    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        self.quota.store(quota, Ordering::Relaxed);
        let all = self.look()?;
        self.cut_down(all, quota)
    }
}

/// The paths in a folder; none if it is not there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        // Somebody cleans up, or put a file where none belongs.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(disk(folder)(error)),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(path)(error)),
    }
}

fn take_out(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(disk(path)(error)),
        _ => Ok(()),
    }
}

/// Notes that a block was used. If that fails, it goes a little earlier.
fn touch(path: &Path) {
    let stale = fs::metadata(path).is_ok_and(|data| older(&data, limits::FRESH_S));
    if stale && let Ok(file) = File::options().write(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn older(data: &fs::Metadata, seconds: u64) -> bool {
    let age = data.modified().ok().and_then(|then| then.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(seconds))
}

fn disk(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
    let path = path.display().to_string();
    |error| StoreError::Disk { path, error }
}
