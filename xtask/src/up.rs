//! `cargo xtask up`: from a fresh machine to a room link.

use crate::run::{command, run, target};
use crate::web;
use anyhow::{Context, Result, bail};

/// Builds everything, then serves until interrupted.
pub fn up(arguments: &[String]) -> Result<()> {
    let (bind, port) = parse(arguments)?;
    web::build()?;
    run(&mut command("cargo", &["build", "-p", "signaling"]))?;
    let server = target().join("debug/signaling");
    let address = format!("{bind}:{port}");
    println!(
        "\nA room of your own:   http://localhost:{port}/#room={}&key={}",
        random_hex(4)?,
        random_hex(16)?
    );
    println!(
        "Open it in two windows. For other machines of your network start with `--bind 0.0.0.0`; browsers offer"
    );
    println!("WebGPU only on localhost and over TLS, so there the other machines compute on their CPU.\n");
    run(command(&server.to_string_lossy(), &["--bind", &address, "--app"]).arg(web::dist()))
}

fn parse(arguments: &[String]) -> Result<(String, u16)> {
    let (mut bind, mut port) = ("127.0.0.1".to_owned(), 8080);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word.as_str() {
            "--bind" => bind.clone_from(value()?),
            "--port" => port = value()?.parse().context("--port is a number up to 65535")?,
            other => bail!("`up` does not know {other:?}; it takes --bind ADDR and --port N"),
        }
    }
    Ok((bind, port))
}

fn random_hex(bytes: usize) -> Result<String> {
    use std::io::Read;
    let mut random = vec![0; bytes];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
