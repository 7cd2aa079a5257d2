/**
 * The answers to one HTTP request while they are made: the engine's events for each prompt, put in order for a reply,
 * and dropped when nobody waits any more.
 */
import type { GenerateRequest } from "../generate/request.ts";
import { ApiError, clientLeft } from "./api-error.ts";
import type { Echo } from "./echo.ts";
import type { SubmissionEvent, TokenLogprobs, ToldEnd, ToldPrompt, ToldToken } from "./engine-messages.ts";
import type { EngineView } from "./engine-process.ts";

/** What an answer grew by, or that it ended. */
export interface AnswerPiece {
  /** Index of the choice: answers to the first prompt come first. */
  index: number;
  text: string;
  /**
   * Log-probs, where asked for, of the tokens that `text` is made of, and of the stop token that ended the answer; those of a
   * stop text are left out.
   */
  tokens: TokenLogprobs[];
  finish: "stop" | "length" | null;
}

/** Tokens counted as OpenAI does: a prompt once, however many answers it has. */
export interface TokenCounts {
  promptTokens: number;
  /** Of these, the ones that the engine had in its cache. */
  cachedTokens: number;
  completionTokens: number;
}

/** Called when tokens come, for metrics. `seconds` since the request came, or since the answer's last token. */
export interface TokenClock {
  firstToken(seconds: number): void;
  nextToken(seconds: number): void;
}

/** Answers that the engine has begun with. */
export interface Answering {
  /** Pieces in the order in which they are made. Fails with an {@link ApiError} if the engine does. */
  pieces: ReadableStream<AnswerPiece>;
  /** Complete once `pieces` has ended. */
  counts: TokenCounts;
  /** Drops what is under way: nobody waits for it any more. */
  drop: () => void;
}

/** What answering needs besides the requests. */
export interface AnsweringOptions {
  engine: Pick<EngineView, "submit" | "state">;
  clock: TokenClock;
  /** When the HTTP request came, by `performance.now()`. */
  arrivedAt: number;
  /** Aborted when the client has left. */
  signal: AbortSignal;
  /** Called once, when the engine has nothing to do with the requests any more. */
  onOver: () => void;
  /** What each answer to a prompt begins with, a prompt each; null: nothing. */
  echoes?: readonly Echo[] | null;
}

/**
 * Asks the engine, one request a prompt, and resolves when it has taken all of them.
 *
 * @throws {ApiError} if the engine refuses one, or is not there
 */
export async function answer(
  requests: readonly GenerateRequest[],
  options: AnsweringOptions,
): Promise<Answering> {
  const collector = new Collector(requests, options);
  await collector.accepted;
  return { pieces: collector.pieces, counts: collector.counts, drop: () => collector.drop() };
}

/** An answer under way: tokens whose text is still held back, and when the last one came. */
interface Draft {
  held: TokenLogprobs[];
  /** Code points of its text so far, with what it begins with. */
  length: number;
  lastTokenAt: number | null;
}

/** One prompt of the request and its answers. */
interface Asked {
  /** Index of the first answer's choice. */
  first: number;
  n: number;
  /** What its answers begin with; null: nothing, or it was sent already. */
  echo: Echo | null;
  /** Code points of that. */
  echoLength: number;
  promptTokens: ToldPrompt["tokens"];
}

class Collector {
  readonly pieces: ReadableStream<AnswerPiece>;
  readonly counts: TokenCounts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  readonly #accepted: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #options: AnsweringOptions;
  readonly #drafts: Map<number, Draft> = new Map();
  readonly #drops: (() => void)[];
  #controller: ReadableStreamDefaultController<AnswerPiece> | null = null;
  #notAccepted: number;
  #notDone: number;
  #isOver = false;
  #hasToken = false;

