//! One line per thing that happens, for the eye.

use coordinator::{Input, Output, PeerId, wire};

/// An input in a few words.
#[must_use]
pub fn input(input: &Input) -> String {
    match input {
        Input::Received { from, bytes } => format!("{from} {}", message(bytes)),
        other => format!("{other:.200?}"),
    }
}

/// Prints an output.
pub fn output(now: u64, peer: PeerId, output: &Output) {
    match output {
        Output::Event(_) | Output::Send { .. } => {}
        other => println!("{now:>7} {peer} > {other:.200?}"),
    }
}

fn message(bytes: &[u8]) -> String {
    match wire::decode(bytes) {
        Ok(wire::Message::Pulse(pulse)) => format!("Pulse {:?}", pulse.following),
        Ok(wire::Message::Hidden(hidden)) => format!("Hidden {} + {}", hidden.position, hidden.rows),
        Ok(message) => format!("{message:?}").chars().take(300).collect(),
        Err(error) => error.to_string(),
    }
}
