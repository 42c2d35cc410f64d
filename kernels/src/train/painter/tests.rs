use super::*;
use crate::device::Opened;
use crate::diffusion::{denoiser, text_encoder};
use crate::tokenizer::Tokenizer;
use crate::train::{Length, Split};
use burn::tensor::{Device, Tensor, TensorData};
use futures::executor::block_on;
use std::path::PathBuf;

fn some_scenes(count: usize) -> Vec<Scene> {
    scenes(Split::Train, 3, 0).take(count).collect()
}

#[test]
fn a_seed_is_always_the_same_scene_and_picture() {
    let (first, again) = (some_scenes(60), some_scenes(60));
    assert_eq!(first, again);
    for (scene, other) in first.iter().zip(&first[1..]) {
        assert_eq!(Picture::of(scene), Picture::of(scene));
        assert_ne!(Picture::of(scene), Picture::of(other), "{} and {}", scene.caption, other.caption);
    }
    let picture = Picture::of(&first[0]);
    assert_eq!(
        Picture::of_planes(&picture.planes()),
        picture,
        "pixels survive the way to the model and back"
    );
}

#[test]
fn the_detector_is_right_on_what_was_rendered() {
    const COUNT: u32 = 500;
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    for scene in some_scenes(COUNT as usize) {
        let score = judge(&scene, &find(&Picture::of(&scene)));
        tally.add(&score);
        if !score.all {
            wrong.push(format!("{}: {score:?}", scene.caption));
        }
    }
    for (part, name) in Tally::NAMES.iter().enumerate() {
        assert!(tally.percent(part) >= 98.0, "{name} {:.1} %:\n{}", tally.percent(part), wrong.join("\n"));
    }
}

/// A red circle to the left of a blue square, on white.
fn pair() -> Scene {
    let object = |kind, colour, x| Object {
        kind,
        colour,
        names_colour: true,
        size: None,
        pattern: None,
        at: [x, 24.0],
        radius: 8.0,
        flipped: false,
    };
    Scene {
        objects: vec![object(Kind::Circle, Colour::Red, 12.0), object(Kind::Square, Colour::Blue, 36.0)],
        background: Background::White,
        names_background: true,
        place: None,
        relation: Some(Relation::LeftOf),
        caption: "a red circle left of a blue square on white".into(),
    }
}

#[test]
fn what_is_wrong_in_a_picture_is_counted() {
    let asked = pair();
    let other = |change: &dyn Fn(&mut Scene)| {
        let mut scene = asked.clone();
        change(&mut scene);
        judge(&asked, &find(&Picture::of(&scene)))
    };
    let right = Score {
        colour: Some(true),
        shape: true,
        count: true,
        relation: Some(true),
        pattern: None,
        background: Some(true),
        all: true,
    };
    let wrong = Score { all: false, ..right };
    let rows: [(Score, Score, &str); 6] = [
        (other(&|_| ()), right, "as it was asked for"),
        (
            other(&|scene| scene.objects[0].colour = Colour::Green),
            Score { colour: Some(false), ..wrong },
            "another colour",
        ),
        (
            other(&|scene| scene.objects[1].kind = Kind::Star),
            Score { shape: false, ..wrong },
            "another shape",
        ),
        (
            other(&|scene| {
                scene.objects.push(Object { at: [36.0, 40.5], radius: 5.5, ..scene.objects[0] });
                scene.objects[1].at = [36.0, 20.0];
            }),
            Score { count: false, ..wrong },
            "one too many",
        ),
        (
            other(&|scene| {
                (scene.objects[0].at, scene.objects[1].at) = (asked.objects[1].at, asked.objects[0].at)
            }),
            Score { relation: Some(false), ..wrong },
            "on the other side",
        ),
        (
            other(&|scene| scene.background = Background::Night),
            Score { background: Some(false), ..wrong },
            "at night",
        ),
    ];
    for (found, expected, why) in rows {
        assert_eq!(found, expected, "{why}");
    }
    let swapped = other(&|scene| {
        (scene.objects[0].colour, scene.objects[1].colour) = (Colour::Blue, Colour::Red);
    });
    assert!(swapped.colour == Some(true) && !swapped.all, "a blue circle and a red square: {swapped:?}");
}

#[test]
fn held_out_captions_are_never_learned_from() {
    let learned: Vec<String> = some_scenes(3000).into_iter().map(|scene| scene.caption).collect();
    assert!(learned.iter().all(|caption| !is_held_out(caption)));
    let held_out: Vec<String> = scenes(Split::HeldOut, 3, 0).take(50).map(|scene| scene.caption).collect();
    assert!(held_out.iter().all(|caption| is_held_out(caption) && !learned.contains(caption)));
}

fn tokenizer() -> String {
    vocabulary::learn(|index| Split::Vocabulary.seed(3, index % 2000)).expect("a vocabulary")
}

