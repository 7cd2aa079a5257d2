/** Turns that say nothing: what a generation prompt has begun, marks or a missing end of turn do not hide it; and thinking that is empty is noted. */
import assert from "node:assert/strict";
import test from "node:test";

import { assistant, user } from "../../test/support/messages.ts";
import { withToyTokenizer } from "../../test/support/toy-tokenizer.ts";
import { createRowEncoder } from "./encode.ts";
import type { Message } from "./messages.ts";
import type { EncodedRow, SourceRow } from "./source-rows.ts";
import { loadTokenizer } from "./tokenizer.ts";

const where = "rows.jsonl:7";
const pair = (chosen: Message, rejected: Message): SourceRow => ({
  kind: "chat",
  where,
  prompt: [user("q")],
  completions: [[chosen], [rejected]],
});
const talk = (first: string, last: string): SourceRow => ({
  kind: "conversation",
  where,
  messages: [user("q"), assistant(first), user("r"), assistant(last)],
});

const head = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n<think>\n";

/**
 * ChatML that asks for thinking.
 *
 * @param answer - what an assistant's turn is but for its header, as a Jinja expression
 */
const asking = (answer: string, hasMarks: boolean): string =>
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}" +
  `${hasMarks ? "{% generation %}" : ""}{{ ${answer} + '<|im_end|>' }}${hasMarks ? "{% endgeneration %}" : ""}` +
  "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}";

const block = "'<think>\n' + (m['reasoning_content'] or '') + '\n</think>\n\n' + m['content'] | trim";

async function encode(template: string, rows: readonly SourceRow[]) {
  return withToyTokenizer(
    { chatTemplate: template, config: { eos_token: "<|im_end|>" } },
    async (directory) => {
      const tokenizer = loadTokenizer(directory);
      await using encoder = createRowEncoder(tokenizer);
      const decode = (ids: number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
      const shown = ({ promptIds, completions, notes }: EncodedRow) => ({
        prompt: decode(promptIds),
        answers: completions.map(({ ids }) => decode(ids)),
        notes,
      });
      return (await encoder.encode(rows)).map((outcome) =>
        "error" in outcome ? outcome.error.message : shown(outcome.row),
      );
    },
  );
}

for (const hasMarks of [false, true]) {
  test(`a turn that always has a block of thinking, ${hasMarks ? "with" : "without"} marks: an empty one is noted, and says nothing`, async () => {
    const [plain, own, turns, ...silent] = await encode(asking(block, hasMarks), [
      pair(assistant("yes"), assistant("no")),
      pair(assistant("yes", { reasoning_content: "hm" }), assistant("no", { reasoning_content: "well" })),
      talk("yes", "no"),
      pair(assistant("yes"), assistant("")),
      pair(assistant(" \n"), assistant("no")),
      talk("", "no"),
      talk("yes", " "),
    ]);
    const answers = ["\n</think>\n\nyes<|im_end|>", "\n</think>\n\nno<|im_end|>"];
    assert.deepEqual(plain, { prompt: head, answers, notes: ["empty_thinking_in_answer"] });
    const thought = ["hm\n</think>\n\nyes<|im_end|>", "well\n</think>\n\nno<|im_end|>"];
    assert.deepEqual(own, { prompt: head, answers: thought, notes: [] });
    assert.deepEqual((turns as { notes: string[] }).notes, ["empty_thinking_in_answer"]);
    assert.equal(silent.length, 4);
    for (const error of silent) assert.match(String(error), /all that is learned of it is how to stop/);
  });
}

test("a turn that has no block without thinking: an answer behind the begun one that is blank says nothing", async () => {
  const [plain, blank] = await encode(asking("m['content']", false), [
    pair(assistant("yes"), assistant("no")),
    pair(assistant("yes"), assistant(" ")),
  ]);
  const answers = ["yes<|im_end|>", "no<|im_end|>"];
  assert.deepEqual(plain, { prompt: head, answers, notes: ["generation_prompt_joined"] });
  assert.match(String(blank), /expected answer 2 of 2 to have text/);
});

test("turns of a template that ends none of them: each has to say something", async () => {
  const bare =
    "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
  const [plain, first, last] = await encode(bare, [talk("yes", "no"), talk(" ", "no"), talk("yes", "")]);
  assert.deepEqual((plain as { answers: string[] }).answers, ["yes[user]r[assistant]no<|im_end|>"]);
  assert.match(String(first), /turn 1 of 2, to have text/);
  assert.match(String(last), /turn 2 of 2, to have text/);
});
