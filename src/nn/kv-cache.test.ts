/** The KV cache: decoding from pages against attention over the whole sequence, both stores, and the pages' bookkeeping. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose, withoutLeaks } from "../../test/support/close.ts";
import { type Call, withCalls } from "../../test/support/operator-calls.ts";
import { manualSeed, noGrad, ops, scope, type Tensor, tensor } from "../torch/index.ts";
import { pagesFor, pageTokens } from "./cache-pages.ts";
import { KVCache, type PageKeeper, type PageSpan } from "./kv-cache.ts";
import { packedAttention, planAttention } from "./packed-attention.ts";

interface Shape {
  heads: number;
  keyHeads: number;
  headDim: number;
  window: number | null;
}

const random = (...shape: number[]): Tensor => ops.normal_(ops.zeros(shape, { dtype: "float32" }));

const rows = (x: Tensor, start: number, end: number): Tensor => ops.slice(x, 0, start, end);

/** Runs a prompt with three continuations through a cache of `dtype` and compares each token with the whole text's. */
function compare(
  { heads, keyHeads, headDim, window }: Shape,
  dtype: "float32" | "bfloat16" | "float64",
  atol: number,
): void {
  manualSeed(4);
  const prompt = pageTokens + 5;
  const lengths = [1, pageTokens + 3, 7];
  const options = { dtype: "float32", device: "cpu", scale: 0.3, window, headWidth: headDim } as const;
  const plan = planAttention([], options);
  const shared = [
    random(prompt, heads, headDim),
    random(prompt, keyHeads, headDim),
    random(prompt, keyHeads, headDim),
  ];
  using cache = new KVCache({ layers: [{ keyHeads, headDim }], dtype, device: "cpu" });
  const cast = (x: Tensor | undefined): Tensor => ops.to(x as Tensor, dtype);
  const span: PageSpan = { pages: [], length: 0 };
  const whole = planAttention([{ start: 0, end: prompt, parent: -1 }], { ...options, dtype });
  // in two parts, where the cache takes parts
  const cuts = cache.takesParts ? [0, 11, prompt] : [0, prompt];
  for (const [i, end] of cuts.slice(1).entries()) {
    const first = cuts[i] as number;
    cache.extend([span], end - first);
    const [q, k, v] = shared.map((x) => cast(rows(x, first, end))) as [Tensor, Tensor, Tensor];
    cache.pass([{ span, count: end - first }])[0]?.({ q, k, v }, whole);
  }
  const texts = lengths.map((length) => [
    random(length, heads, headDim),
    random(length, keyHeads, headDim),
    random(length, keyHeads, headDim),
  ]);
  const wanted = texts.map((text, i) => {
    const [allQ, allK, allV] = text.map((x, j) => ops.to(ops.cat([shared[j] as Tensor, x]), "float64"));
    const end = prompt + (lengths[i] as number);
    const uncached = planAttention([{ start: 0, end, parent: -1 }], { ...options, dtype: "float64" });
    return packedAttention(allQ as Tensor, allK as Tensor, allV as Tensor, uncached);
  });
  const sequences = lengths.map(() => cache.share(span.pages, span.length));
  cache.release(span);
  for (let step = 0; step < Math.max(...lengths); step++) {
    const open = sequences.flatMap((_, i) => (step < (lengths[i] as number) ? [i] : []));
    cache.extend(
      open.map((i) => sequences[i] as PageSpan),
      1,
    );
    const [newQ, newK, newV] = [0, 1, 2].map((part) =>
      cast(ops.cat(open.map((i) => rows(texts[i]?.[part] as Tensor, step, step + 1)))),
    );
    const attend = cache.pass(open.map((i) => ({ span: sequences[i] as PageSpan, count: 1 })))[0];
    const out = attend?.({ q: newQ as Tensor, k: newK as Tensor, v: newV as Tensor }, plan) as Tensor;
    for (const [row, i] of open.entries()) {
      const got = ops.to(rows(out, row, row + 1), "float32");
      assertClose(got, rows(wanted[i] as Tensor, prompt + step, prompt + step + 1).toNumbers(), { atol });
    }
  }
}

