//! Random work on a ledger, beside the index that its caller would write.

use super::*;
use proptest::prelude::*;

fn name(number: u8) -> Hash {
    Hash::of(&[number])
}

fn entry(number: u8, start: u64, bytes: u32, used: u64) -> Entry {
    Entry { kind: Kind::Block, name: name(number), start, bytes, used }
}

#[test]
fn an_entry_is_whole_or_none() {
    let whole = Entry { kind: Kind::Pins, ..entry(7, 3 << 40, 1 << 20, u64::MAX) };
    assert_eq!(Entry::decode(&whole.encode()), Some(whole));
    for bit in 0..ENTRY_BYTES * 8 {
        let mut damaged = whole.encode();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Entry::decode(&damaged), None, "bit {bit}");
    }
    let mut half = [0; ENTRY_BYTES];
    half[..40].copy_from_slice(&whole.encode()[..40]);
    assert_eq!(Entry::decode(&half), None);
    assert_eq!(Entry::decode(&entry(1, u64::MAX - 5, 4, 0).encode()), None, "beyond what a file can have");
}

#[test]
fn holes_are_filled_smallest_first_and_nothing_lies_behind_the_quota() {
    let mut ledger = Ledger::default();
    // Holes of 1, 3 and 2 pages at pages 1, 3 and 7; everything ends at page 10.
    for (number, start, pages) in [(0, 0, 1), (1, 2, 1), (2, 6, 1), (3, 9, 1)] {
        ledger.insert(entry(number, start * 4096, pages * 4096, 0));
    }
    let rows = [
        (1, 10, Some(1), "the smallest that takes it"),
        (2, 10, Some(7), "not the first one"),
        (3, 10, Some(3), "the only one"),
        (4, 14, Some(10), "behind everything"),
        (4, 13, None, "not beyond the quota"),
        (1, 1, None, "nor in a hole beyond it"),
        (0, 10, Some(1), "nothing takes a place, too"),
    ];
    for (pages, most, at, why) in rows {
        assert_eq!(ledger.hole(pages * 4096, most * 4096), at.map(|at: u64| at * 4096), "{why}");
    }
}

#[test]
fn of_two_that_claim_the_same_the_later_counts() {
    let index = [entry(1, 0, 5000, 3), entry(2, 4096, 10, 9), entry(2, 40_960, 10, 4), entry(3, 8192, 1, 1)];
    let bytes: Vec<u8> = index.iter().flat_map(Entry::encode).collect();
    let mut ledger = Ledger::read(&bytes);
    let mut kept: Vec<Entry> = ledger.all(Kind::Block).collect();
    kept.sort_by_key(|entry| entry.start);
    assert_eq!(kept, [index[1], index[3]]);
    let mut stray = ledger.take_stray();
    stray.sort_unstable();
    assert_eq!((stray, ledger.bytes()), (vec![0, 2], 11));
}

proptest! {
    #[test]
    fn nothing_overlaps_and_the_index_says_all(work in prop::collection::vec((0u8..24, prop_oneof![Just(0), 0u32..30_000], 0u8..4), 1..120)) {
        let mut ledger = Ledger::default();
        let mut index: Vec<u8> = Vec::new();
        let mut write = |place: usize, entry: &[u8; ENTRY_BYTES]| {
            index.resize(index.len().max((place + 1) * ENTRY_BYTES), 0);
            index[place * ENTRY_BYTES..][..ENTRY_BYTES].copy_from_slice(entry);
        };
        for (number, bytes, what) in work {
            match what {
                0 => if let Some(place) = ledger.remove(Kind::Block, name(number)) {
                    write(place, &[0; ENTRY_BYTES]);
                },
                1 => if let Some((place, entry)) = ledger.touch(name(number)) {
                    write(place, &entry.encode());
                },
                _ => {
                    let start = ledger.hole(bytes.into(), limits::END_BYTES).unwrap();
                    let entry = entry(number, start, bytes, ledger.now());
                    write(ledger.insert(entry), &entry.encode());
                }
            }
            let mut all: Vec<Entry> = ledger.all(Kind::Block).collect();
            all.sort_by_key(|entry| entry.start);
            prop_assert!(all.windows(2).all(|two| two[0].start + u64::from(two[0].bytes.max(1)) <= two[1].start));
            prop_assert_eq!(ledger.bytes(), all.iter().map(|entry| u64::from(entry.bytes)).sum::<u64>());
            prop_assert_eq!(ledger.last().map(|last| last.start), all.last().map(|last| last.start));
        }
        let mut read: Vec<Entry> = Ledger::read(&index).all(Kind::Block).collect();
        let mut kept: Vec<Entry> = ledger.all(Kind::Block).collect();
        read.sort_by_key(|entry| entry.start);
        kept.sort_by_key(|entry| entry.start);
        prop_assert_eq!(read, kept);
    }
}
