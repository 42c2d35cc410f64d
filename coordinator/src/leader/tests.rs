use super::*;
use crate::health::Share;
use crate::ids::{JobId, Layers};
use crate::io::{Capability, Device, Shape, Spread, Stage};
use crate::testing::*;
use crate::wire::Report;

/// A leader at work, and what it says.
struct Office {
    leader: Leader,
    out: Outbox,
    now: Millis,
}

impl Office {
    /// One that has told its plan, and heard that everybody knows it.
    fn new(members: &Members, spread: Spread) -> Self {
        let leader = Leader::new(Millis(0), EPOCH, None, Choice::default(), members);
        let mut office = Self { leader, out: Outbox::new(ME), now: Millis(0) };
        office.leader.choose(Choice::default().next(ME, spread));
        office.review(members);
        office.review(members);
        office
    }

    fn review(&mut self, members: &Members) -> Vec<(JobId, Running)> {
        self.leader.review(&mut Room { now: self.now, members, out: &mut self.out });
        grants(&mut self.out)
    }

    /// What is granted upon an ask.
    fn ask(&mut self, asker: PeerId, ask: &Ask, members: &Members) -> Vec<(JobId, Running)> {
        let mut room = Room { now: self.now, members, out: &mut self.out };
        self.leader.ask(asker, ask, &mut room).expect("its own job");
        grants(&mut self.out)
    }

    /// The stages of every team, and whether it serves.
    fn teams(&self) -> Vec<(Vec<Span>, bool)> {
        let plan = self.leader.announcement();
        let teams = plan.models.iter().flat_map(|plan| &plan.teams);
        teams.map(|team| (spans(&team.stages), team.serves)).collect()
    }

    /// The teams that jobs are granted on.
    fn serving(&self) -> Vec<Vec<Span>> {
        let rosters = self.leader.models.values();
        rosters.flat_map(Roster::serving).map(|team| spans(&team.stages)).collect()
    }
}

const WHOLE: &[(u16, u16)] = &[(0, 8)];
const LOW: &[(u16, u16)] = &[(0, 4)];
const HIGH: &[(u16, u16)] = &[(4, 8)];
/// Memory for half of the toy model.
const HALF_BYTES: u64 = WHOLE_BYTES / 2;
const RING: [Span; 2] = [(1, 0, 4), (2, 4, 8)];

/// This peer and Bo, each with room for half of the model.
fn halves(own: &[(u16, u16)], bos: &[(u16, u16)], bos_plan: Option<(Epoch, u32)>) -> Members {
    let mut members = room(able(own, HALF_BYTES), &[]);
    join(&mut members, BO, able(bos, HALF_BYTES), bos_plan);
    members
}

fn nth(requester: PeerId, serial: u32) -> JobId {
    JobId { requester, serial }
}

#[test]
fn whole_peers_serve_whole_jobs_and_the_least_loaded_first() {
    let members = room(able(WHOLE, 1_000), &[(BO, able(WHOLE, 1_000)), (CY, able(WHOLE, 1_000))]);
    let mut office = Office::new(&members, Spread::Measured);
    let mut served = Vec::new();
    for serial in 1..=7 {
        served.extend(office.ask(ME, &ask(nth(ME, serial % 4)), &members));
        served.extend(office.ask(BO, &ask(nth(BO, serial % 4)), &members));
    }
    let peers: Vec<u128> = served.iter().map(|(_, running)| running.stages[0].peer.0).collect();
    let first: BTreeSet<u128> = peers[..3].iter().copied().collect();
    assert_eq!(first.len(), 3, "three jobs, three peers");
    let most = (1..=3).map(|peer| peers.iter().filter(|&&p| p == peer).count()).max();
    assert_eq!((peers.len(), most), (6, Some(2)), "then one more each, which waits for its turn there");
    assert!(served.iter().all(|(_, running)| running.stages.len() == 1), "nobody is split");
}

