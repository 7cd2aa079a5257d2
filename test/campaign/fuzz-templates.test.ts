/** Generated and mutated chat templates: rendered, or refused with a reason; in the process that renders strange ones, none harms its parent. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { deriveSeed, Random } from "../../src/base/random.ts";
import { TimeLimitError, withinComputedTime } from "../../src/base/time-limit.ts";
import { compileTemplate } from "../../src/text/jinja/compile.ts";
import { SyntaxFault } from "../../src/text/jinja/lexer.ts";
import { PythonError, UnsupportedError } from "../../src/text/jinja/values.ts";
import type { Message } from "../../src/text/messages.ts";
import { createRenderer } from "../../src/text/template.ts";
import { amount, campaignSeed, figure } from "../support/campaign.ts";
import { fuzz, mutateText, reached } from "../support/fuzz.ts";
import { residentMiB } from "../support/memory.ts";

interface Cases {
  variables: Record<string, unknown>;
  expressions: string[];
  templates: string[];
  whitespace: string[];
  chat_templates: Record<string, string>;
  conversations: Record<string, Message[]>;
}

const file = join(import.meta.dirname, "../goldens/jinja-cases.json");
const cases = JSON.parse(readFileSync(file, "utf8")) as Cases;
const chats = Object.values(cases["chat_templates"]);
const conversations = Object.values(cases.conversations);
const seeds = [
  ...cases.templates,
  ...cases.whitespace,
  ...cases.expressions.map((expression) => `{{ ${expression} }}`),
  ...chats,
];

/** Pieces of Jinja, harmless and not. */
const words = [
  "{{ ",
  " }}",
  "{% ",
  " %}",
  "{% for x in range(99999) %}",
  "{% endfor %}",
  "{% if b %}",
  "{% endif %}",
  "{#",
  "#}",
  "{%- raw %}",
  "messages",
  "loop.index",
  "nums",
  "|",
  "|join(',')",
  "|tojson",
  "|list",
  "|map('upper')",
  "|select",
  "|sort",
  ".items()",
  "[::-1]",
  " ~ ",
  " * 9999",
  " ** 99",
  " // 0",
  " % (1,)",
  "'%99999d' % 1",
  "'x'.ljust(99999)",
  "'{:>99999}'.format(1)",
  "namespace(a=1)",
  "{% set ns.a = ns.a ~ ns.a %}",
  "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
  "[[[[",
  "((((",
  "-",
  "not ",
  " in ",
  " is defined",
  ".__class__",
  ".constructor",
  "cycler(1,2).next()",
  "joiner()",
  "lipsum()",
  "1e999",
  "9999999999999999999",
  "\\u0000",
  "'",
  '"',
];

function make(random: Random): string {
  const seed = random.pick(seeds);
  const longer = random.below(4) === 0 ? seed + random.pick(seeds) : seed;
  return mutateText(random, longer, words);
}

const variables = {
  ...cases.variables,
  messages: conversations[0],
  add_generation_prompt: true,
  bos_token: "<s>",
};

/** A time limit takes longer to set than most templates to render. */
const mayTakeLong = /range|\*|macro|namespace|recursive|99999/;

/** What the process of strange templates tells its parent as the template's fault: what it raises, and what the engine will not do. */
function isRefusal(error: unknown): boolean {
  const raised = [SyntaxFault, PythonError, UnsupportedError, TimeLimitError];
  if (raised.some((kind) => error instanceof kind)) return true;
  const limits =
    /^(Maximum call stack size exceeded|Invalid string length|Maximum BigInt size exceeded|Invalid array length)$/;
  return error instanceof RangeError && limits.test(error.message);
}

/** Memory of the process that renders all of them, in MiB: what one template takes has no limit there, and garbage waits. */
const mostMebibytes = 1024;

test("templates, in the engine itself", () => {
  const outcome = fuzz("chat templates", amount(3000, 1_000_000), {
    make,
    feed: (source) => {
      const render = (): string => compileTemplate(source)({ variables, now: 0 });
      if (mayTakeLong.test(source)) withinComputedTime(250, render);
      else render();
    },
    isRefusal,
    show: (source) => source,
  });
  assert.deepEqual(outcome.faults, []);
  assert.ok(outcome.accepted > outcome.inputs / 20, `only ${outcome.accepted} were sound`);
  const held = outcome.faultCount === 0 && outcome.hangs === 0 && outcome.peakMebibytes < mostMebibytes;
  figure(
    24,
    "generated chat templates, compiled and rendered in one process, which does not stop at 64 MiB",
    reached(outcome),
    `0 crashes, 0 above 1 s, memory below ${mostMebibytes} MiB in 1,000,000`,
    held,
    `the process that renders a million may grow by ${mostMebibytes} MiB (first goal: 64 MiB), since nothing stops it there`,
  );
});

test("templates, in the process that renders strange ones", async () => {
  const count = amount(4, 1000);
  const bombs = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10 ** 9 }}",
  ];
  const before = residentMiB();
  let most = 0;
  const endings: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const source =
      i % 50 === 3
        ? (bombs[Math.floor(i / 50) % 2] as string)
        : make(new Random(deriveSeed(campaignSeed, 2_000_000 + i)));
    await using renderer = createRenderer(source);
    const [outcome] = await renderer.renderEach([
      { messages: conversations[0] ?? [], addGenerationPrompt: true },
    ]);
    const ending = outcome !== undefined && "error" in outcome ? outcome.error.kind : "text";
    endings[ending] = (endings[ending] ?? 0) + 1;
    most = Math.max(most, Math.round(residentMiB() - before));
    if (i % 100 === 99) console.log(`${i + 1} of ${count} templates, memory +${most} MiB`);
  }
  assert.ok((endings["timeout"] ?? 0) + (endings["memory"] ?? 0) > 0, JSON.stringify(endings));
  figure(
    24,
    "generated chat templates, each in a separate process, which is stopped above 64 MiB",
    `${count} templates, 0 crashes of the parent, its memory +${most} MiB`,
    "0 crashes, below 64 MiB",
    most < 64,
    `${count.toLocaleString("en")} templates have a process each (first goal: 100,000), since starting that many takes hours`,
  );
});
