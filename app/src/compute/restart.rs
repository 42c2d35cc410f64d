//! What to do when the worker dies.
//!
//! A GPU that is lost once is likely to be lost again, so the next worker stays on the CPU. A CPU worker that dies
//! is started again a few times, because the peers keep the story; after that this device only watches.

use super::{Adapters, Means, Request};

/// How many deaths on the CPU are forgiven in one session. Source: guess.
const CPU_RESTARTS: u32 = 2;

/// What to start next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A worker that stays on the CPU; the text says why, for people.
    OnCpu(String),
    /// Nothing: why, and what to do.
    GiveUp(String),
}

/// Counts deaths and decides what follows.
#[derive(Debug)]
pub struct Restarts {
    gpu: bool,
    on_cpu: u32,
}

/// What a new worker begins with in place of one whose model computed with `worn`. Adapters that it began with are a part of what was asked
/// for. Those that a person turned on later are looked for again once it is ready: they are no reason to do without the model.
#[must_use]
pub fn resume(means: &Means, worn: &Adapters) -> (Means, Option<Request>) {
    if *worn == means.adapters {
        return (means.clone(), None);
    }
    let later = (!worn.is_empty()).then(|| Request::Adapt(worn.clone()));
    (Means { adapters: Vec::new(), ..means.clone() }, later)
}

/// The cause in a person's words: what a driver says of it in turn is of no use to them.
fn first_words(cause: &str) -> &str {
    cause.split(['\n', '\r']).next().and_then(|line| line.split(" Caused by").next()).unwrap_or(cause).trim()
}

impl Restarts {
    /// `gpu`: whether the first worker tries the GPU.
    #[must_use]
    pub const fn new(gpu: bool) -> Self {
        Self { gpu, on_cpu: 0 }
    }

    /// The worker died of `cause`.
    pub fn died(&mut self, cause: &str) -> Next {
        if std::mem::take(&mut self.gpu) {
            return Next::OnCpu(format!(
                "The graphics device was lost ({}); this device goes on with its CPU.",
                first_words(cause)
            ));
        }
        self.on_cpu += 1;
        if self.on_cpu > CPU_RESTARTS {
            return Next::GiveUp(format!(
                "Computing stopped {} times on this device ({cause}). It still shows the room's answers; reload the page to try again.",
                self.on_cpu
            ));
        }
        Next::OnCpu(format!("Computing stopped ({cause}) and was started again."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(next: Next) -> &'static str {
        match next {
            Next::OnCpu(_) => "cpu",
            Next::GiveUp(_) => "stop",
        }
    }

    #[test]
    fn a_new_worker_has_the_adapters_of_the_old_one() {
        let list =
            |all: &[&str]| -> Adapters { all.iter().map(|source| ((*source).to_owned(), 1.0)).collect() };
        // What it began with, what it had in the end; what the next one begins with, and what it is asked for later.
        type Row = (
            &'static [&'static str],
            &'static [&'static str],
            &'static [&'static str],
            Option<&'static [&'static str]>,
        );
        let rows: [(Row, &str); 5] = [
            ((&[], &[], &[], None), "none"),
            ((&["a"], &["a"], &["a"], None), "named on the command line: not without it"),
            ((&[], &["b"], &[], Some(&["b"])), "turned on later"),
            ((&["a"], &["a", "b"], &[], Some(&["a", "b"])), "one more, behind it"),
            ((&["a"], &[], &[], None), "turned off"),
        ];
        for ((began, had, begins, later), why) in rows {
            let means = Means { adapters: list(began), ..Means::default() };
            let (next, asked) = resume(&means, &list(had));
            let asked = asked.map(|asked| match asked {
                Request::Adapt(adapters) => adapters,
                other => panic!("{other:?}"),
            });
            assert_eq!((next.adapters, asked), (list(begins), later.map(list)), "{why}");
        }
    }

    #[test]
    fn deaths() {
        let table: [(bool, &[&str], &str); 2] = [
            (true, &["cpu", "cpu", "cpu", "stop"], "the GPU's death is not counted against the CPU"),
            (false, &["cpu", "cpu", "stop"], "the CPU is tried again twice"),
        ];
        for (gpu, expected, why) in table {
            let mut restarts = Restarts::new(gpu);
            let seen: Vec<_> = expected.iter().map(|_| kind(restarts.died("test"))).collect();
            assert_eq!(seen, expected, "{why}");
        }
    }
}
