import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { type Running, startProgram } from "../../test/support/command.ts";
import { requireShared, skipWithoutShared } from "../../test/support/shared.ts";
import { DataError } from "../base/errors.ts";
import { isRunning } from "../base/process-state.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { compileTemplate } from "./jinja/compile.ts";
import { knownTemplate, templateHash } from "./known-templates.ts";
import { type Message, parseMessages } from "./messages.ts";
import { createRenderer, type RendererOptions, refuseOwnVariables, TemplateError } from "./template.ts";
import type { FailureKind } from "./template-process.ts";
import { loadTokenizer } from "./tokenizer.ts";

const hello: Message[] = [{ role: "user", content: "hello" }];
const request = { messages: hello, addGenerationPrompt: true };

async function renderOnce(source: string, options: RendererOptions = {}): Promise<string> {
  await using renderer = createRenderer(source, options);
  const [text = ""] = await renderer.render([request]);
  return text;
}

async function failureOf(source: string, options: RendererOptions = {}): Promise<TemplateError> {
  try {
    await renderOnce(source, options);
  } catch (error) {
    if (error instanceof TemplateError) return error;
    throw error;
  }
  throw new Error("expected the template to fail");
}

test("a known template renders in this process", async () => {
  const renderer = createRenderer(chatMl);
  assert.equal(renderer.family, "chatml");
  assert.deepEqual(await renderer.render([request, { messages: hello, addGenerationPrompt: false }]), [
    "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nhello<|im_end|>\n",
  ]);
});

for (const [family, ...path] of [
  ["qwen3", "tokenizers", "qwen3"],
  ["smollm2", "tokenizers", "smollm2"],
  ["chatml", "fixtures", "gemma3_text", "model"],
] as const) {
  test(`the template of ${path.join("/")} is known as ${family}`, {
    skip: skipWithoutShared(...path),
  }, () => {
    const { default: source } = loadTokenizer(requireShared(...path)).chatTemplates;
    assert.equal(knownTemplate(templateHash(source ?? "")), family);
    assert.equal(knownTemplate(templateHash(`${source} `)), null);
  });
}

test("an unknown template renders in a child process, in order", async () => {
  await using renderer = createRenderer("{{ bos_token }}{{ messages[0]['content'] }}|{{ x }}", {
    specialTokens: { bos_token: "<s>" },
  });
  assert.equal(renderer.family, null);
  const requests = Array.from({ length: 200 }, (_, x) => ({ ...request, variables: { x } }));
  assert.deepEqual(
    await renderer.render(requests),
    requests.map((_, x) => `<s>hello|${x}`),
  );
});

test("list content is joined, special tokens and the date are there", async () => {
  const source =
    "{{ messages[0].content }} {{ eos_token }} {{ strftime_now('%d %b %Y') }} {{ unk_token is defined }}";
  await using renderer = createRenderer(source, {
    specialTokens: { eos_token: "</s>" },
    now: new Date(Date.UTC(2024, 0, 2)),
  });
  const content = [
    { type: "text" as const, text: "a" },
    { type: "text" as const, text: "b" },
  ];
  const [text] = await renderer.render([
    { messages: [{ role: "user", content }], addGenerationPrompt: false },
  ]);
  assert.equal(text, "ab </s> 02 Jan 2024 False");
});

test("transformers' conventions: blocks take their line, tojson as in Python", () => {
  const render = compileTemplate(
    "a\n  {% if true %}\nb\n  {% endif %}\n{{ x | tojson }}{{ {'a': [1, none]} | tojson(indent=2) }}",
  );
  assert.equal(
    render({ variables: { x: { é: "<'" } }, now: 0 }),
    'a\nb\n{"é": "<\'"}{\n  "a": [\n    1,\n    null\n  ]\n}',
  );
});

