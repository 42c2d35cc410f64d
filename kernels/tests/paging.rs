//! Mixtures that do not fit: experts are read when they are needed, to the bits of a model that fits.

mod common;

use common::{Checkpoint, block_on, devices};
use futures::FutureExt;
use kernels::Error;
use kernels::device::Opened;
use kernels::engine::{Draw, Engine, Input, Step, StepOut};
use kernels::llm::{CacheFormat, Layers, Paging, PagingFigures, Sampling, Stage, StageOut};
use kernels::quant::Format;
use kernels::weights::ByteRange;
use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

/// This repository's own, and those of the shared test data.
const MIXTURES: [&str; 4] = ["mixtral", "qwen2-moe", "qwen3-moe", "qwen3-moe-all"];

fn mixtures() -> Vec<(String, Checkpoint)> {
    let own = MIXTURES.map(|folder| (folder.to_owned(), Checkpoint::own(folder, "config.json")));
    let shared = Checkpoint::open("lm/mixtral", "config.json").map(|large| ("lm/mixtral".to_owned(), large));
    own.into_iter().chain(shared).collect()
}

/// Bytes in memory: of everything, and of everything but the experts.
fn sizes(checkpoint: &Checkpoint) -> (u64, u64) {
    let kept = |ranges: Vec<ByteRange>| ranges.iter().map(ByteRange::kept_bytes).sum();
    let engine = Engine::<u32>::new(Opened::cpu(), &checkpoint.config, checkpoint.header.clone());
    (kept(engine.ranges(checkpoint.all()).unwrap()), kept(engine.resident_ranges(checkpoint.all()).unwrap()))
}

/// Bytes of each expert.
fn expert_bytes(checkpoint: &Checkpoint) -> u64 {
    let (all, resident) = sizes(checkpoint);
    let experts = checkpoint.config.experts.as_ref().unwrap();
    let layers = experts.layers.iter().filter(|has| **has).count();
    (all - resident) / (layers * experts.count) as u64
}

/// A budget that is 40 % of what all weights take, or of what the experts take, where everything else takes more.
fn tight(checkpoint: &Checkpoint, ahead: bool) -> Paging {
    let (all, resident) = sizes(checkpoint);
    let bytes = (all * 2 / 5).checked_sub(resident).unwrap_or((all - resident) * 2 / 5);
    Paging { bytes: bytes.max(expert_bytes(checkpoint)), ahead }
}

/// Answers after it was asked again a few times, as a disk or a network does.
async fn later(checkpoint: &Checkpoint, range: &ByteRange) -> Result<Vec<u8>, String> {
    let mut turns = 3;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        turns -= 1;
        if turns == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    checkpoint.read(range).await
}

fn stage(checkpoint: &Checkpoint, opened: &Opened, paging: Paging) -> Stage {
    let Checkpoint { config, header, .. } = checkpoint;
    let read = async |range: &ByteRange| checkpoint.read(range).await;
    block_on(Stage::load_paged(config, header, checkpoint.all(), opened, true, paging, read)).unwrap()
}

/// Passes of `rows` tokens through a cache, or one pass without.
fn logits(stage: &mut Stage, checkpoint: &Checkpoint, tokens: &[u32], rows: Option<usize>) -> Vec<f32> {
    let mut cache = stage.cache(tokens.len(), CacheFormat::F32);
    let source = async |range: &ByteRange| later(checkpoint, range).await;
    let mut logits = Vec::new();
    for chunk in tokens.chunks(rows.unwrap_or(tokens.len())) {
        let cache = rows.is_some().then_some(&mut cache);
        match block_on(stage.pass_with(Input::Tokens(chunk), cache, &source)).unwrap() {
            StageOut::Logits(found) => logits.extend(found),
            StageOut::Hidden(_) => panic!("the whole model has a head"),
        }
    }
    logits
}

fn whole() -> Paging {
    Paging { bytes: u64::MAX, ahead: true }
}

fn tokens(checkpoint: &Checkpoint, count: usize) -> Vec<u32> {
    (0..count).map(|at| ((at * 31 + 7) % checkpoint.config.vocabulary) as u32).collect()
}

#[test]
fn paged_mixtures_have_the_bits_of_whole_ones() {
    for (name, checkpoint) in mixtures() {
        let tokens = tokens(&checkpoint, 24);
        for opened in devices() {
            for rows in [None, Some(1), Some(5)] {
                let expected = logits(&mut stage(&checkpoint, &opened, whole()), &checkpoint, &tokens, rows);
                for ahead in [false, true] {
                    let paging = tight(&checkpoint, ahead);
                    let mut paged = stage(&checkpoint, &opened, paging);
                    let what = format!("{name}, passes of {rows:?}, ahead {ahead}, {}", opened.adapter);
                    assert!(logits(&mut paged, &checkpoint, &tokens, rows) == expected, "{what}");
                    check(&what, paged.paging().unwrap(), paging);
                }
            }
        }
    }
}

