/** Labelling: the next pair, votes, undo, notes, flags. Nothing that is sent from here tells who wrote which side. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readTextFile } from "../base/files.ts";
import { plainText } from "../text/message-text.ts";
import { doubtOf } from "../workbench/doubt.ts";
import type { ShowingOrder } from "../workbench/label-events.ts";
import {
  castVote,
  flag,
  isKept,
  nextPairs,
  noteOn,
  progressOf,
  type ShownPair,
  type ShownTexts,
  undoVote,
} from "../workbench/labelling.ts";
import { refusing } from "./refusing.ts";
import { bodyOf } from "./request-body.ts";
import type { Ctx, DashboardContext, Route } from "./route.ts";
import type { Role } from "./sessions.ts";

/** Roles that label. */
const labels: readonly Role[] = ["owner", "labeller"];

/** Longest text of a note, a reason or an edited answer, characters. */
const longest = 100_000;

const id = z.string().min(1).max(100);
const side = z.enum(["left", "right"]);

/** The order of the pairs that are shown from now on. */
const order = z.enum(["random", "uncertain"]).default("random");

const nextBody = z.strictObject({ order });
const voteBody = z.strictObject({
  order,
  showing: id,
  key: id,
  verdict: z.enum(["left", "right", "tie", "bad", "skip"]),
  strength: z.union([z.literal(1), z.literal(2)]).default(1),
  ms: z.int().min(0).max(86_400_000).optional(),
  reason: z.string().max(longest).optional(),
  edit: z.strictObject({ side, text: z.string().trim().min(1).max(longest) }).optional(),
});
const undoBody = z.strictObject({ order, vote: z.int().min(1) });
const noteBody = z.strictObject({ showing: id, text: z.string().max(longest) });
const flagBody = z.strictObject({ showing: id, isSet: z.boolean() });

/** The routes. */
export function labelRoutes({ bench }: DashboardContext): Route[] {
  const post = (path: string, act: (c: Ctx, person: string) => Promise<object>): Route => ({
    ...{ method: "POST", path, roles: labels },
    answer: refusing(async (c) => {
      const person = personOf(c);
      bench.store.addPerson(person, "person");
      return c.json(await act(c, person));
    }),
  });
  const next = (person: string, by: ShowingOrder) => {
    const options = by === "random" ? {} : { order: by, uncertainty: doubtOf(bench.store) };
    // the pair behind the next one too: the page shows it with the key, not with the answer
    const [pair = null, ahead = null] = nextPairs(bench.store, person, 2, options).map(asTexts);
    return { pair, ahead, progress: progressOf(bench.store, person) };
  };
  return [
    post("/api/label/next", async (c, person) => {
      const { order: by } = await bodyOf(c, nextBody);
      return { ...next(person, by), rubric: rubricIn(bench.dir), workbench: bench.store.id };
    }),
    post("/api/label/vote", async (c, person) => {
      const { order: by, ms, reason, edit, ...vote } = await bodyOf(c, voteBody);
      const isNew = castVote(bench.store, person, {
        ...vote,
        ...(ms === undefined ? {} : { ms }),
        ...(reason === undefined ? {} : { reason }),
        ...(edit === undefined ? {} : { edit }),
      });
      return { isNew, wasJudged: !isNew && !isKept(bench.store, vote), ...next(person, by) };
    }),
    post("/api/label/undo", async (c, person) => {
      const { order: by, vote } = await bodyOf(c, undoBody);
      return { isNew: undoVote(bench.store, person, vote), ...next(person, by) };
    }),
    post("/api/label/note", async (c, person) => {
      const { showing, text } = await bodyOf(c, noteBody);
      noteOn(bench.store, person, showing, text);
      return {};
    }),
    post("/api/label/flag", async (c, person) => {
      const { showing, isSet } = await bodyOf(c, flagBody);
      flag(bench.store, person, showing, isSet);
      return {};
    }),
  ];
}

/** The pair as its page shows it. */
function asTexts(pair: ShownPair): ShownTexts {
  const { prompt, left, right } = pair;
  return { ...pair, prompt: plainText(prompt), left: plainText(left), right: plainText(right) };
}

/** What labels of this request carry. */
export function personOf(c: Ctx): string {
  return c.get("session")?.name ?? "";
}

/** What people are asked to look at: the file rubric.md of the workbench, "" where there is none. */
function rubricIn(dir: string): string {
  const path = join(dir, "rubric.md");
  return existsSync(path) ? readTextFile(path) : "";
}
