//! The worker's own loop, the same in a Web Worker and on a thread: requests in, reports out, one at a time.

mod model;
mod text;

use super::files::Files;
use super::{ModelSource, Report, Request};
use crate::sampling::Sampling;
use coordinator::io::{Chunk, ChunkInput, ChunkOutput};
use coordinator::{JobId, Layers, Lease};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kernels::engine::{Input, Step, StepOut};
use kernels::{Error, device};
use model::Model;
use std::collections::VecDeque;
use text::Texts;

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
    match boot(gpu, &source, notice, files(&source), &report).await {
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
    let (model, tokenizer) = Model::open(source, files, opened).await?;
    loading("Measuring this device");
    let capability = model.capability().await?;
    report(Report::Ready { adapter, notice, capability, model: model.spec() });
    Ok(Worker { model, texts: Texts::new(tokenizer), waiting: VecDeque::new() })
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
            Request::Encode { .. } | Request::Decode { .. } => {
                let texts =
                    |waiting: &&Request| matches!(waiting, Request::Encode { .. } | Request::Decode { .. });
                let after = self.waiting.iter().take_while(texts).count();
                self.waiting.insert(after, request);
            }
            other => self.waiting.push_back(other),
        }
    }

    async fn answer(&mut self, request: Request, report: &impl Fn(Report)) -> Result<(), String> {
        match request {
            Request::Load(layers) => report(self.load(layers, report).await),
            Request::Unload(layers) => self.model.unload(layers),
            Request::Run(chunk) => report(self.run(chunk).await?),
            Request::Encode { ticket, text, sampling } => {
                report(Report::Encoded { ticket, tokens: self.texts.encode(&text, sampling) });
            }
            Request::Decode { job, prompt, from, tokens, last } => {
                report(self.texts.decode(job, &prompt, from, &tokens, last));
            }
            Request::Boot { .. } | Request::Forget(..) => {}
        }
        Ok(())
    }

    async fn load(&mut self, layers: Layers, report: &impl Fn(Report)) -> Report {
        let progress = |done, total| {
            report(Report::Progress {
                what: format!("Loading layers {}–{}", layers.start + 1, layers.end),
                done,
                total,
            });
        };
        match self.model.load(layers, progress).await {
            Ok(()) => Report::Loaded(layers),
            Err(why) => Report::LoadFailed(layers, why),
        }
    }

    /// A refused step is the coordinator's business; a failed device is the end of this worker.
    async fn run(&mut self, chunk: Chunk) -> Result<Report, String> {
        let (job, lease, position) = (chunk.job, chunk.lease, chunk.position);
        let sampling = match chunk.sample.as_deref().map(settings).transpose() {
            Ok(sampling) => sampling,
            Err(why) => return Ok(Report::Ran { job, lease, position, result: Err(why) }),
        };
        let result = match self.model.engine.run(step(&chunk, sampling.as_deref())).await {
            Ok(output) => Ok(to_output(output)),
            Err(Error::Device(cause)) => return Err(cause),
            Err(error) => Err(error.to_string()),
        };
        Ok(Report::Ran { job, lease, position, result })
    }
}

/// A peer's settings in the engine's own form; they may be hostile.
fn settings(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let settings = Sampling::from_bytes(bytes).ok_or("the sampling settings are not readable")?;
    text::to_kernels(settings).to_bytes().map_err(|error| error.to_string())
}

fn step<'a>(chunk: &'a Chunk, sample: Option<&'a [u8]>) -> Step<'a, (JobId, Lease)> {
    Step {
        session: (chunk.job, chunk.lease),
        layers: model::range(chunk.layers),
        position: chunk.position as usize,
        input: match &chunk.input {
            ChunkInput::Tokens(tokens) => Input::Tokens(tokens),
            ChunkInput::Hidden(bytes) => Input::Hidden(bytes),
        },
        sample,
    }
}

fn to_output(output: StepOut) -> ChunkOutput {
    match output {
        StepOut::Hidden(bytes) => ChunkOutput::Hidden(bytes),
        StepOut::Token { token, end } => ChunkOutput::Token { token, end },
        StepOut::Nothing => ChunkOutput::Nothing,
    }
}
