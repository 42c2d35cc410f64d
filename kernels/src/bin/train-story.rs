//! Trains the story writer that the app ships, and shows what it writes.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use futures::executor::block_on;
use kernels::device::{self, Kind, Opened, Prefer};
use kernels::llm::Sampling;
use kernels::train::story::{
    Adherence, Checkpoint, Grammar, Saved, Settings, Words, Writer, held_out_loss, judge, prompts, run,
    story_config,
};
use kernels::train::{Length, Split, TrainError};

/// Trains the story writer that the app ships, and shows what it writes.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints stories from the grammar: what the model learns from.
    Stories {
        /// How many.
        #[arg(long, default_value_t = 3)]
        n: u64,
        /// Which ones.
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Trains and writes checkpoints.
    Run(RunArguments),
    /// Prints stories that a saved model writes.
    Sample(SampleArguments),
    /// Measures a saved model: its loss on held-out stories, and whether it keeps to what prompts give it.
    Judge(JudgeArguments),
    /// Makes the one file that ships, with weights in Q8_0, of a checkpoint.
    Pack {
        /// Folder of the checkpoint.
        #[arg(long)]
        from: PathBuf,
        /// The GGUF file to write.
        #[arg(long, default_value = SHIPPED)]
        out: PathBuf,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Gpu)]
    device: Chosen,
    /// Numbers the stories and draws the first weights; below 4194304.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..1 << 22))]
    seed: u32,
    /// Rows in a step.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Tokens in a row; nearly all stories fit into 320.
    #[arg(long, default_value_t = 320, value_parser = clap::value_parser!(u32).range(8..=512))]
    tokens: u32,
    /// Threads that share a step: 1 with a GPU, the number of cores without one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    /// Stop after about so many minutes.
    #[arg(long, default_value_t = 9.0, conflicts_with = "steps")]
    minutes: f64,
    /// Stop after exactly so many steps.
    #[arg(long)]
    steps: Option<u32>,
    /// Minutes between two checkpoints.
    #[arg(long, default_value_t = 2.0)]
    checkpoint_minutes: f64,
    /// Folder to write to.
    #[arg(long, default_value = "target/story")]
    out: PathBuf,
    /// Folder of a checkpoint to go on from.
    #[arg(long)]
    from: Option<PathBuf>,
}

#[derive(clap::Args)]
struct SampleArguments {
    /// How the stories begin; may be given several times.
    #[arg(long, default_value = "Once upon a time")]
    prompt: Vec<String>,
    /// Stories for each prompt.
    #[arg(long, default_value_t = 1)]
    n: u64,
    /// Seed of the first story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// The GGUF file, or the folder of a checkpoint.
    #[arg(long, default_value = SHIPPED)]
    from: PathBuf,
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Cpu)]
    device: Chosen,
}

#[derive(clap::Args)]
struct JudgeArguments {
    /// The GGUF file, or the folder of a checkpoint.
    #[arg(long, default_value = SHIPPED)]
    from: PathBuf,
    /// Whose held-out stories: the seed of the run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..1 << 22))]
    seed: u32,
    /// Tokens in a row of held-out stories.
    #[arg(long, default_value_t = 320, value_parser = clap::value_parser!(u32).range(8..=512))]
    tokens: u32,
    /// Prompts of known words, and as many of unknown ones.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=48))]
    prompts: u32,
    /// 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// What computes.
    #[arg(long, value_enum, default_value_t = Chosen::Cpu)]
    device: Chosen,
}

/// The model that ships.
const SHIPPED: &str = "assets/story/story.gguf";

#[derive(Clone, Copy, ValueEnum)]
enum Chosen {
    Gpu,
    Cpu,
}

fn main() {
    let done = match Arguments::parse().command {
        Command::Stories { n, seed } => stories(n, seed),
        Command::Run(arguments) => block_on(train(arguments)),
        Command::Sample(arguments) => block_on(sample(arguments)),
        Command::Judge(arguments) => block_on(measure(arguments)),
        Command::Pack { from, out } => pack(&from, &out),
    };
    if let Err(error) = done {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn stories(n: u64, seed: u32) -> Result<(), TrainError> {
    let grammar = Grammar::stories()?;
    for index in 0..n {
        println!("{}\n\n---\n", grammar.story(Split::Train.seed(seed, index))?);
    }
    Ok(())
}

async fn train(arguments: RunArguments) -> Result<(), TrainError> {
    let settings = Settings {
        config: story_config(),
        seed: arguments.seed,
        batch: arguments.batch as usize,
        tokens: arguments.tokens as usize,
        threads: arguments.threads as usize,
        rate: arguments.rate,
        length: arguments.steps.map_or(Length::Minutes(arguments.minutes), Length::Steps),
        checkpoint_minutes: arguments.checkpoint_minutes,
        out: arguments.out,
        from: arguments.from,
    };
    let opened = open(arguments.device).await?;
    let record = run(&settings, &opened).await?;
    println!("{}", serde_json::to_string_pretty(&record).unwrap_or_default());
    Ok(())
}

async fn sample(arguments: SampleArguments) -> Result<(), TrainError> {
    let saved = Saved::open(&arguments.from).await?;
    let mut writer = Writer::open(saved, open(arguments.device).await?).await?;
    for prompt in &arguments.prompt {
        for seed in arguments.seed..arguments.seed + arguments.n {
            let sampling = Sampling { temperature: arguments.temperature, seed, ..Sampling::default() };
            println!("{}\n\n---\n", writer.write(prompt, sampling).await?.text);
        }
    }
    Ok(())
}

async fn measure(arguments: JudgeArguments) -> Result<(), TrainError> {
    let (seed, tokens) = (arguments.seed, arguments.tokens as usize);
    let opened = open(arguments.device).await?;
    let loss = held_out_loss(Saved::open(&arguments.from).await?, seed, tokens, &opened.device).await?;
    println!("held-out loss {loss:.4}");
    let mut writer = Writer::open(Saved::open(&arguments.from).await?, opened).await?;
    for words in [Words::Known, Words::Unknown] {
        let prompts = prompts(words, arguments.prompts as usize);
        let Adherence { stories, uses: [name, kind, thing], uses_all, ends, ten, sentences } =
            judge(&mut writer, &prompts, arguments.temperature).await?;
        println!(
            "{words:?} words, {stories} stories: name {name:.2}, kind {kind:.2}, thing {thing:.2}, all three {uses_all:.2}; \
             ended {ends:.2}, ten sentences {ten:.2}, {sentences:.1} sentences a story"
        );
    }
    Ok(())
}

fn pack(from: &Path, out: &Path) -> Result<(), TrainError> {
    Checkpoint::read(from)?.write_gguf(out)
}

/// The device that was asked for, and no other: a run that silently took the CPU would waste its hours.
async fn open(chosen: Chosen) -> Result<Opened, TrainError> {
    let prefer = match chosen {
        Chosen::Gpu => Prefer::Gpu,
        Chosen::Cpu => Prefer::Cpu,
    };
    let opened = device::open(prefer).await;
    match (chosen, opened.kind) {
        (Chosen::Gpu, Kind::Cpu) => {
            let why = opened.notice.unwrap_or_default();
            Err(TrainError::Settings(format!("{why} Train with --device cpu, or on another machine.")))
        }
        _ => Ok(opened),
    }
}
