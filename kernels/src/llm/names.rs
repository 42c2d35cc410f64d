//! What Hugging Face calls the tensors of a checkpoint, and their shapes there.

use crate::llm::config::Bias;
use crate::llm::{Config, Family, Layers};

/// A tensor that a range of layers needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape there: matrices are `[output, input]`.
    pub shape: Vec<usize>,
}

/// Everything that `layers` and the ends that belong to them need, in the order in which it is loaded.
///
/// A tied head is the embedding once more, in the layout of a product; a range with both ends names it twice.
pub fn needed(config: &Config, layers: Layers) -> impl Iterator<Item = Needed> {
    wanted(config, layers, true)
}

/// The same, without the experts that a router picks from.
pub(super) fn resident(config: &Config, layers: Layers) -> impl Iterator<Item = Needed> {
    wanted(config, layers, false)
}

/// One of the experts that a router picks from; None if the layer has no such.
pub(super) fn expert(config: &Config, layer: usize, index: usize) -> Option<FeedForwardNames> {
    config.experts_of(layer).filter(|experts| index < experts.count)?;
    Some(FeedForwardNames::expert(config, layer, index))
}

fn wanted(config: &Config, layers: Layers, experts: bool) -> impl Iterator<Item = Needed> {
    let first = (layers.start == 0).then(|| embedding(config));
    // One layer's names at a time: a configuration may ask for a thousand layers of a thousand experts.
    let blocks = layers.range().flat_map(move |layer| BlockNames::new(config, layer).into_all(experts));
    let last = (layers.end == config.layers).then(|| head(config).into_all().chain([norm(config)]));
    first.into_iter().chain(blocks).chain(last.into_iter().flatten())
}

/// Matrices that are held as one product, and their biases: as many, or none.
#[derive(Debug, Clone)]
pub(crate) struct ProductNames {
    pub weights: Vec<Needed>,
    pub biases: Vec<Needed>,
}

/// The tensors of one layer.
pub(super) struct BlockNames {
    pub attention_norm: Needed,
    pub qkv: ProductNames,
    pub output: ProductNames,
    pub query_norm: Option<Needed>,
    pub key_norm: Option<Needed>,
    pub attention_post: Option<Needed>,
    pub ff_norm: Needed,
    pub ff: FeedNames,
    pub ff_post: Option<Needed>,
}

/// The tensors of what follows attention.
pub(super) enum FeedNames {
    Dense(FeedForwardNames),
    Experts(ExpertsNames),
}

pub(crate) struct FeedForwardNames {
    pub gate_up: ProductNames,
    pub down: ProductNames,
}

pub(super) struct ExpertsNames {
    pub router: ProductNames,
    pub experts: Vec<FeedForwardNames>,
    pub shared: Option<(FeedForwardNames, ProductNames)>,
}

impl ProductNames {
    /// `prefix` + `.weight` of `[output, input]`, for each of `parts`.
    pub fn new<const N: usize>(parts: [(String, usize); N], input: usize, bias: bool) -> Self {
        let weight = |(prefix, output): &(String, usize)| Needed {
            name: format!("{prefix}.weight"),
            shape: vec![*output, input],
        };
        let biases = |(prefix, output): &(String, usize)| Needed {
            name: format!("{prefix}.bias"),
            shape: vec![*output],
        };
        Self {
            weights: parts.iter().map(weight).collect(),
            biases: parts.iter().filter(|_| bias).map(biases).collect(),
        }
    }

    /// Numbers of one row.
    pub fn input(&self) -> usize {
        self.weights.iter().map(|part| part.shape[1]).next().unwrap_or(0)
    }

    pub fn into_all(self) -> impl Iterator<Item = Needed> {
        self.weights.into_iter().chain(self.biases)
    }
}

impl BlockNames {
    pub fn new(config: &Config, layer: usize) -> Self {
        let of = |part: &str| format!("model.layers.{layer}.{part}");
        let (width, head_dim) = (config.width, config.head_dim);
        let norm = |part: &str, width: usize| Needed { name: of(part) + ".weight", shape: vec![width] };
        let head_norm = |part: &str| config.head_norms.then(|| norm(part, head_dim));
        // With norms on both sides, "post_attention" is what it says; otherwise it is what comes before the next part.
        let (after, before) = if config.post_norms {
            (Some("post_attention_layernorm"), "pre_feedforward_layernorm")
        } else {
            (None, "post_attention_layernorm")
        };
        let channels = config.heads * head_dim;
        let output_bias = config.attention_bias == Bias::All;
        Self {
            attention_norm: norm("input_layernorm", width),
            qkv: qkv(config, layer),
            output: ProductNames::new([(of("self_attn.o_proj"), width)], channels, output_bias),
            query_norm: head_norm("self_attn.q_norm"),
            key_norm: head_norm("self_attn.k_norm"),
            attention_post: after.map(|part| norm(part, width)),
            ff_norm: norm(before, width),
            ff: FeedNames::new(config, layer),
            ff_post: after.map(|_| norm("post_feedforward_layernorm", width)),
        }
    }

