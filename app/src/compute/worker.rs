//! The worker's own loop, the same in a Web Worker and on a thread: requests in, reports out, one at a time. The keeper of
//! weights goes on whenever this loop waits.

mod adapting;
mod batch;
mod boot;
mod image;
mod language;
mod memory;
pub(crate) mod model;
pub(crate) mod painter;
mod reading;
mod text;
mod wardrobe;

use super::files::{Bringing, Brought, Files};
use super::keeper::Keeper;
use super::swarm::Keep;
use super::{Report, Request};
use crate::store::{BlockStore, StoreError};
use adapting::Fitting;
use boot::{Told, boot};
use coordinator::ModelId;
use coordinator::io::{Chunk, Part, Task};
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use futures::future::{AbortHandle, Abortable, FusedFuture, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, select};
use model::Model;
use painter::Painter;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use text::{Begin, Texts};
use wardrobe::{Dressed, Wardrobe};

/// Works until the requests end (None) or the device is lost (its cause): everything here is gone then, and a new
/// worker has to be started. `files` finds what lies beside a source, `store` opens what keeps blocks of weights.
pub async fn run<F: Files + 'static, S: BlockStore + 'static>(
    mut requests: UnboundedReceiver<Request>,
    files: impl Fn(&str) -> F + 'static,
    store: impl AsyncFnOnce(&Keep) -> Result<S, StoreError>,
    report: impl Fn(Report) + 'static,
) -> Option<String> {
    let (gpu, means, notice) = loop {
        // Anything else was asked of the worker before this one: whoever asked learns that it is gone and asks again.
        if let Request::Boot { gpu, means, notice } = requests.next().await? {
            break (gpu, means, notice);
        }
    };
    let report: Rc<dyn Fn(Report)> = Rc::new(report);
    let store = match store(&means.keep).await {
        Ok(store) => store,
        Err(why) => {
            report(Report::Failed(format!("no place for weights: {why}")));
            return None;
        }
    };
    let keeper = Keeper::new(store, &means, files, report.clone());
    let (errands, for_keeper) = unbounded();
    let (work, for_worker) = unbounded();
    // Whoever is asked first looks at everything that has come, before the others go on.
    let sort = async move {
        while let Some(request) = requests.next().await {
            let _ = match request {
                Request::Swarm(errand) => errands.unbounded_send(errand).is_ok(),
                other => work.unbounded_send(other).is_ok(),
            };
        }
        None
    };
    let keep = async {
        keeper.run(for_keeper).await;
        None
    };
    let work = async {
        match boot(gpu, means, notice, &keeper, &*report).await {
            Ok(worker) => worker.work(for_worker, &*report).await,
            Err(why) => {
                report(Report::Failed(why));
                None
            }
        }
    };
    let (sort, keep, work) = (pin!(sort.fuse()), pin!(keep.fuse()), pin!(work.fuse()));
    together(sort, keep, work).await
}

/// All three, each as far as it gets, until the work ends.
async fn together(
    mut sort: impl FusedFuture<Output = Option<String>> + Unpin,
    mut keep: impl FusedFuture<Output = Option<String>> + Unpin,
    mut work: impl FusedFuture<Output = Option<String>> + Unpin,
) -> Option<String> {
    poll_fn(|cx| {
        if !sort.is_terminated() {
            let _ = sort.poll_unpin(cx);
        }
        if !keep.is_terminated() {
            let _ = keep.poll_unpin(cx);
        }
        work.poll_unpin(cx)
    })
    .await
}

