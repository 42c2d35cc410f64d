//! What `handle` costs in a crowd, as tables: each kind of message and the tick, at one real peer of a room that is at
//! work, second by second; and how that, and memory, grow with the room. With `--plot FILE` the growth becomes a figure.
#![allow(clippy::disallowed_types)] // A bench needs a clock; the machine under it is still told the time.

mod crowd;
mod plot;

use coordinator::{Input, Output, PeerId, wire};
use crowd::{Crowd, LEADER};
use peak_alloc::PeakAlloc;
use std::collections::BTreeMap;
use std::time::Instant;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Seconds of the room's time.
const SECONDS: u64 = 20;
/// Tokens a second of each story. Source: guess; reading speed, twice.
const TOKENS_PER_S: u64 = 10;

/// Nanoseconds of each call, by what it was.
type Times = BTreeMap<&'static str, Vec<u64>>;

/// Runs the room for some seconds at the rate at which its messages would come.
fn run(crowd: &mut Crowd, leads: bool, peers: u128) -> Times {
    let mut times = Times::new();
    for second in 0..SECONDS {
        crowd.beat();
        let mut due: Vec<(&'static str, PeerId, wire::Message)> = Vec::new();
        let others = (1..=peers).map(PeerId).filter(|&peer| (peer == LEADER) != leads || peer.0 > 2);
        for peer in others {
            due.push(("pulse", peer, crowd.pulse(peer)));
            // One in fifty has something new to say each second.
            if (peer.0 as u64 + second).is_multiple_of(50) {
                due.push(("report", peer, crowd.report(peer)));
            }
        }
        for job in if leads { crowd.jobs() } else { vec![] } {
            due.push(("ask", job.requester, crowd.ask(job)));
        }
        for _ in 0..TOKENS_PER_S {
            crowd.grow();
            for job in crowd.jobs() {
                due.push(("story", job.requester, crowd.story(job)));
            }
            if let Some((from, message)) = crowd.work() {
                let name = if matches!(message, wire::Message::Token(_)) { "token" } else { "hidden" };
                due.push((name, from, message));
            }
        }
        let all = due.len() as u64;
        let start = crowd.now;
        for (at, (name, from, message)) in due.into_iter().enumerate() {
            let now = start.after(1_000 * at as u64 / all);
            ticks(crowd, now, &mut times);
            crowd.now = crowd.now.max(now);
            let input = Input::Received { from, bytes: wire::encode(&message) };
            let outputs = timed(crowd, name, input, &mut times);
            for input in crowd.worked(&outputs) {
                timed(crowd, "ran, ack", input, &mut times);
            }
        }
        ticks(crowd, start.after(1_000), &mut times);
        crowd.now = start.after(1_000);
    }
    times
}

fn ticks(crowd: &mut Crowd, now: coordinator::Millis, times: &mut Times) {
    while let Some(at) = crowd.node.wake_at().filter(|&at| at <= now) {
        crowd.now = crowd.now.max(at);
        timed(crowd, "tick", Input::Tick, times);
    }
}

fn timed(crowd: &mut Crowd, name: &'static str, input: Input, times: &mut Times) -> Vec<Output> {
    let now = crowd.now;
    let start = Instant::now();
    let outputs = crowd.node.handle(now, input);
    let nanos = start.elapsed().as_nanos() as u64;
    times.entry(name).or_default().push(nanos);
    crowd.note(&outputs);
    outputs
}

/// Microseconds below which `percent` of the calls took.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .map_or(0.0, |&ns| ns as f64 / 1e3)
}

fn row(name: &str, nanos: &[u64]) {
    let mut sorted = nanos.to_vec();
    sorted.sort_unstable();
    let mean = sorted.iter().sum::<u64>() as f64 / sorted.len().max(1) as f64 / 1e3;
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&sorted, percent));
    println!(
        "  {name:10} {:8} calls   mean {mean:8.1}   p50 {p50:8.1}   p99 {p99:8.1}   max {max:8.1} µs",
        sorted.len()
    );
}

