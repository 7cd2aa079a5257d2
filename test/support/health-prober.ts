/** A thread that asks /health again and again on a separate connection, and reports how long each answer took. */
import { Agent, get } from "node:http";
import { parentPort, Worker, workerData } from "node:worker_threads";

/** Time between an answer and the next question, in ms. */
const pauseMs = 10;

/** Asks a server for its health until `stop`. */
export class HealthProber {
  readonly #worker: Worker;

  constructor(url: string) {
    this.#worker = new Worker(import.meta.filename, { workerData: { url }, execArgv: [] });
    // a test that fails before `stop` ends all the same
    this.#worker.unref();
  }

  /** Milliseconds of each answer, in order; those that failed took for ever. */
  async stop(): Promise<number[]> {
    this.#worker.ref();
    const times = new Promise<number[]>((resolve) => this.#worker.once("message", resolve));
    this.#worker.postMessage("stop");
    const latencies = await times;
    await this.#worker.terminate();
    return latencies;
  }
}

/** The value that a fraction of the others are below. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function asked(url: string, agent: Agent): Promise<number> {
  const began = performance.now();
  return new Promise((resolve) => {
    const request = get(`${url}/health`, { agent }, (reply) => {
      reply
        .resume()
        .once("end", () => resolve(reply.statusCode === 200 ? performance.now() - began : Infinity));
    });
    request.once("error", () => resolve(Number.POSITIVE_INFINITY));
  });
}

if (parentPort !== null) {
  const port = parentPort;
  const { url } = workerData as { url: string };
  let isOver = false;
  port.once("message", () => {
    isOver = true;
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  while (!isOver) {
    times.push(await asked(url, agent));
    await new Promise((resolve) => void setTimeout(resolve, pauseMs));
  }
  agent.destroy();
  port.postMessage(times);
}