#[test]
fn nobody_is_put_on_a_slow_team_while_waiting_is_better() {
    let rows = [
        (100, 5, 3, "as fast as the other: it has its share"),
        (700, 5, 0, "seven times slower: the queue for the fast one is shorter than that"),
        (700, 7, 1, "a queue of seven is not"),
        (2_000, 7, 0, "too slow to be in the plan"),
    ];
    for (micros, jobs, slow, why) in rows {
        let members = room(paced(100, WHOLE), &[(BO, paced(micros, WHOLE)), (CY, Report::default())]);
        let mut office = Office::new(&members, Spread::Measured);
        let mut on_slow = 0;
        for serial in 0..jobs {
            let asker = if serial < 4 { ME } else { CY };
            let granted = office.ask(asker, &ask(nth(asker, serial)), &members);
            on_slow += granted.iter().filter(|(_, running)| running.stages[0].peer == BO).count();
        }
        assert_eq!(on_slow, slow.min(2), "{why}");
    }
}

#[test]
fn the_old_plan_serves_until_the_new_one_is_ready() {
    let old = vec![vec![(1, 0, 8)]];
    let new = vec![RING.to_vec()];
    type Row<'a> = (u64, bool, &'a [Vec<Span>], &'a str);
    let rows: [Row<'_>; 4] = [
        (1_000, false, &old, "there is memory for both"),
        (1_000, true, &old, "and the story that runs goes on"),
        (WHOLE_BYTES, false, &[], "not for both: the old one goes"),
        (WHOLE_BYTES, true, &[], "not for both, and a story runs: nothing new is granted on the old one"),
    ];
    for (memory, busy, meanwhile, why) in rows {
        let alone = room(able(WHOLE, memory), &[]);
        let mut office = Office::new(&alone, Spread::Everyone);
        assert_eq!(office.serving(), old, "{why}: alone");
        let running = if busy { office.ask(ME, &ask(job(ME)), &alone) } else { vec![] };
        assert_eq!(running.len(), usize::from(busy), "{why}");
        let loading = room(able(WHOLE, memory), &[(BO, able(&[], memory))]);
        office.review(&loading);
        office.review(&loading);
        assert_eq!(office.serving(), meanwhile, "{why}: while the new one loads");
        let planned = office.teams().iter().any(|(stages, _)| *stages == RING);
        assert_eq!(planned, memory > WHOLE_BYTES || !busy, "{why}: what people wait for is not thrown out");
        office.leader.done(ME, job(ME));
        office.review(&loading);
        let ready = room(able(&[(0, 8), (0, 4)], memory), &[(BO, able(HIGH, memory))]);
        office.review(&ready);
        assert_eq!((office.serving(), office.teams().len()), (new.clone(), 1), "{why}: in the end");
    }
}

#[test]
fn a_report_older_than_the_plan_proves_nothing() {
    let old = Epoch { term: 0, leader: BO };
    let rows = [
        (HIGH, Some((EPOCH, 1)), true, "it knows its part and holds it"),
        (HIGH, Some((EPOCH, 7)), true, "a later plan in which it is still"),
        (&[], Some((EPOCH, 1)), false, "it loads"),
        (HIGH, None, false, "it has heard no plan, and may just have freed them"),
        (HIGH, Some((EPOCH, 0)), false, "as it was before this plan"),
        (HIGH, Some((old, 9)), false, "another leader's plan"),
    ];
    for (ready, plan, serves, why) in rows {
        let members = halves(LOW, ready, plan);
        let mut office = Office::new(&members, Spread::Measured);
        assert_eq!(office.teams(), [(RING.to_vec(), serves)], "{why}");
        assert_eq!(office.ask(ME, &ask(job(ME)), &members).len(), usize::from(serves), "{why}");
    }
}

#[test]
fn what_left_the_plan_must_be_heard_of_again() {
    let with = |version| halves(LOW, HIGH, Some((EPOCH, version)));
    let mut office = Office::new(&with(1), Spread::Measured);
    assert_eq!(office.serving(), [RING], "both are ready");
    office.review(&room(able(LOW, HALF_BYTES), &[]));
    assert_eq!(office.teams(), [], "alone it is too small");
    let without = office.leader.version;
    let rows = [
        (without, false, "it may have freed them on hearing that"),
        (without, false, "and it has still heard nothing else"),
        (without + 1, true, "it knows that it is in again"),
    ];
    for (version, serves, why) in rows {
        office.review(&with(version));
        assert_eq!(office.serving().len(), usize::from(serves), "{why}");
    }
}

