/** What a chat template does not write is refused, whatever it is and wherever it stands; and what says nothing. */
import assert from "node:assert/strict";
import test from "node:test";
import { assistant, user } from "../../test/support/messages.ts";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { createRowEncoder, type EncoderOptions } from "./encode.ts";
import { type Message, parseMessages } from "./messages.ts";
import { NotRenderedError, RenderingCheck } from "./rendering-check.ts";
import { EmptyAnswerError, type EncodeOutcome, type SourceRow } from "./source-rows.ts";
import type { RenderRequest, TemplateRenderer } from "./template.ts";
import { loadTokenizer } from "./tokenizer.ts";

const call = (name: string, given: unknown = { at: "north" }) => ({ function: { name, arguments: given } });
const add = { type: "function", function: { name: "add", parameters: { type: "object", properties: {} } } };

const chat = (prompt: Message[], ...answers: (string | Message[])[]): SourceRow => ({
  kind: "chat",
  where: "rows.jsonl:1",
  prompt,
  completions: answers.map((answer) => (typeof answer === "string" ? [assistant(answer)] : answer)),
});
const conversation = (...messages: Message[]): SourceRow => ({
  kind: "conversation",
  where: "rows.jsonl:1",
  messages,
});

async function encode(
  rows: SourceRow[],
  chatTemplate: string,
  options: EncoderOptions = {},
): Promise<EncodeOutcome[]> {
  return withToyTokenizer({ chatTemplate }, async (directory) => {
    await using encoder = createRowEncoder(loadTokenizer(directory), options);
    return await encoder.encode(rows);
  });
}

/** The messages of all rows' errors; "ok" for those that have none. */
function said(outcomes: EncodeOutcome[], kind: new (message: string) => Error): string[] {
  return outcomes.map((outcome) => {
    if (!("error" in outcome)) return "ok";
    assert.ok(outcome.error instanceof kind, outcome.error.message);
    return outcome.error.message;
  });
}

const asks = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/** Writes what users and the assistant say, and nothing else. */
const plain =
  "{% for m in messages %}{% if m.role in ['user', 'assistant'] %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n" +
  `{% endif %}{% endfor %}${asks}`;

test("a message whose role the template passes over, a name, and thinking are refused by place", async () => {
  const rows = [
    chat([{ role: "developer", content: "Be brief." }, user("q")], "a", "b"),
    chat([user("q"), assistant("look"), { role: "tool", content: "20" }], "a", "b"),
    chat([{ ...user("q"), name: "Ada" }], "a", "b"),
    chat([user("q")], "a", [assistant("b", { reasoning_content: "because" })]),
    chat([user("q")], [assistant("call"), { role: "tool", content: "3" }, assistant("three")]),
    conversation({ role: "system", content: "s" }, user("q"), assistant("a")),
    chat([user("q")], "a", parseMessages([{ ...assistant("b"), thinking: "because" }], "a")),
  ];
  const words = said(await encode(rows, plain), NotRenderedError);
  assert.match(
    words[0] ?? "",
    /^rows\.jsonl:1: .*"content" of message 1 \(role developer\).* Call the role system/,
  );
  assert.match(words[1] ?? "", /"content" of message 3 \(role tool\)/);
  assert.match(words[2] ?? "", /"name" of message 1 \(role user\)/);
  assert.match(words[3] ?? "", /"reasoning_content" of message 2 \(role assistant\)/);
  assert.match(words[4] ?? "", /"content" of message 3 \(role tool\)/);
  assert.match(words[6] ?? "", /"reasoning_content" of message 2 \(role assistant\)/);
  assert.match(
    words[5] ?? "",
    /"content" of message 1 \(role system\).*template: unknown, SHA-256 [0-9a-f]{12}, tokenizer_config\.json\)/,
  );
});

test("ChatML writes neither tool calls nor tools, and its name is said", async () => {
  const rows: SourceRow[] = [
    chat([user("q")], [assistant("", { tool_calls: [call("look")] })], "b"),
    chat(
      [user("q"), assistant("I look.", { tool_calls: [call("look")] }), { role: "tool", content: "3" }],
      "a",
      "b",
    ),
    { ...chat([user("q")], "a", "b"), tools: [add] } as SourceRow,
    { kind: "chat", where: "messages", prompt: [user("q")], completions: [], tools: [add] },
    chat([{ role: "developer", content: "d" }, user("q")], "a", "b"),
  ];
  const words = said(await encode(rows, chatMl), NotRenderedError);
  assert.match(
    words[0] ?? "",
    /call 1 in "tool_calls" of message 2 \(role assistant\).*\(template: chatml, tokenizer_config\.json\)/,
  );
  assert.match(words[1] ?? "", /call 1 in "tool_calls" of message 2/);
  assert.match(words[2] ?? "", /"tools" \("add"\).* describe the tools in a system message/);
  assert.match(words[3] ?? "", /^messages: .*"tools"/);
  assert.equal(words[4], "ok");
});

