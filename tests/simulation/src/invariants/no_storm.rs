//! No message is answered for ever: what a room does in a second is bounded, whatever goes wrong in it.

/// Happenings (messages, chunks, alarms) in one virtual second. Source: measured; a crowd of fifty that finds each
/// other, every welcome with every story in it, comes to some ten thousand.
const MOST: u64 = 200_000;

/// Counts what happens in the current second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    second: u64,
    happenings: u64,
}

impl Traffic {
    /// Something happens at `now` virtual milliseconds.
    ///
    /// # Errors
    /// If too much has happened in its second.
    pub fn happens(&mut self, now: u64) -> Result<(), String> {
        let second = now / 1_000;
        if second != self.second {
            *self = Self { second, happenings: 0 };
        }
        self.happenings += 1;
        if self.happenings <= MOST {
            return Ok(());
        }
        Err(format!("a storm: more than {MOST} happenings in second {second}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_seconds() {
        let rows = [
            (MOST, 0, true, "as much as is allowed"),
            (MOST + 1, 0, false, "more in one second"),
            (3 * MOST, 1, true, "more in many"),
        ];
        for (happenings, apart_ms, holds, why) in rows {
            let mut traffic = Traffic::default();
            let held = (0..happenings).try_for_each(|count| traffic.happens(count * apart_ms));
            assert_eq!(held.is_ok(), holds, "{why}");
        }
    }
}
