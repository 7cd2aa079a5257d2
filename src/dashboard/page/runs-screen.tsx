/** The list of runs. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Summary } from "../run-summary.ts";
import { get, mayChange } from "./api.ts";
import { useKeys } from "./keys.ts";
import { useStream } from "./live.ts";
import { setMarks } from "./marks.tsx";
import { Empty, Waiting } from "./pieces.tsx";
import { goTo, type Place, setQuery } from "./place.ts";
import { type Entry, entriesOf, placeNames, placeOf } from "./run-filter.ts";
import { RunTable } from "./run-table.tsx";

/** Most runs of a comparison. */
const mostPicked = 8;

const tooMany = `A comparison has ${mostPicked} runs at most, the baseline among them.`;

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
  const merge = (changed: readonly Summary[], gone: readonly string[] = []): void =>
    setRuns((before) => merged(before ?? [], changed, gone));
  useStream(runs === null ? null : `/api/stream?list=${mark}`, {
    list: ({ changed, gone, isWhole }) => (isWhole ? setRuns(changed) : merge(changed, gone)),
    problem: ({ message }) => setProblem(message),
  });
  if (runs === null || problem !== "") return <Waiting problem={problem}>Looking for runs …</Waiting>;
  return <RunList runs={runs} query={place.query} onMarked={merge} />;
}

function merged(before: readonly Summary[], changed: readonly Summary[], gone: readonly string[]): Summary[] {
  const others = before.filter(({ id }) => !gone.includes(id) && !changed.some((one) => one.id === id));
  return [...others, ...changed];
}

/** Runs that are chosen for a comparison. */
const picked = signal<readonly string[]>([]);
/** Studies whose folders were opened or closed. */
const folders = signal<ReadonlyMap<string, boolean>>(new Map());

function toggleFolder(id: string, isOpen: boolean): void {
  folders.value = new Map(folders.value).set(id, !isOpen);
}

interface ListProps {
  runs: readonly Summary[];
  query: URLSearchParams;
  onMarked: (changed: readonly Summary[]) => void;
}

function RunList({ runs, query, onMarked }: ListProps): JSX.Element {
  const [said, setSaid] = useState("");
  const filter = query.get("filter") ?? "";
  const hasArchived = query.get("archived") === "1";
  const entries = entriesOf(runs, { filter, hasArchived, folders: folders.value });
  const chosen = picked.value.filter((id) => runs.some((run) => run.id === id));
  const baseline = runs.find(({ isBaseline }) => isBaseline);
  const compared = comparedIds(chosen, baseline?.id);
  const pick = (id: string): void => {
    if (chosen.includes(id)) picked.value = chosen.filter((one) => one !== id);
    else if (comparedIds([...chosen, id], baseline?.id).length > mostPicked) setSaid(tooMany);
    else picked.value = [...chosen, id];
  };
  const compare = (): void => {
    if (compared.length > mostPicked) setSaid(tooMany);
    else if (compared.length > 1) goTo(["compare"], { runs: compared.join() });
  };
  const mark = (run: Summary, change: Parameters<typeof setMarks>[1]): void => {
    setMarks(run.id, change)
      .then((now) => onMarked([now, ...(now.isBaseline ? unpinned(runs, now.id) : [])]))
      .catch((error: Error) => setSaid(error.message));
  };
  const at = useListKeys(entries, { pick, compare, mark });
  const shown = entries.reduce(
    (sum, entry) => sum + ("run" in entry ? 1 : entry.isOpen ? 0 : entry.runs.length),
    0,
  );
  const archived = runs.filter(({ isArchived }) => isArchived).length;
  if (runs.length === 0)
    return (
      <>
        <h1>Runs</h1>
        <Empty of="runs" />
      </>
    );
  return (
    <>
      <h1>Runs</h1>
      <p class="bar">
        <label for="filter">Filter</label>
        <input
          id="filter"
          type="search"
          value={filter}
          aria-describedby="filter-words"
          onInput={(event) => setQuery({ filter: event.currentTarget.value })}
        />
        <small id="filter-words" class="soft">
          words of a run; {placeNames.map((name) => `${name}:`).join(" ")} look in one place, -word leaves out
        </small>
        {archived > 0 && (
          <label>
            <input
              type="checkbox"
              checked={hasArchived}
              onChange={(event) => setQuery({ archived: event.currentTarget.checked ? "1" : "" })}
            />{" "}
            Archived too ({archived})
          </label>
        )}
        <span class="soft" role="status">
          {shown === runs.length
            ? `${shown} run${shown === 1 ? "" : "s"}`
            : `${shown} of ${runs.length} runs`}
        </span>
      </p>
      <p class="bar">
        <button type="button" onClick={compare} disabled={compared.length < 2}>
          {compareText(compared.length, chosen, baseline)}
        </button>
        {baseline !== undefined && <span class="soft">Δ: difference from {baseline.name}, the baseline</span>}
        <span class="soft" role="status">
          {said}
        </span>
      </p>
      {entries.length === 0 ? (
        <p class="empty">
          No run has all of these words
          {archived > 0 && !hasArchived ? "; archived ones were not looked at" : ""}.{" "}
          <button type="button" onClick={() => setQuery({ filter: "" })}>
            Show all
          </button>
        </p>
      ) : (
        <RunTable entries={entries} at={at} {...{ picked: chosen, baseline, pick, toggleFolder }} />
      )}
    </>
  );
}

