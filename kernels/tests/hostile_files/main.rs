//! Damaged files: every truncation, every flipped bit of a header, and random damage of any kind end in a named error or
//! in a file that can be used, never in a panic or a large allocation.

#[path = "../common/mod.rs"]
mod common;
mod manifests;

use common::{Checkpoint as Small, Memory, block_on, own};
use kernels::Error;
use kernels::device::Opened;
use kernels::engine::{Engine, Input, Step};
use kernels::llm::{Adapter, Attached, Config, Layers, ranges};
use kernels::weights::gguf::{Gguf, Parsed};
use kernels::weights::{ByteRange, Checkpoint, Files, Header};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest single allocation so far, in bytes.
static LARGEST: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// More than any of the files here has, less than what a lying length asks for.
const ENOUGH_BYTES: usize = 8 << 20;

fn assert_modest() {
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= ENOUGH_BYTES, "an allocation of {largest} bytes for a file of a few thousand");
}

fn gguf() -> Vec<u8> {
    own("qwen2-moe/model.gguf")
}

/// As whoever loads a model does: the header, then the configuration, then where everything lies.
fn use_gguf(head: &[u8], file_bytes: u64) -> Result<Parsed, Error> {
    let parsed = Gguf::parse(head, file_bytes)?;
    if let Parsed::Whole(gguf) = &parsed {
        let factors: Vec<Vec<f32>> =
            gguf.factors()?.iter().map(|range| vec![1.0; range.cols.min(4096)]).collect();
        let config = gguf.config(&factors)?;
        let all = Layers::new(0, config.layers);
        for range in ranges(&config, &gguf.header("f")?, all)? {
            assert!(range.range.end <= file_bytes, "{} lies outside the file", range.tensor);
            let _ = range.pieces(1 << 10);
        }
    }
    Ok(parsed)
}

/// Names the offset, or the tensor, or the field.
fn assert_named(error: &Error, what: &str) {
    let named = matches!(
        error,
        Error::Header { .. }
            | Error::Tensor { .. }
            | Error::Shape { .. }
            | Error::Config(_)
            | Error::Adapter(_)
            | Error::Architecture { .. }
            | Error::Layers(..)
    );
    assert!(named, "{what}: {error:?}");
}

#[test]
fn a_gguf_file_cut_off_anywhere_is_refused() {
    let whole = gguf();
    let Parsed::Whole(read) = use_gguf(&whole, whole.len() as u64).unwrap() else {
        panic!("it is all there")
    };
    let head = read.size() as usize;
    for length in (0..head).chain((head..whole.len()).step_by(97)) {
        let error = use_gguf(&whole[..length], length as u64).expect_err("cut off");
        assert!(matches!(error, Error::Header { .. }), "cut off after {length}: {error}");
        if length + 64 < head {
            match use_gguf(&whole[..length], whole.len() as u64) {
                Ok(Parsed::More(least)) => assert!(least > length as u64 && least <= whole.len() as u64),
                other => panic!("{length} bytes are not a header: {other:?}"),
            }
        }
    }
    assert_modest();
}

