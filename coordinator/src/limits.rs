//! Every bound of the coordinator and its wire, with unit and source.

/// Peers in one room, this one included. Source: the benches go this far; a full mesh ends earlier, since Chromium
/// allows about 500 connections a page.
pub const PEERS: usize = 1024;
/// Bytes of one control message. Source: one SCTP message that every browser accepts, with room to spare.
pub const CONTROL_BYTES: usize = 64 * 1024;
/// Bytes of one bulk message. Source: the hidden states of a picture of 1024 × 1024 pixels between two blocks of PRX-1024,
/// 4,096 tokens × 1,792 channels × 4 bytes, are 28 MiB; those of one prefill pass of a text are 2 MiB at most.
pub const BULK_BYTES: usize = 32 * 1024 * 1024;
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
pub const JOBS_PER_ROOM: usize = 128;
/// Units of one job. Source: one bit each in [`Ask::waiting`](crate::wire::Ask::waiting).
pub const UNITS: usize = 64;
/// Jobs that run at once on one team of several stages, beyond one per stage. Source: one more than there are stages
/// hides the way between them.
pub const TEAM_JOBS_EXTRA: usize = 1;
/// Jobs that run at once at one peer. Source: `STAGES` jobs of a full pipeline, and the one beyond.
pub const JOBS_RUNNING: usize = STAGES + TEAM_JOBS_EXTRA;
/// Models that one device offers, or that a room runs at once. Source: guess; text, pictures, and a spare of each.
pub const MODELS: usize = 4;
/// Denoising steps of a picture. Source: guess; schedules have at most a hundred or so.
pub const PICTURE_STEPS: u16 = 1000;
/// Tiles of a picture. Source: one bit each in [`OpenPicture::tiles`](crate::wire::OpenPicture::tiles).
pub const TILES: u16 = 64;
/// Steps of a picture between two latents that its keeper gets. Source: 0.5 MB for PRX at 1024 × 1024 every few
/// seconds of work is under 2 % of a 10 Mb/s link; a lost worker costs at most these steps.
pub const CHECKPOINT_STEPS: u16 = 4;
/// Members that share one picture in bands of rows. Source: guess; everybody sends to everybody, so each one more costs
/// more than the last.
pub const PATCHES: usize = 4;
/// Steps of a lease that are whole at every member before the first in bands. Source: contexts are two steps old; and two
/// of 28 are as large a share as the four of 50 of DistriFusion (Li et al. 2024).
pub const WARM_STEPS: u16 = 2;
/// Parts of a picture that one member holds at once. Source: with four bands, the encoding, the latent, the contexts of two
/// steps of three others and four velocities are twelve; and some that come early.
pub const BLOBS: usize = 16;
/// Bytes of one part of a picture. Source: `BULK_BYTES` less the names around it.
pub const BLOB_BYTES: usize = BULK_BYTES - 1024;
/// Bytes of parts of pictures that one member holds for all its sessions. Source: four pictures through its stage, of each
/// the largest hidden states of both branches.
pub const BLOBS_BYTES: usize = 8 * BLOB_BYTES;
/// Bytes of a latent that everyone gets as a preview. Source: guess; two bulk frames.
pub const PREVIEW_BYTES: usize = 32 * 1024;
/// Bytes of latents and pixels of all jobs, open ones too; more is refused. Source: guess; a set of the largest pictures.
pub const PIXELS_MOST: usize = 4 * PIXELS_BYTES;
/// Bytes of pixels that are kept for newcomers. Source: guess; a tenth of what a phone gives a tab.
pub const PIXELS_BYTES: usize = 64 * 1024 * 1024;
/// Times that a watcher asks, one peer after the other, for the pixels of a job that has ended. Source: guess; a minute.
pub const PIXEL_ASKS: u32 = 20;
/// Receipts in one report. Source: guess; the workers that served a peer most.
pub const RECEIPTS: usize = 64;
/// Chunks of one session between two neighbouring stages that are not acknowledged yet. Source: full passes of 2,048
/// channels are then twice the transport's window of 1 MiB: one on the way, one at work, and the next ones ready.
pub const WINDOW: usize = 4;
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
/// Bytes of what is told of one token. Source: 20 ids with log-probabilities, and those of the token itself.
pub const NOTE_BYTES: usize = 256;
/// Bytes of opaque sampling settings. Source: guess.
pub const SAMPLING_BYTES: usize = 1024;
/// Tokens before a sampled one that whoever samples it is told, for settings that look back. Source: guess; four times
/// as many as llama.cpp looks back at by default.
pub const RECENT: usize = 256;
/// Bytes of a reason or an explanation. Source: guess; three lines on a phone.
pub const REASON_BYTES: usize = 512;
/// Layer ranges one peer reports or holds. Source: guess; the plan in force, the next one, and sessions of older ones.
pub const RANGES: usize = 16;
/// Milliseconds for which a model that nobody asks for any more stays planned. Source: guess; a person reads an answer and
/// writes the next prompt.
pub const LINGER_MS: u64 = 5 * 60_000;
/// How far above the highest term seen a new one may be. Source: guess; far more than any merge of rooms needs,
/// and it keeps one hostile message from using up all terms.
pub const TERM_JUMP: u64 = 1 << 20;
/// How far above the newest choice of a room another may be. Source: guess, as above.
pub const CHOICE_JUMP: u64 = 1 << 20;

