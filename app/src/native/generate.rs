//! `manyhands generate --prompt …`: a story in the terminal, through the same driver loop as a room's.

use super::{Common, Kinds, Wish, random_peer};
use crate::compute::native::NativeCompute;
use crate::link::RoomLink;
use crate::node::view::{Ask, Card, ComputeStatus, View, WriteRequest};
use crate::node::{Alone, Node};
use crate::sampling::{Likelihood, Sampling};
use crate::transport::Transport;
use anyhow::{Result, bail};
use clap::Args;
use coordinator::io::{End, JobState};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use std::io::Write;

#[derive(Args)]
pub struct Options {
    /// How the story begins.
    #[arg(long)]
    prompt: String,
    /// Write with the peers of this room instead of alone.
    #[arg(long, value_name = "LINK")]
    room: Option<String>,
    /// The prompt is a message to a model that was trained to answer such, instead of the beginning of a text.
    #[arg(long)]
    chat: bool,
    /// What the model is told before the message.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "chat", hide_default_value = true)]
    system: String,
    /// Show the text as it is written, instead of all at once.
    #[arg(long)]
    stream: bool,
    /// Most new tokens.
    #[arg(long, default_value_t = 200)]
    max_tokens: u32,
    /// 0 always takes the likeliest token.
    #[arg(long, default_value_t = 0.8)]
    temperature: f32,
    /// Choose among this many of the likeliest tokens; 0 for all.
    #[arg(long, default_value_t = 0)]
    top_k: u32,
    /// Choose among the likeliest tokens that together have this probability.
    #[arg(long, default_value_t = 0.95)]
    top_p: f32,
    /// Choose among tokens at least this fraction as likely as the likeliest.
    #[arg(long, default_value_t = 0.0)]
    min_p: f32,
    /// Divide the scores of recent tokens by this; 1 does nothing.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Take this from the scores of recent tokens.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Take this from the scores of recent tokens for each time that they came.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Add to the score of a token; may be repeated.
    #[arg(long, value_name = "ID=NUMBER", value_parser = bias, allow_hyphen_values = true)]
    logit_bias: Vec<(u32, f32)>,
    /// A text that ends the answer; may be repeated.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Tell, at the end, the log-probabilities of each token and of the N likeliest in its place, a line of JSON each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=20))]
    logprobs: Option<u8>,
    /// The same seed writes the same story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: Common,
}

pub async fn run(options: Options) -> Result<()> {
    let me = random_peer()?;
    let Some(room) = &options.room else {
        return write(options.common.node(me, "", Alone, Kinds::Text)?, &options).await;
    };
    let link = RoomLink::parse(room)?;
    let transport = options.common.join(&link, me)?;
    write(options.common.node(me, link.room(), transport, Kinds::Text)?, &options).await
}

async fn write<T: Transport>(node: Node<T, NativeCompute>, options: &Options) -> Result<()> {
    let (asks, incoming) = unbounded();
    let mut wish = Wish::new(&options.common, asks.clone());
    let mut terminal = Terminal {
        asks,
        request: Some(options.request()),
        stream: options.stream,
        alone: options.room.is_none(),
        waits: String::new(),
        notices: 0,
        printed: 0,
        outcome: None,
    };
    node.run(incoming, |view| {
        wish.see(view);
        terminal.show(view);
    })
    .await;
    match terminal.outcome {
        Some(Ok(line)) => {
            eprintln!("\n\n{line}");
            Ok(())
        }
        Some(Err(why)) => bail!(why),
        None => bail!("the story broke off"),
    }
}

impl Options {
    fn request(&self) -> WriteRequest {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition: self.repetition_penalty,
            presence: self.presence_penalty,
            frequency: self.frequency_penalty,
            bias: self.logit_bias.clone(),
            seed: self.seed,
            stops: self.stop.clone(),
            chat: self.chat,
            report: self.logprobs.unwrap_or_default(),
        };
        let (prompt, system) = (self.prompt.clone(), self.system.clone());
        WriteRequest { prompt, system, max_new: self.max_tokens, sampling, follows: None }
    }
}

