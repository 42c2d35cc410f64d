//! The worker in a browser: a dedicated Web Worker, seen from the page, started again when it dies.
//!
//! `app/worker_boot.js` fetches the worker's wasm and posts the bytes so far as numbers. Then Rust takes over: it
//! posts the string "up", and from there on postcard bytes in both directions. A panic posts its text as a string
//! before it traps, because a trap inside a promise reaches no error handler of the page.

use super::restart::{Next, Restarts, resume};
use super::source::is_own;
use super::swarm::Errand;
use super::{Adapters, Compute, Means, ModelSource, Report, Request, asked, own_files};
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use js_sys::Uint8Array;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ErrorEvent, MessageEvent, WorkerOptions, WorkerType};

/// What the worker posts when its wasm runs and listens.
pub const UP: &str = "up";

/// The page's end of the worker.
pub struct WebCompute {
    /// The models and the device that it started with.
    first: (Means, bool),
    means: Means,
    /// What its model computes with now.
    worn: Adapters,
    restarts: Restarts,
    worker: Worker,
    /// Requests made before the worker listens.
    waiting: Option<Vec<Request>>,
}

struct Worker {
    handle: Option<web_sys::Worker>,
    messages: UnboundedReceiver<Message>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

enum Message {
    Fetched(u64),
    Up,
    Report(Report),
    Died(String),
}

impl WebCompute {
    /// Starts a worker on these models.
    #[must_use]
    pub fn start(means: Means, gpu: bool) -> Self {
        let boot = Request::Boot { gpu, means: means.clone(), notice: None };
        let (first, worn) = ((means.clone(), gpu), means.adapters.clone());
        Self {
            first,
            means,
            worn,
            restarts: Restarts::new(gpu),
            worker: Worker::spawn(),
            waiting: Some(vec![boot]),
        }
    }

    fn up(&mut self) {
        for request in self.waiting.take().unwrap_or_default() {
            self.worker.post(&request);
        }
    }

    fn restart(&mut self, cause: &str) -> Report {
        match self.restarts.died(cause) {
            Next::OnCpu(notice) => {
                self.worker = Worker::spawn();
                let (means, later) = resume(&self.means, &self.worn);
                let boot = Request::Boot { gpu: false, means, notice: Some(notice.clone()) };
                self.waiting = Some(std::iter::once(boot).chain(later).collect());
                Report::Lost(notice)
            }
            Next::GiveUp(why) => {
                self.worker.stop();
                Report::Failed(why)
            }
        }
    }
}

#[async_trait::async_trait(?Send)]
impl Compute for WebCompute {
    fn ask(&mut self, request: Request) {
        // The next worker keeps as much.
        if let Request::Swarm(Errand::Allow(quota)) = &request {
            self.first.0.keep.quota = Some(*quota);
            self.means.keep.quota = Some(*quota);
        }
        match &mut self.waiting {
            Some(waiting) => waiting.push(request),
            None => self.worker.post(&request),
        }
    }

    fn open(&mut self, model: Option<ModelSource>) {
        let first = self.first.0.clone();
        self.means = Means { chosen: model.or(first.chosen), ..first };
        self.worn.clone_from(&self.means.adapters);
        let (gpu, means) = (self.first.1, self.means.clone());
        // What another model did to its workers does not count against this one.
        self.restarts = Restarts::new(gpu);
        self.worker = Worker::spawn();
        self.waiting = Some(vec![Request::Boot { gpu, means, notice: None }]);
    }

    async fn next(&mut self) -> Report {
        loop {
            match self.worker.messages.next().await {
                Some(Message::Fetched(done)) => {
                    return Report::Progress { what: "Fetching the engine".into(), done, total: 0 };
                }
                Some(Message::Up) => self.up(),
                Some(Message::Report(report)) => {
                    if let Report::Ready { worn, .. } = &report {
                        self.worn = asked(worn);
                    }
                    return report;
                }
                Some(Message::Died(cause)) => return self.restart(&cause),
                None => futures::future::pending().await,
            }
        }
    }
}

impl Worker {
    fn spawn() -> Self {
        let (sender, messages) = unbounded();
        let on_message = on_message(sender.clone());
        let on_error = on_error(sender.clone());
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let handle = match web_sys::Worker::new_with_options(&boot_script(), &options) {
            Ok(worker) => {
                worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
                worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
                Some(worker)
            }
            Err(error) => {
                let _ = sender.unbounded_send(Message::Died(format!("no worker can be started: {error:?}")));
                None
            }
        };
        Self { handle, messages, _on_message: on_message, _on_error: on_error }
    }

    fn post(&self, request: &Request) {
        let Some(worker) = &self.handle else { return };
        let own = |adapters: &Adapters| adapters.iter().any(|(source, _)| is_own(source));
        let names_files = match request {
            Request::Boot { means, .. } => means.chosen.as_ref().is_some_and(|source| is_own(source)),
            Request::Fit(adapters) | Request::Adapt(adapters) => own(adapters),
            _ => false,
        };
        let posted = postcard::to_stdvec(request).map(|bytes| {
            let bytes = Uint8Array::from(bytes.as_slice());
            if names_files {
                worker.post_message(&own_files::with_files(&bytes))
            } else {
                worker.post_message(&bytes)
            }
        });
        if !matches!(posted, Ok(Ok(()))) {
            tracing::error!("a request could not be posted to the compute worker");
        }
    }

    fn stop(&mut self) {
        if let Some(worker) = self.handle.take() {
            worker.set_onmessage(None);
            worker.set_onerror(None);
            worker.terminate();
        }
    }
}

/// The worker's script, of the build that this page is of (see `app/stamp.sh`): another one may be out by now.
fn boot_script() -> String {
    let document = web_sys::window().and_then(|window| window.document());
    let meta = document.and_then(|document| document.query_selector("meta[name=version]").ok().flatten());
    let version = meta.and_then(|meta| meta.get_attribute("content")).unwrap_or_default();
    format!("./worker_boot.js?v={version}")
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn on_message(sender: UnboundedSender<Message>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| {
        let _ = sender.unbounded_send(parse(&event.data()));
    })
}

fn on_error(sender: UnboundedSender<Message>) -> Closure<dyn FnMut(ErrorEvent)> {
    Closure::new(move |event: ErrorEvent| {
        event.prevent_default();
        let _ = sender.unbounded_send(Message::Died(event.message()));
    })
}

fn parse(data: &JsValue) -> Message {
    if let Some(done) = data.as_f64() {
        return Message::Fetched(done as u64);
    }
    match data.as_string() {
        Some(text) if text == UP => Message::Up,
        Some(cause) => Message::Died(cause),
        None => {
            let report =
                data.dyn_ref::<Uint8Array>().and_then(|bytes| postcard::from_bytes(&bytes.to_vec()).ok());
            report
                .map_or_else(|| Message::Died("the worker sent something unreadable".into()), Message::Report)
        }
    }
}
