/** Judges: how far they depend on order and length, where they and people part, and the comparisons that they made. */
import type { JSX } from "preact";
import type { JudgedRun, Judges } from "../judge-routes.ts";
import { intervalText, kappaText, type Sent, shareText, valueText, verdictWords } from "./judgment-texts.ts";
import { Empty, useAnswer, Waiting } from "./pieces.tsx";
import { Table } from "./table.tsx";
import { BareTexts } from "./text-views.tsx";

type Facts = Sent<Judges>["judges"][number];

/** Most pairs of a judge that are shown. */
const mostShown = 50;

/** The screen. */
export function JudgeScreen(): JSX.Element {
  const { value, problem } = useAnswer<Sent<Judges>>("/api/judges");
  if (value === null || problem !== "") return <Waiting problem={problem}>Reading verdicts …</Waiting>;
  const { judges, runs } = value;
  return (
    <>
      <h1>Judge</h1>
      {judges.length === 0 ? (
        <Empty of="judges" />
      ) : (
        judges.map((facts) => <Judge key={facts.judge} facts={facts} />)
      )}
      <h2>Comparisons</h2>
      {runs.length === 0 ? (
        <p class="soft">
          None below the directories of this dashboard.{" "}
          <code>preftune evaluate pairwise A B --prompts FILE --judge URL#MODEL</code> makes one.
        </p>
      ) : (
        <Comparisons runs={runs} />
      )}
    </>
  );
}

function Judge({ facts }: { facts: Facts }): JSX.Element {
  const { judge, verdicts, changed, first, longer, withPeople, partings } = facts;
  const rows = [
    ["Winner changed with the order", shareText(changed)],
    ["Verdicts for the answer shown first", shareText(first)],
    ["Verdicts for the longer answer", shareText(longer)],
    ["Kappa with people", kappaText(withPeople)],
  ] as const;
  return (
    <section>
      <h2>{judge}</h2>
      <p class="soft">
        {verdicts} pairs, each judged in both orders. A half for the answer shown first is no bias; in
        brackets 95&nbsp;% intervals.
      </p>
      <dl>
        {rows.map(([name, text]) => (
          <div key={name}>
            <dt class="soft">{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      {partings.length > 0 && (
        <details>
          <summary>
            {partings.length} pairs on which people are of another mind
            {partings.length > mostShown && `, the first ${mostShown} of them`}
          </summary>
          <div class="items">
            {partings.slice(0, mostShown).map((parting) => (
              <article class="bench-prompt" key={parting.item}>
                <BareTexts {...parting} />
                <p>
                  People: {verdictWords[parting.people] ?? parting.people}; the judge:{" "}
                  {verdictWords[parting.judge] ?? parting.judge}.
                </p>
              </article>
            ))}
          </div>
        </details>
      )}
    </section>
  );
}

function Comparisons({ runs }: { runs: readonly Sent<JudgedRun>[] }): JSX.Element {
  const text = ({ value, interval }: Sent<JudgedRun>["winRate"]): string =>
    `${valueText(value)} ${intervalText(interval)}`;
  return (
    <Table
      isStacked
      head={[
        ...["Comparison", "Judge", "Questions", "Win rate"],
        ...["Changed with the order", "For the first shown", "For the longer"],
      ]}
      lines={runs.map((run) => ({
        key: run.id,
        cells: [
          <a key="report" href={`/api/judges/${run.id}/report`} target="_blank" rel="noreferrer">
            {run.models.join(" against ")}
          </a>,
          ...[
            run.judge,
            run.questions,
            text(run.winRate),
            text(run.changed),
            text(run.first),
            text(run.longer),
          ],
        ],
      }))}
    />
  );
}
