/** Answers jobs (see gguf-peers.ts) with the node-llama-cpp of the folder that is its argument. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.argv[2], "index.js"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(require.resolve("node-llama-cpp")));
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  progressLogs: false,
  logLevel: LlamaLogLevel.error,
});

/** Tokens after `prompt` until one ends the answer or there are `most`, and the most likely first ones. */
async function answer(sequence, { prompt, most, temperature }) {
  await sequence.clearHistory();
  const out = { tokens: [], ended: false, first: [] };
  const tokens = sequence.evaluateWithMetadata(
    prompt,
    { probabilities: true },
    { temperature, seed: Math.floor(Math.random() * 2 ** 31), yieldEogToken: true },
  );
  for await (const { token, probabilities } of tokens) {
    if (out.first.length === 0) out.first = [...probabilities].slice(0, 20);
    if (sequence.model.isEogToken(token)) {
      out.ended = true;
      break;
    }
    out.tokens.push(token);
    if (out.tokens.length >= most) break;
  }
  return out;
}

async function work({ model: modelPath, lora, texts = [], prompts = [], most = 64, samples = 0 }) {
  const model = await llama.loadModel({ modelPath });
  const context = await model.createContext({
    contextSize: 512,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
    ...(lora === undefined ? {} : { lora: { adapters: [{ filePath: lora, scale: 1 }] } }),
  });
  const sequence = context.getSequence();
  const answers = [];
  for (const prompt of prompts) answers.push(await answer(sequence, { prompt, most, temperature: 0 }));
  const sampled = [];
  for (let i = 0; i < samples; i++) {
    sampled.push((await answer(sequence, { prompt: prompts[0], most, temperature: 1 })).ended);
  }
  const tokens = texts.map((each) => [...model.tokenize(each, true)]);
  await context.dispose();
  await model.dispose();
  return {
    tokens,
    greedy: answers.map((each) => each.tokens),
    ended: answers.map((each) => each.ended),
    first: answers.map((each) => each.first),
    sampled,
  };
}

const results = [];
for (const job of JSON.parse(await text(process.stdin))) results.push(await work(job));
process.stdout.write(JSON.stringify(results), () => process.exit(0));
