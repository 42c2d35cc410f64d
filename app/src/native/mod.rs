//! The native faces: a headless peer, and a story in the terminal.

mod adapters;
mod bench;
mod eval;
mod generate;
mod manifest;
mod paint;
mod peer;
mod store;
mod threads;
mod tokenize;

use crate::compute::Means;
use crate::compute::native::NativeCompute;
use crate::compute::source::{self, QUANTISATIONS};
use crate::compute::swarm::Keep;
use crate::link::RoomLink;
use crate::names;
use crate::node::view::{Ask, View};
use crate::node::{Node, Setup};
use crate::transport::{IceServers, JoinOptions, Transport, WebRtc};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use coordinator::io::Spread;
use coordinator::{Epoch, PeerId};
use futures::channel::mpsc::UnboundedSender;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(name = "manyhands", version, about = "A room of peers that writes and paints together")]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a room and compute for it, without a window, until interrupted.
    Peer(peer::Options),
    /// Compute a model's scores for given ids, to compare them with another program's.
    Eval(eval::Options),
    /// Write a story: alone on this machine, or with a room.
    Generate(generate::Options),
    /// Paint pictures: alone on this machine, or with a room.
    Paint(paint::Options),
    /// Turn text into token ids, a line of them for each line read.
    Tokenize(tokenize::Options),
    /// Hash a model, so that rooms can share its weights; prints the name of its content.
    Manifest(manifest::Options),
    /// Look after the weights that are kept on this machine.
    Store(store::Options),
    /// Measure how fast this machine reads and writes with a model.
    Bench(bench::Options),
}

/// What caches may hold.
const CACHES: [&str; 2] = ["f32", "f16"];

/// The models that ship, here or beside the program: what writes, and what paints.
const SHIPPED: [&str; 2] = ["assets/story/story.gguf", "assets/painter"];

/// What a command needs models for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kinds {
    /// Text alone.
    Text,
    /// Pictures alone.
    Pictures,
    /// Whatever the room asks for.
    Both,
}

/// What every command takes.
#[derive(Args)]
pub struct Common {
    /// A model in place of the one of its kind that ships: a folder with config.json, tokenizer.json and model.safetensors
    /// (or shards with their index), a GGUF file, or the folder of a model that paints (with model_index.json); here, or at
    /// an address; or what `manyhands manifest` calls it, if somebody in the room has it.
    #[arg(long, value_name = "DIR|FILE.gguf|URL|content:ID")]
    model: Option<String>,
    /// Where weights from servers and from peers stay between runs; by default in this user's cache.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Megabytes that they take there at most.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    store_quota: Option<u64>,
    /// Turn matrices of floats into such blocks while loading; everybody in a room has to do the same.
    #[arg(long, value_parser = QUANTISATIONS)]
    quantize: Option<String>,
    /// How keys and values of earlier tokens are stored; f16 takes half the memory, and everybody in a room has to do the
    /// same.
    #[arg(long, default_value = "f32", value_parser = CACHES)]
    cache: String,
    /// Megabytes of weights that this device holds at most; by default a quarter of its memory. Alone, a mixture of experts
    /// that takes more reads them when they are needed.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    memory: Option<u64>,
    /// Stay on the CPU even if there is a GPU.
    #[arg(long)]
    cpu: bool,
    #[command(flatten)]
    adapters: adapters::Adapters,
    #[command(flatten)]
    threads: threads::Threads,
    /// The name that others see.
    #[arg(long)]
    name: Option<String>,
    /// A STUN server that tells this machine its address outside, such as stun:host:3478; may be repeated.
    #[arg(long, value_name = "URL")]
    ice: Vec<String>,
    /// How the room's devices share the work; each peer that comes to coordinate is asked for it once.
    #[arg(long, value_enum)]
    spread: Option<Sharing>,
}

/// See [`Spread`].
#[derive(Clone, Copy, ValueEnum)]
enum Sharing {
    /// The fastest way, as measured.
    Measured,
    /// Every device takes a part.
    Everyone,
}

/// The program.
pub fn main() -> Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("MANYHANDS_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let line = Line::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        match line.command {
            Command::Peer(options) => peer::run(options).await,
            Command::Eval(options) => eval::run(options).await,
            Command::Generate(options) => generate::run(options).await,
            Command::Paint(options) => paint::run(options).await,
            Command::Tokenize(options) => tokenize::run(&options).await,
            Command::Manifest(options) => manifest::run(&options).await,
            Command::Store(options) => store::run(&options).await,
            Command::Bench(options) => bench::run(&options).await,
        }
    })
}

