/** `preftune serve` as the command, in a separate process with a tiny model: for what is measured of its process. */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startProgram } from "./command.ts";
import { makeTinyModel } from "./tiny-model.ts";
import { temporaryDirectory } from "./tiny-models.ts";

const key = "test-key";

/** A server in a separate process. */
export interface Served extends AsyncDisposable {
  url: string;
  /** A request with the key. */
  post(path: string, body: string | Uint8Array, init?: RequestInit): Promise<Response>;
  /** Metrics by name. */
  metrics(): Promise<Map<string, number>>;
  /** The metrics, once the engine has nothing to do. */
  idle(): Promise<Map<string, number>>;
  /** A connection on which `text` was sent and nothing is read. */
  raw(text: string): Promise<Socket>;
  /** What it printed. */
  printed(): string;
}

/** For `served`: its processes collect garbage once a second, so that their memory is what they hold. */
export const collectsGarbage: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --import=${new URL("collect-garbage.mjs", import.meta.url)}`,
};

/** Starts `preftune serve` with more options and variables; the tiny model has a context of `context` tokens. */
export async function served(
  options: readonly string[] = [],
  context = 512,
  env: Readonly<Record<string, string>> = {},
): Promise<Served> {
  const dir = temporaryDirectory();
  const model = makeTinyModel(join(dir.path, "tiny"), { config: { max_position_embeddings: context } });
  const args = [
    "serve",
    "--model",
    model,
    "--port",
    "0",
    "--device",
    "cpu",
    "--dtype",
    "float32",
    "--threads",
    "1",
  ];
  const program = join(import.meta.dirname, "../../bin/preftune.mjs");
  const running = startProgram([program, ...args, ...options], { PREFTUNE_API_KEY: key, ...env });
  let printed = "";
  running.child.stdout?.on("data", (chunk: Buffer) => {
    printed += chunk.toString();
  });
  await Promise.race([
    running.saw('"event":"engine ready"'),
    running.ended.then(({ stderr }) => {
      throw new Error(`serve ended: ${stderr}`);
    }),
  ]);
  const url = /"url":"([^"]+)"/.exec(printed)?.[1] ?? "";
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const metrics = async () => {
    const text = await (await fetch(`${url}/metrics`, { headers })).text();
    const lines = text.split("\n").filter((line) => /^\w+ /.test(line));
    return new Map(
      lines.map((line): [string, number] => [line.split(" ")[0] ?? "", Number(line.split(" ")[1])]),
    );
  };
  return {
    url,
    post: (path, body, init = {}) =>
      fetch(`${url}${path}`, { method: "POST", body, headers, ...init } as RequestInit),
    metrics,
    idle: async () => {
      for (;;) {
        const current = await metrics();
        const busy = ["preftune_answers_running", "preftune_requests_waiting"].map((name) =>
          current.get(name),
        );
        if (busy.every((count) => count === 0)) return current;
        await sleep(20);
      }
    },
    raw: (text) =>
      new Promise((resolve, reject) => {
        const socket = connect(Number(new URL(url).port), "127.0.0.1", () => {
          socket.off("error", reject).on("error", () => {});
          socket.write(text, () => resolve(socket));
        });
        socket.once("error", reject).pause();
      }),
    printed: () => printed,
    [Symbol.asyncDispose]: async () => {
      running.child.kill("SIGKILL");
      await running.ended;
      dir[Symbol.dispose]();
    },
  };
}

/** The text of a POST with the key, to be sent on a connection. */
export function rawPost(path: string, body: string): string {
  const head = [
    `POST ${path} HTTP/1.1`,
    "Host: localhost",
    `Authorization: Bearer ${key}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}
