//! Bugs on purpose, one at a time, to show that the simulator's invariants catch them. Without the feature `mutations`
//! every switch is a constant `false`, and nothing of it is left.

/// One rule of the coordinator, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// An older epoch that somebody tells of is followed.
    SkipEpochCheck = 1,
    /// A token counts under whatever lease it was sampled, by whomever.
    AcceptLateResult,
    /// Credit alone orders the queue: waiting moves nobody up.
    ForgetAgeing,
    /// Some of an answer's tokens are not told, and nobody asks for what is missing.
    LoseProgress,
    /// A session that is closed may be opened again.
    SkipLeaseFence,
    /// What a peer says that it did for itself is a receipt too.
    MintCredit,
    /// Any number of chunks may be between two stages.
    UnboundedWindow,
    /// Stages are not told when a lease is over.
    NoRelease,
    /// A leader does not step down for a higher epoch.
    TwoLeaders,
    /// A lease begins at the last known token, with empty caches.
    SkipReplay,
    /// A token that comes twice counts twice.
    CountTwice,
    /// Whoever hears a pulse answers everybody with one.
    EchoPulses,
    /// A leader grants some leases, and then no more.
    RunOutOfLeases,
    /// The last stage of a painter takes the hidden states of one branch of guidance for the other's.
    SwapBranches,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SkipEpochCheck,
        Self::AcceptLateResult,
        Self::ForgetAgeing,
        Self::LoseProgress,
        Self::SkipLeaseFence,
        Self::MintCredit,
        Self::UnboundedWindow,
        Self::NoRelease,
        Self::TwoLeaders,
        Self::SkipReplay,
        Self::CountTwice,
        Self::EchoPulses,
        Self::RunOutOfLeases,
        Self::SwapBranches,
    ];
}

#[cfg(feature = "mutations")]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Breaks this rule in the whole process, or none.
#[cfg(feature = "mutations")]
pub fn choose(mutation: Option<Mutation>) {
    CHOSEN.store(mutation.map_or(0, |one| one as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this rule is broken.
#[cfg(feature = "mutations")]
pub(crate) fn on(mutation: Mutation) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == mutation as u8
}

/// Whether this rule is broken: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn on(_: Mutation) -> bool {
    false
}
