/** The list of runs. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Summary } from "../run-summary.ts";
import { get } from "./api.ts";
import { useKeys } from "./keys.ts";
import { useStream } from "./live.ts";
import { Problem, StateTag } from "./pieces.tsx";
import { addressOf, goTo, type Place, setQuery } from "./place.ts";
import { ageText, percentText, signedText } from "./texts.ts";

/** The list. */
export function RunsScreen({ place }: { place: Place }): JSX.Element {
  const [runs, setRuns] = useState<readonly Summary[] | null>(null);
  const [mark, setMark] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    get<{ runs: Summary[]; mark: string }>("/api/runs")
      .then((answer) => {
        setRuns(answer.runs);
        setMark(answer.mark);
      })
      .catch((error: Error) => setProblem(error.message));
  }, []);
  useStream(runs === null ? null : `/api/stream?list=${mark}`, {
    list: ({ changed, gone, isWhole }) =>
      setRuns((before) => merged(isWhole ? [] : (before ?? []), changed, gone)),
  });
  if (problem !== "") return <Problem text={problem} />;
  if (runs === null) return <p aria-busy="true">Looking for runs …</p>;
  const filter = place.query.get("filter") ?? "";
  return <RunList runs={shownRuns(runs, filter)} total={runs.length} filter={filter} />;
}

function merged(before: readonly Summary[], changed: readonly Summary[], gone: readonly string[]): Summary[] {
  const others = before.filter(({ id }) => !gone.includes(id) && !changed.some((one) => one.id === id));
  return [...others, ...changed];
}

/** The runs that have all words of the filter, those that changed last first; the order of running ones stays. */
function shownRuns(runs: readonly Summary[], filter: string): Summary[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const textOf = (run: Summary): string =>
    [run.name, run.folder, run.stateText, run.objective, run.model, run.data].join(" ").toLowerCase();
  const order = ({ state, changedAt, startedAt }: Summary): number =>
    state === "running" ? Number.MAX_SAFE_INTEGER / 2 + (startedAt ?? 0) : changedAt;
  return runs
    .filter((run) => words.every((word) => textOf(run).includes(word)))
    .sort((a, b) => order(b) - order(a) || (a.id < b.id ? -1 : 1));
}

/** Runs that are chosen for a comparison. */
const picked = signal<readonly string[]>([]);

function pick(id: string): void {
  const others = picked.value.filter((one) => one !== id);
  picked.value = others.length < picked.value.length ? others : [...others, id].slice(-8);
}

function compare(): void {
  if (picked.value.length > 1) goTo(["compare"], { runs: picked.value.join() });
}

function RunList({ runs, total, filter }: { runs: Summary[]; total: number; filter: string }): JSX.Element {
  const [at, setAt] = useState(0);
  const chosen = runs[Math.min(at, runs.length - 1)];
  useKeys(
    [
      { key: "j", what: "Next run", run: () => setAt((i) => Math.min(i + 1, runs.length - 1)) },
      { key: "k", what: "Run before", run: () => setAt((i) => Math.max(i - 1, 0)) },
      { key: "o", what: "Open the run", run: () => chosen !== undefined && goTo(["runs", chosen.id]) },
      {
        key: "x",
        what: "Choose the run for a comparison",
        run: () => chosen !== undefined && pick(chosen.id),
      },
      { key: "c", what: "Compare the chosen runs", run: compare },
      { key: "/", what: "Filter", run: () => document.getElementById("filter")?.focus() },
    ],
    [runs.length, chosen?.id],
  );
  return (
    <>
      <h1>Runs</h1>
      {total === 0 ? (
        <NoRuns />
      ) : (
        <>
          <p class="bar">
            <label for="filter">Filter</label>
            <input
              id="filter"
              type="search"
              value={filter}
              onInput={(event) => setQuery({ filter: event.currentTarget.value })}
            />
            <span class="soft" role="status">
              {runs.length === total ? `${total} runs` : `${runs.length} of ${total} runs`}
            </span>
          </p>
          <p class="bar">
            <button type="button" onClick={compare} disabled={picked.value.length < 2}>
              Compare {picked.value.length} runs
            </button>
          </p>
          <RunTable runs={runs} at={chosen?.id} />
        </>
      )}
    </>
  );
}

function NoRuns(): JSX.Element {
  return (
    <section class="empty">
      <p>
        There is no run here yet. A run is any output_dir that training wrote below the directories which the
        dashboard was given.
      </p>
      <p>
        <code>preftune train recipes/quickstart.yaml</code> starts one in a terminal, and it appears here by
        itself; <a href={addressOf(["start"])}>New run</a> starts one from here.
      </p>
    </section>
  );
}

function RunTable({ runs, at }: { runs: readonly Summary[]; at: string | undefined }): JSX.Element {
  return (
    <div class="scroll">
      <table class="runs">
        <thead>
          <tr>
            {["Run", "State", "Objective", "Model", "Data"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
            {["Chosen", "Rejected", "Accuracy"].map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
            <th scope="col">Curve</th>
            <th scope="col">Changed</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <RunRow key={run.id} run={run} isAt={run.id === at} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RunRow({ run, isAt }: { run: Summary; isAt: boolean }): JSX.Element {
  const { id, name, folder, objective, model, data, step, totalSteps, accuracy, baseline } = run;
  return (
    <tr class={isAt ? "at" : ""}>
      <th scope="row">
        <input
          type="checkbox"
          aria-label={`Compare ${name}`}
          checked={picked.value.includes(id)}
          onChange={() => pick(id)}
        />{" "}
        <a href={addressOf(["runs", id])}>{name}</a>
        {folder !== "" && folder !== name && <small class="soft">{folder}</small>}
      </th>
      <td data-name="State">
        <StateTag run={run} />
        <small class="soft">
          step {step}
          {totalSteps === null ? "" : ` of ${totalSteps}`}
        </small>
      </td>
      <td data-name="Objective">{objective}</td>
      <td data-name="Model">{model}</td>
      <td data-name="Data">
        <code>{data === "" ? "–" : data}</code>
      </td>
      <td data-name="Chosen" class="number">
        {signedText(run.chosen)}
      </td>
      <td data-name="Rejected" class="number">
        {signedText(run.rejected)}
      </td>
      <td data-name="Accuracy" class="number">
        {percentText(accuracy)}
        {accuracy !== null && baseline !== null && (
          <small class="soft">length alone {percentText(baseline)}</small>
        )}
      </td>
      <td data-name="Curve">
        <SmallCurve run={run} />
      </td>
      <td data-name="Changed">
        <time dateTime={new Date(run.changedAt).toISOString()}>{ageText(run.changedAt)}</time>
      </td>
    </tr>
  );
}

/** The chosen answers' log-likelihood since the start, or the loss, without axes. */
function SmallCurve({ run }: { run: Summary }): JSX.Element | null {
  const { points, curve } = run;
  if (curve === null) return null;
  const [low, high] = [Math.min(...points), Math.max(...points)];
  const x = (i: number): string => ((96 * i) / (points.length - 1) + 2).toFixed(1);
  const y = (value: number): string =>
    high === low ? "14" : (26 - (24 * (value - low)) / (high - low)).toFixed(1);
  const what = curve === "chosen" ? "chosen answers since the start" : "loss";
  const [first = 0, last = 0] = [points[0], points.at(-1)];
  return (
    <svg
      class="small c1"
      viewBox="0 0 100 28"
      role="img"
      aria-label={`${what}: from ${signedText(first)} to ${signedText(last)}`}
    >
      <path class="line" d={`M${points.map((value, i) => `${x(i)} ${y(value)}`).join("L")}`} />
    </svg>
  );
}
