"""Writes test/goldens/chat.json: tokens and assistant masks of conversations as transformers' apply_chat_template gives them.

For developers only; no test runs it. Run it from the repository root with the version below and commit the result:

    .preftune/peers/bin/python scripts/write-chat-goldens.py

The tokenizer is that of src/text/toy-tokenizer.ts, built here anew. `masks` holds conversations with tools, rendered with
templates that mark what the assistant wrote; `continued` holds conversations that end in a turn the assistant has begun;
`tools_example` is the row of examples/tools.ts with a template that writes tools and calls.
"""

import json
import pathlib

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

PINNED = "5.23.0"
OUT = pathlib.Path(__file__).resolve().parent.parent / "test" / "goldens" / "chat.json"

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>"]
MERGES = [("Ġ", "a"), ("l", "l"), ("Ċ", "Ċ")]


def symbols():
    """GPT-2's visible stand-ins for the bytes, in the order of the bytes."""
    found, following = [], 256
    for byte in range(256):
        if 32 < byte < 127 or (byte > 160 and byte != 173):
            found.append(chr(byte))
        else:
            found.append(chr(following))
            following += 1
    return found


def toy_tokenizer(template):
    pieces = CONTROL + symbols() + ["".join(pair) for pair in MERGES]
    model = models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=MERGES)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=template
    )


# The assistant's part is between the marks; {G} and {E} are taken out for the templates without them.
TEMPLATES = {
    "inline": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
        "{% if m.role == 'assistant' %}{G}{{ m.content }}"
        "{% if m.tool_calls %}{{ '<call>' + (m.tool_calls | tojson) + '</call>' }}{% endif %}{{ '<|im_end|>' }}{E}{{ '\\n' }}"
        "{% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    # One block for all results that follow each other, thinking only after the last question: as Qwen3's does it.
    "grouped": (
        "{%- set ns = namespace(last=0) %}\n"
        "{%- for m in messages %}\n"
        "    {%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}\n"
        "{%- endfor %}\n"
        "{%- for m in messages %}\n"
        "    {%- if m.role == 'assistant' %}\n"
        "        {{- '<|im_start|>assistant\\n' }}\n"
        "        {%- GENERATION %}\n"
        "        {%- if m.reasoning_content and loop.index0 > ns.last %}\n"
        "            {{- '<think>\\n' + m.reasoning_content + '\\n</think>\\n\\n' }}\n"
        "        {%- endif %}\n"
        "        {{- m.content }}\n"
        "        {%- for call in m.tool_calls or [] %}\n"
        "            {{- '\\n<tool_call>' + call.function.name + ' ' + (call.function.arguments | tojson) + '</tool_call>' }}\n"
        "        {%- endfor %}\n"
        "        {{- '<|im_end|>' }}\n"
        "        {%- ENDGENERATION %}\n"
        "        {{- '\\n' }}\n"
        "    {%- elif m.role == 'tool' %}\n"
        "        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}\n"
        "            {{- '<|im_start|>user' }}\n"
        "        {%- endif %}\n"
        "        {{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}\n"
        "        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}\n"
        "            {{- '<|im_end|>\\n' }}\n"
        "        {%- endif %}\n"
        "    {%- else %}\n"
        "        {{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n"
        "    {%- endif %}\n"
        "{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n"
        "    {{- '<|im_start|>assistant\\n' }}\n"
        "{%- endif %}\n"
    ),
}


def with_marks(template):
    for mark, word in (("{G}", "{% generation %}"), ("{E}", "{% endgeneration %}")):
        template = template.replace(mark, word)
    return template.replace("ENDGENERATION", "endgeneration").replace("GENERATION", "generation")


def without_marks(template):
    for mark in ("{G}", "{E}", "        {%- GENERATION %}\n", "        {%- ENDGENERATION %}\n"):
        template = template.replace(mark, "")
    return template


