/** Lets time pass on the clock in which this thread computes nothing, as on a busy machine. */
export function pass(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