fn messages(times: &Times) -> Vec<u64> {
    times.iter().filter(|(name, _)| **name != "tick").flat_map(|(_, nanos)| nanos.iter().copied()).collect()
}

/// Bytes that a node holds.
fn bytes(crowd: Crowd) -> usize {
    let before = MEMORY.current_usage();
    drop(crowd.node);
    before - MEMORY.current_usage()
}

/// Both views of a room in which one device in `large_every` holds the whole model.
fn crowds(peers: u128, jobs: u32, large_every: u128) -> [(&'static str, Crowd); 2] {
    let leader = Crowd::new(LEADER, peers, jobs, large_every, None);
    let follower = Crowd::new(PeerId(2), peers, jobs, large_every, leader.plan.clone());
    [("leader", leader), ("follower", follower)]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let plot = arguments.iter().position(|word| word == "--plot").and_then(|at| arguments.get(at + 1));
    if plot.is_none() {
        in_detail("all jobs run", 3);
        in_detail("most jobs wait", 20);
    }
    let lines = growth();
    if let Some(file) = plot {
        let figure = plot::svg("peers in the room", "ms of CPU a second of the room", &SIZES, &lines);
        std::fs::write(file, figure).expect("the figure can be written");
    }
}

fn in_detail(what: &str, large_every: u128) {
    println!("200 peers, 100 jobs, {what}:");
    for (name, mut crowd) in crowds(200, 100, large_every) {
        let teams =
            crowd.plan.iter().flat_map(|plan| &plan.models).map(|plan| plan.teams.len()).sum::<usize>();
        println!(" {name}: {teams} teams, {} jobs granted, {:?}", crowd.granted(), crowd.node.sizes());
        let times = run(&mut crowd, name == "leader", 200);
        times.iter().for_each(|(name, nanos)| row(name, nanos));
        row("messages", &messages(&times));
    }
}

/// Peers of the rooms of [`growth`].
const SIZES: [f64; 5] = [50.0, 100.0, 200.0, 500.0, 1_000.0];

/// What a second of the room costs the leader and a follower, beside n log n through the smallest room.
fn growth() -> Vec<plot::Line> {
    println!("growth, 100 jobs:");
    let mut lines = [("leader", "#b3261e"), ("follower", "#1a56b0")].map(|(name, colour)| plot::Line {
        name: name.into(),
        colour,
        dashed: false,
        points: Vec::new(),
    });
    for size in SIZES {
        for (line, (name, crowd)) in lines.iter_mut().zip(crowds(size as u128, 100, 3)) {
            println!(" {size} peers, {name}:");
            line.points.push((size, grown(name, crowd, size as u128)));
        }
    }
    let start = lines[0].points[0].1;
    let ideal = |size: f64| start * (size * size.ln()) / (SIZES[0] * SIZES[0].ln());
    let points = SIZES.map(|size| (size, ideal(size))).to_vec();
    let bound = plot::Line { name: "n log n".into(), colour: "#777", dashed: true, points };
    lines.into_iter().chain([bound]).collect()
}

/// Milliseconds of CPU that a second of this room costs.
fn grown(name: &'static str, mut crowd: Crowd, peers: u128) -> f64 {
    let times = run(&mut crowd, name == "leader", peers);
    row("messages", &messages(&times));
    row("tick", times.get("tick").map(Vec::as_slice).unwrap_or_default());
    let total = times.values().flatten().sum::<u64>() as f64 / 1e6 / SECONDS as f64;
    println!("  {total:.2} ms of CPU a second of the room");
    let jobless = crowds(peers, 0, 3).into_iter().find(|crowd| crowd.0 == name).expect("both are there").1;
    let [full, jobless] = [bytes(crowd), bytes(jobless)];
    println!(
        "  memory {} bytes a peer, {} bytes a job (prompt and answer of some hundred tokens)",
        jobless / peers as usize,
        full.saturating_sub(jobless) / 100
    );
    total
}