def call(name, **arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


USER = {"role": "user", "content": "How warm is it all around?"}
CONVERSATIONS = {
    "one round": (1, [
        USER,
        {"role": "assistant", "content": "I look.", "tool_calls": [call("look", at="north")]},
        {"role": "tool", "content": "20\n\n"},
        {"role": "assistant", "content": "It is all 20."},
    ]),
    "several rounds": (1, [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call("look", at="north")]},
        {"role": "tool", "content": "20"},
        {"role": "assistant", "content": "And now south.", "tool_calls": [call("look", at="south")]},
        {"role": "tool", "content": "25"},
        {"role": "assistant", "content": "20 and 25."},
    ]),
    "parallel results": (1, [
        USER,
        {"role": "assistant", "content": "Both.", "tool_calls": [call("look", at="north"), call("look", at="south")]},
        {"role": "tool", "content": "20"},
        {"role": "tool", "content": "25"},
        {"role": "assistant", "content": "20 and 25."},
    ]),
    "no tool": (1, [USER, {"role": "assistant", "content": "All is warm."}]),
    "thinking": (1, [
        USER,
        {"role": "assistant", "content": "I look.", "reasoning_content": "where?", "tool_calls": [call("look", at="north")]},
        {"role": "tool", "content": "20"},
        {"role": "assistant", "content": "It is 20.", "reasoning_content": "so"},
    ]),
    "tools in the prompt": (5, [
        USER,
        {"role": "assistant", "content": "I look.", "tool_calls": [call("look", at="north")]},
        {"role": "tool", "content": "20"},
        {"role": "assistant", "content": "It is 20."},
        {"role": "user", "content": "And south?"},
        {"role": "assistant", "content": "I look again.", "tool_calls": [call("look", at="south")]},
        {"role": "tool", "content": "25"},
        {"role": "assistant", "content": "25."},
    ]),
}
# The first template does not write thinking.
SKIPPED = {("inline", "thinking")}

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TRIMMED = CHATML.replace("message['content'] +", "message['content'] | trim +")
CONTINUED = [
    ("as it stands", CHATML, "It is", " all 20."),
    ("a space at the end", CHATML, "It is ", "all 20."),
    ("a newline at the end", CHATML, "It is\n", "\n20."),
    ("nothing yet", CHATML, "", "It is 20."),
    ("trimmed", TRIMMED, "It is", " all 20."),
    ("trimmed, a space at the end", TRIMMED, "It is ", "20."),
]


def masks():
    for name, template in TEMPLATES.items():
        tokenizer = toy_tokenizer(with_marks(template))
        for title, (prompt, messages) in CONVERSATIONS.items():
            if (name, title) in SKIPPED:
                continue
            out = tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
            )
            plain = toy_tokenizer(without_marks(template))
            assert plain.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"] == out["input_ids"]
            asked = tokenizer.apply_chat_template(
                messages[:prompt], tokenize=True, return_dict=True, add_generation_prompt=True
            )["input_ids"]
            yield {
                "template": name,
                "conversation": title,
                "messages": messages,
                "prompt_messages": prompt,
                "prompt_ids": asked,
                "ids": out["input_ids"],
                "mask": out["assistant_masks"],
            }


def continued():
    for title, template, begun, answer in CONTINUED:
        tokenizer = toy_tokenizer(template)
        messages = [USER, {"role": "assistant", "content": begun}]
        whole = [USER, {"role": "assistant", "content": begun + answer}]
        asked = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, add_generation_prompt=False, continue_final_message=True
        )
        yield {
            "title": title,
            "template": template,
            "messages": messages,
            "answer": answer,
            "prompt_ids": asked["input_ids"],
            "ids": tokenizer.apply_chat_template(whole, tokenize=True, return_dict=True)["input_ids"],
        }


# Tools as JSON in a system message, calls as JSON in marks: the way of Hermes and Qwen.
TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\\nTools:\\n' }}{% for t in tools %}{{ (t | tojson) + '\\n' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
    "{% for c in m.tool_calls or [] %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tools_example():
    """The row of examples/tools.ts. A test compares it with what the example writes."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    weather = {"name": "weather", "description": "The weather of a city.", "parameters": parameters}
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    row = {
        "tools": [{"type": "function", "function": weather}],
        "prompt": [{"role": "user", "content": "How warm is it in Oslo?"}],
        "chosen": [
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "4 degrees"},
            {"role": "assistant", "content": "It is 4 degrees."},
        ],
        "rejected": [{"role": "assistant", "content": "It is warm."}],
    }
    tokenizer = toy_tokenizer(TOOLS)

    def text(messages, **more):
        return tokenizer.apply_chat_template(messages, tools=row["tools"], tokenize=False, **more)

    return {
        "row": row,
        "template": TOOLS,
        "prompt": text(row["prompt"], add_generation_prompt=True),
        "chosen": text(row["prompt"] + row["chosen"]),
        "rejected": text(row["prompt"] + row["rejected"]),
    }


assert transformers.__version__ == PINNED, transformers.__version__
GOLDENS = {
    "versions": {"transformers": transformers.__version__},
    "script": "scripts/write-chat-goldens.py",
    "templates": {
        name: {"marked": with_marks(template), "plain": without_marks(template)} for name, template in TEMPLATES.items()
    },
    "masks": list(masks()),
    "continued": list(continued()),
    "tools_example": tools_example(),
}
OUT.write_text(json.dumps(GOLDENS, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
print(f"{OUT}: {len(GOLDENS['masks'])} masks, {len(GOLDENS['continued'])} begun turns")
