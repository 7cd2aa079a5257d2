/** Time and chance as the endpoint's client takes them, so that tests need not wait. */
import { setTimeout as delay } from "node:timers/promises";

/** Time and chance. */
export interface Clock {
  /** Milliseconds that only go forward. */
  now(): number;
  /** The date, in milliseconds since 1970, for `Retry-After` headers that name one. */
  date(): number;
  sleep(ms: number): Promise<void>;
  /** A number in [0, 1). */
  random(): number;
}

/** The machine's own. */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  sleep: async (ms) => {
    await delay(ms);
  },
  random: () => Math.random(),
};
