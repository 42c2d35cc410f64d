//! Models in DOPPLER's format.

use super::{Memory, noise};
use crate::weights::manifest::*;
use futures::executor::block_on;
use sha2::Digest as _;

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
    let rows: [(Change, &str, &str); 13] = [
        (|json, _| json["version"] = 2.into(), "version", "a newer format"),
        (|json, _| json["totalSize"] = 5.into(), "3001000 bytes", "a shard is missing"),
        (|json, _| json["tensorCount"] = 5.into(), "fewer tensors", "tensors are missing"),
        (|json, _| json["shards"][0]["hash"] = "abc".into(), "is none", "half a hash"),
        (|json, _| json["shards"][0]["hash"] = "é".repeat(32).into(), "is none", "no hash"),
        (|json, _| json["shards"][0]["fileName"] = "../x".into(), "plain path", "a shard elsewhere"),
        (
            |json, _| json["tokenizer"] = serde_json::json!({"file": "/etc/x"}),
            "plain path",
            "and a tokenizer",
        ),
        (
            |json, _| {
                json["tensors"] = serde_json::json!({});
                json["tensorsFile"] = "a/../../x".into();
            },
            "plain path",
            "and a list of tensors",
        ),
        (
            |json, _| {
                json["totalSize"].take();
                json["shards"][0]["size"] = (1u64 << 62).into();
            },
            "shard_00000.bin has 3000000 bytes",
            "a shard of another size",
        ),
        (
            |_, files| drop(files.0.remove("shard_00001.bin")),
            "shard_00001.bin is not here",
            "a shard that was not downloaded",
        ),
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
