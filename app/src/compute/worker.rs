//! The worker's own loop, the same in a Web Worker and on a thread: requests in, reports out, one at a time.

mod batch;
mod image;
mod language;
mod memory;
pub(crate) mod model;
pub(crate) mod painter;
mod reading;
mod text;

use super::files::Files;
use super::source::quantised;
use super::{Means, Report, Request};
use coordinator::io::{Chunk, Part, Task};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kernels::device::{self, Opened};
use model::Model;
use painter::Painter;
use std::collections::VecDeque;
use text::{Begin, Texts};

/// Works until the requests end (None) or the device is lost (its cause): everything here is gone then, and a new
/// worker has to be started.
pub async fn run<F: Files>(
    mut requests: UnboundedReceiver<Request>,
    files: impl Fn(&str) -> F,
    report: impl Fn(Report),
) -> Option<String> {
    let (gpu, means, notice) = loop {
        // Anything else was asked of the worker before this one: whoever asked learns that it is gone and asks again.
        if let Request::Boot { gpu, means, notice } = requests.next().await? {
            break (gpu, means, notice);
        }
    };
    match boot(gpu, means, notice, files, &report).await {
        Ok(worker) => worker.work(requests, report).await,
        Err(why) => {
            report(Report::Failed(why));
            None
        }
    }
}

async fn boot<F: Files>(
    gpu: bool,
    means: Means,
    notice: Option<String>,
    files: impl Fn(&str) -> F,
    report: &impl Fn(Report),
) -> Result<Worker<F>, String> {
    let loading = |what: &str| report(Report::Progress { what: what.into(), done: 0, total: 0 });
    loading("Opening the device");
    let opened = device::open(if gpu { device::Prefer::Gpu } else { device::Prefer::Cpu }).await;
    let (adapter, kind) = (opened.adapter.clone(), opened.kind);
    let mut notices: Vec<String> = notice.or_else(|| opened.notice.clone()).into_iter().collect();
    loading("Reading the models' descriptions");
    let memory = means.memory;
    let worker = open(means, files, opened, &mut notices).await?;
    loading("Measuring this device");
    let mut offers = Vec::new();
    if let Some(writer) = &worker.writer {
        offers.push(writer.model.offer().await?);
    }
    if let Some(painter) = &worker.painter {
        offers.push(painter.offer().await?);
    }
    // A template that cannot be read is to be said when it is needed.
    let chat = worker.writer.as_ref().is_some_and(|writer| writer.texts.knows_conversations());
    let easel = worker.painter.as_ref().map(Painter::easel);
    let notice = (!notices.is_empty()).then(|| notices.join(" "));
    let capability = memory::capability(kind, memory);
    report(Report::Ready { adapter, notice, capability, offers, chat, easel });
    Ok(worker)
}

/// The models. Without the one that a person chose there is no worker; the room does without another.
async fn open<F: Files>(
    means: Means,
    files: impl Fn(&str) -> F,
    opened: Opened,
    notices: &mut Vec<String>,
) -> Result<Worker<F>, String> {
    let Means { mut text, mut pictures, chosen, adapters, .. } = means;
    let files = |source: &str| files(quantised(source).0);
    let mut must_paint = text.is_none();
    if let Some(source) = chosen {
        let gguf = super::source::gguf_name(quantised(&source).0).is_some();
        if !gguf && painter::paints(&files(&source)).await {
            (pictures, must_paint) = (Some(source), true);
        } else {
            text = Some(source);
        }
    }
    let writer = match text {
        Some(source) => {
            let (mut model, language) = Model::open(&source, files(&source), opened.clone()).await?;
            for (folder, weight) in adapters {
                model.adapt(&folder, files(&folder), weight).await?;
            }
            Some(Writer { model, texts: Texts::new(language) })
        }
        None => None,
    };
    let painter = match pictures {
        Some(source) => match Painter::open(&source, files(&source), opened).await {
            Ok(painter) => Some(painter),
            Err(why) if must_paint => return Err(why),
            Err(why) => {
                notices.push(format!("This device does not paint: {why}."));
                None
            }
        },
        None => None,
    };
    Ok(Worker { writer, painter, waiting: VecDeque::new() })
}

/// What writes.
struct Writer<F> {
    model: Model<F>,
    texts: Texts,
}

struct Worker<F> {
    writer: Option<Writer<F>>,
    painter: Option<Painter<F>>,
    waiting: VecDeque<Request>,
}

/// What a person waits for that takes no time.
const fn is_quick(request: &Request) -> bool {
    matches!(
        request,
        Request::Encode { .. }
            | Request::Begin { .. }
            | Request::Decode { .. }
            | Request::Order { .. }
            | Request::Preview(_)
            | Request::Assemble(_)
    )
}

