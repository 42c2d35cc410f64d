//! Adapters of experts that are read when they are needed.

use super::{Pipeline, open, random_adapter};
use crate::common::{Checkpoint, block_on};
use kernels::device::Opened;
use kernels::engine::Input;
use kernels::llm::{Attached, Paging, Stage, StageOut};
use kernels::weights::ByteRange;

/// Put on, taken off and put on again while some of the experts are in memory and others are not.
#[test]
fn experts_that_are_paged_are_changed_as_others_are() {
    let tokens: Vec<u32> = (0..20).map(|at| (at * 7 + 3) % 60).collect();
    for name in ["mixtral", "qwen2-moe"] {
        let checkpoint = Checkpoint::own(name, "config.json");
        let (files, _) = random_adapter(&checkpoint, 3);
        let adapter = open(&files, &checkpoint.config);
        let mut whole = Pipeline::load(&checkpoint, &Opened::cpu(), true, &[]);
        whole.add(&files, &adapter);
        // One expert in full precision, or a few.
        let largest = checkpoint.config.experts.as_ref().unwrap().width * checkpoint.config.width * 3 * 4;
        let paging = Paging { bytes: largest as u64, ahead: true };
        let read = async |range: &ByteRange| checkpoint.read(range).await;
        let (config, header, opened) = (&checkpoint.config, &checkpoint.header, Opened::cpu());
        let load = Stage::load_paged(config, header, checkpoint.all(), &opened, true, paging, &read);
        let mut paged = block_on(load).unwrap();
        assert!(paged.paging().is_some(), "{name}");
        block_on(paged.load_adapter(&adapter, async |range: &_| super::read(&files, range).await)).unwrap();
        let mut answers = Vec::new();
        for weight in [1.0, 0.0, -0.5, 1.0] {
            let attached = [Attached { id: adapter.id(), weight }];
            whole.attach(&attached);
            paged.attach(&attached).unwrap();
            let expected = whole.logits(&tokens, None);
            let found = block_on(paged.pass_with(Input::Tokens(&tokens), None, &read)).unwrap();
            assert!(found == StageOut::Logits(expected.clone()), "{name}, {weight} times");
            answers.push(expected);
        }
        assert!(answers[0] != answers[1] && answers[0] == answers[3], "{name}: it changes something");
    }
}
