//! The worker natively: a thread, watched and started again when it dies.

use super::files::Place;
use super::restart::{Next, Restarts, resume};
use super::swarm::{Errand, Keep};
use super::{Adapters, Compute, Means, ModelSource, Report, Request, asked, worker};
use crate::store::{FileStore, MemoryStore, StoreError, limits};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::Either;
use kernels::ops::threads;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A worker on a thread of its own.
pub struct NativeCompute {
    /// The models and the device that it started with.
    first: (Means, bool),
    threads: usize,
    means: Means,
    /// What its model computes with now.
    worn: Adapters,
    restarts: Restarts,
    requests: UnboundedSender<Request>,
    reports: UnboundedReceiver<Message>,
}

enum Message {
    Report(Report),
    Died(String),
}

impl NativeCompute {
    /// Starts a worker on these models; on the CPU, `threads` threads compute.
    #[must_use]
    pub fn start(means: Means, gpu: bool, threads: usize) -> Self {
        let (requests, reports) = spawn(&means, gpu, threads, None);
        let (first, worn) = ((means.clone(), gpu), means.adapters.clone());
        Self { first, threads, means, worn, restarts: Restarts::new(gpu), requests, reports }
    }

    fn restart(&mut self, cause: &str) -> Report {
        match self.restarts.died(cause) {
            Next::OnCpu(notice) => {
                let (means, later) = resume(&self.means, &self.worn);
                (self.requests, self.reports) = spawn(&means, false, self.threads, Some(notice.clone()));
                later.into_iter().for_each(|request| self.ask(request));
                Report::Lost(notice)
            }
            Next::GiveUp(why) => Report::Failed(why),
        }
    }
}

#[async_trait::async_trait(?Send)]
impl Compute for NativeCompute {
    fn ask(&mut self, request: Request) {
        // The next worker keeps as much.
        if let Request::Swarm(Errand::Allow(quota)) = &request {
            self.first.0.keep.quota = Some(*quota);
            self.means.keep.quota = Some(*quota);
        }
        // A dead worker is noticed by its last message; what was asked of it is asked again by the coordinator.
        let _ = self.requests.unbounded_send(request);
    }

    fn open(&mut self, model: Option<ModelSource>) {
        let first = self.first.0.clone();
        self.means = Means { chosen: model.or(first.chosen), ..first };
        self.worn.clone_from(&self.means.adapters);
        // What another model did to its workers does not count against this one.
        self.restarts = Restarts::new(self.first.1);
        // The old worker ends once nobody asks it any more.
        (self.requests, self.reports) = spawn(&self.means, self.first.1, self.threads, None);
    }

    async fn next(&mut self) -> Report {
        match self.reports.next().await {
            Some(Message::Report(report)) => {
                if let Report::Ready { worn, .. } = &report {
                    self.worn = asked(worn);
                }
                report
            }
            Some(Message::Died(cause)) => self.restart(&cause),
            None => futures::future::pending().await,
        }
    }
}

fn spawn(
    means: &Means,
    gpu: bool,
    threads: usize,
    notice: Option<String>,
) -> (UnboundedSender<Request>, UnboundedReceiver<Message>) {
    let (requests, incoming) = unbounded();
    let (outgoing, reports) = unbounded();
    let _ = requests.unbounded_send(Request::Boot { gpu, means: means.clone(), notice });
    let body = move || {
        // Whether there is a GPU turns out later. Beside one, the helpers sleep.
        if let Err(error) = threads::take(threads) {
            tracing::warn!(%error, "one thread computes");
        }
        let reports = outgoing.clone();
        let send = move |report| {
            let _ = reports.unbounded_send(Message::Report(report));
        };
        let run = || futures::executor::block_on(worker::run(incoming, Place::of, store, send));
        let cause = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(None) => return,
            Ok(Some(cause)) => cause,
            Err(panic) => panic_text(&*panic),
        };
        let _ = outgoing.unbounded_send(Message::Died(cause));
    };
    if let Err(error) = std::thread::Builder::new().name("compute".into()).spawn(body) {
        tracing::error!(%error, "cannot start the compute thread");
    }
    (requests, reports)
}

/// Blocks of weights in a folder, or in memory.
async fn store(keep: &Keep) -> Result<Either<FileStore, MemoryStore>, StoreError> {
    let quota = |most: u64| keep.quota.unwrap_or(most);
    Ok(match &keep.folder {
        Some(folder) => Either::Left(FileStore::open(Path::new(folder), quota(limits::QUOTA_BYTES))?),
        None => Either::Right(MemoryStore::new(quota(limits::MEMORY_BYTES))),
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the worker stopped").to_owned()
}