const shapes: Shape[] = [
  { heads: 4, keyHeads: 4, headDim: 8, window: null },
  { heads: 6, keyHeads: 2, headDim: 64, window: null },
  { heads: 8, keyHeads: 2, headDim: 20, window: 9 },
  { heads: 5, keyHeads: 1, headDim: 6, window: pageTokens + 1 },
  { heads: 8, keyHeads: 1, headDim: 16, window: 1 },
];
for (const shape of shapes) {
  test(`${JSON.stringify(shape)}: decoding from pages is attention over the whole`, () => {
    withoutLeaks(() => noGrad(() => compare(shape, "float32", 3e-6)));
  });
  test(`${JSON.stringify(shape)}: the same in bfloat16`, () => {
    withoutLeaks(() => noGrad(() => compare(shape, "bfloat16", 0.05)));
  });
  test(`${JSON.stringify(shape)}: the same by torch's own attention, as accelerators take it`, () => {
    withoutLeaks(() => noGrad(() => compare(shape, "float64", 5e-7)));
  });
}

test("pages are given out once, come back, and the store grows with what was in it", () => {
  withoutLeaks(() => {
    using cache = new KVCache({
      layers: Array(2).fill({ keyHeads: 1, headDim: 4 }),
      dtype: "float32",
      device: "cpu",
    });
    const spans = Array.from({ length: 5 }, (): PageSpan => ({ pages: [], length: 0 }));
    for (const [i, span] of spans.entries()) cache.extend([span], 1 + i * pageTokens);
    assert.deepEqual(
      spans.map(({ pages }) => pages.length),
      [1, 2, 3, 4, 5],
    );
    const all = spans.flatMap(({ pages }) => pages);
    assert.equal(new Set(all).size, all.length);
    assert.equal(cache.usedPages, all.length);
    assert.equal(cache.pageBytes, 2 * 2 * 4 * 4 * pageTokens);
    cache.extend([spans[0] as PageSpan], pageTokens - 1);
    assert.equal(spans[0]?.pages.length, 1, "a full page needs no other");
    const { capacity } = cache;
    for (const span of spans) cache.release(span);
    assert.deepEqual([cache.usedPages, spans[4]?.length, spans[4]?.pages], [0, 0, []]);
    cache.extend([spans[1] as PageSpan], 15 * pageTokens);
    assert.equal(cache.capacity, capacity, "freed pages are used again");
    assert.deepEqual(
      [pagesFor(0), pagesFor(1), pagesFor(pageTokens), pagesFor(pageTokens + 1)],
      [0, 1, 1, 2],
    );
  });
});

test("where memory runs out while the store grows, it is as it was: also where there is none to go back to", () => {
  for (const dtype of ["float32", "float64"] as const) {
    for (const stays of [false, true]) {
      for (let fails = 0; fails < 4; fails++) {
        withoutLeaks(() => {
          using cache = new KVCache({
            layers: Array(2).fill({ keyHeads: 1, headDim: 4 }),
            dtype,
            device: "cpu",
          });
          const spans = Array.from({ length: 9 }, (): PageSpan => ({ pages: [], length: 0 }));
          const [first, ...others] = spans as [PageSpan, ...PageSpan[]];
          cache.extend(spans.slice(0, 8), pageTokens);
          const { capacity } = cache;
          const { q, k, v } = { q: random(1, 1, 4), k: random(1, 1, 4), v: random(1, 1, 4) };
          const inputs = { q: ops.to(q, dtype), k: ops.to(k, dtype), v: ops.to(v, dtype) };
          const options = { dtype, device: "cpu", scale: 1, window: null, headWidth: 4 } as const;
          const plan = planAttention([], options);
          const attend = () =>
            cache.pass([{ span: first, count: 1 }]).map((layer) => layer(inputs, plan).toNumbers());
          const want = attend();
          let zeros = 0;
          const plant = ({ name, args, with: call }: Call) => {
            if (name !== "aten::zeros") return call(...args);
            zeros += 1;
            if (zeros - 1 === fails || (stays && zeros - 1 > fails)) throw new Error("out of memory");
            return call(...args);
          };
          withCalls(plant, () => {
            assert.throws(() => cache.extend([others[7] as PageSpan], pageTokens), /out of memory/);
          });
          assert.equal(cache.capacity, capacity);
          assert.deepEqual(attend(), want);
          cache.extend([others[7] as PageSpan], pageTokens);
          assert.equal(cache.capacity, 2 * capacity);
          assert.deepEqual(attend(), want);
        });
      }
    }
  }
});

