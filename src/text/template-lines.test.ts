/** Characters that some programs take for ends of lines reach a template of a separate process and come back as they are. */
import assert from "node:assert/strict";
import test from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import { createRowEncoder } from "./encode.ts";
import type { ChatRow } from "./source-rows.ts";
import { createRenderer } from "./template.ts";
import { loadTokenizer } from "./tokenizer.ts";

const separators = "\u2028 \u2029 \u0085 \u000b \u000c \r \n";

test("renders under way at once are answered each by its own", async () => {
  await using renderer = createRenderer(`{# \u2028 \u2029 #}<{{ messages[0].content }}>`);
  const texts = ["one", `two${separators}two`, "three", "\u2028", "four"];
  const requests = texts.map((content) => ({
    messages: [{ role: "user" as const, content }],
    addGenerationPrompt: true,
  }));
  const wanted = texts.map((text) => `<${text}>`);
  assert.deepEqual(await renderer.render(requests), wanted);
  // none is left over for the next call
  assert.deepEqual(await renderer.render(requests.toReversed()), wanted.toReversed());
  assert.deepEqual(await Promise.all(requests.map(async (one) => (await renderer.render([one]))[0])), wanted);
});

test("rows beside one with a line separator keep their own tokens", async () => {
  const row = (text: string): ChatRow => ({
    kind: "chat",
    where: text,
    prompt: [{ role: "user", content: text }],
    completions: ["yes", "no"].map((answer) => [{ role: "assistant", content: `${answer} ${text}` }]),
  });
  const rows = ["a", "b", "c\u2028c", "d", "e", "f"].map(row);
  await withToyTokenizer({ chatTemplate: `${chatMl}{# of no known family #}` }, async (directory) => {
    await using encoder = createRowEncoder(loadTokenizer(directory), {});
    const together = await encoder.encode(rows);
    for (const [i, one] of rows.entries()) {
      await using alone = createRowEncoder(loadTokenizer(directory), {});
      assert.deepEqual(together[i], (await alone.encode([one]))[0], one.where);
    }
  });
});
