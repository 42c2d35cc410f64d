//! `manyhands manifest MODEL`: what a model is by its content, as a file that lies beside the model.

use crate::compute::files::{Checked, Folder, gguf_name};
use anyhow::{Context, Result, bail};
use clap::Args;
use kernels::weights::manifest::{
    About, FILE_NAME, Hash, Listing, Manifest, encode_file, encode_root, import_rdrr, list, make,
};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Folders in folders that are looked through. Source: guess; pipelines of diffusers have one level.
const DEPTH: usize = 4;

#[derive(Args)]
pub struct Options {
    /// A folder with the files of a model (as the hub or diffusers has them, or DOPPLER's RDRR), or a GGUF file.
    model: PathBuf,
    /// What people call it; by default as its folder or file.
    #[arg(long)]
    name: Option<String>,
    /// Its licence, best as an SPDX identifier.
    #[arg(long, default_value = "", hide_default_value = true)]
    licence: String,
    /// Where its files come from.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    source: String,
    /// Where the manifest goes; by default beside the model, where peers look for it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print all of it as JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(options: &Options) -> Result<()> {
    let path = options.model.to_string_lossy();
    let files = Folder::of(&path);
    let (listing, mut about) = listed(&files, gguf_name(&path)).await?;
    if let Some(name) = &options.name {
        about.name.clone_from(name);
    } else if about.name.is_empty() {
        about.name = called(&options.model)?;
    }
    (about.licence, about.source) = (options.licence.clone(), options.source.clone());
    let total: u64 = listing.files.iter().map(|file| file.bytes).sum();
    let manifest = make(&Checked(&files), &listing, about, |done| progress(done, total)).await?;
    let out = options.out.clone().unwrap_or_else(|| files.0.join(FILE_NAME));
    std::fs::write(&out, encode_file(&manifest)?)
        .with_context(|| format!("cannot write {}", out.display()))?;
    tell(&manifest, options.json)
}

/// What belongs to the model: one GGUF file, what an RDRR manifest lists, or all files of the folder.
async fn listed(files: &Folder, gguf: Option<&str>) -> Result<(Listing, About)> {
    let has = |name: &str| files.0.join(name).is_file();
    if let Some(name) = gguf {
        return Ok((list(&Checked(files), &[name.to_owned()]).await?, About::default()));
    }
    if has("manifest.json") && !has("config.json") {
        return Ok(import_rdrr(&Checked(files)).await?);
    }
    let mut names = Vec::new();
    look(&files.0, "", DEPTH, &mut names)?;
    names.sort();
    if !names.iter().any(|name| name.ends_with(".safetensors")) {
        bail!("{} holds no .safetensors file; name the folder of a model, or a GGUF file", files.0.display());
    }
    Ok((list(&Checked(files), &names).await?, About::default()))
}

/// The files of a folder, with their paths in it; hidden ones, and a manifest of before, are left out.
fn look(folder: &Path, below: &str, depth: usize, names: &mut Vec<String>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().ok();
        let name = name.with_context(|| format!("{} has a name that is no text", entry.path().display()))?;
        if name.starts_with('.') || name == FILE_NAME {
            continue;
        }
        // A link counts as what it leads to: that is how caches of hubs lay out a model.
        if entry.path().is_dir() {
            if depth > 0 {
                look(&entry.path(), &format!("{below}{name}/"), depth - 1, names)?;
            }
        } else {
            names.push(format!("{below}{name}"));
        }
    }
    Ok(())
}

fn called(model: &Path) -> Result<String> {
    let path = model.canonicalize().with_context(|| format!("cannot read {}", model.display()))?;
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    Ok(name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

fn progress(done: u64, total: u64) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{} of {} MiB hashed", done >> 20, total >> 20);
        if done == total {
            eprintln!();
        }
    }
}

/// The content's id, by which a room knows it; or all that there is.
fn tell(manifest: &Manifest, json: bool) -> Result<()> {
    let id = Hash::of(&encode_root(&manifest.root)?);
    if json {
        let mut all: serde_json::Value = serde_json::from_str(&manifest.to_json())?;
        all["id"] = id.to_string().into();
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        println!("content:{id}");
    }
    Ok(())
}
