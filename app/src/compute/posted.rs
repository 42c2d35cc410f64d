//! How chunks and their outputs are written for the way between the page and its Web Worker. They never travel between
//! peers, so the coordinator gives them no form of their own; these mirrors fail to compile when they drift apart.

use coordinator::io::{Chunk, ChunkOutput, Piece, Rows, Task};
use coordinator::{JobId, Layers, Lease, ModelId};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Chunk")]
pub struct ChunkDef {
    job: JobId,
    lease: Lease,
    number: u32,
    model: ModelId,
    layers: Layers,
    #[serde(with = "TaskDef")]
    task: Task,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Task")]
enum TaskDef {
    Pass {
        position: u32,
        #[serde(with = "RowsDef")]
        input: Rows,
        sample: Option<Vec<u8>>,
    },
    Piece {
        piece: Piece,
        unit: u16,
        settings: Vec<u8>,
        inputs: Vec<Vec<u8>>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Rows")]
enum RowsDef {
    Tokens(Vec<u32>),
    Hidden(Vec<u8>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ChunkOutput")]
enum OutputDef {
    Hidden(Vec<u8>),
    Token { token: u32, end: bool },
    Nothing,
    Piece(Vec<u8>),
}

/// An output, or why there is none.
pub mod result {
    use super::{ChunkOutput, Deserialize, OutputDef, Serialize};
    use serde::{Deserializer, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Output(#[serde(with = "OutputDef")] ChunkOutput);

    #[derive(Serialize)]
    struct OutputRef<'a>(#[serde(with = "OutputDef")] &'a ChunkOutput);

    pub fn serialize<S: Serializer>(result: &Result<ChunkOutput, String>, to: S) -> Result<S::Ok, S::Error> {
        result.as_ref().map(OutputRef).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Result<ChunkOutput, String>, D::Error> {
        Ok(Result::<Output, String>::deserialize(from)?.map(|Output(output)| output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::{Report, Request};
    use coordinator::{Epoch, PeerId};

    const JOB: JobId = JobId { requester: PeerId(2), serial: 1 };
    const LEASE: Lease = Lease { epoch: Epoch { term: 1, leader: PeerId(3) }, serial: 4 };

    #[test]
    fn chunks_and_outputs_arrive_as_they_were() {
        let pass = |input, sample| Task::Pass { position: 4, input, sample };
        let piece =
            Task::Piece { piece: Piece::Join { step: 1 }, unit: 2, settings: vec![5], inputs: vec![vec![1]] };
        for task in
            [pass(Rows::Tokens(vec![1, 70_000]), None), pass(Rows::Hidden(vec![1, 2]), Some(vec![3])), piece]
        {
            let layers = Layers { start: 0, end: 8 };
            let chunk = Chunk { job: JOB, lease: LEASE, number: 9, model: ModelId([7; 32]), layers, task };
            let bytes = postcard::to_stdvec(&Request::Run(chunk.clone())).unwrap();
            let Request::Run(arrived) = postcard::from_bytes(&bytes).unwrap() else {
                panic!("another request")
            };
            assert_eq!(arrived, chunk);
        }
        let outputs = [
            Ok(ChunkOutput::Hidden(vec![1])),
            Ok(ChunkOutput::Token { token: 1, end: true }),
            Ok(ChunkOutput::Nothing),
            Ok(ChunkOutput::Piece(vec![2])),
            Err("the device is busy".to_owned()),
        ];
        for result in outputs {
            let report = Report::Ran { job: JOB, lease: LEASE, number: 9, result: result.clone() };
            let bytes = postcard::to_stdvec(&report).unwrap();
            let Report::Ran { result: arrived, .. } = postcard::from_bytes(&bytes).unwrap() else {
                panic!("another report")
            };
            assert_eq!(arrived, result);
        }
    }
}
