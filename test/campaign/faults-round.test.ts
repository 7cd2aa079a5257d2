/**
 * Row 5: every system call of a round that writes fails in turn: the error names the path and ends the command with status 5, and the
 * same command goes on to the bytes of a round in which nothing failed.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { runRound } from "../../src/rounds/round.ts";
import { amount, figure } from "../support/campaign.ts";
import { type FaultyCommand, failEachCall } from "../support/fault-loop.ts";
import { roundFixture } from "../support/tiny-round.ts";

const fixture = roundFixture();
after(() => fixture[Symbol.dispose]());

test("each system call of a round fails once", async () => {
  const module = fixture.path("rewards.mjs");
  writeFileSync(
    module,
    "export const longer = ({ completions }) => completions.map(([{ content }]) => content.length);\n",
  );
  const round: FaultyCommand = {
    name: "round",
    run: (dir) =>
      runRound(
        fixture.roundText({
          ...{ reward_funcs: [`${module}#longer`], pairs: "best_worst" },
          ...{ output_dir: join(dir, "round"), workbench: join(dir, "workbench") },
        }),
        "round.yaml",
      ),
    outputs: [
      ...["answers.jsonl", "scores.jsonl", "data-check.json", "run/adapter", "compare/rewards.jsonl"].map(
        (name) => join("round", name),
      ),
      join("workbench", "versions"),
    ],
    // when a version was made, and where its run is
    essence: (text, dir) => text.replaceAll(dir, "").replace(/"created": "[^"]*"/, ""),
  };
  const stride = amount(150, 1);
  const { calls, failed } = await failEachCall(round, fixture.dir, stride);
  figure(
    5,
    "round: each system call that writes fails in one of the ways that it can (EIO, ENOSPC, EDQUOT, EROFS, EMFILE)",
    `${failed} of ${calls.length} calls tried, all told with path and status 5, the bytes needed where a write finds no room, same bytes when done again`,
    "100 % of calls",
    failed >= Math.floor(calls.length / stride),
  );
});
