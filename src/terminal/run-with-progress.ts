/**
 * Progress of long steps on standard error: the line with its seconds on a terminal, a line now and then elsewhere.
 * Also runs a child process under such a line, keeping its output for the case that it fails.
 */
import { spawn } from "node:child_process";
import { type ProgressStream, StatusLine } from "./status-line.ts";

const redrawMs = 100;
const repeatMs = 15_000;

/** A running progress line. */
export interface Progress {
  /** The last thing heard from the work, shown behind the title. */
  detail(text: string): void;
  /** Ends the line; `outcome` is what a reader should know, "done" say. */
  end(outcome: string): void;
}

/** Starts a progress line for a step called `title`. */
export function startProgress(title: string, out: ProgressStream = process.stderr): Progress {
  const line = new StatusLine(out);
  const begin = Date.now();
  let detail = "";
  const seconds = () => `${Math.round((Date.now() - begin) / 1000)} s`;
  if (!line.live) line.note(`preftune: ${title} ...`);
  const report = line.live
    ? () => line.draw([`preftune: ${title} ${seconds()}  ${detail}`], false)
    : () => line.note(`preftune: ... ${seconds()}  ${detail}`.trimEnd());
  const timer = setInterval(report, line.live ? redrawMs : repeatMs);
  timer.unref();
  return {
    detail: (text) => {
      detail = text;
    },
    end: (outcome) => {
      clearInterval(timer);
      line.note(`preftune: ${title}: ${outcome} (${seconds()})`);
    },
  };
}

/** How a child process ended. `output` is what it wrote, both streams in the order they came. */
export interface Outcome {
  status: number;
  output: string;
}

/**
 * Runs a program under a progress line; its last line of output is the detail.
 *
 * A program that cannot be started gives status 127 and the reason as its output.
 */
export function runWithProgress(
  title: string,
  program: string,
  args: readonly string[],
  out: ProgressStream = process.stderr,
): Promise<Outcome> {
  const progress = startProgress(title, out);
  return new Promise((resolve) => {
    let output = "";
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    const listen = (chunk: Buffer) => {
      output += chunk.toString("utf8");
      const lines = output.trimEnd().split(/[\r\n]/);
      progress.detail((lines.at(-1) ?? "").trim().slice(0, 100));
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.on("error", (error) => {
      output = error.message;
    });
    // a program that cannot be started closes too, with a negative status
    child.on("close", (code) => {
      progress.end(code === 0 ? "done" : "failed");
      resolve({ status: code !== null && code < 0 ? 127 : (code ?? 1), output });
    });
  });
}
