/** The server's application with a toy tokenizer and an engine that answers at once, in this process and without a model. */
import type { GenerateRequest } from "../../src/generate/request.ts";
import { Admission } from "../../src/serve/admission.ts";
import { type AppOptions, createApp } from "../../src/serve/app.ts";
import { Callers } from "../../src/serve/callers.ts";
import type { SubmissionEvent } from "../../src/serve/engine-messages.ts";
import type { EngineView } from "../../src/serve/engine-process.ts";
import { Outlets } from "../../src/serve/outlet.ts";
import { PromptEncoder } from "../../src/serve/prompt-encoder.ts";
import { RequestReader } from "../../src/serve/request-reader.ts";
import { REQUEST_LIMITS } from "../../src/serve/request-tables.ts";
import { type Listening, listen, REQUEST_TIMEOUTS } from "../../src/serve/server.ts";
import { serverMetrics } from "../../src/serve/server-metrics.ts";
import { Turns } from "../../src/serve/turns.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { chatMl } from "../../src/toy/toy-tokenizer.ts";
import { withToyTokenizer } from "./toy-tokenizer.ts";

export type App = ReturnType<typeof createApp>;

/** The key of the application. */
export const appKey = "the-key-of-this-test";

/** An application and what it was made with. */
export interface ServedApp {
  app: App;
  admission: Admission;
  /** Listens on a free port. */
  listen(): Promise<Listening>;
}

/** Runs `body` with the application. */
export async function withServedApp(
  changes: Partial<AppOptions>,
  body: (served: ServedApp) => Promise<void>,
): Promise<void> {
  await withToyTokenizer({ chatTemplate: chatMl }, async (directory) => {
    const prompts = { chatTemplate: null, eosTokenIds: [2], vocabSize: 264, contextTokens: 100 };
    await using encoder = new PromptEncoder(loadTokenizer(directory), prompts);
    const limits = { ...REQUEST_LIMITS, maxAnswers: 4, maxPrompts: 4, maxNewTokens: 50 };
    const requests = new RequestReader(encoder, limits, new Turns());
    const admission = new Admission(64);
    const callers = new Callers();
    const app = createApp({
      model: { name: "tiny", adapters: ["mine"], requests, contextTokens: 100, vocabSize: 264 },
      engine: instantEngine,
      admission,
      metrics: serverMetrics(instantEngine, new Outlets()),
      limits,
      outlets: new Outlets(),
      callers,
      key: appKey,
      loopbackOnly: true,
      origins: [],
      maxBodyBytes: 100_000,
      onRequest: () => {},
      onFault: (error) => {
        throw error;
      },
      ...changes,
    });
    await body({
      app,
      admission,
      listen: () => {
        const address = { host: "127.0.0.1", port: 0, timeouts: REQUEST_TIMEOUTS, callers };
        return listen((request, source) => app.fetch(request, source), address);
      },
    });
  });
}

const instantEngine: EngineView = {
  state: "ready",
  whyNot: null,
  restarts: 0,
  lastFailureAt: null,
  report: null,
  submit: (request, tell) => {
    queueMicrotask(() => answerAt(request, tell));
    return () => {};
  },
};

/** Two tokens to each answer. */
function answerAt(request: GenerateRequest, tell: (event: SubmissionEvent) => void): void {
  const shown = (place: number) => ({
    token: { id: 97, text: "a", bytes: [97], logprob: -1 },
    top: [],
    place,
  });
  tell({ type: "accepted" });
  if ((request.promptLogprobs ?? null) !== null) {
    const tokens = request.promptIds.map((id) => ({
      token: { id, text: "a", bytes: [97], logprob: -1 },
      top: [],
    }));
    tell({ type: "prompt", tokens });
  }
  for (let answer = 0; answer < request.n; answer++) {
    for (let place = 0; place < Math.min(2, request.maxNewTokens); place++) {
      const logprobs = request.logprobs === null ? null : shown(place);
      tell({ type: "token", answer, text: "a", logprobs });
    }
    tell({ type: "end", answer, reason: "length", text: "", stoppedBy: null, last: null });
  }
  tell({
    type: "done",
    promptTokens: request.promptIds.length,
    cachedTokens: 1,
    completionTokens: 2 * request.n,
  });
}
