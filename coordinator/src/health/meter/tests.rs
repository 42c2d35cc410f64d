use super::*;

const DECODE: Work = Work { rows: 1, layers: 10 };

/// A worker with a fine clock of its own, seen through a clock that ticks in milliseconds.
struct Worker {
    meter: Meter,
    micros: u64,
}

impl Worker {
    fn new() -> Self {
        Self { meter: Meter::default(), micros: 1_000_000 }
    }

    /// Runs `chunks` one after the other; each takes `chunk_micros` and is handed over `idle_micros` after the answer
    /// before, or, if None, while the one before runs.
    fn run(&mut self, chunks: u32, work: Work, chunk_micros: u64, idle_micros: Option<u64>) {
        let tick = |micros: u64| Millis(micros / 1_000);
        for _ in 0..chunks {
            let begins = self.micros + idle_micros.unwrap_or(0);
            let given = if idle_micros.is_none() { begins.saturating_sub(chunk_micros / 2) } else { begins };
            self.micros = begins + chunk_micros;
            self.meter.ran(tick(self.micros), tick(given), work);
        }
    }
}

#[test]
fn the_speed_is_measured_whatever_the_clock_and_the_queue() {
    let prompt = Work { rows: 64, layers: 10 };
    let rows = [
        (DECODE, 300, Some(0), 30, "chunks far shorter than a tick"),
        (DECODE, 300, None, 30, "and queued"),
        (DECODE, 4_700, Some(3_100), 470, "with pauses in between, which do not count"),
        (DECODE, 20_000, None, 2_000, "always one waiting: its wait does not count"),
        (DECODE, 900_000, Some(1), 90_000, "a slow device"),
        (prompt, 64_000, Some(500), 100, "a prompt, per row"),
    ];
    for (work, chunk_micros, idle, want, why) in rows {
        let mut worker = Worker::new();
        worker.run(5_000, work, chunk_micros, idle);
        let meter = &worker.meter;
        let (seen, other) = match work.rows {
            1 => (meter.decode_micros(), meter.prefill_micros()),
            _ => (meter.prefill_micros(), meter.decode_micros()),
        };
        let seen = seen.expect("5,000 chunks are enough");
        assert!(seen.abs_diff(want) * 20 <= want, "{why}: {seen} µs, not within 5 % of {want}");
        assert_eq!(other, None, "{why}: of the other kind nothing was seen");
    }
}

#[test]
fn the_probe_is_believed_until_enough_was_seen() {
    let mut worker = Worker::new();
    worker.run(11, DECODE, 100_000, Some(0));
    assert_eq!(worker.meter.effective_layer_micros(123), 123, "not enough yet");
    worker.run(1, DECODE, 100_000, Some(0));
    assert_eq!(worker.meter.effective_layer_micros(123), 10_000, "three blocks of four chunks");
}

#[test]
fn what_is_no_work_of_this_device_does_not_count() {
    let mut worker = Worker::new();
    worker.run(40, DECODE, 20_000, Some(0));
    worker.run(1, DECODE, 30_000_000, Some(0));
    worker.run(40, DECODE, 20_000, Some(0));
    assert_eq!(worker.meter.decode_micros(), Some(2_000), "one chunk waited for a shader");
    let given = Millis(worker.micros / 1_000);
    worker.micros += 3_600_000_000;
    worker.meter.woke(Millis(worker.micros / 1_000 - 5));
    for _ in 0..20 {
        worker.meter.ran(Millis(worker.micros / 1_000), given, DECODE);
    }
    assert_eq!(worker.meter.decode_micros(), Some(2_000), "chunks that the device slept through");
    (0..100).for_each(|_| worker.meter.ran(Millis(u64::MAX), Millis(0), Work { rows: 0, layers: 0 }));
    assert_eq!(worker.meter.decode_micros(), Some(2_000), "nor chunks of nothing");
}

#[test]
fn slower_than_usual_shows_and_becomes_usual() {
    let mut worker = Worker::new();
    worker.run(500, DECODE, 20_000, Some(0));
    assert_eq!(worker.meter.slowdown_percent(), None, "ten seconds are not a habit");
    worker.run(4_000, DECODE, 20_000, Some(0));
    assert_eq!(worker.meter.slowdown_percent(), Some(100));
    worker.run(100, DECODE, 50_000, Some(0));
    assert_eq!(worker.meter.slowdown_percent(), Some(250), "it got hot");
    worker.run(12_000, DECODE, 50_000, Some(0));
    assert_eq!(worker.meter.slowdown_percent(), Some(100), "after ten minutes that is how it is");
}

#[test]
fn reports_change_only_when_it_matters() {
    let mut worker = Worker::new();
    let mut reports = vec![worker.meter.report_layer_micros(2_000)];
    // Microseconds of one chunk of ten layers, and how often.
    for chunk_micros in [20_000, 21_000, 19_000, 22_000, 25_000, 24_000, 26_000, 10_000] {
        for _ in 0..5 {
            worker.run(20, DECODE, chunk_micros, Some(0));
            reports.push(worker.meter.report_layer_micros(2_000));
        }
    }
    reports.dedup();
    let near = |want: u32| move |micros: &u32| micros.abs_diff(want) * 100 <= want * 15;
    assert_eq!(reports.first(), Some(&2_000), "the probe's");
    assert!(reports.iter().any(near(2_500)) && reports.last().is_some_and(near(1_000)), "{reports:?}");
    assert!(
        reports.len() <= 4,
        "within 15 % nothing is said, and one figure may fall in between: {reports:?}"
    );
}

#[test]
fn clocks_at_their_ends_do_no_harm() {
    let mut meter = Meter::default();
    let most = Work { rows: u32::MAX, layers: u16::MAX };
    for _ in 0..100 {
        meter.ran(Millis(u64::MAX), Millis(0), most);
        meter.ran(Millis(0), Millis(u64::MAX), DECODE);
        meter.woke(Millis(0));
    }
    assert!(meter.prefill.blocks.len() <= BLOCKS && meter.prefill.usual.len() <= USUAL);
}
