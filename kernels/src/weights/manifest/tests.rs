//! Manifests of made-up models, of models of any size, and what damage does to them.

use super::*;
use crate::limits::{self, BLOCK_BYTES};
use crate::weights::Files;
use futures::executor::block_on;
use proptest::prelude::*;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Files in memory, by name.
struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    fn new<const N: usize>(files: [(&str, Vec<u8>); N]) -> Self {
        Self(files.map(|(name, bytes)| (name.to_owned(), bytes)).into())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl Files for Memory {
    async fn length(&self, name: &str) -> Result<u64, String> {
        self.0.get(name).map(|file| file.len() as u64).ok_or_else(|| format!("{name} is not here"))
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        assert!(range.end - range.start <= BLOCK_BYTES, "{name}: more than a block at once");
        let file = self.0.get(name).ok_or_else(|| format!("{name} is not here"))?;
        let part = file.get(range.start as usize..range.end as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} ends at {}", file.len()))
    }
}

/// Bytes that no two places have in common.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    (0..bytes as u64).map(|at| ((at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 53) as u8).collect()
}

/// A safetensors file of F32 vectors of these lengths.
fn safetensors_of(tensors: &[(&str, usize)], seed: u64) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, numbers)| noise(numbers * 4, seed)).collect();
    let views = tensors.iter().zip(&data).map(|((name, numbers), data)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![*numbers], data);
        (*name, view.unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Two shards in which layers do not end where files or blocks do, and a part of their own.
fn folder() -> Memory {
    let one =
        [("model.embed_tokens.weight", 300_000), ("model.layers.0.a", 700_000), ("model.layers.1.a", 9)];
    let two = [("model.layers.1.b", 270_000), ("model.layers.1.experts.0.w", 5), ("model.norm.weight", 0)];
    Memory::new([
        ("config.json", b"{}".to_vec()),
        ("empty.txt", vec![]),
        ("model-1.safetensors", safetensors_of(&one, 1)),
        ("model-2.safetensors", safetensors_of(&two, 2)),
        ("vae/model.safetensors", safetensors_of(&[("decoder.conv.weight", 70), ("mid.0.w", 8)], 3)),
    ])
}

fn about() -> About {
    About { name: "toy".into(), licence: "MIT".into(), source: "https://example.org/toy/".into() }
}

fn made(files: &Memory) -> Manifest {
    let listing = block_on(list(files, &files.names())).unwrap();
    block_on(make(files, &listing, about(), |_| {})).unwrap()
}

/// Root and pages as they travel.
fn encoded(manifest: &Manifest) -> (Vec<u8>, Vec<Vec<u8>>) {
    let pages = manifest.pages.iter().map(|page| encode_page(page).unwrap());
    (encode_root(&manifest.root).unwrap(), pages.collect())
}

#[test]
fn what_arrives_block_by_block_is_the_model() {
    let files = folder();
    let (root, pages) = encoded(&made(&files));
    let root = decode_root(&root, Hash::of(&root)).unwrap();
    let mut copies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut numbers = root.pages.len() as u32;
    for (index, (bytes, line)) in pages.iter().zip(&root.pages).enumerate() {
        let page = decode_page(bytes, line).unwrap();
        assert_eq!(root.blocks_of(index), numbers..numbers + line.blocks, "numbers follow one another");
        numbers += line.blocks;
        for file in &page.files {
            copies.entry(file.name.0.clone()).or_insert_with(|| vec![0; file.bytes as usize]);
        }
        for block in page.blocks() {
            let range = block.start as usize..(block.start + block.bytes) as usize;
            let bytes = &files.0[block.file][range.clone()];
            assert_eq!(Hash::of(bytes), block.hash, "{} at {}", block.file, block.start);
            let copy = &mut copies.get_mut(block.file).unwrap()[range];
            assert!(copy.iter().all(|byte| *byte == 0), "no byte is in two blocks");
            copy.copy_from_slice(bytes);
        }
    }
    assert_eq!(copies, files.0, "every byte of every file is in a block");
    assert_eq!((root.numbers(), root.files), (numbers, 5));
    assert_eq!(root.bytes(), files.0.values().map(|file| file.len() as u64).sum::<u64>());
}

#[test]
fn a_tensor_is_found_in_its_group_and_nowhere_else() {
    let files = folder();
    let manifest = made(&files);
    let group = |part, portion| Group { part, portion };
    let rows = [
        ("model.embed_tokens.weight", group(0, Portion::Ends), 2, "1.2 MB"),
        ("model.layers.0.a", group(0, Portion::Layer(0)), 3, "2.8 MB"),
        ("model.layers.1.b", group(0, Portion::Layer(1)), 2, "in the second file, after another tensor"),
        (
            "model.layers.1.experts.0.w",
            group(0, Portion::Experts { layer: 1, first: 0, count: 1 }),
            1,
            "small",
        ),
        ("model.norm.weight", group(0, Portion::Ends), 0, "nothing in it"),
        ("mid.0.w", group(1, Portion::Layer(0)), 1, "a layer of another part"),
    ];
    for (name, want, blocks, why) in rows {
        let of = |page: &&usize| manifest.pages[**page].tensors.iter().any(|tensor| tensor.name == name);
        let all: Vec<usize> = (0..manifest.pages.len()).collect();
        let found: Vec<&usize> = all.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{name}");
        let page = *found[0];
        assert_eq!(manifest.root.pages[page].group, want, "{name}: {why}");
        let held: u32 =
            manifest.pages[page].blocks_of(name).iter().map(|range| range.end - range.start).sum();
        assert_eq!(held, blocks, "{name}: {why}");
        assert!(manifest.root.pages_of(want).any(|one| one == page));
    }
    assert_eq!(manifest.root.parts, [Name(String::new()), Name("vae".into())]);
    assert!(manifest.pages[0].blocks_of("nowhere").is_empty());
}

#[test]
fn people_can_read_it() {
    let json: serde_json::Value = serde_json::from_str(&made(&folder()).to_json()).unwrap();
    assert_eq!(json["root"]["about"]["licence"], "MIT");
    let hash = json["pages"][0]["blocks"][0].as_str().unwrap();
    assert_eq!((hash.len(), json["root"]["parts"][1].as_str()), (64, Some("vae")));
}

#[test]
fn the_same_files_make_the_same_id_and_others_another() {
    let id = |files: &Memory| Hash::of(&encoded(&made(files)).0);
    let (one, mut other) = (folder(), folder());
    assert_eq!(id(&one), id(&folder()));
    *other.0.get_mut("model-2.safetensors").unwrap().last_mut().unwrap() ^= 1;
    assert_ne!(id(&one), id(&other), "one bit of one weight");
}

/// A file of this crate's own reference models.
fn own(path: &str) -> Vec<u8> {
    let full = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path);
    std::fs::read(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

#[test]
fn gguf_and_safetensors_of_one_model_have_the_same_groups() {
    let groups = |manifest: &Manifest| -> BTreeMap<String, Portion> {
        let lines = manifest.root.pages.iter().zip(&manifest.pages);
        let tensors = lines.flat_map(|(line, page)| page.tensors.iter().map(|one| (one, line.group.portion)));
        tensors.map(|(tensor, portion)| (tensor.name.clone(), portion)).collect()
    };
    let gguf = made(&Memory::new([("model.gguf", own("qwen2-moe/model.gguf"))]));
    let hub = made(&Memory::new([("model.safetensors", own("qwen2-moe/model.safetensors"))]));
    // In GGUF all experts of a layer are one tensor, cut here as the hub has them.
    assert_eq!(groups(&gguf), groups(&hub));
    let experts = hub.root.pages.iter().filter(|line| matches!(line.group.portion, Portion::Experts { .. }));
    assert!(experts.count() > 4, "each expert has a page");
}

/// DeepSeek V3's tables (61 layers, of which 58 have 256 experts and one for all), in 9,600 files: nothing of it is read.
fn largest() -> Listing {
    let mut tensors: Vec<(String, Vec<u64>)> =
        vec![("model.embed_tokens.weight".into(), vec![129_280, 14_336])];
    for layer in 0..61 {
        let of = |rest: &str| format!("model.layers.{layer}.{rest}");
        tensors.push((of("self_attn.kv_b_proj.weight"), vec![32_768, 512]));
        tensors.push((of("self_attn.o_proj.weight"), vec![7168, 16_384]));
        for expert in 0..if layer < 3 { 0 } else { 256 } {
            for part in ["gate_proj", "up_proj", "down_proj"] {
                tensors.push((of(&format!("mlp.experts.{expert}.{part}.weight")), vec![2048, 7168]));
                tensors.push((of(&format!("mlp.experts.{expert}.{part}.weight_scale_inv")), vec![16, 56, 4]));
            }
        }
    }
    let total: u64 = tensors.iter().map(|(_, shape)| shape.iter().product::<u64>()).sum();
    let name = |index: usize| format!("model-{:05}-of-09600.safetensors", index + 1);
    let files = 0..9_600;
    let mut listing = Listing {
        files: files.map(|index| Listed { name: name(index), bytes: 200, digest: None }).collect(),
        tensors: Vec::new(),
    };
    let mut file = 0;
    for (name, shape) in tensors {
        let bytes: u64 = shape.iter().product();
        if listing.files[file].bytes > total / 9_600 && file < 9_599 {
            file += 1;
        }
        let start = listing.files[file].bytes;
        listing.files[file].bytes += bytes;
        let places = vec![(file, start..start + bytes)];
        listing.tensors.push(ListedTensor { name, dtype: "F8_E4M3".into(), shape, places });
    }
    listing
}

#[test]
fn the_largest_model_has_a_root_of_150_kb() {
    let listing = largest();
    let bytes: u64 = listing.files.iter().map(|file| file.bytes).sum();
    assert!(bytes > 650_000_000_000, "{bytes} bytes are no such model");
    let draft = Draft::new(&listing).unwrap();
    let manifest = draft.finish(about()).unwrap();
    let (root, pages) = encoded(&manifest);
    let largest = pages.iter().map(Vec::len).max().unwrap();
    println!(
        "{} bytes of root, {} pages of {largest} at most, {} numbers",
        root.len(),
        pages.len(),
        manifest.root.numbers()
    );
    assert!(root.len() <= limits::ROOT_BYTES);
    assert!(largest <= limits::PAGE_BYTES);
    assert_eq!((manifest.root.bytes(), manifest.root.files), (bytes, 9_600));
    assert_eq!(decode_root(&root, Hash::of(&root)).unwrap(), manifest.root);
    // A layer's experts are fetched some at a time, not all at once.
    let of_layer = manifest.root.pages.iter().filter(
        |page| matches!(page.group.portion, Portion::Experts { layer: 30, count, .. } if count <= 16),
    );
    assert!(of_layer.count() >= 16);
}

#[test]
fn a_group_too_large_for_a_page_has_several() {
    // 64 GiB in tensors of 1 GiB: 65,536 hashes are more than a page holds.
    let places = |index: u64| vec![(0, index << 30..(index + 1) << 30)];
    let tensor = |index| ListedTensor {
        name: format!("model.layers.0.t{index}"),
        dtype: "F32".into(),
        shape: vec![1 << 28],
        places: places(index),
    };
    let file = Listed { name: "m.safetensors".into(), bytes: 64 << 30, digest: None };
    let listing = Listing { files: vec![file], tensors: (0..64).map(tensor).collect() };
    let manifest = Draft::new(&listing).unwrap().finish(about()).unwrap();
    assert!(manifest.pages.len() >= 3);
    let all: BTreeSet<Group> = manifest.root.pages.iter().map(|page| page.group).collect();
    assert_eq!(all.len(), 1, "all of one layer");
    assert_eq!(manifest.root.bytes(), 64 << 30);
    let tensors: usize = manifest.pages.iter().map(|page| page.tensors.len()).sum();
    assert_eq!(tensors, 64, "no tensor is on two pages");
}

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
        let error = Draft::new(&Listing { files, tensors }).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
    let listing = Listing { files: vec![file("a")], tensors: vec![] };
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

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two shards of which the second tensor needs both, with one hash of either kind.
fn rdrr() -> (Memory, serde_json::Value) {
    let shards = [noise(3_000_000, 7), noise(1_000, 8)];
    let json = serde_json::json!({
        "version": 1, "modelId": "toy-rdrr", "modelType": "transformer", "hashAlgorithm": "sha256",
        "shards": [
            {"index": 0, "fileName": "shard_00000.bin", "size": 3_000_000, "hash": hex(&sha2::Sha256::digest(&shards[0]))},
            {"index": 1, "filename": "shard_00001.bin", "size": 1_000, "hash": Hash::of(&shards[1]).to_string(),
             "hashAlgorithm": "blake3"},
        ],
        "tensors": {
            "model.layers.0.a": {"shard": 0, "offset": 0, "size": 2_000_000, "shape": [1_000_000], "dtype": "F16"},
            "model.layers.1.a": {"shard": 0, "offset": 2_500_000, "size": 500_900, "shape": [250_450], "dtype": "F16",
                "spans": [{"shardIndex": 0, "offset": 2_500_000, "size": 500_000},
                          {"shardIndex": 1, "offset": 0, "size": 900}]},
        },
        "totalSize": 3_001_000, "tensorCount": 2,
    });
    let [one, two] = shards;
    let files = Memory::new([("shard_00000.bin", one), ("shard_00001.bin", two)]);
    (files, json)
}

fn imported(mut files: Memory, json: &serde_json::Value) -> Result<Manifest, crate::Error> {
    files.0.insert("manifest.json".into(), serde_json::to_vec(json).unwrap());
    let (listing, about) = block_on(import_rdrr(&files))?;
    block_on(make(&files, &listing, about, |_| {}))
}

#[test]
fn dopplers_manifests_are_taken_over() {
    let (files, json) = rdrr();
    let manifest = imported(files, &json).unwrap();
    assert_eq!(manifest.root.about.name, "toy-rdrr");
    let layer = Group { part: 0, portion: Portion::Layer(1) };
    let page = &manifest.pages[manifest.root.pages_of(layer).next().unwrap()];
    let places: Vec<u64> = page.tensors[0].places.iter().map(|place| place.bytes).collect();
    assert_eq!(places, [500_000, 900], "a tensor goes on in the next shard");
    assert_eq!(page.blocks_of("model.layers.1.a"), [0..1, 1..2]);
    let (mut files, mut json) = rdrr();
    let tensors = json["tensors"].take();
    json.as_object_mut().unwrap().remove("tensors");
    json["tensorsFile"] = "tensors.json".into();
    files.0.insert("tensors.json".into(), serde_json::to_vec(&tensors).unwrap());
    let apart = imported(files, &json).unwrap();
    assert_eq!(apart.root.files, 4, "the tensors' own file is one of the model");
    assert_eq!(apart.pages.last(), manifest.pages.last(), "and says the same of the weights");
}

#[test]
fn dopplers_mistakes_are_named() {
    type Change = fn(&mut serde_json::Value, &mut Memory);
    let rows: [(Change, &str, &str); 9] = [
        (|json, _| json["version"] = 2.into(), "version", "a newer format"),
        (|json, _| json["totalSize"] = 5.into(), "3001000 bytes", "a shard is missing"),
        (|json, _| json["tensorCount"] = 5.into(), "fewer tensors", "tensors are missing"),
        (|json, _| json["shards"][0]["hash"] = "abc".into(), "is none", "half a hash"),
        (|json, _| json["shards"][0]["hash"] = "é".repeat(32).into(), "is none", "no hash"),
        (|json, _| json["shards"][0]["fileName"] = "../x".into(), "plain path", "a shard elsewhere"),
        (|json, _| json["tensors"]["model.layers.0.a"]["offset"] = u64::MAX.into(), "outside", "beyond all"),
        (|json, _| json["tensors"]["model.layers.0.a"]["shard"] = 7.into(), "outside", "no such shard"),
        (
            |_, files| files.0.values_mut().for_each(|file| file[7] ^= 1),
            "publisher",
            "shards that are not what their hashes say",
        ),
    ];
    for (change, named, why) in rows {
        let (mut files, mut json) = rdrr();
        change(&mut json, &mut files);
        let error = imported(files, &json).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
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
