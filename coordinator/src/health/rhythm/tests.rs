use super::*;

/// A link that heard words after these gaps.
fn link(gaps: &[u64]) -> Rhythm {
    let mut rhythm = Rhythm::new(Millis(0));
    let mut now = Millis(0);
    for &gap in gaps {
        now = now.after(gap);
        rhythm.heard(now);
    }
    rhythm
}

#[test]
fn patience_follows_the_rhythm() {
    let after_nap = [&[1_000; 8][..], &[4_000], &[1_000; 8]].concat();
    let long_after_nap = [&[1_000; 8][..], &[4_000], &[1_000; GAPS]].concat();
    let rows: [(&[u64], u64, u64, &str); 9] = [
        (&[], UNKNOWN_MS, UNKNOWN_MS, "nothing known yet"),
        (&[1_000; 3], UNKNOWN_MS, UNKNOWN_MS, "three gaps are not a rhythm"),
        (&[1_000; 8], 2_500, 2_500, "a steady pulse"),
        (&[40; 300], UNKNOWN_MS, UNKNOWN_MS, "tokens alone say nothing of the pulses"),
        (&[600; 8], FLOOR_MS, FLOOR_MS, "never under the floor"),
        (&[800, 1_200, 900, 1_100, 700, 1_300], 3_000, 3_500, "jitter: later"),
        (&after_nap, 4_500, 5_500, "a nap that it woke from: more patient"),
        (&long_after_nap, 2_500, 2_500, "and after two minutes as before"),
        (&[1_000, 1_000, 1_000, 1_000, u64::MAX / 2], CEILING_MS, CEILING_MS, "never over the ceiling"),
    ];
    for (gaps, least, most, why) in rows {
        let patience = link(gaps).patience_ms();
        assert!((least..=most).contains(&patience), "{why}: {patience} ms, not {least} to {most} ms");
    }
}

#[test]
fn a_hidden_tab_has_longer() {
    let mut rhythm = link(&[1_000; 8]);
    rhythm.hidden(true);
    assert_eq!(rhythm.patience_ms(), HIDDEN_FLOOR_MS, "its timers may be slowed down");
    let mut now = Millis(8_000);
    for _ in 0..4 {
        now = now.after(60_000);
        rhythm.heard(now);
    }
    assert_eq!(rhythm.patience_ms(), HIDDEN_CEILING_MS, "once a minute, as was learned");
    rhythm.hidden(false);
    assert_eq!(rhythm.patience_ms(), UNKNOWN_MS, "in front again: a new rhythm");
}

#[test]
fn deadlines_are_exact_and_sleep_is_forgiven() {
    let mut rhythm = link(&[1_000; 8]);
    assert_eq!(rhythm.overdue_at(), Millis(10_500));
    assert_eq!(rhythm.link(Millis(10_499)), Link::Alive);
    assert_eq!(rhythm.link(Millis(10_500)), Link::Silent);
    rhythm.forgive(60_000);
    assert!(!rhythm.is_silent(Millis(70_499)), "this device slept for a minute");
    assert!(rhythm.is_silent(Millis(70_500)), "and then the peer is as late as ever");
    rhythm.heard(Millis(70_600));
    assert!(!rhythm.is_silent(Millis(70_600)), "it speaks: it is back");
}

/// Both pulse each second; from `deaf_from` on nothing of ours gets through. When is that noticed?
fn one_way_noticed(deaf_from: u64, until: u64) -> Option<u64> {
    let mut rhythm = Rhythm::new(Millis(0));
    let mut echo = None;
    for now in (0..until).step_by(100).map(Millis) {
        if now.0 % 1_000 == 0 {
            rhythm.sent(now);
            echo = if now.0 < deaf_from { Some(now) } else { echo };
        }
        if now.0 % 1_000 == 900 {
            rhythm.heard(now);
            echo.into_iter().for_each(|sent| rhythm.heard_us(sent));
        }
        match rhythm.link(now) {
            Link::Alive => {}
            Link::OneWay => return Some(now.0),
            Link::Silent => panic!("it was heard all the time"),
        }
    }
    None
}

#[test]
fn a_one_way_link_is_noticed() {
    let rows = [
        (u64::MAX, None, "both ways: for ever alive"),
        (20_000, Some(20_000 + 2_500 + PULSE_MS), "our words stop getting through"),
        (0, Some(UNKNOWN_MS + PULSE_MS), "they never did; the link was not known when the first left"),
    ];
    for (deaf_from, want, why) in rows {
        let noticed = one_way_noticed(deaf_from, 60_000);
        let late = noticed.zip(want).map_or(0, |(noticed, want)| noticed.abs_diff(want));
        assert!(noticed.is_some() == want.is_some() && late <= 2_500, "{why}: noticed at {noticed:?}");
    }
}

#[test]
fn one_that_rarely_speaks_is_not_deaf_to_a_peer_that_rarely_pulses() {
    let mut rhythm = Rhythm::new(Millis(0));
    for minute in 0..10 {
        let pulse = Millis(minute * 60_000);
        rhythm.sent(pulse);
        for second in 0..59 {
            let now = pulse.after(second * 1_000 + 500);
            rhythm.heard(now);
            rhythm.heard_us(pulse);
            assert_eq!(rhythm.link(now), Link::Alive, "our own tab is throttled: old echoes are no fault");
        }
    }
}

#[test]
fn clocks_at_their_ends_do_no_harm() {
    let mut rhythm = Rhythm::new(Millis(5_000));
    rhythm.heard_us(Millis(u64::MAX));
    rhythm.sent(Millis(5_000));
    rhythm.heard(Millis(u64::MAX));
    rhythm.heard(Millis(0));
    rhythm.forgive(u64::MAX);
    assert_eq!(rhythm.overdue_at(), Millis(u64::MAX), "saturates");
    (0..10_000).for_each(|ms| {
        rhythm.sent(Millis(ms));
        rhythm.heard(Millis(ms * 1_000));
    });
    assert!(rhythm.unheard.len() <= UNHEARD && rhythm.gaps.len() <= GAPS, "and everything stays bounded");
}