impl Common {
    /// A node with a worker on this machine.
    pub fn node<T: Transport>(
        &self,
        me: PeerId,
        room: &str,
        transport: T,
        kinds: Kinds,
    ) -> Result<Node<T, NativeCompute>> {
        // Who has no room meets nobody.
        let means = Means { alone: room.is_empty(), ..self.means(kinds)? };
        let compute = NativeCompute::start(means, !self.cpu, self.threads.count());
        let name = self.name.clone().unwrap_or_else(|| names::name(me.0 as u64));
        let setup = Setup { me, name, room: room.to_owned(), seed: random_u64()? };
        Ok(Node::new(setup, transport, compute))
    }

    /// The peers of a room.
    pub fn join(&self, link: &RoomLink, me: PeerId) -> Result<WebRtc> {
        let ice = IceServers { urls: self.ice.clone(), ..IceServers::default() };
        Ok(WebRtc::join(JoinOptions { link: link.clone(), me, ice })?)
    }

    fn means(&self, kinds: Kinds) -> Result<Means> {
        let with = |source: &str| source::with(source, self.quantize.as_deref(), self.cache == "f16");
        let chosen = self.model.as_deref().map(checked).transpose()?;
        let ships = |kind: usize, other: Kinds| shipped(SHIPPED[kind]).filter(|_| kinds != other);
        let [text, pictures] = [ships(0, Kinds::Pictures), ships(1, Kinds::Text)];
        if chosen.is_none() && text.is_none() && pictures.is_none() {
            bail!("the shipped models ({}) are not here; name a model with --model", SHIPPED.join(", "));
        }
        let path = |path: PathBuf| with(&path.to_string_lossy());
        let (text, pictures) = (text.map(path), pictures.map(path));
        let chosen = chosen.as_deref().map(with);
        let (adapters, memory) = (self.adapters.chosen().clone(), self.memory.map(|mib| mib << 20));
        Ok(Means { text, pictures, chosen, adapters, memory, alone: false, keep: self.keep() })
    }

    fn keep(&self) -> Keep {
        // Nobody asked for the cache: where it cannot be, weights stay in memory.
        let cache = || store::cache().filter(|folder| std::fs::create_dir_all(folder).is_ok());
        let folder = self.store.clone().or_else(cache);
        let folder = folder.map(|folder| folder.to_string_lossy().into_owned());
        Keep { folder, quota: self.store_quota.map(|mib| mib << 20) }
    }
}

/// What is meant to be a model: an address as the app writes them, or what lies on this machine as it was given.
fn checked(model: &str) -> Result<String> {
    if source::is_address(model) {
        return source::address(model).map_err(|why| anyhow!(why));
    }
    if source::content(model).map_err(|why| anyhow!(why))?.is_some() {
        return Ok(model.to_owned());
    }
    let path = Path::new(model);
    let is_one =
        path.is_file() || ["config.json", "model_index.json"].iter().any(|name| path.join(name).is_file());
    if !is_one {
        bail!(
            "{model} is no GGUF file and holds neither config.json nor model_index.json; --model takes such a file, or a folder as the Hugging Face hub has them"
        );
    }
    Ok(model.to_owned())
}

/// A model that ships, if it is here or beside the program.
fn shipped(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).map(|folder| folder.join(name));
    std::iter::once(PathBuf::from(name)).chain(beside).find(|path| path.exists())
}

/// How this peer wants the room's work to be shared.
///
/// Whoever meets a room starts as its own coordinator and follows the room's a moment later, so that asking once
/// would not do.
pub struct Wish {
    spread: Option<Spread>,
    asked: Option<Epoch>,
    asks: UnboundedSender<Ask>,
}

impl Wish {
    /// The wish of these options.
    pub fn new(common: &Common, asks: UnboundedSender<Ask>) -> Self {
        let spread = common.spread.map(|sharing| match sharing {
            Sharing::Measured => Spread::Measured,
            Sharing::Everyone => Spread::Everyone,
        });
        Self { spread, asked: None, asks }
    }

    /// Asks a coordinator that was not asked yet.
    pub fn see(&mut self, view: &View) {
        if let Some(spread) =
            self.spread.filter(|_| view.peers.epoch.is_some() && view.peers.epoch != self.asked)
        {
            self.asked = view.peers.epoch;
            let _ = self.asks.unbounded_send(Ask::Spread(spread));
        }
    }
}

/// A fresh random peer id.
pub fn random_peer() -> Result<PeerId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("this machine gives no random numbers")?;
    Ok(PeerId(u128::from_le_bytes(bytes)))
}

fn random_u64() -> Result<u64> {
    Ok(random_peer()?.0 as u64)
}
