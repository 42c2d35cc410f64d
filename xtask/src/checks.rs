//! Lints and tests, cheapest first.

use crate::run::{command, run};
use crate::tools::{self, WasmToolchain};
use crate::web;
use anyhow::Result;

/// Native builds use one set of features, so that burn is compiled once for lints, tests and benches alike.
const NATIVE: [&str; 2] = ["--features", "kernels/train"];

/// fmt, clippy for both targets, doc; every warning is an error.
pub fn lint() -> Result<()> {
    run(&mut command("cargo", &["fmt", "--all", "--check"]))?;
    run(command("cargo", &["clippy", "--workspace", "--all-targets"])
        .args(NATIVE)
        .args(["--", "-D", "warnings"]))?;
    run(command("cargo", &["doc", "--workspace", "--no-deps"])
        .args(NATIVE)
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    let mut wasm = command("cargo", &["clippy", "-p", "app", "--bins", "--lib", "--profile", "web"]);
    wasm.args(["--target", "wasm32-unknown-unknown", "--", "-D", "warnings"]);
    WasmToolchain::find_or_install()?.apply(&mut wasm);
    run(&mut wasm)
}

/// Every test. The browser tests use the app in `dist/`, built here.
pub fn test(filter: &[String]) -> Result<()> {
    tools::browser()?;
    tools::software_gpu();
    web::build()?;
    let mut test = command("cargo", &["test", "--workspace", "--no-fail-fast"]);
    test.args(NATIVE).env("MANYHANDS_DIST", web::dist());
    // The trace of an error that a test returns would bury its message.
    test.env("RUST_LIB_BACKTRACE", "0");
    if !filter.is_empty() {
        return run(test.arg("--").args(filter));
    }
    run(&mut test)?;
    // With a rule of the coordinator broken on purpose; a feature that nothing else is built with.
    let mutations = ["test", "-p", "simulation", "--features", "mutations", "--test", "mutations"];
    run(&mut command("cargo", &mutations))
}

/// Rooms in virtual time.
pub fn simulate(arguments: &[String]) -> Result<()> {
    run(command("cargo", &["run", "--quiet", "-p", "simulation", "--bin", "simulate", "--"]).args(arguments))
}

/// Criterion benches.
pub fn bench(filter: &[String]) -> Result<()> {
    run(command("cargo", &["bench", "--workspace"]).args(NATIVE).args(filter))
}
