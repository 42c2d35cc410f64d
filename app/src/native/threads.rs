//! `--threads N`: how much of this machine's CPU computes.

use anyhow::Result;
use clap::Args;
use kernels::limits::THREADS;
use std::num::NonZero;

#[derive(Args)]
pub struct Threads {
    /// Threads that compute on the CPU; as many as there are cores, if it is not said.
    #[arg(long, value_name = "N", value_parser = number)]
    threads: Option<usize>,
}

impl Threads {
    /// How many.
    pub fn count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
        self.threads.unwrap_or_else(cores)
    }

    /// Makes them compute what this thread is asked for.
    pub fn take(&self) -> Result<()> {
        Ok(kernels::ops::threads::take(self.count())?)
    }
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=THREADS).contains(number));
    number.ok_or_else(|| format!("threads are a number from 1 to {THREADS}"))
}
