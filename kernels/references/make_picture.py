"""Makes kernels/tests/data/picture: tiny random parts of picture models, and what the reference implementation answers.

    python -m venv venv && venv/bin/pip install torch==2.15.0 diffusers==0.42.1 transformers==5.23.0
    venv/bin/python kernels/references/make_picture.py kernels/tests/data/picture

Run by hand, not by CI; the seed is fixed, and the files are small enough to be kept. Every folder holds `config.json`, the
weights in f16 (the reference computed in f32 with exactly these numbers; one model is sharded) and `ref.safetensors`.
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderDC, AutoencoderKL, PRXTransformer2DModel
from safetensors.torch import save_file

DC = dict(
    latent_channels=4,
    attention_head_dim=8,
    encoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
    decoder_block_types=("ResBlock", "ResBlock", "EfficientViTBlock"),
    encoder_block_out_channels=(8, 16, 16),
    decoder_block_out_channels=(8, 16, 16),
    encoder_layers_per_block=(1, 1, 1),
    decoder_layers_per_block=(1, 1, 1),
    encoder_qkv_multiscales=((), (), (5,)),
    decoder_qkv_multiscales=((), (), (5,)),
    scaling_factor=0.41407,
)
KL = dict(
    block_out_channels=(8, 16),
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    norm_num_groups=4,
    latent_channels=4,
)
MODELS = {
    # The pixel form: a bottleneck on the way in, and height and width as a condition.
    "prx-pixel": (
        PRXTransformer2DModel,
        dict(
            in_channels=3,
            patch_size=4,
            context_in_dim=24,
            hidden_size=32,
            num_heads=2,
            depth=2,
            axes_dim=[8, 8],
            bottleneck_size=16,
            resolution_embeds=True,
        ),
    ),
    "dc-shuffle": (AutoencoderDC, DC),
    # As published for Sana: other steps between levels, activations as a list; pixels move at the very ends too.
    "dc-interpolate": (
        AutoencoderDC,
        dict(
            DC,
            upsample_block_type="interpolate",
            downsample_block_type="conv",
            encoder_layers_per_block=(0, 1, 1),
            decoder_layers_per_block=(0, 1, 1),
            decoder_norm_types=("rms_norm",) * 3,
            decoder_act_fns=("relu", "silu", "silu"),
            decoder_conv_act_fn="relu",
        ),
    ),
    # As Stable Diffusion's: products around the latent, no shift, more blocks.
    "kl-quant": (AutoencoderKL, dict(KL, use_quant_conv=True, use_post_quant_conv=True, layers_per_block=2)),
    "kl-no-attention": (
        AutoencoderKL,
        dict(KL, use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False),
    ),
}


def fill(model, generator):
    """Weights large enough that every part of the model matters, rounded to f16."""
    for name, tensor in model.state_dict().items():
        random = torch.randn(tensor.shape, generator=generator)
        if tensor.dim() > 1:
            random *= tensor[0].numel() ** -0.5
        elif name.endswith("bias"):
            random *= 0.1
        else:
            random = 1 + 0.2 * random
        tensor.copy_(random.half().float())


def reference(model, generator):
    def random(*shape):
        return torch.randn(shape, generator=generator)

    if isinstance(model, PRXTransformer2DModel):
        mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
        inputs = dict(x=random(2, 3, 16, 24), t=torch.tensor([0.9, 0.3]), txt=random(2, 6, 24), mask=mask)
        y = model(inputs["x"], inputs["t"], inputs["txt"], attention_mask=mask.bool()).sample
        return dict(inputs, y=y)
    x = random(1, 3, 16, 24)
    encoded = model.encode(x)
    encoded = encoded.latent if isinstance(model, AutoencoderDC) else encoded.latent_dist.mean
    z = random(*encoded.shape)
    return dict(x=x, encoded_mean=encoded, z=z, decoded=model.decode(z).sample)


def main(out):
    for number, (name, (kind, config)) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(number)
        model = kind(**config).eval()
        with torch.no_grad():
            fill(model, generator)
            tensors = reference(model, generator)
        folder = out / name
        model.half().save_pretrained(folder, max_shard_size="64KB" if name == "prx-pixel" else "10GB")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "ref.safetensors")
        print(name, {name: list(tensor.shape) for name, tensor in tensors.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
