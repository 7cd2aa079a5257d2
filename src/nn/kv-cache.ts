/**
 * Keys and values of earlier tokens, for generation: pages of a fixed number of tokens in one store a layer. A sequence is a list
 * of pages; several may hold the same page, so sequences start, end and branch without copying. On the CPU in float32 and bfloat16
 * the addon's operator reads the pages in place (`native/paged-attention.h`); elsewhere torch's do, in half precision on CUDA one call a
 * layer for the newest tokens of all sequences.
 */
import { at } from "../base/at.ts";
import { ShapeError } from "../base/errors.ts";
import { type DType, itemSize, onDevice, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { pagesFor, pageTokens } from "./cache-pages.ts";
import {
  type CachedHeads,
  emptyStores,
  growStores,
  type Store,
  storeRows,
  visibleRows,
} from "./cache-stores.ts";
import { cappedAttention } from "./caps.ts";
import { type AttentionPlan, packedAttention } from "./packed-attention.ts";
import { hasVarlenAttention, type VarlenPlan, varlenAttention } from "./varlen-attention.ts";

/** The model's side of a cache. */
export interface CacheShape {
  /** Key/value heads of each layer, and their width. */
  layers: readonly CachedHeads[];
  /** Whether scores have a cap, which the addon's operator does not have; left out: no. */
  capsScores?: boolean;
  dtype: DType;
  device: string;
}

/** A sequence: its tokens and the pages that hold them, each full but the last. */
export interface PageSpan {
  pages: number[];
  length: number;
}

/** A sequence with its newest tokens: they have their places in the cache, and a pass fills them. */
export interface NewTokens {
  span: Readonly<PageSpan>;
  count: number;
}

/** Pages that no sequence holds and that may be wanted again. */
export interface PageKeeper {
  /** Whether `page`, which the last sequence has left, is kept. */
  keep(page: number): boolean;
  /** A kept page belongs to a sequence again. */
  take(page: number): void;
  /** Gives up the kept page that was left longest ago; null: none is kept. */
  giveUp(): number | null;
  /** Pages kept. */
  readonly size: number;
}

/** Queries, keys and values of a pass: (T, H, E), (T, K, E), (T, K, E). */
export interface AttentionInputs {
  q: Tensor;
  k: Tensor;
  v: Tensor;
}

/** How a pass attends in one layer: it stores the pass's keys and values and gives (T, H · E). */
export type CachedAttention = (inputs: AttentionInputs, plan: AttentionPlan) => Tensor;

/** What is in page `from` is to be in page `to` as well. */
interface PageCopy {
  from: number;
  to: number;
}

/** Bounds of a cache, and who keeps pages. */
export interface CacheOptions {
  /** Pages that will ever be held at once: there is no memory set aside beyond them. Default: no limit. */
  mostPages?: number;
  /** Default: nothing is kept. */
  keeper?: PageKeeper | null;
}

/** The cache of one model. */
export class KVCache implements Disposable {
  readonly #shape: CacheShape;
  readonly #mostPages: number;
  readonly #keeper: PageKeeper | null;
  #stores: Store[] = [];
  /** Sequences that hold each page. */
  #holders: number[] = [];
  /** Free pages, the next one last. */
  #free: number[] = [];

  constructor(shape: CacheShape, { mostPages = Number.POSITIVE_INFINITY, keeper = null }: CacheOptions = {}) {
    this.#shape = shape;
    this.#mostPages = mostPages;
    this.#keeper = keeper;
  }

  /**
   * Whether the addon's operator attends: any number of a sequence's tokens at a time, with the same result to the bit however
   * they are cut. If not, a pass takes whole sequences or one token of each.
   */
  get takesParts(): boolean {
    const { device, dtype, capsScores = false } = this.#shape;
    return !capsScores && device === "cpu" && (dtype === "float32" || dtype === "bfloat16");
  }

  /** Bytes of a page in all layers. */
  get pageBytes(): number {
    const { layers, dtype } = this.#shape;
    const numbers = layers.reduce((sum, { keyHeads, headDim }) => sum + keyHeads * headDim, 0);
    return 2 * numbers * pageTokens * itemSize(dtype);
  }

  /** Pages that sequences hold. */
  get usedPages(): number {
    return this.capacity - this.#free.length - (this.#keeper?.size ?? 0);
  }

  /** Pages there is memory for. */
  get capacity(): number {
    return this.#holders.length;
  }

  /** Sequences that hold `page`. */
  holders(page: number): number {
    return at(this.#holders, page);
  }

  /**
   * Makes each of `spans` longer by `tokens`, with the pages that takes. A page begun that others hold too is copied first. Where that
   * throws, for want of memory, there is nothing more to do with these spans than to release them.
   */
  extend(spans: readonly PageSpan[], tokens: number): void {
    const copies: PageCopy[] = [];
    for (const span of spans) {
      const begun = span.length % pageTokens === 0 ? undefined : span.pages.at(-1);
      if (begun !== undefined && this.holders(begun) > 1) {
        const to = this.#newPage();
        copies.push({ from: begun, to });
        span.pages.splice(-1, 1, to);
        this.#leave(begun);
      }
      while (span.pages.length < pagesFor(span.length + tokens)) span.pages.push(this.#newPage());
      span.length += tokens;
    }
    // what is copied has a holder left, who writes in it after this
    this.#copy(copies);
  }

  /** A sequence of `length` tokens in `pages`, which others hold or which are kept; it continues by itself. */
  share(pages: readonly number[], length: number): PageSpan {
    for (const page of pages) {
      if (this.holders(page) === 0) this.#keeper?.take(page);
      this.#holders[page] = this.holders(page) + 1;
    }
    return { pages: [...pages], length };
  }

  /**
   * Adds to `span`, all of whose pages are full, the first `tokens` of a page that a keeper names; nothing where the limit leaves
   * no other page: the tokens are then computed again.
   */
  addCopy(span: PageSpan, page: number, tokens: number): void {
    // held meanwhile: a new page may cost a kept one
    const source = this.share([page], tokens);
    try {
      if (this.#free.length > 0 || this.capacity < this.#mostPages || (this.#keeper?.size ?? 0) > 0) {
        const to = this.#newPage();
        span.pages.push(to);
        this.#copy([{ from: page, to }]);
        span.length += tokens;
      }
    } finally {
      this.release(source);
    }
  }

  /** Leaves the pages of `span`, the last one first: those that nobody holds or keeps are free for what comes next. */
  release(span: PageSpan): void {
    for (const page of span.pages.splice(0).reverse()) this.#leave(page);
    span.length = 0;
  }

  #leave(page: number): void {
    this.#holders[page] = this.holders(page) - 1;
    if (this.holders(page) === 0 && this.#keeper?.keep(page) !== true) this.#free.push(page);
  }

  /** Kept pages go before the store grows, unless it was given a limit: up to that it grows first. */
  #newPage(): number {
    const mayGrow = Number.isFinite(this.#mostPages) && this.capacity < this.#mostPages;
    let page = this.#free.pop() ?? (mayGrow ? undefined : (this.#keeper?.giveUp() ?? undefined));
    if (page === undefined) {
      this.#grow(Math.max(this.capacity + 1, Math.min(Math.max(2 * this.capacity, 8), this.#mostPages)));
      page = this.#free.pop() as number;
    }
    this.#holders[page] = 1;
    return page;
  }

  #copy(copies: readonly PageCopy[]): void {
    if (copies.length === 0) return;
    using _ = scope();
    const from = this.#indices(copies.map((copy) => copy.from));
    const to = this.#indices(copies.map((copy) => copy.to));
    for (const { keys, values } of this.#stores) {
      for (const store of [keys, values]) {
        const pages = ops.view(store, [this.capacity, store.numel / this.capacity]);
        ops.indexCopy_(pages, 0, to, ops.indexSelect(pages, 0, from));
      }
    }
  }

  /** Frees the store. */
  [Symbol.dispose](): void {
    for (const { keys, values } of this.#stores) {
      keys.dispose();
      values.dispose();
    }
    this.#stores = [];
    this.#holders = [];
    this.#free = [];
  }

  #grow(capacity: number): void {
    const { takesParts, capacity: before } = this;
    if (before === 0) this.#stores = emptyStores(this.#shape, takesParts);
    const rows = takesParts ? 1 : pageTokens;
    growStores(this.#stores, before * rows, capacity * rows);
    const added = capacity - before;
    this.#free = [...Array.from({ length: added }, (_, i) => capacity - 1 - i), ...this.#free];
    this.#holders.push(...Array.from({ length: added }, () => 0));
  }

  /**
   * Attention of the newest tokens of some sequences, in the order of the pass's rows. One function a layer.
   *
   * @throws {ShapeError} if a sequence has fewer tokens than are new, or this cache cannot attend to a part of one
   */
  pass(added: readonly NewTokens[]): CachedAttention[] {
    if (added.some(({ span, count }) => count < 1 || span.length < count)) {
      throw new ShapeError("expected at least one new token in every sequence, and no more than it has");
    }
    if (this.takesParts) return this.#pagedPass(added);
    const spans = added.map(({ span }) => span);
    if (added.every(({ span, count }) => span.length === count)) return this.#wholePass(spans);
    if (added.every(({ count }) => count === 1)) return this.#tokenPass(spans);
    throw new ShapeError("this cache attends to whole sequences, or to the newest token of each");
  }

  #pagedPass(added: readonly NewTokens[]): CachedAttention[] {
    const table = tableOf(added);
    return this.#stores.map(({ keys, values }): CachedAttention => {
      return ({ q, k, v }, { scale, window }) =>
        ops.pagedAttention(q, k, v, keys, values, table, added.length, scale, window);
    });
  }

  #wholePass(spans: readonly Readonly<PageSpan>[]): CachedAttention[] {
    const slots = this.#indices(spans.flatMap(slotsOf));
    return this.#stores.map((store): CachedAttention => {
      return ({ q, k, v }, plan) => {
        storeRows(store, slots, { k, v });
        return packedAttention(q, k, v, plan);
      };
    });
  }

  #tokenPass(spans: readonly Readonly<PageSpan>[]): CachedAttention[] {
    const last = this.#indices(spans.map((span) => slotOf(span, span.length - 1)));
    const { device, dtype, layers } = this.#shape;
    const together = new Map<number, VarlenPlan>();
    let apart: Tensor[] | null = null;
    return this.#stores.map((store, layer): CachedAttention => {
      const isOneCall = hasVarlenAttention(device, dtype, at(layers, layer).headDim);
      return ({ q, k, v }, plan) => {
        storeRows(store, last, { k, v });
        const { cap, scale, window } = plan;
        if (isOneCall && cap === null) {
          const own = together.get(window) ?? tokensPlan(spans, window, device);
          together.set(window, own);
          return inScope(() => varlenAttention(q, store.keys, store.values, { ...own, scale }), q);
        }
        const rows = apart ?? spans.map((span) => this.#indices(slotsOf(span)));
        apart = rows;
        return inScope(() => {
          const seen = rows.map((row) => visibleRows(store, row, window));
          return ops.cat(seen.map((own, i) => attendLast(ops.narrow(q, 0, i, 1), own, plan)));
        }, q);
      };
    });
  }

  #indices(values: readonly number[]): Tensor {
    return onDevice(tensor(values, [values.length], { dtype: "int64" }), this.#shape.device, "int64");
  }
}

