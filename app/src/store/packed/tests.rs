//! Two files in memory, and programs that are stopped after any byte that they write.

use super::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A file that programs share; `left` bytes may still be written before this program stops.
#[derive(Clone, Debug, Default)]
struct Memory {
    bytes: Rc<RefCell<Vec<u8>>>,
    left: Rc<Cell<usize>>,
}

fn stopped() -> StoreError {
    StoreError::NoRoom("stopped".into())
}

impl Bytes for Memory {
    fn read(&self, at: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let file = self.bytes.borrow();
        let there = file.get(at as usize..).unwrap_or_default();
        let read = there.len().min(bytes.len());
        bytes[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let written = bytes.len().min(self.left.get());
        // Systems copy what lies in one page at once, and disks write sectors.
        let written = if bytes.len() <= ENTRY_BYTES && written < bytes.len() { 0 } else { written };
        self.left.set(if written < bytes.len() { 0 } else { self.left.get() - written });
        let mut file = self.bytes.borrow_mut();
        let end = at as usize + written;
        let length = if written == 0 { file.len() } else { file.len().max(end) };
        file.resize(length, 0);
        if written > 0 {
            file[at as usize..end].copy_from_slice(&bytes[..written]);
        }
        if written < bytes.len() { Err(stopped()) } else { Ok(()) }
    }

    fn size(&self) -> Result<u64, StoreError> {
        Ok(self.bytes.borrow().len() as u64)
    }

    fn truncate(&self, bytes: u64) -> Result<(), StoreError> {
        if self.left.get() == 0 {
            return Err(stopped());
        }
        self.bytes.borrow_mut().resize(bytes as usize, 0);
        Ok(())
    }
}

/// Two files that live longer than the programs that use them.
#[derive(Default)]
struct Disk {
    index: Memory,
    blocks: Memory,
}

impl Disk {
    /// A program that is stopped after so many bytes.
    fn open(&self, left: usize) -> Packed<Memory> {
        let left = Rc::new(Cell::new(left));
        let file = |file: &Memory| Memory { bytes: file.bytes.clone(), left: left.clone() };
        Packed::new(file(&self.index), file(&self.blocks))
    }

    /// One that is not stopped.
    fn alone(&self) -> Packed<Memory> {
        let mut store = self.open(usize::MAX);
        store.refresh(true).unwrap();
        store
    }

