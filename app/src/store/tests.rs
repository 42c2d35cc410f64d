//! Stores in folders of their own, and programs that are killed while they write. What all stores promise is in `tests/stores.rs`
//! of the crate `tests`.

use super::*;
use futures::executor::block_on;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("manyhands-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn open(&self, quota: u64) -> FileStore {
        FileStore::open(&self.0, quota).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The block of this number.
fn block(number: u32, bytes: usize) -> (Hash, Vec<u8>) {
    let bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(bytes).collect();
    (Hash::of(&bytes), bytes)
}

/// Where the store keeps a block.
fn path(folder: &Folder, hash: Hash) -> PathBuf {
    let name = hash.to_string();
    folder.0.join("blocks").join(&name[..2]).join(name)
}

fn put(store: &FileStore, number: u32, bytes: usize) -> Hash {
    let (hash, bytes) = block(number, bytes);
    block_on(store.put(hash, &bytes)).unwrap();
    hash
}

/// As if it had been used so long ago.
fn aged(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(3600 * hours);
    fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn damage_on_disk_is_found_when_it_is_read() {
    type Damage = fn(&Path);
    let rows: [(Damage, &str); 4] = [
        (|path| fs::write(path, b"").unwrap(), "emptied"),
        (|path| fs::write(path, [7; 999]).unwrap(), "cut off"),
        (|path| fs::write(path, [9; 1000]).unwrap(), "overwritten"),
        (|path| fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap(), "a terabyte"),
    ];
    for (damage, why) in rows {
        let folder = Folder::new("damage");
        let store = folder.open(1 << 30);
        let hash = put(&store, 7, 1000);
        damage(&path(&folder, hash));
        assert_eq!(block_on(store.get(hash)).unwrap(), None, "{why}");
        assert!(!block_on(store.has(hash)).unwrap(), "{why}: it is taken out");
        put(&store, 7, 1000);
        assert!(block_on(store.get(hash)).unwrap().is_some(), "{why}: and can be fetched again");
    }
}

#[test]
fn strange_files_are_left_alone() {
    let folder = Folder::new("strange");
    let store = folder.open(1 << 30);
    put(&store, 1, 10);
    fs::write(folder.0.join("blocks/readme"), b"x").unwrap();
    fs::create_dir_all(folder.0.join("blocks/zz")).unwrap();
    fs::write(folder.0.join("blocks/zz/é"), b"x").unwrap();
    fs::write(folder.0.join("new/1-1"), b"half").unwrap();
    aged(&folder.0.join("new/1-1"), 1);
    let store = folder.open(1 << 30);
    assert_eq!(block_on(store.list()).unwrap().len(), 1);
    assert!(!folder.0.join("new/1-1").exists(), "but what was never finished goes");
    assert!(folder.0.join("blocks/readme").exists());
}

/// Blocks of the program that is killed: large enough for a kill to hit a write.
const CHILD_BYTES: usize = 200_000;
const CHILD: &str = "MANYHANDS_STORE_CHILD";

/// Writes until it is killed, and says what it has written. Only for [`no_kill_loses_a_block_or_admits_half_of_one`].
#[test]
#[ignore = "another test runs it as a program of its own"]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let store = FileStore::open(Path::new(&folder), 1 << 40).unwrap();
    let first = std::process::id().wrapping_mul(10_000);
    for number in first.. {
        put(&store, number, CHILD_BYTES);
        println!("kept {number}");
    }
}

#[test]
fn no_kill_loses_a_block_or_admits_half_of_one() {
    let folder = Folder::new("kill");
    let store = folder.open(1 << 40);
    let mut unfinished = 0;
    for round in 0..200u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "store::tests::child", "--nocapture"])
            .env(CHILD, &folder.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It has begun when it says its first word; from there on any moment is as good.
        let first = lines.by_ref().map_while(Result::ok).find(|line| line.contains("kept "));
        std::thread::sleep(Duration::from_micros(round * 37 % 3_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = first.into_iter().chain(lines.map_while(Result::ok)).filter_map(|line| number(&line));
        unfinished += fs::read_dir(folder.0.join("new")).unwrap().count();
        check(&store, kept);
        block_on(store.clear()).unwrap();
        fs::read_dir(folder.0.join("new"))
            .unwrap()
            .flatten()
            .for_each(|file| fs::remove_file(file.path()).unwrap());
    }
    assert!(unfinished > 0, "no kill hit a write: the test shows nothing");
}

/// What a line says is kept. A pipe takes a short line as a whole or not at all.
fn number(line: &str) -> Option<u32> {
    line.rsplit_once("kept ")?.1.parse().ok()
}

/// Everything that is listed is right, and everything that was said to be kept is there.
fn check(store: &FileStore, kept: impl Iterator<Item = u32>) {
    let listed = block_on(store.list()).unwrap();
    for &(hash, bytes) in &listed {
        assert_eq!(bytes, CHILD_BYTES as u64, "half of {hash} was admitted");
        assert!(block_on(store.get(hash)).unwrap().is_some(), "{hash} is damaged");
    }
    for number in kept {
        let (hash, _) = block(number, CHILD_BYTES);
        assert!(listed.iter().any(|(one, _)| *one == hash), "block {number} is lost");
    }
}
