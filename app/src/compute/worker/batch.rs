//! Chunks that wait at the same time, as one pass: weights are read once for all of them.

use super::model::{self, Model};
use super::text;
use crate::compute::files::Files;
use crate::compute::{Report, Request};
use crate::sampling::{Likelihood, Sampling};
use coordinator::io::{Chunk, ChunkOutput, Rows, Task};
use coordinator::{JobId, Lease};
use kernels::Error;
use kernels::StepError;
use kernels::engine::{Draw, Input, Step, StepOut};
use kernels::limits::PASS_ROWS;
use kernels::llm::{Attached, Drawn};
use std::collections::VecDeque;

/// Takes out of the chunks that wait next those that can run with `first`: of other sessions, through the same layers,
/// and few enough rows in all. `row` is the bytes of a hidden state. Of a session that has to wait nothing is taken.
pub fn beside(first: &Chunk, waiting: &mut VecDeque<Request>, row: u32) -> Vec<Chunk> {
    let run = |request: &Request| matches!(request, Request::Run(_));
    let count = waiting.iter().take_while(|request| run(request)).count();
    let (mut seen, mut rows) = (vec![(first.job, first.lease)], rows(first, row));
    let (mut taken, mut left) = (Vec::new(), VecDeque::new());
    for request in waiting.drain(..count) {
        let Request::Run(chunk) = request else { continue };
        let alike = (chunk.model, chunk.layers) == (first.model, first.layers);
        let more = self::rows(&chunk, row);
        let own = !seen.contains(&(chunk.job, chunk.lease));
        seen.push((chunk.job, chunk.lease));
        if alike && own && rows + more <= PASS_ROWS {
            rows += more;
            taken.push(chunk);
        } else {
            left.push_back(Request::Run(chunk));
        }
    }
    left.append(waiting);
    *waiting = left;
    taken
}

/// Rows of a chunk; more than any pass has, if it is none.
fn rows(chunk: &Chunk, row: u32) -> usize {
    match &chunk.task {
        Task::Pass { input: Rows::Tokens(tokens), .. } => tokens.len(),
        Task::Pass { input: Rows::Hidden(bytes), .. } => bytes.len() / (row as usize).max(1),
        Task::Piece { .. } => PASS_ROWS + 1,
    }
}

/// Runs chunks. A refused chunk is the coordinator's business and hurts no other; a failed device is the end of this
/// worker.
pub async fn run<F: Files>(model: &mut Model<F>, chunks: &[Chunk]) -> Result<Vec<Report>, String> {
    let prepared: Vec<Result<Prepared<'_>, String>> =
        chunks.iter().map(|chunk| model.check(chunk.model).and_then(|()| Prepared::of(chunk))).collect();
    let attached = model.attached().to_vec();
    let steps: Vec<_> = prepared.iter().flatten().map(|chunk| chunk.step(&attached)).collect();
    let mut outputs = model.run(&steps).await.into_iter();
    let mut reports = Vec::new();
    for (chunk, prepared) in chunks.iter().zip(&prepared) {
        let result = match prepared.as_ref().map_err(Clone::clone).map(|_| outputs.next()) {
            Ok(Some(Err(Error::Device(cause)))) => return Err(cause),
            Ok(Some(Err(Error::Step(error @ (StepError::HiddenSize(..) | StepError::NotFinite(_)))))) => {
                Ok(ChunkOutput::Refused { input: 0, reason: error.to_string() })
            }
            Ok(Some(output)) => output.map(to_output).map_err(|error| error.to_string()),
            Ok(None) => Err("the engine gave no answer".into()),
            Err(why) => Err(why),
        };
        reports.push(Report::Ran { job: chunk.job, lease: chunk.lease, number: chunk.number, result });
    }
    Ok(reports)
}

/// A chunk with its settings in the engine's own form.
struct Prepared<'a> {
    chunk: &'a Chunk,
    position: u32,
    input: Input<'a>,
    draw: Option<(Vec<u8>, &'a [u32])>,
}

impl<'a> Prepared<'a> {
    fn of(chunk: &'a Chunk) -> Result<Self, String> {
        let Task::Pass { position, input, sample } = &chunk.task else {
            return Err("this device has no picture model".into());
        };
        let input = match input {
            Rows::Tokens(tokens) => Input::Tokens(tokens),
            Rows::Hidden(bytes) => Input::Hidden(bytes),
        };
        let draw = match sample {
            Some(sample) => Some((settings(&sample.settings)?, sample.recent.as_slice())),
            None => None,
        };
        Ok(Self { chunk, position: *position, input, draw })
    }