#[test]
fn a_new_leader_starts_from_the_plan_it_knew() {
    let stages =
        [(ME, 0, 4), (BO, 4, 8)].map(|(peer, start, end)| Stage { peer, layers: Layers { start, end } });
    let team = crate::wire::Team { stages: stages.into(), serves: true };
    let epoch = Epoch { term: 0, leader: BO };
    let models = vec![ModelPlan { model: model(Kind::Text).id, teams: vec![team], why: String::new() }];
    let choice = Choice::default().next(BO, Spread::Everyone);
    let known = RoomPlan { epoch, version: 3, choice, models };
    // Bo follows the new leader, and has not heard its plan.
    let members = halves(LOW, HIGH, Some((epoch, 3)));
    let mut leader = Leader::new(Millis(0), EPOCH, Some(&known), choice, &members);
    let teams = leader.announcement().models.remove(0).teams;
    assert_eq!(teams[0].stages, stages, "until it has looked around");
    assert!(!teams[0].serves, "but it grants nothing before that");
    assert_eq!(leader.announcement().choice, choice, "what people chose stays");
    let mut out = Outbox::new(ME);
    let held = Running { lease: Lease { epoch, serial: 5 }, unit: 0, stages: stages.into(), bands: 0 };
    let mut room = Room { now: Millis(1), members: &members, out: &mut out };
    leader.ask(ME, &ask_running(job(ME), held.clone()), &mut room).expect("its own job");
    leader.review(&mut room);
    leader.ask(ME, &ask_running(job(ME), held.clone()), &mut room).expect("its own job");
    assert_eq!(grants(&mut out), [], "what ran under the old one runs on");
    assert_eq!(leader.queue.running().map(|(_, running)| running).collect::<Vec<_>>(), [&held]);
}

#[test]
fn a_lost_stage_is_replaced_and_its_job_granted_again() {
    let whole = |others: &[(PeerId, Report)]| room(Report::default(), others);
    let both = whole(&[(BO, able(WHOLE, 1_000)), (CY, able(WHOLE, 1_000))]);
    let mut office = Office::new(&both, Spread::Measured);
    let first = office.ask(ME, &ask(job(ME)), &both);
    assert_eq!(spans(&first[0].1.stages), [(2, 0, 8)]);
    let second = office.review(&whole(&[(CY, able(WHOLE, 1_000))]));
    assert_eq!(spans(&second[0].1.stages), [(3, 0, 8)], "Bo is gone");
    assert!(second[0].1.lease > first[0].1.lease, "under a newer lease");
}

#[test]
fn who_gets_no_layers() {
    let other = ModelSpec { id: ModelId([9; 32]), ..model(Kind::Text) };
    let speed = able(&[], 0).offers[0].speed;
    let rows = [
        (able(&[], 1_000), true, "an ordinary tab"),
        (Report { share: false, ..able(&[], 1_000) }, false, "not sharing"),
        (Report { fitness: Share::LastResort, ..able(&[], 1_000) }, false, "hidden, and others are not"),
        (Report { fitness: Share::None, ..able(&[], 1_000) }, false, "its battery is low"),
        (Report { fitness: Share::Part(30), ..able(&[], 1_000) }, true, "a part of the work is some"),
        (Report { capability: None, ..able(&[], 1_000) }, false, "its worker is not ready"),
        (
            Report { offers: vec![crate::io::Offer { model: other, speed }], ..able(&[], 1_000) },
            false,
            "another model",
        ),
        (Report { trouble: Some("disk full".into()), ..able(&[], 1_000) }, false, "could not load"),
        (able(&[], 5), false, "no memory for a layer"),
    ];
    for (report, takes, why) in rows {
        let members = room(able(&[], 1_000), &[(BO, report)]);
        let office = Office::new(&members, Spread::Measured);
        let has = office.teams().iter().any(|(stages, _)| stages[0].0 == BO.0);
        assert_eq!(has, takes, "{why}");
    }
}

