/** What follows of all events of a store, worked out again only after another one. */
import type { LabelState } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";

/**
 * What `make` gives of a store, kept until its state changes; everybody gets the same object.
 *
 * @param seqOf - the last event that changes what `make` gives; left out: any
 */
export function remembered<T>(
  make: (store: LabelStore, state: LabelState) => T,
  seqOf: (state: LabelState) => number = ({ seq }) => seq,
): (store: LabelStore) => T {
  const found = new WeakMap<LabelState, { seq: number; value: T }>();
  return (store) => {
    const state = store.state();
    const seq = seqOf(state);
    const kept = found.get(state);
    if (kept?.seq === seq) return kept.value;
    const value = make(store, state);
    found.set(state, { seq, value });
    return value;
  };
}
