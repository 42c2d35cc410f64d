//! What one peer does, step by step.

use super::*;

const ME: PeerId = PeerId(1);
const BO: PeerId = PeerId(2);
const CY: PeerId = PeerId(3);
const MODEL: Content = Content([7; 32]);
const HUB: OriginId = OriginId(0);
const BYTES: u32 = 1000;

mod roots;
mod spare;
mod wishes;

/// This peer, its clock, and what it had to do since it was last asked.
struct Desk {
    swarm: Swarm,
    now: Millis,
    todo: Vec<Output>,
}

impl Desk {
    /// With these neighbours, and so much of the model here and wanted.
    fn new(peers: &[PeerId], numbers: u32, have: &[u32]) -> Self {
        let mut desk = Self { swarm: Swarm::new(ME, Millis(0)), now: Millis(0), todo: vec![] };
        peers.iter().for_each(|&peer| desk.input(Input::PeerUp(peer)));
        let have = have.iter().copied().collect();
        desk.input(Input::Open { content: MODEL, numbers, block_bytes: BYTES, have });
        desk.want(Blocks::all(numbers));
        desk
    }

    fn input(&mut self, input: Input) {
        let outputs = self.swarm.handle(self.now, input);
        self.todo.extend(outputs);
    }

    fn want(&mut self, blocks: Blocks) {
        self.input(Input::Want { content: MODEL, blocks });
    }

    fn hub(&mut self, shared: bool) {
        self.input(Input::Origin { content: MODEL, origin: HUB, up: true, shared });
    }

    /// Time passes, as the one rule of use wants it.
    fn pass(&mut self, ms: u64) {
        let end = self.now.after(ms);
        while let Some(at) = self.swarm.wake_at().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        self.now = end;
    }

    fn told(&mut self, from: PeerId, fact: Fact, numbers: &[u32]) {
        let blocks = numbers.iter().copied().collect();
        self.input(Input::Received { from, message: Message::Tell { content: MODEL, fact, blocks } });
    }

    fn asked(&mut self, from: PeerId, numbers: &[u32]) {
        let blocks = numbers.iter().copied().collect();
        self.input(Input::Received { from, message: Message::Ask { content: MODEL, blocks } });
    }

    /// A block comes, is checked, and is what it should be or not.
    fn comes(&mut self, from: Source, number: u32, verdict: Verdict) {
        let input = match from {
            Source::Peer(from) => {
                let bytes = vec![1; BYTES as usize];
                Input::Received { from, message: Message::Block { content: MODEL, number, bytes } }
            }
            Source::Origin(origin) => Input::Fetched { content: MODEL, origin, number, result: Ok(BYTES) },
        };
        self.input(input);
        self.input(Input::Checked { content: MODEL, number, from, verdict });
    }

    /// What was asked of a peer since.
    fn asks(&mut self, of: PeerId) -> Vec<u32> {
        let all = self.todo.iter().filter_map(|output| match output {
            Output::Send { to, message: Message::Ask { blocks, .. } } if *to == of => Some(blocks.clone()),
            _ => None,
        });
        all.flat_map(|blocks| blocks.iter().collect::<Vec<_>>()).collect()
    }

    fn fetches(&self) -> Vec<u32> {
        let number = |output: &Output| match output {
            Output::Fetch { number, .. } => Some(*number),
            _ => None,
        };
        self.todo.iter().filter_map(number).collect()
    }

    fn serves(&self) -> Vec<(PeerId, u32)> {
        let serve = |output: &Output| match output {
            Output::Serve { to, number, .. } => Some((*to, *number)),
            _ => None,
        };
        self.todo.iter().filter_map(serve).collect()
    }

    fn refusals(&self) -> Vec<(PeerId, Refusal)> {
        let refusal = |output: &Output| match output {
            Output::Send { to, message: Message::Refuse { why, .. } } => Some((*to, *why)),
            _ => None,
        };
        self.todo.iter().filter_map(refusal).collect()
    }