#[test]
fn a_last_resort_is_better_than_nothing() {
    let hidden = |report| Report { fitness: Share::LastResort, ..report };
    let rests = |report| Report { fitness: Share::None, ..report };
    let rows = [
        (vec![(BO, hidden(able(WHOLE, 1_000)))], vec![vec![(2, 0, 8)]], "nobody else is there"),
        (
            vec![(BO, hidden(able(WHOLE, 1_000))), (CY, able(&[], 1_000))],
            vec![vec![(2, 0, 8)], vec![(3, 0, 8)]],
            "it has the layers already",
        ),
        (
            vec![(BO, rests(able(WHOLE, 1_000)))],
            vec![vec![(2, 0, 8)]],
            "it should rest, but nobody else is there",
        ),
        (
            vec![(BO, rests(able(WHOLE, 1_000))), (CY, able(WHOLE, 1_000))],
            vec![vec![(3, 0, 8)]],
            "it should rest, and may",
        ),
    ];
    for (others, want, why) in rows {
        let alone = room(Report::default(), &others[..1]);
        let mut office = Office::new(&alone, Spread::Measured);
        office.review(&room(Report::default(), &others));
        let teams: Vec<_> = office.teams().into_iter().map(|(stages, _)| stages).collect();
        assert_eq!(teams, want, "{why}");
    }
}

#[test]
fn a_suspect_is_left_out_for_a_while() {
    let members = room(Report::default(), &[(BO, able(WHOLE, 1_000)), (CY, able(WHOLE, 1_000))]);
    let mut office = Office::new(&members, Spread::Measured);
    let mut wait_ms = limits::SUSPECT_MS;
    let mut seen = None;
    for _ in 0..2 {
        let asked = Ask { seen, ..ask(job(ME)) };
        let granted = office.ask(ME, &asked, &members);
        assert_eq!(spans(&granted[0].1.stages), [(2, 0, 8)]);
        seen = Some(granted[0].1.lease);
        office.now = office.now.after(10);
        let broken = Ask { suspect: Some(BO), seen, ..ask(job(ME)) };
        let again = office.ask(ME, &broken, &members);
        assert_eq!(again.iter().map(|(_, r)| spans(&r.stages)).collect::<Vec<_>>(), [[(3, 0, 8)]]);
        seen = again.first().map(|(_, running)| running.lease);
        office.leader.done(ME, job(ME));
        office.now = office.now.after(wait_ms - 1);
        office.review(&members);
        assert_eq!(office.serving().len(), 1, "{wait_ms} ms are not over");
        office.now = office.now.after(1);
        office.review(&members);
        office.review(&members);
        assert_eq!(office.serving().len(), 2, "forgiven");
        wait_ms *= 2;
    }
}

#[test]
fn blame_needs_a_lease_that_broke_there() {
    let members = room(able(WHOLE, 1_000), &[(BO, able(WHOLE, 1_000)), (CY, able(WHOLE, 1_000))]);
    let mut office = Office::new(&members, Spread::Measured);
    let granted = office.ask(BO, &ask(job(BO)), &members);
    let on = granted[0].1.stages[0].peer;
    let other = [ME, CY].into_iter().find(|&peer| peer != on).expect("one of them");
    let slander = Ask { suspect: Some(other), seen: Some(granted[0].1.lease), ..ask(job(BO)) };
    office.ask(BO, &slander, &members);
    assert!(office.leader.suspects.is_empty(), "nothing of its job ran there");
}

#[test]
fn an_ask_for_what_nobody_has_is_told_so() {
    let members = room(able(WHOLE, 1_000), &[(BO, able(WHOLE, 1_000))]);
    let mut office = Office::new(&members, Spread::Measured);
    let mut room = Room { now: Millis(0), members: &members, out: &mut office.out };
    let stranger = Ask { model: ModelId([9; 32]), ..ask(job(BO)) };
    office.leader.ask(BO, &stranger, &mut room).expect("its own job");
    let told = sent(&mut office.out).into_iter().find_map(|(to, message)| match message {
        Message::Standing { standing: Standing::Waiting(why), .. } if to == BO => Some(why),
        _ => None,
    });
    assert!(told.as_ref().is_some_and(|why| why.contains("can load")), "{told:?}");
    let mut room = Room { now: Millis(0), members: &members, out: &mut office.out };
    assert!(office.leader.ask(ME, &ask(job(BO)), &mut room).is_err(), "Bo is here to ask for itself");
}