#[test]
fn any_text_has_tokens() {
    let tokenizer = Tokenizer::from_json(tokenizer().as_bytes(), None).expect("a tokenizer");
    assert!((60..512).contains(&tokenizer.vocabulary()), "{tokenizer:?}");
    let ids = |text: &str| tokenizer.encode(text, true).expect("ids");
    let rows: [(&str, &str, &str); 3] = [
        ("A Red CIRCLE", "a red circle", "capitals do not matter"),
        ("a red circle, above a house", "a red circle , above a house", "a comma is a word"),
        ("a zebra", "a 🦓", "words that no caption has are alike"),
    ];
    for (text, same, why) in rows {
        assert_eq!(ids(text), ids(same), "{why}");
    }
    assert_eq!(ids("").len(), 1, "no text is the start of one");
    assert_ne!(ids("a red circle"), ids("a blue circle"));
}

fn tiny(device: &Device) -> Learner {
    let words = Tokenizer::from_json(tokenizer().as_bytes(), None).expect("a tokenizer").vocabulary();
    let encoder = text_encoder::Config {
        width: 16,
        layers: 1,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        ff_width: 16,
        local: vec![false],
        ..encoder_config(words)
    };
    let denoiser = denoiser::Config {
        text_width: 16,
        width: 32,
        ff_width: 32,
        heads: 2,
        axes: [8, 8],
        depth: 2,
        ..denoiser_config()
    };
    Learner::init(&encoder, &denoiser, device)
}

fn batch(count: usize) -> Batch {
    let tokenizer = Tokenizer::from_json(tokenizer().as_bytes(), None).expect("a tokenizer");
    Batch::new(&some_scenes(count), &tokenizer, || false).expect("a batch")
}

/// The loss at fixed noise and times.
fn loss(model: &Learner, batch: &Batch, device: &Device) -> f32 {
    let times: Vec<f32> = (0..batch.count).map(|at| (at as f32 + 0.5) / batch.count as f32).collect();
    let noise = TensorData::new(crate::diffusion::noise(1, batch.planes.len()), [batch.count, 3, SIDE, SIDE]);
    model.loss(batch, Tensor::from_data(noise, device), &times, device).velocity.into_scalar::<f32>()
}

fn trained(device: &Device, batch: &Batch, steps: usize) -> Learner {
    device.seed(4);
    let mut trainer = Trainer::new(tiny(device), device.clone(), 1e-2, 4);
    for _ in 0..steps {
        let _ = trainer.learn(batch);
    }
    trainer.averaged()
}

#[test]
fn the_loss_falls() {
    let (device, batch) = (Device::flex().autodiff(), batch(8));
    let [before, after] = [0, 40].map(|steps| loss(&trained(&device, &batch, steps), &batch, &device));
    assert!(after < 0.5 * before, "40 steps: {before} to {after}");
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("manyhands-painter-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn what_was_written_paints_as_the_model_that_was_trained() {
    let (device, batch, scratch) = (Device::flex().autodiff(), batch(4), Scratch::new("written"));
    let model = trained(&device, &batch, 30);
    let settings = Settings {
        seed: 3,
        batch: 4,
        rate: 1e-2,
        length: Length::Steps(30),
        checkpoint_minutes: 1.0,
        out: scratch.0.clone(),
        from: None,
    };
    let mut record = Record::new(&settings, "CPU", 1, None);
    record.progress(30, 120, 1.0, 0.5);
    block_on(Saved::write(&scratch.0, &model, &tokenizer(), &record)).expect("a folder");

    let saved = block_on(Saved::open(&scratch.0)).expect("a painter");
    assert_eq!(saved.folder.base, Some(SIDE));
    assert_eq!(saved.record.as_ref().map(|record| record.seed), Some(3));
    let (read, _, _) = block_on(saved.learner(&device)).expect("a model");
    let [before, after] = [&model, &read].map(|model| loss(model, &batch, &device));
    // f16 keeps 11 bits of every weight.
    assert!((before - after).abs() < 0.01 * before, "a loss of {before} became {after}");

    let mut easel = block_on(Easel::open(&scratch.0, Opened::cpu())).expect("an easel");
    let mut paint = |prompt| {
        let wish = Wish { prompt, negative: "", steps: 3, guidance: 2.0, seed: 5 };
        block_on(easel.paint(&wish)).expect("a picture")
    };
    let picture = paint("a red circle");
    assert_eq!(picture, paint("a red circle"), "the same wish is the same picture");
    assert_ne!(picture, paint("four blue boats at night"), "the text counts");
}

#[test]
fn a_curve_has_both_losses() {
    let csv = "step,pictures,seconds,learning_rate,train_loss,held_out_loss\n20,1280,9,1e-3,2.5,\n20,,10,,,2.25\n40,2560,19,1e-3,0.5,\n";
    let svg = curve(csv);
    assert_eq!(svg.matches("<polyline").count(), 2);
    // The last training loss is the least and stands at the right below; the held-out one lies half-way across.
    assert!(svg.contains("592.0,312.0'") && svg.contains("points='320.0,"), "{svg}");
}
