//! The sentence that always says what the room is doing and, if someone waits, for what.

use super::words;
use crate::node::view::{Card, ComputeStatus, SignalingStatus, View};
use coordinator::PeerId;
use coordinator::io::{JobState, Stage};
use coordinator::wire::Team;

/// How the sentence is coloured; the words alone say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to do but write and paint.
    Calm,
    /// Something is going on.
    Busy,
    /// Someone waits.
    Waiting,
    /// Something is wrong.
    Trouble,
}

impl Tone {
    /// The name that the style sheet knows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Waiting => "waiting",
            Self::Trouble => "trouble",
        }
    }
}

/// The status line of this view.
#[must_use]
pub fn status(view: &View) -> (Tone, String) {
    let (tone, sentence) = refused(view)
        .or_else(|| work(view))
        .or_else(|| compute(view))
        .or_else(|| connecting(view))
        .unwrap_or_else(|| at_rest(view));
    match view.signaling {
        SignalingStatus::Lost { .. } if tone != Tone::Trouble => (tone, format!("{sentence} {LOST}")),
        _ => (tone, sentence),
    }
}

const LOST: &str = "The server is out of reach: this room goes on, newcomers can join once it is back.";

fn refused(view: &View) -> Option<(Tone, String)> {
    match &view.signaling {
        SignalingStatus::Refused(why) => Some((Tone::Trouble, words::sentence(why))),
        _ => None,
    }
}

/// What becomes of the oldest answer that has not ended; one that this person waits for comes first.
fn work(view: &View) -> Option<(Tone, String)> {
    let mut open = view.cards.iter().filter(|card| card.state.is_some());
    let card = view.cards.iter().find(|card| card.mine && card.state.is_some()).or_else(|| open.next())?;
    let (whose, painted) = (whose(card), card.painting.is_some());
    Some(match card.state.as_ref()? {
        JobState::Waiting(why) if why.is_empty() => {
            (Tone::Waiting, format!("Looking for hands for {whose}."))
        }
        JobState::Waiting(why) | JobState::Recovering(why) => (Tone::Waiting, words::sentence(why)),
        JobState::Queued { place, wait_ms } => {
            (Tone::Waiting, words::sentence(&format!("{}: {whose}", words::queued(*place, *wait_ms))))
        }
        JobState::Running(stages) if painted => {
            (Tone::Busy, format!("Painting {whose}: {}.", shared_out(view, stages)))
        }
        JobState::Running(stages) => (Tone::Busy, format!("Writing {whose}: {}.", split(view, stages))),
    })
}

/// What this card is, and whose: "your story", "Rose Fox’s 4 pictures".
#[must_use]
pub fn whose(card: &Card) -> String {
    let what = match card.painting.as_ref().map(|painting| painting.request.count) {
        None => "story".to_owned(),
        Some(0 | 1) => "picture".to_owned(),
        Some(count) => format!("{count} pictures"),
    };
    if card.mine { format!("your {what}") } else { format!("{}’s {what}", card.author) }
}

/// Who paints: "this device and Teal Owl share it".
fn shared_out(view: &View, stages: &[Stage]) -> String {
    let mut peers: Vec<PeerId> = stages.iter().map(|stage| stage.peer).collect();
    peers.sort_by_key(|peer| (*peer != view.me, *peer));
    peers.dedup();
    match peers[..] {
        [] | [_] => split(view, &stages[..peers.len()]),
        _ => {
            let called =
                |id: &PeerId| if *id == view.me { "this device".to_owned() } else { name(view, *id) };
            format!("{} share it", words::list(&peers.iter().map(called).collect::<Vec<_>>()))
        }
    }
}

/// Who runs what: "layers 1–4 here, layers 5–8 on Teal Owl".
fn split(view: &View, stages: &[Stage]) -> String {
    match stages {
        [] => "getting ready".to_owned(),
        [one] if one.peer == view.me => "all of it runs on this device".to_owned(),
        [one] => format!("all of it runs on {}", name(view, one.peer)),
        many => {
            let part = |stage: &Stage| {
                let layers = words::layers(stage.layers);
                match stage.peer == view.me {
                    true => format!("{layers} here"),
                    false => format!("{layers} on {}", name(view, stage.peer)),
                }
            };
            words::list(&many.iter().map(part).collect::<Vec<_>>())
        }
    }
}

