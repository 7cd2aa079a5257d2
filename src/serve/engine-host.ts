/**
 * The engine process's side of the conversation: an engine is made as the first message says, then steps as long as it
 * has work. Between two steps the event loop turns once, so requests and cancellations are heard.
 */
import { ConfigError } from "../base/errors.ts";
import type { Stages } from "../base/stages.ts";
import { listenToStopSignals } from "../base/stop-signals.ts";
import type { GenerateEvent, GenerationEngine, TokenChoice } from "../generate/request.ts";
import { failureOf } from "../process/failure.ts";
import type {
  EngineCommand,
  EngineMessage,
  EngineReport,
  EngineSettings,
  SubmissionEvent,
  TokenLogprobs,
} from "./engine-messages.ts";
import { type TokenNamer, TokenNames } from "./token-names.ts";

/** An engine ready to answer, and what it computes with. */
export interface HostedEngine {
  engine: GenerationEngine;
  tokenizer: TokenNamer;
  device: string;
  dtype: string;
  /** Number of tensors in the process. */
  liveTensors: () => number;
  /** What the start was made of. */
  stages: Stages;
}

/**
 * Serves the parent process until it is gone. An exception inside a step ends the process: the parent starts another.
 *
 * @param makeEngine - the engine of the settings that the parent sends first
 */
export function hostEngine(makeEngine: (settings: EngineSettings) => Promise<HostedEngine>): void {
  // a terminal's Ctrl-C and a service manager's stop reach every process of the group; the parent drains and ends this one
  listenToStopSignals(() => {});
  process.on("disconnect", () => process.exit(0));
  process.once("message", async (first) => {
    const command = first as EngineCommand;
    if (command.type !== "start")
      throw new Error(`expected "start" as the first message, got "${command.type}"`);
    try {
      const hosted = await makeEngine(command.settings);
      new EngineHost(hosted).start();
    } catch (error) {
      await send({ type: "failed", failure: failureOf(error) });
      process.exit(1);
    }
  });
}

/** Resolves when the message is on its way, or cannot be sent any more. */
function send(message: EngineMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) throw new Error("the engine process is started by `preftune serve` only");
    process.send(message, () => resolve());
  });
}

class EngineHost {
  readonly #hosted: HostedEngine;
  readonly #names: TokenNames;
  #events: [string, SubmissionEvent][] = [];
  #isStepping = false;

  constructor(hosted: HostedEngine) {
    this.#hosted = hosted;
    this.#names = new TokenNames(hosted.tokenizer);
  }

  start(): void {
    const { device, dtype, stages } = this.#hosted;
    process.on("message", (message) => this.#receive(message as EngineCommand));
    void send({ type: "ready", device, dtype, stages: stages.all, report: this.#report() });
  }

  #receive(command: EngineCommand): void {
    const { engine } = this.#hosted;
    if (command.type === "cancel") engine.cancel(command.id);
    else if (command.type === "submit") this.#submit(command);
    if (this.#isStepping) return;
    this.#isStepping = true;
    setImmediate(() => this.#step());
  }

  #submit({ id, request }: Extract<EngineCommand, { type: "submit" }>): void {
    try {
      this.#hosted.engine.submit(id, request, (event) => {
        this.#events.push([id, submissionEvent(event, this.#names)]);
      });
      this.#events.push([id, { type: "accepted" }]);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#events.push([id, { type: "refused", message: error.message }]);
    }
    this.#flush();
  }

  #step(): void {
    this.#isStepping = this.#hosted.engine.step();
    this.#flush();
    if (this.#isStepping) setImmediate(() => this.#step());
  }

  #flush(): void {
    const events = this.#events;
    this.#events = [];
    void send({ type: "events", events, report: this.#report() });
  }

  #report(): EngineReport {
    const { engine, liveTensors } = this.#hosted;
    return {
      stats: { ...engine.stats },
      residentBytes: process.memoryUsage.rss(),
      liveTensors: liveTensors(),
    };
  }
}

function submissionEvent(event: GenerateEvent, names: TokenNames): SubmissionEvent {
  switch (event.type) {
    case "prompt":
      return { type: event.type, tokens: event.tokens.map((token) => shown(token, names)) };
    case "token": {
      const { type, answer, text, logprob, place } = event;
      return { type, answer, text, logprobs: logprob === null ? null : { ...shown(event, names), place } };
    }
    case "end": {
      const { last } = event;
      const hasLogprob = last !== null && last.logprob !== null;
      return { ...event, last: hasLogprob ? { ...shown(last, names), place: last.place } : null };
    }
    default:
      return event;
  }
}

function shown({ id, logprob, top, isFirst }: TokenChoice, names: TokenNames): Omit<TokenLogprobs, "place"> {
  const named = (token: number) => ({ id: token, ...names.of(token, isFirst) });
  return {
    token: { ...named(id), logprob },
    top: logprob === null ? null : top.map((other) => ({ ...named(other.id), logprob: other.logprob })),
  };
}