/** The baseline stands first: differences are from it. */
function comparedIds(chosen: readonly string[], baseline: string | undefined): string[] {
  if (baseline === undefined || chosen.length === 0) return [...chosen];
  return [baseline, ...chosen.filter((id) => id !== baseline)];
}

function compareText(count: number, chosen: readonly string[], baseline: Summary | undefined): string {
  if (count < 2) return "Compare: choose runs by their boxes";
  const isWith = baseline !== undefined && !chosen.includes(baseline.id);
  return isWith ? `Compare ${count - 1} with ${baseline.name}` : `Compare ${count} runs`;
}

/** What was the baseline until another run was made it. */
function unpinned(runs: readonly Summary[], now: string): Summary[] {
  return runs
    .filter(({ id, isBaseline }) => isBaseline && id !== now)
    .map((run) => ({ ...run, isBaseline: false }));
}

interface Acts {
  pick: (id: string) => void;
  compare: () => void;
  mark: (run: Summary, change: Parameters<typeof setMarks>[1]) => void;
}

/** The keys of the list. @returns the line that they act on */
function useListKeys(entries: readonly Entry[], { pick, compare, mark }: Acts): string | undefined {
  const [key, setKey] = useState<string | null>(null);
  const last = useRef(0);
  const at = placeOf(key, entries, last.current);
  last.current = at;
  const entry = entries[at];
  const run = entry !== undefined && "run" in entry ? entry.run : null;
  const go = (by: number): void => {
    const next = entries[Math.min(entries.length - 1, Math.max(0, at + by))];
    setKey(next?.key ?? null);
    document.getElementById(`line-${next?.key ?? ""}`)?.scrollIntoView({ block: "nearest" });
  };
  const open = (): void => {
    if (run !== null) goTo(["runs", run.id]);
    else if (entry !== undefined && "study" in entry) toggleFolder(entry.key, entry.isOpen);
  };
  const isOwner = mayChange();
  const marking = [
    {
      key: "p",
      what: "Pin the run as baseline, or unpin it",
      run: () => run && mark(run, { isBaseline: !run.isBaseline }),
    },
    {
      key: "e",
      what: "Archive the run, or take it back",
      run: () => run && mark(run, { isArchived: !run.isArchived }),
    },
  ];
  useKeys(
    [
      { key: "j", what: "Next line", repeats: true, run: () => go(1) },
      { key: "k", what: "Line before", repeats: true, run: () => go(-1) },
      { key: "o", what: "Open the run, or open and close the folder", run: open },
      { key: "x", what: "Choose the run for a comparison", run: () => run && pick(run.id) },
      { key: "c", what: "Compare the chosen runs", run: compare },
      ...(isOwner ? marking : []),
      { key: "/", what: "Filter", run: () => document.getElementById("filter")?.focus() },
    ],
    [entries, key, isOwner, pick],
  );
  return entry?.key;
}
