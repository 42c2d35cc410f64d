//! Figures in plain words.

use crate::node::view::View;
use coordinator::io::{Capability, Device};
use coordinator::{Layers, PeerId};

/// A size, such as "180 MB": decimal units, three figures at most.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} {}", if count == 1 { "byte" } else { "bytes" }),
        _ => format!("{} {}", figures(value), UNITS[unit]),
    }
}

/// Width and height in pixels: "48 × 48".
#[must_use]
pub fn size(width: u32, height: u32) -> String {
    format!("{width} × {height}")
}

/// How a prompt begins, to name an answer by: half a line on a phone.
#[must_use]
pub fn opening(prompt: &str) -> String {
    const SHOWN: usize = 40;
    let short: String = prompt.trim().chars().take(SHOWN).collect();
    if short.is_empty() || short.len() < prompt.trim().len() { format!("{short}…") } else { short }
}

/// A rate, such as "12 tokens/s".
#[must_use]
pub fn rate(tokens_per_second: f32) -> String {
    format!("{} tokens/s", figures(f64::from(tokens_per_second)))
}

/// A time span, such as "240 ms", "2.1 s" or "3 min".
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", figures(ms as f64 / 1000.0)),
        _ => format!("{} min", ms / 60_000),
    }
}

/// A time that is only a guess, such as "about 20 s" or "about 3 min": rounded up, as coarse as it is.
#[must_use]
pub fn about(ms: u32) -> String {
    match ms.div_ceil(1_000).max(1) {
        s @ 1..10 => format!("about {s} s"),
        s @ ..60 => format!("about {} s", s.next_multiple_of(5)),
        s => format!("about {} min", s.div_ceil(60)),
    }
}

