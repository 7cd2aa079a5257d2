/**
 * Renders a chat template in a child process with limits on time, memory and output, and no access to anything.
 * What the child says is checked; a child that breaks a limit is killed and replaced, and only its render fails.
 */
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";

import { cpuMsOf } from "../base/process-state.ts";
import { Child, programBeside } from "../process/child.ts";
import type { TemplateInput } from "./jinja/compile.ts";

/** Limits of the child process. */
export interface RenderLimits {
  /** Processor time of one render. Where the system does not tell it, the child stops itself, at some times that. */
  timeoutMs: number;
  /** Heap of the child process. */
  memoryMb: number;
  /** Longest text one render may give, in characters. */
  maxOutput: number;
}

/** Why a render failed: the template raised an error, is no template at all, broke a limit, or the child failed. */
export type FailureKind = "raised" | "invalid" | "timeout" | "memory" | "output" | "crash";

/** Why there is no text. */
type Failure = { kind: FailureKind; reason: string };

/** A rendered text, or why there is none. */
export type ProcessReply = { text: string } | Failure;

interface Job {
  /** Of its answer too: the answer to another render is never taken for its own. */
  id: number;
  line: string;
  resolve: (reply: ProcessReply) => void;
}

type State = "none" | "starting" | "loading" | "ready";

const startTimeoutMs = 30_000;
const inFlight = 32;
const failuresToGiveUp = 3;
/** A child that has neither answered nor computed for its limit by now is stuck, however busy the machine is. */
const longestWaitMs = 600_000;

/** One template in a child process that starts with the first render and is replaced when it breaks a limit. */
export class TemplateProcess {
  readonly #source: string;
  readonly #limits: RenderLimits;
  /** Renders not answered yet; the first `#sent` of them are with the child. */
  #queue: Job[] = [];
  #sent = 0;
  #child: Child | null = null;
  #state: State = "none";
  #timer: NodeJS.Timeout | null = null;
  #output = "";
  #failuresInARow = 0;
  #hasRendered = false;
  #rendersSoFar = 0;