    /// Its products: those of attention, then the layer's after it (of experts: router, each expert, the shared one, its gate).
    pub fn products(&self) -> Vec<&ProductNames> {
        let mut all = vec![&self.qkv, &self.output];
        match &self.ff {
            FeedNames::Dense(names) => all.extend(names.products()),
            FeedNames::Experts(names) => {
                all.push(&names.router);
                all.extend(names.experts.iter().flat_map(FeedForwardNames::products));
                if let Some((shared, gate)) = &names.shared {
                    all.extend(shared.products());
                    all.push(gate);
                }
            }
        }
        all
    }

    fn into_all(self, experts: bool) -> Vec<Needed> {
        let mut all = vec![self.attention_norm];
        all.extend(self.qkv.into_all());
        all.extend(self.output.into_all());
        all.extend(self.query_norm);
        all.extend(self.key_norm);
        all.extend(self.attention_post);
        all.push(self.ff_norm);
        self.ff.add_to(&mut all, experts);
        all.extend(self.ff_post);
        all
    }
}

fn qkv(config: &Config, layer: usize) -> ProductNames {
    let of = |part: &str| format!("model.layers.{layer}.self_attn.{part}");
    let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let bias = config.attention_bias != Bias::None;
    if config.family == Family::Phi3 {
        return ProductNames::new([(of("qkv_proj"), queries + 2 * keys)], config.width, bias);
    }
    let parts = [(of("q_proj"), queries), (of("k_proj"), keys), (of("v_proj"), keys)];
    ProductNames::new(parts, config.width, bias)
}

impl FeedNames {
    fn new(config: &Config, layer: usize) -> Self {
        let prefix = format!("model.layers.{layer}");
        let Some(experts) = config.experts_of(layer) else {
            return Self::Dense(FeedForwardNames::new(config, &format!("{prefix}.mlp"), config.ff_width));
        };
        let block = format!("{prefix}.{}", mixture(config));
        let single = |part: &str, output| {
            ProductNames::new([(format!("{block}.{part}"), output)], config.width, false)
        };
        let shared = experts.shared.map(|width| {
            let names = FeedForwardNames::new(config, &format!("{block}.shared_expert"), width);
            (names, single("shared_expert_gate", 1))
        });
        Self::Experts(ExpertsNames {
            router: single("gate", experts.count),
            experts: (0..experts.count).map(|index| FeedForwardNames::expert(config, layer, index)).collect(),
            shared,
        })
    }

    fn add_to(self, all: &mut Vec<Needed>, experts: bool) {
        match self {
            Self::Dense(names) => names.add_to(all),
            Self::Experts(names) => {
                all.extend(names.router.into_all());
                names.experts.into_iter().filter(|_| experts).for_each(|expert| expert.add_to(all));
                if let Some((shared, gate)) = names.shared {
                    shared.add_to(all);
                    all.extend(gate.into_all());
                }
            }
        }
    }
}

/// What a layer calls its mixture.
fn mixture(config: &Config) -> &'static str {
    if config.family == Family::Mixtral { "block_sparse_moe" } else { "mlp" }
}

/// Gate, up, down.
const PARTS: [&str; 3] = ["gate_proj", "up_proj", "down_proj"];

impl FeedForwardNames {
    fn new(config: &Config, prefix: &str, width: usize) -> Self {
        if config.family == Family::Phi3 {
            let gate_up = [(format!("{prefix}.gate_up_proj"), 2 * width)];
            return Self {
                gate_up: ProductNames::new(gate_up, config.width, false),
                down: ProductNames::new([(format!("{prefix}.down_proj"), config.width)], width, false),
            };
        }
        Self::of(config, prefix, PARTS, width)
    }

    fn expert(config: &Config, layer: usize, index: usize) -> Self {
        let prefix = format!("model.layers.{layer}.{}.experts.{index}", mixture(config));
        let names = if config.family == Family::Mixtral { ["w1", "w3", "w2"] } else { PARTS };
        Self::of(config, &prefix, names, config.experts.as_ref().map_or(0, |experts| experts.width))
    }

    fn of(config: &Config, prefix: &str, [gate, up, down]: [&str; 3], width: usize) -> Self {
        let gate_up = [(format!("{prefix}.{gate}"), width), (format!("{prefix}.{up}"), width)];
        let down = [(format!("{prefix}.{down}"), config.width)];
        Self {
            gate_up: ProductNames::new(gate_up, config.width, config.mlp_bias),
            down: ProductNames::new(down, width, config.mlp_bias),
        }
    }

    const fn products(&self) -> [&ProductNames; 2] {
        [&self.gate_up, &self.down]
    }

    fn add_to(self, all: &mut Vec<Needed>) {
        all.extend(self.into_all());
    }

    /// In the order in which they are loaded.
    pub fn into_all(self) -> impl Iterator<Item = Needed> {
        self.gate_up.into_all().chain(self.down.into_all())
    }
}

pub(super) fn embedding(config: &Config) -> Needed {
    Needed { name: "model.embed_tokens.weight".into(), shape: vec![config.vocabulary, config.width] }
}

pub(super) fn norm(config: &Config) -> Needed {
    Needed { name: "model.norm.weight".into(), shape: vec![config.width] }
}

pub(super) fn head(config: &Config) -> ProductNames {
    if config.tied {
        return ProductNames { weights: vec![embedding(config)], biases: Vec::new() };
    }
    ProductNames::new([("lm_head".into(), config.vocabulary)], config.width, false)
}