fn check(what: &str, figures: PagingFigures, paging: Paging) {
    let PagingFigures { hits, misses, foreseen, bytes_read, peak_bytes, budget, .. } = figures;
    println!("{what}: {figures:?}");
    assert_eq!(budget, paging.bytes, "{what}");
    assert!(peak_bytes <= budget, "{what}: {peak_bytes} of {budget} bytes");
    assert!(misses > 0 && bytes_read > 0, "{what}");
    assert!(foreseen <= hits + misses && (paging.ahead || foreseen == 0), "{what}");
}

/// One row asks each layer for as many experts as it uses.
#[test]
fn every_expert_that_is_asked_for_is_counted() {
    let checkpoint = Checkpoint::own("qwen2-moe", "config.json");
    let experts = checkpoint.config.experts.clone().unwrap();
    let layers = experts.layers.iter().filter(|has| **has).count();
    let tokens = tokens(&checkpoint, 12);
    for bytes in [1, 2, 5].map(|count| count * expert_bytes(&checkpoint)) {
        let mut paged = stage(&checkpoint, &Opened::cpu(), Paging { bytes, ahead: true });
        logits(&mut paged, &checkpoint, &tokens, Some(1));
        let PagingFigures { hits, misses, .. } = paged.paging().unwrap();
        assert_eq!(hits + misses, (12 * layers * experts.used) as u64);
    }
}

#[test]
fn one_expert_at_a_time_is_enough_and_less_is_not() {
    for (name, checkpoint) in mixtures() {
        let (tokens, one) = (tokens(&checkpoint, 9), expert_bytes(&checkpoint));
        let expected = logits(&mut stage(&checkpoint, &Opened::cpu(), whole()), &checkpoint, &tokens, None);
        let paging = Paging { bytes: one, ahead: true };
        let mut paged = stage(&checkpoint, &Opened::cpu(), paging);
        assert!(logits(&mut paged, &checkpoint, &tokens, None) == expected, "{name}");
        check(&name, paged.paging().unwrap(), paging);
        let Checkpoint { config, header, .. } = &checkpoint;
        let engine = Engine::<u32>::new(Opened::cpu(), config, header.clone());
        let error = engine.with_paging(Paging { bytes: one - 1, ahead: false }).unwrap_err();
        assert_eq!(error, Error::ExpertBudget { needed: one, budget: one - 1 }, "{name}");
        assert!(error.to_string().contains(&one.to_string()), "{error}");
    }
}

/// What fits is not paged: nothing is asked of a source while it runs.
#[test]
fn what_fits_is_as_it_was() {
    let (checkpoint, dense) =
        (Checkpoint::own("mixtral", "config.json"), Checkpoint::own("qwen2", "config.json"));
    let (all, resident) = sizes(&checkpoint);
    for (checkpoint, bytes) in [(&checkpoint, all - resident), (&dense, 0)] {
        let mut fits = stage(checkpoint, &Opened::cpu(), Paging { bytes, ahead: true });
        assert_eq!(fits.paging(), None);
        let source = async |_: &ByteRange| Err("nobody reads".into());
        block_on(fits.pass_with(Input::Tokens(&[1, 2, 3]), None, &source)).unwrap();
    }
    let less = stage(&checkpoint, &Opened::cpu(), Paging { bytes: all - resident - 1, ahead: true });
    assert!(less.paging().is_some());
    assert!(matches!(block_on(less.pass(Input::Tokens(&[1]), None)), Err(Error::Source(_))));
}

fn step(session: u32, layers: Layers, position: usize, tokens: &[u32]) -> Step<'_, u32> {
    static GREEDY: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| Sampling::greedy().to_bytes().unwrap());
    let draw = Some(Draw { settings: &GREEDY, recent: &[] });
    Step { session, layers, position, input: Input::Tokens(tokens), adapters: &[], draw }
}

fn engine(checkpoint: &Checkpoint, paging: Paging) -> Engine<u32> {
    let engine = Engine::new(Opened::cpu(), &checkpoint.config, checkpoint.header.clone());
    let mut engine = engine.with_paging(paging).unwrap();
    block_on(engine.load(checkpoint.all(), async |range| checkpoint.read(range).await)).unwrap();
    engine
}