test("null and absent values read the same in this process and in the child's, as in transformers", async () => {
  const source =
    "{{ messages[0].tool_calls }}{{ messages[0].name is defined }}{{ x }}{{ y is defined }}{{ z }}{{ tools is none }}" +
    "{{ messages[0] | tojson }}{{ documents }}";
  const message: Message = {
    role: "assistant",
    content: "a",
    reasoning_content: "r",
    tool_calls: [{ function: { name: "f", arguments: { a: null, b: [null, { c: null }], d: undefined } } }],
  };
  const variables = { x: null, y: undefined, z: { l: [null, 1.5], o: { n: null } } };
  // transformers 5.23.0: render_jinja_template([[message]], tools=None, x=None, z={...}) of the same values
  const expected =
    "[{'function': {'name': 'f', 'arguments': {'a': None, 'b': [None, {'c': None}]}}}]FalseNoneFalse" +
    "{'l': [None, 1.5], 'o': {'n': None}}True" +
    '{"thinking": "r", "role": "assistant", "content": "a", "reasoning_content": "r", "tool_calls": ' +
    '[{"function": {"name": "f", "arguments": {"a": null, "b": [null, {"c": null}]}}}]}None';
  await using renderer = createRenderer(source);
  const [text] = await renderer.render([{ messages: [message], variables, addGenerationPrompt: false }]);
  assert.equal(text, expected);
  const messages = [{ thinking: "r", ...message }];
  const input = { ...variables, messages, tools: null, documents: null };
  assert.equal(compileTemplate(source)({ variables: input, now: 0 }), expected);
});

test("thinking has the names that transformers 5 gives it, whichever the row has", async () => {
  await using renderer = createRenderer("{{ messages[0] | tojson }}");
  const write = async (keys: object): Promise<string[]> => {
    const messages = parseMessages([{ role: "assistant", content: "a", ...keys }], "a.jsonl:1");
    return renderer.render([{ messages, addGenerationPrompt: false }]);
  };
  const a = '"role": "assistant", "content": "a"';
  // transformers 5.23.0: render_jinja_template([[message]]) of the same messages
  assert.deepEqual(await write({ thinking: "r" }), [`{"thinking": "r", ${a}, "reasoning_content": "r"}`]);
  assert.deepEqual(await write({ reasoning: "r" }), [
    `{"thinking": "r", ${a}, "reasoning": "r", "reasoning_content": "r"}`,
  ]);
  assert.deepEqual(await write({ reasoning: "x", thinking: "t" }), [
    `{"thinking": "t", ${a}, "reasoning": "x", "reasoning_content": "t"}`,
  ]);
  assert.deepEqual(await write({ reasoning_content: "c", thinking: "t" }), [
    `{"thinking": "t", ${a}, "reasoning_content": "c"}`,
  ]);
});

test("a row's variables may be documents, as transformers takes them, and nothing that a rendering sets itself", async () => {
  await using renderer = createRenderer("{{ documents[0].title }}");
  const request = { messages: [{ role: "user", content: "a" }], addGenerationPrompt: true } as const;
  const variables = { documents: [{ title: "Tides" }] };
  assert.deepEqual(await renderer.render([{ ...request, variables }]), ["Tides"]);
  // the parameters of PreTrainedTokenizerBase.apply_chat_template (transformers 5.23), documents apart
  const taken =
    "conversation tools chat_template add_generation_prompt continue_final_message tokenize sanitize_control_tokens " +
    "padding truncation max_length return_tensors return_dict return_assistant_tokens_mask tokenizer_kwargs";
  for (const name of ["messages", ...taken.split(" ")]) {
    assert.throws(() => refuseOwnVariables({ enable_thinking: false, [name]: null }, "a.jsonl:3"), {
      name: DataError.name,
      message: new RegExp(`^a.jsonl:3: expected variables of the template, got ${name}\\.`),
    });
  }
  // TypeError: Documents should be a list of dicts with 'title' and 'text' keys!
  for (const wrong of ["Tides", ["Tides"], { title: "Tides" }]) {
    assert.throws(
      () => refuseOwnVariables({ documents: wrong }, "a.jsonl:3"),
      /expected documents to be a list/,
    );
  }
  for (const fine of [null, [], variables.documents]) refuseOwnVariables({ documents: fine }, "a.jsonl:3");
});