#[test]
fn everyone_means_a_part_for_everyone() {
    let members = room(able(LOW, 1_000), &[(BO, able(HIGH, 1_000))]);
    let mut office = Office::new(&members, Spread::Everyone);
    assert_eq!(office.serving(), [RING]);
    let granted: Vec<_> =
        (1..=4).flat_map(|serial| office.ask(ME, &ask(nth(ME, serial)), &members)).collect();
    assert_eq!(granted.len(), 3, "one for each stage, and one that is on its way between them");
}

#[test]
fn a_running_job_moves_when_that_pays() {
    const SLOW_GAP_MS: u32 = 6;
    let rows = [
        (SLOW_GAP_MS, 40, limits::MOVE_MS, true, "a seventh of the time a token"),
        (0, 40, limits::MOVE_MS, false, "nobody knows yet how fast it is where it is"),
        (SLOW_GAP_MS, 40, limits::MOVE_MS - 1, false, "it may not have come up to speed"),
        (SLOW_GAP_MS, 1, limits::MOVE_MS, false, "it ends sooner than it would be replayed"),
        (1, 40, limits::MOVE_MS, false, "it is as fast where it is, whatever the probe said"),
    ];
    let slow = || (BO, paced(700, WHOLE));
    for (gap_ms, left, at_ms, moves, why) in rows {
        let before = room(Report::default(), &[slow()]);
        let mut office = Office::new(&before, Spread::Measured);
        let first = office.ask(ME, &ask(job(ME)), &before).remove(0).1;
        assert_eq!(spans(&first.stages), [(2, 0, 8)], "{why}");
        office.now = Millis(at_ms);
        let members = room(Report::default(), &[slow(), (CY, paced(100, WHOLE))]);
        let demand = Demand::Text { prompt: 1, known: 40, left, gap_ms };
        office.ask(ME, &Ask { demand, ..ask_running(job(ME), first.clone()) }, &members);
        let moved: Vec<Running> =
            (0..3).flat_map(|_| office.review(&members)).map(|(_, running)| running).collect();
        let to: Vec<_> = moved.iter().map(|running| spans(&running.stages)).collect();
        assert_eq!(to, if moves { vec![vec![(3, 0, 8)]] } else { vec![] }, "{why}");
        assert!(moved.iter().all(|running| running.lease > first.lease), "{why}");
    }
}

#[test]
fn a_crowd_of_pictures_goes_a_picture_to_a_peer_and_one_picture_to_a_crowd() {
    // Microseconds a pass, guided, tiles, pictures; then who works on each picture that is granted.
    type Row<'a> = (u32, bool, u16, u16, &'a [&'a [u128]], &'a str);
    let rows: [Row<'_>; 6] = [
        (100_000, true, 1, 3, &[&[1], &[2], &[3]], "a picture a peer"),
        (100_000, true, 1, 5, &[&[1], &[2], &[3]], "and the rest waits"),
        (100_000, true, 1, 1, &[&[1, 2]], "halves of the guidance"),
        (10_000, true, 1, 1, &[&[1]], "halves would wait for each other longer than they work"),
        (100_000, false, 1, 1, &[&[1]], "nothing to share"),
        (100_000, false, 12, 1, &[&[1, 2, 3]], "tiles of the decoding"),
    ];
    for (step_micros, guided, tiles, count, want, why) in rows {
        let members = room(painter(step_micros), &[(BO, painter(step_micros)), (CY, painter(step_micros))]);
        let mut office = Office::new(&members, Spread::Measured);
        let demand = Demand::Picture(Shape { count, steps: 8, guided, tiles, stale: false });
        let (model, waiting) = (model(Kind::Picture).id, (1 << count) - 1);
        let granted = office.ask(ME, &Ask { model, demand, waiting, ..ask(job(ME)) }, &members);
        let peers = |running: &Running| -> Vec<u128> { running.stages.iter().map(|s| s.peer.0).collect() };
        let crews: Vec<Vec<u128>> = granted.iter().map(|(_, running)| peers(running)).collect();
        assert_eq!(crews, want, "{why}");
        let units: Vec<u16> = granted.iter().map(|(_, running)| running.unit).collect();
        assert_eq!(units, (0..want.len() as u16).collect::<Vec<_>>(), "{why}: each a picture of its own");
    }
}

