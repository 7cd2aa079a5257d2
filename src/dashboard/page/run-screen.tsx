/** One run, live: the outcome first, then pairs and answers, training, machine, and what it is made of. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ChartGroup } from "../run-charts.ts";
import type { RunSections } from "../run-sections.ts";
import type { Summary } from "../run-summary.ts";
import type { WireCurve } from "../wire.ts";
import { get } from "./api.ts";
import { ChartOptions, drawingOf } from "./chart-options.tsx";
import { ChartSection } from "./chart-section.tsx";
import { addRows, type Curves, curvesOf, extentOf } from "./curves.ts";
import { EvaluationSections } from "./evaluation-section.tsx";
import { ConfigSection, EventSection, FileSection } from "./facts-sections.tsx";
import { useKeys } from "./keys.ts";
import { LabelsSection } from "./labels-section.tsx";
import { type Listener, useStream } from "./live.ts";
import { Problem, ServerHtml, StateTag, useAnswer, Waiting } from "./pieces.tsx";
import { place } from "./place.ts";
import { RunActions } from "./run-actions.tsx";
import { percentText, signedText } from "./texts.ts";
import { useLoading } from "./use-loading.ts";
import { useReload } from "./use-smoothing.ts";

/** What the server sends of a run when it is opened. */
interface Opened {
  summary: Summary;
  place: string;
  groups: ChartGroup[];
  curves: Readonly<Record<string, WireCurve>>;
}

type Shown = Omit<Opened, "curves">;

/** A run that is kept up to date. */
interface LiveRun {
  run: Shown | null;
  curves: Curves;
  /** Raised when the curves have new points. */
  version: number;
  /** Raised when something else of the run is new. */
  sections: number;
  problem: string;
}

function useRun(id: string): LiveRun {
  const [run, setRun] = useState<Shown | null>(null);
  const [version, setVersion] = useState(0);
  const [sections, setSections] = useState(0);
  const curves = useRef<Curves>(new Map());
  const { smoothing } = drawingOf(null);
  const { load, problem, fail } = useLoading(async () => {
    const { curves: sent, ...rest } = await get<Opened>(`/api/runs/${id}/curves?smooth=${smoothing}`);
    curves.current = curvesOf(sent, smoothing);
    setRun(rest);
    setVersion((n) => n + 1);
    setSections((n) => n + 1);
  });
  // of another run all is loaded
  useEffect(load, [id]);
  useReload([curves.current], smoothing, load);
  // while a new answer is rendered the stream before it still tells rows, which that answer has
  const own = curves.current;
  const listener: Listener = {
    rows: ({ rows }) => {
      addRows(own, rows);
      setVersion((n) => n + 1);
    },
    summary: ({ summary }) => setRun((before) => before && { ...before, summary }),
    events: () => setSections((n) => n + 1),
    evaluations: () => setSections((n) => n + 1),
    restart: load,
    problem: ({ message }) => fail(message),
  };
  useStream(run === null ? null : `/api/stream?runs=${id}@${run.place}`, listener, own);
  return { run, curves: curves.current, version, sections, problem };
}

/** The run's screen. */
export function RunScreen({ id }: { id: string }): JSX.Element {
  const { run, curves, version, sections, problem } = useRun(id);
  const parts = useAnswer<RunSections>(run === null ? null : `/api/runs/${id}/sections`, sections);
  if (run === null) return <Waiting problem={problem}>Reading the run …</Waiting>;
  const { isLog, ...drawing } = drawingOf(parts.value?.epochRows ?? null);
  const { query } = place.value;
  const charts = (part: ChartGroup["part"], title: string): JSX.Element[] =>
    run.groups
      .filter((group) => group.part === part)
      .map(({ plans }) => (
        <ChartSection
          key={part}
          {...{ id, title, plans, curves, drawing, isLog, version, part }}
          baseline={run.summary.baseline}
        />
      ));
  return (
    <>
      <RunTop summary={run.summary} />
      {[problem, parts.problem].map((text) => text !== "" && <Problem text={text} />)}
      <ServerHtml html={parts.value?.findings ?? ""} />
      <ChartOptions drawing={{ ...drawing, isLog }} whole={extentOf(curves.values(), drawing)} />
      {charts("outcome", "Outcome")}
      <EvaluationSections
        run={id}
        steps={parts.value?.steps ?? []}
        asked={query.has("at") ? Number(query.get("at")) : null}
        pair={query.get("pair")}
      />
      {charts("health", "Health of the answers")}
      <ServerHtml html={parts.value?.rollouts ?? ""} />
      <ServerHtml html={parts.value?.scales ?? ""} />
      {charts("training", "Training")}
      {charts("machine", "Machine")}
      <LabelsSection run={id} />
      <EventSection events={parts.value?.events ?? []} />
      {parts.value !== null && <Facts id={id} parts={parts.value} />}
      <details>
        <summary>More metrics</summary>
        {charts("other", "More metrics")}
      </details>
    </>
  );
}

function Facts({ id, parts }: { id: string; parts: RunSections }): JSX.Element {
  const { dataCheck, exported, fingerprints, config, files } = parts;
  return (
    <>
      <ServerHtml html={exported} />
      <ServerHtml html={dataCheck} />
      <ConfigSection run={id} rows={config} />
      <FileSection run={id} files={files} />
      {fingerprints !== "" && (
        <details>
          <summary>What it was computed from</summary>
          <ServerHtml html={fingerprints} />
        </details>
      )}
    </>
  );
}

/** Parts of the screen, and the keys that lead there. */
const jumps = [
  ["o", "outcome", "Outcome"],
  ["p", "pairs", "Pairs"],
  ["a", "answers", "Answers"],
  ["t", "training", "Training"],
  ["e", "events", "Events"],
  ["c", "configuration", "Configuration"],
] as const;

function RunTop({ summary }: { summary: Summary }): JSX.Element {
  const { name, objective, model, step, totalSteps, state, message } = summary;
  useKeys(
    jumps.map(([key, id, what]) => ({
      ...{ key, what },
      run: () => document.getElementById(id)?.scrollIntoView(),
    })),
    [],
  );
  return (
    <>
      <h1>{name}</h1>
      <p class="soft">
        <StateTag run={summary} /> at step {step}
        {totalSteps === null ? "" : ` of ${totalSteps}`}: {objective}, {model}.
      </p>
      {totalSteps !== null && state === "running" && (
        <progress max={totalSteps} value={step} aria-label="Steps that are done" />
      )}
      {message !== "" && state !== "failed" && <Problem text={message} />}
      <RunActions run={summary} />
      <Tiles summary={summary} />
    </>
  );
}

function Tiles({ summary }: { summary: Summary }): JSX.Element | null {
  const { chosen, rejected, accuracy, baseline } = summary;
  if (chosen === null && accuracy === null) return null;
  const margin = chosen === null || rejected === null ? null : Number(chosen) - Number(rejected);
  const alone = baseline === null ? "" : `; length alone ${percentText(baseline)}`;
  const tiles = [
    [signedText(chosen), "chosen since the start, nats/token"],
    [signedText(rejected), "rejected since the start, nats/token"],
    [signedText(margin), "margin since the start, nats/token"],
    [percentText(accuracy), `held-out accuracy${alone}`],
  ] as const;
  return (
    <div class="tiles">
      {tiles.map(
        ([value, caption]) =>
          value !== "–" && (
            <div key={caption} class="tile">
              <b>{value}</b>
              <span>{caption}</span>
            </div>
          ),
      )}
    </div>
  );
}