/// What three sessions beside one another write.
fn written(engine: &mut Engine<u32>, checkpoint: &Checkpoint) -> Vec<Vec<u32>> {
    let source = async |range: &ByteRange| later(checkpoint, range).await;
    let mut texts: Vec<Vec<u32>> = (1..4).map(|count| tokens(checkpoint, count * 3)).collect();
    let mut positions = [0; 3];
    for _ in 0..8 {
        let steps: Vec<_> = (0..3)
            .map(|session| {
                let at = positions[session];
                step(session as u32, checkpoint.all(), at, &texts[session][at..])
            })
            .collect();
        let answers = block_on(engine.run_batch_with(&steps, &source));
        for (session, answer) in answers.into_iter().enumerate() {
            let StepOut::Token { token, .. } = answer.unwrap() else { panic!("a token was asked for") };
            positions[session] = texts[session].len();
            texts[session].push(token);
        }
    }
    texts
}

#[test]
fn sessions_in_one_pass_write_what_they_write_unpaged() {
    for (name, checkpoint) in mixtures() {
        let expected = written(&mut engine(&checkpoint, whole()), &checkpoint);
        let paging = tight(&checkpoint, true);
        let mut paged = engine(&checkpoint, paging);
        assert_eq!(written(&mut paged, &checkpoint), expected, "{name}");
        check(&name, paged.paging().unwrap(), paging);
    }
}

/// Experts that become blocks on their way are paged too, and take what their blocks take.
#[test]
fn experts_are_quantised_each_time_they_are_read() {
    let plain = Checkpoint::own("mixtral", "config.json");
    let floats = expert_bytes(&plain);
    let header = plain.header.clone().quantised(Format::Q8_0).unwrap();
    let checkpoint = Checkpoint { header, ..plain };
    assert!(expert_bytes(&checkpoint) < floats);
    let expected = written(&mut engine(&checkpoint, whole()), &checkpoint);
    let mut paged = engine(&checkpoint, tight(&checkpoint, true));
    assert_eq!(written(&mut paged, &checkpoint), expected);
}

#[test]
fn a_source_that_fails_is_told_and_the_engine_goes_on() {
    let checkpoint = Checkpoint::own("qwen3-moe", "config.json");
    let expected = written(&mut engine(&checkpoint, whole()), &checkpoint);
    for ahead in [false, true] {
        let mut paged = engine(&checkpoint, tight(&checkpoint, ahead));
        for good in 0..12 {
            let left = Cell::new(good);
            let source = async |range: &ByteRange| match left.get() {
                0 => Err("the line is cut".to_owned()),
                some => {
                    left.set(some - 1);
                    later(&checkpoint, range).await
                }
            };
            let prompt = tokens(&checkpoint, 5 + good);
            match block_on(paged.run_with(step(9, checkpoint.all(), 0, &prompt), &source)) {
                Err(Error::Tensor { reason, .. }) => assert_eq!(reason, "the line is cut"),
                other => assert!(good > 0 && other.is_ok(), "{other:?} after {good} answers"),
            }
            paged.forget(&9);
        }
        let prompt = tokens(&checkpoint, 3);
        let nowhere = block_on(paged.run(step(9, checkpoint.all(), 0, &prompt)));
        assert!(nowhere.is_ok() || matches!(nowhere, Err(Error::Tensor { .. })), "{nowhere:?}");
        paged.forget(&9);
        assert_eq!(written(&mut paged, &checkpoint), expected);
    }
}

/// A pass that nobody waits for any more leaves nothing behind.
#[test]
fn a_pass_that_is_dropped_takes_no_room() {
    let checkpoint = Checkpoint::own("mixtral", "config.json");
    let expected = written(&mut engine(&checkpoint, whole()), &checkpoint);
    let paging = Paging { bytes: expert_bytes(&checkpoint), ahead: true };
    let mut paged = engine(&checkpoint, paging);
    let never = async |_: &ByteRange| std::future::pending().await;
    let prompt = tokens(&checkpoint, 4);
    let pass = paged.run_with(step(9, checkpoint.all(), 0, &prompt), &never);
    assert!(pass.now_or_never().is_none());
    assert_eq!(written(&mut paged, &checkpoint), expected);
    check("after a pass that was dropped", paged.paging().unwrap(), paging);
}

#[test]
fn unloaded_layers_free_their_experts() {
    let checkpoint = Checkpoint::own("mixtral", "config.json");
    let paging = Paging { bytes: 3 * expert_bytes(&checkpoint), ahead: false };
    let mut paged = engine(&checkpoint, paging);
    let expected = written(&mut paged, &checkpoint);
    paged.unload(checkpoint.all());
    block_on(paged.load(checkpoint.all(), async |range| checkpoint.read(range).await)).unwrap();
    assert_eq!(written(&mut paged, &checkpoint), expected);
    check("after unloading", paged.paging().unwrap(), paging);
}
