//! Every bound of this crate, with its unit and its source.

/// Bytes of a `config.json`. Source: guess; real ones are below 10 KB.
pub const CONFIG_BYTES: usize = 1 << 20;
/// Bytes of a `tokenizer.json`. Source: guess; the largest well-known one (Gemma) has 34 MB.
pub const TOKENIZER_BYTES: usize = 128 << 20;
/// Bytes of a safetensors header. Source: guess; the format itself stops at 100 MB, checkpoints stay below 1 MB.
pub const HEADER_BYTES: u64 = 64 << 20;
/// Bytes of a `model.safetensors.index.json`. Source: guess; those of the largest models have about 10 MB.
pub const INDEX_BYTES: usize = 32 << 20;
/// Files of one checkpoint. Source: guess; the largest models have about 200.
pub const SHARDS: usize = 1024;
/// Tensors that a GGUF file lists. Source: guess; the largest models have a few thousand.
pub const GGUF_TENSORS: u64 = 1 << 17;
/// Pairs of metadata of a GGUF file. Source: guess; real files have below 100.
pub const GGUF_PAIRS: u64 = 1 << 16;
/// Bytes of a name in a GGUF file. Source: keys end at 65,535 bytes there; none is longer than 100.
pub const GGUF_NAME_BYTES: u64 = 1 << 10;
/// Rank of an adapter. Source: guess; published ones have 256 at most.
pub const ADAPTER_RANK: usize = 1024;
/// Adapters in the memory of a model. Source: guess; more than people of a room choose.
pub const ADAPTERS: usize = 16;
/// Models that an adapter says it was made for. Source: guess; a few forms of one model.
pub const ADAPTER_BASES: usize = 16;
/// Adapters of one sequence. Source: guess; two or three are usual.
pub const ADAPTERS_AT_ONCE: usize = 8;
/// How many times an adapter is added. Source: guess; 1 is what it was trained for, 2 exaggerates.
pub const ADAPTER_WEIGHT: f32 = 100.0;
/// Bytes that regular expressions in an adapter's settings may take once they are compiled. Source: guess; the names of all
/// 450 matrices of a large model take about a megabyte.
pub const PATTERN_BYTES: usize = 8 << 20;
/// Experts of one layer. Source: the largest open models have 512.
pub const EXPERTS: usize = 1024;
/// Bytes that are on the way to a device at a time while weights are loaded. Source: a quarter of the 64 MB that loading
/// may take beside the weights: they lie as bytes, as f32 and in the device's own buffer for a moment.
pub const PIECE_BYTES: u64 = 16 << 20;
/// Bytes of one tensor. Source: what one ArrayBuffer and half of wasm's 4 GiB can hold beside everything else.
pub const TENSOR_BYTES: u64 = 1 << 30;
/// Channels of a hidden state or of a feed-forward layer. Source: the largest open models have 53,248.
pub const WIDTH: usize = 1 << 16;
/// Transformer layers. Source: the largest open models have about 130.
pub const LAYERS: usize = 1024;
/// Attention heads, and channels of one head. Source: the largest open models have 128 and 256.
pub const HEADS: usize = 1024;
/// Entries of a vocabulary. Source: the largest open models have about 262,000.
pub const VOCABULARY: usize = 1 << 20;
/// Ids that end a text. Source: guess; real configurations have three at most.
pub const END_TOKENS: usize = 64;
/// Tokens of one sequence, whatever longer context the model was trained for. Source: guess; bounds the memory of
/// the rotation tables and of every cache.
pub const CONTEXT: usize = 8192;
/// Threads that compute together. Source: the largest machines with one processor have 128 cores and twice the threads.
pub const THREADS: usize = 256;
/// Rows of one pass. Source: guess; several prompts of 64 rows at a time.
pub const PASS_ROWS: usize = 512;
/// Positions of a page of key-value caches. Source: the tiles in which attention reads them on a GPU; half a page is
/// wasted per sequence on average.
pub const CACHE_PAGE: usize = 128;
/// Bytes of all caches of an engine that was not told otherwise. Source: guess; 8,192 tokens of a model of 1 B parameters.
pub const CACHE_BYTES: u64 = 1 << 30;
/// Sessions that ended whose caches are kept, for the next turn of their conversations. Source: guess; as many people
/// as write in a room at a time.
pub const KEPT: usize = 8;
/// Sessions with caches at a time. Source: twice what the coordinator opens.
pub const SESSIONS: usize = 16;
/// Bytes of sampling settings. Source: [`BIASES`] entries of 9 bytes at most and some small fields; the coordinator
/// carries as many.
pub const SAMPLING_BYTES: usize = 1024;
/// Tokens whose scores one job may change. Source: guess; OpenAI allows 300, of which people use a handful.
pub const BIASES: usize = 64;
/// Tokens that penalties look back at. Source: four times llama.cpp's default.
pub const RECENT: usize = 256;
/// Tokens whose log-probabilities are reported. Source: what OpenAI's interface allows.
pub const REPORTED: usize = 20;
/// Texts that end an answer. Source: guess; four are usual.
pub const STOPS: usize = 16;
/// Bytes of one of them. Source: guess; a short line.
pub const STOP_BYTES: usize = 256;
/// Bytes of one text to encode. Source: guess; a long book chapter.
pub const TEXT_BYTES: usize = 1 << 20;
/// Bytes of a chat template. Source: guess; the longest well-known ones, with tools, have about 20 KB.
pub const TEMPLATE_BYTES: usize = 64 << 10;
/// Instructions of one rendering. Source: guess; a hundred turns with tools take about 50,000.
pub const CHAT_FUEL: u64 = 1_000_000;
/// Bytes of text that a template may work on in one rendering, each time that it does something with them. Source:
/// guess; a conversation of [`TEXT_BYTES`] is looked at a few dozen times.
pub const CHAT_WORK: usize = 64 << 20;
/// Macros that call each other. Source: guess; tool schemas nest about ten deep, and every level takes stack.
pub const CHAT_DEPTH: usize = 100;
/// Channels of a latent. Source: guess; AutoencoderDC has 128 in its largest form.
pub const LATENT_CHANNELS: usize = 1024;
/// Latent pixels on the side of a token's patch. Source: guess; pixel models use 16 or 32.
pub const PATCH: usize = 64;
/// Bytes of an embedding (as f32) that is held in memory; of larger ones the rows of a prompt are read by themselves. Source:
/// what WebGPU lets one binding have by default, 128 MiB.
pub const EMBEDDING_BYTES: u64 = 128 << 20;
/// Tokens of a text that pictures are painted from. Source: guess; PRX was trained with 256.
pub const PROMPT_TOKENS: usize = 512;
/// Steps of one picture. Source: as many as the noise levels that such models are trained with.
pub const PICTURE_STEPS: usize = 1000;
/// Pixels of a picture on a side. Source: guess; twice what the largest model was trained for.
pub const PICTURE_SIDE: usize = 4096;
/// Convolutions of one half of an autoencoder, and blocks of one of its levels. Source: guess; published ones have about 60.
pub const CONVOLUTIONS: usize = 1024;
/// Tokens of a picture, and pixels of a latent that is decoded at once. Source: guess; four times what PRX was trained for,
/// and a grid of as many rows fits WebGPU's.
pub const PICTURE_TOKENS: usize = 1 << 14;
/// Guidance. Source: guess; people use 1 to 10.
pub const GUIDANCE: f32 = 100.0;
/// Bytes of a block of weights, the unit of transfer and verification. Source: the product's feature list (A12); 64 frames of
/// the bulk channel, 0.1 s at 80 Mb/s.
pub const BLOCK_BYTES: u64 = 1 << 20;
/// Bytes of the root of a manifest. Source: the product's feature list (A12).
pub const ROOT_BYTES: usize = 150_000;
/// Pages of a manifest. Source: 52 bytes each at most fit [`ROOT_BYTES`], with 4 KB for the texts.
pub const MANIFEST_PAGES: usize = 2800;
/// Bytes of a page of a manifest. Source: one block, so that it travels like one.
pub const PAGE_BYTES: usize = BLOCK_BYTES as usize;
/// Blocks that a page lists. Source: 32 bytes each fit [`PAGE_BYTES`].
pub const PAGE_BLOCKS: usize = PAGE_BYTES / 32;
/// Tensors that a page lists. Source: guess; a layer has about ten, a group of experts a few hundred.
pub const PAGE_TENSORS: usize = 8192;
/// Runs of bytes that a page lists. Source: one for each tensor.
pub const PAGE_SPANS: usize = PAGE_TENSORS;
/// Files that a page has bytes of. Source: guess; a layer lies in two, a group of experts in a few dozen.
pub const PAGE_FILES: usize = 1024;
/// Pages and blocks of a manifest together. Source: 16 TiB, more than any model has.
pub const MANIFEST_NUMBERS: u32 = 1 << 24;
/// Files of a manifest. Source: the largest models come in 9,600 shards.
pub const MANIFEST_FILES: usize = 1 << 16;
/// Folders of a manifest. Source: guess; pipelines of diffusers have about ten.
pub const MANIFEST_PARTS: usize = 32;
/// Bytes of a path or a tensor's name. Source: what file systems allow for one name.
pub const MANIFEST_NAME_BYTES: usize = 255;
/// Bytes of each text about a model. Source: guess; a long URL.
pub const MANIFEST_TEXT_BYTES: usize = 512;
/// Bytes of the name of a kind of number. Source: the longest known one, `F8_E4M3`, twice.
pub const DTYPE_BYTES: usize = 16;
/// Dimensions of a tensor. Source: what the readers of files allow.
pub const TENSOR_RANK: usize = 8;
/// Runs of bytes of one tensor. Source: 4 GiB in shards of 64 MiB.
pub const TENSOR_PLACES: usize = 64;
/// Bytes of an RDRR `manifest.json`. Source: guess; one of 45,000 tensors has about 20 MB.
pub const RDRR_BYTES: usize = 64 << 20;
