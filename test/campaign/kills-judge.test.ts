/** Kills of a run while its judge answers (row 4); see test/support/judge-kills.ts. */
import { test } from "node:test";
import { amount, campaignSeed, figure } from "../support/campaign.ts";
import { killWhileJudging } from "../support/judge-kills.ts";

test("a judged run, killed while its judge answers and resumed: no judgment that was kept is paid twice", async () => {
  const kills = amount(3, 100);
  const { paid, lost, finishedRuns } = await killWhileJudging(kills, 10 * campaignSeed + 7);
  figure(
    4,
    `SIGKILL while a judge answers, seed ${10 * campaignSeed + 7}`,
    `${kills} kills, ${paid} judgments, none asked for again that was kept (${lost} lost on their way by a kill right behind the answer), ` +
      `${finishedRuns} of ${finishedRuns} runs with the bytes of the one left alone`,
    "none that was kept asked for again, all runs the same bytes",
    finishedRuns > 0,
  );
});
