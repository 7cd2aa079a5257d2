/**
 * llama.cpp's greedy answers to the benchmark's prompts: one JSON line with the fields of generate-record.ts.
 *
 * usage: generate-llama.mjs PLAN PROMPTS FOLDER FILE; FOLDER has node-llama-cpp, FILE is the model in GGUF
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [planText = "", prompts = "", folder = "", modelPath = ""] = process.argv.slice(2);
const { threads, newTokens } = JSON.parse(planText);
const require = createRequire(join(folder, "index.js"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const llama = await getLlama({
  ...{ gpu: false, build: "never", skipDownload: true, progressLogs: false },
  ...{ logLevel: LlamaLogLevel.error, maxThreads: threads },
});
const model = await llama.loadModel({ modelPath });

/** `count` tokens after `prompt`, ends of text among them. */
async function answer(sequence, prompt, count) {
  await sequence.clearHistory();
  const ids = [];
  let input = prompt;
  while (ids.length < count) {
    for await (const id of sequence.evaluate(input, { temperature: 0, yieldEogToken: true })) {
      ids.push(id);
      if (ids.length >= count) break;
    }
    // it stops behind an end of text, which has been counted and is still to be read
    input = ids.slice(-1);
  }
  return ids;
}

const runs = [];
for (const batch of JSON.parse(readFileSync(prompts, "utf8"))) {
  const context = await model.createContext({
    ...{
      sequences: batch.length,
      contextSize: batch[0].length + newTokens + 8,
      threads,
      flashAttention: false,
    },
    ...{ experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32" },
  });
  const sequences = batch.map(() => context.getSequence());
  const answers = (count) => Promise.all(batch.map((prompt, i) => answer(sequences[i], prompt, count)));
  await answers(3);
  const [began, before] = [performance.now(), process.cpuUsage()];
  const ids = await answers(newTokens);
  const { user, system } = process.cpuUsage(before);
  runs.push({
    batch: batch.length,
    seconds: (performance.now() - began) / 1000,
    cpu: (user + system) / 1e6,
    ids,
  });
  await context.dispose();
}
process.stdout.write(`${JSON.stringify({ runs, features: llama.systemInfo })}\n`, () => process.exit(0));