    fn saw(&self, event: impl Fn(&Event) -> bool) -> bool {
        self.todo.iter().any(|output| matches!(output, Output::Event(one) if event(one)))
    }
}

fn peer(peer: PeerId) -> Source {
    Source::Peer(peer)
}

#[test]
fn a_stranger_is_asked_for_one_block_and_then_for_more() {
    let mut desk = Desk::new(&[BO], 20, &[0, 1]);
    desk.told(BO, Fact::Has, &(0..20).collect::<Vec<_>>());
    let mut before = vec![];
    for want in [1, 2, 4, 8] {
        let asked = desk.asks(BO);
        let new: Vec<u32> = asked.iter().copied().filter(|number| !before.contains(number)).collect();
        let open = asked.iter().filter(|&&number| !desk.swarm.have(MODEL).contains(number)).count();
        assert_eq!(open, want, "{new:?}");
        before = asked;
        let next = before.iter().copied().find(|&number| !desk.swarm.have(MODEL).contains(number)).unwrap();
        desk.now = desk.now.after(20);
        desk.comes(peer(BO), next, Verdict::Kept);
        desk.pass(0);
        if want < 8 {
            // One good block doubles the window.
            let open = desk.asks(BO).iter().filter(|&&n| !desk.swarm.have(MODEL).contains(n)).count();
            assert_eq!(open, 2 * want);
        }
    }
    assert!(desk.asks(BO).iter().all(|&number| number > 1), "what was in the store is not asked for");
}

