//! How a peer comes by the root of a content that it knows by its hash alone.

use super::*;

/// What was asked for as a root since, and of whom.
fn root_asks(desk: &Desk) -> Vec<(PeerId, Content)> {
    let ask = |output: &Output| match output {
        Output::Send { to, message: Message::AskRoot(content) } => Some((*to, *content)),
        _ => None,
    };
    desk.todo.iter().filter_map(ask).collect()
}

const OTHER: Content = Content([8; 32]);

fn joins(desk: &mut Desk, from: PeerId, content: Content) {
    desk.input(Input::Received { from, message: Message::Join(content) });
}

fn root_comes(desk: &mut Desk, from: PeerId, content: Content) {
    let message = Message::Root { content, bytes: vec![7; 9] };
    desk.input(Input::Received { from, message });
}

#[test]
fn roots_are_asked_of_one_peer_at_a_time_until_one_gives_it() {
    let mut desk = Desk::new(&[BO, CY], 4, &[]);
    joins(&mut desk, BO, OTHER);
    joins(&mut desk, CY, OTHER);
    joins(&mut desk, CY, MODEL);
    desk.pass(2 * limits::SWARM_BEAT_MS);
    let [(first, OTHER)] = root_asks(&desk)[..] else { panic!("{:?}", root_asks(&desk)) };
    let second = if first == BO { CY } else { BO };
    root_comes(&mut desk, second, OTHER);
    assert!(desk.saw(|event| matches!(event, Event::Dropped { from, .. } if *from == second)), "unasked");
    desk.pass(limits::SWARM_ROOT_MS + limits::SWARM_BEAT_MS);
    assert_eq!(root_asks(&desk)[1..], [(second, OTHER)], "the first said nothing");
    desk.input(Input::Received { from: second, message: Message::NoRoot(OTHER) });
    desk.pass(limits::SWARM_ROOT_REST_MS + 3 * limits::SWARM_BEAT_MS);
    assert_eq!(root_asks(&desk)[2..], [(first, OTHER)], "after a rest it is asked again");
    root_comes(&mut desk, first, OTHER);
    let checks = |output: &Output| matches!(output, Output::CheckRoot { from, .. } if *from == first);
    assert!(desk.todo.iter().any(checks));
    desk.input(Input::RootChecked { content: OTHER, from: first, right: true });
    desk.pass(60_000);
    assert_eq!(root_asks(&desk).len(), 3, "known, as that of what is open here");
    assert!(desk.saw(|event| *event == Event::Held { content: OTHER, peers: 2 }));
    desk.input(Input::Seek(OTHER));
    desk.pass(limits::SWARM_BEAT_MS);
    assert_eq!(root_asks(&desk).len(), 4, "it is needed again");
}

#[test]
fn who_sends_a_wrong_root_is_a_liar() {
    let mut desk = Desk::new(&[BO], 4, &[]);
    joins(&mut desk, BO, OTHER);
    desk.pass(limits::SWARM_BEAT_MS);
    root_comes(&mut desk, BO, OTHER);
    desk.input(Input::RootChecked { content: OTHER, from: BO, right: false });
    let lied = Event::Lied { source: peer(BO), content: OTHER, number: None };
    assert!(desk.saw(|event| *event == lied));
    assert!(desk.saw(|event| *event == Event::Held { content: OTHER, peers: 0 }));
    desk.told(BO, Fact::Has, &[0, 1, 2, 3]);
    desk.pass(60_000);
    assert!(desk.asks(BO).is_empty() && root_asks(&desk).len() == 1, "nothing more is taken from it");
}

#[test]
fn what_is_sought_comes_before_what_others_have() {
    let mut desk = Desk::new(&[], 4, &[]);
    desk.input(Input::Seek(OTHER));
    desk.input(Input::PeerUp(BO));
    (1..7).for_each(|index| joins(&mut desk, BO, Content([index; 32])));
    joins(&mut desk, BO, OTHER);
    desk.pass(limits::SWARM_BEAT_MS);
    assert_eq!(root_asks(&desk), [(BO, OTHER)]);
    (10..99).for_each(|index| joins(&mut desk, BO, Content([index; 32])));
    assert!(desk.saw(|event| matches!(event, Event::Dropped { from: BO, .. })), "more than anybody has open");
}

#[test]
fn roots_are_sent_at_a_bounded_pace_and_only_by_those_who_share() {
    let mut desk = Desk::new(&[BO, CY], 4, &[]);
    let ask = |desk: &mut Desk, from, content| {
        desk.todo.clear();
        desk.input(Input::Received { from, message: Message::AskRoot(content) });
        desk.todo.contains(&Output::ServeRoot { to: from, content })
    };
    let no = |desk: &Desk, to, content| {
        desk.todo.contains(&Output::Send { to, message: Message::NoRoot(content) })
    };
    assert!(ask(&mut desk, BO, MODEL));
    assert!(!ask(&mut desk, CY, MODEL) && no(&desk, CY, MODEL), "in a moment");
    desk.now = desk.now.after(limits::SWARM_ROOT_PACE_MS);
    assert!(ask(&mut desk, CY, MODEL));
    desk.now = desk.now.after(limits::SWARM_ROOT_PACE_MS);
    assert!(!ask(&mut desk, BO, OTHER) && no(&desk, BO, OTHER), "it is not open here");
    desk.input(Input::Sharing(Sharing::Off));
    assert!(!ask(&mut desk, BO, MODEL) && no(&desk, BO, MODEL));
}
