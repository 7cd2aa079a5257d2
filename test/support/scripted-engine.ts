/**
 * An engine process for the server's fault tests: it answers at once or on request, with tokens that follow from the
 * prompt alone, and fails in the ways that the request's seed names (see `faults`).
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Stages } from "../../src/base/stages.ts";
import type {
  EngineStats,
  GenerateEvent,
  GenerateRequest,
  GenerationEngine,
} from "../../src/generate/request.ts";
import { hostEngine } from "../../src/serve/engine-host.ts";

/** Seeds that make the engine fail at its third token, or slow. */
export const faults = {
  /** The process ends as if killed. */
  dies: 9001,
  /** An exception inside a step. */
  throws: 9002,
  /** It computes for ever. */
  hangs: 9003,
  /** The engine itself reports an error of this request. */
  errs: 9004,
  /** Every step takes 100 ms while such a request is there. */
  slow: 9005,
} as const;

/** Environment variable: a file with the number of starts that are still to fail. */
export const failingStarts = "PREFTUNE_TEST_FAILING_STARTS";

interface Answer {
  id: string;
  request: GenerateRequest;
  onEvent: (event: GenerateEvent) => void;
  drawn: number;
}

const letters = 26;
const firstLetter = 97;

/** Letters in the order of the alphabet, from one that the prompt decides, one a step; all answers of a request alike. */
class ScriptedEngine implements GenerationEngine {
  readonly #answers: Map<string, Answer> = new Map();
  #promptTokens = 0;
  #completionTokens = 0;

  submit(id: string, request: GenerateRequest, onEvent: (event: GenerateEvent) => void): void {
    this.#answers.set(id, { id, request, onEvent, drawn: 0 });
    this.#promptTokens += request.promptIds.length;
  }

  cancel(id: string): void {
    this.#answers.delete(id);
  }

  step(): boolean {
    for (const answer of this.#answers.values()) this.#grow(answer);
    // a step takes a while, as it does with a model
    const isSlow = [...this.#answers.values()].some(({ request }) => request.seed === faults.slow);
    sleep(isSlow ? 100 : 1);
    return this.#answers.size > 0;
  }

  get stats(): EngineStats {
    return {
      running: [...this.#answers.values()].reduce((sum, { request }) => sum + request.n, 0),
      waiting: 0,
      promptTokens: this.#promptTokens,
      cachedTokens: 0,
      completionTokens: this.#completionTokens,
      cacheBytesUsed: 0,
      cacheBytesKept: 0,
      cacheBytesReserved: 0,
    };
  }

  #grow(answer: Answer): void {
    const { request, onEvent } = answer;
    if (answer.drawn === 2) fail(request, onEvent);
    if (request.seed === faults.errs && answer.drawn === 2) {
      this.#answers.delete(answer.id);
      return;
    }
    const first = request.promptIds.reduce((sum, id) => sum + id, 0);
    const code = firstLetter + ((first + answer.drawn) % letters);
    answer.drawn++;
    this.#completionTokens += request.n;
    for (let i = 0; i < request.n; i++) {
      onEvent({
        type: "token",
        answer: i,
        id: code,
        text: String.fromCharCode(code),
        logprob: null,
        top: [],
        place: answer.drawn - 1,
        isFirst: false,
      });
    }
    if (answer.drawn < request.maxNewTokens) return;
    for (let i = 0; i < request.n; i++)
      onEvent({ type: "end", answer: i, reason: "length", text: "", stoppedBy: null, last: null });
    const completionTokens = answer.drawn * request.n;
    onEvent({ type: "done", promptTokens: request.promptIds.length, cachedTokens: 0, completionTokens });
    this.#answers.delete(answer.id);
  }
}

function fail({ seed }: GenerateRequest, onEvent: (event: GenerateEvent) => void): void {
  if (seed === faults.dies) process.kill(process.pid, "SIGKILL");
  if (seed === faults.throws) throw new Error("a step went wrong");
  if (seed === faults.errs) onEvent({ type: "error", message: "this request went wrong" });
  while (seed === faults.hangs) sleep(1000);
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function startOrFail(): void {
  const path = process.env[failingStarts];
  if (path === undefined || !existsSync(path)) return;
  const left = Number(readFileSync(path, "utf8"));
  if (left === 0) return;
  writeFileSync(path, String(left - 1));
  process.stderr.write("the scripted engine cannot start\n");
  process.exit(1);
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  hostEngine(async () => {
    startOrFail();
    const tokenizer = {
      decode: (ids: readonly number[]) => String.fromCharCode(...ids),
      tokenBytes: (id: number) => Uint8Array.of(id),
      isSpecial: () => false,
    };
    const stages = new Stages();
    stages.end("program");
    const engine = new ScriptedEngine();
    return { engine, tokenizer, device: "cpu", dtype: "float32", liveTensors: () => 0, stages };
  });
}