#[test]
fn the_rarest_comes_first() {
    let mut desk = Desk::new(&[BO, CY], 8, &[]);
    desk.now = Millis(0);
    // Cy tells first, so that Bo's choice sees both.
    desk.told(CY, Fact::Has, &[0, 1, 2, 4, 5, 6, 7]);
    desk.told(BO, Fact::Has, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(desk.asks(BO), [3], "only Bo has it");
}

#[test]
fn a_liar_is_named_and_never_asked_again() {
    let mut desk = Desk::new(&[BO, CY], 4, &[]);
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    let first = desk.asks(BO)[0];
    desk.comes(peer(BO), first, Verdict::Wrong);
    assert!(desk.saw(|event| matches!(event, Event::Lied { source, .. } if *source == peer(BO))));
    desk.todo.clear();
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    desk.pass(600_000);
    desk.input(Input::PeerDown(BO));
    desk.input(Input::PeerUp(BO));
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    assert!(desk.asks(BO).is_empty(), "not after an hour, nor on a new channel");
    desk.told(CY, Fact::Has, &[first]);
    assert_eq!(desk.asks(CY), [first], "somebody else is");
}

#[test]
fn who_lies_and_leaves_is_known_when_it_comes_back() {
    let mut desk = Desk::new(&[BO], 2, &[]);
    desk.told(BO, Fact::Has, &[0, 1]);
    let number = desk.asks(BO)[0];
    let bytes = vec![1; 9];
    desk.input(Input::Received { from: BO, message: Message::Block { content: MODEL, number, bytes } });
    desk.input(Input::PeerDown(BO));
    desk.todo.clear();
    desk.input(Input::Checked { content: MODEL, number, from: peer(BO), verdict: Verdict::Wrong });
    desk.input(Input::PeerUp(BO));
    desk.told(BO, Fact::Has, &[0, 1]);
    assert!(desk.asks(BO).is_empty(), "{:?}", desk.todo);
}

#[test]
fn who_gives_nothing_away_does_not_make_others_wait() {
    let mut desk = Desk::new(&[BO], 8, &[]);
    desk.input(Input::Sharing(Sharing::Off));
    desk.input(Input::Received { from: BO, message: Message::Join(MODEL) });
    desk.hub(true);
    desk.pass(limits::SWARM_SETTLE_MS + 2 * limits::SWARM_CLAIM_MS);
    assert!(!desk.fetches().is_empty(), "it fetches for itself");
    let says = |fact: Fact| {
        desk.todo.iter().any(|output| {
            matches!(output, Output::Send { message: Message::Tell { fact: said, blocks, .. }, .. }
                if *said == fact && !blocks.is_empty())
        })
    };
    assert!(![Fact::Has, Fact::Seeks, Fact::Fetches].into_iter().any(says), "{:?}", desk.todo);
}

#[test]
fn who_stalls_rests_and_what_comes_late_counts() {
    let mut desk = Desk::new(&[BO, CY], 1, &[]);
    desk.told(BO, Fact::Has, &[0]);
    desk.pass(limits::SWARM_FIRST_MS + 2 * limits::SWARM_BEAT_MS);
    assert!(desk.saw(|event| matches!(event, Event::Stalled { source, .. } if *source == peer(BO))));
    assert_eq!(desk.asks(BO), [0], "not again while it rests");
    desk.comes(peer(BO), 0, Verdict::Kept);
    assert!(desk.saw(|event| *event == Event::Complete(MODEL)), "the work was done");
    let mut desk = Desk::new(&[BO, CY], 1, &[]);
    desk.told(BO, Fact::Has, &[0]);
    desk.told(CY, Fact::Has, &[0]);
    let slow = if desk.asks(BO).is_empty() { CY } else { BO };
    let other = if slow == BO { CY } else { BO };
    desk.pass(limits::SWARM_FIRST_MS + 2 * limits::SWARM_BEAT_MS);
    assert_eq!(desk.asks(other), [0], "somebody else is asked");
}

#[test]
fn what_the_room_has_is_not_fetched_from_the_origin() {
    let mut desk = Desk::new(&[BO], 8, &[]);
    desk.told(BO, Fact::Has, &[0, 1, 2, 3, 4, 5, 6, 7]);
    desk.hub(true);
    desk.pass(limits::SWARM_SETTLE_MS + 500);
    assert!(desk.fetches().is_empty(), "{:?}", desk.fetches());
    desk.input(Input::PeerDown(BO));
    desk.pass(limits::SWARM_BEAT_MS);
    assert!(!desk.fetches().is_empty(), "but when nobody is left");
}

#[test]
fn a_persons_own_files_are_read_at_once() {
    let mut desk = Desk::new(&[BO], 8, &[]);
    desk.told(BO, Fact::Seeks, &(0..8).collect::<Vec<_>>());
    desk.hub(false);
    assert_eq!(desk.fetches(), [0], "a stranger too, but at once and in order");
    desk.comes(Source::Origin(HUB), 0, Verdict::Kept);
    assert_eq!(desk.fetches(), [0, 1, 2]);
}

#[test]
fn the_origin_is_shared_without_a_word() {
    let numbers: Vec<u32> = (0..40).collect();
    let fetched = |me: PeerId, other: PeerId, silent: u64| {
        let mut swarm = Desk::new(&[], 40, &[]);
        swarm.swarm = Swarm::new(me, Millis(0));
        swarm.input(Input::PeerUp(other));
        swarm.input(Input::Open { content: MODEL, numbers: 40, block_bytes: BYTES, have: Blocks::default() });
        swarm.want(Blocks::all(40));
        swarm.told(other, Fact::Seeks, &numbers);
        swarm.hub(true);
        swarm.pass(limits::SWARM_SETTLE_MS + limits::SWARM_BEAT_MS);
        // Everything that may be fetched without a sign of the other.
        let mut done = 0;
        while let Some(&number) = swarm.fetches().get(done) {
            done += 1;
            swarm.now = swarm.now.after(1);
            swarm.comes(Source::Origin(HUB), number, Verdict::Kept);
        }
        let share = swarm.fetches();
        swarm.pass(silent);
        (share, swarm.fetches())
    };
    let ((mine, _), (others, more)) = (fetched(ME, BO, 0), fetched(BO, ME, 2 * limits::SWARM_BEAT_MS));
    let both: Blocks = mine.iter().chain(&others).copied().collect();
    assert!(both == Blocks::all(40) && mine.len() + others.len() == 40, "{mine:?} {others:?}");
    assert!(mine.len() > 9 && others.len() > 9, "{mine:?} {others:?}");
    assert_eq!(more.len(), others.len() + 1, "who is done helps");
    let (_, alone) = fetched(BO, ME, limits::SWARM_TAKEOVER_MS + 1_000);
    assert!(alone.len() > more.len(), "who shows nothing loses its share");
}

#[test]
fn two_who_began_the_same_block_agree_who_stops() {
    let aborts = |me: PeerId, other: PeerId| {
        let mut desk = Desk::new(&[], 1, &[]);
        desk.swarm = Swarm::new(me, Millis(0));
        desk.input(Input::PeerUp(other));
        desk.input(Input::Open { content: MODEL, numbers: 1, block_bytes: BYTES, have: Blocks::default() });
        desk.want(Blocks::all(1));
        desk.hub(true);
        desk.pass(limits::SWARM_SETTLE_MS + limits::SWARM_BEAT_MS);
        assert_eq!(desk.fetches(), [0], "it knows of nobody who seeks it");
        desk.told(other, Fact::Fetches, &[0]);
        desk.todo.iter().filter(|output| matches!(output, Output::Abort { .. })).count()
    };
    assert_eq!(aborts(ME, BO) + aborts(BO, ME), 1);
}

#[test]
fn uploads_wait_for_activations_and_take_turns() {
    let mut desk = Desk::new(&[BO, CY], 20, &(0..20).collect::<Vec<_>>());
    desk.input(Input::Busy(true));
    desk.asked(BO, &[0, 1, 2, 3]);
    desk.asked(CY, &[0]);
    desk.pass(limits::SWARM_HOLD_MS / 2);
    assert!(desk.serves().is_empty() && desk.refusals().is_empty(), "the line is busy");
    desk.input(Input::Busy(false));
    assert_eq!(desk.serves(), [(BO, 0), (CY, 0), (BO, 1)], "in turn, two at a time to one peer");
    desk.input(Input::Served { to: BO, content: MODEL, number: 0, bytes: Some(BYTES) });
    assert_eq!(desk.serves()[3..], [(BO, 2)]);
    desk.input(Input::Busy(true));
    desk.pass(2 * limits::SWARM_HOLD_MS);
    assert_eq!(desk.refusals(), [(BO, Refusal::Busy)], "who waits too long is told to go elsewhere");
}

#[test]
fn what_the_person_allows_is_what_goes_out() {
    let rows = [
        (Sharing::On, 8, "everything"),
        (Sharing::Off, 0, "nothing"),
        (Sharing::Metered { bytes_per_s: 0 }, 0, "nothing either"),
        (
            Sharing::Metered { bytes_per_s: 1_000 },
            2,
            "a block of 1,000 bytes at once, and one a second later",
        ),
    ];
    for (sharing, want, why) in rows {
        let mut desk = Desk::new(&[BO], 8, &(0..8).collect::<Vec<_>>());
        desk.input(Input::Sharing(sharing));
        desk.asked(BO, &(0..8).collect::<Vec<_>>());
        let mut done = 0;
        for _ in 0..15 {
            while let Some(&(to, number)) = desk.serves().get(done) {
                done += 1;
                desk.input(Input::Served { to, content: MODEL, number, bytes: Some(BYTES) });
            }
            desk.now = desk.now.after(80);
            desk.input(Input::Tick);
        }
        assert_eq!(desk.serves().len(), want, "{why}");
    }
    let has = |desk: &Desk| {
        desk.todo.iter().any(|output| {
            matches!(output, Output::Send { message: Message::Tell { fact: Fact::Has, blocks, .. }, .. }
                if !blocks.is_empty())
        })
    };
    let mut desk = Desk::new(&[BO], 8, &[1, 2]);
    desk.input(Input::Sharing(Sharing::Off));
    desk.input(Input::Received { from: BO, message: Message::Join(MODEL) });
    desk.pass(1_000);
    assert!(!has(&desk), "nobody is told what is here");
    desk.input(Input::Sharing(Sharing::On));
    assert!(has(&desk));
}

#[test]
fn a_full_store_stops_the_fetching_for_a_while() {
    let mut desk = Desk::new(&[BO], 4, &[]);
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    let first = desk.asks(BO)[0];
    desk.comes(peer(BO), first, Verdict::NoRoom);
    assert!(desk.saw(|event| *event == Event::NoRoom(MODEL)));
    desk.pass(limits::SWARM_FULL_MS / 2);
    assert_eq!(desk.asks(BO).len(), 1);
    desk.pass(limits::SWARM_FULL_MS / 2 + 500);
    assert_eq!(desk.asks(BO).len(), 2, "then it is tried again");
}

#[test]
fn what_breaks_a_rule_is_dropped_under_a_name() {
    let fragments: Vec<u32> = (0..10_000).map(|run| 2 * run).collect();
    type Act<'a> = &'a dyn Fn(&mut Desk);
    let rows: [(Act<'_>, &str, &str); 5] = [
        (&|desk| desk.told(BO, Fact::Has, &[60_000]), "does not have", "beyond the last block"),
        (&|desk| desk.told(BO, Fact::Has, &fragments), "more runs", "more pieces than anybody keeps"),
        (&|desk| desk.told(BO, Fact::Fetches, &fragments), "more fetches", "more than anybody fetches"),
        (&|desk| desk.asked(BO, &(0..9).collect::<Vec<_>>()), "more blocks", "more than a window"),
        (&|desk| desk.comes(peer(BO), 3, Verdict::Kept), "not asked for", "an unasked block"),
    ];
    for (act, named, why) in rows {
        let mut desk = Desk::new(&[BO], 50_000, &(0..9).collect::<Vec<_>>());
        act(&mut desk);
        assert!(
            desk.saw(|event| matches!(event, Event::Dropped { from: BO, reason } if reason.contains(named))),
            "{why}: {:?}",
            desk.todo
        );
        assert!(!desk.saw(|event| matches!(event, Event::Got { .. })));
    }
    let mut desk = Desk::new(&[BO], 9, &(0..9).collect::<Vec<_>>());
    desk.input(Input::Busy(true));
    desk.asked(BO, &[0, 1, 2, 3, 4]);
    desk.asked(BO, &[0, 1, 2, 3, 4]);
    assert!(!desk.saw(|event| matches!(event, Event::Dropped { .. })), "the same again is no more");
    desk.asked(BO, &[5, 6, 7, 8]);
    assert!(desk.saw(|event| matches!(event, Event::Dropped { .. })), "a window in pieces");
}

#[test]
fn a_wish_to_know_everything_is_granted_once_a_second() {
    let mut desk = Desk::new(&[BO], 9, &[1]);
    for _ in 0..50 {
        desk.input(Input::Received { from: BO, message: Message::Join(MODEL) });
    }
    let tells = |desk: &Desk| {
        let tell = |output: &&Output| matches!(output, Output::Send { message: Message::Tell { .. }, .. });
        desk.todo.iter().filter(tell).count()
    };
    assert_eq!(tells(&desk), 1);
    desk.pass(1_500);
    desk.input(Input::Received { from: BO, message: Message::Join(MODEL) });
    assert!(tells(&desk) <= 4);
}

#[test]
fn what_the_others_have_is_counted() {
    let mut desk = Desk::new(&[BO, CY], 8, &[0, 1]);
    desk.told(BO, Fact::Has, &[1, 2, 3]);
    desk.told(CY, Fact::Has, &[3]);
    assert_eq!(desk.swarm.others(MODEL), ([(BO, 3), (CY, 1)].into(), 4));
    desk.input(Input::PeerDown(BO));
    assert_eq!(desk.swarm.others(MODEL), ([(CY, 1)].into(), 3));
    assert_eq!(desk.swarm.others(Content([0; 32])), (BTreeMap::new(), 0));
}
