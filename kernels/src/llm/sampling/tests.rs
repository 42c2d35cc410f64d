//! Draws against what the settings promise.

use super::*;

const SCORES: [f32; 6] = [1.0, 4.0, 3.0, 4.0, -2.0, f32::NEG_INFINITY];

fn with(change: impl FnOnce(&mut Sampling)) -> Sampling {
    let mut sampling = Sampling { temperature: 1.0, ..Sampling::greedy() };
    change(&mut sampling);
    sampling
}

/// Rows: settings, tokens that may appear in 400 draws, why.
#[test]
fn only_the_allowed_tokens_are_drawn() {
    let rows = [
        (Sampling::greedy(), vec![1], "temperature 0 takes the best, and the lower id of two equals"),
        (with(|s| s.top_k = 1), vec![1], "one candidate leaves no choice, ties as above"),
        (with(|s| s.top_k = 2), vec![1, 3], "the two best"),
        (with(|s| s.top_k = 3), vec![1, 2, 3], "the three best"),
        (with(|s| s.top_k = 99), vec![0, 1, 2, 3], "more than there are is all; −2 is too rare, −∞ never"),
        (with(|s| s.top_p = 0.4), vec![1], "the best alone has 0.41 of the probability"),
        (with(|s| s.top_p = 0.8), vec![1, 3], "the two best have 0.82"),
        (with(|s| s.min_p = 0.3), vec![1, 2, 3], "the third is 0.37 as likely as the best"),
        (with(|s| s.min_p = 1.0), vec![1, 3], "only what is as likely as the best"),
        (with(|s| s.temperature = 0.05), vec![1, 3], "cold leaves the best"),
    ];
    for (sampling, expected, why) in rows {
        let mut drawn: Vec<u32> = (0..400).map(|at| sampling.sample(&SCORES, at).unwrap()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn.retain(|token| *token != 4); // Probability 0.001: may or may not appear.
        assert_eq!(drawn, expected, "{why}");
    }
}

#[test]
fn frequencies_follow_the_probabilities() {
    let sampling = with(|s| s.seed = 3);
    let draws = 20_000;
    let mut counts = [0u32; 3];
    for at in 0..draws {
        counts[sampling.sample(&[0.0, 2f32.ln(), 5f32.ln()], at).unwrap() as usize] += 1;
    }
    for (count, expected) in counts.iter().zip([1.0 / 8.0, 2.0 / 8.0, 5.0 / 8.0]) {
        let share = f64::from(*count) / draws as f64;
        assert!((share - expected).abs() < 0.018, "five standard errors around {expected}, got {share}");
    }
}

#[test]
fn a_draw_depends_on_seed_and_position_only() {
    let draw = |seed, at| with(|s| s.seed = seed).sample(&SCORES, at).unwrap();
    let forward: Vec<u32> = (0..200).map(|at| draw(1, at)).collect();
    let mut backward: Vec<u32> = (0..200).rev().map(|at| draw(1, at)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_ne!(forward, (0..200).map(|at| draw(2, at)).collect::<Vec<_>>());
}

#[test]
fn nonsense_scores_are_an_error() {
    assert!(Sampling::greedy().sample(&[], 0).is_err());
    assert!(Sampling::default().sample(&[0.0, f32::NAN], 0).is_err());
}

/// Rows: settings out of range, the field that the error has to name.
#[test]
fn settings_are_checked_on_both_ways() {
    let rows = [
        (with(|s| s.temperature = -0.1), "temperature"),
        (with(|s| s.temperature = f32::NAN), "temperature"),
        (with(|s| s.temperature = f32::INFINITY), "temperature"),
        (with(|s| s.top_p = 0.0), "top_p"),
        (with(|s| s.top_p = 1.5), "top_p"),
        (with(|s| s.min_p = -1.0), "min_p"),
        (with(|s| s.repetition = 0.0), "repetition"),
        (with(|s| s.presence = f32::NAN), "presence"),
        (with(|s| s.frequency = 99.0), "frequency"),
        (with(|s| s.window = 257), "window"),
        (with(|s| s.report = 21), "report"),
        (with(|s| s.bias = vec![(0, 0.0); 65]), "bias"),
        (with(|s| s.bias = vec![(0, f32::INFINITY)]), "bias"),
    ];
    for (sampling, field) in rows {
        assert!(sampling.to_bytes().unwrap_err().to_string().contains(field));
        let bytes = postcard::to_stdvec(&(Sampling::VERSION, sampling)).unwrap();
        assert!(Sampling::from_bytes(&bytes).unwrap_err().to_string().contains(field));
    }
}

#[test]
fn bytes_come_back_whole_or_not_at_all() {
    // The longest that passes the checks.
    let sampling = Sampling {
        seed: u64::MAX,
        top_k: u32::MAX,
        bias: vec![(u32::MAX, -100.0); limits::BIASES],
        ..Sampling::default()
    };
    let bytes = sampling.to_bytes().unwrap();
    assert_eq!(Sampling::from_bytes(&bytes), Ok(sampling));
    for cut in 0..bytes.len() {
        assert!(Sampling::from_bytes(&bytes[..cut]).is_err(), "cut off after {cut} bytes");
    }
    assert!(Sampling::from_bytes(&[bytes, vec![0]].concat()).is_err(), "one byte too many");
    assert!(Sampling::from_bytes(&[1; limits::SAMPLING_BYTES + 1]).is_err(), "over the bound");
    let later = Sampling::from_bytes(&[2, 0, 0]).unwrap_err().to_string();
    assert!(later.contains("version Some(2)"), "{later}");
}

/// Rows: settings, recent tokens, the greedy choice, why.
#[test]
fn bias_and_penalties_change_the_choice() {
    let scores = [2.0, 1.9, -1.0, -1.1];
    let rows: [(Sampling, &[u32], u32, &str); 10] = [
        (Sampling { bias: vec![(1, 0.2)], ..Sampling::greedy() }, &[], 1, "1.9 + 0.2 is more than 2"),
        (
            Sampling { bias: vec![(0, -100.0), (9, 5.0)], ..Sampling::greedy() },
            &[],
            1,
            "as good as forbidden",
        ),
        (Sampling { repetition: 1.1, ..Sampling::greedy() }, &[], 0, "nothing was there before"),
        (Sampling { repetition: 1.1, ..Sampling::greedy() }, &[0], 1, "2 / 1.1 is less than 1.9"),
        (Sampling { repetition: 1.1, ..Sampling::greedy() }, &[0, 1], 0, "both are"),
        (Sampling { presence: 0.2, ..Sampling::greedy() }, &[0, 0, 0], 1, "once, however often"),
        (Sampling { frequency: 0.06, ..Sampling::greedy() }, &[0], 0, "1.94 is still more"),
        (Sampling { frequency: 0.06, ..Sampling::greedy() }, &[0, 0], 1, "1.88 is not"),
        (Sampling { presence: 0.2, window: 2, ..Sampling::greedy() }, &[0, 3, 3], 0, "too long ago"),
        (Sampling { presence: 0.2, ..Sampling::greedy() }, &[0, u32::MAX], 1, "an id that does not exist"),
    ];
    for (sampling, before, expected, why) in rows {
        let drawn = sampling.draw(&scores, 0, before, &mut Scratch::default()).unwrap();
        assert_eq!(drawn.token, expected, "{why}");
    }
    let negative = Sampling { repetition: 2.0, ..Sampling::greedy() };
    let drawn = negative.draw(&[-1.0, -1.5], 0, &[0], &mut Scratch::default()).unwrap();
    assert_eq!(drawn.token, 1, "a negative score is multiplied: -2 is less than -1.5");
}

#[test]
fn log_probabilities_are_the_models_own() {
    let scores = [1f32.ln(), 5f32.ln(), 2f32.ln(), 2f32.ln()];
    let sampling = Sampling { report: 3, bias: vec![(1, -50.0)], ..Sampling::greedy() };
    let drawn = sampling.draw(&scores, 0, &[], &mut Scratch::default()).unwrap();
    assert_eq!(drawn.token, 2, "the best but for the bias");
    let ids: Vec<u32> = drawn.best.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2, 3], "best first, as the model has them, the lower id of equals");
    let logs = drawn.best.iter().map(|(_, log)| *log).chain(drawn.log_probability);
    for (log, probability) in logs.zip([0.5f32, 0.2, 0.2, 0.2]) {
        assert!((log.exp() - probability).abs() < 1e-6, "{log} is not the logarithm of {probability}");
    }
    let silent = Sampling::greedy().draw(&scores, 0, &[], &mut Scratch::default()).unwrap();
    assert_eq!((silent.log_probability, silent.best.len()), (None, 0), "nobody asked");
}

