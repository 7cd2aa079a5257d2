/**
 * Keys and values of earlier tokens, for generation: pages of a fixed number of tokens in one store a layer. A sequence is a
 * prompt's pages, which many completions may share, and pages of the sequence alone: sequences start and end without copying.
 * On the CPU in float32 the addon's operators read the pages in place (`native/paged-attention.h`); elsewhere torch's do.
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import { type DType, itemSize, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { type AttentionPlan, packedAttention } from "./packed-attention.ts";

/** Tokens of a page: `kPage` in `native/paged-attention.h`. */
export const pageTokens = 32;

/** Pages that `tokens` take. */
export function pagesFor(tokens: number): number {
  return Math.ceil(tokens / pageTokens);
}

/** The model's side of a cache. */
export interface CacheShape {
  layers: number;
  keyHeads: number;
  headDim: number;
  dtype: DType;
  device: string;
}

/** Some tokens of a sequence and the pages that hold them. */
export interface PageSpan {
  pages: number[];
  length: number;
}

/** A sequence: the tokens of a prompt, and those after it. */
export interface CachedSequence {
  /** Shared with other completions of the prompt; never written to again. */
  prompt: Readonly<PageSpan>;
  own: PageSpan;
}

/** Queries, keys and values of a pass: (T, H, E), (T, K, E), (T, K, E). */
export interface AttentionInputs {
  q: Tensor;
  k: Tensor;
  v: Tensor;
}

/** How a pass attends in one layer: it stores the pass's keys and values and gives (T, H · E). */
export type CachedAttention = (inputs: AttentionInputs, plan: AttentionPlan) => Tensor;

interface Store {
  keys: Tensor;
  values: Tensor;
}

/** The cache of one model. */
export class KVCache implements Disposable {
  readonly #shape: CacheShape;
  readonly #isPaged: boolean;
  readonly #mostPages: number;
  #stores: Store[] = [];
  #capacity = 0;
  /** Free pages, the next one last. */
  #free: number[] = [];

  /** @param mostPages - pages that will ever be asked for at once: there is no memory set aside beyond them */
  constructor(shape: CacheShape, mostPages: number = Number.POSITIVE_INFINITY) {
    this.#shape = shape;
    this.#mostPages = mostPages;
    this.#isPaged = shape.device === "cpu" && shape.dtype === "float32";
  }

  /** Bytes of a page in all layers. */
  get pageBytes(): number {
    const { layers, keyHeads, headDim, dtype } = this.#shape;
    return 2 * layers * keyHeads * headDim * pageTokens * itemSize(dtype);
  }

  /** Pages that hold tokens. */
  get usedPages(): number {
    return this.#capacity - this.#free.length;
  }

  /** Pages there is memory for. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Makes `span` longer by `tokens`, with the pages that takes; the store doubles when it is full. */
  extend(span: PageSpan, tokens: number): void {
    span.length += tokens;
    const wanted = pagesFor(span.length) - span.pages.length;
    if (wanted > this.#free.length) {
      const ample = Math.min(Math.max(2 * this.#capacity, 8), this.#mostPages);
      this.#grow(Math.max(this.usedPages + wanted, ample));
    }
    for (let i = 0; i < wanted; i++) span.pages.push(this.#free.pop() as number);
  }

  /** Gives the pages of `span` back; those of an idle cache are kept for what comes next. */
  release(span: PageSpan): void {
    this.#free.push(...span.pages.splice(0));
    span.length = 0;
  }

  /** Frees the store. */
  [Symbol.dispose](): void {
    for (const { keys, values } of this.#stores) {
      keys.dispose();
      values.dispose();
    }
    this.#stores = [];
    this.#capacity = 0;
    this.#free = [];
  }

  #grow(capacity: number): void {
    const { layers } = this.#shape;
    const before = this.#stores;
    this.#stores = Array.from({ length: layers }, (_, layer): Store => {
      const old = before[layer];
      return { keys: this.#moved("keys", capacity, old), values: this.#moved("values", capacity, old) };
    });
    const added = Array.from({ length: capacity - this.#capacity }, (_, i) => capacity - 1 - i);
    this.#free = [...added, ...this.#free];
    this.#capacity = capacity;
  }

  /** A larger store with the old one's content; the old one is freed. */
  #moved(part: keyof Store, capacity: number, before: Store | undefined): Tensor {
    using growing = scope();
    const { keyHeads: heads, headDim, dtype, device } = this.#shape;
    const inPages = part === "keys" ? [heads, headDim, pageTokens] : [heads, pageTokens, headDim];
    const shape = this.#isPaged ? [capacity, ...inPages] : [capacity * pageTokens, heads, headDim];
    const store = ops.zeros(shape, { dtype, device });
    const old = before?.[part];
    if (old !== undefined) {
      ops.copy_(ops.narrow(store, 0, 0, old.size(0)), old);
      old.dispose();
    }
    return growing.keep(store);
  }

  /** Whether a prompt may be computed part by part; if not, `promptPass` takes all of it at once. */
  get takesParts(): boolean {
    return this.#isPaged;
  }

  /**
   * Attention of a prompt's tokens from `first` on, a multiple of a page; its span has its pages already, and the tokens
   * before them have been computed. One function a layer.
   */
  promptPass(prompt: Readonly<PageSpan>, first = 0): CachedAttention[] {
    if (first % pageTokens !== 0 || (first > 0 && !this.#isPaged)) {
      throw new ShapeError(`a part of a prompt cannot begin at token ${first} of this cache`);
    }
    if (!this.#isPaged) {
      const slots = this.#indices(slotsOf(prompt));
      return this.#stores.map((store): CachedAttention => {
        return ({ q, k, v }, plan) => {
          storeRows(store, slots, { k, v });
          return packedAttention(q, k, v, plan);
        };
      });
    }
    const begun = pagesFor(first);
    const before = first === 0 ? null : this.#indices(prompt.pages.slice(0, begun));
    return this.#stores.map((store): CachedAttention => {
      return (inputs, plan) => {
        const { q, k, v } = inputs;
        ops.cacheFill_(store.keys, store.values, k, v, prompt.pages.slice(begun));
        if (before === null) return packedAttention(q, k, v, plan);
        return attendBehind(inputs, rowsOfPages(store, before), plan);
      };
    });
  }

  /** Attention of the newest token of each sequence, for which `own` has a slot already. One function a layer. */
  tokenPass(sequences: readonly CachedSequence[]): CachedAttention[] {
    if (sequences.some(({ own }) => own.length === 0)) {
      throw new ShapeError("expected at least one token after the prompt in every sequence, got none");
    }
    if (this.#isPaged) {
      const table = tableOf(sequences);
      return this.#stores.map(({ keys, values }): CachedAttention => {
        return ({ q, k, v }, { scale, window }) => {
          const out = ops.decodeAttention(q, k, v, keys, values, table, scale, window);
          return ops.view(out, [q.size(0), q.size(1) * q.size(2)]);
        };
      });
    }
    const slots = sequences.map(({ prompt, own }) => [...slotsOf(prompt), ...slotsOf(own)]);
    const last = this.#indices(slots.map((row) => row.at(-1) as number));
    const rows = slots.map((row) => this.#indices(row));
    return this.#stores.map((store): CachedAttention => {
      return ({ q, k, v }, plan) => {
        storeRows(store, last, { k, v });
        const seen = rows.map((row) => visibleRows(store, row, plan.window));
        return ops.cat(seen.map((own, i) => attendLast(ops.narrow(q, 0, i, 1), own, plan.scale)));
      };
    });
  }

  #indices(values: readonly number[]): Tensor {
    return ops.to(tensor(values, [values.length], { dtype: "int64" }), this.#shape.device, "int64");
  }
}

