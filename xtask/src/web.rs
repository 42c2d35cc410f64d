//! Building the page and its worker with trunk, and compressing what the server will send.

use crate::run::{command, run, workspace};
use crate::tools::{self, WasmToolchain};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Kinds of file that shrink. Weights do not, and are fetched by byte range.
const COMPRESSIBLE: [&str; 7] = ["html", "css", "js", "json", "svg", "wasm", "webmanifest"];

/// Builds `dist/`, with a `.br` beside everything that compresses.
pub fn build() -> Result<()> {
    let toolchain = WasmToolchain::find_or_install()?;
    tools::bundler()?;
    let mut trunk = command("trunk", &["--offline=true", "build"]);
    toolchain.apply(&mut trunk);
    run(&mut trunk)?;
    files_below(&dist())?.iter().try_for_each(|file| compress(file))
}

/// Where the built app lies.
pub fn dist() -> PathBuf {
    workspace().join("dist")
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn compress(file: &Path) -> Result<()> {
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    if !COMPRESSIBLE.contains(&&*extension) {
        return Ok(());
    }
    let bytes = fs::read(file)?;
    // Quality 11 would take minutes for the worker; 7 loses a few percent and takes seconds.
    let settings = brotli::enc::BrotliEncoderParams { quality: 7, lgwin: 22, ..Default::default() };
    let mut small = Vec::new();
    brotli::BrotliCompress(&mut bytes.as_slice(), &mut small, &settings)?;
    let beside = PathBuf::from(format!("{}.br", file.display()));
    println!("{:>9} -> {:>8} bytes  {}", bytes.len(), small.len(), file.display());
    fs::write(&beside, small).with_context(|| format!("cannot write {}", beside.display()))
}
