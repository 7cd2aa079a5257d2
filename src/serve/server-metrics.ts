/** The metrics of `preftune serve`, by name. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { TokenClock } from "./answering.ts";
import type { EngineReport } from "./engine-messages.ts";
import type { EngineView } from "./engine-process.ts";
import type { Outlets } from "./outlet.ts";
import { MetricsRegistry } from "./prometheus.ts";
import type { RequestRecord } from "./request-record.ts";

/** What the server counts. */
export interface ServerMetrics {
  clock: TokenClock;
  /** A request is over. */
  finished(record: RequestRecord): void;
  text(): string;
}

const secondsBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const tokenBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** Names and meanings. */
export const SERVER_METRICS = {
  preftune_http_requests_total: "HTTP requests by route, method and status.",
  preftune_errors_total: "Errors by code, including those inside a stream and clients that disconnected.",
  preftune_prompt_tokens_total: "Tokens of prompts that were answered.",
  preftune_cached_prompt_tokens_total: "Tokens of these that an earlier request had left in the cache.",
  preftune_completion_tokens_total: "Tokens drawn for answers.",
  preftune_time_to_first_token_seconds: "From a request's arrival to the first token of its answers.",
  preftune_time_per_output_token_seconds: "Between two tokens of an answer.",
  preftune_request_duration_seconds: "From a completion request's arrival to the end of its reply.",
  preftune_answers_running: "Answers that the engine is computing.",
  preftune_requests_waiting: "Prompts that wait in the engine.",
  preftune_cache_used_bytes: "Memory of keys and values in use.",
  preftune_cache_kept_bytes: "Memory of keys and values kept for requests that begin alike.",
  preftune_engine_up: "1 while the engine can answer.",
  preftune_engine_restarts_total: "Engine processes started after another had ended.",
  preftune_engine_resident_memory_bytes: "Resident memory of the engine process.",
  preftune_engine_live_tensors: "Tensors in the engine process.",
  preftune_unread_reply_bytes: "Bytes of replies that clients have not taken yet.",
  nodejs_eventloop_lag_p99_seconds:
    "99th percentile, since it was read last, of the time between two turns of the HTTP process's event loop; 0.01 when idle.",
  process_resident_memory_bytes: "Resident memory of the HTTP process.",
} as const;

type Name = keyof typeof SERVER_METRICS;

/** The metrics of a server with `engine`. */
export function serverMetrics(engine: EngineView, outlets: Outlets): ServerMetrics {
  const registry = new MetricsRegistry();
  const counter = (name: Name) => registry.counter(name, SERVER_METRICS[name]);
  const histogram = (name: Name, bounds: readonly number[]) =>
    registry.histogram(name, SERVER_METRICS[name], bounds);
  const requests = counter("preftune_http_requests_total");
  const errors = counter("preftune_errors_total");
  const prompt = counter("preftune_prompt_tokens_total");
  const cached = counter("preftune_cached_prompt_tokens_total");
  const completion = counter("preftune_completion_tokens_total");
  const first = histogram("preftune_time_to_first_token_seconds", secondsBounds);
  const next = histogram("preftune_time_per_output_token_seconds", tokenBounds);
  const duration = histogram("preftune_request_duration_seconds", secondsBounds);
  addGauges(registry, engine, outlets);
  prompt.add({}, 0);
  cached.add({}, 0);
  completion.add({}, 0);
  return {
    clock: { firstToken: first.observe, nextToken: next.observe },
    finished: ({ route, method, status, error, counts, durationMs }) => {
      requests.add({ route, method, status: String(status) });
      if (error !== null) errors.add({ code: error });
      if (counts === null) return;
      prompt.add({}, counts.promptTokens);
      cached.add({}, counts.cachedTokens);
      completion.add({}, counts.completionTokens);
      duration.observe(durationMs / 1000);
    },
    text: () => registry.text(),
  };
}

/** What is asked of the engine, or of this process, whenever metrics are read. The loop's delay is watched as long as it is. */
function addGauges(registry: MetricsRegistry, engine: EngineView, outlets: Outlets): void {
  const gauge = (name: Name, read: () => number | null) => registry.gauge(name, SERVER_METRICS[name], read);
  const reported = (name: Name, read: (report: EngineReport) => number) =>
    gauge(name, () => (engine.report === null ? null : read(engine.report)));
  reported("preftune_answers_running", ({ stats }) => stats.running);
  reported("preftune_requests_waiting", ({ stats }) => stats.waiting);
  reported("preftune_cache_used_bytes", ({ stats }) => stats.cacheBytesUsed);
  reported("preftune_cache_kept_bytes", ({ stats }) => stats.cacheBytesKept);
  reported("preftune_engine_resident_memory_bytes", ({ residentBytes }) => residentBytes);
  reported("preftune_engine_live_tensors", ({ liveTensors }) => liveTensors);
  gauge("preftune_engine_up", () => (engine.state === "ready" ? 1 : 0));
  registry.counterOf(
    "preftune_engine_restarts_total",
    SERVER_METRICS.preftune_engine_restarts_total,
    () => engine.restarts,
  );
  gauge("process_resident_memory_bytes", () => process.memoryUsage.rss());
  gauge("preftune_unread_reply_bytes", () => outlets.unreadBytes);
  const turns = monitorEventLoopDelay({ resolution: 10 });
  turns.enable();
  gauge("nodejs_eventloop_lag_p99_seconds", () => {
    const seconds = turns.percentile(99) / 1e9;
    turns.reset();
    return seconds;
  });
}
