"""Writes test/goldens/jinja.json: what transformers writes for the templates and conversations of jinja-cases.json.

For developers only; no test runs it. Run it from the repository root with the versions below and commit the result:

    .preftune/peers/bin/python scripts/write-jinja-goldens.py [FOLDER]

FOLDER holds `tokenizers/qwen3` and `tokenizers/smollm2`; without it their texts are kept as they are. A text is null
where transformers raises an error.
"""

import json
import pathlib
import sys

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

PINNED = {"transformers": "5.23.0", "jinja2": "3.1.6"}
GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens"
REAL = ["tokenizers/qwen3", "tokenizers/smollm2"]
# What a template is asked for: with a generation prompt or without, thinking switched on, off or not spoken of.
WAYS = [
    {"add_generation_prompt": False},
    {"add_generation_prompt": True},
    {"add_generation_prompt": True, "enable_thinking": False},
]


def text_or_null(render):
    try:
        return render()
    except Exception:
        return None


def write(template, variables):
    return text_or_null(lambda: _compile_jinja_template(template).render(**variables))


def chat(template, cases):
    """Texts by conversation: one for each way, without tools and with them."""

    def render(messages, tools, way):
        texts, _ = render_jinja_template([messages], tools=tools, chat_template=template, bos_token="<s>", **way)
        return texts[0]

    return {
        name: [
            text_or_null(lambda: render(messages, tools, way)) for tools in (None, cases["tools"]) for way in WAYS
        ]
        for name, messages in cases["conversations"].items()
    }


def real_template(folder):
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_bytes().decode()
    return json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]


def main():
    found = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    if found != PINNED:
        raise SystemExit(f"expected {PINNED}, found {found}")
    cases = json.loads((GOLDENS / "jinja-cases.json").read_text())
    out = GOLDENS / "jinja.json"
    kept = json.loads(out.read_text())["real"] if out.exists() else {}
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    variables = cases["variables"]
    result = {
        "written_by": "scripts/write-jinja-goldens.py",
        "versions": {**PINNED, "python": sys.version.split()[0]},
        "expressions": [write("{{ " + text + " }}", variables) for text in cases["expressions"]],
        "templates": [write(text, variables) for text in cases["templates"]],
        "whitespace": [write(text, {"b": True, "i": 3, "nums": [1, 2]}) for text in cases["whitespace"]],
        "chat": {name: chat(template, cases) for name, template in cases["chat_templates"].items()},
        "ways": WAYS,
        "real": kept if folder is None else {name: chat(real_template(folder / name), cases) for name in REAL},
    }
    out.write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
