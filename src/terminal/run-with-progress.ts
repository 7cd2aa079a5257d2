/**
 * Progress of long steps on standard error: a line that is redrawn on a terminal, a line now and then elsewhere.
 * Also runs a child process under such a line, keeping its output for the case that it fails.
 */
import { spawn } from "node:child_process";

/** Where progress goes; replaced in tests. */
export interface ProgressSink {
  isTerminal: boolean;
  columns: number;
  write(text: string): void;
}

const standardError: ProgressSink = {
  get isTerminal() {
    return process.stderr.isTTY === true;
  },
  get columns() {
    return process.stderr.columns ?? 80;
  },
  write: (text) => process.stderr.write(text),
};

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏";
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
export function startProgress(title: string, sink: ProgressSink = standardError): Progress {
  const begin = Date.now();
  let detail = "";
  let frame = 0;
  const seconds = () => `${Math.round((Date.now() - begin) / 1000)} s`;
  const draw = () => {
    const text = `${frames[frame++ % frames.length]} preftune: ${title} ${seconds()}${detail === "" ? "" : `  ${detail}`}`;
    sink.write(`\r\u001b[2K${text.slice(0, sink.columns - 1)}`);
  };
  if (!sink.isTerminal) sink.write(`preftune: ${title} ...\n`);
  const report = sink.isTerminal
    ? draw
    : () => sink.write(`${`preftune: ... ${seconds()}  ${detail}`.trimEnd()}\n`);
  const timer = setInterval(report, sink.isTerminal ? redrawMs : repeatMs);
  timer.unref();
  return {
    detail: (text) => {
      detail = text;
    },
    end: (outcome) => {
      clearInterval(timer);
      sink.write(`${sink.isTerminal ? "\r\u001b[2K" : ""}preftune: ${title}: ${outcome} (${seconds()})\n`);
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
  sink: ProgressSink = standardError,
): Promise<Outcome> {
  const progress = startProgress(title, sink);
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