/// The obvious way: everything sorted, everything summed.
fn plain(sampling: &Sampling, scores: &[f32]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..scores.len() as u32).collect();
    ids.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    ids.truncate(if sampling.top_k == 0 { ids.len() } else { sampling.top_k as usize });
    let weight =
        |id: &u32| f64::from((scores[*id as usize] - scores[ids[0] as usize]) / sampling.temperature).exp();
    let total: f64 = ids.iter().map(weight).sum();
    let mut before = 0.0;
    let kept = ids.iter().take_while(|id| {
        let keep = before < total * f64::from(sampling.top_p) && weight(id) >= f64::from(sampling.min_p);
        before += weight(id);
        keep
    });
    kept.copied().collect()
}

/// What is drawn over random scores is what the obvious way keeps: all of it, and nothing else.
#[test]
fn partial_sorting_keeps_what_full_sorting_keeps() {
    let rows =
        [(0, 0.9, 0.0), (0, 0.5, 0.0), (40, 0.95, 0.0), (0, 1.0, 0.1), (300, 0.99, 0.01), (5, 1.0, 0.0)];
    let mut scratch = Scratch::default();
    for (case, (top_k, top_p, min_p)) in rows.into_iter().enumerate() {
        let spread = if case == 0 { 0.5 } else { 6.0 };
        let scores: Vec<f32> =
            (0..2000).map(|id| spread * crate::random::uniform(case as u64, id) as f32).collect();
        let sampling = with(|s| (s.top_k, s.top_p, s.min_p, s.seed) = (top_k, top_p, min_p, 9));
        let mut drawn: Vec<u32> =
            (0..8000).map(|at| sampling.draw(&scores, at, &[], &mut scratch).unwrap().token).collect();
        drawn.sort_unstable();
        drawn.dedup();
        let mut kept = plain(&sampling, &scores);
        kept.sort_unstable();
        assert!(drawn.iter().all(|id| kept.binary_search(id).is_ok()), "case {case}: a token too many");
        // With few candidates all of them turn up; with many, most do.
        let least = if kept.len() < 100 { kept.len() } else { kept.len() * 9 / 10 };
        assert!(drawn.len() >= least, "case {case}: {} of {} were drawn", drawn.len(), kept.len());
    }
}

