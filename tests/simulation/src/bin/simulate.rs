//! `simulate [--seeds N] [--from S | --fresh] [--trace]`: runs rooms in virtual time and prints the seeds that fail.
//! `simulate --measure KILLS` prints tables for the README instead.

use simulation::sweep::fresh;
use simulation::{Failure, Stats, run_seed, sweep};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// Seeds between two lines that say how far it is.
const SAY_EVERY: u64 = 5_000;
const USAGE: &str =
    "usage: simulate [--seeds N] [--from S | --fresh] [--trace]\n       simulate --measure KILLS";

struct Options {
    seeds: u64,
    from: u64,
    trace: bool,
    measure: Option<u64>,
}

#[derive(Default)]
struct Tally {
    ran: u64,
    failed: u64,
    tokens: usize,
    faults: usize,
    virtual_ms: u64,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.measure {
        Some(kills) => print_measurements(kills),
        None => simulate(&options),
    }
}

fn print_measurements(kills: u64) -> ExitCode {
    match simulation::measure::report(kills) {
        Ok(tables) => {
            print!("{tables}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAILED {why}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(options: &Options) -> ExitCode {
    let Options { seeds, from, trace, .. } = *options;
    println!("seeds {from} to {}", from + (seeds - 1));
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut each = |seed, result| tally.count(seed, result, seeds);
    if trace {
        (from..from + seeds).for_each(|seed| each(seed, run_seed(seed, true)));
    } else {
        sweep(from..from + seeds, each);
    }
    let Tally { failed, tokens, faults, virtual_ms, .. } = tally;
    let seconds = start.elapsed().as_secs_f64();
    println!("{tokens} tokens on screens, {faults} faults, {} h of virtual time", virtual_ms / 3_600_000);
    println!(
        "{} passed, {failed} failed, in {seconds:.0} s ({:.0} seeds/s)",
        seeds - failed,
        seeds as f64 / seconds
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Tally {
    fn count(&mut self, seed: u64, result: Result<Stats, Failure>, seeds: u64) {
        self.ran += 1;
        match result {
            Ok(stats) => {
                self.tokens += stats.tokens;
                self.faults += stats.faults.values().sum::<usize>();
                self.virtual_ms += stats.ms;
            }
            Err(failure) => {
                self.failed += 1;
                println!("FAILED {failure}\n  again: cargo xtask simulate --seeds 1 --from {seed} --trace");
            }
        }
        if self.ran.is_multiple_of(SAY_EVERY) {
            println!("{} of {seeds} seeds, {} failed", self.ran, self.failed);
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seeds: 2_000, from: 1, trace: false, measure: None };
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{argument} needs a number, not {value}"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--fresh" => options.from = fresh(SystemTime::now()),
            "--measure" => options.measure = Some(number()?),
            "--trace" => options.trace = true,
            _ => return Err(format!("there is no option {argument}")),
        }
    }
    if options.seeds == 0 || options.from.checked_add(options.seeds).is_none() {
        return Err("--seeds needs at least 1, and may not run past the last seed".into());
    }
    Ok(options)
}