fn compute(view: &View) -> Option<(Tone, String)> {
    match &view.compute {
        ComputeStatus::Loading { what, .. } if view.teams().is_empty() => {
            Some((Tone::Busy, format!("{} You can already type.", words::sentence(what))))
        }
        ComputeStatus::Failed(why) => {
            Some((Tone::Trouble, format!("This device cannot compute. {}", words::sentence(why))))
        }
        ComputeStatus::Loading { .. } | ComputeStatus::Ready { .. } => {
            let fetching = view.fetching.as_ref()?;
            Some((Tone::Busy, words::sentence(&fetching.what)))
        }
    }
}

fn connecting(view: &View) -> Option<(Tone, String)> {
    let first = view.signaling == SignalingStatus::Connecting && view.peers.peers.len() < 2;
    first.then(|| (Tone::Busy, "Looking for the others in this room.".to_owned()))
}

fn at_rest(view: &View) -> (Tone, String) {
    if view.teams().is_empty() {
        let why = if view.why().is_empty() { "Nobody holds the model yet." } else { view.why() };
        return (Tone::Waiting, words::sentence(why));
    }
    let coordinator = match view.peers.epoch {
        Some(epoch) if epoch.leader == view.me => "You coordinate".to_owned(),
        Some(epoch) => format!("{} coordinates", name(view, epoch.leader)),
        None => return (Tone::Waiting, "Choosing who coordinates.".to_owned()),
    };
    if view.peers.peers.len() < 2 {
        let alone = "Ready. You are alone here; send the link and others share the work.";
        return (Tone::Calm, alone.to_owned());
    }
    (Tone::Calm, format!("Ready. {coordinator}; {}.", shared(view)))
}

/// How the devices share the work: those teams that serve, or else those that will.
fn shared(view: &View) -> String {
    let serving: Vec<&Team> = view.teams().iter().filter(|team| team.serves).collect();
    let teams = if serving.is_empty() { view.teams().iter().collect() } else { serving };
    let devices: usize = teams.iter().map(|team| team.stages.len()).sum();
    match (teams.len(), devices) {
        (1, 1) => "one device holds the whole model".to_owned(),
        (1, _) => format!("the model is spread over {devices} devices"),
        (n, _) if n == devices => format!("{n} devices hold the whole model each"),
        (n, _) => format!("{devices} devices in {n} teams, each with the whole model"),
    }
}

