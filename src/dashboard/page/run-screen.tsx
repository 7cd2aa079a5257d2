/** One run, live. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { RunEvent } from "../../runs/run-directory.ts";
import type { ChartGroup } from "../run-charts.ts";
import type { Summary } from "../run-summary.ts";
import type { WireCurve } from "../wire.ts";
import { get } from "./api.ts";
import { ChartSection } from "./chart-section.tsx";
import { addRows, type Curves, curvesOf, type Drawing } from "./curves.ts";
import { useStream } from "./live.ts";
import { Problem, StateTag } from "./pieces.tsx";

/** What the server sends of a run when it is opened. */
interface Opened {
  summary: Summary;
  place: string;
  groups: ChartGroup[];
  curves: Readonly<Record<string, WireCurve>>;
  events: RunEvent[];
}

interface Shown {
  summary: Summary;
  place: string;
  groups: readonly ChartGroup[];
  curves: Curves;
  events: readonly RunEvent[];
}

const titles: Readonly<Record<ChartGroup["part"], string>> = {
  outcome: "Outcome",
  answers: "Answers",
  training: "Training",
  machine: "Machine",
  other: "More metrics",
};

/** The run's screen. */
export function RunScreen({ id }: { id: string }): JSX.Element {
  const [run, setRun] = useState<Shown | null>(null);
  const [problem, setProblem] = useState("");
  const [version, setVersion] = useState(0);
  const curves = useRef<Curves>(new Map());
  const load = (): void => {
    get<Opened>(`/api/runs/${id}/curves`)
      .then(({ curves: sent, ...rest }) => {
        curves.current = curvesOf(sent);
        setRun({ ...rest, curves: curves.current });
        setVersion((n) => n + 1);
      })
      .catch((error: Error) => setProblem(error.message));
  };
  // of another run all is loaded
  useEffect(load, [id]);
  useStream(run === null ? null : `/api/stream?runs=${id}@${run.place}`, {
    rows: ({ rows }) => {
      addRows(curves.current, rows);
      setVersion((n) => n + 1);
    },
    summary: ({ summary }) => setRun((before) => before && { ...before, summary }),
    events: ({ events }) =>
      setRun((before) => before && { ...before, events: [...before.events, ...events] }),
    restart: load,
  });
  if (problem !== "") return <Problem text={problem} />;
  if (run === null) return <p aria-busy="true">Reading the run …</p>;
  const drawing: Drawing = { over: "step", epochRows: null, smoothing: 0 };
  return (
    <>
      <RunTop summary={run.summary} />
      {run.groups.map(({ part, plans }) => (
        <ChartSection
          key={part}
          title={titles[part]}
          plans={plans}
          curves={curves.current}
          drawing={drawing}
          isLog={false}
          version={version}
          baseline={run.summary.baseline}
        />
      ))}
    </>
  );
}

function RunTop({ summary }: { summary: Summary }): JSX.Element {
  const { name, objective, model, step, totalSteps, message } = summary;
  return (
    <>
      <h1>{name}</h1>
      <p class="soft">
        <StateTag run={summary} /> at step {step}
        {totalSteps === null ? "" : ` of ${totalSteps}`}: {objective}, {model}.
      </p>
      {message !== "" && <Problem text={message} />}
    </>
  );
}