  constructor(source: string, limits: RenderLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  /** Renders one input. Never rejects; calls are answered in order. */
  render(input: TemplateInput): Promise<ProcessReply> {
    return new Promise((resolve) => {
      const id = this.#rendersSoFar++;
      this.#queue.push({ id, line: `${id} ${JSON.stringify(input)}\n`, resolve });
      this.#pump();
    });
  }

  /** Ends the child process. Renders under way fail. */
  async close(): Promise<void> {
    const child = this.#detach();
    this.#failAll({ kind: "crash", reason: "the renderer was closed" });
    await child?.kill();
  }

  #pump(): void {
    if (this.#queue.length === 0) return;
    if (this.#child === null) this.#start();
    if (this.#state === "ready") {
      while (this.#sent < Math.min(this.#queue.length, inFlight)) {
        this.#write(this.#queue[this.#sent]?.line ?? "");
        this.#sent++;
      }
      if (this.#timer === null) this.#arm(this.#limits.timeoutMs);
    }
    this.#child?.holdEventLoop(true);
  }

  #start(): void {
    const renderer = spawn(process.execPath, childArguments(this.#limits.memoryMb), {
      env: {},
      cwd: tmpdir(),
      stdio: ["pipe", "pipe", "pipe"],
    });
    const child = new Child(renderer, { onEnd: (how) => this.#ended(child.written, how) });
    this.#child = child;
    this.#state = "starting";
    this.#output = "";
    renderer.stdin.on("error", () => {
      // A dead child also closes its pipe; its end says why.
    });
    renderer.stdout.setEncoding("utf8").on("data", (chunk: string) => this.#receive(child, chunk));
    this.#arm(startTimeoutMs);
  }

  #write(line: string): void {
    this.#child?.process.stdin?.write(line);
  }

  #receive(child: Child, chunk: string): void {
    if (child !== this.#child) return;
    this.#output += chunk;
    for (let end = this.#output.indexOf("\n"); end >= 0; end = this.#output.indexOf("\n")) {
      const line = this.#output.slice(0, end);
      this.#output = this.#output.slice(end + 1);
      this.#answer(line);
      if (child !== this.#child) return;
    }
    // JSON writes a character in at most six.
    if (this.#output.length > 6 * this.#limits.maxOutput + 1000) {
      this.#fail({ kind: "output", reason: "more output than allowed" });
    }
  }

  #answer(line: string): void {
    const reply = parseReply(line);
    if (this.#state === "starting" && "up" in reply) {
      const { timeoutMs, maxOutput } = this.#limits;
      // The child's own limit only matters where this one does not see what it computes, or is gone: it is the longer one.
      const setup = { source: this.#source, timeoutMs: 5 * timeoutMs + 1000, maxOutput };
      this.#write(`${JSON.stringify(setup)}\n`);
      this.#state = "loading";
      this.#arm(this.#limits.timeoutMs);
    } else if (this.#state === "loading" && "ready" in reply) {
      this.#state = "ready";
      this.#disarm();
      this.#pump();
    } else if (
      this.#state === "ready" &&
      this.#sent > 0 &&
      "id" in reply &&
      reply.id === this.#queue[0]?.id
    ) {
      const { id: _, ...rendered } = reply;
      const isTooLong = "text" in rendered && rendered.text.length > this.#limits.maxOutput;
      this.#settle(isTooLong ? { kind: "output", reason: "too long" } : rendered);
    } else {
      this.#fail("kind" in reply ? reply : { kind: "crash", reason: "an answer that was not asked for" });
    }
  }

  #settle(reply: ProcessReply): void {
    this.#disarm();
    this.#sent--;
    this.#failuresInARow = 0;
    this.#hasRendered = true;
    this.#queue.shift()?.resolve(reply);
    this.#child?.holdEventLoop(this.#queue.length > 0);
    this.#pump();
  }

  #ended(errors: string, how: string): void {
    const outOfMemory = /heap out of memory|heap limit|OOM/i.test(errors);
    const detail = this.#state === "starting" && !outOfMemory ? `: ${errors.trim().slice(-500)}` : "";
    this.#fail({ kind: outOfMemory ? "memory" : "crash", reason: `${how}${detail}` });
  }

  /** Kills the child and lets the render it was at fail; the others go to a new child. */
  #fail(failure: Failure): void {
    // What has never written anything is the template's fault, not a conversation's.
    const isHopeless = this.#state !== "ready" || !this.#hasRendered;
    void this.#detach()?.kill();
    this.#failuresInARow++;
    if (this.#failuresInARow >= failuresToGiveUp || isHopeless) this.#failAll(failure);
    else this.#queue.shift()?.resolve(failure);
    this.#pump();
  }

  #failAll(failure: Failure): void {
    const jobs = this.#queue;
    this.#queue = [];
    for (const job of jobs) job.resolve(failure);
  }

  /** Forgets the child, so that nothing it still says is heard. */
  #detach(): Child | null {
    const child = this.#child;
    this.#disarm();
    this.#child?.holdEventLoop(false);
    this.#child = null;
    this.#state = "none";
    this.#sent = 0;
    return child;
  }

  #arm(timeoutMs: number): void {
    this.#disarm();
    const began = performance.now();
    const pid = this.#child?.process.pid ?? 0;
    const computedBefore = cpuMsOf(pid);
    const check = (): void => {
      const computed = cpuMsOf(pid);
      const spent = computed === null || computedBefore === null ? 0 : computed - computedBefore;
      const left = timeoutMs - spent;
      if (left <= 0 || performance.now() - began > longestWaitMs) {
        this.#fail({ kind: "timeout", reason: `longer than ${timeoutMs} ms` });
      } else {
        this.#timer = setTimeout(check, Math.max(left, 10));
      }
    };
    this.#timer = setTimeout(check, timeoutMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

type ChildReply = { up: true } | { ready: true } | Failure | ({ id: number } & ProcessReply);

/** The child's line as one of the replies it may give; anything else counts as a crash. */
function parseReply(line: string): ChildReply {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { kind: "crash", reason: "an answer that is not JSON" };
  }
  const fields = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  if (fields["up"] === true) return { up: true };
  if (fields["ready"] === true) return { ready: true };
  const { id, text, kind, error } = fields;
  if (typeof id === "number" && typeof text === "string") return { id, text };
  const known = (["raised", "invalid", "timeout", "output"] as const).find((one) => one === kind);
  if (typeof error === "string" && known !== undefined) {
    const failure = { kind: known, reason: error.slice(0, 2000) };
    return typeof id === "number" ? { id, ...failure } : failure;
  }
  return { kind: "crash", reason: "an answer of an unknown form" };
}

function childArguments(memoryMb: number): string[] {
  const here = import.meta.dirname;
  const ending = extname(import.meta.filename);
  return [
    `--max-old-space-size=${memoryMb}`,
    "--disallow-code-generation-from-strings",
    "--no-warnings",
    "--permission",
    `--allow-fs-read=${here}`,
    `--allow-fs-read=${join(here, "..", "formats", `json-scan${ending}`)}`,
    `--allow-fs-read=${join(here, "..", "base", `time-limit${ending}`)}`,
    programBeside(import.meta, "template-child"),
  ];
}