/// `SplitMix64` (Steele et al. 2014): the seed is all there is.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    /// Near enough to normal, with deviation `ms`: the sum of twelve even ones, of deviation 1 together.
    fn jitter(&mut self, ms: u64) -> i64 {
        (0..12).map(|_| self.roll(ms + 1) as i64).sum::<i64>() - 6 * ms as i64
    }
}

/// When each pulse of a peer arrives, in milliseconds, in order.
type Arrivals = fn(&mut Dice, seconds: u64) -> Vec<u64>;

fn jittered(dice: &mut Dice, seconds: u64, ms: u64) -> Vec<u64> {
    let mut arrivals: Vec<u64> =
        (1..=seconds).map(|s| (s * 1_000 + 1_000).saturating_add_signed(dice.jitter(ms))).collect();
    arrivals.sort_unstable(); // The channel is ordered.
    arrivals
}

fn steady(dice: &mut Dice, seconds: u64) -> Vec<u64> {
    jittered(dice, seconds, 20)
}

fn wireless(dice: &mut Dice, seconds: u64) -> Vec<u64> {
    jittered(dice, seconds, 200)
}

/// Timers once a second at most: a pulse that misses its turn takes the next.
fn throttled(dice: &mut Dice, seconds: u64) -> Vec<u64> {
    let mut arrivals = vec![1_000];
    while let Some(&last) = arrivals.last().filter(|&&last| last < seconds * 1_000) {
        arrivals.push(last + if dice.roll(3) == 0 { 2_000 } else { 1_000 } + dice.roll(100));
    }
    arrivals
}

/// Timers once a minute.
fn minutely(dice: &mut Dice, seconds: u64) -> Vec<u64> {
    (1..=seconds / 60).map(|minute| minute * 60_000 + dice.roll(1_500)).collect()
}

/// A phone whose radio naps 1 to 3 s now and then; what was sent meanwhile arrives at once.
fn phone(dice: &mut Dice, seconds: u64) -> Vec<u64> {
    let mut arrivals = jittered(dice, seconds, 60);
    let mut nap = 10_000;
    while nap < seconds * 1_000 {
        let wakes = nap + 1_000 + dice.roll(2_000);
        arrivals.iter_mut().filter(|at| (nap..wakes).contains(*at)).for_each(|at| *at = wakes);
        nap = wakes + 5_000 + dice.roll(25_000);
    }
    arrivals
}

/// Plays `links` links of `seconds` each, cut at a random moment of the last half. Returns how often one was taken for
/// silent that was not, and how many milliseconds after its end each was noticed, sorted.
fn play(arrivals: Arrivals, hidden: bool, links: u64, seconds: u64) -> (u32, Vec<u64>) {
    let (mut wrong, mut noticed) = (0, Vec::new());
    for seed in 0..links {
        let mut dice = Dice(seed);
        let ends = seconds * 500 + dice.roll(seconds * 500);
        let mut rhythm = Rhythm::new(Millis(0));
        rhythm.hidden(hidden);
        for at in arrivals(&mut dice, seconds).into_iter().filter(|&at| at <= ends).map(Millis) {
            wrong += u32::from(rhythm.is_silent(at));
            rhythm.heard(at);
        }
        noticed.push(rhythm.overdue_at().0.saturating_sub(ends));
    }
    noticed.sort_unstable();
    (wrong, noticed)
}

/// The bounds are what was seen with these seeds, rounded up; mistakes are counted over 200 links of 15 to 30 minutes,
/// 75 hours together. A phone's 300 are one nap in fifty; a tab that wakes once a minute is missed once, until its
/// rhythm is known.
#[test]
fn few_mistakes_and_quick_notice() {
    let rows: [(&str, Arrivals, bool, u32, u64); 6] = [
        ("steady", steady, false, 0, 2_700),
        ("wireless, 200 ms of jitter", wireless, false, 0, 3_500),
        ("a phone whose radio naps", phone, false, 300, 4_800),
        ("hidden, timers once a second", throttled, true, 0, 6_000),
        ("hidden, timers as if in front", steady, true, 0, 6_000),
        ("hidden, timers once a minute", minutely, true, 200, 75_000),
    ];
    for (why, arrivals, hidden, most_wrong, p95_ms) in rows {
        let (wrong, noticed) = play(arrivals, hidden, 200, 1_800);
        let p95 = noticed[noticed.len() * 95 / 100];
        println!("{why}: {wrong} mistakes, p50 {} ms, p95 {p95} ms", noticed[noticed.len() / 2]);
        assert!(wrong <= most_wrong, "{why}: {wrong} mistakes, at most {most_wrong}");
        assert!(p95 <= p95_ms, "{why}: noticed after {p95} ms at the 95th percentile, at most {p95_ms}");
    }
}

/// The same rhythms under one fixed timeout: what the learning is for.
#[test]
fn no_fixed_timeout_does_as_well() {
    let mistakes = |arrivals: Arrivals, timeout: u64| {
        let mut gaps = 0;
        for seed in 0..20 {
            let at = arrivals(&mut Dice(seed), 1_800);
            gaps += at.windows(2).filter(|pair| pair[1] - pair[0] >= timeout).count();
        }
        gaps
    };
    assert!(mistakes(phone, 2_500) > 100, "short enough for a steady link, it cuts phones off");
    assert!(mistakes(minutely, 10_000) > 100, "long enough for a room, it cuts hidden tabs off");
}