/** The row of an unpaged store that holds a span's token. */
function slotOf({ pages }: Readonly<PageSpan>, token: number): number {
  return at(pages, Math.floor(token / pageTokens)) * pageTokens + (token % pageTokens);
}

/** The rows that hold its tokens, in order. */
function slotsOf(span: Readonly<PageSpan>): number[] {
  return Array.from({ length: span.length }, (_, token) => slotOf(span, token));
}

/** What `attend` gives as (T, H · E), T and H · E those of q (T, H, E); the keys and values that it gathers are freed. */
function inScope(attend: () => Tensor, q: Tensor): Tensor {
  using attending = scope();
  return attending.keep(ops.reshape(attend(), [q.size(0), q.size(1) * q.size(2)]));
}

/** How the newest token of each sequence attends to its last `window` tokens (0: to all), in one call. */
function tokensPlan(spans: readonly Readonly<PageSpan>[], window: number, device: string): VarlenPlan {
  const counts = spans.map(({ length }) => (window === 0 ? length : Math.min(length, window)));
  const keyOffsets = new Int32Array(spans.length + 1);
  for (const [i, count] of counts.entries()) keyOffsets[i + 1] = (keyOffsets[i] ?? 0) + count;
  const keyRows = new Int32Array(keyOffsets.at(-1) ?? 0);
  let filled = 0;
  for (const [i, span] of spans.entries()) {
    for (let token = span.length - at(counts, i); token < span.length; token++) {
      keyRows[filled++] = slotOf(span, token);
    }
  }
  const placed = (values: Int32Array<ArrayBuffer>, dtype: DType) => onDevice(tensor(values), device, dtype);
  return {
    keyRows: placed(keyRows, "int64"),
    queryOffsets: placed(Int32Array.from(keyOffsets.keys()), "int32"),
    keyOffsets: placed(keyOffsets, "int32"),
    // as in training: a bound of 1 would take another path of the kernel
    longestQueries: 2,
    longestKeys: Math.max(...counts),
    reach: null,
    scale: 1,
  };
}

/** What `preftune::paged_attention` reads: three entries a sequence, then pages. */
function tableOf(added: readonly NewTokens[]): Tensor {
  const pages: number[] = [];
  const heads = added.flatMap(({ span, count }) => {
    const begin = 3 * added.length + pages.length;
    pages.push(...span.pages);
    return [count, span.length, begin];
  });
  return tensor(Int32Array.from([...heads, ...pages]));
}

/** q: (1, H, E); keys and values: (n, K, E) -> (1, H · E) */
function attendLast(q: Tensor, { keys, values }: Store, { scale, cap }: AttentionPlan): Tensor {
  const width = q.size(1) * q.size(2);
  if (cap !== null) {
    return ops.reshape(cappedAttention(q, keys, values, { scale, cap, mask: null }), [1, width]);
  }
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
  return ops.reshape(out, [1, width]);
}
