/** Program of the thread that reads requests and makes token ids of prompts. Started by prompt-worker.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { failureOf } from "../process/failure.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import { PromptEncoder } from "./prompt-encoder.ts";
import type { PromptMessage, PromptSetup, PromptTask } from "./prompt-worker.ts";
import { type ReadRequest, RequestReader } from "./request-reader.ts";
import { Turns } from "./turns.ts";

/** A request under way in this thread. */
interface Open {
  leave: AbortController;
  request: ReadRequest<"chat" | "completion"> | null;
}

const open = new Map<number, Open>();

function send(message: PromptMessage): void {
  parentPort?.postMessage(message);
}

/** Sends what `work` gives; what it refuses ends the request, and so does its client. */
async function answered(id: number, { leave }: Open, work: () => Promise<PromptMessage>): Promise<void> {
  try {
    const message = await work();
    if (!leave.signal.aborted) send(message);
  } catch (error) {
    open.delete(id);
    if (leave.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    const { kind, message, param } = error;
    send({ type: "refused", id, kind, message, param });
  }
}

async function receive(reader: RequestReader, task: PromptTask): Promise<void> {
  const { id } = task;
  const known = open.get(id);
  if (task.type === "read") {
    const fresh: Open = { leave: new AbortController(), request: null };
    open.set(id, fresh);
    await answered(id, fresh, async () => {
      const request = await reader.read(task.route, task.body, fresh.leave.signal);
      fresh.request = request;
      const { fields, prompts, continuesTurn } = request;
      return { type: "read", id, read: { fields, prompts, continuesTurn } };
    });
  } else if (known === undefined) {
    // it was refused, or dropped, while this was on its way
  } else if (task.type === "drop") {
    known.leave.abort();
    open.delete(id);
  } else if (known.request !== null) {
    const { request } = known;
    await answered(id, known, async () => {
      const encoded = await request.encode();
      open.delete(id);
      return { type: "encoded", id, encoded };
    });
  }
}

try {
  const { directory, options, limits } = workerData as PromptSetup;
  const encoder = new PromptEncoder(loadTokenizer(directory), options);
  await encoder.probe();
  const reader = new RequestReader(encoder, limits, new Turns());
  parentPort?.on("message", (task: PromptTask | null) => {
    if (task !== null) void receive(reader, task);
    // the renderer of unknown templates is a process, which is ended here
    else void encoder[Symbol.asyncDispose]().then(() => parentPort?.close());
  });
  send({ type: "ready" });
} catch (error) {
  send({ type: "failed", failure: failureOf(error) });
}
