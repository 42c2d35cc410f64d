//! The worker's own loop, the same in a Web Worker and on a thread: requests in, reports out, one at a time.

mod batch;
mod language;
pub(crate) mod model;
mod text;

use super::files::Files;
use super::source::quantised;
use super::{ModelSource, Report, Request};
use coordinator::io::Part;
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kernels::device;
use model::Model;
use std::collections::VecDeque;
use text::{Begin, Texts};

/// Works until the requests end (None) or the device is lost (its cause): everything here is gone then, and a new
/// worker has to be started.
pub async fn run<F: Files>(
    mut requests: UnboundedReceiver<Request>,
    files: impl Fn(&str) -> F,
    report: impl Fn(Report),
) -> Option<String> {
    let (gpu, source, notice) = loop {
        // Anything else was asked of the worker before this one: whoever asked learns that it is gone and asks again.
        if let Request::Boot { gpu, model, notice } = requests.next().await? {
            break (gpu, model, notice);
        }
    };
    match boot(gpu, &source, notice, files(quantised(&source).0), &report).await {
        Ok(worker) => worker.work(requests, report).await,
        Err(why) => {
            report(Report::Failed(why));
            None
        }
    }
}

async fn boot<F: Files>(
    gpu: bool,
    source: &ModelSource,
    notice: Option<String>,
    files: F,
    report: &impl Fn(Report),
) -> Result<Worker<F>, String> {
    let loading = |what: &str| report(Report::Progress { what: what.into(), done: 0, total: 0 });
    loading("Opening the device");
    let opened = device::open(if gpu { device::Prefer::Gpu } else { device::Prefer::Cpu }).await;
    let (adapter, notice) = (opened.adapter.clone(), notice.or_else(|| opened.notice.clone()));
    loading("Reading the model's description");
    let (model, language) = Model::open(source, files, opened).await?;
    loading("Measuring this device");
    let offers = vec![model.offer().await?];
    // One that cannot be read is to be said when it is needed.
    let chat = !matches!(language.template, Ok(None));
    report(Report::Ready { adapter, notice, capability: model.capability(), offers, chat });
    Ok(Worker { model, texts: Texts::new(language), waiting: VecDeque::new() })
}

struct Worker<F> {
    model: Model<F>,
    texts: Texts,
    waiting: VecDeque<Request>,
}

impl<F: Files> Worker<F> {
    async fn work(
        mut self,
        mut requests: UnboundedReceiver<Request>,
        report: impl Fn(Report),
    ) -> Option<String> {
        loop {
            if self.waiting.is_empty() {
                let request = requests.next().await?;
                self.enqueue(request);
            }
            while let Ok(request) = requests.try_recv() {
                self.enqueue(request);
            }
            let Some(request) = self.waiting.pop_front() else { continue };
            if let Err(lost) = self.answer(request, &report).await {
                return Some(lost);
            }
        }
    }

    /// Forgetting takes effect at once, and people's text goes before computing; the rest keeps its order.
    fn enqueue(&mut self, request: Request) {
        match request {
            Request::Forget(job, lease) => {
                self.waiting.retain(|waiting| !matches!(waiting, Request::Run(chunk) if (chunk.job, chunk.lease) == (job, lease)));
                self.model.engine.forget(&(job, lease));
            }
            Request::Encode { .. } | Request::Begin { .. } | Request::Decode { .. } => {
                let texts = |waiting: &&Request| {
                    matches!(waiting, Request::Encode { .. } | Request::Begin { .. } | Request::Decode { .. })
                };
                let after = self.waiting.iter().take_while(texts).count();
                self.waiting.insert(after, request);
            }
            other => self.waiting.push_back(other),
        }
    }

    async fn answer(&mut self, request: Request, report: &impl Fn(Report)) -> Result<(), String> {
        match request {
            Request::Load(part) => report(self.load(part, report).await),
            Request::Unload(part) => self.model.unload(part),
            Request::Run(chunk) => {
                let more = batch::beside(&chunk, &mut self.waiting, self.model.spec().hidden_bytes);
                let chunks: Vec<_> = std::iter::once(chunk).chain(more).collect();
                batch::run(&mut self.model, &chunks).await?.into_iter().for_each(report);
            }
            Request::Encode { ticket, prompt, sampling } => {
                report(Report::Encoded { ticket, tokens: self.texts.encode(&prompt, &sampling) });
            }
            Request::Begin { job, prompt, stops, tokens, last } => {
                report(self.texts.decode(job, Some(Begin { prompt, stops }), &tokens, last));
            }
            Request::Decode { job, tokens, last } => report(self.texts.decode(job, None, &tokens, last)),
            Request::Boot { .. } | Request::Forget(..) => {}
        }
        Ok(())
    }

    async fn load(&mut self, part: Part, report: &impl Fn(Report)) -> Report {
        let progress = |done, total| {
            report(Report::Progress {
                what: format!("Loading layers {}–{}", part.layers.start + 1, part.layers.end),
                done,
                total,
            });
        };
        match self.model.load(part, progress).await {
            Ok(()) => Report::Loaded(part),
            Err(why) => Report::LoadFailed(part, why),
        }
    }
}
