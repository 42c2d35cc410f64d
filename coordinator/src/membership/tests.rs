use super::*;

const ME: PeerId = PeerId(1);
const OTHER: PeerId = PeerId(2);

fn room() -> Members {
    let mut members = Members::new(ME, "Ada", Millis(0));
    assert!(members.up(Millis(0), OTHER));
    members
}

fn pulse(echo: Option<Echo>) -> Pulse {
    let (following, plan) = (None, None);
    Pulse { sent: 0, echo, following, trust: Trust::Unknown, plan, report: 0, age_s: 0 }
}

fn greet(members: &mut Members, now: Millis, id: PeerId) {
    members.hello(now, id, wire::VERSION, wire::OLDEST, String::new());
}

/// Cy is seen by Bo, whom this peer sees; there is no channel to Cy.
#[test]
fn who_is_seen_by_a_neighbour_is_reached_over_it() {
    const CY: PeerId = PeerId(3);
    let mut members = room();
    greet(&mut members, Millis(0), OTHER);
    let report = |sees: &[PeerId]| Report { sees: sees.to_vec(), ..Report::default() };
    members.take_report(OTHER, report(&[ME, CY]));
    members.find_relays(Millis(0));
    assert_eq!(members.routes(), BTreeMap::new(), "the room may still be connecting");
    members.heard(Millis(limits::RELAY_AFTER_MS), OTHER);
    assert!(members.find_relays(Millis(limits::RELAY_AFTER_MS)));
    assert_eq!(members.routes(), BTreeMap::from([(CY, OTHER)]));
    assert!(!members.is_live(CY), "a relay alone is not a peer");
    let now = Millis(limits::RELAY_AFTER_MS + 100);
    assert!(members.heard_by_relay(now, CY, OTHER));
    greet(&mut members, now, CY);
    assert!(members.is_live(CY), "it answered");
    assert!(!members.heard_by_relay(now, PeerId(9), OTHER), "a peer that the relay does not see");
    members.up(now, CY);
    members.heard(now, CY);
    members.refresh(now);
    members.find_relays(now);
    assert_eq!(members.routes(), BTreeMap::new(), "its own channel is better");
}

#[test]
fn live_needs_a_hello_and_a_word_now_and_then() {
    let mut members = room();
    members.refresh(Millis(10));
    assert!(!members.is_live(OTHER), "a channel alone is not a peer");
    assert_eq!(members.hello(Millis(10), OTHER, wire::VERSION, wire::OLDEST, "Bo".into()), Greeting::Welcome);
    assert!(members.is_live(OTHER), "at once");
    assert!(!members.refresh(Millis(10)), "which is no news any more");
    members.refresh(Millis(20_000));
    assert!(!members.is_live(OTHER), "silent for too long");
    assert!(members.heard(Millis(29_000), OTHER), "it spoke again");
    assert!(members.is_live(OTHER));
}

#[test]
fn versions_fit_when_their_ranges_meet() {
    let rows = [
        (wire::VERSION, wire::OLDEST, Greeting::Welcome, "the same"),
        (wire::VERSION + 1, wire::VERSION, Greeting::Welcome, "newer, but still understands ours"),
        (wire::VERSION + 2, wire::VERSION + 1, Greeting::OtherVersion, "newer, and gave ours up"),
        (0, 0, Greeting::OtherVersion, "older than anything we understand"),
    ];
    for (version, oldest, want, why) in rows {
        assert_eq!(room().hello(Millis(0), OTHER, version, oldest, String::new()), want, "{why}");
    }
}

#[test]
fn the_round_trip_leaves_out_the_time_held() {
    let mut members = room();
    let echo = Some(Echo { sent: 100, held: 900 });
    members.pulse(Millis(1_040), OTHER, None, pulse(echo));
    assert_eq!(members.view(&BTreeMap::new())[1].round_trip_ms, Some(40));
}

#[test]
fn a_full_room_takes_nobody() {
    let mut members = Members::new(ME, "Ada", Millis(0));
    let taken = (2..2_000).filter(|&id| members.up(Millis(0), PeerId(id))).count();
    assert_eq!(taken, limits::PEERS - 1);
}
