/** The memory of a cache of keys and values: two tensors a layer, which grow with what is in them. */
import { type DType, ops, scope, type Tensor } from "../torch/index.ts";
import { pageTokens } from "./cache-pages.ts";

/** What a layer of a cache holds of a token. */
export interface CachedHeads {
  keyHeads: number;
  headDim: number;
}

/** Keys and values of a layer: a row for each page, or, where torch's own attention reads them, for each token. */
export interface Store {
  keys: Tensor;
  values: Tensor;
}

/** Stores without a row. */
export function emptyStores(
  { layers, dtype, device }: { layers: readonly CachedHeads[]; dtype: DType; device: string },
  isPaged: boolean,
): Store[] {
  using making = scope();
  const stores = layers.map(({ keyHeads, headDim }): Store => {
    const empty = (...row: number[]) => ops.zeros([0, ...row], { dtype, device });
    if (!isPaged) return { keys: empty(keyHeads, headDim), values: empty(keyHeads, headDim) };
    return { keys: empty(keyHeads, headDim, pageTokens), values: empty(keyHeads, pageTokens, headDim) };
  });
  for (const part of stores.flatMap(({ keys, values }) => [keys, values])) making.keep(part);
  return stores;
}

/** From `before` rows to `rows`, tensor by tensor, so that two caches are never there at once. Where memory runs out, all is as it was. */
export function growStores(stores: readonly Store[], before: number, rows: number): void {
  try {
    resize(stores, rows, moved);
  } catch (error) {
    resize(stores, before, cut);
    throw error;
  }
}

function resize(
  stores: readonly Store[],
  rows: number,
  resized: (old: Tensor, rows: number) => Tensor,
): void {
  for (const store of stores) {
    for (const part of ["keys", "values"] as const) {
      const old = store[part];
      if (old.size(0) === rows) continue;
      store[part] = resized(old, rows);
      old.dispose();
    }
  }
}

/** A tensor of `rows` rows with as much of `old` as both have. */
function moved(old: Tensor, rows: number): Tensor {
  using moving = scope();
  const { dtype, device } = old;
  const store = ops.zeros([rows, ...old.shape.slice(1)], { dtype, device });
  const kept = Math.min(rows, old.size(0));
  ops.copy_(ops.narrow(store, 0, 0, kept), ops.narrow(old, 0, 0, kept));
  return moving.keep(store);
}

/** The first `rows` rows of `old`: in memory of their size, or, where there is none left for that, in the old one's. */
function cut(old: Tensor, rows: number): Tensor {
  try {
    return moved(old, rows);
  } catch {
    return ops.narrow(old, 0, 0, rows);
  }
}

/** Puts keys and values (T, K, E) into the rows `slots`. */
export function storeRows({ keys, values }: Store, slots: Tensor, { k, v }: { k: Tensor; v: Tensor }): void {
  ops.indexCopy_(keys, 0, slots, k);
  ops.indexCopy_(values, 0, slots, v);
}

/** The last `window` (0: all) of the rows `slots`. */
export function visibleRows({ keys, values }: Store, slots: Tensor, window: number): Store {
  const hidden = window === 0 ? 0 : Math.max(0, slots.size(0) - window);
  const rows = hidden === 0 ? slots : ops.slice(slots, 0, hidden);
  return { keys: ops.indexSelect(keys, 0, rows), values: ops.indexSelect(values, 0, rows) };
}