test("what a template needs and is not available is refused by its name when the template is read", async () => {
  const says = (name: string) => `${name} is not supported in chat templates here`;
  const error = await failureOf("{% include 'a' %}");
  assert.equal(error.kind, "invalid");
  assert.ok(error.message.includes(says("the tag include")), error.message);
  for (const [source, name] of [
    ["{% if false %}{% block a %}{% endblock %}{% endif %}", "the tag block"],
    ["{{ 'a' | pprint }}", "the filter pprint"],
    ["{{ '\\N{BULLET}' }}", "the escape \\N{...} in a string"],
  ] as const)
    assert.throws(
      () => compileTemplate(source),
      ({ message }: Error) => message.includes(says(name)),
    );
  assert.throws(
    () => compileTemplate("{{ 'a'.encode() }}")({ variables: {}, now: 0 }),
    ({ message }: Error) => message.includes(says("str.encode")),
  );
});

const attacks: { name: string; source: string; kind: FailureKind; message: RegExp }[] = [
  {
    name: "a huge range",
    source: "{% for i in range(10000000) %}x{% endfor %}",
    kind: "raised",
    message: /Range too big/,
  },
  {
    name: "a long loop",
    source: "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
    kind: "timeout",
    message: /longer than 200 ms for one conversation/,
  },
  {
    name: "a list that doubles",
    source:
      "{% set ns = namespace(l=[1,2]) %}{% for i in range(50) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
    kind: "memory",
    message: /more than 64 MiB/,
  },
  {
    name: "a string that doubles",
    source:
      "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    kind: "raised",
    message: /Invalid string length/,
  },
  {
    name: "a huge output",
    source:
      "{% set ns = namespace(s='ab') %}{% for i in range(22) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    kind: "output",
    message: /at most 4194304 characters/,
  },
  {
    name: "endless recursion",
    source: "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}",
    kind: "raised",
    message: /call stack|recursion/i,
  },
  {
    name: "a syntax error",
    source: "{% for x in %}",
    kind: "invalid",
    message: /Expected a Jinja chat template/,
  },
  {
    name: "raise_exception",
    source: "{{ raise_exception('Only two roles are supported!') }}",
    kind: "raised",
    message: /refused this conversation: Only two roles are supported!\.$/,
  },
];
for (const { name, source, kind, message } of attacks) {
  test(`${name} fails alone`, async () => {
    // Only the endless loop may be cut short: starting a render is slow on a busy machine.
    const error = await failureOf(source, kind === "timeout" ? { timeoutMs: 200 } : { timeoutMs: 20_000 });
    assert.equal(error.kind, kind);
    assert.match(error.message, message);
    assert.equal(error.exitCode, 3);
  });
}

test("they leave this process unharmed", async () => {
  assert.equal(await renderOnce("{{ messages[0].content }}"), "hello");
});

