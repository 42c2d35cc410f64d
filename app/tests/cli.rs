//! The native program as a person in a terminal meets it.

use std::path::Path;
use std::process::{Command, Output};

fn manyhands(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("app/ lies in the workspace");
    Command::new(env!("CARGO_BIN_EXE_manyhands"))
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("the program starts")
}

fn story(seed: &str) -> String {
    let output =
        manyhands(&["generate", "--cpu", "--max-new", "24", "--seed", seed, "--prompt", "Once upon a time"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a story is UTF-8")
}

#[test]
fn the_same_seed_writes_the_same_story() {
    let first = story("7");
    assert!(first.starts_with("Once upon a time"), "{first:?}");
    assert!(first.len() > "Once upon a time".len() + 20, "{first:?}");
    assert_eq!(first, story("7"));
    assert_ne!(first, story("8"), "another seed, another story");
}

#[test]
fn what_is_wrong_is_named() {
    let table: [(&[&str], &str, &str); 5] = [
        (
            &["generate", "--prompt", "x", "--model", "no/such/folder"],
            "config.json",
            "a folder without a model",
        ),
        (&["generate", "--prompt", ""], "empty", "an empty prompt"),
        (&["generate", "--prompt", "x", "--temperature=-1"], "temperature", "a setting out of range"),
        (&["peer", "--room", "http://localhost:1/"], "link", "a link without a room"),
        (&["peer"], "--room", "a missing argument"),
    ];
    for (arguments, named, why) in table {
        let output = manyhands(arguments);
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success(), "{why} must fail");
        assert!(said.contains(named), "{why}: {said}");
    }
}