/** Rows of an unpaged store that hold a span's tokens, in order. */
function slotsOf({ pages, length }: Readonly<PageSpan>): number[] {
  return Array.from({ length }, (_, t) => {
    return at(pages, Math.floor(t / pageTokens)) * pageTokens + (t % pageTokens);
  });
}

/** What `preftune::decode_attention` reads: three entries a sequence, then pages. */
function tableOf(sequences: readonly CachedSequence[]): Tensor {
  const pages: number[] = [];
  const heads = sequences.flatMap(({ prompt, own }) => {
    const at = 3 * sequences.length + pages.length;
    pages.push(...prompt.pages, ...own.pages);
    return [prompt.length, own.length, at];
  });
  return tensor(Int32Array.from([...heads, ...pages]));
}

function storeRows({ keys, values }: Store, slots: Tensor, { k, v }: { k: Tensor; v: Tensor }): void {
  ops.indexCopy_(keys, 0, slots, k);
  ops.indexCopy_(values, 0, slots, v);
}

function visibleRows({ keys, values }: Store, slots: Tensor, window: number): Store {
  const hidden = window === 0 ? 0 : Math.max(0, slots.size(0) - window);
  const rows = hidden === 0 ? slots : ops.slice(slots, 0, hidden);
  return { keys: ops.indexSelect(keys, 0, rows), values: ops.indexSelect(values, 0, rows) };
}

/** Keys and values of whole pages, token by token: (n, K, E) each. */
function rowsOfPages({ keys, values }: Store, pages: Tensor): Store {
  const [heads, width] = [keys.size(1), keys.size(2)];
  const count = pages.size(0) * pageTokens;
  const byToken = (store: Tensor, order: readonly number[]): Tensor =>
    ops.reshape(ops.permute(ops.indexSelect(store, 0, pages), order), [count, heads, width]);
  return { keys: byToken(keys, [0, 3, 1, 2]), values: byToken(values, [0, 2, 1, 3]) };
}

/** Attention of a segment behind tokens that are there already, in the addon's operator: (T, H · E). */
function attendBehind({ q, k, v }: AttentionInputs, before: Store, plan: AttentionPlan): Tensor {
  const first = before.keys.size(0);
  const end = first + q.size(0);
  // the operator takes as many queries as keys; those of the tokens before belong to no segment and cost nothing
  const padding = ops.zeros([first, q.size(1), q.size(2)], { dtype: "float32" });
  const out = ops.segmentAttention(
    ops.cat([padding, q]),
    ops.cat([before.keys, k]),
    ops.cat([before.values, v]),
    [first, end, 0, first],
    plan.scale,
    plan.window,
  );
  return ops.reshape(ops.narrow(out, 0, first, q.size(0)), [q.size(0), q.size(1) * q.size(2)]);
}

/** q: (1, H, E); keys and values: (n, K, E) -> (1, H · E) */
function attendLast(q: Tensor, { keys, values }: Store, scale: number): Tensor {
  const headsFirst = (x: Tensor): Tensor => ops.unsqueeze(ops.transpose(x, 0, 1), 0);
  const out = ops.scaledDotProductAttention(
    headsFirst(q),
    headsFirst(keys),
    headsFirst(values),
    null,
    0,
    false,
    { scale, enableGqa: q.size(1) !== keys.size(1) },
  );
  return ops.reshape(out, [1, q.size(1) * q.size(2)]);
}
