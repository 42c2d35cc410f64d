//! The way between the page and its worker.

use super::{Report, Request};
use coordinator::io::{Chunk, ChunkOutput, Piece, Rows, Sample, Task};
use coordinator::{Epoch, JobId, Layers, Lease, ModelId, PeerId};

const JOB: JobId = JobId { requester: PeerId(2), serial: 1 };
const LEASE: Lease = Lease { epoch: Epoch { term: 1, leader: PeerId(3) }, serial: 4 };

#[test]
fn chunks_and_outputs_arrive_as_they_were() {
    let pass = |input, sample| Task::Pass { position: 4, input, sample };
    let piece =
        Task::Piece { piece: Piece::Join { step: 1 }, unit: 2, settings: vec![5], inputs: vec![vec![1]] };
    for task in [
        pass(Rows::Tokens(vec![1, 70_000]), None),
        pass(Rows::Hidden(vec![1, 2]), Some(Sample { settings: vec![3], recent: vec![1, 70_000] })),
        piece,
    ] {
        let layers = Layers { start: 0, end: 8 };
        let chunk = Chunk { job: JOB, lease: LEASE, number: 9, model: ModelId([7; 32]), layers, task };
        let bytes = postcard::to_stdvec(&Request::Run(chunk.clone())).unwrap();
        let Request::Run(arrived) = postcard::from_bytes(&bytes).unwrap() else { panic!("another request") };
        assert_eq!(arrived, chunk);
    }
    let outputs = [
        Ok(ChunkOutput::Hidden(vec![1])),
        Ok(ChunkOutput::Token { token: 1, end: true, note: Vec::new() }),
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

#[cfg(feature = "compute")]
#[test]
fn the_page_allows_as_much_of_an_adapter_as_kernels_do() {
    assert_eq!(super::ADAPTER_WEIGHT, kernels::limits::ADAPTER_WEIGHT);
}