  constructor(requests: readonly GenerateRequest[], options: AnsweringOptions) {
    this.#options = options;
    this.#notAccepted = requests.length;
    this.#notDone = requests.length;
    this.pieces = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.drop(),
    });
    let first = 0;
    this.#drops = requests.map((request, i) => {
      const { n } = request;
      const echo = options.echoes?.[i] ?? null;
      const asked: Asked = { first, n, echo, echoLength: [...(echo?.text ?? "")].length, promptTokens: [] };
      first += n;
      return options.engine.submit(request, (event) => this.#receive(event, asked));
    });
    if (options.signal.aborted) this.#leave();
    else options.signal.addEventListener("abort", this.#leave);
  }

  readonly #leave = (): void => this.#fail(clientLeft());

  get accepted(): Promise<void> {
    return this.#accepted.promise;
  }

  #receive(event: SubmissionEvent, asked: Asked): void {
    if (this.#isOver) return;
    switch (event.type) {
      case "accepted":
        this.#notAccepted--;
        if (this.#notAccepted === 0) this.#accepted.resolve();
        return;
      case "refused":
        this.#fail(new ApiError("invalidValue", event.message));
        return;
      case "lost":
        this.#fail(lostError(event.message, this.#options.engine));
        return;
      case "error":
        this.#fail(new ApiError("engineFailed", event.message));
        return;
      case "done":
        this.#done(event);
        return;
      case "prompt":
        for (const token of event.tokens) asked.promptTokens.push(token);
        return;
      default:
        this.#tellEcho(asked);
        this.#grow(event, asked);
    }
  }

  /** Begins every answer to a prompt with the prompt. */
  #tellEcho(asked: Asked): void {
    const { echo, first, n, promptTokens } = asked;
    if (echo === null) return;
    asked.echo = null;
    const tokens = promptTokens.map((token, i): TokenLogprobs => ({ ...token, place: echo.places[i] ?? 0 }));
    for (let i = 0; i < n; i++) {
      this.#controller?.enqueue({ index: first + i, text: echo.text, tokens: [...tokens], finish: null });
    }
  }

  #grow(event: ToldToken | ToldEnd, { first, echoLength }: Asked): void {
    const index = first + event.answer;
    const draft = this.#drafts.get(index) ?? { held: [], length: echoLength, lastTokenAt: null };
    this.#drafts.set(index, draft);
    const logprobs = event.type === "token" ? event.logprobs : event.last;
    if (logprobs !== null) draft.held.push({ ...logprobs, place: logprobs.place + echoLength });
    if (event.type === "token") this.#time(draft);
    if (event.type === "token" && event.text === "") return;
    draft.length += [...event.text].length;
    const isAllSent = event.type === "end" && typeof event.stoppedBy !== "string";
    // those behind the text wait with theirs, and where a stop text ends the answer they are its tokens
    const isSent = ({ place }: TokenLogprobs) => isAllSent || place < draft.length;
    const sent = draft.held.filter(isSent);
    draft.held = draft.held.filter((token) => !isSent(token));
    const finish = event.type === "end" ? event.reason : null;
    this.#controller?.enqueue({ index, text: event.text, tokens: sent, finish });
  }

  #time(draft: Draft): void {
    const now = performance.now();
    const { clock, arrivedAt } = this.#options;
    if (draft.lastTokenAt !== null) clock.nextToken((now - draft.lastTokenAt) / 1000);
    else if (!this.#hasToken) clock.firstToken((now - arrivedAt) / 1000);
    this.#hasToken = true;
    draft.lastTokenAt = now;
  }

  #done({ promptTokens, cachedTokens, completionTokens }: TokenCounts): void {
    this.counts.promptTokens += promptTokens;
    this.counts.cachedTokens += cachedTokens;
    this.counts.completionTokens += completionTokens;
    this.#notDone--;
    if (this.#notDone > 0) return;
    this.#end();
    this.#controller?.close();
  }

  #fail(error: ApiError): void {
    if (this.#isOver) return;
    this.drop();
    this.#accepted.reject(error);
    this.#controller?.error(error);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // undici keeps the signal, and so its listeners, as long as anything they hold leads to the request
    this.#options.signal.removeEventListener("abort", this.#leave);
    this.#options.onOver();
  }

  /** Drops the requests; no further events arrive. */
  drop(): void {
    this.#end();
    for (const drop of this.#drops) drop();
  }
}

function lostError(message: string, engine: AnsweringOptions["engine"]): ApiError {
  if (engine.state === "stopped") return new ApiError("stopping", message);
  return new ApiError(
    "engineLost",
    `${message} The answer is lost. Another engine is being started: ask again.`,
    { retryAfter: 1 },
  );
}
