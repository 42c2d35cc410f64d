//! The rules one by one, then rooms of honest and cheating peers.

use super::*;

const ME: PeerId = PeerId(1);
const MINUTE_MS: u64 = 60_000;

fn score(ledger: &Ledger, peer: u128) -> u64 {
    ledger.scores().get(&PeerId(peer)).copied().unwrap_or(0)
}

#[test]
fn tiers_begin_at_their_thresholds() {
    let rows = [
        (0, None, "nothing done"),
        (999, None, "less than a credit"),
        (1_000, Some(Tier::Bronze), "the first credit"),
        (99_999, Some(Tier::Bronze), "just below"),
        (UNVERIFIED, Some(Tier::Silver), "as much as mere word is worth"),
        (500_000, Some(Tier::Gold), "at the threshold"),
        (1_500_000, Some(Tier::Platinum), "at the threshold"),
        (4_000_000, Some(Tier::Diamond), "at the threshold"),
        (9_999_999, Some(Tier::Diamond), "just below"),
        (10_000_000, Some(Tier::Master), "at the threshold"),
        (u64::MAX, Some(Tier::Master), "there is nothing above"),
    ];
    for (score, tier, why) in rows {
        assert_eq!(Tier::of(score), tier, "{score}: {why}");
    }
    let names = Tier::ALL.map(|(tier, _)| tier.to_string()).join(" ");
    assert_eq!(names, "Master Diamond Platinum Gold Silver Bronze");
    let ranks = Tier::ALL.map(|(tier, _)| tier.rank());
    assert_eq!(ranks, [6, 5, 4, 3, 2, 1]);
}

