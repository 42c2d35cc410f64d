//! Every bound of the coordinator and its wire, with unit and source.

/// Peers in one room, this one included. Source: a full mesh; Chromium allows about 500 connections a page, and
/// the heartbeat costs peers² messages a second.
pub const PEERS: usize = 64;
/// Bytes of one control message. Source: one SCTP message that every browser accepts, with room to spare.
pub const CONTROL_BYTES: usize = 64 * 1024;
/// Bytes of one bulk message (a hidden state of one prefill pass). Source: `PASS_TOKENS` × 8192 channels × 4 bytes.
pub const BULK_BYTES: usize = 8 * 1024 * 1024;
/// Tokens of one prefill pass. Source: guess; keeps one pass under a second on a CPU tab.
pub const PASS_TOKENS: usize = 64;
/// Tokens of prompt and answer together. Source: 4 bytes at most per token must fit `CONTROL_BYTES` with the text.
pub const JOB_TOKENS: usize = 8192;
/// Bytes of prompt text. Source: guess; a long page.
pub const PROMPT_BYTES: usize = 16 * 1024;
/// Bytes of a person's name. Source: guess.
pub const NAME_BYTES: usize = 48;
/// Jobs one peer may have open. Source: guess.
pub const JOBS_PER_PEER: usize = 4;
/// Jobs open in a room. Source: guess.
pub const JOBS_PER_ROOM: usize = 64;
/// Jobs that run at once. Source: guess; enough to keep the stages of a small room busy.
pub const JOBS_RUNNING: usize = 4;
/// Chunks of one session between two neighbouring stages that are not acknowledged yet. Source: guess; enough to
/// hide one round trip during a replay, few enough that a slow stage holds back its predecessor.
pub const WINDOW: usize = 8;
/// Sessions (a job under a lease) open at one stage. Source: `JOBS_RUNNING`, twice, for those being replaced.
pub const SESSIONS: usize = 2 * JOBS_RUNNING;
/// Of these, sessions of one owner, so that nobody can take them all. Source: as many jobs run at once.
pub const SESSIONS_PER_PEER: usize = JOBS_RUNNING;
/// Chunks that wait at one stage's compute worker. Source: every session with a full window.
pub const CHUNKS_WAITING: usize = SESSIONS * WINDOW;
/// Finished jobs whose text is kept for newcomers. Source: guess.
pub const JOBS_KEPT: usize = 32;
/// Finished jobs of which only the name is kept, so that a late copy is not shown twice. Source: guess.
pub const JOBS_REMEMBERED: usize = 1024;
/// Stages of one plan. Source: guess; each is one more hop for every token.
pub const STAGES: usize = 8;
/// Layers of a model. Source: the largest open models have about 130.
pub const MODEL_LAYERS: u16 = 1024;
/// Bytes of opaque sampling settings. Source: guess.
pub const SAMPLING_BYTES: usize = 1024;
/// Bytes of a reason or an explanation. Source: guess; three lines on a phone.
pub const REASON_BYTES: usize = 512;
/// Layer ranges one peer reports or holds. Source: guess; the plan in force, the next one, and sessions of older ones.
pub const RANGES: usize = 16;
/// How far above the highest term seen a new one may be. Source: guess; far more than any merge of rooms needs,
/// and it keeps one hostile message from using up all terms.
pub const TERM_JUMP: u64 = 1 << 20;

/// Milliseconds between two pulses. Source: guess; 64 peers then handle 63 small messages a second each.
pub const PULSE_MS: u64 = 1_000;
/// Milliseconds without a word after which a peer, or a leader's beat, counts as gone until it speaks again.
/// Source: five missed pulses; browsers throttle a hidden tab's timers to one a second.
pub const SILENT_MS: u64 = 5_000;
/// Milliseconds without a leader before the best-ranked peer claims office. Source: a round trip across the world.
pub const CLAIM_MS: u64 = 300;
/// Milliseconds by which each worse-ranked peer waits longer, should the better ones not act. Source: as above, twice.
pub const CLAIM_STEP_MS: u64 = 700;
/// Milliseconds after which a peer that found nobody takes a term of its own, which a newcomer cannot win against by
/// its id alone. Source: connecting took 0.2 to 1.1 s when measured.
pub const SETTLE_MS: u64 = 5_000;
/// Milliseconds for which a peer must be better connected than the leader before it takes over. Source: guess.
pub const HANDOVER_MS: u64 = 10_000;
/// Milliseconds for which the leader believes in a job that its owner does not ask for. Source: as `SILENT_MS`.
pub const LEASE_MS: u64 = 6_000;
/// Milliseconds after which a session that nothing happens to is forgotten. Source: guess; longer than any pass.
pub const SESSION_IDLE_MS: u64 = 120_000;
/// Milliseconds without any answer of a compute worker that has chunks, after which its sessions are given up.
/// Source: guess; longer than the largest pass on the slowest device that is of use.
pub const WORKER_MS: u64 = 60_000;
/// Milliseconds after which a grant that its asker does not know of counts as lost. Source: three asks.
pub const GRANT_MS: u64 = 3 * PULSE_MS;
/// Milliseconds for which a suspected peer gets no layers; doubled each time, up to `SUSPECT_MAX_MS`. Source: guess.
pub const SUSPECT_MS: u64 = 3_000;
/// See `SUSPECT_MS`.
pub const SUSPECT_MAX_MS: u64 = 60_000;
/// Milliseconds before a range that failed to load is tried again. Source: guess.
pub const LOAD_RETRY_MS: u64 = 30_000;
/// Shortest time in milliseconds without a token that counts as a stall. Source: guess.
pub const STALL_MS: u64 = 3_000;
/// A stall is also longer than this many median gaps between tokens. Source: guess.
pub const STALL_GAPS: u64 = 8;
/// Milliseconds allowed before a lease's first token, the work of prompt and replay aside. Source: guess; shaders compile then.
pub const FIRST_TOKEN_MS: u64 = 20_000;
/// How many times longer than by the stages' measured speeds, all jobs running at once, that work may take. Source:
/// guess; a probe's figure is of a device that does nothing else.
pub const PATIENCE: u64 = 2;
/// Most milliseconds of that allowance. Source: guess; a peer's speed is its own word.
pub const FIRST_TOKEN_MAX_MS: u64 = 600_000;
/// Faults and stalls in a row, without one new token, after which a job fails. Source: guess.
pub const ATTEMPTS: u32 = 5;
/// Milliseconds without a word about a job from its keeper before a watcher hands it its own copy. Source: guess.
pub const ORPHAN_MS: u64 = 3_000;
/// Microseconds for one token through one layer below which peers count as equally fast. Source: measured; in a
/// browser a token's way between worker, page and data channel costs some milliseconds a stage, as much as eight such
/// layers.
pub const LAYER_MICROS: u32 = 500;
