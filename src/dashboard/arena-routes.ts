/** The arena: a prompt, two answers as they come, a vote, and then who was who. */
import { availableParallelism } from "node:os";
import { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import { castBattle, type WinRate, winRates } from "../workbench/battle.ts";
import { Arena, stream } from "./arena.ts";
import { type Contestant, readContestants } from "./contestants.ts";
import { personOf } from "./label-routes.ts";
import { PageError } from "./page-error.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import { type DashboardContext, ownerOnly, type Route } from "./route.ts";
import { idleMinutes } from "./served-contestants.ts";

const battleBody = z.strictObject({
  prompt: z.string().trim().min(1).max(100_000),
  /** Names of who is to meet; left out: any two. */
  pair: z.tuple([z.string(), z.string()]).optional(),
});
const voteBody = z.strictObject({
  battle: z.string().min(1).max(100),
  verdict: z.enum(["left", "right", "tie", "bad"]),
});

/** What the screen shows before anything is asked. */
export interface ArenaView {
  /** Why nobody can be asked, and how to change that; "" where two contestants or more can. */
  missing: string;
  /** Of all contestants. */
  names: string[];
  /** What asking costs a training that runs; "" without one. */
  cost: string;
  rates: WinRate[];
}

/** The routes. */
export function arenaRoutes(context: DashboardContext): Route[] {
  const { bench, served, onFault } = context;
  const arena = new Arena();
  return [
    {
      ...{ method: "GET", path: "/api/arena", roles: ownerOnly },
      answer: async (c) => c.json(await viewOf(context)),
    },
    {
      ...{ method: "POST", path: "/api/arena/battles", roles: ownerOnly },
      answer: refusing(async (c) => {
        const { prompt, pair } = await bodyOf(c, battleBody);
        const contestants = chosen(readContestants(bench.dir), pair);
        const battle = arena.begin(personOf(c), [{ role: "user", content: prompt }], contestants);
        const stop = new AbortController();
        const pieces = stream(battle, { served, signal: stop.signal, onFault });
        const lines = new ReadableStream<Uint8Array>({
          pull: async (controller) => {
            const { done, value } = await pieces.next();
            if (done === true) {
              // a contestant that still answers after the other failed
              stop.abort();
              controller.close();
            } else controller.enqueue(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
          },
          cancel: async () => {
            stop.abort();
            await pieces.return(undefined);
          },
        });
        return c.body(lines, 200, { "Content-Type": "application/x-ndjson" });
      }),
    },
    {
      ...{ method: "POST", path: "/api/arena/votes", roles: ownerOnly },
      answer: refusing(async (c) => {
        const { battle: id, verdict } = await bodyOf(c, voteBody);
        const battle = arena.finished(id, personOf(c));
        if (battle === null)
          throw new PageError(
            404,
            "There is no such battle that waits for a vote: it was judged, or has not ended.",
          );
        const [left, right] = battle.contestants;
        const [one, other] = battle.answers;
        const answers = [asAnswer(one), asAnswer(other)] as const;
        const comparison = {
          prompt: battle.prompt,
          answers,
          models: [left.name, right.name],
          votes: [],
          extra: {},
        } as const;
        castBattle(bench.store, personOf(c), comparison, { showing: id, key: "vote", verdict });
        arena.end(id);
        return c.json({ left: left.name, right: right.name });
      }),
    },
  ];
}

async function viewOf({ bench, runs }: DashboardContext): Promise<ArenaView> {
  const rates = bench.exists ? winRates(bench.store) : [];
  try {
    const contestants = readContestants(bench.dir);
    const running = (await runs.list()).filter(({ state }) => state === "running");
    const cost = costOf(
      contestants,
      running.map(({ name }) => name),
    );
    return { missing: "", names: contestants.map(({ name }) => name), cost, rates };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { missing: error.message, names: [], cost: "", rates };
  }
}

/** Most runs that are named. */
const namedRuns = 3;

function costOf(contestants: readonly Contestant[], running: readonly string[]): string {
  const served = contestants.flatMap(({ source }) => ("served" in source ? [source.served] : []))[0];
  if (served === undefined || running.length === 0) return "";
  const { device, threads } = served;
  const named = running.slice(0, namedRuns).join(", ");
  const more = running.length > namedRuns ? ` and ${running.length - namedRuns} more` : "";
  const where =
    device === "cpu" || device === "auto" ? `${threads} of ${availableParallelism()} threads` : device;
  const orGpu = device === "auto" ? ", or on a GPU," : "";
  return (
    `Training now: ${named}${more}. Contestants here answer with ${where}${orGpu} beside it: until they have, a step may take twice as long. ` +
    `They keep their memory for ${idleMinutes} minutes.`
  );
}

/** Who may be drawn. @throws {PageError} for a pair that is none */
function chosen(contestants: Contestant[], pair: readonly string[] | undefined): Contestant[] {
  if (pair === undefined) return contestants;
  const found = contestants.filter(({ name }) => pair.includes(name));
  if (found.length === 2) return found;
  const names = contestants.map(({ name }) => name).join(", ");
  throw new PageError(422, `pair: expected two of the contestants ${names}, got ${JSON.stringify(pair)}.`);
}

function asAnswer(content: string): { role: "assistant"; content: string }[] {
  return [{ role: "assistant", content }];
}
