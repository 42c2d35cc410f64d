//! What to do when the worker dies.
//!
//! A GPU that is lost once is likely to be lost again, so the next worker stays on the CPU. A CPU worker that dies
//! is started again a few times, because the peers keep the story; after that this device only watches.

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