#[test]
fn a_gguf_header_with_any_bit_flipped_is_refused_or_used() {
    let whole = gguf();
    let Parsed::Whole(read) = use_gguf(&whole, whole.len() as u64).unwrap() else {
        panic!("it is all there")
    };
    let (mut head, mut refused) = (whole[..read.size() as usize].to_vec(), 0);
    for bit in 0..head.len() * 8 {
        head[bit / 8] ^= 1 << (bit % 8);
        match use_gguf(&head, whole.len() as u64) {
            Ok(_) => {}
            Err(error) => {
                assert_named(&error, &format!("bit {bit}"));
                refused += 1;
            }
        }
        head[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > head.len(), "only {refused} of {} flips were noticed", head.len() * 8);
    assert_modest();
}

#[test]
fn a_safetensors_header_with_any_bit_flipped_is_refused_or_used() {
    let (config, whole) = (own("qwen2-moe/config.json"), own("qwen2-moe/model.safetensors"));
    let config = Config::from_json(&config).unwrap();
    let mut head = whole[..Header::size(&whole).unwrap() as usize].to_vec();
    let all = Layers::new(0, config.layers);
    let mut refused = 0;
    for bit in 0..head.len() * 8 {
        head[bit / 8] ^= 1 << (bit % 8);
        let used = Header::parse(&head, whole.len() as u64).and_then(|header| ranges(&config, &header, all));
        if let Err(error) = used {
            assert_named(&error, &format!("bit {bit}"));
            refused += 1;
        }
        head[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > head.len(), "only {refused} of {} flips were noticed", head.len() * 8);
    assert_modest();
}

const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// The two files of an adapter.
fn adapter() -> [Vec<u8>; 2] {
    ADAPTER.map(|name| own(&format!("adapters/llama/plain/{name}")))
}

/// As a worker does: opens it, loads it, and computes with it, whatever numbers it holds.
fn use_adapter(engine: &mut Engine<u32>, files: [Vec<u8>; 2]) -> Result<(), Error> {
    let lengths = files.each_ref().map(Vec::len);
    let files = Memory(ADAPTER.map(str::to_owned).into_iter().zip(files).collect());
    let adapter = block_on(Adapter::open(&files, engine.config()))?;
    let all = Layers::new(0, engine.config().layers);
    let ranges = adapter.ranges(all)?;
    assert!(ranges.iter().all(|range| range.range.end <= lengths[1] as u64), "outside the file");
    let source = async |range: &ByteRange| files.read(&range.file, range.range.clone()).await;
    block_on(engine.load_adapter(&adapter, all, source))?;
    let adapters = &[Attached { id: adapter.id(), weight: 1.0 }][..];
    let input = Input::Tokens(&[1, 5, 9]);
    block_on(engine.run(Step { session: 1, layers: all, position: 0, input, adapters, draw: None }))?;
    engine.forget(&1);
    engine.unload_adapter(adapter.id());
    Ok(())
}

fn base() -> Engine<u32> {
    let checkpoint = Small::own("adapters/llama/base", "config.json");
    checkpoint.engine(&Opened::cpu(), checkpoint.all())
}

#[test]
fn an_adapter_with_any_bit_of_its_header_flipped_is_refused_or_used() {
    let ([config, mut weights], mut engine) = (adapter(), base());
    let head = Header::size(&weights).unwrap() as usize;
    let mut refused = 0;
    for bit in 0..head * 8 {
        weights[bit / 8] ^= 1 << (bit % 8);
        if let Err(error) = use_adapter(&mut engine, [config.clone(), weights.clone()]) {
            assert_named(&error, &format!("bit {bit}"));
            refused += 1;
        }
        weights[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > head * 7, "only {refused} of {} flips were noticed", head * 8);
    assert_modest();
}

/// Rows: what is written where, what the error says, why.
#[test]
fn gguf_headers_that_lie_are_refused() {
    let put = |at: usize, bytes: &[u8]| {
        let mut file = gguf();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let most = u64::MAX.to_le_bytes();
    let rows = [
        (put(0, b"GGML"), "byte 0", "an older format"),
        (put(4, &1u32.to_le_bytes()), "version 1", "an older version"),
        (put(4, &3u32.to_be_bytes()), "version", "the other byte order"),
        (put(8, &most), "at most", "tensors without end"),
        (put(16, &most), "at most", "metadata without end"),
        (put(24, &most), "byte 24", "a name as long as memory"),
        (put(24, &1000u64.to_le_bytes()), "byte", "a name over others"),
    ];
    for (file, named, why) in rows {
        let error = use_gguf(&file, file.len() as u64).expect_err(why).to_string();
        assert!(error.contains(named), "{why}: {error}");
    }
    assert_modest();
}

/// Any bytes replaced, inserted or taken away.
#[derive(Debug, Clone)]
enum Damage {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
}

impl Damage {
    /// The same in the first `most` bytes.
    const fn within(&self, most: usize) -> Self {
        match *self {
            Self::Set(at, byte) => Self::Set(at % most, byte),
            Self::Insert(at, byte) => Self::Insert(at % most, byte),
            Self::Remove(at) => Self::Remove(at % most),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..6000usize;
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at.prop_map(Damage::Remove),
    ]
}

fn damaged(mut file: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for damage in all {
        match *damage {
            Damage::Set(at, byte) => file[at] = byte,
            Damage::Insert(at, byte) => file.insert(at, byte),
            Damage::Remove(at) => drop(file.remove(at)),
        }
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_checkpoint_is_refused_or_used(all in prop::collection::vec(damage(), 1..8)) {
        let file = damaged(gguf(), &all);
        let files = Memory(BTreeMap::from([("f".to_owned(), file)]));
        if let Err(error) = block_on(Checkpoint::of_gguf(&files, "f")) {
            assert_named(&error, "gguf");
        }
        let files = Memory(BTreeMap::from([
            ("config.json".to_owned(), own("qwen2-moe/config.json")),
            ("model.safetensors".to_owned(), damaged(own("qwen2-moe/model.safetensors"), &all)),
        ]));
        if let Err(error) = block_on(Checkpoint::of_folder(&files)) {
            assert_named(&error, "safetensors");
        }
        assert_modest();
    }

    #[test]
    fn a_damaged_adapter_is_refused_or_used(all in prop::collection::vec(damage(), 1..6), which in 0..2usize) {
        let (mut files, mut engine) = (adapter(), base());
        let most = files[which].len() - 20;
        let within = all.iter().map(|damage| damage.within(most));
        files[which] = damaged(files[which].clone(), &within.collect::<Vec<_>>());
        if let Err(error) = use_adapter(&mut engine, files) {
            assert_named(&error, "adapter");
        }
        assert_modest();
    }

    #[test]
    fn a_damaged_configuration_is_refused_or_used(all in prop::collection::vec(damage(), 1..4)) {
        let json = own("phi3-long/config.json");
        let within = all.iter().map(|damage| damage.within(900));
        if let Ok(config) = Config::from_json(&damaged(json, &within.collect::<Vec<_>>())) {
            prop_assert!(config.layers <= kernels::limits::LAYERS && config.heads % config.kv_heads == 0);
            prop_assert!(config.longest() <= kernels::limits::CONTEXT);
        }
    }
}
