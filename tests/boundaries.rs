//! The dependency table of the architecture (README, "The parts"), held by `cargo tree`; and a few rules of style
//! that no lint knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on directly, if the list is short; and what it must never contain, at any depth.
struct Rule {
    package: &'static str,
    only: Option<&'static [&'static str]>,
    never_directly: &'static [&'static str],
    never_at_all: &'static [&'static str],
    why: &'static str,
}

const TABLE: [Rule; 4] = [
    Rule {
        package: "coordinator",
        only: Some(&["postcard", "serde", "serde_bytes", "thiserror"]),
        never_directly: &[],
        never_at_all: &[
            "burn",
            "futures",
            "js-sys",
            "kernels",
            "matchbox_socket",
            "tokio",
            "wasm-bindgen",
            "web-sys",
        ],
        why: "it decides; sockets, clocks, threads and tensors are others'",
    },
    Rule {
        package: "kernels",
        only: None,
        never_directly: &["gloo-timers", "js-sys", "leptos", "web-sys"],
        never_at_all: &["app", "coordinator", "matchbox_socket", "signaling"],
        why: "it computes; it knows no peer, no page and no network",
    },
    Rule {
        package: "app",
        only: None,
        never_directly: &["burn", "cubecl", "tokenizers", "safetensors", "matchbox_signaling"],
        never_at_all: &["signaling", "tests", "simulation"],
        why: "it does I/O; tensor maths belongs to kernels",
    },
    Rule {
        package: "signaling",
        only: None,
        never_directly: &[],
        never_at_all: &["app", "burn", "coordinator", "kernels"],
        why: "it relays sealed offers and serves files; it never sees a prompt or a tensor",
    },
];

#[test]
fn each_crate_keeps_to_its_side() {
    for rule in &TABLE {
        let direct = tree(rule.package, &["--depth", "1"]);
        let all = tree(rule.package, &[]);
        assert!(all.contains(rule.package), "cargo tree lists the package itself");
        if let Some(only) = rule.only {
            let surplus: Vec<_> = direct
                .iter()
                .filter(|name| *name != rule.package && !only.contains(&name.as_str()))
                .collect();
            assert!(surplus.is_empty(), "{} depends on {surplus:?}: {}", rule.package, rule.why);
        }
        let wrong: Vec<_> = rule.never_directly.iter().filter(|name| direct.contains(**name)).collect();
        assert!(wrong.is_empty(), "{} depends on {wrong:?}: {}", rule.package, rule.why);
        let wrong: Vec<_> = rule.never_at_all.iter().filter(|name| all.contains(**name)).collect();
        assert!(wrong.is_empty(), "{} reaches {wrong:?}: {}", rule.package, rule.why);
    }
}

/// Names of all packages that `package` depends on for its own code, on any target.
fn tree(package: &str, more: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--target",
            "all",
            "--package",
            package,
        ])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// One idea per file: past this many lines there are two.
const LONGEST_FILE: usize = 500;

#[test]
fn files_hold_one_idea() {
    let mut long = Vec::new();
    for file in rust_files(&root()) {
        let lines = std::fs::read_to_string(&file).expect("a source file is text").lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("{} ({lines} lines)", file.display()));
        }
    }
    assert!(long.is_empty(), "files of more than {LONGEST_FILE} lines: {long:#?}");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace can be listed").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "dist" {
            files.extend(rust_files(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}
