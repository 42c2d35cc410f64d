//! Which tensors belong together, by their names alone: every family calls its layers by numbers.

use super::format::Portion;

/// The portion that a tensor belongs to: by the first part of its name that is a number, which is the layer, and, where
/// `experts` stands before another number, by that expert. Examples: `model.layers.3.mlp.experts.17.up_proj.weight`,
/// `blk.3.attn_q.weight`, `blocks.3.attn.to_out.weight`.
///
/// Numbers that no model has are names of something else, which belongs to no layer.
pub(super) fn portion(tensor: &str) -> Portion {
    let parts: Vec<&str> = tensor.split('.').collect();
    let Some(layer) = parts.iter().find_map(|part| number(part)) else {
        return Portion::Ends;
    };
    let expert = parts.windows(2).find_map(|pair| (pair[0] == "experts").then(|| number(pair[1]))?);
    match expert {
        // `experts` may be the first word with a number after it: then there is no layer to tell apart.
        Some(first) if parts.iter().filter(|part| number(part).is_some()).count() > 1 => {
            Portion::Experts { layer, first, count: 1 }
        }
        _ => Portion::Layer(layer),
    }
}

fn number(part: &str) -> Option<u16> {
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

impl Portion {
    /// The same with experts in groups of `together`.
    pub(super) fn coarser(self, together: u16) -> Self {
        match self {
            Self::Experts { layer, first, .. } => {
                Self::Experts { layer, first: first - first % together, count: together }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_tensors_belong() {
        let experts = |layer, first| Portion::Experts { layer, first, count: 1 };
        let rows = [
            ("model.embed_tokens.weight", Portion::Ends, "no number"),
            ("lm_head.weight", Portion::Ends, "no number"),
            ("model.layers.12.self_attn.q_proj.weight", Portion::Layer(12), "Llama and its kin"),
            ("blk.3.attn_q.weight", Portion::Layer(3), "GGUF"),
            ("h.7.mlp.c_fc.bias", Portion::Layer(7), "GPT-2"),
            ("decoder.up_blocks.2.resnets.1.conv1.weight", Portion::Layer(2), "the first of two numbers"),
            ("model.layers.3.mlp.experts.17.up_proj.weight", experts(3, 17), "Qwen, DeepSeek"),
            ("model.layers.3.block_sparse_moe.experts.5.w1.weight", experts(3, 5), "Mixtral"),
            ("model.layers.3.mlp.experts.gate_up_proj", Portion::Layer(3), "experts in one tensor"),
            ("model.layers.3.mlp.shared_experts.up_proj.weight", Portion::Layer(3), "an expert for all"),
            ("experts.4.weight", Portion::Layer(4), "a number without a layer"),
            ("model.layers.99999.x", Portion::Ends, "no model has so many"),
            ("conv1.weight", Portion::Ends, "a number inside a word"),
            ("", Portion::Ends, "nothing"),
            ("..", Portion::Ends, "nothing, thrice"),
        ];
        for (name, want, why) in rows {
            assert_eq!(portion(name), want, "{name}: {why}");
        }
    }

    #[test]
    fn experts_are_grouped_from_multiples() {
        assert_eq!(
            portion("l.3.experts.17.w").coarser(8),
            Portion::Experts { layer: 3, first: 16, count: 8 }
        );
        assert_eq!(Portion::Layer(3).coarser(8), Portion::Layer(3));
    }
}
