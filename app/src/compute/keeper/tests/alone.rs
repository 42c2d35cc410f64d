//! Who has nobody else to ask is told why nothing comes.

use super::*;
use crate::compute::source::of_content;

/// A peer that nobody else will ever join.
fn alone(shelf: &Shelf, kept: &Rc<Shop>) -> (Room, PeerId) {
    let mut room = Room::new();
    let means = Means { alone: true, ..Means::default() };
    let me = room.join_with(1, shelf, kept, &means);
    (room, me)
}

#[test]
fn what_does_not_come_is_said_with_the_file_that_is_to_blame() {
    let (good, changed, mut missing) = (shelf(true, true), shelf(true, true), shelf(true, true));
    changed.wrong.set(true);
    Rc::make_mut(&mut missing.files).remove("one.bin");
    let content = of_content(&id_of(&good), "");
    let rows = [
        (&good, "http://host/toy/", None, "all is well"),
        (&changed, "http://host/toy/", Some(" is not what its manifest says"), "changed bytes"),
        (&missing, "http://host/toy/", Some("no one.bin"), "a file that is gone"),
        (&good, content.as_str(), Some("nobody else is asked"), "a name that nobody here knows"),
    ];
    for (shelf, source, why, row) in rows {
        let (mut room, me) = alone(shelf, &store(1 << 30));
        let answer = room.read(me, source, "one.bin", PART);
        room.pass(60_000);
        let read = answer.take().expect(row);
        match why {
            None => assert_eq!(read.expect(row).1, part(&good, "one.bin"), "{row}"),
            Some(why) => assert!(read.as_ref().is_err_and(|said| said.contains(why)), "{row}: {read:?}"),
        }
    }
}

#[test]
fn what_is_to_be_brought_and_never_comes_waits_for_nobody() {
    let changed = shelf(true, true);
    changed.wrong.set(true);
    let (mut room, me) = alone(&changed, &store(1 << 30));
    let near = room::bring(&mut room, me);
    assert!(near.take().is_some(), "whoever brings it reads on, and is told then");
}

#[test]
fn a_stumbling_host_is_asked_again() {
    let (good, kept) = (shelf(true, true), store(1 << 30));
    let (mut room, me) = alone(&good, &kept);
    let (keeper, read) = (room.peer(me).keeper.clone(), room.read(me, "http://host/toy/", "one.bin", 0..1));
    room.pass(5_000);
    assert!(read.take().is_some_and(|read| read.is_ok()));
    let held = keeper.content(Content(id_of(&good))).unwrap();
    let why = "it broke off".to_owned();
    for (result, hopeless) in [(Err(&why), false), (Err(&why), false), (Ok(()), false), (Err(&why), false)] {
        held.fetched(result);
        assert_eq!(held.hopeless().is_some(), hopeless);
    }
    (0..2).for_each(|_| held.fetched(Err(&why)));
    assert_eq!(held.hopeless(), Some(why));
    held.fetched(Ok(()));
    assert_eq!(held.hopeless(), None);
    let why = held.spoiled(held.pages());
    held.fetched(Ok(()));
    assert_eq!(held.hopeless(), Some(why), "nothing more is taken from who sends what is wrong");
}

#[test]
fn what_was_kept_is_found_by_its_name_when_its_host_is_gone() {
    let (good, kept) = (shelf(true, true), store(1 << 30));
    let (mut room, me) = alone(&good, &kept);
    let read = room.read(me, "http://host/toy/", "one.bin", PART);
    room.pass(20_000);
    assert!(read.take().is_some_and(|read| read.is_ok()));
    let (mut room, me) = alone(&Shelf::default(), &kept);
    let again = room.read(me, &of_content(&id_of(&good), ""), "one.bin", PART);
    room.pass(1_000);
    assert_eq!(again.take().expect("at once").expect("it is kept").1, part(&good, "one.bin"));
}
