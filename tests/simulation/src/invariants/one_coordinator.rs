//! One coordinator per connected component, once things are quiet.

use coordinator::{Epoch, PeerId};

/// Checks what the peers of one connected component follow.
///
/// # Errors
/// Names who follows whom.
pub fn check(component: &[(PeerId, Option<Epoch>)]) -> Result<(), String> {
    let Some((_, first)) = component.first() else {
        return Ok(());
    };
    let agreed = component.iter().all(|(_, epoch)| epoch == first);
    let inside = first.is_some_and(|epoch| component.iter().any(|(peer, _)| *peer == epoch.leader));
    if agreed && inside { Ok(()) } else { Err(format!("not one coordinator: {component:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_rooms() {
        let follows = |peer, term, leader| (PeerId(peer), Some(Epoch { term, leader: PeerId(leader) }));
        let rows: [(&[_], bool, &str); 5] = [
            (&[follows(1, 3, 2), follows(2, 3, 2)], true, "all follow one of them"),
            (&[follows(1, 3, 1), follows(2, 3, 2)], false, "two lead"),
            (&[follows(1, 3, 2), follows(2, 4, 2)], false, "two epochs of one leader"),
            (&[follows(1, 3, 9), follows(2, 3, 9)], false, "all follow one who is gone"),
            (&[(PeerId(1), None)], false, "nobody leads"),
        ];
        for (room, holds, why) in rows {
            assert_eq!(check(room).is_ok(), holds, "{why}");
        }
    }
}
