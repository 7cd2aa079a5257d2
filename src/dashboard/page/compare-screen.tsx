/** Two to eight runs over each other, live; the report over them has who is better by how much, what differs and what each answers. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ChartPlan } from "../../report/chart-plans.ts";
import type { ChartGroup } from "../run-charts.ts";
import type { Summary } from "../run-summary.ts";
import type { WireCurve } from "../wire.ts";
import { get } from "./api.ts";
import { ChartOptions, drawingOf } from "./chart-options.tsx";
import { CurveChart, type Line } from "./curve-chart.tsx";
import { addRows, type Curves, curvesOf, extentOf } from "./curves.ts";
import { useStream } from "./live.ts";
import { Problem } from "./pieces.tsx";
import { addressOf, type Place } from "./place.ts";
import { percentText, signedText } from "./texts.ts";

/** Colours of the style sheet. */
const colours = 7;

interface Opened {
  summary: Summary;
  place: string;
  groups: ChartGroup[];
  curves: Readonly<Record<string, WireCurve>>;
}

/** The screen: `#/compare?runs=ID,ID`. */
export function CompareScreen({ place }: { place: Place }): JSX.Element {
  const ids = (place.query.get("runs") ?? "").split(",").filter(Boolean);
  if (ids.length < 2) {
    return (
      <>
        <h1>Compare</h1>
        <p class="empty">
          Choose two to eight runs in the <a href={addressOf(["runs"])}>list of runs</a>: by their boxes, or
          with the keys j, k and x; c compares them.
        </p>
      </>
    );
  }
  return <Compared key={ids.join()} ids={ids} />;
}

function Compared({ ids }: { ids: readonly string[] }): JSX.Element {
  const [runs, setRuns] = useState<readonly Opened[] | null>(null);
  const [problem, setProblem] = useState("");
  const [version, setVersion] = useState(0);
  const curves = useRef(new Map<string, Curves>());
  const load = (): void => {
    Promise.all(ids.map((id) => get<Opened>(`/api/runs/${encodeURIComponent(id)}/curves`)))
      .then((opened) => {
        curves.current = new Map(opened.map(({ summary, curves: sent }) => [summary.id, curvesOf(sent)]));
        setRuns(opened);
      })
      .catch((error: Error) => setProblem(error.message));
  };
  // of other runs this is another component
  useEffect(load, []);
  const places = runs?.map(({ summary, place }) => `${summary.id}@${place}`).join();
  useStream(places === undefined ? null : `/api/stream?runs=${places}`, {
    rows: ({ run, rows }) => {
      addRows(curves.current.get(run) ?? new Map(), rows);
      setVersion((n) => n + 1);
    },
    summary: ({ run, summary }) =>
      setRuns((before) => before?.map((one) => (one.summary.id === run ? { ...one, summary } : one)) ?? null),
    restart: load,
    problem: ({ message }) => setProblem(message),
  });
  if (problem !== "") return <Problem text={problem} />;
  if (runs === null) return <p aria-busy="true">Reading the runs …</p>;
  const { isLog, ...drawing } = drawingOf(null);
  const [first = new Map()] = curves.current.values();
  const plans = runs[0]?.groups.filter(({ part }) => part === "outcome" || part === "training") ?? [];
  return (
    <>
      <h1>Compare</h1>
      <Outcome runs={runs.map(({ summary }) => summary)} />
      <p class="bar">
        <a
          href={`/api/comparison?runs=${ids.map(encodeURIComponent).join()}`}
          target="_blank"
          rel="noreferrer"
        >
          Report: differences pair by pair with intervals, what differs in the runs, answers side by side
        </a>
      </p>
      <ChartOptions drawing={{ ...drawing, isLog }} whole={extentOf(first, drawing)} />
      {plans.map((group) => (
        <div key={group.part} class="charts live">
          {group.plans.map((plan) => {
            const lines = linesOf(plan, runs, curves.current);
            if (lines.length === 0) return null;
            const note =
              plan.isOwnUnit === true ? "In the unit of each objective's own: not comparable." : plan.note;
            const { title, unit = "" } = plan;
            return (
              <CurveChart
                key={title + plan.lines[0]?.[0]}
                {...{ title, unit, lines, drawing, isLog, version, note }}
              />
            );
          })}
        </div>
      ))}
    </>
  );
}

/** A line a run: of held-out rows where there are any. */
function linesOf(plan: ChartPlan, runs: readonly Opened[], curves: ReadonlyMap<string, Curves>): Line[] {
  const [key = ""] = plan.lines[0] ?? [];
  return runs.flatMap(({ summary: { id, name } }, i): Line[] => {
    const held = curves.get(id)?.get(`eval_${key}`);
    const curve = held ?? curves.get(id)?.get(key);
    const isEval = held !== undefined && plan.isSampled !== true;
    return curve === undefined ? [] : [{ name, curve, colour: (i % colours) + 1, isEval }];
  });
}

function Outcome({ runs }: { runs: readonly Summary[] }): JSX.Element {
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Run</th>
            {["Chosen", "Rejected", "Accuracy", "Step"].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map(({ id, name, chosen, rejected, accuracy, step }) => (
            <tr key={id}>
              <th scope="row">
                <a href={addressOf(["runs", id])}>{name}</a>
              </th>
              <td class="number">{signedText(chosen)}</td>
              <td class="number">{signedText(rejected)}</td>
              <td class="number">{percentText(accuracy)}</td>
              <td class="number">{step}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
