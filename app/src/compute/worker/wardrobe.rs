//! Adapters on their way to the model that writes.
//!
//! Each is opened once: its files are found, read to the end, which gives it its name, and held against the model. It stays open when
//! the model computes without it, so that it is put on again at once; its weights do not stay in memory.

use super::reading;
use crate::compute::files::{Brought, Checked, Files};
use crate::compute::source::name;
use crate::compute::{ADAPTER_WEIGHT, Adapters, ModelSource, Worn};
use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared};
use kernels::limits;
use kernels::llm::{Adapter, Config};
use kernels::weights::manifest::Hash;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// Finds the files of a source, and says what it is called from there on.
pub type Find<F> = Rc<dyn Fn(ModelSource) -> LocalBoxFuture<'static, Result<(F, String), String>>>;

/// What a model can compute with, or why it cannot.
pub type Fitted<F> = Result<Vec<Dressed<F>>, String>;

type Opening<F> = Shared<LocalBoxFuture<'static, Result<Rc<Opened<F>>, String>>>;

/// What was asked for once.
pub struct Wardrobe<F> {
    find: Find<F>,
    model: Rc<(Config, Vec<Hash>)>,
    opened: BTreeMap<ModelSource, Opening<F>>,
}

/// An adapter that fits the model.
pub struct Opened<F> {
    pub adapter: Adapter,
    pub files: F,
    source: ModelSource,
    name: String,
    /// What keeps its files near: from opening it until it is on for the first time, and then for as long as it is on.
    first: RefCell<Option<Rc<Brought>>>,
    near: RefCell<Weak<Brought>>,
}

/// How much of it a model computes with.
pub struct Dressed<F> {
    pub of: Rc<Opened<F>>,
    pub weight: f32,
    _near: Option<Rc<Brought>>,
}

impl<F: Files + 'static> Wardrobe<F> {
    /// Of a model of this shape, which is known by these names.
    pub fn new(find: Find<F>, config: Config, known_as: Vec<Hash>) -> Self {
        Self { find, model: Rc::new((config, known_as)), opened: BTreeMap::new() }
    }

    /// Fetches adapters, and sees whether they fit.
    pub fn fit(&mut self, adapters: Adapters) -> LocalBoxFuture<'static, Fitted<F>> {
        if let Err(why) = check(&adapters) {
            return futures::future::ready(Err(why)).boxed_local();
        }
        let openings: Vec<_> =
            adapters.into_iter().map(|(source, weight)| (self.open(source), weight)).collect();
        async move {
            let mut all: Vec<Dressed<F>> = Vec::new();
            for (opening, weight) in openings {
                let of = opening.await?;
                if all.iter().any(|one| one.of.adapter.id() == of.adapter.id()) {
                    return Err(format!("{} is on already, as another name for the same adapter", of.name));
                }
                let near = of.near().await;
                all.push(Dressed { of, weight, _near: near });
            }
            Ok(all)
        }
        .boxed_local()
    }

    /// What failed before is tried again.
    fn open(&mut self, source: ModelSource) -> Opening<F> {
        self.opened.retain(|_, opening| !matches!(opening.peek(), Some(Err(_))));
        // Those that were asked for and are of no use now make place; whoever computes with them has them.
        while self.opened.len() >= limits::ADAPTERS && !self.opened.contains_key(&source) {
            self.opened.pop_first();
        }
        let (find, model) = (self.find.clone(), self.model.clone());
        let opening = || open(find, model, source.clone()).boxed_local().shared();
        self.opened.entry(source.clone()).or_insert_with(opening).clone()
    }
}

async fn open<F: Files>(
    find: Find<F>,
    model: Rc<(Config, Vec<Hash>)>,
    source: ModelSource,
) -> Result<Rc<Opened<F>>, String> {
    let (files, called) = find(source.clone()).await?;
    let name = files.called().unwrap_or_else(|| name(&called).to_owned());
    let failed = |error: kernels::Error| format!("{name}: {error}");
    let (config, known_as) = &*model;
    // What does not fit is not fetched.
    let sketch = Adapter::known(&Checked(&files), config, Hash::default()).await.map_err(failed)?;
    sketch.check_base(known_as).map_err(failed)?;
    let first = RefCell::new(bring(&sketch, &files).await);
    let adapter = Adapter::open(&Checked(&files), config).await.map_err(failed)?;
    Ok(Rc::new(Opened { adapter, files, source, name, first, near: RefCell::default() }))
}

async fn bring<F: Files>(adapter: &Adapter, files: &F) -> Option<Rc<Brought>> {
    let ranges = adapter.ranges(adapter.all_layers()).ok()?;
    Some(Rc::new(files.bring(&reading::of(&ranges))?.await))
}

/// What no model computes with, whatever the adapters are.
fn check(adapters: &Adapters) -> Result<(), String> {
    let most = limits::ADAPTERS_AT_ONCE;
    if adapters.len() > most {
        return Err(format!("{} adapters at once; {most} are possible: turn one off", adapters.len()));
    }
    // Not a number is not within bounds either.
    let wrong = |weight: &f32| weight.is_nan() || weight.abs() > ADAPTER_WEIGHT;
    match adapters.iter().find(|(_, weight)| wrong(weight)) {
        Some((source, weight)) => Err(format!(
            "{weight} times {}: between -{ADAPTER_WEIGHT} and {ADAPTER_WEIGHT} are possible",
            name(source)
        )),
        None => Ok(()),
    }
}

impl<F: Files> Opened<F> {
    /// Its files are not to be pushed out of where they are kept while it is on.
    async fn near(&self) -> Option<Rc<Brought>> {
        let here = self.near.borrow().upgrade().or_else(|| self.first.take());
        let near = match here {
            Some(near) => near,
            None => bring(&self.adapter, &self.files).await?,
        };
        self.near.replace(Rc::downgrade(&near));
        Some(near)
    }
}

impl<F: Files> Dressed<F> {
    /// The same for the page.
    pub fn told(&self) -> Worn {
        let Opened { adapter, files, source, name, .. } = &*self.of;
        Worn {
            source: source.clone(),
            weight: self.weight,
            name: name.clone(),
            content: files.content(),
            rank: u32::try_from(adapter.rank()).unwrap_or(u32::MAX),
            named: adapter.names_base(),
        }
    }
}

/// What they add to a model's name: " with wild × 0.5 and sad".
pub fn with<F>(adapters: &[Dressed<F>]) -> String {
    let one = |one: &Dressed<F>| match one.weight {
        1.0 => one.of.name.clone(),
        weight => format!("{} × {weight}", one.of.name),
    };
    let all: Vec<String> = adapters.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!(" with {}", all.join(" and ")) }
}
