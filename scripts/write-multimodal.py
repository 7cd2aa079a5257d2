"""Writes test/goldens/multimodal.json: tiny multimodal models around texts of test/fixtures, as transformers lays them out.

    .preftune/peers/bin/python scripts/write-multimodal.py

Of each class: config.json without its text part, and the names and shapes of the tensors beside the text model's, from a directory that
save_pretrained wrote; and under which name it stored the text model's norm and head.
"""

import json
import pathlib
import tempfile

import torch
import transformers
from safetensors import safe_open

PINNED = "5.23.0"
assert transformers.__version__ == PINNED, transformers.__version__
root = pathlib.Path(__file__).parent.parent / "test"

pixtral = {
    "model_type": "pixtral",
    **dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, head_dim=8),
    **dict(patch_size=4, image_size=16),
}
siglip = {
    "model_type": "siglip_vision_model",
    **dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, patch_size=4, image_size=16),
    "vision_use_head": False,
}
gemma4_vision = {
    "model_type": "gemma4_vision",
    **dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2),
    **dict(head_dim=8, patch_size=4, position_embedding_size=32),
}
qwen_vision = {
    "model_type": "qwen2_5_vl",
    **dict(hidden_size=16, intermediate_size=24, depth=1, num_heads=2, patch_size=4),
    **dict(fullatt_block_indexes=[0], window_size=16),
}

models = {
    "gemma3": ("gemma3_text", "Gemma3", {"vision_config": siglip, "mm_tokens_per_image": 4, "image_token_index": 511}),
    "gemma4": ("gemma4_dense", "Gemma4", {"vision_config": gemma4_vision, "image_token_id": 511}),
    "mistral3": ("mistral", "Mistral3", {"vision_config": pixtral, "image_token_index": 511}),
    "qwen2_5_vl": ("qwen2_untied", "Qwen2_5_VL", {"vision_config": qwen_vision, "image_token_id": 511}),
}


def written(fixture, prefix, whole):
    text = json.loads((root / "fixtures" / fixture / "model/config.json").read_text())
    text.pop("architectures", None)
    if prefix == "Qwen2_5_VL":
        text["model_type"] = "qwen2_5_vl_text"
        whole["vision_config"]["out_hidden_size"] = text["hidden_size"]
    config = getattr(transformers, f"{prefix}Config")(text_config=text, **whole)
    torch.manual_seed(0)
    model = getattr(transformers, f"{prefix}ForConditionalGeneration")(config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved = json.loads((pathlib.Path(folder) / "config.json").read_text())
        with safe_open(f"{folder}/model.safetensors", "pt") as file:
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}
    layers = [name for name in shapes if ".layers." in name and "vision" not in name and "visual" not in name]
    before = layers[0][: layers[0].index("layers.")]
    head = next((name for name in shapes if name.endswith("lm_head.weight")), None)
    others = {name: shape for name, shape in shapes.items() if not name.startswith(before) and name != head}
    saved.pop("text_config", None)
    for key in ("transformers_version", "dtype"):
        saved.pop(key, None)
    return {"fixture": fixture, "config": json.dumps(saved), "text_prefix": before, "head": head, "tensors": others}


answer = {name: written(*parts) for name, parts in models.items()}
(root / "goldens/multimodal.json").write_text(json.dumps(answer) + "\n")
for name, one in answer.items():
    print(name, one["text_prefix"], one["head"], len(one["tensors"]))
