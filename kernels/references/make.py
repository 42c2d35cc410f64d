"""Makes kernels/tests/data: tiny random models of every family, and what the reference implementation answers.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 gguf==0.19.0
    venv/bin/python kernels/references/make.py kernels/tests/data

Run by hand, not by CI; the seed is fixed, and the files are small enough to be kept. Every folder holds

    config.json        as transformers 5 writes it
    config.v4.json     the same in the style of most published checkpoints
    model.safetensors  f16; the reference computed in f32 with exactly these numbers
    ref.safetensors    input_ids [2, T], logits [2, T, vocabulary] of one pass, step_logits through its cache
    model.gguf         for the families whose tensors GGUF arranges in another way
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

VOCABULARY = 64
TOKENS = 24

BASE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
HEAD = dict(head_dim=16)
LONG = dict(
    rope_type="longrope",
    rope_theta=10000.0,
    short_factor=[1.0, 1.1, 1.2, 1.3],
    long_factor=[1.0, 2.0, 4.0, 8.0],
)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=500.0, **more))


# Folder: class of configuration, what differs from BASE, what GGUF calls the architecture.
MODELS = {
    "llama-bias": ("Llama", dict(attention_bias=True, mlp_bias=True, head_dim=16), None),
    "llama3-scaling": (
        "Llama",
        rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32),
        None,
    ),
    "llama-linear": ("Llama", rope("linear", factor=4.0), None),
    "llama-dynamic": ("Llama", dict(max_position_embeddings=16, **rope("dynamic", factor=4.0)), None),
    "llama-yarn": ("Llama", dict(HEAD, **rope("yarn", factor=4.0, original_max_position_embeddings=16)), None),
    "mistral": ("Mistral", dict(sliding_window=6), None),
    "mixtral": ("Mixtral", dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None), "llama"),
    "qwen2-window": (
        "Qwen2",
        dict(use_sliding_window=True, sliding_window=5, max_window_layers=1, num_hidden_layers=3),
        None,
    ),
    "qwen2": ("Qwen2", dict(tie_word_embeddings=True), "qwen2"),
    "qwen2-moe": (
        "Qwen2Moe",
        dict(
            num_experts=5,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
            shared_expert_intermediate_size=40,
            norm_topk_prob=False,
        ),
        "qwen2moe",
    ),
    "qwen3-moe": (
        "Qwen3Moe",
        dict(
            HEAD, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True, mlp_only_layers=[0]
        ),
        None,
    ),
    "qwen3-moe-all": (
        "Qwen3Moe",
        dict(HEAD, num_experts=5, num_experts_per_tok=3, moe_intermediate_size=24, norm_topk_prob=True),
        "qwen3moe",
    ),
    "gemma2": ("Gemma2", dict(HEAD, sliding_window=6, query_pre_attn_scalar=16), "gemma2"),
    "gemma3": (
        "Gemma3Text",
        dict(
            HEAD,
            sliding_window=6,
            query_pre_attn_scalar=16,
            num_hidden_layers=7,
            intermediate_size=24,
            rope_parameters=dict(
                full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
                sliding_attention=dict(rope_type="default", rope_theta=10000.0),
            ),
        ),
        "gemma3",
    ),
    "phi3": ("Phi3", dict(sliding_window=9), "phi3"),
    "phi3-partial": ("Phi3", dict(HEAD, **rope("default", partial_rotary_factor=0.5)), None),
    # Longer than the original context, and shorter.
    "phi3-long": ("Phi3", dict(original_max_position_embeddings=16, rope_parameters=dict(LONG)), None),
    "phi3-short": ("Phi3", dict(original_max_position_embeddings=32, rope_parameters=dict(LONG)), "phi3"),
}


def fill(model, generator):
    """Weights large enough that every part of the model matters, rounded to f16."""
    for name, tensor in model.named_parameters():
        random = torch.randn(tensor.shape, generator=generator)
        if name.endswith("bias"):
            value = 0.3 * random
        elif tensor.dim() == 1:
            zero_centred = "Gemma" in type(model).__name__
            value = 0.3 * random + (0.0 if zero_centred else 1.0)
        elif "embed" in name:
            value = random
        else:
            value = 1.3 * random / tensor.shape[-1] ** 0.5
        tensor.data.copy_(value.half().float())


def answer(model, ids):
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits
        past, steps = None, []
        for at in range(ids.shape[1]):
            out = model(ids[:, at : at + 1], past_key_values=past, use_cache=True)
            past = out.past_key_values
            steps.append(out.logits)
    return whole.contiguous(), torch.cat(steps, dim=1)


def older(config):
    """The same configuration as transformers 4 wrote it."""
    config = {key: value for key, value in config.items() if key != "transformers_version"}
    config["torch_dtype"] = config.pop("dtype", "float32")
    parameters = config.pop("rope_parameters", {})
    if "full_attention" in parameters:
        config["rope_theta"] = parameters["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = 6
        config.pop("layer_types", None)
        parameters = parameters["full_attention"]
    config.setdefault("rope_theta", parameters.get("rope_theta", 10000.0))
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        config["partial_rotary_factor"] = parameters["partial_rotary_factor"]
    scaling = {k: v for k, v in parameters.items() if k not in ("rope_theta", "partial_rotary_factor")}
    config["rope_scaling"] = None
    if scaling.get("rope_type", "default") != "default":
        scaling["type"] = scaling.pop("rope_type")
        if config["model_type"] == "phi3":
            scaling.pop("original_max_position_embeddings", None)
        config["rope_scaling"] = scaling
    return config


def pairs(weights, heads):
    """Query and key rows as GGUF's Llama has them: channels that turn together side by side."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write_gguf(path, arch, config, weights):
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    parameters = config["rope_parameters"]
    scaling = parameters.get("full_attention", parameters)
    writer.add_rope_freq_base(scaling["rope_theta"])
    writer.add_rope_dimension_count(head_dim)
    if scaling.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    if scaling.get("rope_type") == "longrope":
        original = config["original_max_position_embeddings"]
        longer = config["max_position_embeddings"] / original
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors((1 + np.log(longer) / np.log(original)) ** 0.5)
        writer.add_tensor("rope_factors_short.weight", np.array(scaling["short_factor"], dtype=np.float32))
        writer.add_tensor("rope_factors_long.weight", np.array(scaling["long_factor"], dtype=np.float32))
    if config.get("sliding_window") and arch in ("gemma2", "gemma3", "phi3"):
        writer.add_sliding_window(config["sliding_window"])
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    experts = config.get("num_local_experts") or config.get("num_experts")
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if config.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if config.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, array in gguf_tensors(arch, config, weights):
        # As converters do: vectors and routers stay f32.
        small = array.ndim == 1 or "ffn_gate_inp" in name
        writer.add_tensor(name, array.astype(np.float32 if small else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_tensors(arch, config, weights):
    layers = config["num_hidden_layers"]
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(kind, layers)
    stacks = {}
    for name, tensor in weights.items():
        array = tensor.float().numpy()
        if ".experts." in name:
            prefix, rest = name.split(".experts.")
            index, part = rest.split(".", 1)
            stacks.setdefault(f"{prefix}.experts.{part}", {})[int(index)] = array
            continue
        if arch.startswith("gemma") and name.endswith("norm.weight"):
            array = array + 1
        if arch == "llama" and name.endswith(("q_proj.weight", "q_proj.bias")):
            array = pairs(array, config["num_attention_heads"])
        if arch == "llama" and name.endswith(("k_proj.weight", "k_proj.bias")):
            array = pairs(array, config["num_key_value_heads"])
        if "shared_expert_gate" in name:
            array = array.reshape(-1)
        yield names.get_name(name, try_suffixes=(".weight", ".bias")), array
    for name, parts in stacks.items():
        found = names.get_name(name, try_suffixes=(".weight",))
        yield found, np.stack([parts[index] for index in range(len(parts))])


def main(target):
    for index, (folder, (kind, changes, arch)) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(1000 + index)
        config = getattr(transformers, kind + "Config")(**{**BASE, **changes})
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        fill(model, generator)
        model.tie_weights()
        out = target / folder
        out.mkdir(parents=True, exist_ok=True)
        ids = torch.randint(3, VOCABULARY, (2, TOKENS), generator=generator)
        logits, steps = answer(model, ids)
        difference = (logits - steps).abs().max().item()
        print(f"{folder}: logits spread {logits.std():.3f}, one pass against steps {difference:.1e}")
        reference = {"input_ids": ids, "logits": logits}
        # Where the length decides how far positions turn, a cache holds keys that turned otherwise.
        if difference < 1e-3:
            reference["step_logits"] = steps.contiguous()
        save_file(reference, out / "ref.safetensors")
        model.half().save_pretrained(out)
        (out / "generation_config.json").unlink(missing_ok=True)
        written = json.loads((out / "config.json").read_text())
        (out / "config.v4.json").write_text(json.dumps(older(written), indent=1) + "\n")
        if arch:
            weights = load_file(out / "model.safetensors")
            write_gguf(str(out / "model.gguf"), arch, written, weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
