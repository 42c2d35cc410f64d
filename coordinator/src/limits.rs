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
/// Chunks that wait at one stage. Source: `JOBS_RUNNING` jobs, each with one whole prompt in passes or replayed tokens.
pub const CHUNKS_WAITING: usize = JOBS_RUNNING * JOB_TOKENS;
/// Finished jobs whose text is kept for newcomers. Source: guess.
pub const JOBS_KEPT: usize = 32;