/// A place in the queue, where 0 is next, and how long that may take: "next in line", "2nd in line, about 20 s".
#[must_use]
pub fn queued(place: u32, wait_ms: Option<u32>) -> String {
    let place = match place {
        0 => "next in line".to_owned(),
        behind => format!("{} in line", ordinal(behind.saturating_add(1))),
    };
    wait_ms.map_or(place.clone(), |ms| format!("{place}, {}", about(ms)))
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A count and its noun: "1 token", "84 tokens".
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What a peer is called; "a device that left" if it is not here.
#[must_use]
pub fn name_of(view: &View, peer: PeerId) -> String {
    let known = view.peers.peers.iter().find(|one| one.id == peer);
    known.map_or_else(|| "a device that left".to_owned(), |peer| peer.name.clone())
}

/// Layers counted from 1, as people do: "layer 5" or "layers 1–4".
#[must_use]
pub fn layers(range: Layers) -> String {
    match range.len() {
        0 => "no layers".to_owned(),
        1 => format!("layer {}", range.end),
        _ => format!("layers {}–{}", range.start + 1, range.end),
    }
}

/// What a peer does with a model of `total` layers, of which the plan gives it `runs` and its memory has `ready`:
/// "Runs layers 1–4 of 8", "Loading layers 5–8", "Holds no layers yet".
#[must_use]
pub fn share(runs: &[Layers], ready: &[Layers], total: u16) -> String {
    let (runs, held) = (joined(runs), joined(ready));
    let in_memory = |run: &Layers| held.iter().any(|held| held.start <= run.start && run.end <= held.end);
    if runs.is_empty() {
        format!("Holds {}", of(&held, total))
    } else if runs.iter().all(in_memory) {
        format!("Runs {}{}", of(&runs, total), if held == runs { "" } else { ", holds more" })
    } else {
        format!("Loading {}", list(&runs.into_iter().map(layers).collect::<Vec<_>>()))
    }
}

/// "all 8 layers", "layers 1–4 of 8", "layers 1–2, 7–8 of 8", "no layers yet"; of ranges that do not touch.
fn of(ranges: &[Layers], total: u16) -> String {
    let numbers: Vec<String> = ranges.iter().map(|range| numbers(*range)).collect();
    match ranges.iter().map(|range| range.len()).sum::<u16>() {
        0 => "no layers yet".to_owned(),
        all if all == total => format!("all {total} layers"),
        1 => format!("layer {} of {total}", numbers.join(", ")),
        _ => format!("layers {} of {total}", numbers.join(", ")),
    }
}

/// The same layers in as few ranges as possible, in order.
fn joined(ranges: &[Layers]) -> Vec<Layers> {
    let mut sorted: Vec<Layers> = ranges.iter().copied().filter(|range| !range.is_empty()).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Layers> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// What a device computes with and how fast, as it was measured: "CPU, 2.6 ms a layer".
///
/// Not tokens a second: what passing tokens on costs is in no probe.
#[must_use]
pub fn device(capability: Option<&Capability>, layer_micros: Option<u32>) -> String {
    let Some(capability) = capability else {
        return "getting ready".to_owned();
    };
    let kind = match capability.device {
        Device::Gpu => "WebGPU",
        Device::Cpu => "CPU",
    };
    match layer_micros {
        None | Some(0) => kind.to_owned(),
        Some(micros) => format!("{kind}, {} ms a layer", figures(f64::from(micros) / 1_000.0)),
    }
}

/// "A", "A and B", "A, B and C".
#[must_use]
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A reason, which other parts give as half a sentence, as a sentence of its own.
#[must_use]
pub fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let stop = if reason.is_empty() || reason.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    first.chain(letters).collect::<String>() + stop
}

fn numbers(range: Layers) -> String {
    match range.len() {
        1 => range.end.to_string(),
        _ => format!("{}–{}", range.start + 1, range.end),
    }
}

/// Two significant figures below 10, none after the point from there on.
fn figures(value: f64) -> String {
    match value {
        v if v < 0.095 => format!("{v:.2}"),
        v if v < 9.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u16, end: u16) -> Layers {
        Layers { start, end }
    }

    #[test]
    fn sizes_rates_and_spans() {
        let rows = [
            (bytes(0), "0 bytes", "no unit games for nothing"),
            (bytes(1), "1 byte", "singular"),
            (bytes(999), "999 bytes", "below the first unit"),
            (bytes(1_250), "1.2 kB", "two figures below ten"),
            (bytes(999_600), "1.0 MB", "rounds up into the next unit, never 1000 kB"),
            (bytes(180_000_000), "180 MB", "whole from ten on"),
            (bytes(u64::MAX), "18446744 TB", "stays in the largest unit"),
            (rate(12.34), "12 tokens/s", "whole from ten on"),
            (rate(3.21), "3.2 tokens/s", "one place below ten"),
            (rate(0.012), "0.01 tokens/s", "a crawl is still not zero"),
            (span(240), "240 ms", "below a second"),
            (span(2_140), "2.1 s", "seconds with one place"),
            (span(185_000), "3 min", "nobody needs the seconds"),
            (about(0), "about 1 s", "never nothing"),
            (about(8_200), "about 9 s", "rounded up, so that it is kept"),
            (about(16_400), "about 20 s", "in steps of five from ten on"),
            (about(61_000), "about 2 min", "minutes"),
        ];
        for (got, expected, why) in rows {
            assert_eq!(got, expected, "{why}");
        }
    }

    #[test]
    fn shares_of_the_model() {
        let (all, first, last) = (range(0, 8), range(0, 4), range(4, 8));
        let rows = [
            (share(&[], &[], 8), "Holds no layers yet", "nothing loaded, nothing planned"),
            (share(&[], &[all], 8), "Holds all 8 layers", "in reserve"),
            (
                share(&[], &[range(6, 8), range(0, 2)], 8),
                "Holds layers 1–2, 7–8 of 8",
                "two pieces, in order",
            ),
            (share(&[], &[range(7, 8)], 8), "Holds layer 8 of 8", "one layer"),
            (share(&[all], &[first, last], 8), "Runs all 8 layers", "alone, in two pieces"),
            (share(&[first], &[first], 8), "Runs layers 1–4 of 8", "the first half"),
            (share(&[first], &[first, all], 8), "Runs layers 1–4 of 8, holds more", "overlap"),
            (share(&[first, last], &[first, last], 8), "Runs all 8 layers", "two stages"),
            (share(&[first, last], &[first], 8), "Loading layers 1–8", "the second half is not there yet"),
            (share(&[last], &[first], 8), "Loading layers 5–8", "not yet"),
        ];
        for (got, expected, why) in rows {
            assert_eq!(got, expected, "{why}");
        }
        assert_eq!(layers(range(4, 5)), "layer 5");
    }

    #[test]
    fn devices_say_how_fast_they_are() {
        let cpu = Capability { device: Device::Cpu, memory: 0 };
        let gpu = Capability { device: Device::Gpu, ..cpu };
        let rows = [
            (device(None, None), "getting ready", "no probe yet"),
            (device(Some(&cpu), Some(2_610)), "CPU, 2.6 ms a layer", "as measured"),
            (device(Some(&cpu), Some(87)), "CPU, 0.09 ms a layer", "a small model"),
            (device(Some(&cpu), Some(0)), "CPU", "too fast to measure"),
            (device(Some(&gpu), None), "WebGPU", "the other kind, which writes no text"),
        ];
        for (got, expected, why) in rows {
            assert_eq!(got, expected, "{why}");
        }
    }

    #[test]
    fn places_in_the_queue() {
        let rows = [
            (queued(0, None), "next in line", "nobody is before it, nobody knows how long"),
            (queued(0, Some(4_000)), "next in line, about 4 s", "nobody is before it"),
            (queued(1, Some(20_000)), "2nd in line, about 20 s", "one is before it"),
            (queued(2, None), "3rd in line", "two are"),
            (queued(10, None), "11th in line", "not 11st"),
            (queued(20, None), "21st in line", "but 21st"),
            (queued(u32::MAX, None), "4294967295th in line", "whatever a coordinator says"),
        ];
        for (got, expected, why) in rows {
            assert_eq!(got, expected, "{why}");
        }
    }

    #[test]
    fn reasons_become_sentences() {
        let rows = [
            ("this room is full", "This room is full.", "half a sentence"),
            ("Reload the page.", "Reload the page.", "one already"),
            ("étage perdu", "Étage perdu.", "not only ASCII"),
            ("", "", "nothing to say"),
        ];
        for (reason, expected, why) in rows {
            assert_eq!(sentence(reason), expected, "{why}");
        }
    }

    #[test]
    fn lists_read_like_sentences() {
        let names = ["A", "B", "C"].map(str::to_owned);
        assert_eq!(list(&names[..0]), "");
        assert_eq!(list(&names[..1]), "A");
        assert_eq!(list(&names[..2]), "A and B");
        assert_eq!(list(&names), "A, B and C");
    }
}
