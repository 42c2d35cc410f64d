//! `manyhands store`: the weights that are kept on this machine.

use crate::store::{BlockStore, FileStore, limits};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kernels::weights::manifest::decode_root;
use std::path::PathBuf;

#[derive(Args)]
pub struct Options {
    /// The store; by default in this user's cache.
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say how much is kept, and of which models.
    List,
    /// Compare every block with its hash, and take out what is damaged.
    Verify,
    /// Take everything out.
    Clear,
}

pub async fn run(options: &Options) -> Result<()> {
    let folder = options.store.clone().or_else(cache);
    let folder = folder.context("this user has no folder for caches; name one with --store")?;
    let store = FileStore::open(&folder, limits::QUOTA_BYTES)?;
    match options.command {
        Command::List => list(&store).await,
        Command::Verify => verify(&store).await,
        Command::Clear => {
            store.clear().await?;
            println!("{} is empty", folder.display());
            Ok(())
        }
    }
}

/// Where weights stay unless somebody names another folder: as the XDG base directories say, or as Windows does.
pub fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = folder("XDG_CACHE_HOME").or_else(|| folder("LOCALAPPDATA"));
    let caches = caches.or_else(|| Some(folder("HOME")?.join(".cache")));
    Some(caches?.join("manyhands").join("weights"))
}

/// Roots are kept like blocks, and say what they are.
async fn list(store: &FileStore) -> Result<()> {
    let blocks = store.list().await?;
    for (hash, bytes) in &blocks {
        if *bytes > kernels::limits::ROOT_BYTES as u64 {
            continue;
        }
        let Some(bytes) = store.get(*hash).await? else { continue };
        if let Ok(root) = decode_root(&bytes, *hash) {
            println!("content:{hash}  {} MiB  {}", root.bytes() >> 20, root.about.name);
        }
    }
    let bytes: u64 = blocks.iter().map(|(_, bytes)| bytes).sum();
    println!("{} blocks, {} MiB", blocks.len(), bytes >> 20);
    Ok(())
}

async fn verify(store: &FileStore) -> Result<()> {
    let (mut right, mut damaged) = (0, 0);
    for (hash, _) in store.list().await? {
        match store.get(hash).await? {
            Some(_) => right += 1,
            None => damaged += 1,
        }
    }
    println!("{right} blocks are right, {damaged} were damaged and are taken out");
    Ok(())
}
