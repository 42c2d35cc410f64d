"""Makes kernels/tests/data/adapters: tiny LoRA adapters, and what PEFT answers with them.

    python -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 gguf==0.19.0
    venv/bin/python kernels/references/make_adapters.py kernels/tests/data [../shared/data/stories260K/hf]

Run by hand after make.py, not by CI; the seed is fixed. `adapters/llama` is a model of its own, whose matrices are all
whole blocks of Q8_0; `adapters/qwen2` belongs to the model in `qwen2`, `adapters/stories260K` to the story model, if
its folder is given. Each holds

    NAME/              adapters as PEFT saves them
    ref.safetensors    input_ids [2, T], and logits [2, T, vocabulary] in f32: `base`, and one for each answer below;
                       `merged.X` is the answer X after merge_and_unload, `q8_0.X` with matrices rounded to Q8_0
"""

import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors.torch import save_file

transformers.utils.logging.disable_progress_bar()

TOKENS = 24
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

LLAMA = dict(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)

# Folder: adapters (name: settings of LoRA, how its numbers are saved), and answers (name: adapters and their weights).
FOLDERS = {
    "llama": (
        {
            "plain": (dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]), torch.float32),
            "patterns": (
                dict(
                    r=8,
                    lora_alpha=6.5,
                    use_rslora=True,
                    target_modules=r"lm_head|model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj",
                    rank_pattern={"layers.0.mlp.down_proj": 3, r"layers\.[12]\.self_attn.k_proj": 16, "self_attn.k_proj": 2},
                    alpha_pattern={"o_proj": 5, r"model.layers.1.mlp\..*": 12},
                ),
                torch.float16,
            ),
            "one-layer": (
                dict(r=1, lora_alpha=2, target_modules=["down_proj", "o_proj"], layers_to_transform=[1]),
                torch.bfloat16,
            ),
        },
        {
            "plain": dict(plain=1.0),
            "patterns": dict(patterns=1.0),
            "one-layer": {"one-layer": 1.0},
            "half": dict(patterns=0.5),
            "both": dict(plain=0.75, patterns=-0.5),
            "three": {"plain": 0.25, "one-layer": 2.0, "patterns": 1.0},
        },
    ),
    "qwen2": ({"all": (dict(r=5, lora_alpha=10, target_modules=ALL), torch.bfloat16)}, {"all": dict(all=1.0)}),
    "stories260K": ({"all": (dict(r=8, lora_alpha=8, target_modules=ALL), torch.float32)}, {"all": dict(all=1.0)}),
}


def fill(model, generator):
    """Weights large enough that every part of the model matters, rounded to f16."""
    for name, tensor in model.named_parameters():
        random = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() == 1:
            value = 1.0 + 0.3 * random
        elif "embed" in name:
            value = random
        else:
            value = 1.3 * random / tensor.shape[-1] ** 0.5
        tensor.data.copy_(value.half().float())


def fill_adapter(model, name, generator, dtype):
    """A and B large enough that the adapter changes what the model says, rounded to how they are saved."""
    for key, tensor in model.named_parameters():
        if f".{name}." in key:
            scale = tensor.shape[1] ** -0.5 if "lora_A" in key else 0.3 * tensor.shape[1] ** -0.5
            value = scale * torch.randn(tensor.shape, generator=generator)
            tensor.data.copy_(value.to(dtype).float())


def to_q8_0(model):
    """The base's matrices as they are once they were rounded to blocks; adapters stay as they are."""
    for name, tensor in model.named_parameters():
        if tensor.dim() == 2 and "lora_" not in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            blocks = gguf.quants.quantize(tensor.data.numpy(), kind)
            tensor.data.copy_(torch.from_numpy(np.array(gguf.quants.dequantize(blocks, kind))))


def open_base(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def answer(base, adapters, weights, ids, merged=False, rounded=False):
    """Logits of the model in the folder `base` with the adapters in `adapters`, each with its weight."""
    model = open_base(base)
    for name in weights:
        if isinstance(model, peft.PeftModel):
            model.load_adapter(adapters / name, adapter_name=name)
        else:
            model = peft.PeftModel.from_pretrained(model, adapters / name, adapter_name=name)
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            for name in set(weights) & set(module.scaling):
                module.scaling[name] *= weights[name]
    model.base_model.set_adapter(list(weights), inference_mode=True)
    model = model.eval()
    if rounded:
        # Not before: an adapter of the head brings a copy of the head along.
        to_q8_0(model)
    if merged:
        model = model.merge_and_unload()
    with torch.no_grad():
        return model(ids, use_cache=False).logits.contiguous()


def make(folder, base, index, target):
    generator = torch.Generator().manual_seed(2000 + index)
    adapters, answers = FOLDERS[folder]
    out = target / "adapters" / folder
    out.mkdir(parents=True, exist_ok=True)
    if folder == "llama":
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA))
        fill(model, generator)
        base = out / "base"
        model.half().save_pretrained(base)
        (base / "generation_config.json").unlink(missing_ok=True)
    for name, (settings, dtype) in adapters.items():
        model = peft.get_peft_model(open_base(base), peft.LoraConfig(**settings), adapter_name=name)
        fill_adapter(model, name, generator, dtype)
        shutil.rmtree(out / name, ignore_errors=True)
        model.to(dtype).save_pretrained(out)
        (out / "README.md").unlink(missing_ok=True)
        (out / name / "README.md").unlink(missing_ok=True)
        # The folder that it was made in says nothing to anybody else.
        path = out / name / "adapter_config.json"
        config = json.loads(path.read_text())
        config["base_model_name_or_path"] = f"manyhands/{folder}"
        # A set, which comes in another order every time.
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()
        path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    vocabulary = open_base(base).config.vocab_size
    ids = torch.randint(3, vocabulary, (2, TOKENS), generator=generator)
    with torch.no_grad():
        reference = {"input_ids": ids, "base": open_base(base)(ids, use_cache=False).logits.contiguous()}
    for name, weights in answers.items():
        reference[name] = answer(base, out, weights, ids)
        reference[f"merged.{name}"] = answer(base, out, weights, ids, merged=True)
        moved = (reference[name] - reference["base"]).std() / reference["base"].std()
        merged = (reference[name] - reference[f"merged.{name}"]).abs().max()
        print(f"{folder}/{name}: moves logits by {moved:.2f} of their spread; merged differs by {merged:.1e}")
    if folder == "llama":
        reference["q8_0.both"] = answer(base, out, answers["both"], ids, rounded=True)
    if folder == "stories260K":
        reference = {key: value for key, value in reference.items() if not key.startswith("merged")}
    save_file(reference, out / "ref.safetensors")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    make("llama", None, 0, target)
    make("qwen2", target / "qwen2", 1, target)
    if len(sys.argv) > 2:
        make("stories260K", Path(sys.argv[2]), 2, target)
