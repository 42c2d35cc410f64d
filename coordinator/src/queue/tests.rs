//! What asks mean, who is next, and what is bounded.

use super::*;
use crate::credit::CREDIT;
use crate::ids::Epoch;
use crate::wire::Demand;

const MODEL: ModelId = ModelId([1; 32]);
const T0: Millis = Millis(10 * AGE_MS);

fn id(requester: u128, serial: u32) -> JobId {
    JobId { requester: PeerId(requester), serial }
}

fn lease(serial: u32) -> Lease {
    Lease { epoch: Epoch { term: 1, leader: PeerId(1) }, serial }
}

fn run(unit: u16, serial: u32) -> Running {
    Running { lease: lease(serial), unit, stages: vec![], bands: 0 }
}

fn says(job: JobId, waiting: u64, running: &[Running], seen: Option<u32>) -> Ask {
    let demand = Demand::Text { prompt: 1, known: 1, left: 1, gap_ms: 0 };
    Ask {
        job,
        model: MODEL,
        demand,
        running: running.to_vec(),
        waiting,
        seen: seen.map(lease),
        suspect: None,
    }
}

/// A queue that has led for so long that it believes no newcomer's past.
fn queue() -> Queue {
    Queue::new(Millis(0))
}

fn put(queue: &mut Queue, now: Millis, job: JobId) -> Result<Vec<Running>, Refusal> {
    queue.ask(now, job.requester, &says(job, 1, &[], None))
}

/// Grants whatever is next, and returns it.
fn serve(queue: &mut Queue, now: Millis) -> Option<(u128, u32, u16)> {
    let next = queue.next(|_| true)?;
    queue.granted(now, next.job, run(next.unit, queue.grants as u32 + 1));
    Some((next.job.requester.0, next.job.serial, next.unit))
}

