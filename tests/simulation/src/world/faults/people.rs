//! People who change their minds.

use super::World;
use coordinator::{Command, JobId, PeerId};

impl World {
    /// Whosever story it is: only its owner can stop it.
    pub(super) fn stop_a_story(&mut self, peer: PeerId) {
        let known: Vec<JobId> = self.peers[&peer].witness.jobs.keys().copied().collect();
        if let Some(job) = self.dice.pick(&known) {
            self.command(peer, Command::Stop(job));
        }
    }

    pub(super) fn rename(&mut self, peer: PeerId) {
        let letters = self.dice.range(0, 40) as usize;
        self.command(peer, Command::Rename("é".repeat(letters)));
    }
}
