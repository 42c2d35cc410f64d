//! Block formats against blocks that the ggml project's own package made (`ops_quant.py`), to the bit.

use kernels::quant::{Format, QuantError, dequantise, quantise};

const GOLDEN: &str = include_str!("ops_quant.txt");

struct Golden {
    format: Format,
    bytes: Vec<u8>,
    weights: Vec<f32>,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn golden(kind: &str) -> Vec<Golden> {
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let (found, name) = (words.next()?, words.next()?);
        let format = Format::ALL.into_iter().find(|format| format!("{format:?}") == name)?;
        let (bytes, weights) = (unhex(words.next()?), unhex(words.next()?));
        let weights = weights.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
        (found == kind).then(|| Golden { format, bytes, weights: weights.collect() })
    };
    GOLDEN.lines().filter_map(parse).collect()
}

#[test]
fn every_format_is_read_as_ggml_reads_it() {
    let blocks = golden("decode");
    for format in Format::ALL.into_iter().filter(|&format| format != Format::F32) {
        assert!(blocks.iter().any(|block| block.format == format), "no golden block of {format:?}");
    }
    for Golden { format, bytes, weights } in blocks {
        let mut found = vec![f32::NAN; weights.len()];
        dequantise(format, &bytes, &mut found).expect("a whole block");
        for (i, (found, expected)) in found.iter().zip(&weights).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{format:?} weight {i}: {found} for {expected}");
        }
    }
}

#[test]
fn quantisers_write_what_ggml_writes() {
    let blocks = golden("encode");
    assert_eq!(blocks.len(), 4);
    for Golden { format, bytes, weights } in blocks {
        assert_eq!(quantise(format, &weights).expect("whole blocks"), bytes, "{format:?}");
    }
}

#[test]
fn floats_survive_unchanged() {
    let weights = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::NEG_INFINITY];
    let mut found = [1.0; 6];
    dequantise(Format::F32, &quantise(Format::F32, &weights).expect("floats"), &mut found).expect("floats");
    assert_eq!(found.map(f32::to_bits), weights.map(f32::to_bits));
}

/// Any bytes are some weights: blocks come from strangers, and only their number can be wrong.
#[test]
fn any_bytes_are_decoded_and_wrong_lengths_refused() {
    for format in Format::ALL {
        let (len, size) = (format.block_len() * 3, format.block_bytes() * 3);
        let mut out = vec![0.0; len];
        for fill in [0x00, 0x7F, 0x80, 0xFF] {
            dequantise(format, &vec![fill; size], &mut out).expect("three blocks");
        }
        for wrong in [0, size - 1, size + 1] {
            let expected = QuantError::Length { format, weights: len, expected: size, found: wrong };
            assert_eq!(dequantise(format, &vec![0; wrong], &mut out), Err(expected));
        }
    }
    let columns = QuantError::Columns { format: Format::Q4_K, cols: 576, block: 256 };
    assert_eq!(Format::Q4_K.row_bytes(576), Err(columns));
    assert_eq!(Format::Q8_0.row_bytes(576), Ok(18 * 34));
    assert!(Format::F32.row_bytes(usize::MAX).is_err(), "no overflow");
    assert_eq!(quantise(Format::Q6_K, &[0.0; 256]), Err(QuantError::NoEncoder(Format::Q6_K)));
}

/// Numbers of `enum ggml_type` that files carry; the gaps are formats that were withdrawn or are not known here.
#[test]
fn gguf_numbers_name_each_format_once() {
    let mut named: Vec<Format> = (0..64).filter_map(Format::from_gguf).collect();
    assert_eq!(named.len(), Format::ALL.len());
    named.dedup();
    assert!(Format::ALL.iter().all(|format| named.contains(format)));
    assert_eq!(Format::from_gguf(4), None, "Q4_2 was withdrawn");
    assert_eq!(Format::from_gguf(8), Some(Format::Q8_0));
}