#[test]
fn what_an_ask_means() {
    // Unit 0 was granted under lease 3. When the ask comes, what waits, what runs, what was seen -> leases that broke,
    // units that wait, units that run.
    type Row = (u64, u64, Vec<Running>, u32, usize, u64, Vec<u16>, &'static str);
    let late = limits::GRANT_MS + 1;
    let rows: [Row; 10] = [
        (0, 0, vec![run(0, 3)], 3, 0, 0, vec![0], "renewed"),
        (late, 0, vec![run(0, 3)], 3, 0, 0, vec![0], "renewed for as long as it takes"),
        (0, 1, vec![], 2, 0, 0, vec![0], "the grant is still on its way"),
        (late, 1, vec![], 2, 1, 1, vec![], "the grant was lost"),
        (0, 1, vec![], 3, 1, 1, vec![], "its lease broke: it waits again"),
        (0, 0, vec![], 3, 0, 0, vec![], "the unit has ended"),
        (0, 0b10, vec![], 3, 0, 0b10, vec![], "the unit has ended, the next one waits"),
        (0, 0b10, vec![run(0, 3)], 3, 0, 0b10, vec![0], "it runs, another waits"),
        (0, 0, vec![run(0, 4)], 4, 0, 0, vec![0], "it runs under another leader's lease"),
        (
            0,
            0b11,
            vec![run(0, 3), run(99, 9)],
            3,
            0,
            0b10,
            vec![0],
            "what runs does not wait; no unit has that number",
        ),
    ];
    for (at_ms, waiting, theirs, seen, broken, waits, runs, why) in rows {
        let mut queue = queue();
        put(&mut queue, T0, id(1, 1)).expect("there is room");
        queue.granted(T0, id(1, 1), run(0, 3));
        let said = queue.ask(T0.after(at_ms), PeerId(1), &says(id(1, 1), waiting, &theirs, Some(seen)));
        assert_eq!(said.map(|leases| leases.len()), Ok(broken), "{why}");
        let units: Vec<u16> = queue.running().map(|(_, running)| running.unit).collect();
        assert_eq!((queue.waiting_by_model(MODEL), units), (waits.count_ones(), runs), "{why}");
        let next = queue.next(|_| true);
        assert_eq!(next.map(|next| next.unit), (waits != 0).then(|| waits.trailing_zeros() as u16), "{why}");
        assert_eq!(next.is_some_and(|next| next.recovering), broken > 0, "{why}");
    }
}

#[test]
fn an_heir_has_what_it_says_it_has() {
    let mut queue = queue();
    put(&mut queue, T0, id(1, 1)).expect("there is room");
    put(&mut queue, T0, id(2, 1)).expect("there is room");
    queue.granted(T0, id(2, 1), run(0, 3));
    let said = queue.ask(T0, PeerId(7), &says(id(2, 1), 1, &[], None));
    assert_eq!(said, Ok(vec![]), "nobody is to blame");
    let next = queue.next(|_| true).expect("both wait");
    assert_eq!(
        (next.job, next.asker, next.recovering),
        (id(2, 1), PeerId(7), true),
        "half an answer goes on first"
    );
    assert!(!queue.done(PeerId(2), id(2, 1)), "it is the heir's now");
    assert!(queue.done(PeerId(7), id(2, 1)));
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_new_leader_adopts_what_runs_and_believes_what_broke() {
    let rows = [
        (0, vec![run(0, 9)], 0, None, "it runs"),
        (0, vec![], 0b110, Some((1, true)), "it broke when the leader changed: one unit goes first"),
        (ADOPT_MS + 1, vec![], 0b110, Some((1, false)), "a leader that was here all the time knows better"),
    ];
    for (at_ms, running, waiting, expected, why) in rows {
        let mut queue = queue();
        queue
            .ask(Millis(at_ms), PeerId(1), &says(id(1, 1), waiting, &running, Some(9)))
            .expect("there is room");
        let next = queue.next(|_| true).map(|next| (next.unit, next.recovering));
        assert_eq!(next, expected, "{why}");
        assert_eq!(queue.running().count(), running.len(), "{why}");
    }
}

#[test]
fn the_broken_go_first_and_the_silent_are_forgotten() {
    let mut queue = queue();
    for job in [id(1, 1), id(2, 1)] {
        put(&mut queue, T0, job).expect("there is room");
    }
    queue.granted(T0, id(2, 1), run(0, 1));
    queue.revoke(|_, running| running.lease == lease(1));
    assert_eq!(queue.place(id(2, 1)), Some(0), "revoked");
    queue.granted(T0, id(2, 1), run(0, 2));
    assert_eq!(queue.place(id(2, 1)), None, "it runs");
    assert!(!queue.release(id(2, 1), lease(1)), "that one is over");
    assert!(queue.release(id(2, 1), lease(2)));
    assert_eq!(
        queue.next(|_| true).map(|next| (next.job, next.recovering)),
        Some((id(2, 1), true)),
        "released"
    );
    queue.expire(T0, |asker| asker == PeerId(2));
    assert_eq!(queue.next(|_| true).map(|next| next.job), Some(id(1, 1)), "its asker is gone");
    queue.expire(T0.after(limits::LEASE_MS), |_| false);
    assert_eq!(queue.len(), 1, "heard just in time");
    queue.expire(T0.after(limits::LEASE_MS + 1), |_| false);
    assert!(queue.len() == 0 && queue.order.is_empty(), "nobody asked again");
}

#[test]
fn a_keeper_that_gives_up_lease_after_lease_is_first_only_so_often() {
    let mut queue = queue();
    put(&mut queue, T0, id(1, 1)).expect("there is room");
    put(&mut queue, T0, id(2, 1)).expect("there is room");
    let mut firsts = 0;
    for serial in 1..=20 {
        queue.granted(T0, id(1, 1), run(0, serial));
        queue.ask(T0, PeerId(1), &says(id(1, 1), 1, &[], Some(serial))).expect("it is in the queue");
        firsts += u32::from(queue.place(id(1, 1)) == Some(0));
    }
    assert_eq!(firsts, limits::ATTEMPTS);
    queue.granted(T0, id(1, 1), run(0, 21));
    let later = T0.after(limits::LEASE_MS);
    queue.ask(later, PeerId(1), &says(id(1, 1), 0, &[run(0, 21)], Some(21))).expect("it is in the queue");
    queue.ask(later, PeerId(1), &says(id(1, 1), 1, &[], Some(21))).expect("it is in the queue");
    assert_eq!(queue.place(id(1, 1)), Some(0), "a lease that lasted speaks for it");
}

#[test]
fn people_take_turns_and_so_do_their_jobs() {
    let mut queue = queue();
    for (job, units) in [(id(1, 1), 0b111), (id(1, 2), 1), (id(2, 1), 0b11)] {
        queue.ask(T0, job.requester, &says(job, units, &[], None)).expect("there is room");
    }
    let order: Vec<_> = std::iter::from_fn(|| serve(&mut queue, T0)).collect();
    assert_eq!(order, [(1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 1, 1), (1, 1, 1), (1, 1, 2)]);
}

#[test]
fn to_run_again_is_not_a_new_turn() {
    let mut queue = queue();
    for person in 1..=2 {
        queue.ask(T0, PeerId(person), &says(id(person, 1), 0b11, &[], None)).expect("there is room");
        queue.granted(T0, id(person, 1), run(0, person as u32));
    }
    assert!(queue.release(id(1, 1), lease(1)));
    assert_eq!(serve(&mut queue, T0), Some((1, 1, 0)), "it lost its team");
    assert_eq!(serve(&mut queue, T0), Some((1, 1, 1)), "that was no fault of the person's");
}

#[test]
fn turns_outlive_jobs() {
    let mut queue = queue();
    put(&mut queue, T0, id(1, 1)).expect("there is room");
    assert_eq!(serve(&mut queue, T0), Some((1, 1, 0)));
    queue.done(PeerId(1), id(1, 1));
    put(&mut queue, T0, id(1, 2)).expect("there is room");
    put(&mut queue, T0, id(2, 1)).expect("there is room");
    assert_eq!(serve(&mut queue, T0), Some((2, 1, 0)), "one who sends jobs singly is not new each time");
}

#[test]
fn credit_and_age_order() {
    // The scores of two people in credits, how much later the second asks -> who is first.
    let rows = [
        (0, 0, 0, 1, "first come, first served"),
        (0, 1, 0, 2, "a tier higher"),
        (0, 1, 2 * AGE_MS, 1, "but much later"),
        (120, 400, 0, 1, "the same tier"),
        (0, 10_000, 5 * AGE_MS, 2, "six tiers are worth six ages"),
        (0, 10_000, 7 * AGE_MS, 1, "and no more"),
        (500, 10_000, 2 * AGE_MS, 2, "Master before Gold, three tiers"),
        (500, 10_000, 4 * AGE_MS, 1, "unless four ages later"),
    ];
    for (first, second, later_ms, expected, why) in rows {
        // Scores come before the jobs or after: it is the same.
        for early in [true, false] {
            let scores = BTreeMap::from([(PeerId(1), first * CREDIT), (PeerId(2), second * CREDIT)]);
            let mut queue = queue();
            if early {
                queue.set_scores(&scores);
            }
            put(&mut queue, T0, id(1, 1)).expect("there is room");
            put(&mut queue, T0.after(later_ms), id(2, 1)).expect("there is room");
            queue.set_scores(&scores);
            assert_eq!(queue.next(|_| true).map(|next| next.job.requester.0), Some(expected), "{why}");
        }
    }
}

#[test]
fn nobody_starves_under_a_flood_of_masters() {
    const UNIT_MS: u64 = 2_000;
    // A new Master for each that is served, never seen before: neither turns nor places hold them back.
    let mut masters = 1_000_u128;
    let mut queue = queue();
    let scores: BTreeMap<PeerId, u64> = (1_000..9_000).map(|peer| (PeerId(peer), 99_999 * CREDIT)).collect();
    queue.set_scores(&scores);
    let mut now = T0;
    put(&mut queue, now, id(1, 1)).expect("there is room");
    let served = loop {
        while queue.len() < limits::JOBS_PER_ROOM {
            masters += 1;
            put(&mut queue, now, id(masters, 1)).expect("there is room");
        }
        let (requester, serial, _) = serve(&mut queue, now).expect("many wait");
        if requester == 1 {
            break now;
        }
        queue.done(PeerId(requester), id(requester, serial));
        now = now.after(UNIT_MS);
        assert!(masters < 8_999, "it starves");
    };
    let bound_ms = (Tier::COUNT + 1) * AGE_MS + limits::JOBS_PER_ROOM as u64 * UNIT_MS;
    let waited_ms = served.since(T0);
    assert!(waited_ms <= bound_ms, "{waited_ms} ms of {bound_ms}");
    assert!(waited_ms > AGE_MS, "{waited_ms} ms: the Masters did go first");
}

#[test]
fn how_long_it_takes() {
    // Jobs before it, for how long each running unit has run, teams -> the estimate, with units of 1,000 ms.
    type Row = (usize, &'static [u64], usize, Option<u64>, &'static str);
    let rows: [Row; 8] = [
        (0, &[], 1, Some(0), "nobody else is here"),
        (0, &[300], 1, Some(700), "after the one that runs"),
        (0, &[300], 2, Some(0), "the other team is free"),
        (2, &[300], 2, Some(1_000), "two go before it, on the free team and on the other"),
        (3, &[300, 800], 2, Some(1_700), "a whole round, and then the second to be free"),
        (0, &[5_000], 1, Some(0), "longer than usual: any moment"),
        (0, &[100, 200, 600], 1, Some(900), "a team left, what runs ends first"),
        (1, &[], 0, None, "nobody serves"),
    ];
    for (before, running, servers, expected, why) in rows {
        let mut queue = queue();
        let now = T0.after(10_000);
        queue.ask(T0, PeerId(50), &says(id(50, 1), 0, &[], None)).expect("there is room");
        for (index, ran_ms) in (0_u16..).zip(running) {
            queue.granted(Millis(now.0 - ran_ms), id(50, 1), run(index, 1));
        }
        for person in 1..=before as u128 + 1 {
            put(&mut queue, now, id(person, 1)).expect("there is room");
        }
        let job = id(before as u128 + 1, 1);
        assert_eq!(queue.place(job), Some(before as u32), "{why}");
        assert_eq!(queue.estimate(now, job, 1_000, servers), expected, "{why}");
    }
    assert_eq!(queue().estimate(T0, id(1, 1), 1_000, 1), None, "it does not wait");
}

#[test]
fn only_wanted_models_are_next() {
    let mut queue = queue();
    let other = ModelId([2; 32]);
    put(&mut queue, T0, id(1, 1)).expect("there is room");
    let ask = Ask { model: other, ..says(id(2, 1), 0b101, &[], None) };
    queue.ask(T0, PeerId(2), &ask).expect("there is room");
    assert_eq!(queue.next(|&model| model == other).map(|next| next.job), Some(id(2, 1)));
    assert_eq!(queue.next(|_| false), None);
    assert_eq!((queue.waiting_by_model(MODEL), queue.waiting_by_model(other)), (1, 2));
}

#[test]
fn bounds_are_named() {
    let mut queue = queue();
    let taken = (1..=99).filter(|&serial| put(&mut queue, T0, id(1, serial)).is_ok()).count();
    assert_eq!(taken, limits::JOBS_PER_PEER);
    assert_eq!(put(&mut queue, T0, id(1, 99)), Err(Refusal::Person));
    let heir = |queue: &mut Queue, gone| queue.ask(T0, PeerId(2), &says(id(gone, 1), 1, &[], None));
    let taken = (100..=199).filter(|&gone| heir(&mut queue, gone).is_ok()).count();
    assert_eq!(taken, JOBS_PER_ASKER, "made-up requesters do not fill the room");
    assert_eq!(heir(&mut queue, 300), Err(Refusal::Asker));
    (200..=999).for_each(|person| drop(put(&mut queue, T0, id(person, 1))));
    assert_eq!(queue.len(), limits::JOBS_PER_ROOM);
    let full = put(&mut queue, T0, id(9_999, 1)).expect_err("the room is full");
    assert!(full.to_string().contains("goes on when"), "{full}");
    assert_eq!(put(&mut queue, T0, id(1, 1)), Ok(vec![]), "what is in the queue is never refused");
    for person in 1_000..2_000 {
        queue.served.insert(PeerId(person), Served::default());
        queue.forget_longest_served();
    }
    assert!(queue.served.len() <= limits::JOBS_PER_ROOM);
}
