//! Another model between two requests: the same one with other adapters.
//!
//! ```text
//!  Fit(adapters) ───▶ wardrobe: fetched, checked ───▶ Fits     everything else goes on meanwhile
//!  Adapt(adapters) ─▶ the same ─▶ Model::adapt ─────▶ Ready    another id; layers stay, adapters' matrices come with the next part
//! ```

use super::wardrobe::Fitted;
use super::{Held, NO_WRITER, Worker};
use crate::compute::files::Files;
use crate::compute::{Adapters, Report};
use coordinator::ModelId;
use futures::FutureExt;

/// What came of a request for adapters.
pub struct Fitting<F> {
    number: u32,
    adapters: Adapters,
    /// Whether the model is to compute with them.
    now: bool,
    fitted: Fitted<F>,
}

impl<F: Files + 'static> Worker<F> {
    /// Everything else goes on while they come.
    pub fn fit(&mut self, adapters: Adapters, now: bool, report: &dyn Fn(Report)) {
        let Some(writer) = &mut self.writer else {
            return report(Report::FitsNot(adapters, NO_WRITER.into()));
        };
        self.fits = self.fits.wrapping_add(1);
        let (number, fitting) = (self.fits, writer.wardrobe.fit(adapters.clone()));
        self.fitting.push(fitting.map(move |fitted| Fitting { number, adapters, now, fitted }).boxed_local());
    }

    pub fn fitted(&mut self, Fitting { number, adapters, now, fitted }: Fitting<F>, report: &dyn Fn(Report)) {
        if number != self.fits {
            return;
        }
        match (fitted, &mut self.writer) {
            (Ok(dressed), Some(writer)) if now => {
                let before = writer.model.spec().id;
                writer.model.adapt(dressed);
                if writer.model.spec().id != before {
                    self.let_go(before);
                }
                self.tried.clear();
                self.ready().into_iter().for_each(report);
            }
            (Ok(dressed), _) => {
                self.tried = dressed;
                report(Report::Fits(adapters));
            }
            (Err(why), _) => report(Report::FitsNot(adapters, why)),
        }
    }

    /// The model changed, and the room forgets the parts of the one before. Their weights stay near: the same are needed again.
    fn let_go(&mut self, model: ModelId) {
        for Held { part, coming, near } in std::mem::take(&mut self.parts) {
            if part.model != model {
                self.parts.push(Held { part, coming, near });
                continue;
            }
            coming.abort();
            self.before.extend(near);
        }
    }
}
