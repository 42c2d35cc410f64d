use super::*;
use crate::ids::Layers;
use crate::io::{Kind, Shape, Stage};
use crate::testing::{LEASE, ME, job, model, sent};
use crate::wire::OpenPicture;

const OWNER: PeerId = PeerId(9);

/// A picture that is painted here, by a compute worker that has begun.
fn painting(out: &mut Outbox) -> Stages {
    let model = model(Kind::Picture);
    let shape = Shape { count: 1, steps: 4, guided: false, tiles: 1, stale: false };
    let settings = vec![5];
    let part = OpenPart::Picture(OpenPicture { unit: 0, shape, done: 0, tiles: 0, bands: 0, settings });
    let stages = vec![Stage { peer: ME, layers: Layers { start: 0, end: 8 } }];
    let open = Open { job: job(OWNER), lease: LEASE, model: model.id, stages, part };
    let mut all = Stages::new(ME);
    all.open(Millis(0), OWNER, open, None, out).expect("a sane crew");
    assert_eq!(all.sizes().running, 1);
    let _ = sent(out);
    all
}

#[test]
fn a_silent_compute_worker_loses_its_sessions_and_a_slow_one_does_not() {
    let patience = limits::WORKER_MS;
    let rows = [
        (vec![], patience, true, "in time"),
        (vec![], patience + 1, false, "silent for too long"),
        (vec![patience, 2 * patience], 3 * patience, true, "gives signs of life"),
        (vec![patience], 2 * patience + 1, false, "fell silent after one"),
    ];
    for (signs, now, kept, why) in rows {
        let mut out = Outbox::new(ME);
        let mut stages = painting(&mut out);
        signs.into_iter().for_each(|at| stages.working(Millis(at)));
        stages.expire(Millis(now), patience, &mut out);
        assert_eq!(stages.sizes().sessions == 1, kept, "{why}");
    }
}
