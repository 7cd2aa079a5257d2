/** What screens say where there is nothing yet: each names the command that fills it, with the folders of this dashboard. */
import { relative, resolve } from "node:path";
import { shellWord } from "../base/shell-word.ts";
import type { DashboardContext } from "./route.ts";
import type { Session } from "./sessions.ts";

/** Texts by what is missing; commands stand between backticks. */
export type EmptyTexts = Readonly<
  Record<
    | "runs"
    | "compare"
    | "queue"
    | "pairs"
    | "unjudged"
    | "judged"
    | "versions"
    | "judges"
    | "people"
    | "rounds",
    string
  >
>;

/** The texts for somebody; the folders are for the owner, who gave them. */
export function emptyTexts({ runs, bench }: DashboardContext, session: Session | null): EmptyTexts {
  const isOwner = session?.role === "owner";
  const dir = isOwner ? folderText(runs.roots[0] ?? ".") : "DIR";
  const workbench = isOwner ? folderText(bench.dir) : "WORKBENCH";
  const adding = `\`preftune labels import ${workbench} FILE\``;
  return {
    runs:
      "There is no run here yet. A run is any output_dir that training wrote below the directories which the dashboard was given.\n" +
      `\`preftune init\` asks for model and rows and writes run.yaml; \`preftune train run.yaml --output_dir ${dir}/first\` starts it in a ` +
      "terminal, and it appears here by itself. New run starts one from here.",
    compare:
      "Choose two to eight runs on the Runs screen: by their boxes, or with the keys j, k and x; c compares them. " +
      "`preftune report RUN RUN` writes the comparison to a file.",
    queue:
      "Nothing was started from here. New run starts one; those that `preftune train` starts in a terminal are under Runs.",
    pairs: `There are no pairs yet. ${adding} reads TRL's pairs, battles of Chatbot Arena, Label Studio, Argilla, Open WebUI and tables, and so does the box above.`,
    unjudged: `There are no pairs to judge yet. ${adding} adds some, and so does the Data screen.`,
    judged: `All done. The People screen shows how far people agree; \`preftune labels export ${workbench}\`, or the Data screen, makes a version to train on.`,
    versions: `None yet. A version is made of what was judged (\`preftune labels export ${workbench}\`) or by \`preftune data clean RECIPE\`, and never changes.`,
    judges:
      `No model has judged pairs of the workbench. \`preftune labels judge ${workbench} --judge URL#MODEL\` lets one judge each pair in ` +
      "both orders; its verdicts are labels that stay marked as a judge's, and people go before them.",
    people: `Nobody has judged anything yet. Pairs come by ${adding} or the Data screen; judging is on the Label screen.`,
    rounds:
      "None yet. In a round a model answers prompts, people, a judge or rewards say which answers are better, and it is trained on these " +
      "pairs and compared with what it was: `preftune round ROUND.yaml`.",
  };
}

/** A folder as the shell takes it where the dashboard was started. */
function folderText(dir: string): string {
  const below = relative(process.cwd(), resolve(dir));
  return shellWord(below === "" || below.startsWith("..") ? resolve(dir) : below);
}