/// A token's id and what is added to its score.
fn bias(text: &str) -> Result<(u32, f32), String> {
    let parts = text.split_once('=').and_then(|(id, value)| Some((id.parse().ok()?, value.parse().ok()?)));
    parts.ok_or_else(|| "a bias is a token's id and a number, such as 42=-1.5".to_owned())
}

const NO_CHAT: &str = "this model was not made for conversations: its files hold no chat template; leave --chat out, and begin a text for it to go on with";

/// `{"token":42,"logprob":-0.31,"top_logprobs":[[42,-0.31],[17,-1.9]]}`
fn tell(told: &Likelihood) {
    println!(
        "{}",
        serde_json::json!({ "token": told.token, "logprob": told.own, "top_logprobs": told.best })
    );
}

/// Why this device alone cannot write, if the coordinator found no way: nobody else will come.
fn no_way(view: &View) -> Option<String> {
    let planned = !view.why().is_empty();
    (planned && view.teams().is_empty())
        .then(|| format!("{}; or write with a room that has more (--room LINK)", view.why()))
}

struct Terminal {
    asks: UnboundedSender<Ask>,
    /// Taken when the worker is ready.
    request: Option<WriteRequest>,
    /// Whether to print the text as it comes.
    stream: bool,
    /// Nobody else will ever come.
    alone: bool,
    /// What the answer was last said to wait for.
    waits: String,
    /// Notices that were there before the request.
    notices: usize,
    printed: usize,
    outcome: Option<Result<String, String>>,
}

impl Terminal {
    fn show(&mut self, view: &View) {
        match &view.compute {
            ComputeStatus::Failed(why) => return self.end(Err(why.clone())),
            ComputeStatus::Loading { .. } => return,
            ComputeStatus::Ready { notice, .. } => {
                if let Some(request) = self.request.take() {
                    if request.sampling.chat && !view.model.as_ref().is_some_and(|model| model.chat) {
                        return self.end(Err(NO_CHAT.into()));
                    }
                    notice.iter().for_each(|notice| eprintln!("note: {notice}"));
                    // An answer to a message does not go on from it.
                    if !request.sampling.chat {
                        print!("{}", request.prompt);
                    }
                    let _ = self.asks.unbounded_send(Ask::Write(request));
                    self.notices = view.notices.len();
                }
            }
        }
        if let Some(why) = no_way(view).filter(|_| self.alone) {
            return self.end(Err(why));
        }
        match view.cards.iter().find(|card| card.mine) {
            Some(card) => self.card(card),
            // No card after the request: the notice says why, for instance an empty prompt.
            None => view.notices.iter().skip(self.notices).for_each(|(_, why)| self.end(Err(why.clone()))),
        }
    }

    fn card(&mut self, card: &Card) {
        if self.stream || card.end.is_some() {
            print!("{}", card.text.get(self.printed..).unwrap_or_default());
            let _ = std::io::stdout().flush();
            self.printed = card.text.len();
        }
        if let Some(JobState::Waiting(why) | JobState::Recovering(why)) = &card.state
            && *why != self.waits
        {
            eprintln!("waiting: {why}");
            self.waits.clone_from(why);
        }
        match &card.end {
            None => {}
            Some(End::Failed(why)) => self.end(Err(why.clone())),
            Some(_) => {
                if !card.likelihoods.is_empty() {
                    println!();
                }
                card.likelihoods.values().for_each(tell);
                let speed = card.tokens_per_second.unwrap_or_default();
                let first = card.first_token_ms.unwrap_or_default();
                self.end(Ok(format!("{} tokens, {speed:.1} tokens/s, first after {first} ms", card.tokens)));
            }
        }
    }

    fn end(&mut self, outcome: Result<String, String>) {
        self.outcome.get_or_insert(outcome);
        let _ = self.asks.unbounded_send(Ask::Leave);
    }
}
