"""A model of the shape of PRX-1024 (Photoroom) with random weights, in diffusers' layout: 1.17 billion parameters in the denoiser,
f16, to see whether a room can hold and run it. Text encoder and autoencoder are as wide as they have to be, and no deeper.

usage: make_large_painter.py OUT_DIR          needs numpy, torch, diffusers, transformers; 2.4 GB of disk
"""
import json, struct, sys
from pathlib import Path
import numpy as np
from diffusers import AutoencoderKL

WIDTH, DEPTH, HEADS, TEXT, PATCH, CHANNELS = 1792, 16, 28, 2304, 2, 16
FF, HEAD = WIDTH * 7 // 2, WIDTH // HEADS
out = Path(sys.argv[1])
rng = np.random.default_rng(1)


def write(path, tensors):
    """A safetensors file, tensor by tensor: name -> (shape, standard deviation, or None for ones)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header, end = {}, 0
    for name, (shape, _) in tensors.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape, spread in tensors.values():
            count = int(np.prod(shape))
            values = np.ones(count, np.float16) if spread is None else (rng.standard_normal(count, np.float32) * spread).astype(np.float16)
            file.write(values.tobytes())


def linear(name, outputs, inputs, bias=False):
    found = {f"{name}.weight": ((outputs, inputs), inputs**-0.5)}
    return found | ({f"{name}.bias": ((outputs,), 0.01)} if bias else {})


denoiser = linear("img_in", WIDTH, CHANNELS * PATCH**2, True) | linear("txt_in", WIDTH, TEXT, True)
denoiser |= linear("time_in.in_layer", WIDTH, 256, True) | linear("time_in.out_layer", WIDTH, WIDTH, True)
for block in range(DEPTH):
    at = f"blocks.{block}"
    denoiser |= linear(f"{at}.attention.img_qkv_proj", 3 * WIDTH, WIDTH) | linear(f"{at}.attention.txt_kv_proj", 2 * WIDTH, WIDTH)
    denoiser |= {f"{at}.attention.{norm}.weight": ((HEAD,), None) for norm in ("norm_q", "norm_k", "norm_added_k")}
    denoiser |= linear(f"{at}.attention.to_out.0", WIDTH, WIDTH) | linear(f"{at}.gate_proj", FF, WIDTH) | linear(f"{at}.up_proj", FF, WIDTH)
    denoiser |= linear(f"{at}.down_proj", WIDTH, FF) | linear(f"{at}.modulation.lin", 6 * WIDTH, WIDTH, True)
denoiser |= linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH, True) | linear("final_layer.linear", CHANNELS * PATCH**2, WIDTH, True)
write(out / "transformer/diffusion_pytorch_model.safetensors", denoiser)
config = {"_class_name": "PRXTransformer2DModel", "in_channels": CHANNELS, "patch_size": PATCH, "context_in_dim": TEXT, "hidden_size": WIDTH,
          "mlp_ratio": 3.5, "num_heads": HEADS, "depth": DEPTH, "axes_dim": [32, 32], "theta": 10000, "time_factor": 1000.0, "time_max_period": 10000}
(out / "transformer/config.json").write_text(json.dumps(config))

WORDS = "<pad> <eos> <bos> <unk> a the red blue green circle square boat on sea".split()
encoder = {"embed_tokens.weight": ((len(WORDS), TEXT), 0.02), "norm.weight": ((TEXT,), 0.01)}
for part, outputs in (("q", 2048), ("k", 1024), ("v", 1024)):
    encoder |= linear(f"layers.0.self_attn.{part}_proj", outputs, TEXT)
encoder |= linear("layers.0.self_attn.o_proj", TEXT, 2048)
for part, (outputs, inputs) in {"gate": (2304, TEXT), "up": (2304, TEXT), "down": (TEXT, 2304)}.items():
    encoder |= linear(f"layers.0.mlp.{part}_proj", outputs, inputs)
for norm in ("pre_self_attn", "post_self_attn", "pre_feedforward", "post_feedforward"):
    encoder[f"layers.0.{norm}_layernorm.weight"] = ((TEXT,), 0.01)
write(out / "text_encoder/model.safetensors", encoder)
(out / "text_encoder/config.json").write_text(json.dumps({
    "model_type": "t5_gemma_module", "vocab_size": len(WORDS), "hidden_size": TEXT, "intermediate_size": 2304, "num_hidden_layers": 1,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "bos_token_id": 2,
    "max_position_embeddings": 256, "rope_theta": 10000.0, "layer_types": ["full_attention"]}))

AutoencoderKL(in_channels=3, out_channels=3, latent_channels=CHANNELS, block_out_channels=(32, 32, 64, 64), layers_per_block=1, norm_num_groups=8,
              down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, scaling_factor=0.3611, shift_factor=0.1159,
              use_quant_conv=False, use_post_quant_conv=False).save_pretrained(out / "vae")
(out / "scheduler").mkdir(exist_ok=True)
(out / "scheduler/scheduler_config.json").write_text(json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}))
(out / "tokenizer").mkdir(exist_ok=True)
special = [{"id": i, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
           for i, word in enumerate(WORDS[:4])]
(out / "tokenizer/tokenizer.json").write_text(json.dumps({
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
    "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(WORDS)}, "unk_token": "<unk>"}}))
(out / "model_index.json").write_text(json.dumps({
    "_class_name": "PRXPipeline", "default_sample_size": 1024, "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "T5GemmaEncoder"], "tokenizer": ["transformers", "GemmaTokenizerFast"],
    "transformer": ["diffusers", "PRXTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}))
