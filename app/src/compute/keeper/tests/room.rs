//! What a person gives to the room, and what is kept.

use super::*;
use crate::compute::source::{given, of_content};

const MINE: &str = "files:/your files/";

#[test]
fn own_files_are_the_rooms_only_if_their_person_says_so() {
    let (own, nothing) = (shelf(false, false), Shelf::default());
    let made = shelf(false, true);
    let mut room = Room::new();
    let owner = room.join(1, &own, &store(1 << 30));
    let guest = room.join(2, &nothing, &store(1 << 30));
    let theirs = room.read(owner, MINE, "one.bin", PART);
    room.pass(1_000);
    assert_eq!(theirs.take().unwrap().unwrap().1, part(&own, "one.bin"));
    assert!(room.peer(guest).events.is_empty(), "nobody hears of them: {:?}", room.peer(guest).events);

    let ours = room.read(owner, &given(MINE), "one.bin", PART);
    room.pass(1_000);
    assert_eq!(ours.take().unwrap().unwrap().1, part(&own, "one.bin"));
    let heard = room.peer(guest).events.iter().find_map(|event| match event {
        Event::Held { content, peers: 1 } => Some(*content),
        _ => None,
    });
    let content = heard.expect("the guest hears of them");
    assert_ne!(content.0, id_of(&made), "it has another name than the one that was made by hand");
    let answer = room.read(guest, &of_content(&content.0, ""), "two.bin", 5..9);
    room.pass(20_000);
    assert_eq!(answer.take().expect("it came").expect("it is right").1, own.files["two.bin"][5..9]);
}

#[test]
fn what_a_person_keeps_to_themselves_is_not_given_with_a_manifest_either() {
    let own = shelf(false, true);
    let mut room = Room::new();
    let owner = room.join(1, &own, &store(1 << 30));
    let guest = room.join(2, &Shelf::default(), &store(1 << 30));
    let read = room.read(owner, MINE, "one.bin", 0..1);
    room.pass(1_000);
    assert!(read.take().unwrap().is_ok());
    assert!(room.peer(guest).events.is_empty());
}

#[test]
fn beside_what_ships_nobody_looks_for_a_manifest() {
    let (ships, chosen) = ("http://host/toy/", "http://host/other/");
    for (source, looks) in [(ships, false), (chosen, true)] {
        let shelf = shelf(true, true);
        let mut room = Room::new();
        let means = Means { pictures: Some(format!("{ships}#q8_0")), ..Means::default() };
        let me = room.join_with(1, &shelf, &store(1 << 30), &means);
        let answer = room.read(me, source, "two.bin", 5..9);
        room.pass(5_000);
        assert_eq!(answer.take().unwrap().unwrap().1, shelf.files["two.bin"][5..9], "{source}");
        assert_eq!(shelf.asked.borrow().contains(FILE_NAME), looks, "{source}");
        assert_eq!(room.peer(me).keeper.content(Content(id_of(&shelf))).is_some(), looks, "{source}");
    }
}

/// Opens the toy model, and has two of its files near.
pub fn bring(room: &mut Room, me: PeerId) -> Rc<RefCell<Option<crate::compute::files::Brought>>> {
    let keeper = room.peer(me).keeper.clone();
    let near: Rc<RefCell<Option<crate::compute::files::Brought>>> = Rc::default();
    let into = near.clone();
    let bring = async move {
        let (files, _) = keeper.open("http://host/toy/").await.unwrap();
        let ranges = [("one.bin".to_owned(), 0..3 << 20)];
        let brought = files.bring(&ranges).expect("it is a content").await;
        into.replace(Some(brought));
    };
    room.spawner.spawn_local(bring).unwrap();
    room.pass(20_000);
    near
}

#[test]
fn what_is_cleared_is_gone_and_stays_gone() {
    let (shelf, kept) = (shelf(true, true), store(1 << 30));
    let mut room = Room::new();
    let me = room.join(1, &shelf, &kept);
    let near = bring(&mut room, me);
    assert!(near.borrow().is_some());
    let told = room.peer(me).kept.expect("people are told what is kept");
    assert!(told.used >= 3 << 20 && told.used == futures::executor::block_on(kept.usage()).unwrap().used);
    let before = shelf.read.get();

    room.peer(me).errands.unbounded_send(Errand::Clear).unwrap();
    room.pass(20_000);
    assert_eq!(room.peer(me).kept.unwrap().used, 0);
    assert_eq!(shelf.read.get(), before, "what is in use is not fetched again for that");

    let content = Content(id_of(&shelf));
    let number = room.peer(me).keeper.content(content).unwrap().root.numbers() - 1;
    let bytes = shelf.files["two.bin"][2 << 20..].to_vec();
    let from = coordinator::swarm::Source::Peer(PeerId(9));
    room.peer(me).errands.unbounded_send(Errand::Check { content, number, from, bytes }).unwrap();
    room.pass(100);
    assert_eq!(room.peer(me).kept.unwrap().used, 0, "what was still on its way is not kept");
    near.take();
    let answer = room.read(me, "http://host/toy/", "one.bin", PART);
    room.pass(20_000);
    assert_eq!(answer.take().expect("it came").expect("it is right").1, part(&shelf, "one.bin"));
    assert!(shelf.read.get() > before, "what is needed anew is");
}

#[test]
fn another_quota_counts_at_once() {
    let (shelf, kept) = (shelf(true, true), store(1 << 30));
    let mut room = Room::new();
    let me = room.join(1, &shelf, &kept);
    let near = bring(&mut room, me);
    near.take();
    room.pass(100);
    room.peer(me).errands.unbounded_send(Errand::Allow(2 << 20)).unwrap();
    room.pass(100);
    let told = room.peer(me).kept.unwrap();
    assert!(told.quota == 2 << 20 && told.used <= 2 << 20, "{told:?}");
}
