//! Manifests of made-up models, and of models of any size.

mod hostile;
mod rdrr;

use super::*;
use crate::limits::{self, BLOCK_BYTES};
use crate::weights::Files;
use futures::executor::block_on;
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
fn a_file_holds_all_of_it_and_every_page_is_one_range() {
    let manifest = made(&folder());
    let (root, pages) = encoded(&manifest);
    let file = encode_file(&manifest).unwrap();
    let part = |range: Range<u64>| &file[range.start as usize..range.end as usize];
    let at = root_in_file(part(0..FILE_HEAD_BYTES)).unwrap();
    assert_eq!(part(at.clone()), root);
    let root_bytes = at.end - at.start;
    for (index, page) in pages.iter().enumerate() {
        assert_eq!(part(page_in_file(&manifest.root, root_bytes, index)), page, "page {index}");
    }
    let last = page_in_file(&manifest.root, root_bytes, pages.len() - 1);
    assert_eq!(last.end, file.len() as u64, "and nothing more");
    let rows: [(&[u8], &str); 5] = [
        (b"MHWF", "cut off"),
        (b"MHWF\x01\x00\x00", "cut off in the length"),
        (b"MHWM\x01\x00\x00\x00\x00", "a root by itself"),
        (b"MHWF\x02\x00\x00\x00\x00", "from the future"),
        (b"MHWF\x01\xff\xff\xff\xff", "a root without an end"),
    ];
    for (head, why) in rows {
        assert!(root_in_file(head).is_err(), "{why}");
    }
}

#[test]
fn an_adapter_says_what_it_changes_and_a_model_nothing() {
    let base = "0f".repeat(32);
    let json = format!(
        r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"],
            "base_model_name_or_path": "hub/tales", "manyhands_base": "{base}"}}"#
    );
    let name = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight";
    let folder = |more: Option<(&str, Vec<u8>)>| {
        let mut files = Memory::new([
            ("adapter_config.json", json.clone().into_bytes()),
            ("adapter_model.safetensors", safetensors_of(&[(name, 64)], 5)),
        ]);
        files.0.extend(more.map(|(name, bytes)| (name.to_owned(), bytes)));
        files
    };
    let manifest = made(&folder(None));
    let (bytes, _) = encoded(&manifest);
    let root = decode_root(&bytes, Hash::of(&bytes)).unwrap();
    let adapts = Adapts { rank: 4, model: "hub/tales".into(), bases: vec![Hash([0x0f; 32])] };
    assert_eq!((root.adapts.as_ref(), &root), (Some(&adapts), &manifest.root));
    let json: serde_json::Value = serde_json::from_str(&manifest.to_json()).unwrap();
    assert_eq!(json["root"]["adapts"]["bases"][0].as_str(), Some(base.as_str()), "and people can read it");
    let model = made(&folder(Some(("config.json", b"{}".to_vec()))));
    assert_eq!(model.root.adapts, None, "a model with an adapter beside it is a model");
    // What it says travels behind the rest: everything else is as it is for models.
    let plain = encode_root(&Root { adapts: None, ..root.clone() }).unwrap();
    assert!(bytes.starts_with(&plain) && bytes.len() > plain.len());
    let behind = &bytes[plain.len()..];
    let rows = [
        (&behind[..behind.len() - 1], "cut off"),
        (&[behind, &[0]].concat()[..], "something behind it"),
        (&[0][..], "nothing, said in a second way"),
    ];
    for (behind, why) in rows {
        let bytes = [&plain, behind].concat();
        let wrong = Err(ManifestError::Malformed("the root of the manifest"));
        assert_eq!(decode_root(&bytes, Hash::of(&bytes)), wrong, "{why}");
    }
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
        ..Listing::default()
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
    let listing = Listing { files: vec![file], tensors: (0..64).map(tensor).collect(), ..Listing::default() };
    let manifest = Draft::new(&listing).unwrap().finish(about()).unwrap();
    assert!(manifest.pages.len() >= 3);
    let all: BTreeSet<Group> = manifest.root.pages.iter().map(|page| page.group).collect();
    assert_eq!(all.len(), 1, "all of one layer");
    assert_eq!(manifest.root.bytes(), 64 << 30);
    let tensors: usize = manifest.pages.iter().map(|page| page.tensors.len()).sum();
    assert_eq!(tensors, 64, "no tensor is on two pages");
}