#[test]
fn whose_word_counts() {
    // (who did work for me, who says it received work from whom), amounts in credits, -> the score of peer 9.
    type Row = (&'static [(u128, u64)], &'static [(u128, u128, u64)], u64, &'static str);
    let rows: [Row; 8] = [
        (&[(9, 700)], &[], 700, "what I received myself"),
        (&[], &[(2, 9, 30)], 30, "word without backing"),
        (&[], &[(2, 9, 5_000)], 100, "word without backing, beyond its bound"),
        (&[], &[(2, 9, 90), (3, 9, 90)], 100, "the bound is for all of them together"),
        (&[], &[(9, 9, 50)], 0, "of itself"),
        (&[(2, 20)], &[(2, 9, 30)], 30, "a part is backed, the rest within the bound"),
        (&[(2, 300)], &[(2, 9, 500), (2, 8, 500)], 250, "half of what backs it is another's; plus the bound"),
        (&[(3, 900)], &[(2, 9, 500), (3, 2, 900)], 100, "trust goes one step, not two"),
    ];
    for (done, said, expected, why) in rows {
        let mut ledger = Ledger::new(Millis(0), ME);
        for &(worker, credits) in done {
            ledger.issue(Millis(0), PeerId(worker), credits * CREDIT);
        }
        let issuers: std::collections::BTreeSet<u128> = said.iter().map(|row| row.0).collect();
        for issuer in issuers {
            let of_issuer = said.iter().filter(|row| row.0 == issuer);
            let totals: Vec<(PeerId, u64)> =
                of_issuer.map(|&(_, worker, credits)| (PeerId(worker), credits * CREDIT)).collect();
            ledger.hear(Millis(0), PeerId(issuer), &[]);
            ledger.hear(Millis(GROWTH_MS), PeerId(issuer), &totals);
        }
        assert_eq!(score(&ledger, 9), expected * CREDIT, "{why}");
    }
}

#[test]
fn totals_grow_as_devices_can() {
    // What was said at first, then how much later what: in credits and milliseconds -> what counts in the end.
    let rows = [
        (50, 0, 50, 50, "the first word, within its bound"),
        (900, 0, 900, 100, "the first word, beyond it"),
        (900, 1_000, 910, 110, "what was refused at first is not made up for"),
        (0, 5, 700, 5, "five milliseconds' growth"),
        (0, 3_600_000, 90_000, 10_000, "an hour of silence is not an hour of work"),
        (50, 1_000, 20, 50, "nobody takes back what it acknowledged"),
        (50, 1_000, u64::MAX / CREDIT, 1_050, "whatever it says"),
    ];
    for (first, after_ms, then, expected, why) in rows {
        let mut ledger = Ledger::new(Millis(0), ME);
        // The issuer did a lot for me, so all that it says is backed; half-lives are long beside these times.
        ledger.decayed = Millis(after_ms);
        ledger.hear(Millis(0), PeerId(2), &[(PeerId(9), first * CREDIT)]);
        ledger.hear(Millis(after_ms), PeerId(2), &[(PeerId(9), then * CREDIT)]);
        ledger.issue(Millis(after_ms), PeerId(2), 1_000_000 * CREDIT);
        assert_eq!(score(&ledger, 9), expected * CREDIT, "{why}");
    }
}

#[test]
fn what_i_did_for_a_worker_is_taken_off_down_to_nothing() {
    for (did, expected, why) in [(0, 400, "all of it"), (150, 250, "the rest"), (900, 0, "no debts")] {
        let mut ledger = Ledger::new(Millis(0), ME);
        ledger.issue(Millis(0), PeerId(9), 400 * CREDIT);
        ledger.worked(Millis(0), PeerId(9), did * CREDIT);
        assert_eq!(score(&ledger, 9), expected * CREDIT, "{why}");
    }
}

#[test]
fn work_counts_half_after_a_half_life() {
    let mut ledger = Ledger::new(Millis(0), ME);
    ledger.issue(Millis(0), PeerId(9), 1_000 * CREDIT);
    for (half_lives, expected) in [(1, 500), (2, 250), (3, 125)] {
        ledger.hear(Millis(half_lives * HALF_LIFE_MS), PeerId(2), &[]);
        let got = score(&ledger, 9);
        assert!(got.abs_diff(expected * CREDIT) < CREDIT, "{got} after {half_lives} half-lives");
    }
    assert_eq!(ledger.own_receipts(), [(PeerId(9), 1_000 * CREDIT)], "others decay it themselves");
    ledger.hear(Millis(u64::MAX), PeerId(2), &[]);
    assert_eq!(score(&ledger, 9), 0, "for ever is long enough");
}

#[test]
fn everything_is_bounded() {
    let mut ledger = Ledger::new(Millis(0), ME);
    let mut totals: Vec<(PeerId, u64)> = (0..5_000).map(|worker| (PeerId(worker), u64::MAX)).collect();
    for issuer in 2..2_000 {
        ledger.hear(Millis(issuer), PeerId(u128::from(issuer)), &totals);
        ledger.issue(Millis(issuer), PeerId(u128::from(issuer)), u64::MAX);
        ledger.worked(Millis(issuer), PeerId(u128::from(issuer)), u64::MAX);
    }
    assert_eq!((ledger.books.len(), ledger.worked.len()), (ISSUERS, ISSUERS));
    assert!(
        ledger.books.contains_key(&PeerId(1_999)) && ledger.books.contains_key(&ME),
        "the newest, and me"
    );
    let first: Vec<u64> = ledger.books.values().map(|book| book.receipts.len() as u64).collect();
    assert!(first.iter().all(|&receipts| receipts <= ISSUERS as u64));
    totals.reverse();
    ledger.hear(Millis(3_000), PeerId(1_999), &totals);
    let book = ledger.books.get(&PeerId(1_999)).expect("it was heard");
    assert_eq!(book.receipts.len(), RECEIPTS);
    assert!(book.receipts.contains_key(&PeerId(4_999)), "whom it names now stays");
    let counted = Book::met(Millis(0), &totals.iter().take(RECEIPTS).copied().collect()).sum();
    assert!(counted <= u128::from(UNVERIFIED), "{counted}: a first word, however large");
    assert_eq!(ledger.own_receipts().len(), RECEIPTS);
    assert!(ledger.scores().len() <= ISSUERS * (RECEIPTS + 1));
}

/// A room over time. Each second every honest peer lets two others work for it, one credit each, in turn; cheaters do
/// as their row says; everybody tells its totals to everybody.
struct Room {
    honest: Vec<u128>,
    cheats: Vec<u128>,
    ledgers: BTreeMap<u128, Ledger>,
    lies: BTreeMap<PeerId, Vec<(PeerId, u64)>>,
}

impl Room {
    fn new(honest: u128, cheats: u128) -> Self {
        let honest: Vec<u128> = (1..=honest).collect();
        let ledgers = honest.iter().map(|&id| (id, Ledger::new(Millis(0), PeerId(id)))).collect();
        Self { honest, cheats: (101..=100 + cheats).collect(), ledgers, lies: BTreeMap::new() }
    }

    fn work(&mut self, now: Millis, worker: u128, requester: u128, credits: u64) {
        if let Some(ledger) = self.ledgers.get_mut(&requester) {
            ledger.issue(now, PeerId(worker), credits * CREDIT);
        }
        if let Some(ledger) = self.ledgers.get_mut(&worker) {
            ledger.worked(now, PeerId(requester), credits * CREDIT);
        }
    }

    /// Each cheater does `work` credits a second for an honest peer, and receives `takes` without a receipt; it says
    /// that each of `for_whom` did `lie` credits a second for it.
    fn second(&mut self, second: u64, work: u64, takes: u64, lie: u64, for_whom: &[u128]) {
        let now = Millis(second * 1_000);
        let honest = self.honest.clone();
        let pick = |from: usize| honest.iter().cycle().nth(from).copied().unwrap_or(0);
        for (index, &requester) in honest.iter().enumerate() {
            let step = 1 + second as usize % (honest.len() - 1);
            self.work(now, pick(index + step), requester, 2);
        }
        for (index, cheat) in self.cheats.clone().into_iter().enumerate() {
            let other = pick(index + second as usize);
            self.work(now, cheat, other, work);
            self.work(now, other, cheat, takes);
            let told = for_whom.iter().map(|&mate| (PeerId(mate), second * lie * CREDIT)).collect();
            self.lies.insert(PeerId(cheat), told);
        }
        let told: Vec<(PeerId, Vec<(PeerId, u64)>)> = self
            .ledgers
            .iter()
            .map(|(&id, ledger)| (PeerId(id), ledger.own_receipts()))
            .chain(self.lies.clone())
            .collect();
        for ledger in self.ledgers.values_mut() {
            told.iter().for_each(|(issuer, totals)| ledger.hear(now, *issuer, totals));
        }
    }

    /// Over all honest peers' views: the least score of another honest peer, and the largest of a cheater, in credits.
    fn extremes(&self) -> (u64, u64) {
        let of = |ledger: &Ledger, ids: &[u128]| -> Vec<u64> {
            let others = ids.iter().filter(|&&id| PeerId(id) != ledger.me);
            others.map(|&id| score(ledger, id) / CREDIT).collect()
        };
        let honest = self.ledgers.values().flat_map(|ledger| of(ledger, &self.honest)).min();
        let cheats = self.ledgers.values().flat_map(|ledger| of(ledger, &self.cheats)).max();
        (honest.unwrap_or(0), cheats.unwrap_or(0))
    }
}

#[test]
fn honest_work_outranks_every_cheat() {
    // Cheaters, what each does, takes and lies per second, for whom it lies -> the most that one of them may reach.
    type Row = (u128, u64, u64, u64, &'static [u128], u64, &'static str);
    let ten = &[101, 102, 103, 104, 105, 106, 107, 108, 109, 110];
    let rows: [Row; 6] = [
        (1, 0, 0, 999, &[101], 0, "one that praises itself"),
        (1, 0, 5, 0, &[], 0, "one that only takes, and acknowledges nothing"),
        (2, 0, 0, 999, &[101, 102], 100, "two that praise each other"),
        (10, 0, 0, 999, &[101], 100, "ten tabs that praise one of them"),
        (10, 0, 2, 999, ten, 100, "ten tabs that praise each other, and take"),
        (
            2,
            1,
            2,
            999,
            &[101, 102],
            250,
            "two that do half their part, take all of it, and praise each other",
        ),
    ];
    for (cheats, work, takes, lie, for_whom, most, why) in rows {
        let mut room = Room::new(8, cheats);
        for second in 1..=20 * MINUTE_MS / 1_000 {
            room.second(second, work, takes, lie, for_whom);
        }
        let (honest, cheat) = room.extremes();
        assert!(cheat <= most, "{why}: {cheat} credits");
        assert!(honest > cheat, "{why}: honest from {honest}, cheaters up to {cheat}");
    }
}