#[test]
fn a_painter_that_no_device_holds_is_painted_with_on_a_ring() {
    // The toy painter has 80 bytes in 8 blocks.
    let part = |start, end| Part { model: model(Kind::Picture).id, layers: Layers { start, end } };
    let half = |ready: Part| {
        let mut report = painter(100_000);
        report.capability = Some(Capability { device: Device::Gpu, memory: 40 });
        Report { ready: vec![ready], ..report }
    };
    let rows: [(bool, u16, usize, &str); 4] = [
        (true, 1, 1, "one on the ring"),
        (true, 3, 1, "two branches of one picture keep two stages busy, and the rest waits"),
        (false, 1, 1, "without guidance"),
        (false, 3, 2, "a picture for each stage"),
    ];
    for (guided, count, want, why) in rows {
        let members = room(half(part(0, 4)), &[(BO, half(part(4, 8))), (CY, able(&[], 0))]);
        let mut office = Office::new(&members, Spread::Measured);
        let demand = Demand::Picture(Shape { count, steps: 8, guided, tiles: 2, stale: false });
        let (model, waiting) = (model(Kind::Picture).id, (1 << count) - 1);
        let granted = office.ask(CY, &Ask { model, demand, waiting, ..ask(job(CY)) }, &members);
        let crews: Vec<Vec<Span>> = granted.iter().map(|(_, running)| spans(&running.stages)).collect();
        assert_eq!(crews, vec![vec![(ME.0, 0, 4), (BO.0, 4, 8)]; want], "{why}");
    }
    // Both ends, from which latents and pixels come, must see whoever asks.
    let mut blind = half(part(4, 8));
    blind.sees = vec![ME];
    let members = room(half(part(0, 4)), &[(BO, blind), (CY, able(&[], 0))]);
    let mut office = Office::new(&members, Spread::Measured);
    let demand = Demand::Picture(Shape { count: 1, steps: 8, guided: true, tiles: 2, stale: false });
    let asked = Ask { model: model(Kind::Picture).id, demand, ..ask(job(CY)) };
    assert!(office.ask(CY, &asked, &members).is_empty(), "Bo has no link to Cy");
}

/// A report whose device writes with another model than the toy.
fn offering(id: u8) -> Report {
    let mut report = able(&[], 1_000);
    report.offers[0].model.id = ModelId([id; 32]);
    report
}

/// Ids of the models planned.
fn planned(office: &Office) -> Vec<u8> {
    office.leader.announcement().models.iter().map(|plan| plan.model.0[0]).collect()
}

#[test]
fn the_rooms_model_stays_when_the_leader_opens_its_own() {
    let members = room(offering(3), &[(BO, able(&[], 1_000)), (CY, able(&[], 1_000))]);
    assert_eq!(planned(&Office::new(&members, Spread::Measured)), [3, 7], "its own, and the most common");
}

#[test]
fn a_model_that_was_asked_for_lately_stays_planned() {
    let members = room(able(&[], 1_000), &[(BO, offering(3)), (CY, able(&[], 1_000))]);
    let mut office = Office::new(&members, Spread::Measured);
    assert_eq!(planned(&office), [7], "nobody asked for the other");
    let wanted = Ask { model: ModelId([3; 32]), ..ask(job(BO)) };
    office.ask(BO, &wanted, &members);
    office.review(&members);
    office.review(&members);
    assert!(office.leader.done(BO, job(BO)));
    for (after, models, why) in [
        (1_000, &[3, 7][..], "the next prompt finds it loaded"),
        (limits::LINGER_MS, &[7], "but not for ever"),
    ] {
        office.now = Millis(after);
        office.review(&members);
        assert_eq!(planned(&office), models, "{why}");
    }
}
