/** What `data check --show` shows: every token, what is learned, what is cut, with and without colours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder, describeTemplate } from "../text/encode.ts";
import type { SourceRow } from "../text/source-rows.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import { chatMl } from "../toy/toy-tokenizer.ts";
import type { Example } from "./example.ts";
import { truncateExample } from "./overflow.ts";
import { type ShownRow, showRow } from "./show-rows.ts";
import { formatShownRows } from "./show-text.ts";

const source: SourceRow = {
  kind: "chat",
  where: "rows.jsonl:1",
  prompt: [{ role: "user", content: "q\u001b[31m" }],
  completions: [
    [
      { role: "assistant", content: "é<s>" },
      { role: "tool", content: "3" },
      { role: "assistant", content: "so" },
    ],
    [{ role: "assistant", content: "no\n" }],
  ],
};
const endOfTurn = 2;

async function withRow(body: (example: Example, tokenizer: Tokenizer) => void): Promise<void> {
  await withToyTokenizer({ chatTemplate: chatMl }, async (directory) => {
    const tokenizer = loadTokenizer(directory);
    await using encoder = createRowEncoder(tokenizer);
    const [outcome] = await encoder.encode([source]);
    assert.ok(outcome !== undefined && "row" in outcome);
    const { promptIds, completions, notes } = outcome.row;
    body({ origin: { file: "rows.jsonl", line: 1 }, promptIds, completions, trace: { notes } }, tokenizer);
    const [use, ...others] = encoder.templates();
    assert.ok(use !== undefined && others.length === 0);
    assert.equal(describeTemplate(use), "chatml, tokenizer_config.json");
    assert.equal(use.rows, 1);
  });
}

const show = (example: Example, tokenizer: Tokenizer): ShownRow =>
  showRow(example, { tokenizer, stopIds: new Set([endOfTurn]) });

test("tokens, pieces, mask and text of each part", () =>
  withRow((example, tokenizer) => {
    const { where, parts, notes } = show(example, tokenizer);
    assert.equal(where, "rows.jsonl:1");
    assert.deepEqual(notes, []);
    assert.deepEqual(
      parts.map(({ name }) => name),
      ["prompt", "chosen", "rejected"],
    );
    const [prompt, chosen] = parts;
    assert.ok(prompt !== undefined && chosen !== undefined);
    assert.deepEqual(prompt.ids, example.promptIds);
    assert.deepEqual(
      prompt.mask,
      example.promptIds.map(() => 0),
    );
    // Two bytes of one character are two tokens of the toy tokenizer; "<s>" inside the text is a special token.
    assert.deepEqual(chosen.pieces.slice(0, 5), ["bytes:\\xc3", "bytes:\\xa9", "<s>", "<|im_end|>", "\n"]);
    assert.deepEqual(chosen.special.slice(0, 5), [0, 0, 1, 1, 0]);
    assert.deepEqual(chosen.mask.slice(0, 5), [1, 1, 1, 1, 0]);
    assert.deepEqual(chosen.ends.slice(0, 5), [0, 0, 0, 1, 0]);
    assert.deepEqual(chosen.mask, example.completions[0]?.mask);
    assert.equal(
      chosen.text,
      "é<s><|im_end|>\n<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\nso<|im_end|>",
    );
    for (const list of [chosen.pieces, chosen.mask, chosen.special, chosen.ends, chosen.cut]) {
      assert.equal(list.length, chosen.ids.length);
    }
  }));

test("for people: words without colours, colours on top of them, and nothing that steers the terminal", () =>
  withRow((example, tokenizer) => {
    const rows = [show(example, tokenizer)];
    const plain = formatShownRows(rows, tokenizer, false);
    assert.equal(
      plain,
      [
        "rows.jsonl:1",
        "  prompt       25 tokens",
        "    prompt       <|im_start|>user⏎",
        "                 q\\u001b[31m<|im_end|>⏎",
        "                 <|im_start|>assistant⏎",
        "  chosen       28 tokens, 7 in the loss",
        "    learned      é<s>",
        "    end          <|im_end|>",
        "    not learned  ⏎",
        "                 <|im_start|>tool⏎",
        "                 3<|im_end|>⏎",
        "                 <|im_start|>assistant⏎",
        "    learned      so",
        "    end          <|im_end|>",
        "  rejected     4 tokens, 4 in the loss",
        "    learned      no⏎",
        "    end          <|im_end|>",
      ].join("\n"),
    );
    const colourful = formatShownRows(rows, tokenizer, true);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the colours
    assert.equal(colourful.replaceAll(/\u001b\[[0-9;]*m/g, ""), plain);
    assert.ok(colourful.includes("\u001b[32mé\u001b[0m\u001b[32;7m<s>\u001b[0m"));
    assert.ok(!plain.includes("\u001b"));
  }));

test("what was cut off is shown as such, and is not learned", () =>
  withRow((example, tokenizer) => {
    const cut = truncateExample(example, 16, null);
    const row = show({ ...cut, trace: { ...cut.trace, uncut: example } }, tokenizer);
    const [prompt, chosen, rejected] = row.parts;
    assert.deepEqual(
      prompt?.cut,
      example.promptIds.map((_, i) => Number(i < example.promptIds.length - 4)),
    );
    assert.deepEqual(
      chosen?.cut,
      chosen?.ids.map((_, i) => Number(i >= 12)),
    );
    assert.ok(chosen?.mask.slice(12).every((bit) => bit === 0));
    assert.deepEqual(rejected?.cut, [0, 0, 0, 0]);
    const text = formatShownRows([row], tokenizer, false);
    assert.match(text, /prompt {7}4 tokens, 21 more truncated\n {4}truncated {4}<\|im_start\|>user/);
    // A BOS in front stays.
    const bos = example.promptIds[0] as number;
    const kept = truncateExample(example, 16, bos);
    const [opening] = show({ ...kept, trace: { ...kept.trace, uncut: example } }, tokenizer).parts;
    assert.deepEqual(opening?.cut.slice(0, 2), [0, 1]);
    assert.equal(
      opening?.cut.reduce((sum, bit) => sum + bit, 0),
      example.promptIds.length - kept.promptIds.length,
    );
  }));
