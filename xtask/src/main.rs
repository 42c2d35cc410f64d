//! The project's commands. `cargo xtask up` and `cargo xtask test` work on a fresh Debian or Ubuntu machine that
//! has only rustup and cargo: they say what they install, install only what is missing, and do the rest.

mod checks;
mod run;
mod tools;
mod up;
mod web;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  up [--bind ADDR] [--port N]    build, serve the app with signaling on one port, print a room link
  test [FILTER]                  every test: units, simulation, parity, native rooms, browsers
  ci                             fmt, clippy (native and wasm), doc, then test: what .ci/run calls
  lint                           fmt, clippy (native and wasm), doc
  web                            build the page and its compute worker into dist/
  setup                          only install what is missing
  simulate --seeds N [--from S | --fresh] [--trace]
                                 run rooms in virtual time; prints a seed that reproduces a failure
  simulate --measure KILLS       recovery and efficiency, as tables
  bench                          criterion benches of every crate
";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = arguments.split_first().map_or(("help", &[][..]), |(c, r)| (c.as_str(), r));
    std::env::set_current_dir(run::workspace())?;
    match command {
        "up" => up::up(rest),
        "test" => checks::test(rest),
        "ci" => checks::lint().and_then(|()| checks::test(rest)),
        "lint" => checks::lint(),
        "web" => web::build(),
        "setup" => tools::setup_everything(),
        "simulate" => checks::simulate(rest),
        "bench" => checks::bench(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no command {other:?}\n\n{HELP}"),
    }
}
