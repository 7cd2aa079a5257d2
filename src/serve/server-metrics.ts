/** The metrics of `preftune serve`, by name. */
import type { TokenClock } from "./answering.ts";
import type { EngineProcess } from "./engine-process.ts";
import { MetricsRegistry } from "./metrics.ts";
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

/** The metrics of a server with `engine`. */
export function serverMetrics(engine: EngineProcess): ServerMetrics {
  const registry = new MetricsRegistry();
  const requests = registry.counter("preftune_http_requests_total", "HTTP requests by route, method and status.");
  const prompt = registry.counter("preftune_prompt_tokens_total", "Tokens of prompts that were answered.");
  const completion = registry.counter("preftune_completion_tokens_total", "Tokens drawn for answers.");
  const first = registry.histogram(
    "preftune_time_to_first_token_seconds",
    "From a request's arrival to the first token of its answers.",
    secondsBounds,
  );
  const next = registry.histogram(
    "preftune_time_per_output_token_seconds",
    "Between two tokens of an answer.",
    tokenBounds,
  );
  const duration = registry.histogram(
    "preftune_request_duration_seconds",
    "From a completion request's arrival to the end of its reply.",
    secondsBounds,
  );
  registry.gauge("preftune_answers_running", "Answers that the engine is computing.", () => engine.report?.stats.running ?? null);
  registry.gauge("preftune_requests_waiting", "Prompts that wait in the engine.", () => engine.report?.stats.waiting ?? null);
  registry.gauge("preftune_cache_used_bytes", "Memory of keys and values in use.", () => engine.report?.stats.cacheBytesUsed ?? null);
  registry.gauge("preftune_engine_up", "1 while the engine can answer.", () => (engine.state === "ready" ? 1 : 0));
  registry.counterOf("preftune_engine_restarts_total", "Engine processes started after another had ended.", () => engine.restarts);
  registry.gauge("preftune_engine_resident_memory_bytes", "Resident memory of the engine process.", () => engine.report?.residentBytes ?? null);
  registry.gauge("process_resident_memory_bytes", "Resident memory of the HTTP process.", () => process.memoryUsage.rss());
  prompt.add({}, 0);
  completion.add({}, 0);
  return {
    clock: { firstToken: first.observe, nextToken: next.observe },
    finished: (record) => {
      requests.add({ route: record.route, method: record.method, status: String(record.status) });
      if (record.counts === null) return;
      prompt.add({}, record.counts.promptTokens);
      completion.add({}, record.counts.completionTokens);
      duration.observe(record.durationMs / 1000);
    },
    text: () => registry.text(),
  };
}
