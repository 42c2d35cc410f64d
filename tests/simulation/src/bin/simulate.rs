//! `simulate --seeds N [--from S] [--trace]`: runs rooms in virtual time and prints a seed that shows a failure.

use simulation::run_seed;
use std::process::ExitCode;

struct Options {
    seeds: u64,
    from: u64,
    trace: bool,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\nusage: simulate --seeds N [--from S] [--trace]");
            return ExitCode::from(2);
        }
    };
    let Options { seeds, from, trace } = options;
    println!("seeds {from} to {}", from + seeds.saturating_sub(1));
    let (mut failed, mut tokens, mut faults) = (0, 0, 0);
    for seed in from..from + seeds {
        match run_seed(seed, trace) {
            Ok(stats) => {
                tokens += stats.tokens;
                faults += stats.faults;
                if trace {
                    println!("{stats:?}");
                }
            }
            Err(failure) => {
                failed += 1;
                println!("FAILED {failure}\n  again: cargo xtask simulate --seeds 1 --from {seed}");
            }
        }
        if (seed - from + 1) % 500 == 0 {
            println!("{} of {seeds} seeds", seed - from + 1);
        }
    }
    println!("{tokens} tokens on screens, {faults} faults");
    println!("{} passed, {failed} failed", seeds - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seeds: 2_000, from: 1, trace: false };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {value}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--trace" => options.trace = true,
            _ => return Err(format!("there is no option {argument}")),
        }
    }
    if options.seeds == 0 || options.from.checked_add(options.seeds).is_none() {
        return Err("--seeds needs at least 1, and may not run past the last seed".into());
    }
    Ok(options)
}