test("no memory is set aside beyond what can be asked for", () => {
  withoutLeaks(() => {
    using cache = new KVCache(
      { layers: [{ keyHeads: 1, headDim: 4 }], dtype: "float32", device: "cpu" },
      { mostPages: 11 },
    );
    const span: PageSpan = { pages: [], length: 0 };
    for (let page = 1; page <= 11; page++) {
      cache.extend([span], pageTokens);
      assert.equal(cache.capacity, page <= 8 ? 8 : 11);
    }
    assert.deepEqual(
      [...span.pages].sort((a, b) => a - b),
      Array.from({ length: 11 }, (_, i) => i),
    );
  });
});

test("the operators refuse what would reach outside the cache", () => {
  withoutLeaks(() => {
    using _ = scope();
    const [keys, values] = [random(2, 1, 4, pageTokens), random(2, 1, pageTokens, 4)];
    const one = random(1, 1, 4);
    const table = (entries: number[]) => tensor(Int32Array.from(entries));
    const decode = (entries: number[], sequences = 1) =>
      ops.pagedAttention(one, one, one, keys, values, table(entries), sequences, 1, 0);
    assert.throws(() => decode([1, 1, 3, 2]), /page 2 lies outside a cache of 2 pages/);
    assert.throws(() => decode([1, 40, 3, 1]), /sequence 0 has no pages in the table/);
    assert.throws(() => decode([0, 1, 3, 1]), /sequence 0 has no pages/);
    assert.throws(() => decode([2, 1, 3, 1]), /sequence 0 has no pages/);
    assert.throws(() => decode([2, 2, 3, 1]), /the table has 2 tokens, the tensors have 1/);
    assert.throws(() => decode([0]), /three entries for each of 1/);
    assert.equal(decode([1, 1, 3, 1]).size(0), 1);
  });
});

test("a begun page is not copied where the limit leaves no other: its tokens are computed again", () => {
  const kept: number[] = [];
  const keeper: PageKeeper = {
    keep: (page) => kept.push(page) > 0,
    take: (page) => void kept.splice(kept.indexOf(page), 1),
    giveUp: () => kept.shift() ?? null,
    get size() {
      return kept.length;
    },
  };
  const shape = { layers: [{ keyHeads: 1, headDim: 8 }], dtype: "float32", device: "cpu" } as const;
  using cache = new KVCache(shape, { mostPages: 2, keeper });
  const spans = [0, 1].map((): PageSpan => ({ pages: [], length: 0 }));
  const [earlier, running] = spans as [PageSpan, PageSpan];
  cache.extend([earlier], 10);
  cache.extend([running], 3);
  const [page = -1] = earlier.pages;
  cache.release(earlier);
  assert.deepEqual(kept, [page]);
  const next: PageSpan = { pages: [], length: 0 };
  cache.addCopy(next, page, 5);
  assert.deepEqual(next, { pages: [], length: 0 });
  assert.deepEqual([kept, cache.capacity], [[page], 2]);
  cache.release(running);
  cache.addCopy(next, page, 5);
  assert.deepEqual([next.length, cache.capacity], [5, 2]);
  cache.release(next);
});
