"""Golden blocks for tests/ops_quant.rs, from the ggml project's own Python package.

    pip install gguf numpy
    python ops_quant.py > ops_quant.txt

Each line: "decode" or "encode", a format, the block's bytes in hex, its weights as the bits of f32 in hex.
"decode" blocks are random bits with scales that are ordinary numbers; "encode" weights are normal, the first with a
block of zeros and a block with one outlier.
"""

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import GGML_QUANT_SIZES, dequantize, quantize

rng = np.random.default_rng(4)
# Where the half-float scales are in a block.
SCALES = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}


def show(kind, name, blocks, weights):
    bits = np.ascontiguousarray(weights, dtype="<f4").tobytes().hex()
    print(kind, name, np.ascontiguousarray(blocks).tobytes().hex(), bits)


def random_block(name):
    block = rng.integers(0, 256, GGML_QUANT_SIZES[Type[name]][1], dtype=np.uint8)
    for at in SCALES[name]:
        block[at:at + 2] = np.frombuffer(np.float16(rng.normal() / 8).tobytes(), dtype=np.uint8)
    return block


for name in SCALES:
    for _ in range(1 if name.endswith("_K") else 2):
        block = random_block(name)
        show("decode", name, block, dequantize(block.reshape(1, -1), Type[name]))
bf16 = rng.normal(size=4).astype("<f4").view("<u4") >> 16
show("decode", "BF16", bf16.astype("<u2").view(np.uint8), (bf16 << 16).astype("<u4").view("<f4"))

for name in ["Q8_0", "Q4_0", "F16", "BF16"]:
    weights = rng.normal(size=(3, 32)).astype("<f4")
    weights[1] = 0
    weights[2, 7] = -23.5
    show("encode", name, quantize(weights, Type[name]), weights)
