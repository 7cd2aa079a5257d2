/** Program of the thread that makes token ids of prompts. Started by prompt-worker.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { messageOf, PreftuneError } from "../base/errors.ts";
import { parseJson } from "../text/json.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import type { PromptMessage, PromptSetup, PromptTask } from "./prompt-worker.ts";
import { type PromptAsk, PromptEncoder } from "./prompts.ts";

function send(message: PromptMessage): void {
  parentPort?.postMessage(message);
}

async function answer(encoder: PromptEncoder, { id, ask }: PromptTask): Promise<void> {
  try {
    send({ type: "encoded", id, encoded: await encoder.encode(parseJson(ask) as PromptAsk) });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { kind, message, param } = error;
    send({ type: "refused", id, kind, message, param });
  }
}

try {
  const { directory, options } = workerData as PromptSetup;
  const encoder = new PromptEncoder(loadTokenizer(directory), options);
  await encoder.probe();
  parentPort?.on("message", (task: PromptTask | null) => {
    if (task !== null) void answer(encoder, task);
    // the renderer of unknown templates is a process, which is ended here
    else void encoder[Symbol.asyncDispose]().then(() => parentPort?.close());
  });
  send({ type: "ready" });
} catch (error) {
  const exitCode = error instanceof PreftuneError ? error.exitCode : 1;
  send({ type: "failed", message: messageOf(error), exitCode });
}