    fn step<'b>(&'b self, adapters: &'b [Attached]) -> Step<'b, (JobId, Lease)> {
        Step {
            session: (self.chunk.job, self.chunk.lease),
            layers: model::range(self.chunk.layers),
            position: self.position as usize,
            input: self.input,
            adapters,
            draw: self.draw.as_ref().map(|(settings, recent)| Draw { settings, recent }),
        }
    }
}

/// A peer's settings in the engine's own form; they may be hostile.
fn settings(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let settings = Sampling::from_bytes(bytes).ok_or("the sampling settings are not readable")?;
    text::to_kernels(&settings).to_bytes().map_err(|error| error.to_string())
}

fn to_output(output: StepOut) -> ChunkOutput {
    match output {
        StepOut::Hidden(bytes) => ChunkOutput::Hidden(bytes),
        StepOut::Token { token, end, told } => {
            let note = told.as_deref().and_then(likelihood).map(|told| told.to_bytes()).unwrap_or_default();
            ChunkOutput::Token { token, end, note }
        }
        StepOut::Nothing => ChunkOutput::Nothing,
    }
}

fn likelihood(drawn: &Drawn) -> Option<Likelihood> {
    Some(Likelihood { token: drawn.token, own: drawn.log_probability?, best: drawn.best.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::{Epoch, Layers, ModelId, PeerId};

    fn chunk(session: u32, tokens: usize, end: u16, number: u32) -> Chunk {
        let requester = PeerId(1);
        Chunk {
            job: JobId { requester, serial: session },
            lease: Lease { epoch: Epoch { term: 1, leader: requester }, serial: session },
            number,
            model: ModelId([7; 32]),
            layers: Layers { start: 0, end },
            task: Task::Pass { position: 0, input: Rows::Tokens(vec![1; tokens]), sample: None },
        }
    }

    /// Rows: what waits (session, tokens, last layer), which of it runs with a chunk of session 0, why.
    #[test]
    fn chunks_run_together_that_can() {
        type Row = (&'static [(u32, usize, u16)], &'static [usize], &'static str);
        let rows: [Row; 6] = [
            (&[(1, 1, 4), (2, 64, 4)], &[0, 1], "a prompt beside an answer"),
            (&[(0, 1, 4), (1, 1, 4)], &[1], "not twice the same session"),
            (&[(1, 1, 3), (2, 1, 4)], &[1], "other layers wait"),
            (&[(1, 1, 3), (1, 1, 4)], &[], "and so does what follows them in a session"),
            (&[(1, PASS_ROWS, 4), (2, 1, 4)], &[1], "no more rows than a pass has"),
            (&[], &[], "alone"),
        ];
        for (waits, together, why) in rows {
            let chunks: Vec<Chunk> = (0..)
                .zip(waits)
                .map(|(i, (session, tokens, end))| chunk(*session, *tokens, *end, i))
                .collect();
            let mut waiting: VecDeque<Request> = chunks.iter().cloned().map(Request::Run).collect();
            let load = coordinator::io::Part { model: ModelId([7; 32]), layers: Layers { start: 0, end: 4 } };
            waiting.extend([Request::Load(load), Request::Run(chunk(9, 1, 4, 9))]);
            let taken = beside(&chunk(0, 1, 4, 0), &mut waiting, 4);
            let expected: Vec<Chunk> = together.iter().map(|index| chunks[*index].clone()).collect();
            assert_eq!(taken, expected, "{why}");
            let left = waiting.iter().take_while(|request| matches!(request, Request::Run(_)));
            let left: Vec<u32> = left
                .filter_map(
                    |request| if let Request::Run(chunk) = request { Some(chunk.number) } else { None },
                )
                .collect();
            let others: Vec<u32> =
                (0..waits.len() as u32).filter(|i| !together.contains(&(*i as usize))).collect();
            assert_eq!(left, others, "{why}: the rest keeps its order");
            assert_eq!(waiting.len(), others.len() + 2, "{why}: nothing behind another request is touched");
        }
    }
}
