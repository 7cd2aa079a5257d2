/** The arena: a prompt, two answers as they come, a vote, and then who was who. */
import { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import { castBattle, winRates } from "../workbench/battle.ts";
import { Arena, stream } from "./arena.ts";
import { readContestants } from "./contestants.ts";
import { personOf } from "./label-routes.ts";
import { PageError } from "./page-error.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import { type DashboardContext, ownerOnly, type Route } from "./route.ts";

const battleBody = z.strictObject({ prompt: z.string().trim().min(1).max(100_000) });
const voteBody = z.strictObject({
  battle: z.string().min(1).max(100),
  verdict: z.enum(["left", "right", "tie", "bad"]),
});

/** The routes. */
export function arenaRoutes({ bench, onFault }: DashboardContext): Route[] {
  const arena = new Arena();
  return [
    {
      ...{ method: "GET", path: "/api/arena", roles: ownerOnly },
      answer: (c) =>
        c.json({ missing: missingIn(bench.dir), rates: bench.exists ? winRates(bench.store) : [] }),
    },
    {
      ...{ method: "POST", path: "/api/arena/battles", roles: ownerOnly },
      answer: refusing(async (c) => {
        const { prompt } = await bodyOf(c, battleBody);
        const battle = arena.begin(
          personOf(c),
          [{ role: "user", content: prompt }],
          readContestants(bench.dir),
        );
        const stop = new AbortController();
        const pieces = stream(battle, stop.signal, onFault);
        const lines = new ReadableStream<Uint8Array>({
          pull: async (controller) => {
            const { done, value } = await pieces.next();
            if (done === true) {
              // a contestant that still answers after the other failed
              stop.abort();
              controller.close();
            } else controller.enqueue(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
          },
          cancel: () => stop.abort(),
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

/** Why nobody can be asked, and how to change that; "" where two contestants or more can. */
function missingIn(dir: string): string {
  try {
    readContestants(dir);
    return "";
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

function asAnswer(content: string): { role: "assistant"; content: string }[] {
  return [{ role: "assistant", content }];
}