/// Rows: stop texts, pieces as they come, what is shown of each, whether the last one stops, why.
#[test]
fn stop_texts_end_an_answer_and_never_show() {
    type Row =
        (&'static [&'static str], &'static [&'static str], &'static [&'static str], bool, &'static str);
    let rows: [Row; 7] = [
        (&[], &["a", "b"], &["a", "b"], false, "without stops all is shown at once"),
        (&["###"], &["a#", "#b"], &["a", "##b"], false, "held back while it might be one, then given"),
        (&["###"], &["a#", "##", "more"], &["a", ""], true, "in three pieces"),
        (&["end"], &["the endless"], &["the "], true, "in the middle of a piece"),
        (&["aab"], &["aa", "ab"], &["", "a"], true, "the second of two beginnings"),
        (&["xy", "yz"], &["x", "yz"], &["", ""], true, "the first one counts"),
        (&["é!"], &["caf", "é", "?"], &["caf", "", "é?"], false, "characters of two bytes"),
    ];
    for (texts, pieces, shown, stopped, why) in rows {
        let mut stops = Stops::new(texts.iter().map(|&text| text.to_owned()).collect()).unwrap();
        let mut ended = false;
        for (piece, expected) in pieces.iter().zip(shown) {
            assert!(!ended, "{why}: it stopped before {piece:?}");
            let stopping = stops.push(piece);
            assert_eq!(stopping.text, *expected, "{why}, at {piece:?}");
            ended = stopping.stopped;
        }
        assert_eq!(ended, stopped, "{why}");
    }
    let mut stops = Stops::new(vec!["###".into()]).unwrap();
    assert_eq!(stops.push("a##").text + &stops.finish(), "a##", "an answer that ends by itself is whole");
    for bad in
        [vec![String::new()], vec!["x".repeat(limits::STOP_BYTES + 1)], vec!["x".into(); limits::STOPS + 1]]
    {
        assert!(Stops::new(bad).is_err());
    }
}

