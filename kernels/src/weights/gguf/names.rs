//! From the tensor names of GGUF to those of the hub.

use crate::limits;
use crate::llm::Family;
use crate::weights::header::Entry;

/// What rotary frequencies are divided by: for all lengths, or for short and for long sequences.
pub(super) const FACTORS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// Query heads and key-value heads.
pub(super) type Heads = (usize, usize);

/// The tensors that one tensor of the file is on the hub: itself under another name, or one per expert. Names that
/// are not known stay as they are.
pub(super) fn translate(family: Family, heads: Heads, own: &str, entry: &Entry) -> Vec<(String, Entry)> {
    let plain = match own {
        "token_embd.weight" => Some("model.embed_tokens.weight"),
        "output_norm.weight" => Some("model.norm.weight"),
        "output.weight" => Some("lm_head.weight"),
        _ => None,
    };
    if let Some(name) = plain {
        return vec![(name.to_owned(), entry.clone())];
    }
    let parts = own.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let parts = parts.and_then(|(layer, rest)| Some((layer, rest.rsplit_once('.')?)));
    let Some((layer, (part, what))) = parts else {
        return vec![(own.to_owned(), entry.clone())];
    };
    let prefix = format!("model.layers.{layer}");
    if let Some(matrix) = stacked(part) {
        return split(entry, |index| format!("{prefix}.{}.{what}", expert_name(family, matrix, index)));
    }
    let mut entry = entry.clone();
    entry.paired_heads = paired_heads(family, heads, part);
    if part == "ffn_gate_inp_shexp" && entry.shape.len() == 1 {
        entry.shape.insert(0, 1);
    }
    match block_part(family, part) {
        Some(name) => vec![(format!("{prefix}.{name}.{what}"), entry)],
        None => vec![(own.to_owned(), entry)],
    }
}

/// The Llama architecture is the one whose query and key rows were put in pairs when it was converted.
fn paired_heads(family: Family, (heads, kv_heads): Heads, part: &str) -> Option<usize> {
    match part {
        _ if !family.pairs_in_gguf() => None,
        "attn_q" => Some(heads),
        "attn_k" => Some(kv_heads),
        _ => None,
    }
}

fn block_part(family: Family, part: &str) -> Option<String> {
    let gemma = matches!(family, Family::Gemma2 | Family::Gemma3);
    Some(match part {
        "attn_norm" => "input_layernorm".into(),
        "attn_q" => "self_attn.q_proj".into(),
        "attn_k" => "self_attn.k_proj".into(),
        "attn_v" => "self_attn.v_proj".into(),
        "attn_qkv" => "self_attn.qkv_proj".into(),
        "attn_output" => "self_attn.o_proj".into(),
        "attn_q_norm" => "self_attn.q_norm".into(),
        "attn_k_norm" => "self_attn.k_norm".into(),
        "post_attention_norm" => "post_attention_layernorm".into(),
        "ffn_norm" if gemma => "pre_feedforward_layernorm".into(),
        "ffn_norm" => "post_attention_layernorm".into(),
        "post_ffw_norm" => "post_feedforward_layernorm".into(),
        "ffn_gate" => "mlp.gate_proj".into(),
        "ffn_up" if family == Family::Phi3 => "mlp.gate_up_proj".into(),
        "ffn_up" => "mlp.up_proj".into(),
        "ffn_down" => "mlp.down_proj".into(),
        "ffn_gate_inp" if family == Family::Mixtral => "block_sparse_moe.gate".into(),
        "ffn_gate_inp" => "mlp.gate".into(),
        "ffn_gate_shexp" => "mlp.shared_expert.gate_proj".into(),
        "ffn_up_shexp" => "mlp.shared_expert.up_proj".into(),
        "ffn_down_shexp" => "mlp.shared_expert.down_proj".into(),
        "ffn_gate_inp_shexp" => "mlp.shared_expert_gate".into(),
        other => return older_expert(family, other),
    })
}

/// Older files hold every expert by itself: `ffn_gate.3`.
fn older_expert(family: Family, part: &str) -> Option<String> {
    let (matrix, index) = part.split_once('.')?;
    let matrix = [("ffn_gate", Matrix::Gate), ("ffn_up", Matrix::Up), ("ffn_down", Matrix::Down)]
        .into_iter()
        .find_map(|(name, which)| (name == matrix).then_some(which))?;
    Some(expert_name(family, matrix, index.parse().ok()?))
}

#[derive(Clone, Copy)]
enum Matrix {
    Gate,
    Up,
    Down,
}

/// Which matrix of all experts a tensor is, one expert after the other.
fn stacked(part: &str) -> Option<Matrix> {
    match part {
        "ffn_gate_exps" => Some(Matrix::Gate),
        "ffn_up_exps" => Some(Matrix::Up),
        "ffn_down_exps" => Some(Matrix::Down),
        _ => None,
    }
}

fn expert_name(family: Family, matrix: Matrix, index: usize) -> String {
    match (family, matrix) {
        (Family::Mixtral, Matrix::Gate) => format!("block_sparse_moe.experts.{index}.w1"),
        (Family::Mixtral, Matrix::Up) => format!("block_sparse_moe.experts.{index}.w3"),
        (Family::Mixtral, Matrix::Down) => format!("block_sparse_moe.experts.{index}.w2"),
        (_, Matrix::Gate) => format!("mlp.experts.{index}.gate_proj"),
        (_, Matrix::Up) => format!("mlp.experts.{index}.up_proj"),
        (_, Matrix::Down) => format!("mlp.experts.{index}.down_proj"),
    }
}

/// One entry per expert. A hostile shape without rows lists as many experts as it likes: no more than a model has.
fn split(entry: &Entry, name: impl Fn(usize) -> String) -> Vec<(String, Entry)> {
    let [experts, rows, cols] = entry.shape[..] else { return Vec::new() };
    if experts > limits::EXPERTS as u64 {
        return Vec::new();
    }
    let bytes = (entry.range.end - entry.range.start) / experts.max(1);
    let one = |index: u64| {
        let start = entry.range.start + index * bytes;
        Entry { shape: vec![rows, cols], range: start..start + bytes, ..entry.clone() }
    };
    (0..experts).map(|index| (name(index as usize), one(index))).collect()
}
