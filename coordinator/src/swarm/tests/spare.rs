//! What a peer holds for the room beyond its own needs.

use super::*;

#[test]
fn what_the_room_might_lose_is_held_by_who_has_nothing_else_to_do() {
    let other = Content([8; 32]);
    type Act<'a> = &'a dyn Fn(&mut Desk);
    let metered = Sharing::Metered { bytes_per_s: 1 << 20 };
    let rows: [(Act<'_>, bool, &str); 7] = [
        (&|_| {}, true, "one other has it, and who leaves takes it away"),
        (&|desk| desk.told(CY, Fact::Has, &[0, 1]), false, "two others have it"),
        (&|desk| desk.input(Input::Sharing(Sharing::Off)), false, "nobody would get it from here"),
        (&|desk| desk.input(Input::Sharing(metered)), false, "bytes count here"),
        (&|desk| desk.input(Input::Pause(true)), false, "the person fetches nothing"),
        (&|desk| desk.want(Blocks::from_iter([7])), false, "something needed is missing"),
        (
            &|desk| {
                desk.input(Input::Open {
                    content: other,
                    numbers: 1,
                    block_bytes: BYTES,
                    have: Blocks::default(),
                });
                desk.input(Input::Origin { content: other, origin: HUB, up: true, shared: false });
                desk.input(Input::Want { content: other, blocks: Blocks::all(1) });
            },
            false,
            "something of another model is on its way",
        ),
    ];
    for (act, asks, why) in rows {
        let mut desk = Desk::new(&[BO, CY], 8, &[]);
        desk.want(Blocks::default());
        act(&mut desk);
        desk.told(BO, Fact::Has, &[0, 1]);
        desk.input(Input::Spare { content: MODEL, blocks: 4 });
        desk.pass(500);
        assert_eq!(!desk.asks(BO).is_empty(), asks, "{why}");
    }
}