/// What a device picks is enough to draw what all scores would, or it is said that it is not.
#[test]
fn the_best_scores_alone_draw_the_same_token() {
    let plain = Sampling { temperature: 0.9, seed: 5, ..Sampling::greedy() };
    // Settings, and whether 64 of 500 scores always suffice.
    let rows = [
        (Sampling::greedy(), true),
        (Sampling { top_k: 40, ..plain.clone() }, true),
        (Sampling { top_k: 40, top_p: 0.9, min_p: 0.01, ..plain.clone() }, true),
        (Sampling { top_p: 0.5, temperature: 0.5, ..plain.clone() }, true),
        (Sampling { min_p: 0.5, ..plain.clone() }, true),
        (Sampling { top_p: 0.95, ..plain.clone() }, false),
        (Sampling { top_p: 0.95, min_p: 0.05, ..plain }, false),
    ];
    for (sampling, suffice) in rows {
        let mut found = 0;
        for position in 0..100_u64 {
            let scores: Vec<f32> =
                (0..500).map(|id| 8.0 * crate::random::uniform(position, id) as f32).collect();
            let mut sorted: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let count = sampling.best_needed(64).expect("no score is looked at that was not given");
            let temperature = f64::from(if sampling.temperature > 0.0 { sampling.temperature } else { 1.0 });
            let sum: f64 = scores.iter().map(|score| (f64::from(*score) / temperature).exp()).sum();
            let drawn = sampling.draw_best(&sorted[..count], sum.ln() as f32, position);
            if let Some(token) = drawn {
                assert_eq!(token, sampling.sample(&scores, position).unwrap(), "{sampling:?} at {position}");
                found += 1;
            }
        }
        assert!(found == 100 || !suffice, "{sampling:?}: {found} of 100");
    }
    let nothing = Sampling::greedy().draw_best(&[(0, f32::MIN)], 0.0, 0);
    assert_eq!(nothing, None, "what a device gives for scores that are no numbers");
    for needs_all in [
        Sampling { report: 1, ..Sampling::greedy() },
        Sampling { repetition: 1.1, ..Sampling::greedy() },
        Sampling { bias: vec![(1, 1.0)], ..Sampling::greedy() },
        Sampling { temperature: 1.0, ..Sampling::greedy() },
        Sampling { temperature: 1.0, top_k: 65, ..Sampling::greedy() },
    ] {
        assert_eq!(needs_all.best_needed(64), None, "{needs_all:?}");
    }
}
