/** Options of `preftune serve`, their defaults and their checks, and the events that the server reports. */
import { randomBytes } from "node:crypto";
import { ConfigError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { Quantisation, WeightForm } from "../formats/quantisation.ts";
import type { CallerLimits } from "./callers.ts";
import type { EngineNews, EngineProcessOptions } from "./engine-process.ts";
import { isLoopback } from "./guard.ts";
import type { OutletLimits } from "./outlet.ts";
import type { RequestRecord } from "./request-record.ts";
import { REQUEST_LIMITS, type RequestLimits } from "./request-tables.ts";
import type { RequestTimeouts } from "./server.ts";

/** What to serve, where, and to whom. */
export interface ServeOptions extends RequestLimits {
  /** Directory or hub id. */
  model: string;
  /** Name of the base model in requests; null: the last part of its path. */
  name: string | null;
  /** Directories or hub ids of adapters by the names they get in requests. */
  adapters: Readonly<Record<string, string>>;
  /** Name, file or text of a chat template; null: the tokenizer's own. */
  chatTemplate: string | null;
  /** The template's `enable_thinking` for requests that do not give it; null: as the template has it without. */
  enableThinking: boolean | null;
  host: string;
  port: number;
  /** What requests are let in with; null: a random one, on loopback only. */
  key: string | null;
  /** Origins of web pages that may ask. */
  origins: readonly string[];
  device: string;
  dtype: "auto" | "float32" | "bfloat16";
  /** How the weights are held: in `dtype`, or in 8 bits. */
  weights: WeightForm;
  /** How the linears of blocks are held, unless `weights` says so; null: as they are stored. */
  quantise: Quantisation | null;
  threads: number | null;
  /** Answers computed at once. */
  maxRunning: number;
  /** Further answers that may wait. */
  maxQueue: number;
  /** Whether requests find what earlier ones have computed of the same prompt. */
  keepsPrefixes: boolean;
  maxBodyBytes: number;
  /** Time that requests under way have to end when the server stops. */
  drainMs: number;
  /** Silence of an engine that has requests, after which it is taken to hang and started again; 0: never. */
  stallMs: number;
  /** Stops the server: requests under way end first. */
  signal?: AbortSignal;
  onEvent?: (event: ServeEvent) => void;
  onPhase?: PhaseListener;
  timeouts?: RequestTimeouts;
  /** Other limits on connections, for tests. */
  callers?: CallerLimits;
  /** Other limits on what clients leave unread, for tests. */
  outlets?: OutletLimits;
  /** Another program for the engine process and other pauses between its starts, for tests. */
  engine?: Partial<Pick<EngineProcessOptions, "program" | "policy" | "onComplaint">>;
}

/** Values of the options that need none. */
export const SERVE_DEFAULTS: Omit<ServeOptions, "model"> = {
  name: null,
  adapters: {},
  chatTemplate: null,
  enableThinking: null,
  host: "127.0.0.1",
  port: 8000,
  key: null,
  origins: [],
  device: "auto",
  dtype: "auto",
  weights: "dtype",
  quantise: null,
  threads: null,
  maxRunning: 16,
  maxQueue: 64,
  keepsPrefixes: true,
  ...REQUEST_LIMITS,
  maxBodyBytes: 2 ** 20,
  drainMs: 30_000,
  stallMs: 300_000,
};

/** What happens while the server runs, for its log. */
export type ServeEvent =
  /** `key`: the random key that was made; null where the user gave one. */
  | { type: "listening"; url: string; key: string | null; models: string[] }
  | { type: "engine"; news: EngineNews }
  | { type: "request"; record: RequestRecord }
  | { type: "fault"; error: unknown }
  | { type: "stopping"; open: number }
  | { type: "stopped"; cut: number };

/**
 * The key that requests have to bring: the one given, or a random one on loopback.
 *
 * @throws {ConfigError} if there is none for an address that others can reach, or no header can carry it
 */
export function keyOf({ key, host }: Pick<ServeOptions, "key" | "host">): string {
  if (key !== null) {
    if (/^[\x21-\x7e]+$/.test(key)) return key;
    throw new ConfigError(
      "the API key: expected visible ASCII characters without spaces, which a header can carry.",
    );
  }
  if (isLoopback(host)) return randomBytes(24).toString("base64url");
  throw new ConfigError(
    `--host ${host}: other machines could reach the server there, so it needs a key of yours. ` +
      "Give --api-key-file FILE or set PREFTUNE_API_KEY, or keep to --host 127.0.0.1.",
  );
}

/** @throws {ConfigError} if one is no origin */
export function checkOrigins(origins: readonly string[]): void {
  const wrong = origins.find((origin) => !isOrigin(origin));
  if (wrong === undefined) return;
  throw new ConfigError(
    `--allow-origin: expected an origin like https://host:port, without a path; got "${wrong}".`,
  );
}

/** Whether browsers send `text` as the origin of pages: of the web, or of an extension or a desktop app (`app://name`). */
function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol } = new URL(text);
  // "null" for every scheme that is not the web's; browsers send scheme and host
  if (origin === "null") return protocol !== "file:" && /^[a-z][a-z\d+.-]*:\/\/[^/?#\s]+$/.test(text);
  return origin === text;
}
