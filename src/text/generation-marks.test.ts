import assert from "node:assert/strict";
import test from "node:test";

import { createRenderer, type Rendering } from "./template.ts";

/** What a template makes of one message that says "a b". */
async function rendering(source: string): Promise<Rendering | string> {
  await using renderer = createRenderer(source);
  const messages = [{ role: "assistant", content: "a b" }] as const;
  const [outcome] = await renderer.renderEach([{ messages, addGenerationPrompt: false }]);
  assert.ok(outcome !== undefined);
  return "error" in outcome ? outcome.error.message : outcome;
}

const inside = "{% generation %}x{{ messages[0].content }}{% endgeneration %}";

test("a marked part inside another belongs to it, as in transformers 5.23", async () => {
  // _render_with_assistant_indices: text "[(xa b)-xa b]" with (1, 5), (1, 12), "(xa b)" with (0, 4), (0, 6)
  assert.deepEqual(await rendering(`[{% generation %}(${inside})-${inside}{% endgeneration %}]`), {
    text: "[(xa b)-xa b]",
    generated: [{ start: 1, end: 12 }],
  });
  assert.deepEqual(await rendering(`{% generation %}(${inside}){% endgeneration %}`), {
    text: "(xa b)",
    generated: [{ start: 0, end: 6 }],
  });
  assert.deepEqual(await rendering(`${inside}|${inside}`), {
    text: "xa b|xa b",
    generated: [
      { start: 0, end: 4 },
      { start: 5, end: 9 },
    ],
  });
});

test("marked parts of macros and caught text are found where they are written", async () => {
  assert.deepEqual(await rendering(`{% macro m() %}<${inside}>{% endmacro %}{{ m() }}`), {
    text: "<xa b>",
    generated: [{ start: 1, end: 5 }],
  });
  assert.deepEqual(await rendering(`{% set s %}${inside} {% endset %}{{ s | trim }}|{{ s }}`), {
    text: "xa b|xa b ",
    generated: [
      { start: 0, end: 4 },
      { start: 5, end: 9 },
    ],
  });
});

test("a template whose text the marks would change is refused, with what to do", async () => {
  const padded = "{% generation %} a {% endgeneration %}";
  for (const source of [
    `{% set s %}${padded}{% endset %}{{ s | trim }}`,
    `{% filter truncate(3, true, '', 0) %}${inside}{% endfilter %}`,
    `{% macro m() %}${inside}{% endmacro %}{{ m()[:2] }}`,
    `{% set s %}${inside}{% endset %}{{ s.split(' ')[0] }}`,
    `{% set s %}${inside}{% endset %}{{ s.split(' ')[1] }}`,
  ]) {
    assert.match(
      String(await rendering(source)),
      /changes the text that its tag generation marks.*Put the tag around/,
      source,
    );
  }
});