const NO_WRITER: &str = "this device has no model that writes";
const NO_PAINTER: &str = "this device has no model that paints";

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

    /// Forgetting takes effect at once, and what people look at goes before computing; the rest keeps its order.
    fn enqueue(&mut self, request: Request) {
        match request {
            Request::Forget(job, lease) => {
                self.waiting.retain(|waiting| !matches!(waiting, Request::Run(chunk) if (chunk.job, chunk.lease) == (job, lease)));
                self.writer.iter_mut().for_each(|writer| writer.model.engine.forget(&(job, lease)));
                self.painter.iter_mut().for_each(|painter| painter.forget((job, lease)));
            }
            request if is_quick(&request) => {
                let after = self.waiting.iter().take_while(|waiting| is_quick(waiting)).count();
                self.waiting.insert(after, request);
            }
            other => self.waiting.push_back(other),
        }
    }

    async fn answer(&mut self, request: Request, report: &impl Fn(Report)) -> Result<(), String> {
        match request {
            Request::Load(part) => report(self.load(part, report).await),
            Request::Unload(part) => match self.painter_of(part) {
                Some(painter) => painter.unload(part),
                None => self.writer.iter_mut().for_each(|writer| writer.model.unload(part)),
            },
            Request::Run(chunk) => self.compute(chunk, report).await?,
            Request::Order { ticket, request } => {
                let painter = self.painter.as_ref().ok_or_else(|| NO_PAINTER.to_owned());
                report(Report::Ordered {
                    ticket,
                    shape: painter.and_then(|painter| painter.order(&request)),
                });
            }
            Request::Preview(canvas) => {
                let image = self.painter_like(canvas.model).and_then(|painter| painter.preview(&canvas));
                report(Report::Image { job: canvas.job, unit: canvas.unit, whole: false, image });
            }
            Request::Assemble(canvas) => {
                let image = self.painter_like(canvas.model).and_then(|painter| painter.assemble(&canvas));
                report(Report::Image { job: canvas.job, unit: canvas.unit, whole: true, image });
            }
            Request::Encode { ticket, prompt, sampling } => {
                let writer = self.writer.as_ref().ok_or_else(|| NO_WRITER.to_owned());
                let tokens = writer.and_then(|writer| writer.texts.encode(&prompt, &sampling));
                report(Report::Encoded { ticket, tokens });
            }
            Request::Begin { job, prompt, stops, tokens, last } => {
                self.text(|texts| texts.decode(job, Some(Begin { prompt, stops }), &tokens, last), report);
            }
            Request::Decode { job, tokens, last } => {
                self.text(|texts| texts.decode(job, None, &tokens, last), report);
            }
            Request::Boot { .. } | Request::Forget(..) => {}
        }
        Ok(())
    }

    fn text(&mut self, decode: impl FnOnce(&mut Texts) -> Report, report: &impl Fn(Report)) {
        if let Some(writer) = &mut self.writer {
            report(decode(&mut writer.texts));
        }
    }

    fn painter_of(&mut self, part: Part) -> Option<&mut Painter<F>> {
        self.painter.as_mut().filter(|painter| painter.id() == part.model)
    }

    /// What paints with that model; only it knows what a latent of it is.
    fn painter_like(&self, model: coordinator::ModelId) -> Result<&Painter<F>, String> {
        let painter = self.painter.as_ref().filter(|painter| painter.id() == model);
        painter.ok_or_else(|| "this device paints with another model and cannot show this picture".into())
    }

    async fn compute(&mut self, chunk: Chunk, report: &impl Fn(Report)) -> Result<(), String> {
        let (job, lease, number) = (chunk.job, chunk.lease, chunk.number);
        let result = match (&chunk.task, &mut self.writer, &mut self.painter) {
            (Task::Pass { .. }, Some(writer), _) => {
                let model = &mut writer.model;
                let more = batch::beside(&chunk, &mut self.waiting, model.spec().hidden_bytes);
                let chunks: Vec<_> = std::iter::once(chunk).chain(more).collect();
                batch::run(model, &chunks).await?.into_iter().for_each(report);
                return Ok(());
            }
            (Task::Piece { .. }, _, Some(painter)) if painter.id() == chunk.model => {
                painter.run(&chunk, &|| report(Report::Working)).await?
            }
            (Task::Pass { .. }, None, _) => Err(NO_WRITER.into()),
            (Task::Piece { .. }, ..) => Err(NO_PAINTER.into()),
        };
        report(Report::Ran { job, lease, number, result });
        Ok(())
    }

    async fn load(&mut self, part: Part, report: &impl Fn(Report)) -> Report {
        let what = |name: &str| format!("Loading {name} {}–{}", part.layers.start + 1, part.layers.end);
        let progress = |name: &'static str| {
            move |done, total| report(Report::Progress { what: what(name), done, total })
        };
        let loaded = match (self.painter.as_mut().filter(|it| it.id() == part.model), &mut self.writer) {
            (Some(painter), _) => painter.load(part, progress("the painter's blocks")).await,
            (None, Some(writer)) => writer.model.load(part, progress("layers")).await,
            (None, None) => Err(NO_WRITER.into()),
        };
        match loaded {
            Ok(()) => Report::Loaded(part),
            Err(why) => Report::LoadFailed(part, why),
        }
    }
}
