//! Steps of several sessions in one pass: their rows are stacked, so that weights are read once for all of them, and only
//! attention looks at each by itself.
//!
//! ```text
//! steps ─► check ─► take sessions ─► rows of all ─► layers ─► hidden rows ─► to each its own
//!            │            │                              └──► scores of those that draw ─► a token each
//!            └─ refused ◄─┘  and nobody else is hurt
//! ```

use super::sessions::Session;
use super::step::{Input, Step, StepOut};
use super::{Engine, draw};
use crate::error::{Error, StepError};
use crate::limits;
use crate::llm::{Sampling, Shelf, read_back};
use crate::ops::rows;
use crate::weights::ByteRange;
use burn::tensor::{Int, Tensor, TensorData};

/// A step that was found good, with its session.
struct Admitted<'a, 's, K> {
    /// Where its answer goes.
    place: usize,
    step: &'a Step<'s, K>,
    sampling: Option<Sampling>,
    session: Session,
    /// Rows at its beginning that need not run.
    skipped: usize,
    rows: usize,
}

impl<K: Ord + Clone> Engine<K> {
    /// Runs steps of any sessions, those of different sessions through the same layers and adapters together, at most
    /// [`PASS_ROWS`](limits::PASS_ROWS) rows at a time; each gives the same bits as if it ran alone. Steps of one session
    /// run in their order. Everything in `steps` may come from a hostile peer.
    ///
    /// The answers are in the order of the steps.
    ///
    /// # Errors
    /// Each step has its own: [`Error::Step`] and [`Error::Sampling`] leave the session as it was, except
    /// [`StepError::Scores`]; after [`Error::Device`], which all of a pass share, it is forgotten. If experts are paged,
    /// they are needed from somewhere: [`Error::Tensor`].
    pub async fn run_batch(&mut self, steps: &[Step<'_, K>]) -> Vec<Result<StepOut, Error>> {
        let nowhere =
            async |_: &ByteRange| Err("experts are paged, and the engine was told no source".into());
        self.run_batch_with(steps, &nowhere).await
    }

    /// The same, for an engine whose experts may be paged: `source` is asked for their bytes as by [`Engine::load`], for
    /// several ranges at a time. Nothing is asked of it otherwise.
    ///
    /// # Errors
    /// As [`Engine::run_batch`]; [`Error::Tensor`] if `source` fails or answers with too little, after which the sessions of
    /// the pass are forgotten, and the engine goes on with others.
    pub async fn run_batch_with<S>(
        &mut self,
        steps: &[Step<'_, K>],
        source: &S,
    ) -> Vec<Result<StepOut, Error>>
    where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut answers: Vec<Option<Result<StepOut, Error>>> = steps.iter().map(|_| None).collect();
        let mut waiting: Vec<usize> = (0..steps.len()).collect();
        while !waiting.is_empty() {
            let pass = self.together(steps, &waiting);
            waiting.retain(|step| !pass.contains(step));
            self.pass(steps, &pass, &mut answers, source).await;
        }
        // Every step was part of one pass.
        answers.into_iter().map(|answer| answer.unwrap_or(Ok(StepOut::Nothing))).collect()
    }

    /// Of the steps that wait those that can run with the first of them.
    fn together(&self, steps: &[Step<'_, K>], waiting: &[usize]) -> Vec<usize> {
        let (mut pass, mut seen, mut rows) = (Vec::new(), Vec::<&K>::new(), 0);
        for place in waiting {
            let step = &steps[*place];
            let more = step.rows(self.config());
            let fits = pass.is_empty() || more.saturating_add(rows) <= limits::PASS_ROWS;
            let first = &steps[waiting[0]];
            let alike = step.layers == first.layers && step.adapters == first.adapters;
            if alike && fits && !seen.contains(&&step.session) {
                pass.push(*place);
                rows = more.saturating_add(rows);
            }
            seen.push(&step.session);
        }
        pass
    }

    async fn pass<S>(
        &mut self,
        steps: &[Step<'_, K>],
        pass: &[usize],
        answers: &mut [Option<Result<StepOut, Error>>],
        source: &S,
    ) where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let mut admitted = Vec::new();
        for place in pass {
            match self.admit(*place, &steps[*place]) {
                Ok(step) => admitted.push(step),
                Err(error) => answers[*place] = Some(Err(error)),
            }
        }
        let found = self.compute(&mut admitted, source).await;
        for (number, Admitted { place, step, session, .. }) in admitted.into_iter().enumerate() {
            let answer = match &found {
                Ok(all) => all[number].clone(),
                Err(error) => Err(error.clone()),
            };
            if answer.is_ok() {
                self.sessions.put(step.session.clone(), session);
            }
            answers[place] = Some(answer);
        }
    }

    fn admit<'a, 's>(&mut self, place: usize, step: &'a Step<'s, K>) -> Result<Admitted<'a, 's, K>, Error> {
        let sampling = step.draw.map(|draw| Sampling::from_bytes(draw.settings)).transpose()?;
        self.check(step)?;
        let config = self.model.config();
        let rows = step.rows(config);
        let (session, skipped) = self.sessions.take(step, config, &self.opened.device)?;
        Ok(Admitted { place, step, sampling, session, skipped, rows })
    }

    /// The answers of steps through the same layers and adapters.
    ///
    /// # Errors
    /// [`Error::Device`]; of experts that are paged [`Error::Tensor`].
    async fn compute<S>(
        &mut self,
        admitted: &mut [Admitted<'_, '_, K>],
        source: &S,
    ) -> Result<Vec<Result<StepOut, Error>>, Error>
    where
        S: AsyncFn(&ByteRange) -> Result<Vec<u8>, String>,
    {
        let Some(first) = admitted.first().map(|first| first.step) else { return Ok(Vec::new()) };
        let layers = first.layers;
        self.model.attach(first.adapters);
        let (head, row) = (layers.end == self.config().layers, self.config().row_bytes());
        let mut output = None;
        let inputs: Vec<(Input<'_>, usize)> =
            admitted.iter().map(|one| (one.step.input, one.skipped)).collect();
        let mut caches: Vec<_> = admitted
            .iter_mut()
            .filter(|one| one.skipped < one.rows)
            .map(|one| (&mut one.session.cache, one.rows - one.skipped))
            .collect();
        if !caches.is_empty() {
            let input = self.input(&inputs);
            output = Some(if self.model.paging().is_some() {
                let shelf = Shelf::new(&self.header, &self.opened.device, source);
                self.model.forward_paged(layers, input, &mut caches, &shelf).await?
            } else {
                self.model.forward_batch(layers, input, &mut caches)
            });
        }
        if head {
            return self.tokens(admitted, output).await;
        }
        let hidden = match output {
            Some(output) => to_bytes(&read_back(output).await?),
            None => Vec::new(),
        };
        let mut rest = hidden.as_slice();
        let mut answers = Vec::new();
        for one in admitted {
            let (own, others) = rest.split_at((one.rows - one.skipped) * row);
            rest = others;
            one.session.became(own);
            answers.push(Ok(StepOut::Hidden(one.session.outputs(one.step.position, row).to_vec())));
        }
        Ok(answers)
    }

    /// The tokens of those that draw, from one product with the head.
    async fn tokens(
        &mut self,
        admitted: &[Admitted<'_, '_, K>],
        output: Option<Tensor<3>>,
    ) -> Result<Vec<Result<StepOut, Error>>, Error> {
        let (mut first, mut wishes, mut lasts) = (0, Vec::new(), Vec::new());
        for one in admitted {
            first += one.rows - one.skipped;
            if let (Some(sampling), Some(draw)) = (&one.sampling, one.step.draw) {
                let position = (one.step.position + one.rows) as u64;
                wishes.push(draw::Wish { sampling, recent: draw.recent, position });
                lasts.push(first - 1);
            }
        }
        let drawn = match output {
            Some(output) if !wishes.is_empty() => {
                let last = draw::rows_of(rows(output), &lasts);
                let scores = self.model.logits(last.unsqueeze::<3>());
                draw::draw(&self.opened.device, scores, &wishes, &mut self.scratch).await?
            }
            _ => Vec::new(),
        };
        let eos = &self.model.config().eos;
        let mut drawn = drawn.into_iter();
        let answer = |one: &Admitted<'_, '_, K>| match one.sampling.as_ref().and_then(|_| drawn.next()) {
            Some(Some(drawn)) => {
                let (token, told) = (drawn.token, drawn.log_probability.is_some());
                Ok(StepOut::Token { token, end: eos.contains(&token), told: told.then(|| Box::new(drawn)) })
            }
            Some(None) => Err(StepError::Scores.into()),
            None => Ok(StepOut::Nothing),
        };
        Ok(admitted.iter().map(answer).collect())
    }

    /// The rows of all steps, without those that are skipped.
    ///
    /// # Shapes
    /// - result: `[1, rows, width]`
    fn input(&self, inputs: &[(Input<'_>, usize)]) -> Tensor<3> {
        let (config, device) = (self.config(), &self.opened.device);
        let (mut ids, mut values) = (Vec::new(), Vec::new());
        for (input, skipped) in inputs {
            match input {
                Input::Tokens(tokens) => ids.extend(tokens[*skipped..].iter().map(|id| *id as i32)),
                Input::Hidden(bytes) => {
                    let floats = bytes[skipped * config.row_bytes()..].as_chunks::<4>().0;
                    values.extend(floats.iter().map(|four| f32::from_le_bytes(*four)));
                }
            }
        }
        if ids.is_empty() {
            let shape = [1, values.len() / config.width, config.width];
            return Tensor::from_data(TensorData::new(values, shape), device);
        }
        let shape = [1, ids.len()];
        self.model.embed(Tensor::<2, Int>::from_data(TensorData::new(ids, shape), device))
    }
}

fn to_bytes(hidden: &[f32]) -> Vec<u8> {
    hidden.iter().flat_map(|value| value.to_le_bytes()).collect()
}