test("JavaScript's insides cannot be reached", async () => {
  const probes = [
    "messages.constructor",
    "''.constructor.constructor",
    "messages[0].__proto__",
    "messages['constructor']['constructor']",
    "{}.__class__.__mro__",
    "process",
    "globalThis",
    "raise_exception.constructor",
    "range.__globals__",
    "namespace.constructor",
  ];
  // each conversation tries one of them
  const branches = probes.map(
    (probe, i) => `{% if messages[0].content == "${i}" %}{{ ${probe} is defined }}{% endif %}`,
  );
  await using renderer = createRenderer(branches.join(""));
  const outcomes = await renderer.renderEach(
    probes.map((_, i) => ({ messages: [{ role: "user", content: `${i}` }], addGenerationPrompt: false })),
  );
  for (const [i, outcome] of outcomes.entries()) {
    // An attribute of something undefined is an error in Jinja.
    const text = "text" in outcome ? outcome.text : outcome.error.kind;
    assert.match(text, /^(False|raised)$/, probes[i]);
  }
  const call = await failureOf("{{ ''.constructor.constructor('return process')() }}");
  assert.equal(call.kind, "raised");
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

test("one bad conversation does not disturb the others", async () => {
  const source =
    "{% if messages[0].content == 'loop' %}{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}" +
    "{% elif messages[0].content == 'raise' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}";
  await using renderer = createRenderer(source, { timeoutMs: 1000 });
  const texts = ["a", "raise", "b", "loop", "c"];
  const outcomes = await renderer.renderEach(
    texts.map((content) => ({ messages: [{ role: "user", content }], addGenerationPrompt: false })),
  );
  assert.deepEqual(
    outcomes.map((outcome) => ("text" in outcome ? outcome.text : outcome.error.kind)),
    ["a", "raised", "b", "timeout", "c"],
  );
});

test("a closed renderer answers renders under way with an error and can be closed twice", async () => {
  const renderer = createRenderer("{{ messages[0].content }}!");
  const pending = renderer.renderEach([request]);
  await renderer.close();
  await renderer.close();
  const [outcome] = await pending;
  assert.ok(outcome !== undefined && "error" in outcome && outcome.error.kind === "crash");
});

/** Runs `body` as a program of its own that has `createRenderer` and `request`. */
function program(body: string): Running {
  const module = JSON.stringify(join(import.meta.dirname, "template.ts"));
  const head =
    `import { createRenderer } from ${module};` +
    `const request = { messages: [{ role: "user", content: "x" }], addGenerationPrompt: false };`;
  return startProgram(["--no-warnings", "--input-type=module", "--eval", head + body]);
}

test("an idle renderer does not keep its process alive", { timeout: 600_000 }, async () => {
  const { ended } = program(
    `const r = createRenderer("{{ messages[0].content }}!"); console.log((await r.render([request]))[0]);`,
  );
  const { status, stdout, stderr } = await ended;
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "x!\n");
});

test("a looping child ends when its parent is killed", {
  timeout: 600_000,
  skip: process.platform === "linux" ? false : "reads /proc",
}, async () => {
  const loop = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}";
  const looping = "{ messages: [{ role: 'user', content: 'loop' }], addGenerationPrompt: false }";
  // asked to loop by a parent that is gone with its next breath, once the test knows the child
  const parent = program(
    `const r = createRenderer("{% if messages[0].content == 'loop' %}${loop}{% endif %}up", { timeoutMs: 200 });` +
      `console.log((await r.render([request]))[0]);` +
      `process.stdin.once("data", () => { void r.render([${looping}]); process.kill(process.pid, "SIGKILL"); });`,
  );
  await parent.saw("up");
  const own = `/proc/${parent.child.pid}`;
  const pid = Number(readFileSync(`${own}/task/${parent.child.pid}/children`, "utf8"));
  assert.equal(isRunning(pid), true);
  parent.child.stdin?.write("\n");
  assert.equal((await parent.ended).signal, "SIGKILL");
  try {
    for (let waited = 0; isRunning(pid) && waited < 45_000; waited += 50) await sleep(50);
    assert.equal(isRunning(pid), false);
  } finally {
    if (isRunning(pid)) process.kill(pid, "SIGKILL");
  }
});

test("the child's own limit is told as a timeout", async () => {
  const loop = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}";
  const child = spawn(process.execPath, [join(import.meta.dirname, "template-child.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => JSON.parse((await lines.next()).value as string);
    assert.deepEqual(await next(), { up: true });
    // of processor time: long enough to compile the template, far too short for its loop
    child.stdin.write(`${JSON.stringify({ source: loop, timeoutMs: 500, maxOutput: 10 })}\n`);
    assert.deepEqual(await next(), { ready: true });
    child.stdin.end(`7 ${JSON.stringify({ variables: {}, now: 0 })}\n`);
    assert.deepEqual(await next(), { id: 7, error: "timed out after 500 ms", kind: "timeout" });
  } finally {
    child.kill("SIGKILL");
  }
});
