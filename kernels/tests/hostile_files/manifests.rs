//! Manifests, ours and DOPPLER's, as an enemy or a broken download would leave them.

use super::*;
use kernels::limits;
use kernels::weights::manifest::{
    About, FILE_HEAD_BYTES, Hash, ManifestError, decode_page, decode_root, encode_file, import_rdrr, list,
    make, page_in_file, root_in_file,
};
use std::ops::Range;
use std::sync::LazyLock;

/// A manifest as it lies beside a model.
fn manifest_file() -> Vec<u8> {
    static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let names = ["config.json", "model.safetensors"];
        let files = Memory(names.map(|name| (name.to_owned(), own(&format!("qwen2-moe/{name}")))).into());
        let listing = block_on(list(&files, &names.map(str::to_owned))).unwrap();
        encode_file(&block_on(make(&files, &listing, About::default(), |_| {})).unwrap()).unwrap()
    });
    MADE.clone()
}

/// Reads all of it as a peer does. Its hashes are taken as they are found, for whoever lies makes them fit.
fn use_manifest(file: &[u8]) -> Result<(), ManifestError> {
    let cut = ManifestError::Malformed("the file");
    let part = |range: Range<u64>| file.get(range.start as usize..range.end as usize).ok_or(cut.clone());
    let head = &file[..file.len().min(FILE_HEAD_BYTES as usize)];
    let at = root_in_file(head)?;
    assert_eq!(at.start, FILE_HEAD_BYTES);
    assert!(at.end - at.start <= limits::ROOT_BYTES as u64, "a root of {at:?} would be read at once");
    let bytes = part(at)?;
    let root = decode_root(bytes, Hash::of(bytes))?;
    for (index, line) in root.pages.iter().enumerate() {
        let at = page_in_file(&root, bytes.len() as u64, index);
        assert!(at.end - at.start <= limits::PAGE_BYTES as u64, "a page of {at:?} would be read at once");
        decode_page(part(at)?, line)?;
    }
    assert!(page_in_file(&root, bytes.len() as u64, root.pages.len()).is_empty(), "there is no such page");
    Ok(())
}

#[test]
fn a_manifest_file_cut_off_anywhere_or_with_any_bit_flipped_is_refused() {
    let whole = manifest_file();
    assert_eq!(use_manifest(&whole), Ok(()));
    for length in 0..whole.len() {
        assert!(use_manifest(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    for bit in 0..8 * FILE_HEAD_BYTES as usize {
        let mut file = whole.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(use_manifest(&file).is_err(), "bit {bit}");
    }
    assert_modest();
}

/// A model in DOPPLER's format: what it says of itself, and its shards.
fn rdrr() -> (serde_json::Value, BTreeMap<String, Vec<u8>>) {
    let shards = [vec![7; 3_000], vec![8; 1_000]];
    let json = serde_json::json!({
        "version": 1, "modelId": "toy", "hashAlgorithm": "blake3",
        "shards": [
            {"fileName": "a.bin", "size": 3_000, "hash": Hash::of(&shards[0]).to_string()},
            {"fileName": "b.bin", "size": 1_000, "hash": Hash::of(&shards[1]).to_string()},
        ],
        "tensors": {
            "model.layers.0.a": {"shard": 0, "offset": 0, "size": 2_000, "shape": [1_000], "dtype": "F16"},
            "model.layers.1.a": {"shard": 0, "offset": 2_500, "size": 1_400, "shape": [700], "dtype": "F16",
                "spans": [{"shardIndex": 0, "offset": 2_500, "size": 500},
                          {"shardIndex": 1, "offset": 0, "size": 900}]},
        },
    });
    let [one, two] = shards;
    (json, [("a.bin".to_owned(), one), ("b.bin".to_owned(), two)].into())
}

fn use_rdrr(json: Vec<u8>, mut files: BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    files.insert("manifest.json".into(), json);
    let files = Memory(files);
    let (listing, about) = block_on(import_rdrr(&files))?;
    let manifest = block_on(make(&files, &listing, about, |_| {}))?;
    Ok(encode_file(&manifest).map(drop)?)
}

/// Every number in it, in some order.
fn numbers(json: &mut serde_json::Value) -> Vec<&mut serde_json::Value> {
    match json {
        serde_json::Value::Number(_) => vec![json],
        serde_json::Value::Array(all) => all.iter_mut().flat_map(numbers).collect(),
        serde_json::Value::Object(all) => all.values_mut().flat_map(numbers).collect(),
        _ => vec![],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_manifest_file_is_refused_or_read(
        all in prop::collection::vec(damage(), 1..8),
        head in any::<bool>(),
        length in any::<Option<u32>>(),
    ) {
        let mut file = manifest_file();
        if let Some(length) = length {
            file[5..9].copy_from_slice(&length.to_le_bytes());
        }
        let most = if head { FILE_HEAD_BYTES as usize } else { file.len() - 20 };
        let _ = use_manifest(&damaged(file, &all.iter().map(|damage| damage.within(most)).collect::<Vec<_>>()));
        assert_modest();
    }

    #[test]
    fn a_damaged_rdrr_manifest_is_refused_or_used(all in prop::collection::vec(damage(), 1..6)) {
        let (json, files) = rdrr();
        prop_assert!(use_rdrr(json.to_string().into_bytes(), files.clone()).is_ok());
        let json = json.to_string().into_bytes();
        let within: Vec<Damage> = all.iter().map(|damage| damage.within(json.len() - 20)).collect();
        let _ = use_rdrr(damaged(json, &within), files);
        assert_modest();
    }

    #[test]
    fn numbers_of_rdrr_that_lie_are_refused_or_used(
        lies in prop::collection::vec((any::<usize>(), prop_oneof![any::<u64>(), 0..5_000u64]), 1..4),
    ) {
        let (mut json, files) = rdrr();
        for (which, lie) in lies {
            let mut all = numbers(&mut json);
            let which = which % all.len();
            *all[which] = lie.into();
        }
        let _ = use_rdrr(json.to_string().into_bytes(), files);
        assert_modest();
    }
}
