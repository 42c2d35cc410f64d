//! Trains the painter that the app ships, judges it, and shows what it paints.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[cfg(feature = "train-torch")]
use burn::tensor::Device;
use clap::{Parser, Subcommand, ValueEnum};
use futures::executor::block_on;
use kernels::device::{self, Kind, Opened, Prefer};
#[cfg(feature = "train-torch")]
use kernels::train::painter::TORCH;
use kernels::train::painter::{
    Background, Colour, Easel, Picture, Saved, Scene, Settings, Tally, Wish, curve, find, judge, run, scenes,
    sheet,
};
use kernels::train::{Length, Split, TrainError};

/// Trains the painter that the app ships, judges it, and shows what it paints.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Renders scenes: what the model learns from. Captions go to a text file beside the sheet.
    Render {
        /// How many.
        #[arg(long, default_value_t = 48)]
        count: usize,
        /// Which ones.
        #[arg(long, default_value_t = 1)]
        seed: u32,
        /// The PNG file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Trains and writes checkpoints.
    Run(RunArguments),
    /// Paints held-out captions and scores them; then does the same to rendered scenes, which tells the detector's own errors.
    Judge(JudgeArguments),
    /// Whether what a negative prompt names stays away.
    Negative(JudgeArguments),
    /// Paints prompts onto one sheet.
    Sheet(SheetArguments),
    /// Copies a checkpoint to where it ships from, with its loss curve.
    Pack {
        /// Folder of the checkpoint.
        #[arg(long)]
        from: PathBuf,
        /// Folder to write.
        #[arg(long, default_value = SHIPPED)]
        out: PathBuf,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Gpu)]
    device: Chosen,
    /// Numbers the scenes and draws the first weights; below 4194304.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..1 << 22))]
    seed: u32,
    /// Pictures in a step.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    /// Stop after about so many minutes.
    #[arg(long, default_value_t = 60.0, conflicts_with = "steps")]
    minutes: f64,
    /// Stop after exactly so many steps.
    #[arg(long)]
    steps: Option<u32>,
    /// Minutes between two checkpoints.
    #[arg(long, default_value_t = 4.0)]
    checkpoint_minutes: f64,
    /// Folder to write to.
    #[arg(long, default_value = "target/painter")]
    out: PathBuf,
    /// Folder of a checkpoint to go on from.
    #[arg(long)]
    from: Option<PathBuf>,
}

#[derive(clap::Args)]
struct JudgeArguments {
    /// Folder of the model.
    #[arg(long, default_value = SHIPPED)]
    model: PathBuf,
    /// Whose held-out captions: the seed of the run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..1 << 22))]
    seed: u32,
    /// Pictures.
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// Steps.
    #[arg(long, default_value_t = 16)]
    steps: usize,
    /// How much the text counts.
    #[arg(long, default_value_t = 3.0)]
    guidance: f32,
    /// A sheet of the first pictures, for people.
    #[arg(long)]
    sheet: Option<PathBuf>,
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Cpu)]
    device: Chosen,
}

#[derive(clap::Args)]
struct SheetArguments {
    /// Folder of the model.
    #[arg(long, default_value = SHIPPED)]
    model: PathBuf,
    /// What to paint; may be given several times. Without any, a choice of our own.
    #[arg(long)]
    prompt: Vec<String>,
    /// Pictures of each prompt.
    #[arg(long, default_value_t = 4)]
    count: u64,
    /// What not to paint.
    #[arg(long, default_value = "")]
    negative: String,
    /// Steps.
    #[arg(long, default_value_t = 16)]
    steps: usize,
    /// How much the text counts.
    #[arg(long, default_value_t = 3.0)]
    guidance: f32,
    /// Seed of the first picture of each prompt.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The PNG file to write.
    #[arg(long)]
    out: PathBuf,
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Cpu)]
    device: Chosen,
}

