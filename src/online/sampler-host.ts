/** The sampling process's side of the conversation: opens what its first message says, then begins every task as it comes. */
import { listenToStopSignals } from "../base/stop-signals.ts";
import { failureOf } from "../process/failure.ts";
import type { NextOptions } from "../train/step-source.ts";
import type { SamplerCommand, SamplerMessage, SamplerSettings, SamplerTask } from "./sampler-messages.ts";

/** What does the tasks, in which order is its affair: `run` is called in that of their coming. */
export interface OpenSampler extends AsyncDisposable {
  run(task: SamplerTask, how: NextOptions): Promise<unknown>;
}

/** Milliseconds between two messages of how far a task is. */
const rhythmMs = 200;

/** Serves the parent until it says stop or is gone. */
export function hostSampler(open: (settings: SamplerSettings) => Promise<OpenSampler>): void {
  // a terminal's Ctrl-C reaches every process of the group; the parent ends this one
  listenToStopSignals(() => {});
  process.on("disconnect", () => process.exit(1));
  const stop = new AbortController();
  const first = Promise.withResolvers<SamplerSettings>();
  const opened = first.promise.then(open);
  opened.catch(async (error: unknown) => {
    await send({ type: "failed", id: null, failure: failureOf(error) });
    process.exit(1);
  });
  const tasks: Set<Promise<void>> = new Set();
  process.on("message", (message) => {
    const command = message as SamplerCommand;
    if (command.type === "start") first.resolve(command.settings);
    else if (command.type === "task") {
      const { id, task } = command;
      const done = opened
        .then(async (sampler) => send(await answer(sampler, id, task, stop.signal)))
        .catch(() => {})
        .finally(() => tasks.delete(done));
      tasks.add(done);
    } else {
      stop.abort();
      void opened.then(async (sampler) => {
        await Promise.all(tasks);
        await sampler[Symbol.asyncDispose]();
        process.exit(0);
      });
    }
  });
}

async function answer(
  sampler: OpenSampler,
  id: number,
  task: SamplerTask,
  signal: AbortSignal,
): Promise<SamplerMessage> {
  let sentAt = Number.NEGATIVE_INFINITY;
  let last: string | null = null;
  const onWork: NextOptions["onWork"] = (at, done, total) => {
    const now = performance.now();
    if (at === last && now - sentAt < rhythmMs) return;
    [sentAt, last] = [now, at];
    void send({ type: "work", id, at, done, total });
  };
  try {
    signal.throwIfAborted();
    return { type: "done", id, result: await sampler.run(task, { signal, onWork }) };
  } catch (error) {
    return { type: "failed", id, failure: failureOf(error) };
  }
}

/** Resolves when the message is on its way, or cannot be sent any more. */
function send(message: SamplerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) throw new Error("the sampling process is started by a run only");
    process.send(message, undefined, undefined, () => resolve());
  });
}