/// Milliseconds between two pulses. Source: guess; 200 peers then handle 199 small messages a second each.
pub const PULSE_MS: u64 = 1_000;
/// Milliseconds for which changes gather before they are reported, planned for and shown. Source: guess; shorter than
/// people notice, and a crowd that leaves at once is one change.
pub const GATHER_MS: u64 = 30;
/// Milliseconds between two reports of changed links. Source: guess; a crowd of sixty that comes within a second is then
/// a few thousand messages for each of them, not tens of thousands.
pub const LINKS_MS: u64 = 500;
/// Milliseconds without a rise of the leader's beat after which it counts as gone. Source: it may come over three
/// peers, a pulse each, after the two that a link may miss. A silent link to the leader is noticed earlier.
pub const BEAT_MS: u64 = 5_000;
/// The same for a leader whose own link has fallen silent too. Source: two pulses and half a second for the way.
pub const BEAT_LOST_MS: u64 = 2 * PULSE_MS + 500;
/// Milliseconds for which others may see a peer that this one has no channel to before it is reached by relay.
/// Source: connecting took 0.2 to 1.1 s when measured.
pub const RELAY_AFTER_MS: u64 = 3_000;
/// Peers without a channel that are reached, or heard of. Source: guess; half of a room whose mesh has holes.
pub const DISTANT: usize = 128;
/// Bytes a second that one peer passes on for another. Source: guess; tokens and stories need a few kB, previews more.
pub const RELAY_BYTES_PER_S: usize = 1024 * 1024;
/// Milliseconds without any answer to its asks after which a peer doubts the leader. Source: five asks.
pub const DOUBT_MS: u64 = 5_000;
/// Milliseconds between two looks at everybody's credit. Source: guess.
pub const SCORE_MS: u64 = 5_000;
/// Milliseconds for which a job stays where it is after it was granted or moved. Source: guess; enough gaps between
/// tokens to know its pace there.
pub const MOVE_MS: u64 = 8_000;
/// Milliseconds for which a leader that was doubted away ranks last. Source: guess.
pub const BANNED_MS: u64 = 60_000;
/// Milliseconds without a leader before the best-ranked peer claims office. Source: a slow round trip, so that most have
/// heard of the loss too.
pub const CLAIM_MS: u64 = 200;
/// Milliseconds for which a claim waits while others see the leader that this peer lost. Source: a pulse.
pub const GOSSIP_MS: u64 = PULSE_MS;
/// Milliseconds by which each worse-ranked peer waits longer, should the better ones not act. Source: as above, twice.
pub const CLAIM_STEP_MS: u64 = 700;
/// Milliseconds after which a peer that found nobody takes a term of its own, which a newcomer cannot win against by
/// its id alone. Source: connecting took 0.2 to 1.1 s when measured.
pub const SETTLE_MS: u64 = 5_000;
/// Milliseconds for which a peer must be better connected than the leader before it takes over. Source: guess.
pub const HANDOVER_MS: u64 = 10_000;
/// Milliseconds for which the leader believes in a job that its owner does not ask for. Source: five asks.
pub const LEASE_MS: u64 = 6_000;
/// Milliseconds after which a session that nothing happens to is forgotten. Source: guess; longer than any pass.
pub const SESSION_IDLE_MS: u64 = 120_000;
/// Milliseconds without any sign of life of a compute worker that has chunks, after which its sessions are given up.
/// Source: guess; longer than the largest pass of a text on the slowest device that is of use.
pub const WORKER_MS: u64 = 60_000;
/// The same for pictures, in passes at the size that the model was trained for as the probe measured them. Source: guess; a
/// picture of twice that side takes up to sixteen times as long where attention is most of it.
pub const WORKER_PASSES: u64 = 16;
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
/// Milliseconds before a job whose lease broke a second time without anything new is asked for again; doubled each time
/// up to sixteen times that. Source: guess; a plan changes and is loaded in about a second.
pub const BACK_OFF_MS: u64 = 250;
/// Messages of a peer to itself within one call of `handle`; the rest waits for the next. Source: guess; far more than
/// any chain of grants, sessions and tokens takes, so that a mistake costs time and no memory.
pub const OWN_MESSAGES: usize = 4096;
/// Closed leases that a stage remembers, so that a late copy does not open one again. Source: guess; every session that
/// it can have, many times over.
pub const CLOSED: usize = 512;
/// Milliseconds without a word about a job from its keeper before a watcher hands it its own copy. Source: guess.
pub const ORPHAN_MS: u64 = 3_000;
/// Microseconds for one token through one layer below which peers count as equally fast when everyone takes a part.
/// Source: measured; in a browser a token's way between worker, page and data channel costs some milliseconds a stage,
/// as much as eight such layers.
pub const LAYER_MICROS: u32 = 500;
/// Bytes of a block of weights. Source: the product's feature list (A12), as in the manifest; one bulk message.
pub const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of the root of a content. Source: the manifest's.
pub const ROOT_BYTES: usize = 150_000;
/// Contents that a peer takes part in at once. Source: `MODELS`, and a few adapters for each.
pub const CONTENTS: usize = 16;
/// Runs of numbers in one message, and in all that is known of one peer and content. Source: a room's full share of a model
/// lies in 4,096 stripes (see `swarm`), of which no two neighbours are one peer's; 5 bytes each fit `CONTROL_BYTES`.
pub const SWARM_RUNS: usize = 4096;
/// Blocks on the way from one peer. Source: guess; 8 MiB, 0.6 s at 100 Mb/s, hide the way there and back.
pub const SWARM_WINDOW: u32 = 8;
/// Blocks on the way from one origin. Source: browsers open six connections to a host; two are left for others.
pub const SWARM_ORIGIN_WINDOW: u32 = 4;
/// Blocks on the way from anywhere, those being checked among them. Source: guess; 32 MiB of memory.
pub const SWARM_FLIGHTS: usize = 32;
/// Blocks that are being read and sent at once. Source: guess; 8 MiB of memory, and a few slow links do not hold up the rest.
pub const SWARM_UPLOADS: usize = 8;
/// Of these, to one peer. Source: one is on the line while the next is read.
pub const SWARM_UPLOADS_EACH: usize = 2;
/// Milliseconds of a source's pace that are asked of it ahead. Source: guess; a few round trips, and a block of a slow peer
/// is not waited for long.
pub const SWARM_AHEAD_MS: u64 = 4_000;
/// Milliseconds in which the first block of a source has to come. Source: guess; 2 Mb/s.
pub const SWARM_FIRST_MS: u64 = 4_000;
/// Milliseconds without a block below which nobody counts as stalled. Source: guess; a hidden tab's timers run once a second, and
/// a newcomer halves what others get.
pub const SWARM_STALL_MS: u64 = 3_000;
/// Milliseconds after its last block for which a peer that rests is waited for, rather than an origin asked. Source: guess.
pub const SWARM_SLOW_MS: u64 = 20_000;
/// Most milliseconds of patience with one source. Source: guess.
pub const SWARM_PATIENCE_MS: u64 = 120_000;
/// Milliseconds for which a source that stalled is left alone; doubled each time, up to `SWARM_REST_MAX_MS`. Source: guess.
pub const SWARM_REST_MS: u64 = 2_000;
/// See `SWARM_REST_MS`.
pub const SWARM_REST_MAX_MS: u64 = 60_000;
/// Milliseconds for which a peer that said it is busy is left alone. Source: guess; an answer's tokens come every 0.1 s.
pub const SWARM_BUSY_MS: u64 = 1_000;
/// Times in a row that a peer may say so before an origin is asked for what it has. Source: guess; three seconds.
pub const SWARM_REFUSALS: u32 = 3;
/// Milliseconds for which asks wait at a busy peer before it says so. Source: guess; less than the asker's patience.
pub const SWARM_HOLD_MS: u64 = 1_000;
/// Milliseconds between two looks at what is due. Source: guess; blocks take about as long.
pub const SWARM_BEAT_MS: u64 = 100;
/// Milliseconds for which a peer that joins, or meets another, listens before it fetches from an origin. Source: guess; a slow
/// round trip, and connecting took 0.2 to 1.1 s when measured.
pub const SWARM_SETTLE_MS: u64 = 800;
/// Most milliseconds of that, whoever comes. Source: guess.
pub const SWARM_SETTLE_MOST_MS: u64 = 5_000;
/// Milliseconds between two answers to one peer's wish to be told everything. Source: guess.
pub const SWARM_JOIN_MS: u64 = 1_000;
/// Milliseconds between two reminders of what this peer fetches. Source: guess.
pub const SWARM_CLAIM_MS: u64 = 1_500;
/// Milliseconds without a reminder after which others may fetch it. Source: three reminders.
pub const SWARM_CLAIM_LOST_MS: u64 = 3 * SWARM_CLAIM_MS;
/// Milliseconds after which others may fetch it, whatever is said. Source: guess; 0.14 Mb/s.
pub const SWARM_CLAIM_MOST_MS: u64 = 60_000;
/// Milliseconds without a new block of its own after which a peer's share of the origin passes to the others. Source: guess.
pub const SWARM_TAKEOVER_MS: u64 = 4_000;
/// Milliseconds for which nothing is fetched after the store had no room. Source: guess; a person frees some.
pub const SWARM_FULL_MS: u64 = 10_000;
/// Peers that should hold a block besides those who run it. Source: guess; two may leave at once.
pub const SWARM_COPIES: usize = 2;
/// Stripes of a content, at most; see `swarm`. Source: `SWARM_RUNS`, and 4 GiB in stripes of one block.
pub const SWARM_STRIPES: u32 = 4096;
/// Stripes of which one look decides who fetches them. Source: measured; 4 ms in a room of a hundred.
pub const SWARM_WINDOW_STRIPES: u32 = 256;
/// Blocks that are looked at to find the rarest. Source: guess; a content of 64 MiB is seen as a whole.
pub const SWARM_LOOK: usize = 64;
/// Contents of others that are remembered. Source: guess; a room runs `MODELS`, and people compare a few more.
pub const SWARM_HELD: usize = 64;
/// Milliseconds in which a root has to come. Source: guess; 150 KB at 0.3 Mb/s.
pub const SWARM_ROOT_MS: u64 = 4_000;
/// Milliseconds in which a root that came has to be checked; then its worker is gone. Source: guess.
pub const SWARM_ROOT_CHECK_MS: u64 = 20_000;
/// Milliseconds for which a peer that did not send a root is not asked for it again. Source: guess.
pub const SWARM_ROOT_REST_MS: u64 = 5_000;
/// Milliseconds between two roots that are sent, whoever asks. Source: guess; 1.5 MB/s at most.
pub const SWARM_ROOT_PACE_MS: u64 = 100;
