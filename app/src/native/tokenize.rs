//! `manyhands tokenize`: the ids of a text.

use crate::compute::files::Folder;
use crate::compute::worker::model::Model;
use anyhow::{Result, anyhow};
use clap::Args;
use kernels::device::Opened;
use std::io::Read;

#[derive(Args)]
pub struct Options {
    /// A folder with config.json, tokenizer.json and weights, or a GGUF file.
    #[arg(long, value_name = "DIR|FILE.gguf")]
    model: String,
}

/// Reads all of standard input, and writes one line: its ids, with the one that starts a text if the model has it.
pub async fn run(options: &Options) -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let opened = Model::open(&options.model, Folder::of(&options.model), Opened::cpu()).await;
    let (_, language) = opened.map_err(|why| anyhow!(why))?;
    let ids: Vec<String> = language.tokenizer.encode(&text, true)?.iter().map(u32::to_string).collect();
    println!("{}", ids.join(" "));
    Ok(())
}
