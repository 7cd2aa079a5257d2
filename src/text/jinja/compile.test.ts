import assert from "node:assert/strict";
import test from "node:test";

import { golden, goldenText } from "../../../test/support/goldens.ts";
import { requireShared, skipWithoutShared } from "../../../test/support/shared.ts";
import { parseJson } from "../json.ts";
import { loadTokenizer } from "../tokenizer.ts";
import { compileTemplate } from "./compile.ts";

interface Cases {
  variables: Record<string, unknown>;
  expressions: string[];
  templates: string[];
  whitespace: string[];
  chat_templates: Record<string, string>;
  tools: unknown[];
  conversations: Record<string, Record<string, unknown>[]>;
}

/** Texts of transformers; null where it raises an error. */
type Texts = (string | null)[];

interface Goldens {
  expressions: Texts;
  templates: Texts;
  whitespace: Texts;
  chat: Record<string, Record<string, Texts>>;
  real: Record<string, Record<string, Texts>>;
  ways: Record<string, unknown>[];
}

const cases = parseJson(goldenText("jinja-cases")) as Cases;
const goldens = golden<Goldens>("jinja");

/** What we write; null for an error, with its message in `errors`. */
function write(template: string, variables: Record<string, unknown>, errors: string[] = []): string | null {
  try {
    return compileTemplate(template)({ variables, now: 0 });
  } catch (error) {
    errors.push(error instanceof Error ? error.message : "");
    return null;
  }
}

/** What is refused by name though Python has a value for it. */
const refused = / is not supported in chat templates here$/;

function compare(templates: readonly string[], texts: Texts, variables: Record<string, unknown>): number {
  let refusals = 0;
  for (const [i, template] of templates.entries()) {
    const errors: string[] = [];
    const text = write(template, variables, errors);
    if (text === null && refused.test(errors[0] ?? "")) refusals++;
    else assert.equal(text, texts[i], template);
  }
  return refusals;
}

test("expressions are written as Python's Jinja writes them", () => {
  const templates = cases.expressions.map((expression) => `{{ ${expression} }}`);
  assert.equal(templates.length, goldens.expressions.length);
  const refusals = compare(templates, goldens.expressions, cases.variables);
  assert.ok(refusals <= 4, `${refusals} expressions are refused`);
});

test("tags do what Jinja's tags do", () => {
  assert.equal(cases.templates.length, goldens.templates.length);
  const refusals = compare(cases.templates, goldens.templates, cases.variables);
  assert.ok(refusals <= 4, `${refusals} templates are refused`);
});

test("white space and line ends around tags are Jinja's", () => {
  const refusals = compare(cases.whitespace, goldens.whitespace, { b: true, i: 3, nums: [1, 2] });
  assert.equal(refusals, 0);
});

function compareChat(template: string, texts: Record<string, Texts>): void {
  const compiled = compileTemplate(template);
  for (const [name, messages] of Object.entries(cases.conversations)) {
    const wanted = texts[name] ?? [];
    assert.equal(wanted.length, 2 * goldens.ways.length);
    const asked = [null, cases.tools].flatMap((tools) => goldens.ways.map((way) => ({ ...way, tools })));
    const ours = asked.map((way) => {
      try {
        return compiled({
          variables: { bos_token: "<s>", documents: null, ...way, messages: withThinking(messages) },
          now: 0,
        });
      } catch {
        return null;
      }
    });
    assert.deepEqual(ours, wanted, name);
  }
}

/** transformers 5 gives the reasoning of a message under a second name. */
function withThinking(messages: Record<string, unknown>[]): Record<string, unknown>[] {
  return messages.map((message) =>
    typeof message["reasoning_content"] === "string"
      ? { thinking: message["reasoning_content"], ...message }
      : message,
  );
}

for (const [name, template] of Object.entries(cases.chat_templates)) {
  test(`conversations with the template "${name}" read as transformers writes them`, () => {
    compareChat(template, goldens.chat[name] ?? {});
  });
}

for (const name of Object.keys(goldens.real)) {
  const path = name.split("/");
  test(`conversations with the template of ${name} read as transformers writes them`, {
    skip: skipWithoutShared(...path),
  }, () => {
    const { default: template } = loadTokenizer(requireShared(...path)).chatTemplates;
    compareChat(template ?? "", goldens.real[name] ?? {});
  });
}

test("an integer literal has at most 4300 digits, as in Python, but in hexadecimal", () => {
  const render = (expression: string): string =>
    compileTemplate(`{{ ${expression} }}`)({ variables: {}, now: 0 });
  assert.equal(render(`${"1".repeat(4300)} % 1000`), "111");
  assert.equal(render(`0x${"f".repeat(5000)} % 1000`), "375");
  // int("1" * 4301) raises ValueError
  assert.throws(() => render(`${"1".repeat(4301)} % 1000`), /Exceeds the limit \(4300 digits\)/);
});

test("half of a surrogate pair cannot be written in a URL, as in Python", () => {
  // "\ud800".encode() raises UnicodeEncodeError: surrogates not allowed
  const template = compileTemplate("{{ messages[0].content | urlencode }}");
  const render = (content: string): string =>
    template({ variables: { messages: [{ role: "user", content }] }, now: 0 } as never);
  assert.equal(render("\u{1f600} é/"), "%F0%9F%98%80%20%C3%A9/");
  assert.throws(() => render("\ud800"), /surrogates not allowed/);
});

test("a sequence is repeated as often as Python would, or refused as there", () => {
  const render = (expression: string): string =>
    compileTemplate(`{{ ${expression} }}`)({ variables: {}, now: 0 });
  for (const expression of ["'x' * 10**30", "'x' * -10**30", "[1] * 10**4301", "'' * 10**30"]) {
    assert.throws(
      () => render(expression),
      /^Error: cannot fit 'int' into an index-sized integer$/,
      expression,
    );
  }
  assert.equal(render("'' * 10**10 ~ (1,) * -3 ~ 2**62 * ''"), "()");
  assert.throws(
    () => render("'ab' * 2**40"),
    (error) => (error as { type?: string }).type === "MemoryError",
  );
});