/// Lets the others go on.
async fn pause() {
    let mut paused = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What writes.
struct Writer<F> {
    model: Model<F>,
    texts: Texts,
    wardrobe: Wardrobe<F>,
}

struct Worker<F> {
    writer: Option<Writer<F>>,
    painter: Option<Painter<F>>,
    told: Option<Told>,
    waiting: VecDeque<Request>,
    /// Adapters on their way, with the number of the request for them.
    fitting: FuturesUnordered<LocalBoxFuture<'static, Fitting<F>>>,
    /// Those that came last and are not on yet: their files stay near.
    tried: Vec<Dressed<F>>,
    /// The number of the newest such request: the others are of no interest any more.
    fits: u32,
    /// Parts whose weights are on their way.
    bringing: FuturesUnordered<Abortable<LocalBoxFuture<'static, (Part, Brought)>>>,
    parts: Vec<Held>,
    /// Keeps the weights of parts near that were loaded before the adapters changed, until they are loaded again.
    before: Vec<Brought>,
}

/// A part that is loaded, or on its way.
struct Held {
    part: Part,
    /// Ends the way here.
    coming: AbortHandle,
    /// Keeps its weights near.
    near: Option<Brought>,
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

impl<F: Files + 'static> Worker<F> {
    async fn work(
        mut self,
        mut requests: UnboundedReceiver<Request>,
        report: &dyn Fn(Report),
    ) -> Option<String> {
        loop {
            if self.waiting.is_empty() {
                select! {
                    request = requests.next() => self.enqueue(request?),
                    fitting = self.fitting.select_next_some() => self.fitted(fitting, report),
                    came = self.bringing.select_next_some() => {
                        if let Ok((part, near)) = came {
                            self.came(part, near, report).await;
                        }
                    }
                }
            } else {
                pause().await;
            }
            while let Ok(request) = requests.try_recv() {
                self.enqueue(request);
            }
            let Some(request) = self.waiting.pop_front() else { continue };
            if let Err(lost) = self.answer(request, report).await {
                return Some(lost);
            }
            if let Some(Some(fitting)) = self.fitting.next().now_or_never() {
                self.fitted(fitting, report);
            }
            if let Some(Some(Ok((part, near)))) = self.bringing.next().now_or_never() {
                self.came(part, near, report).await;
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

    async fn answer(&mut self, request: Request, report: &dyn Fn(Report)) -> Result<(), String> {
        match request {
            Request::Load(part) => match self.bring(part) {
                Some(bringing) => {
                    let (coming, registration) = AbortHandle::new_pair();
                    self.parts.push(Held { part, coming, near: None });
                    let bringing = bringing.map(move |near| (part, near)).boxed_local();
                    self.bringing.push(Abortable::new(bringing, registration));
                }
                None => {
                    let loaded = self.load(part, report).await;
                    self.before.clear();
                    report(loaded);
                }
            },
            Request::Fit(adapters) => self.fit(adapters, false, report),
            Request::Adapt(adapters) => self.fit(adapters, true, report),
            Request::Unload(part) => {
                if let Some(index) = self.parts.iter().position(|held| held.part == part) {
                    self.parts.swap_remove(index).coming.abort();
                }
                match self.painter_of(part) {
                    Some(painter) => painter.unload(part),
                    None => self.writer.iter_mut().for_each(|writer| writer.model.unload(part)),
                }
            }
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
            Request::Boot { .. } | Request::Forget(..) | Request::Swarm(_) => {}
        }
        Ok(())
    }

    fn text(&mut self, decode: impl FnOnce(&mut Texts) -> Report, report: &dyn Fn(Report)) {
        if let Some(writer) = &mut self.writer {
            report(decode(&mut writer.texts));
        }
    }

    fn painter_of(&mut self, part: Part) -> Option<&mut Painter<F>> {
        self.painter.as_mut().filter(|painter| painter.id() == part.model)
    }

    /// What paints with that model; only it knows what a latent of it is.
    fn painter_like(&self, model: ModelId) -> Result<&Painter<F>, String> {
        let painter = self.painter.as_ref().filter(|painter| painter.id() == model);
        painter.ok_or_else(|| "this device paints with another model and cannot show this picture".into())
    }

    async fn compute(&mut self, chunk: Chunk, report: &dyn Fn(Report)) -> Result<(), String> {
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

    /// Brings the weights of a part near; None if they are, or if nothing can be brought.
    fn bring(&self, part: Part) -> Option<Bringing> {
        let painter = self.painter.as_ref().filter(|painter| painter.id() == part.model);
        match (painter, &self.writer) {
            (Some(painter), _) => painter.bring(part),
            (None, Some(writer)) => writer.model.bring(part),
            (None, None) => None,
        }
    }

    /// The weights of a part are near.
    async fn came(&mut self, part: Part, near: Brought, report: &dyn Fn(Report)) {
        let held = self.parts.iter_mut().find(|held| held.part == part && held.near.is_none());
        let Some(held) = held else { return };
        held.near = Some(near);
        let loaded = self.load(part, report).await;
        self.before.clear();
        if let Report::LoadFailed(..) = loaded {
            self.parts.retain(|held| held.part != part);
        }
        report(loaded);
    }

    async fn load(&mut self, part: Part, report: &dyn Fn(Report)) -> Report {
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
