//! From a request to a worker that is ready: the device, its models, and what the room is told of both.

use super::model::Model;
use super::painter::{self, Painter};
use super::text::Texts;
use super::wardrobe::{Find, Wardrobe};
use super::{Worker, Writer, memory};
use crate::compute::files::Files;
use crate::compute::keeper::{Keeper, Source};
use crate::compute::source::{gguf_name, quantised};
use crate::compute::{Means, Report};
use crate::store::BlockStore;
use coordinator::io::{Capability, Offer};
use futures::FutureExt;
use futures::stream::FuturesUnordered;
use kernels::device::{self, Opened};
use std::collections::VecDeque;
use std::rc::Rc;

/// What the room was told of the device, and is told again when the model that writes has changed.
pub struct Told {
    adapter: String,
    notice: Option<String>,
    capability: Capability,
    paints: Option<Offer>,
}

/// Opens the device and the models, and says what they can do.
///
/// # Errors
/// In plain words, if nothing can be computed here.
pub async fn boot<F: Files + 'static, S: BlockStore + 'static>(
    gpu: bool,
    means: Means,
    notice: Option<String>,
    keeper: &Rc<Keeper<F, S>>,
    report: &dyn Fn(Report),
) -> Result<Worker<Source<F, S>>, String> {
    let loading = |what: &str| report(Report::Progress { what: what.into(), done: 0, total: 0 });
    loading("Opening the device");
    let opened = device::open(if gpu { device::Prefer::Gpu } else { device::Prefer::Cpu }).await;
    let (adapter, kind) = (opened.adapter.clone(), opened.kind);
    let mut notices: Vec<String> = notice.or_else(|| opened.notice.clone()).into_iter().collect();
    loading("Reading the models' descriptions");
    let memory = means.memory;
    let mut worker = open(means, keeper, opened, &mut notices).await?;
    loading("Measuring this device");
    if let Some(writer) = &mut worker.writer {
        writer.model.measure().await?;
    }
    let notice = (!notices.is_empty()).then(|| notices.join(" "));
    let paints = match &worker.painter {
        Some(painter) => Some(painter.offer().await?),
        None => None,
    };
    worker.told = Some(Told { adapter, notice, capability: memory::capability(kind, memory), paints });
    worker.ready().into_iter().for_each(report);
    Ok(worker)
}

/// The models. Without the one that a person chose there is no worker; the room does without another.
async fn open<F: Files + 'static, S: BlockStore + 'static>(
    means: Means,
    keeper: &Rc<Keeper<F, S>>,
    opened: Opened,
    notices: &mut Vec<String>,
) -> Result<Worker<Source<F, S>>, String> {
    let (mut text, mut pictures) = (None, None);
    let mut must_paint = means.text.is_none();
    if let Some(source) = means.chosen {
        let (files, source) = keeper.open(&source).await?;
        if gguf_name(quantised(&source).0).is_none() && painter::paints(&files).await {
            (pictures, must_paint) = (Some((files, source)), true);
        } else {
            text = Some((files, source));
        }
    }
    if let (None, Some(source)) = (&text, means.text) {
        text = Some(keeper.open(&source).await?);
    }
    if let (None, Some(source)) = (&pictures, means.pictures) {
        match keeper.open(&source).await {
            Ok(found) => pictures = Some(found),
            Err(why) if must_paint => return Err(why),
            Err(why) => notices.push(format!("This device does not paint: {why}.")),
        }
    }
    let writer = match text {
        Some((files, source)) => {
            let (mut model, language) = Model::open(&source, files, opened.clone()).await?;
            if means.alone {
                // A room reckons with all of a model's layers, whoever holds them.
                model = model.fit(means.memory.unwrap_or_else(memory::budget))?;
            }
            let opener = keeper.clone();
            let find: Find<Source<F, S>> = Rc::new(move |source| {
                let keeper = opener.clone();
                async move { keeper.open(&source).await }.boxed_local()
            });
            let mut wardrobe = Wardrobe::new(find, model.engine.config().clone(), model.known_as());
            model.adapt(wardrobe.fit(means.adapters).await?);
            Some(Writer { model, texts: Texts::new(language), wardrobe })
        }
        None => None,
    };
    let painter = match pictures {
        Some((files, source)) => match Painter::open(&source, files, opened).await {
            Ok(painter) => Some(painter),
            Err(why) if must_paint => return Err(why),
            Err(why) => {
                notices.push(format!("This device does not paint: {why}."));
                None
            }
        },
        None => None,
    };
    Ok(Worker {
        writer,
        painter,
        told: None,
        waiting: VecDeque::new(),
        fitting: FuturesUnordered::new(),
        tried: Vec::new(),
        fits: 0,
        bringing: FuturesUnordered::new(),
        parts: Vec::new(),
        before: Vec::new(),
    })
}

impl<F: Files + 'static> Worker<F> {
    /// What this device can do.
    pub fn ready(&self) -> Option<Report> {
        let Told { adapter, notice, capability, paints } = self.told.as_ref()?;
        let writes = self.writer.as_ref();
        let offers = writes.map(|writer| writer.model.offer()).into_iter().chain(paints.clone());
        Some(Report::Ready {
            adapter: adapter.clone(),
            notice: notice.clone(),
            capability: *capability,
            offers: offers.collect(),
            // A template that cannot be read is to be said when it is needed.
            chat: writes.is_some_and(|writer| writer.texts.knows_conversations()),
            easel: self.painter.as_ref().map(Painter::easel),
            plain: writes.map(|writer| writer.model.plain()),
            worn: writes.map(|writer| writer.model.worn()).unwrap_or_default(),
        })
    }
}
