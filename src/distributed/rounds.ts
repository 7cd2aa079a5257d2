/**
 * Starts of a run that use one store. torchrun's agents keep theirs while they start ranks again, with other agents or without some,
 * and each agent counts restarts by itself: rank 0 gives each start a number, and the others ask it.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError } from "../base/errors.ts";
import { ops } from "../torch/index.ts";
import type { Launch } from "./launch.ts";
import { StoppedEarlyError } from "./stopped-early.ts";

const [started, asked, answered] = ["preftune/rounds", "preftune/asked", "preftune/answered"];
const question = (number: number): string => `preftune/question/${number}`;
const answer = (asker: string): string => `preftune/answer/${asker}`;

/**
 * `launch` with the number of this start. Rank 0 gives it to those that ask from now on, as often as it calls {@link answerRound}.
 *
 * @param wait - ms in which rank 0 has to answer, and what ends that
 * @throws {ConfigError} if it does not
 * @throws {StoppedEarlyError} if this rank is asked to stop meanwhile
 */
export async function enterRound(
  store: number,
  launch: Launch,
  { timeout, signal }: { timeout: number; signal?: AbortSignal | undefined },
): Promise<Launch> {
  if (launch.isStoreOurs) return launch;
  if (launch.rank === 0) return { ...launch, round: ops.storeAdd(store, started, 1) };
  const self = randomUUID();
  ops.storeSet(store, question(ops.storeAdd(store, asked, 1)), self);
  const until = performance.now() + timeout;
  for (;;) {
    const round = ops.storeGet(store, answer(self));
    if (round !== "") return { ...launch, round: Number(round) };
    if (performance.now() > until) {
      const seconds = Math.round(timeout / 1000);
      throw new ConfigError(`after ${seconds} s rank 0 has not come. See what its process printed.`);
    }
    await sleep(50);
    if (signal?.aborted === true) throw new StoppedEarlyError(`rank ${launch.rank} (host ${hostname()})`);
  }
}

/** On rank 0: tells those that have asked since the last time which start this is. */
export function answerRound(store: number, { isStoreOurs, rank, round }: Launch): void {
  if (isStoreOurs || rank !== 0) return;
  for (let next = Number(ops.storeGet(store, answered)) + 1; ; next++) {
    const asker = ops.storeGet(store, question(next));
    if (asker === "") return;
    ops.storeSet(store, answer(asker), String(round));
    ops.storeSet(store, answered, String(next));
  }
}
