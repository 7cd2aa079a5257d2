/**
 * Families over HTTP: `preftune serve` with a family's fixture answers a prompt with the tokens that transformers takes. In `npm test`
 * those whose parts the other families have not: a fused projection, caps on scores, heads by kind of layer.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { isNightly } from "../support/campaign.ts";
import {
  everyFamily,
  type FixtureFamily,
  fixtureExamples,
  fixtureGoldens,
} from "../support/fixture-files.ts";
import { fixtureModelDir } from "../support/gguf-files.ts";
import { startServer } from "../support/servers.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const scratch = temporaryDirectory();
after(() => scratch[Symbol.dispose]());
const short: readonly FixtureFamily[] = ["phi3", "gemma2", "gemma4_dense"];

/** Without what stands for parts of characters: random tokens are full of them. */
const whole = (text = ""): string => text.replaceAll("\uFFFD", "");

for (const family of everyFamily) {
  const skip = isNightly || short.includes(family) ? false : "in full only";
  test(`${family} over HTTP: transformers' greedy tokens`, { skip }, async () => {
    const model = fixtureModelDir(family, `${scratch.path}/${family}`);
    await using server = await startServer({ model });
    const tokenizer = loadTokenizer(model);
    const decode = (ids: readonly number[]) => tokenizer.decode([...ids], { skipSpecialTokens: true });
    const client = server.client();
    for (const [row, { promptIds }] of fixtureExamples(family).entries()) {
      const ids = fixtureGoldens(family).greedy[row] ?? assert.fail();
      const end = ids.indexOf(tokenizer.eosTokenId ?? -1);
      const answer = await client.completions.create({
        ...{ model: "tiny", prompt: promptIds, max_tokens: ids.length, temperature: 0 },
      });
      const [choice] = answer.choices;
      assert.equal(choice?.finish_reason, end < 0 ? "length" : "stop");
      // a character that the prompt has begun is the answer's
      const before = decode(promptIds).replace(/\uFFFD+$/, "");
      const expected = decode([...promptIds, ...(end < 0 ? ids : ids.slice(0, end))]).slice(before.length);
      assert.equal(whole(choice?.text), whole(expected));
      assert.equal(answer.usage?.completion_tokens, end < 0 ? ids.length : end + 1);
    }
  });
}
