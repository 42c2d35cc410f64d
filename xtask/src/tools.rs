//! The tools that the project needs beside cargo, and how each is installed when it is missing.

use crate::run::{command, on_path, output, run};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Must equal the wasm-bindgen of `Cargo.lock`: the two halves of one program.
const WASM_BINDGEN: &str = "0.2.130";
/// The last trunk that builds with the rustc of `rust-toolchain`-less machines (0.22 needs 1.96.1).
const TRUNK: &str = "0.21.14";
const WASM: &str = "wasm32-unknown-unknown";

/// Everything that `up` and `test` need.
pub fn setup_everything() -> Result<()> {
    WasmToolchain::find_or_install()?;
    bundler()?;
    browser()?;
    software_gpu();
    Ok(())
}

/// How wasm is compiled on this machine.
pub enum WasmToolchain {
    /// The default toolchain has the target.
    Ordinary,
    /// Debian's rustc with the sources of std, linked into rustup as `web`; std is built with the program.
    DebianBuildStd,
}

impl WasmToolchain {
    /// The ordinary way first; Debian's packages where rustup cannot download.
    pub fn find_or_install() -> Result<Self> {
        if has_wasm_std() {
            return Ok(Self::Ordinary);
        }
        if debian_toolchain_is_linked() {
            return Ok(Self::DebianBuildStd);
        }
        println!("Installing the compile target {WASM} with rustup.");
        if on_path("rustup") && run(&mut command("rustup", &["target", "add", WASM])).is_ok() {
            return Ok(Self::Ordinary);
        }
        println!(
            "rustup could not; Debian's rustc-web has the sources of std, so std is built with the program."
        );
        apt(&["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "rust-web-clippy", "lld-22"])?;
        run(&mut command("rustup", &["toolchain", "link", "web", "/usr"]))?;
        Ok(Self::DebianBuildStd)
    }

    /// Sets what a wasm build needs in the environment of a cargo or trunk command.
    pub fn apply(&self, command: &mut Command) {
        if matches!(self, Self::DebianBuildStd) {
            command
                .env("RUSTUP_TOOLCHAIN", "web")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                // cargo tells its children which cargo started them; that one belongs to another toolchain.
                .env_remove("CARGO")
                .env_remove("RUSTC");
        }
    }
}

fn has_wasm_std() -> bool {
    output("rustc", &["--print", "target-libdir", "--target", WASM])
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

fn debian_toolchain_is_linked() -> bool {
    let listed = output("rustup", &["toolchain", "list"]).unwrap_or_default();
    let sources = output("/usr/bin/rustc", &["--print", "sysroot"])
        .is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/std").is_dir());
    sources && listed.lines().any(|line| line.split_whitespace().next() == Some("web"))
}

/// trunk, and the wasm-bindgen program that it calls.
pub fn bundler() -> Result<()> {
    if output("wasm-bindgen", &["--version"]).is_none_or(|version| !version.ends_with(WASM_BINDGEN)) {
        println!("Installing wasm-bindgen {WASM_BINDGEN} (about 2 minutes).");
        cargo_install(&["wasm-bindgen-cli", "--version", WASM_BINDGEN])?;
    }
    if output("trunk", &["--version"]).is_none() {
        println!("Installing trunk {TRUNK} (about 10 minutes, once).");
        cargo_install(&[
            "trunk",
            "--version",
            TRUNK,
            "--locked",
            "--no-default-features",
            "--features",
            "rustls",
        ])?;
    }
    Ok(())
}

fn cargo_install(arguments: &[&str]) -> Result<()> {
    // Not into our target folder: these builds share nothing with the workspace's.
    run(command("cargo", &["install"]).args(arguments).env_remove("CARGO_TARGET_DIR"))
}

/// A Chromium and its driver, for the browser tests.
pub fn browser() -> Result<()> {
    let chromium = ["chromium", "google-chrome", "chrome"].iter().any(|name| on_path(name));
    if chromium && on_path("chromedriver") {
        return Ok(());
    }
    println!("Installing Chromium and its driver for the browser tests.");
    apt(&["chromium", "chromium-driver"])
        .context("install Chrome or Chromium and a matching chromedriver by hand, then run this again")
}

/// A Vulkan device in software, so that the tests of `kernels` run our WGSL without a browser too. Without one they say
/// that they skip, so that a machine where it cannot be installed still passes.
pub fn software_gpu() {
    let drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].map(Path::new);
    let there = |folder: &Path| folder.read_dir().is_ok_and(|mut found| found.next().is_some());
    if drivers.into_iter().any(there) {
        return;
    }
    println!("Installing a software Vulkan driver (Mesa) for the tests of the WebGPU kernels.");
    if let Err(why) = apt(&["libvulkan1", "mesa-vulkan-drivers"]) {
        println!("Those tests will be skipped: {why:#}");
    }
}

fn apt(packages: &[&str]) -> Result<()> {
    if !on_path("apt-get") {
        bail!("this machine has no apt-get; install by hand: {}", packages.join(" "));
    }
    let root = output("id", &["-u"]).as_deref() == Some("0");
    let apt_get = |arguments: &[&str]| {
        let mut apt = if root { command("apt-get", &[]) } else { command("sudo", &["apt-get"]) };
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut apt)
    };
    apt_get(&["update", "-q"])?;
    apt_get(&[&["install", "-y", "-q", "--no-install-recommends"], packages].concat())
}
