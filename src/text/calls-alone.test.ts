/** Messages that call tools and say nothing, whose content is null or "" by what the template writes calls with. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseMessages } from "./messages.ts";
import { createRenderer } from "./template.ts";

const call = { type: "function", function: { name: "look", arguments: "{}" } };
const conversation = (content: unknown) =>
  parseMessages(
    [
      { role: "user", content: "Where?" },
      { role: "assistant", content, tool_calls: [call] },
    ],
    "row",
  );
const calls = "{% for c in m.tool_calls or [] %}<{{ c.function.name + c.function.arguments }}>{% endfor %}";
const each = (body: string) => `{% for m in messages %}${body}{% endfor %}`;

const templates: [name: string, body: string, written: string][] = [
  [
    "as DeepSeek-R1's distilled models do",
    `{% if m.content is none %}${calls}{% else %}{{ m.content }}.{% endif %}`,
    "Where?.<look{}>",
  ],
  ["whatever the content", `{{ m.content }}.${calls}`, "Where?..<look{}>"],
  [
    "but not with null",
    `{% if m.content is none %}{{ raise_exception("null") }}{% endif %}{{ m.content }}.${calls}`,
    "Where?..<look{}>",
  ],
  ["never", "{{ m.content }}.", "Where?.."],
];

for (const [name, body, written] of templates) {
  test(`a template that writes calls ${name}`, async () => {
    await using renderer = createRenderer(each(body));
    for (const content of [null, ""]) {
      const [text] = await renderer.render([{ messages: conversation(content), addGenerationPrompt: false }]);
      assert.equal(text, written);
    }
  });
}
