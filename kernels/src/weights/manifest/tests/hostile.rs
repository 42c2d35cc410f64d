//! Listings, pages and roots that are wrong, by mistake or on purpose.

use super::{encoded, folder, made};
use crate::limits::{self, BLOCK_BYTES};
use crate::weights::manifest::*;
use proptest::prelude::*;
use std::ops::Range;

#[test]
fn what_does_not_fit_together_is_named() {
    let file = |name: &str| Listed { name: name.into(), bytes: 100, digest: None };
    let at = |places: Vec<(usize, Range<u64>)>| ListedTensor {
        name: "t".into(),
        dtype: String::new(),
        shape: vec![],
        places,
    };
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let backwards = 20..10;
    let rows = [
        (vec![], vec![], "0 files", "nothing at all"),
        (vec![file("a"), file("a")], vec![], "twice", "one name for two files"),
        (vec![Listed { bytes: u64::MAX, ..file("a") }], vec![], "at most", "more than anybody has"),
        (vec![file("../a")], vec![], "plain path", "a file elsewhere"),
        (vec![file("/etc/a")], vec![], "plain path", "and another"),
        (vec![file("c:a")], vec![], "plain path", "and another"),
        (vec![file("a")], vec![at(vec![])], "nowhere", "a tensor without bytes"),
        (vec![file("a")], vec![at(vec![(1, 0..9)])], "no file", "a tensor in a file that is not listed"),
        (vec![file("a")], vec![at(vec![(0, 50..101)])], "outside", "beyond the end"),
        (vec![file("a")], vec![at(vec![(0, backwards)])], "outside", "backwards"),
        (vec![file("a")], vec![at(vec![(0, 0..9)]), at(vec![(0, 8..12)])], "over others", "on one another"),
    ];
    for (files, tensors, named, why) in rows {
        let error = Draft::new(&Listing { files, tensors, ..Listing::default() }).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
    let listing = Listing { files: vec![file("a")], ..Listing::default() };
    let long = About { name: "x".repeat(513), ..About::default() };
    assert!(Draft::new(&listing).unwrap().finish(long).is_err(), "a name without an end");
}

#[test]
fn pages_that_lie_are_refused() {
    let manifest = made(&folder());
    let good = manifest.pages.iter().max_by_key(|page| page.blocks.len()).unwrap();
    type Change = fn(&mut Page);
    let rows: [(Change, &str, &str); 9] = [
        (|page| page.spans[0].file = 99, "not listed", "a file that is not there"),
        (|page| page.spans[0].start = u64::MAX, "bytes from", "beyond every file"),
        (|page| page.spans[0].bytes = 0, "0 bytes", "an empty span"),
        (|page| page.spans.push(page.spans[0]), "share bytes", "the same bytes twice"),
        (|page| page.blocks.truncate(1), "hashes for", "a block without a hash"),
        (|page| page.blocks.push(Hash::default()), "hashes for", "a hash without a block"),
        (|page| page.tensors[0].places[0].span = 99, "no span", "a tensor in no span"),
        (|page| page.tensors[0].places[0].start = u64::MAX, "beyond its span", "a tensor outside"),
        (|page| page.files[0].name.0 = "a/../../b".into(), "no path", "a file elsewhere"),
    ];
    for (change, named, why) in rows {
        let mut page = good.clone();
        change(&mut page);
        let error = encode_page(&page).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
        // Whoever lies does not use our encoder.
        let mut bytes = b"MHWP\x01".to_vec();
        bytes.extend(postcard::to_stdvec(&page).unwrap());
        let line =
            PageRef { hash: Hash::of(&bytes), size: bytes.len() as u32, ..manifest.root.pages[0].clone() };
        let error = decode_page(&bytes, &line).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
}

#[test]
fn roots_that_lie_are_refused() {
    let good = made(&folder()).root;
    type Change = fn(&mut Root);
    let rows: [(Change, &str, &str); 6] = [
        (|root| root.pages[0].group.part = 9, "not listed", "a part that is not there"),
        (|root| root.pages[0].bytes = u64::MAX, "bytes in", "more bytes than blocks hold"),
        (|root| root.pages[0].blocks = u32::MAX, "bytes in", "more blocks than bytes"),
        (|root| root.pages[0].size = u32::MAX, "at most", "a page without end"),
        (|root| root.parts[1].0 = "..".into(), "no path", "a folder elsewhere"),
        (
            |root| root.pages.iter_mut().for_each(|page| (page.blocks, page.bytes) = (1 << 23, 1 << 40)),
            "at most",
            "more numbers than there are",
        ),
    ];
    for (change, named, why) in rows {
        let mut root = good.clone();
        change(&mut root);
        let error = encode_root(&root).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
    let bytes = encode_root(&good).unwrap();
    assert_eq!(decode_root(&bytes, Hash::default()), Err(ManifestError::Hash("the root of the manifest")));
    let newer = [b"MHWM\x02", &bytes[5..]].concat();
    assert_eq!(decode_root(&newer, Hash::of(&newer)), Err(ManifestError::Version(2)));
    assert_eq!(decode_root(b"GGUF", Hash::of(b"GGUF")), Err(ManifestError::Foreign));
    let long = vec![0; limits::ROOT_BYTES + 1];
    assert!(matches!(decode_root(&long, Hash::of(&long)), Err(ManifestError::TooLong { .. })));
}

/// Bytes to overwrite, insert or take away, as places in the whole from 0 to 1.
fn damage() -> impl Strategy<Value = Vec<(f64, u8, u8)>> {
    prop::collection::vec((0.0..1.0f64, any::<u8>(), 0..3u8), 1..8)
}

fn damaged(mut bytes: Vec<u8>, all: &[(f64, u8, u8)]) -> Vec<u8> {
    for (place, byte, kind) in all {
        let at = (place * bytes.len() as f64) as usize;
        match kind {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever lies about blocks can also make hashes that fit the lie.
    #[test]
    fn damage_is_refused_or_is_another_manifest(all in damage(), which in 0..8usize) {
        thread_local! {
            static MADE: (Manifest, Vec<u8>, Vec<Vec<u8>>) = {
                let manifest = made(&folder());
                let (root, pages) = encoded(&manifest);
                (manifest, root, pages)
            };
        }
        MADE.with(|(manifest, root, pages)| {
            let bytes = damaged(root.clone(), &all);
            if let Ok(root) = decode_root(&bytes, Hash::of(&bytes)) {
                prop_assert!(root.numbers() <= limits::MANIFEST_NUMBERS);
                prop_assert!(encode_root(&root).is_ok());
            }
            let page = which % pages.len();
            let bytes = damaged(pages[page].clone(), &all);
            prop_assert!(decode_page(&bytes, &manifest.root.pages[page]).is_err() || bytes == pages[page]);
            let line = PageRef { hash: Hash::of(&bytes), size: bytes.len() as u32, ..manifest.root.pages[page].clone() };
            if let Ok(page) = decode_page(&bytes, &line) {
                prop_assert_eq!(page.blocks().count(), line.blocks as usize);
                prop_assert!(page.blocks().all(|block| block.bytes <= BLOCK_BYTES && block.bytes > 0));
                page.tensors.iter().for_each(|tensor| drop(page.blocks_of(&tensor.name)));
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_bytes_are_refused_or_fit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for magic in [&b"MHWM\x01"[..], b"MHWP\x01", b""] {
            let bytes = [magic, &bytes].concat();
            let _ = decode_root(&bytes, Hash::of(&bytes));
            let group = Group { part: 0, portion: Portion::Head };
            let (size, hash) = (bytes.len() as u32, Hash::of(&bytes));
            let _ = decode_page(&bytes, &PageRef { group, hash, size, blocks: 0, bytes: 0 });
        }
    }
}
