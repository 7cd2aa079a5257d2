/** `preftune serve` with variants of one adapter at several scales: side by side in one batch each answers as it does alone, and as `generate` does. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { start } from "../support/command.ts";
import { startServer } from "../support/servers.ts";
import { endOfTurn, makeTinyAdapter, makeTinyModel } from "../support/tiny-model.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
const base = makeTinyModel(join(dir.path, "base"));
const adapter = makeTinyAdapter(join(dir.path, "adapter"), base);
const adapters = { most: `${adapter}@scale=0.9`, part: `${adapter}@scale=0.4` };
const prompt = "Say something.";

interface Answer {
  text: string;
  logprobs: number[];
}

test("two scales of one adapter answer in one batch as each alone", async () => {
  await using server = await startServer({ model: base, adapters });
  const client = server.client();
  // the end of the turn is ruled out, so that an answer is as long as is asked for
  const settings = { prompt, temperature: 0, logprobs: 1, logit_bias: { [endOfTurn]: -100 } };
  const ask = async (model: string, count: number, onToken = () => {}): Promise<Answer> => {
    const answer: Answer = { text: "", logprobs: [] };
    const body = { ...settings, model, max_tokens: count };
    for await (const { choices } of await client.completions.create({ ...body, stream: true })) {
      answer.text += choices[0]?.text ?? "";
      answer.logprobs.push(...(choices[0]?.logprobs?.token_logprobs ?? []));
      onToken();
    }
    assert.equal(answer.logprobs.length, count);
    return answer;
  };
  const alone = { most: await ask("most", 450), part: await ask("part", 24) };
  assert.notDeepEqual(alone.most.logprobs.slice(0, 24), alone.part.logprobs);

  // the short answer begins and ends while the long one is written
  const begun = Promise.withResolvers<void>();
  let isLongDone = false;
  const long = ask("most", 450, begun.resolve).finally(() => {
    isLongDone = true;
  });
  await begun.promise;
  const short = await ask("part", 24);
  assert.ok(!isLongDone, "both were under way together");
  assert.deepEqual({ most: await long, part: short }, alone);
});

test("variants at two scales say what generate says at those scales", async () => {
  await using server = await startServer({ model: base, adapters });
  const client = server.client();
  const settings = { prompt, temperature: 0, max_tokens: 24 };
  const answers = Object.keys(adapters).map(async (model) => {
    const { choices } = await client.completions.create({ ...settings, model });
    return choices[0]?.text ?? "";
  });
  const [most, part] = await Promise.all(answers);
  assert.notEqual(most, part);
  const named = Object.entries(adapters).flatMap(([name, place]) => ["--adapter", `${name}=${place}`]);
  const options = ["--temperature", "0", "--max-new-tokens", "24", "--plain"];
  const machine = ["--device", "cpu", "--dtype", "float32", "--threads", "1"];
  const generate = ["generate", "--model", base, ...named, "--prompt", prompt, ...options, ...machine];
  const { status, stdout, stderr } = await start(generate).ended;
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `--- most\n${most}\n--- part\n${part}\n`);
});