/// The model that ships.
const SHIPPED: &str = "assets/painter";
/// What a sheet shows where nobody says.
const PROMPTS: [&str; 16] = [
    "a red circle",
    "a large blue star on a white background",
    "three green hearts",
    "a red circle above a blue square",
    "a yellow star left of a purple ring",
    "a house on the grass",
    "a blue house next to a tree on the grass",
    "the sun in the sky",
    "a boat on the sea",
    "an orange fish",
    "two pink fish on the water",
    "a striped purple square at night",
    "a dotted red heart on black",
    "a small orange triangle on the left",
    "a brown ring at the bottom",
    "four yellow stars at night",
];

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Chosen {
    Gpu,
    Cpu,
    /// The CPU through libtorch; only with the feature `train-torch`.
    Torch,
}

fn main() {
    let done = match Arguments::parse().command {
        Command::Render { count, seed, out } => render(count, seed, &out),
        Command::Run(arguments) => block_on(train(arguments)),
        Command::Judge(arguments) => block_on(judge_captions(&arguments)),
        Command::Negative(arguments) => block_on(judge_negatives(&arguments)),
        Command::Sheet(arguments) => block_on(paint_sheet(&arguments)),
        Command::Pack { from, out } => pack(&from, &out),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn render(count: usize, seed: u32, out: &Path) -> Result<(), TrainError> {
    let all: Vec<Scene> = scenes(Split::Train, seed, 0).take(count).collect();
    let pictures: Vec<Picture> = all.iter().map(Picture::of).collect();
    sheet(&pictures, 8, out)?;
    let captions: Vec<String> =
        all.iter().enumerate().map(|(at, scene)| format!("{}: {}\n", at + 1, scene.caption)).collect();
    write(&out.with_extension("txt"), &captions.concat())
}

async fn train(arguments: RunArguments) -> Result<(), TrainError> {
    let settings = Settings {
        seed: arguments.seed,
        batch: arguments.batch as usize,
        rate: arguments.rate,
        length: arguments.steps.map_or(Length::Minutes(arguments.minutes), Length::Steps),
        checkpoint_minutes: arguments.checkpoint_minutes,
        out: arguments.out,
        from: arguments.from,
    };
    let record = run(&settings, &open(arguments.device).await?).await?;
    println!("{}", serde_json::to_string_pretty(&record).unwrap_or_default());
    Ok(())
}

async fn judge_captions(arguments: &JudgeArguments) -> Result<(), TrainError> {
    let mut easel = Easel::open(&arguments.model, open(arguments.device).await?).await?;
    let (mut painted, mut rendered, mut pictures) = (Tally::default(), Tally::default(), Vec::new());
    let mut captions = String::new();
    let started = Instant::now();
    // Training measures its loss on the first ones; these are others.
    for (at, scene) in scenes(Split::HeldOut, arguments.seed, 1 << 30).take(arguments.count).enumerate() {
        let wish = Wish {
            prompt: &scene.caption,
            negative: "",
            steps: arguments.steps,
            guidance: arguments.guidance,
            seed: at as u64,
        };
        let picture = easel.paint(&wish).await?;
        let score = judge(&scene, &find(&picture));
        painted.add(&score);
        rendered.add(&judge(&scene, &find(&Picture::of(&scene))));
        captions.push_str(&format!("{}: {} {}\n", at + 1, if score.all { "+" } else { "-" }, scene.caption));
        pictures.push(picture);
    }
    let seconds = started.elapsed().as_secs_f64() / arguments.count.max(1) as f64;
    println!("{} steps, guidance {}, {seconds:.2} s a picture", arguments.steps, arguments.guidance);
    for (part, name) in Tally::NAMES.iter().enumerate() {
        let ([right, asked], truth) = (painted.parts[part], rendered.percent(part));
        println!("| {name} | {:.1} % ({right} of {asked}) | {truth:.1} % |", painted.percent(part));
    }
    if let Some(out) = &arguments.sheet {
        sheet(&pictures[..pictures.len().min(96)], 12, out)?;
        write(&out.with_extension("txt"), &captions)?;
    }
    Ok(())
}

/// Colours and backgrounds that a prompt leaves open, with and without one of them in the negative prompt.
async fn judge_negatives(arguments: &JudgeArguments) -> Result<(), TrainError> {
    let mut easel = Easel::open(&arguments.model, open(arguments.device).await?).await?;
    println!("| negative prompt | there without it | there with it |");
    let colours = Colour::ALL.map(|colour| (colour.word(), "a circle", Thing::Colour(colour)));
    let behind = Background::ALL.map(|behind| (behind.word(), "a red star", Thing::Background(behind)));
    let each = arguments.count / (colours.len() + behind.len());
    let mut sums = [0; 2];
    for (word, prompt, thing) in colours.into_iter().chain(behind) {
        let mut there = [0, 0];
        for seed in 0..each {
            for (with, negative) in ["", word].into_iter().enumerate() {
                let wish = Wish {
                    prompt,
                    negative,
                    steps: arguments.steps,
                    guidance: arguments.guidance,
                    seed: seed as u64,
                };
                there[with] += usize::from(thing.is_in(&easel.paint(&wish).await?));
            }
        }
        let [without, with] = there;
        println!("| {prompt}, not {word} | {without} of {each} | {with} of {each} |");
        sums = [sums[0] + without, sums[1] + with];
    }
    println!("| all | {} | {} |", sums[0], sums[1]);
    Ok(())
}

enum Thing {
    Colour(Colour),
    Background(Background),
}

impl Thing {
    fn is_in(&self, picture: &Picture) -> bool {
        let found = find(picture);
        match self {
            Self::Colour(colour) => found.objects.iter().any(|object| object.colour == *colour),
            Self::Background(behind) => found.background == *behind,
        }
    }
}

async fn paint_sheet(arguments: &SheetArguments) -> Result<(), TrainError> {
    let mut easel = Easel::open(&arguments.model, open(arguments.device).await?).await?;
    let prompts: Vec<&str> = match arguments.prompt.is_empty() {
        true => PROMPTS.to_vec(),
        false => arguments.prompt.iter().map(String::as_str).collect(),
    };
    let mut pictures = Vec::new();
    for prompt in &prompts {
        for seed in arguments.seed..arguments.seed + arguments.count {
            let wish = Wish {
                prompt,
                negative: &arguments.negative,
                steps: arguments.steps,
                guidance: arguments.guidance,
                seed,
            };
            pictures.push(easel.paint(&wish).await?);
        }
    }
    let columns = (8 / arguments.count.max(1)).max(1) * arguments.count;
    sheet(&pictures, columns as usize, &arguments.out)
}

/// Everything that a checkpoint holds, whole files.
fn pack(from: &Path, out: &Path) -> Result<(), TrainError> {
    block_on(Saved::open(from))?.copy(out)?;
    let csv = read(&from.join("loss.csv"))?;
    write(&out.join("loss.csv"), &csv)?;
    write(&out.join("loss.svg"), &curve(&csv))
}

fn read(path: &Path) -> Result<String, TrainError> {
    fs::read_to_string(path).map_err(|error| file_error(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), TrainError> {
    fs::write(path, text).map_err(|error| file_error(path, &error))
}

fn file_error(path: &Path, error: &std::io::Error) -> TrainError {
    TrainError::File { path: path.to_owned(), reason: error.to_string() }
}

/// The device that was asked for, and no other: a run that silently took the CPU would waste its hours.
async fn open(chosen: Chosen) -> Result<Opened, TrainError> {
    let prefer = match chosen {
        Chosen::Torch => return torch(),
        Chosen::Gpu => Prefer::Gpu,
        Chosen::Cpu => Prefer::Cpu,
    };
    let opened = device::open(prefer).await;
    match (chosen, opened.kind) {
        (Chosen::Gpu, Kind::Cpu) => {
            let why = opened.notice.unwrap_or_default();
            Err(TrainError::Settings(format!(
                "{why} Train with --device torch or cpu, or on another machine."
            )))
        }
        _ => Ok(opened),
    }
}

#[cfg(feature = "train-torch")]
#[allow(
    deprecated,
    reason = "burn's way to libtorch: nothing that ships uses it, and no other CPU path trains as fast"
)]
fn torch() -> Result<Opened, TrainError> {
    Ok(Opened { device: Device::libtorch(), adapter: TORCH.into(), ..Opened::cpu() })
}

#[cfg(not(feature = "train-torch"))]
fn torch() -> Result<Opened, TrainError> {
    Err(TrainError::Settings("--device torch needs a build with --features kernels/train-torch".into()))
}
