//! What the planner says beforehand, and what the devices then do: within ten percent, for devices whose times are known.

use super::pictures::{STEPS, paint, wait};
use super::{ADA, BO, CY, LAYERS, PROMPT, write_long};
use coordinator::io::{Spread, Stage};
use coordinator::planner::{self, Link, Links, PictureShape, Room, Speed, Worker};
use coordinator::{Command, JobId, PeerId};
use simulation::device::ROWS_AT_ONCE;
use simulation::world::{Spec, World};

const DEE: PeerId = PeerId(4 << 100);
/// Milliseconds of every message.
const LATENCY_MS: u64 = 3;
const TABLE: &[PeerId] = &[ADA, BO, CY, DEE];

fn house(specs: &[Spec], spread: Spread) -> World {
    let mut world = World::new(1, LAYERS).in_one_house(LATENCY_MS);
    for (&peer, &spec) in TABLE.iter().zip(specs) {
        world.join_as(peer, spec);
        world.run_for(3_000);
    }
    world.command(ADA, Command::Spread(spread));
    world.run_for(10_000);
    world
}

/// The room as its planner should see it, from the devices' true times.
pub fn workers(specs: &[Spec]) -> Vec<Worker> {
    let micros = |micros: u64| micros as u32;
    let peers = TABLE.iter().zip(specs);
    let worker = |(&id, spec): (&PeerId, &Spec)| Worker {
        id,
        name: id.to_string(),
        memory: spec.memory,
        speed: Speed {
            layer_micros: micros(spec.layer_micros),
            prefill_micros: micros(spec.layer_micros / ROWS_AT_ONCE),
            hop_micros: 0,
            step_micros: micros(spec.step_micros),
            encode_micros: micros(spec.step_micros),
            decode_micros: micros(spec.step_micros),
        },
        held: Vec::new(),
        sees: TABLE.iter().copied().filter(|other| *other != id).collect(),
    };
    peers.map(worker).collect()
}

fn links() -> Links {
    let link = Link { round_trip_ms: 2 * LATENCY_MS as u32, bytes_per_ms: u32::MAX };
    TABLE.iter().map(|&one| (one, TABLE.iter().map(|&other| (other, link)).collect())).collect()
}

fn must_be_near(measured: f64, predicted: f64, what: &str) {
    let ratio = measured / predicted;
    assert!((0.9..=1.1).contains(&ratio), "{what}: {measured:.1}, predicted {predicted:.1}");
}

/// The team that wrote Ada's story, jobs on it, and how many teams there are.
struct Case {
    specs: Vec<Spec>,
    spread: Spread,
    /// Layers of each stage.
    team: Vec<u16>,
    /// All jobs, and jobs on each team.
    jobs: (usize, usize),
    what: &'static str,
}

fn cases() -> Vec<Case> {
    let spec = |layer_micros, memory| Spec { layer_micros, memory, ..Spec::TAB };
    let whole = |layer_micros| spec(layer_micros, 1 << 30);
    let third = |layer_micros| spec(layer_micros, 4 << 20);
    let case = |specs: &[Spec], team: &[u16], jobs, what| Case {
        specs: specs.to_vec(),
        spread: Spread::Measured,
        team: team.to_vec(),
        jobs,
        what,
    };
    vec![
        case(&[whole(5_000)], &[8], (1, 1), "one peer alone"),
        case(&[whole(5_000)], &[8], (2, 2), "one peer alone, two jobs"),
        case(&[whole(5_000); 3], &[8], (3, 1), "three peers, a job each"),
        case(&[third(5_000); 3], &[3, 3, 2], (1, 1), "a ring of three"),
        case(&[third(5_000); 3], &[3, 3, 2], (3, 3), "a ring of three, three jobs"),
        case(&[third(4_000), third(6_000), third(9_000)], &[4, 3, 1], (1, 1), "a ring of unequal three"),
    ]
}

#[test]
fn words_come_as_fast_as_predicted() {
    for Case { specs, spread, team, jobs: (jobs, on_team), what } in cases() {
        let mut world = house(&specs, spread);
        let authors = [ADA, BO, CY].into_iter().cycle().take(specs.len()).cycle();
        let asked: Vec<JobId> = authors.take(jobs).map(|author| write_long(&mut world, author)).collect();
        world.run_for(60_000);
        let job = asked[0];
        let plan = &world.peers[&ADA].witness.room.models;
        let stages: Vec<Stage> = plan
            .iter()
            .find(|plan| plan.model == world.model.id)
            .map_or(vec![], |plan| plan.teams[0].stages.clone());
        let mut layers: Vec<u16> = stages.iter().map(|stage| stage.layers.len()).collect();
        layers.sort_by_key(|layers| std::cmp::Reverse(*layers));
        assert_eq!(layers, team, "{what}");
        let (workers, links) = (workers(&specs), links());
        let hidden_bytes = world.model.hidden_bytes.into();
        let room = Room { model: &world.model, workers: &workers, links: &links, hidden_bytes };
        let predicted =
            planner::predict_text(&room, &stages, PROMPT, on_team).expect("all of them are there");
        let seen = &world.peers[&ADA].witness.jobs[&job];
        assert_eq!(seen.tokens.len(), 200, "{what}: it is written");
        let seconds = (seen.came[150] - seen.came[50]) as f64 / 1e3;
        must_be_near(100.0 / seconds, predicted.tokens_per_second(), &format!("{what}, tokens a second"));
        if jobs == 1 {
            let first = (seen.came[0] - seen.appeared) as f64;
            must_be_near(first, predicted.first_token_ms() as f64, &format!("{what}, ms to the first token"));
        }
    }
}

#[test]
fn pictures_come_as_fast_as_predicted() {
    let painter = Spec { step_micros: 100_000, ..Spec::TAB };
    let slower = Spec { step_micros: 140_000, ..Spec::TAB };
    let rows: [(&[Spec], u16, &str); 5] = [
        (&[painter], 1, "one peer alone"),
        (&[painter, painter], 1, "two, a guidance half each"),
        (&[painter, slower], 1, "two unequal halves"),
        (&[painter; 4], 4, "four seeds on four"),
        (&[painter; 2], 2, "two seeds on two"),
    ];
    for (specs, count, what) in rows {
        let mut world = house(specs, Spread::Measured);
        let job = paint(&mut world, ADA, count);
        let ms = wait(&mut world, ADA, job) as f64;
        let latent_bytes = world.painter.hidden_bytes.into();
        let shape = PictureShape {
            steps: STEPS,
            guided: true,
            tiles: 4,
            stale: false,
            everyone: false,
            latent_bytes,
            context_bytes: 0,
        };
        let (workers, links) = (workers(specs), links());
        let free: Vec<&Worker> = workers.iter().collect();
        let crew = planner::crew(&shape, &free, &links, count.into()).expect("somebody paints");
        must_be_near(ms, crew.prediction.picture_ms() as f64, &format!("{what}, ms for a picture"));
        let all = f64::from(count) * 60e3 / crew.prediction.pictures_per_minute();
        must_be_near(ms, all, &format!("{what}, ms for all"));
    }
}