test("what a template strips, escapes, rewrites or puts elsewhere is written", async () => {
  const template =
    "{% for t in tools or [] %}{{ t.function.name | upper }};{% endfor %}" +
    "{% for m in messages %}<|im_start|>{{ m.role }}\n" +
    "{% if m.role == 'system' %}{{ m.content | tojson }}{% elif m.role == 'user' %}{{ m.content | trim | upper }}{% else %}{{ m.content | trim }}{% endif %}" +
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}</call>{% endfor %}" +
    `<|im_end|>\n{% endfor %}${asks}`;
  const tools = [add];
  const rows = [
    { ...chat([{ role: "system", content: 'say "a\n"' }, user("  q \n")], " yes ", "no\n"), tools },
    chat([user("q")], [assistant("", { tool_calls: [call("f", "{}"), call("g", '{"a":1}')] })], "b"),
    chat(
      [user("q")],
      [assistant("", { tool_calls: [call("f", {})] })],
      [assistant("", { tool_calls: [call("f", "x")] })],
    ),
    chat(
      [
        user("q"),
        assistant("", { tool_calls: [call("f")] }),
        { role: "tool", name: "f", tool_call_id: "1", content: "3" },
      ],
      "a",
      "b",
    ),
    chat([user("<tool_response>\n5\n</tool_response>"), user("<b>")], "a", "b"),
    chat([user("pfmark0x")], "a", "b"),
  ] as SourceRow[];
  assert.deepEqual(
    said(await encode(rows, template), NotRenderedError),
    rows.map(() => "ok"),
  );
});

test("arguments that the template leaves out of a call are missed, whatever the form", async () => {
  const template = `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}<|im_end|>\n{% endfor %}${asks}`;
  const rows = [{ at: "north" }, '{"at": "north"}', {}, "{ }"].map((given) =>
    chat([user("q")], [assistant("x", { tool_calls: [call("look", given)] })], "b"),
  );
  const words = said(await encode(rows, template), NotRenderedError);
  assert.deepEqual(
    words.map((word) => word === "ok"),
    [false, false, true, true],
  );
  assert.match(words[0] ?? "", /the arguments of call 1 in "tool_calls" of message 2/);
});

test("rows of a shape that was seen are looked at all the same", async () => {
  // The content decides, which no shape tells.
  const template = chatMl.replace(
    "message['content']",
    "('' if 'secret' in message['content'] else message['content'])",
  );
  const rows = ["hello", "a secret thing", "hello again", "another secret"].map((asked) =>
    chat([user(asked)], "a", "b"),
  );
  const words = said(await encode(rows, template), NotRenderedError);
  assert.deepEqual(
    words.map((word) => word === "ok"),
    [true, false, true, false],
  );
});

test("thinking is looked for under every name that a template may read it by", async () => {
  const answer = (name: string) => parseMessages([{ ...assistant("b"), [name]: "because" }], "a");
  for (const read of ["reasoning_content", "thinking", "reasoning"]) {
    const template = plain.replace("{{ m.content", `{{ m.${read} }}{{ m.content`);
    const words = said(
      await encode([chat([user("q")], "a", answer("reasoning"))], template),
      NotRenderedError,
    );
    assert.deepEqual(words, ["ok"], read);
  }
});

test("thinking of earlier turns may be left out of the history, that of the answer may not", async () => {
  const drops = chatMl.replace("message['content']", "message['content'].split('</think>')[-1]");
  const thought = "<think>hm</think>fine";
  const rows = [
    chat([user("q"), assistant(thought), user("r")], "a", "b"),
    chat([user("q"), assistant("fine"), user("r")], "a", "b"),
    chat([user("q")], thought, "b"),
    conversation(user("q"), assistant(thought), user("r"), assistant("a")),
    conversation(user("q"), assistant("a"), user("r"), assistant(thought)),
  ];
  const outcomes = await encode(rows, drops);
  const words = said(outcomes, NotRenderedError);
  assert.deepEqual(
    words.map((word) => word === "ok"),
    [true, true, false, true, false],
  );
  assert.match(words[2] ?? "", /the thinking in "content" of message 2/);
  const notes = outcomes.map((outcome) => ("row" in outcome ? outcome.row.notes : []));
  assert.deepEqual(notes, [["history_thinking_dropped"], [], [], ["history_thinking_dropped"], []]);
});

