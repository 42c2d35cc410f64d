//! What is wanted changes: it is here already, or nothing is to be fetched, or nobody wants it any more.

use super::*;

#[test]
fn what_the_store_turns_out_to_have_is_not_fetched() {
    let mut desk = Desk::new(&[BO], 6, &[0]);
    desk.input(Input::Found { content: MODEL, blocks: Blocks::from_iter([1, 2, 3, 4, 99]) });
    assert_eq!(desk.swarm.have(MODEL), Blocks::from_iter(std::iter::once(0..5)));
    desk.told(BO, Fact::Has, &(0..6).collect::<Vec<_>>());
    assert_eq!(desk.asks(BO), [5]);
    desk.input(Input::Found { content: MODEL, blocks: Blocks::from_iter([5]) });
    assert!(desk.saw(|event| *event == Event::Complete(MODEL)));
}

#[test]
fn who_pauses_fetches_nothing_and_still_gives() {
    let mut desk = Desk::new(&[BO, CY], 8, &[0, 1]);
    desk.hub(true);
    desk.told(BO, Fact::Has, &[2, 3]);
    let asked = desk.asks(BO);
    assert!(!asked.is_empty() || !desk.fetches().is_empty(), "it begins");
    desk.input(Input::Pause(true));
    let underway = desk.fetches();
    desk.todo.clear();
    // What was on its way still comes, and is kept.
    asked.into_iter().for_each(|number| desk.comes(peer(BO), number, Verdict::Kept));
    underway.into_iter().for_each(|number| desk.comes(Source::Origin(HUB), number, Verdict::Kept));
    desk.told(BO, Fact::Has, &[4, 5]);
    desk.pass(60_000);
    assert!(desk.asks(BO).is_empty(), "nothing new is asked for");
    assert!(desk.fetches().is_empty(), "nor fetched");
    desk.asked(CY, &[0]);
    assert_eq!(desk.serves(), [(CY, 0)], "others get theirs");
    desk.todo.clear();
    desk.input(Input::Pause(false));
    desk.pass(1_000);
    assert!(!desk.asks(BO).is_empty(), "it goes on where it was");
}

#[test]
fn what_was_being_checked_at_a_close_does_not_count_for_ever() {
    let mut desk = Desk::new(&[BO], 20, &[]);
    let all: Vec<u32> = (0..20).collect();
    for _ in 0..3 {
        desk.told(BO, Fact::Has, &all);
        desk.pass(0);
        let number = desk.asks(BO)[0];
        let bytes = vec![1; BYTES as usize];
        let message = Message::Block { content: MODEL, number, bytes };
        desk.input(Input::Received { from: BO, message });
        // The worker that would have checked it is gone.
        desk.input(Input::Close(MODEL));
        desk.todo.clear();
        desk.input(Input::Open { content: MODEL, numbers: 20, block_bytes: BYTES, have: Blocks::default() });
        desk.want(Blocks::all(20));
    }
    desk.told(BO, Fact::Has, &all);
    desk.pass(0);
    assert!(!desk.asks(BO).is_empty(), "it is asked as if for the first time");
}

#[test]
fn what_nobody_wants_any_more_is_not_counted_as_here() {
    let mut desk = Desk::new(&[BO], 4, &[]);
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    let number = desk.asks(BO)[0];
    desk.want(Blocks::default());
    desk.comes(peer(BO), number, Verdict::Unwanted);
    assert!(desk.swarm.have(MODEL).is_empty());
    assert_eq!(desk.swarm.progress(MODEL).on_the_way, 0);
    assert!(!desk.saw(|event| matches!(event, Event::Lied { .. } | Event::NoRoom(_))), "nobody is to blame");
}
