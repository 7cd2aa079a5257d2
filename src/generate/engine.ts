/**
 * Continuous batching: requests join and leave between passes. A prompt is computed once for all its answers, beside other prompts;
 * then each pass adds a token to every running answer. Sequences under different adapters take a pass for each adapter. A request whose
 * own numbers are no longer finite ends alone; where a whole pass fails, for want of memory, say, all that share it do.
 */
import { at } from "../base/at.ts";
import { ConfigError, LostRankError, messageOf } from "../base/errors.ts";
import { contextLength } from "../formats/model-config.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import { KVCache, type PageSpan } from "../nn/kv-cache.ts";
import { type DType, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { mostPagesOf } from "./answer-pages.ts";
import { checkRequest } from "./check-request.ts";
import type { Choice } from "./choice.ts";
import { chooseTokens, notFinite } from "./choose.ts";
import { noStep, type TokenDecoder } from "./completion-text.ts";
import { cacheShape, newHidden, nextLogits } from "./forward.ts";
import { PrefixCache } from "./prefix-cache.ts";
import {
  firstChoices,
  type PromptPart,
  partSize,
  promptChoices,
  stepTokens,
  waitsFor,
} from "./prompt-parts.ts";
import type {
  EndEvent,
  EngineLimits,
  EngineStats,
  GenerateEvent,
  GenerateRequest,
  GenerationEngine,
} from "./request.ts";
import { choiceRow, type EngineRequest, isComputed, type Sample, samplesOf, tooLarge } from "./running.ts";

/** What an engine runs. Weights stay as they are while it lives: keys and values of earlier requests are used again. */
export interface EngineParts {
  model: CausalLM;
  /** Models with an adapter in them, on the same weights (`shareWeights`), by the adapter's name. */
  adapters?: ReadonlyMap<string, CausalLM>;
  /** Turns tokens into text; null where only tokens matter, and then there is no text and no stop text. */
  tokenizer: TokenDecoder | null;
  /** Type of the activations; default that of the embedding. */
  dtype?: DType;
  limits?: Partial<EngineLimits>;
}

/** Answers computed at once where nothing is said. */
export const defaultRunning = 64;

const defaultLimits: EngineLimits = {
  maxRunning: defaultRunning,
  maxCacheTokens: Number.POSITIVE_INFINITY,
  keepsPrefixes: true,
};

/** Runs requests on one model and its adapters. Nothing happens outside `submit`, `cancel` and `step`. */
export class Engine implements GenerationEngine, Disposable {
  readonly #parts: EngineParts;
  readonly #dtype: DType;
  readonly #cache: KVCache;
  /** null: nothing is kept. */
  readonly #prefixes: PrefixCache | null;
  readonly #limits: EngineLimits;
  readonly #stepTokens: number;
  #waiting: EngineRequest[] = [];
  #running: EngineRequest[] = [];
  #promptTokens = 0;
  #cachedTokens = 0;
  #completionTokens = 0;

  constructor(parts: EngineParts) {
    const { model, limits = {} } = parts;
    this.#parts = parts;
    this.#dtype = parts.dtype ?? model.model.embed_tokens.weight.dtype;
    this.#limits = { ...defaultLimits, ...limits };
    this.#stepTokens = stepTokens(model.device);
    const shape = cacheShape(model, this.#dtype);
    const prefixes = this.#limits.keepsPrefixes ? new PrefixCache() : null;
    this.#cache = new KVCache(shape, { mostPages: this.#mostPages, keeper: prefixes });
    // elsewhere a prompt's numbers depend on how it is cut
    this.#prefixes = this.#cache.takesParts ? prefixes : null;
  }

  get stats(): EngineStats {
    const bytes = this.#cache.pageBytes;
    return {
      running: this.#openAnswers().length,
      waiting: this.#waiting.length,
      promptTokens: this.#promptTokens,
      cachedTokens: this.#cachedTokens,
      completionTokens: this.#completionTokens,
      cacheBytesUsed: this.#cache.usedPages * bytes,
      cacheBytesKept: (this.#prefixes?.size ?? 0) * bytes,
      cacheBytesReserved: this.#cache.capacity * bytes,
    };
  }

  submit(id: string, request: GenerateRequest, onEvent: (event: GenerateEvent) => void): void {
    const { model, adapters = new Map<string, CausalLM>(), tokenizer } = this.#parts;
    const { vocabSize } = model.config;
    const context = contextLength(model.config);
    const { maxRunning } = this.#limits;
    checkRequest(request, { vocabSize, context, maxRunning, adapters: new Set(adapters.keys()) });
    if (tokenizer === null && request.stop.length > 0) {
      throw new ConfigError("stop: stop texts need a tokenizer, and this engine has none.");
    }
    if ([...this.#waiting, ...this.#running].some((job) => job.id === id)) {
      throw new ConfigError(`a request "${id}" is already under way; give each a different id.`);
    }
    const { promptIds, n, adapter } = request;
    const maxNewTokens = Math.min(request.maxNewTokens, context - promptIds.length);
    const pages = mostPagesOf(promptIds.length, n, maxNewTokens);
    if (pages > this.#mostPages) throw tooLarge(pages * pageTokens, this.#limits.maxCacheTokens);
    this.#waiting.push({
      id,
      request,
      onEvent,
      model: adapter === null ? model : (adapters.get(adapter) as CausalLM),
      maxNewTokens,
      pages,
      prompt: { pages: [], length: 0 },
      computed: 0,
      cached: 0,
      answers: [],
      completionTokens: 0,
    });
  }

  cancel(id: string): void {
    this.#waiting = this.#waiting.filter((job) => job.id !== id);
    const job = this.#running.find((running) => running.id === id);
    if (job !== undefined) this.#drop(job);
  }

  step(): boolean {
    const begun = this.#openAnswers().filter(({ ids }) => ids.length > 0);
    for (const [model, answers] of Map.groupBy(begun, ({ job }) => job.model)) {
      // events of one model's answers may have cancelled those of another
      this.#advance(
        model,
        answers.filter(({ isOver }) => !isOver),
      );
    }
    this.#computePrompts();
    return this.#running.length + this.#waiting.length > 0;
  }

  /** Drops all requests without a word and frees the cache. */
  [Symbol.dispose](): void {
    this.#waiting = [];
    for (const job of [...this.#running]) this.#drop(job);
    this.#cache[Symbol.dispose]();
  }

  get #mostPages(): number {
    return Math.max(1, Math.floor(this.#limits.maxCacheTokens / pageTokens));
  }

  #openAnswers(): Sample[] {
    return this.#running.flatMap((job) => job.answers.filter((answer) => !answer.isOver));
  }

  /** Continues the prompts under way and admits waiting ones, as many tokens as a step has. */
  #computePrompts(): void {
    let left = this.#stepTokens;
    for (;;) {
      const jobs = this.#nextPrompts(left);
      if (jobs.length === 0) return;
      left -= jobs.reduce((sum, job) => sum + partSize(job, this.#cache), 0);
      this.#computeParts(jobs);
    }
  }

  /**
   * Prompts whose next parts are computed in one pass, `room` tokens at most: the one under way, then waiting ones, each once nothing is
   * left of those before it.
   */
  #nextPrompts(room: number): EngineRequest[] {
    const jobs: EngineRequest[] = [];
    for (let [left, isWhole] = [room, true]; isWhole; ) {
      const job = this.#underWay(jobs) ?? this.#admitNext(jobs);
      if (job === null || (jobs[0]?.model ?? job.model) !== job.model) break;
      const size = partSize(job, this.#cache);
      // what a step has no room for goes alone
      if (size > left && left < this.#stepTokens) break;
      left -= size;
      isWhole = job.computed + size === job.request.promptIds.length;
      jobs.push(job);
    }
    return jobs;
  }

  #underWay(but: readonly EngineRequest[]): EngineRequest | undefined {
    return this.#running.find((job) => !isComputed(job) && !but.includes(job));
  }

  /** Moves the next waiting request to the running ones; null if there is none or no room, or it waits for what `others` compute. */
  #admitNext(others: readonly EngineRequest[]): EngineRequest | null {
    const job = this.#waiting[0];
    if (job === undefined || !this.#hasRoom(job)) return null;
    if (this.#prefixes !== null && others.some((other) => waitsFor(job, other))) return null;
    this.#waiting.shift();
    this.#running.push(job);
    this.#guarded([job], () => this.#beginPrompt(job));
    return this.#running.includes(job) ? job : this.#admitNext(others);
  }

  /** Takes what is kept of the prompt. Its last token is computed in any case, for what follows it; all, where log-probs of all are wanted. */
  #beginPrompt(job: EngineRequest): void {
    job.answers = samplesOf(job, this.#parts.tokenizer);
    const { promptIds, promptLogprobs = null } = job.request;
    if (this.#prefixes === null || promptLogprobs !== null) return;
    this.#prefixes.begin(this.#cache, job.model, { tokens: promptIds.slice(0, -1), span: job.prompt });
    job.cached = job.prompt.length;
    job.computed = job.cached;
    this.#cachedTokens += job.cached;
  }

  /** What is running may grow to its longest, so that nothing ever has to make room. */
  #hasRoom(job: EngineRequest): boolean {
    const pages = this.#running.reduce((sum, running) => sum + running.pages, job.pages);
    return this.#openAnswers().length + job.request.n <= this.#limits.maxRunning && pages <= this.#mostPages;
  }

  /** Computes the next parts of prompts, all of one model; after its last one each of a prompt's answers gets its first token. */
  #computeParts(jobs: readonly EngineRequest[]): void {
    const { model } = at(jobs, 0);
    const ended = this.#guarded(jobs, () => {
      const parts = jobs.map((job) => this.#nextPart(job));
      using _ = scope();
      const hidden = noGrad(() => newHidden(this.#with(model), parts));
      this.#noteComputed(parts);
      let end = 0;
      const ends = parts.map(({ job, first, ids }) => {
        const begin = end;
        end += ids.length;
        this.#guarded([job], () =>
          this.#emitPrompt(job, first, () => ops.narrow(hidden, 0, begin, ids.length)),
        );
        return { job, last: end - 1 };
      });
      const whole = ends.filter(({ job }) => this.#running.includes(job) && isComputed(job));
      const drawing = whole.filter(({ job }) => job.maxNewTokens > 0);
      return { jobs: whole.map(({ job }) => job), choices: firstChoices(model, hidden, drawing) };
    });
    for (const job of ended?.jobs ?? []) {
      const choices = ended?.choices.get(job);
      if (choices === null) this.#fail([job], notFinite());
      else this.#beginAnswers(job, choices ?? []);
    }
  }

  #nextPart(job: EngineRequest): PromptPart {
    const { computed: first, request, prompt: span } = job;
    const ids = request.promptIds.slice(first, first + partSize(job, this.#cache));
    this.#cache.extend([span], ids.length);
    return { job, first, span, ids };
  }

  #noteComputed(parts: readonly PromptPart[]): void {
    for (const { job, span, ids } of parts) {
      job.computed += ids.length;
      this.#promptTokens += ids.length;
      this.#prefixes?.add(this.#cache, job.model, { tokens: job.request.promptIds, span });
    }
  }

  /** Gives a prompt that is computed to its answers, and them their first tokens. */
  #beginAnswers({ answers, prompt, maxNewTokens }: EngineRequest, choices: readonly Choice[]): void {
    for (const answer of answers) answer.span = this.#cache.share(prompt.pages, prompt.length);
    this.#cache.release(prompt);
    this.#acceptAll(answers, choices);
    if (maxNewTokens > 0) return;
    for (const answer of answers.filter(({ isOver }) => !isOver)) {
      this.#end(answer, { reason: "length", text: "", stoppedBy: null, last: null });
    }
  }

  /** Tells the log-probs of a part of a prompt, where they are asked for; `hidden` gives its hidden states. */
  #emitPrompt(job: EngineRequest, first: number, hidden: () => Tensor): void {
    // the event of a prompt beside it may have cancelled it
    if ((job.request.promptLogprobs ?? null) === null || !this.#running.includes(job)) return;
    job.onEvent({ type: "prompt", tokens: promptChoices(job, first, hidden(), this.#parts.tokenizer) });
  }

  /** Adds a token to each of `answers`, all of one model. */
  #advance(model: CausalLM, answers: readonly Sample[]): void {
    if (answers.length === 0) return;
    const jobs = (some: readonly Sample[]) => new Set(some.map(({ job }) => job));
    const choices = this.#guarded(jobs(answers), () => {
      const spans = answers.map(({ span }) => span);
      this.#cache.extend(spans, 1);
      const tokens = answers.map(({ span, ids }) => ({ span, id: ids.at(-1) as number }));
      using _ = scope();
      const logits = noGrad(() => nextLogits(this.#with(model), tokens));
      return chooseTokens(logits, answers.map(choiceRow));
    });
    const failed = jobs(answers.filter((_, i) => choices?.[i] === null));
    if (failed.size > 0) this.#fail(failed, notFinite());
    this.#acceptAll(
      answers,
      (choices ?? []).map((row) => row?.[0] ?? null),
    );
  }

  #with(model: CausalLM): { model: CausalLM; cache: KVCache; dtype: DType } {
    return { model, cache: this.#cache, dtype: this.#dtype };
  }

  /** `choices`: one for each answer, null for one of a request that has failed. */
  #acceptAll(answers: readonly Sample[], choices: readonly (Choice | null)[]): void {
    for (const [i, choice] of choices.entries()) if (choice !== null) this.#accept(at(answers, i), choice);
  }

  #accept(answer: Sample, choice: Choice): void {
    // an event may have cancelled its own request, or one beside it
    if (answer.isOver) return;
    const { job, index, text } = answer;
    const { id } = choice;
    this.#completionTokens++;
    job.completionTokens++;
    if (job.request.stopIds.has(id)) {
      const { stop, ...rest } = text?.end(id) ?? noStep;
      const last = { ...choice, place: rest.place, isFirst: rest.isFirst };
      this.#end(answer, {
        reason: "stop",
        text: rest.text,
        stoppedBy: stop ?? id,
        last: stop === null ? last : null,
      });
      return;
    }
    answer.ids.push(id);
    answer.seen.add(id);
    const { stop, ...grown } = text?.push(id) ?? noStep;
    job.onEvent({ type: "token", answer: index, ...choice, ...grown });
    if (answer.isOver) return;
    if (stop !== null) {
      this.#end(answer, { reason: "stop", text: "", stoppedBy: stop, last: null });
    } else if (answer.ids.length >= job.maxNewTokens) {
      const rest = text?.end() ?? noStep;
      const reason = rest.stop === null ? "length" : "stop";
      this.#end(answer, { reason, text: rest.text, stoppedBy: rest.stop, last: null });
    }
  }

  #end(answer: Sample, end: Omit<EndEvent, "type" | "answer">): void {
    const { job } = answer;
    answer.isOver = true;
    this.#leave(answer);
    job.onEvent({ type: "end", answer: answer.index, ...end });
    if (!this.#running.includes(job) || job.answers.some(({ isOver }) => !isOver)) return;
    const { completionTokens, cached: cachedTokens } = job;
    this.#drop(job);
    const promptTokens = job.request.promptIds.length;
    job.onEvent({ type: "done", promptTokens, cachedTokens, completionTokens });
  }

  #drop(job: EngineRequest): void {
    for (const answer of job.answers) {
      answer.isOver = true;
      this.#leave(answer);
    }
    this.#keep(job, job.prompt, job.request.promptIds);
    this.#running = this.#running.filter((running) => running !== job);
  }

  /** Frees an answer's cache; what is in it may be wanted again. */
  #leave({ job, span, ids }: Sample): void {
    if (span.length > 0) this.#keep(job, span, [...job.request.promptIds, ...ids]);
  }

  #keep({ model }: EngineRequest, span: PageSpan, tokens: readonly number[]): void {
    if (span.length === 0) return;
    if (this.#prefixes === null) this.#cache.release(span);
    else this.#prefixes.end(this.#cache, model, { tokens, span });
  }

  /** What `pass` gives; if it fails, null: the requests in it end with an error, and everything else continues, unless ranks go together. */
  #guarded<T>(jobs: Iterable<EngineRequest>, pass: () => T): T | null {
    try {
      return pass();
    } catch (error) {
      // of ranks that share a model: nothing can continue, and in lockstep the others wait for this one in the same pass
      if (error instanceof LostRankError || this.#parts.model.residence?.inLockstep === true) throw error;
      this.#fail(jobs, error);
      return null;
    }
  }

  /** Ends requests with an error. */
  #fail(jobs: Iterable<EngineRequest>, error: unknown): void {
    for (const job of jobs) {
      // places in the cache that were to be filled may not be
      for (const span of [job.prompt, ...job.answers.map((answer) => answer.span)]) this.#cache.release(span);
      this.#drop(job);
      job.onEvent({ type: "error", message: messageOf(error) });
    }
  }
}