test("calls that a tool's message answers may be left out where a row allows it, others may not", async () => {
  const called: Message = { ...assistant(""), tool_calls: [{ type: "function", function: { name: "f" } }] };
  const answered: Message[] = [user("q"), called, { role: "tool", content: "3" }];
  const open: Message[] = [user("q"), called, user("r")];
  const row = (prompt: Message[], mayDropAnsweredCalls: boolean): SourceRow => ({
    kind: "chat",
    where: "rows.jsonl:1",
    prompt,
    completions: [],
    mayDropAnsweredCalls,
  });
  const rows = [row(answered, true), row(answered, false), row(open, true), row([user("q")], true)];
  const outcomes = await encode(rows, chatMl);
  assert.deepEqual(
    said(outcomes, NotRenderedError).map((word) => word === "ok"),
    [true, false, false, true],
  );
  const notes = outcomes.map((outcome) => ("row" in outcome ? outcome.row.notes : []));
  assert.deepEqual(notes, [["history_calls_dropped"], [], [], []]);
});

test("a template that cannot be rendered with marks is asked part by part", async () => {
  const strict = `{% for m in messages %}{% if m.name is defined and m.name != 'Ada' %}{{ raise_exception('who?') }}{% endif %}{% endfor %}${chatMl}`;
  const rows = [chat([{ ...user("q"), name: "Ada" }], "a", "b")];
  assert.deepEqual(said(await encode(rows, strict), NotRenderedError), ["ok"]);
});

test("an answer or a learned turn that is its end alone says nothing, wherever it stands", async () => {
  const made = `{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}${asks}`;
  const q = user("q");
  const empty: [SourceRow, string][] = [
    [chat([q], "a", " \n"), chatMl],
    [chat([q], "a", "<|im_end|>"), chatMl],
    [chat([q], "a", "<think>\n</think>\n"), chatMl],
    [chat([q], "a", ""), made],
    [chat([q], [assistant(""), { role: "tool", content: "3" }, assistant("b")]), chatMl],
    [conversation(q, assistant(""), q, assistant("b")), chatMl],
    [conversation(q, assistant("a"), q, assistant(" "), q, assistant("b")), chatMl],
    [conversation(q, assistant("a"), q, assistant("")), chatMl],
    [conversation(q, assistant("a"), q, assistant("\n\n")), made],
  ];
  for (const [row, template] of empty) {
    const [words] = said(await encode([row], template), EmptyAnswerError);
    assert.match(words ?? "", /^rows\.jsonl:1: expected .* to have text/, JSON.stringify(row));
  }
  const sound = [
    conversation(assistant(""), q, assistant("a")),
    chat([q, assistant(""), q], "a", "b"),
    chat([q], "0", "<think>no end"),
  ];
  assert.deepEqual(said(await encode(sound, chatMl), EmptyAnswerError), ["ok", "ok", "ok"]);
  const last = await encode([conversation(q, assistant(""), q, assistant("b"))], chatMl, { trainOn: "last" });
  assert.deepEqual(said(last, EmptyAnswerError), ["ok"]);
});

test("a thousand messages whose thinking is left out take some ten renderings, and the one part that is lost is found", async () => {
  let renderings = 0;
  const known = (messages: readonly Message[]) => messages.filter(({ role }) => role !== "tool");
  const renderer = {
    renderEach: async (requests: readonly RenderRequest[]) => {
      renderings += requests.length;
      return requests.map(({ messages }) => ({
        text: known(messages)
          .map(({ role, content }) => `${role}: ${String(content)}`)
          .join("\n"),
        generated: null,
      }));
    },
  } as unknown as TemplateRenderer;
  const outcome = async (messages: Message[]) => {
    renderings = 0;
    const request: RenderRequest = { messages, addGenerationPrompt: true };
    const [whole = assert.fail()] = await renderer.renderEach([request]);
    const rendered = "text" in whole ? whole.text : assert.fail();
    const check = new RenderingCheck(renderer, "a test's");
    const [found = assert.fail()] = await check.check([
      { where: "messages", request, rendered, learnedFrom: messages.length },
    ]);
    return found;
  };
  const turns = Array.from({ length: 500 }, (_, i) => [
    user(`q${i}`),
    assistant(`a${i}`, { reasoning_content: "because" }),
  ]).flat();
  assert.deepEqual(await outcome(turns), { dropsThinking: true, dropsCalls: false });
  assert.ok(renderings < 10, `${renderings} renderings`);
  const lost = await outcome([...turns.slice(0, 500), { role: "tool", content: "x" }, ...turns.slice(500)]);
  assert.ok("error" in lost && /"content" of message 501 \(role tool\)/.test(lost.error.message));
  assert.ok(renderings < 30, `${renderings} renderings`);
});
