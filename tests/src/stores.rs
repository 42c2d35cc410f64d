//! What every store of blocks promises, whatever it keeps them in.

use anyhow::{Result, ensure};
use app::store::{BlockStore, Hash, StoreError, limits};

/// Bytes of these blocks: whole pages, so that no kind of store has more to keep than others.
const BYTES: usize = 8192;
/// The same, for quotas.
const EACH: u64 = BYTES as u64;

/// Where a store is kept.
#[allow(async_fn_in_trait, reason = "tests run on one thread")]
pub trait Place {
    /// A program that has the store open.
    type Program: BlockStore;
    /// Another program that opens it.
    async fn open(&self, quota: u64) -> Result<Self::Program>;
    /// From now on, whatever was used before was used long ago.
    fn age(&self) {}
}

/// All of it.
pub async fn promises(place: &impl Place) -> Result<()> {
    what_is_put_is_there_for_every_program(place).await?;
    what_is_no_block_is_not_kept(place).await?;
    what_nobody_used_for_longest_goes_first_and_pins_stay(place).await?;
    what_is_pinned_is_never_pushed_out_and_a_pin_can_be_undone(place).await?;
    what_others_write_counts_too(place).await?;
    another_quota_counts_at_once(place).await
}

/// The block of this number.
#[must_use]
pub fn block(number: u32, bytes: usize) -> (Hash, Vec<u8>) {
    let bytes: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(bytes).collect();
    (Hash::of(&bytes), bytes)
}

async fn put(store: &impl BlockStore, number: u32) -> Result<Hash> {
    let (hash, bytes) = block(number, BYTES);
    store.put(hash, &bytes).await?;
    Ok(hash)
}

async fn put_all(store: &impl BlockStore, count: u32) -> Result<Vec<Hash>> {
    let mut all = Vec::new();
    for number in 0..count {
        all.push(put(store, number).await?);
    }
    Ok(all)
}

async fn empty<P: Place>(place: &P, quota: u64) -> Result<P::Program> {
    let store = place.open(quota).await?;
    store.clear().await?;
    Ok(store)
}

async fn there(store: &impl BlockStore, blocks: &[Hash]) -> Result<Vec<bool>> {
    let mut there = Vec::new();
    for block in blocks {
        there.push(store.has(*block).await?);
    }
    Ok(there)
}

async fn what_is_put_is_there_for_every_program(place: &impl Place) -> Result<()> {
    let (one, two) = (empty(place, 1 << 30).await?, place.open(1 << 30).await?);
    let (hash, bytes) = block(7, 1000);
    ensure!(one.get(hash).await?.is_none());
    one.put(hash, &bytes).await?;
    two.put(hash, &bytes).await?;
    ensure!(two.get(hash).await? == Some(bytes));
    ensure!(two.list().await? == [(hash, 1000)], "once");
    ensure!(two.has(hash).await?);
    two.remove(hash).await?;
    two.remove(hash).await?;
    ensure!(!one.has(hash).await?);
    let large = block(8, limits::BLOCK_BYTES);
    one.put(large.0, &large.1).await?;
    ensure!(two.get(large.0).await? == Some(large.1), "a whole block");
    let nothing = Hash::of(&[]);
    two.put(nothing, &[]).await?;
    ensure!(one.get(nothing).await? == Some(Vec::new()), "and an empty one");
    Ok(())
}

async fn what_is_no_block_is_not_kept(place: &impl Place) -> Result<()> {
    let store = empty(place, 1 << 30).await?;
    let (hash, bytes) = block(7, 1000);
    let wrong = store.put(hash, &bytes[1..]).await;
    ensure!(matches!(wrong, Err(StoreError::Wrong(_))), "{wrong:?}");
    let long = vec![0; limits::BLOCK_BYTES + 1];
    let long = store.put(Hash::of(&long), &long).await;
    ensure!(matches!(long, Err(StoreError::TooLong(_))), "{long:?}");
    ensure!(store.list().await?.is_empty());
    Ok(())
}

async fn what_nobody_used_for_longest_goes_first_and_pins_stay(place: &impl Place) -> Result<()> {
    // The pins take a little, too, where they lie among the blocks.
    let store = empty(place, 10 * EACH + 4096).await?;
    let mut blocks = Vec::new();
    for number in 0..10 {
        blocks.push(put(&store, number).await?);
        place.age();
    }
    store.pin(Hash::of(b"model"), &blocks[1..2]).await?;
    ensure!(store.get(blocks[2]).await?.is_some());
    let new = put(&store, 99).await?;
    let left = there(&store, &blocks).await?;
    let want = [false, true, true, false, true, true, true, true, true, true];
    ensure!(
        left == want,
        "two go, for a little room; neither what is pinned nor what was just read: {left:?}"
    );
    ensure!(store.has(new).await?);
    Ok(())
}

async fn what_is_pinned_is_never_pushed_out_and_a_pin_can_be_undone(place: &impl Place) -> Result<()> {
    let store = empty(place, 3 * EACH + 4096).await?;
    let blocks = put_all(&store, 3).await?;
    place.age();
    let (name, (hash, bytes)) = (Hash::of(b"model"), block(9, BYTES));
    store.pin(name, &blocks).await?;
    let other = place.open(3 * EACH + 4096).await?;
    let refused = other.put(hash, &bytes).await;
    ensure!(matches!(refused, Err(StoreError::NoRoom(_))), "in any program: {refused:?}");
    ensure!(store.list().await?.len() == 3);
    store.pin(name, &blocks[..1]).await?;
    other.put(hash, &bytes).await?;
    ensure!(there(&other, &blocks[..1]).await? == [true], "the new pins count");
    place.age();
    store.pin(name, &[]).await?;
    for number in 20..23 {
        put(&other, number).await?;
    }
    ensure!(there(&other, &blocks).await? == [false; 3], "nothing is pinned any more");
    store.clear().await?;
    ensure!(other.list().await?.is_empty(), "everything is gone");
    Ok(())
}

async fn what_others_write_counts_too(place: &impl Place) -> Result<()> {
    let quota = 64 * EACH;
    let (one, two) = (empty(place, quota).await?, place.open(quota).await?);
    for number in 0..64 {
        put(&one, number).await?;
        put(&two, 100 + number).await?;
    }
    let bytes: u64 = one.list().await?.iter().map(|(_, bytes)| bytes).sum();
    // Each may add as much as it writes between two looks.
    let most = quota + 2 * (quota / limits::LOOKS + EACH);
    ensure!(bytes <= most, "{bytes} bytes under a quota of {quota}");
    one.clear().await.map_err(Into::into)
}

async fn another_quota_counts_at_once(place: &impl Place) -> Result<()> {
    let store = empty(place, 20 * EACH).await?;
    let blocks = put_all(&store, 8).await?;
    let usage = store.usage().await?;
    ensure!(usage.quota == 20 * EACH && usage.durable, "{usage:?}");
    ensure!((8 * EACH..=9 * EACH).contains(&usage.used), "{usage:?}");
    store.pin(Hash::of(b"model"), &blocks[..3]).await?;
    store.allow(5 * EACH).await?;
    let usage = store.usage().await?;
    ensure!(usage.quota == 5 * EACH && usage.used <= 5 * EACH, "{usage:?}");
    ensure!(there(&store, &blocks[..3]).await? == [true; 3], "what is pinned stays");
    store.allow(20 * EACH).await?;
    put(&store, 50).await?;
    store.clear().await.map_err(Into::into)
}