/// A peer’s name, for people.
#[must_use]
pub fn name(view: &View, id: PeerId) -> String {
    let known = view.peers.peers.iter().find(|peer| peer.id == id);
    known.map_or_else(|| "someone who left".to_owned(), |peer| peer.name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::example::{
        card, loading as team_loading, picture_card, plan, ready_view, serving, stage,
    };
    use super::*;

    fn duo() -> View {
        ready_view(&[(1, "Teal Owl", 0, 4), (2, "Rose Fox", 4, 8)])
    }

    fn with_state(state: JobState, mine: bool) -> View {
        let mut view = duo();
        let mut open = card(2, "Rose Fox");
        (open.state, open.end, open.mine) = (Some(state), None, mine);
        view.cards.push(open);
        view
    }

    fn painting(state: JobState, count: u16) -> View {
        let mut view = duo();
        let open = Card { state: Some(state), end: None, mine: true, ..picture_card(1, "Teal Owl", count) };
        view.cards.push(open);
        view
    }

    fn with_teams(teams: Vec<Team>) -> View {
        let mut view = duo();
        plan(&mut view, teams);
        view
    }

    const fn queued(place: u32, wait_ms: Option<u32>) -> JobState {
        JobState::Queued { place, wait_ms }
    }

    #[test]
    fn the_most_pressing_thing_is_said() {
        let mut refused = with_state(queued(0, None), true);
        refused.signaling = SignalingStatus::Refused("This room is full. Start another.".into());
        let mut lost = duo();
        lost.signaling = SignalingStatus::Lost { retry_ms: 2_000 };
        let mut loading = ready_view(&[(1, "Teal Owl", 0, 8)]);
        loading.peers.models.clear();
        loading.compute = ComputeStatus::Loading { what: "Fetching the model".into(), done: 1, total: 2 };
        let mut failed = duo();
        failed.compute = ComputeStatus::Failed("Reload the page.".into());
        let mut connecting = ready_view(&[(1, "Teal Owl", 0, 8)]);
        connecting.signaling = SignalingStatus::Connecting;
        let mut other_leads = duo();
        other_leads.peers.epoch =
            other_leads.peers.epoch.map(|e| coordinator::Epoch { leader: PeerId(2), ..e });
        let stages = vec![stage(1, 0, 4), stage(2, 4, 8)];

        let rows = [
            (refused, Tone::Trouble, "This room is full. Start another.", "nothing else matters"),
            (
                with_state(JobState::Running(stages.clone()), false),
                Tone::Busy,
                "Writing Rose Fox’s story: layers 1–4 here and layers 5–8 on Rose Fox.",
                "who writes, and where",
            ),
            (
                painting(JobState::Running(vec![stage(2, 0, 8), stage(1, 0, 8), stage(2, 0, 8)]), 4),
                Tone::Busy,
                "Painting your 4 pictures: this device and Rose Fox share it.",
                "each peer once, this one first",
            ),
            (
                painting(JobState::Running(vec![stage(2, 0, 8), stage(2, 0, 8)]), 1),
                Tone::Busy,
                "Painting your picture: all of it runs on Rose Fox.",
                "both halves in one place",
            ),
            (
                painting(queued(0, None), 1),
                Tone::Waiting,
                "Next in line: your picture.",
                "it waits as a story does",
            ),
            (
                with_state(queued(0, None), true),
                Tone::Waiting,
                "Next in line: your story.",
                "nobody is before it",
            ),
            (
                with_state(queued(1, Some(20_000)), true),
                Tone::Waiting,
                "2nd in line, about 20 s: your story.",
                "place and estimate",
            ),
            (
                with_state(JobState::Waiting("waiting for one more peer".into()), true),
                Tone::Waiting,
                "Waiting for one more peer.",
                "the coordinator knows for what, the page makes it a sentence",
            ),
            (
                with_state(JobState::Waiting(String::new()), true),
                Tone::Waiting,
                "Looking for hands for your story.",
                "asked just now",
            ),
            (loading, Tone::Busy, "Fetching the model. You can already type.", "the worker loads behind"),
            (failed, Tone::Trouble, "This device cannot compute. Reload the page.", "with its way out"),
            (connecting, Tone::Busy, "Looking for the others in this room.", "nobody met yet"),
            (
                other_leads,
                Tone::Calm,
                "Ready. Rose Fox coordinates; the model is spread over 2 devices.",
                "at rest",
            ),
            (
                with_teams(vec![serving(&[stage(1, 0, 8)]), serving(&[stage(2, 0, 8)])]),
                Tone::Calm,
                "Ready. You coordinate; 2 devices hold the whole model each.",
                "a story each",
            ),
            (
                with_teams(vec![team_loading(&[stage(1, 0, 4), stage(2, 4, 8)]), serving(&[stage(1, 0, 8)])]),
                Tone::Calm,
                "Ready. You coordinate; one device holds the whole model.",
                "what is being loaded serves nobody yet",
            ),
            (
                with_teams(vec![serving(&[stage(1, 0, 8)]), serving(&[stage(2, 0, 4), stage(3, 4, 8)])]),
                Tone::Calm,
                "Ready. You coordinate; 3 devices in 2 teams, each with the whole model.",
                "a large one and two small ones",
            ),
            (
                ready_view(&[(1, "Teal Owl", 0, 8)]),
                Tone::Calm,
                "Ready. You are alone here; send the link and others share the work.",
                "what to do next",
            ),
        ];
        for (view, tone, sentence, why) in rows {
            assert_eq!(status(&view), (tone, sentence.to_owned()), "{why}");
        }
        let (tone, sentence) = status(&lost);
        assert_eq!((tone, sentence.ends_with(LOST)), (Tone::Calm, true), "a room at work is not alarmed");
    }

    #[test]
    fn own_work_is_said_before_that_of_others() {
        let mut view = with_state(queued(3, None), false);
        let mut own = card(1, "Teal Owl");
        (own.state, own.end, own.mine) = (Some(queued(0, None)), None, true);
        view.cards.push(own);
        assert_eq!(status(&view).1, "Next in line: your story.");
    }
}
