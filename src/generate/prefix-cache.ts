/**
 * What prompts begin with, kept from request to request: pages of the cache found again by the tokens in them. A page follows the
 * pages before it, so it is the same as wanted only if all tokens up to its end are. The page left longest ago goes first.
 */
import { at } from "../base/at.ts";
import { pageTokens } from "../nn/cache-pages.ts";
import type { KVCache, PageKeeper, PageSpan } from "../nn/kv-cache.ts";

/** A page with the tokens in it; only one without successors has fewer than a page full. */
interface KeptPage {
  page: number;
  tokens: readonly number[];
  before: Successors;
  next: Successors;
}

/** Pages that may follow one, by their tokens. */
type Successors = Map<string, KeptPage>;

/** A sequence and its tokens, of which the first `span.length` are computed. */
interface Filled {
  tokens: readonly number[];
  span: PageSpan;
}

/** Finds and keeps pages by content, of each model separately: under another adapter the same tokens have other keys and values. */
export class PrefixCache implements PageKeeper {
  readonly #firsts: Map<object, Successors> = new Map();
  readonly #byPage: Map<number, KeptPage> = new Map();
  /** Those that no sequence holds, left longest ago first. Sequences leave their last page first: successors come before. */
  readonly #idle: Set<KeptPage> = new Set();

  get size(): number {
    return this.#idle.size;
  }

  keep(page: number): boolean {
    const kept = this.#byPage.get(page);
    if (kept !== undefined) this.#idle.add(kept);
    return kept !== undefined;
  }

  take(page: number): void {
    this.#idle.delete(this.#byPage.get(page) as KeptPage);
  }

  giveUp(): number | null {
    const [kept] = this.#idle;
    if (kept === undefined) return null;
    this.#idle.delete(kept);
    this.#forget(kept);
    return kept.page;
  }

  /** Gives `span`, which is empty, the most of the first `tokens` that are kept for `model`: whole pages are shared, of the next one a copy is made. */
  begin(cache: KVCache, model: object, { tokens, span }: Filled): void {
    let next = this.#firstsOf(model);
    const pages: number[] = [];
    for (let first = 0; first + pageTokens <= tokens.length; first += pageTokens) {
      const kept = next.get(keyOf(tokens.slice(first, first + pageTokens)));
      if (kept === undefined) break;
      pages.push(kept.page);
      next = kept.next;
    }
    Object.assign(span, cache.share(pages, pages.length * pageTokens));
    const rest = tokens.slice(span.length, span.length + pageTokens);
    const { kept, count } = mostAlike(next, rest);
    if (kept === null) return;
    if (count < kept.tokens.length) {
      cache.addCopy(span, kept.page, count);
      return;
    }
    // begun and all of it wanted: it is continued in place, and kept again with what it gets
    span.pages.push(...cache.share([kept.page], count).pages);
    span.length += count;
    this.#forget(kept);
  }

  /** Lets the full pages of `span`, which hold the first of `tokens`, be found. A page that is kept already replaces the span's own. */
  add(cache: KVCache, model: object, { tokens, span }: Filled): Successors {
    let next = this.#firstsOf(model);
    for (let i = 0; (i + 1) * pageTokens <= span.length; i++) {
      const content = tokens.slice(i * pageTokens, (i + 1) * pageTokens);
      const page = at(span.pages, i);
      const kept = next.get(keyOf(content)) ?? this.#insert(next, content, page);
      if (kept.page !== page) {
        const own: PageSpan = { pages: [page], length: pageTokens };
        span.pages[i] = at(cache.share([kept.page], pageTokens).pages, 0);
        cache.release(own);
      }
      next = kept.next;
    }
    return next;
  }

  /** Leaves a sequence, so that its pages can be found, the one begun too. */
  end(cache: KVCache, model: object, { tokens, span }: Filled): void {
    const next = this.add(cache, model, { tokens, span });
    const begun = tokens.slice(Math.floor(span.length / pageTokens) * pageTokens, span.length);
    const page = span.pages.at(-1);
    // others may write on in a page that they hold too
    const isAlone = page !== undefined && begun.length > 0 && cache.holders(page) === 1;
    if (isAlone && mostAlike(next, begun).count < begun.length) this.#insert(next, begun, page);
    cache.release(span);
  }

  #firstsOf(model: object): Successors {
    const firsts = this.#firsts.get(model) ?? new Map();
    this.#firsts.set(model, firsts);
    return firsts;
  }

  #insert(before: Successors, tokens: readonly number[], page: number): KeptPage {
    const kept: KeptPage = { page, tokens, before, next: new Map() };
    before.set(keyOf(tokens), kept);
    this.#byPage.set(page, kept);
    return kept;
  }

  #forget({ page, tokens, before }: KeptPage): void {
    before.delete(keyOf(tokens));
    this.#byPage.delete(page);
  }
}

function keyOf(tokens: readonly number[]): string {
  return tokens.join();
}

/** The page that begins with the most of `tokens`. */
function mostAlike(pages: Successors, tokens: readonly number[]): { kept: KeptPage | null; count: number } {
  let [best, most]: [KeptPage | null, number] = [null, 0];
  for (const kept of pages.values()) {
    const differs = kept.tokens.findIndex((id, i) => id !== tokens[i]);
    const count = differs < 0 ? kept.tokens.length : differs;
    if (count > most) [best, most] = [kept, count];
  }
  return { kept: best, count: most };
}