    fn copy(&self) -> Self {
        let copy = |file: &Memory| Memory {
            bytes: Rc::new(RefCell::new(file.bytes.borrow().clone())),
            ..Memory::default()
        };
        Self { index: copy(&self.index), blocks: copy(&self.blocks) }
    }
}

fn block(number: u32, bytes: usize) -> (Hash, Vec<u8>) {
    let bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(bytes).collect();
    (Hash::of(&bytes), bytes)
}

fn put(store: &mut Packed<Memory>, number: u32, bytes: usize, quota: u64) -> Hash {
    let (hash, bytes) = block(number, bytes);
    store.put(hash, &bytes, quota).unwrap();
    hash
}

/// What is listed is whole, and these are there.
fn check(disk: &Disk, kept: &[Hash], why: &str) {
    let store = disk.alone();
    for (hash, bytes) in store.list() {
        let read = store.get(hash).unwrap();
        assert_eq!(read.map(|read| read.len() as u64), Some(bytes), "{why}: {hash} is damaged");
    }
    for hash in kept {
        assert!(store.has(*hash), "{why}: {hash} is lost");
    }
}

/// What a program is stopped in.
type Act = fn(&mut Packed<Memory>, &[Hash]) -> Result<(), StoreError>;

#[test]
fn a_program_that_is_stopped_after_any_byte_loses_nothing_and_admits_nothing_bad() {
    const QUOTA: u64 = 10 * 4096;
    let rows: [(Act, &[usize], &str); 7] = [
        (
            |store, _| store.put(block(9, 5000).0, &block(9, 5000).1, 1 << 30),
            &[0, 1, 2, 3, 4, 5],
            "a new block",
        ),
        (
            |store, _| store.put(block(9, 5000).0, &block(9, 5000).1, QUOTA),
            &[1, 2, 3, 4, 5],
            "one that pushes others out",
        ),
        (|store, all| store.put(all[0], &block(0, 6000).1, QUOTA), &[0, 1, 2, 3, 4, 5], "one that is there"),
        (|store, all| store.remove(all[1]), &[0, 2, 3, 4, 5], "a block less"),
        (|store, all| store.pin(Hash::of(b"model"), &all[..1]), &[2, 3], "other pins"),
        (|store, all| store.touch(all.iter().copied()), &[0, 1, 2, 3, 4, 5], "uses"),
        (|store, _| store.shrink(5 * 4096), &[2, 3], "less space"),
    ];
    let before = Disk::default();
    let mut store = before.alone();
    let lengths = [6000, 100, 4096, 4097, 1, 0];
    let all: Vec<Hash> =
        (0..6).map(|number| put(&mut store, number, lengths[number as usize], QUOTA)).collect();
    store.pin(Hash::of(b"model"), &all[2..4]).unwrap();
    for (act, kept, why) in rows {
        let kept: Vec<Hash> = kept.iter().map(|index| all[*index]).collect();
        let mut stops = 0;
        for left in 0.. {
            let disk = before.copy();
            let mut store = disk.open(left);
            let done = store.refresh(true).and_then(|()| act(&mut store, &all));
            check(&disk, &kept, &format!("{why}, stopped after {left} bytes"));
            // What comes next finds everything in order, too.
            put(&mut disk.alone(), 77, 3000, 1 << 30);
            check(&disk, &kept, &format!("after {why}, stopped after {left} bytes"));
            if done.is_ok() {
                break;
            }
            stops += 1;
        }
        assert!(stops >= ENTRY_BYTES, "{why}: stopped {stops} times only");
    }
}

#[test]
fn pins_are_the_old_ones_or_the_new_ones() {
    const QUOTA: u64 = 8 * 4096;
    for left in 0..1000 {
        let disk = Disk::default();
        let mut store = disk.alone();
        let all: Vec<Hash> = (0..4).map(|number| put(&mut store, number, 4096, QUOTA)).collect();
        store.pin(Hash::of(b"model"), &all[..2]).unwrap();
        let mut stops = disk.open(left);
        let done = stops.refresh(true).and_then(|()| stops.pin(Hash::of(b"model"), &all[2..]));
        let mut store = disk.alone();
        for number in 10..20 {
            put(&mut store, number, 4096, QUOTA);
        }
        let left_over = all.iter().map(|hash| store.has(*hash)).collect::<Vec<_>>();
        let new = left_over == [false, false, true, true];
        assert!(new || left_over == [true, true, false, false], "after {left} bytes: {left_over:?}");
        if done.is_ok() {
            assert!(new);
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn two_programs_see_what_the_other_does() {
    let disk = Disk::default();
    let (mut one, mut two) = (disk.alone(), disk.alone());
    let hash = put(&mut one, 1, 5000, 1 << 30);
    two.refresh(false).unwrap();
    assert!(two.get(hash).unwrap().is_some());
    two.refresh(true).unwrap();
    let other = put(&mut two, 2, 5000, 1 << 30);
    one.refresh(true).unwrap();
    one.remove(hash).unwrap();
    put(&mut one, 3, 5000, 1 << 30);
    assert_eq!(
        two.get(hash).unwrap(),
        None,
        "what lies there now is another block, even to who did not look"
    );
    two.refresh(false).unwrap();
    assert!(!two.has(hash) && two.has(other));
    assert_eq!(two.used_bytes(), 10_000);
}

#[test]
fn less_space_gives_the_disk_back() {
    let disk = Disk::default();
    let mut store = disk.alone();
    let all: Vec<Hash> = (0..10).map(|number| put(&mut store, number, 4000, 1 << 30)).collect();
    store.pin(Hash::of(b"model"), &all[9..]).unwrap();
    store.remove(all[0]).unwrap();
    store.shrink(5 * 4096).unwrap();
    assert_eq!(disk.blocks.size().unwrap(), 5 * 4096, "four blocks and the pins");
    let left: Vec<bool> = all.iter().map(|hash| store.has(*hash)).collect();
    assert_eq!(
        left,
        [false, false, false, false, false, false, true, true, true, true],
        "the latest, moved together"
    );
    check(&disk, &all[6..], "moved");
    store.clear().unwrap();
    assert_eq!((disk.blocks.size().unwrap(), disk.alone().list()), (0, vec![]));
}

#[test]
fn damage_is_no_block_and_a_strange_index_is_an_empty_store() {
    let disk = Disk::default();
    let mut store = disk.alone();
    let hash = put(&mut store, 1, 5000, 1 << 30);
    disk.blocks.bytes.borrow_mut()[100] ^= 1;
    assert_eq!(store.get(hash).unwrap(), None);
    put(&mut store, 1, 5000, 1 << 30);
    assert!(store.get(hash).unwrap().is_some(), "and is replaced when it comes again");
    disk.blocks.bytes.borrow_mut().truncate(10);
    assert_eq!(store.get(hash).unwrap(), None, "cut off");
    disk.index.bytes.borrow_mut()[0] ^= 1;
    assert!(disk.alone().list().is_empty());
    check(&disk, &[], "of another kind");
}
