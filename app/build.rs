//! Makes a table of `assets/models.toml`, so that the page needs no parser for it.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;

const LIST: &str = "../assets/models.toml";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={LIST}");
    let list: toml::Table = std::fs::read_to_string(LIST)?.parse()?;
    let models = list.get("model").and_then(toml::Value::as_array).ok_or("no [[model]] in models.toml")?;
    let mut table = String::from("&[\n");
    for model in models {
        let text = |field: &str| model.get(field).and_then(toml::Value::as_str);
        let word = |field: &str| text(field).ok_or_else(|| format!("{field} is missing: {model}"));
        let number = |field: &str| {
            let number = model.get(field).and_then(toml::Value::as_integer);
            number.ok_or_else(|| format!("{field} is missing: {model}"))
        };
        let makes = match word("makes")? {
            "text" => "Text",
            "pictures" => "Pictures",
            other => return Err(format!("a model makes text or pictures, not {other:?}").into()),
        };
        writeln!(
            table,
            "Known {{ name: {:?}, makes: Makes::{makes}, source: {:?}, page: {:?}, licence: {:?}, bytes: {}, smaller: {:?}, memory: {} }},",
            word("name")?,
            word("source")?,
            word("page")?,
            word("licence")?,
            number("bytes")?,
            text("smaller"),
            number("memory")?,
        )?;
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").ok_or("cargo says where this goes")?;
    Ok(std::fs::write(Path::new(&out).join("models.rs"), table)?)
}
