//! How fast the store of a browser is, beside the same file written and read with nothing around it.

use super::indexed::IndexedStore;
use super::opfs::{OpfsStore, plain_file};
use super::packed::Bytes;
use super::{BlockStore, Hash, StoreError, limits};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;
use web_time::Instant;

/// Megabytes (10⁶ bytes) a second, the best of all runs.
#[derive(Debug, Default, Serialize)]
struct Figures {
    raw_write: f64,
    raw_read: f64,
    hash: f64,
    files_write: f64,
    files_read: f64,
    database_write: f64,
    database_read: f64,
}

/// Writes and reads so many blocks of 1 MiB, `runs` times. What is in the store is cleared. The answer is JSON.
///
/// # Errors
/// In plain words.
#[wasm_bindgen]
pub async fn bench_store(blocks: u32, runs: u32) -> Result<String, String> {
    let said = |error: StoreError| error.to_string();
    let mut best = Figures::default();
    for run in 0..runs.max(1) {
        let data = blocks_of(run, blocks);
        raw(&data, &mut best).await.map_err(said)?;
        let (mut write, mut read) = (best.files_write, best.files_read);
        let files = OpfsStore::open(limits::QUOTA_BYTES).await.map_err(said)?;
        store(&files, &data, &mut write, &mut read).await.map_err(said)?;
        (best.files_write, best.files_read) = (write, read);
        let (mut write, mut read) = (best.database_write, best.database_read);
        let database = IndexedStore::open(limits::QUOTA_BYTES).await.map_err(said)?;
        store(&database, &data, &mut write, &mut read).await.map_err(said)?;
        (best.database_write, best.database_read) = (write, read);
    }
    serde_json::to_string(&best).map_err(|error| error.to_string())
}

/// Blocks that no other run has.
fn blocks_of(run: u32, count: u32) -> Vec<(Hash, Vec<u8>)> {
    let block = |number: u32| {
        let seed = u64::from(run) << 32 | u64::from(number);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let bytes: Vec<u8> = (0..limits::BLOCK_BYTES / 8).flat_map(|_| next()).collect();
        (Hash::of(&bytes), bytes)
    };
    (0..count).map(block).collect()
}

/// One file, front to back, and the hashes of what was read.
async fn raw(data: &[(Hash, Vec<u8>)], best: &mut Figures) -> Result<(), StoreError> {
    let file = plain_file("bench").await?;
    file.truncate(0)?;
    let since = Instant::now();
    for (index, (_, bytes)) in data.iter().enumerate() {
        file.write((index * limits::BLOCK_BYTES) as u64, bytes)?;
    }
    faster(&mut best.raw_write, data, since);
    let since = Instant::now();
    for index in 0..data.len() {
        let mut bytes = vec![0; limits::BLOCK_BYTES];
        file.read((index * limits::BLOCK_BYTES) as u64, &mut bytes)?;
    }
    faster(&mut best.raw_read, data, since);
    let since = Instant::now();
    let right = data.iter().filter(|(hash, bytes)| Hash::of(bytes) == *hash).count();
    faster(&mut best.hash, &data[..right], since);
    file.truncate(0)
}

async fn store(
    store: &impl BlockStore,
    data: &[(Hash, Vec<u8>)],
    write: &mut f64,
    read: &mut f64,
) -> Result<(), StoreError> {
    store.clear().await?;
    let since = Instant::now();
    for (hash, bytes) in data {
        store.put(*hash, bytes).await?;
    }
    faster(write, data, since);
    let since = Instant::now();
    for (hash, _) in data {
        if store.get(*hash).await?.is_none() {
            return Err(StoreError::Wrong(*hash));
        }
    }
    faster(read, data, since);
    store.clear().await
}

fn faster(best: &mut f64, data: &[(Hash, Vec<u8>)], since: Instant) {
    let bytes: usize = data.iter().map(|(_, bytes)| bytes.len()).sum();
    *best = best.max(bytes as f64 / 1_000.0 / (since.elapsed().as_secs_f64() * 1_000.0).max(0.001));
}
