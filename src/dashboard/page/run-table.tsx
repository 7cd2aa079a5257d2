/** The table of the list: a line a run, and the folders of studies. */
import type { JSX } from "preact";
import type { Study, Summary } from "../run-summary.ts";
import type { WireNumber } from "../wire-number.ts";
import { StateTag } from "./pieces.tsx";
import { addressOf, setQuery } from "./place.ts";
import { type Entry, statesText } from "./run-filter.ts";
import { Table } from "./table.tsx";
import { ageText, numberText, percentText, signedText } from "./texts.ts";

interface Props {
  entries: readonly Entry[];
  /** Key of the line that keys act on. */
  at: string | undefined;
  picked: readonly string[];
  baseline: Summary | undefined;
  pick: (id: string) => void;
  toggleFolder: (id: string, isOpen: boolean) => void;
}

const columns = [
  ...["Run", "State", "Objective", "Model", "Data"],
  ...["Chosen", "Rejected", "Accuracy", "Curve", "Changed"],
];

/** The table. */
export function RunTable({ entries, at, picked, baseline, pick, toggleFolder }: Props): JSX.Element {
  return (
    <Table isStacked head={columns} numbers={[5, 8]}>
      {entries.map((entry) =>
        "run" in entry ? (
          <RunRow
            key={entry.key}
            run={entry.run}
            isInside={entry.isInside}
            isAt={entry.key === at}
            isPicked={picked.includes(entry.key)}
            {...{ baseline, pick }}
          />
        ) : (
          <FolderRow
            key={entry.key}
            {...{ study: entry.study, runs: entry.runs, isOpen: entry.isOpen }}
            isAt={entry.key === at}
            toggle={() => toggleFolder(entry.key, entry.isOpen)}
          />
        ),
      )}
    </Table>
  );
}

interface FolderProps {
  study: Study;
  runs: readonly Summary[];
  isOpen: boolean;
  isAt: boolean;
  toggle: () => void;
}

function FolderRow({ study, runs, isOpen, isAt, toggle }: FolderProps): JSX.Element {
  return (
    <tr id={`line-${study.id}`} class={isAt ? "at folder" : "folder"}>
      <th scope="row" colSpan={columns.length}>
        <button type="button" class="plain" aria-expanded={isOpen} onClick={toggle}>
          {isOpen ? "▾" : "▸"} {study.folder}
        </button>{" "}
        <span class="soft">
          {runs.length} {runs.length === 1 ? "run" : "runs"}: {statesText(runs)}
        </span>{" "}
        {study.hasReport && (
          <a href={`/api/studies/${study.id}/report`} target="_blank" rel="noreferrer">
            Report
          </a>
        )}
      </th>
    </tr>
  );
}

interface RowProps {
  run: Summary;
  isInside: boolean;
  isAt: boolean;
  isPicked: boolean;
  baseline: Summary | undefined;
  pick: (id: string) => void;
}

function RunRow({ run, isInside, isAt, isPicked, baseline, pick }: RowProps): JSX.Element {
  const { id, name, folder, objective, model, data, step, totalSteps, accuracy } = run;
  const alone = run.baseline;
  const against = baseline === undefined || baseline.id === id ? null : baseline;
  return (
    <tr id={`line-${id}`} class={[isAt ? "at" : "", isInside ? "inside" : ""].join(" ").trim()}>
      <th scope="row">
        <input type="checkbox" aria-label={`Compare ${name}`} checked={isPicked} onChange={() => pick(id)} />{" "}
        <a href={addressOf(["runs", id])}>{name}</a>
        <Marks run={run} />
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
        <Against own={run.chosen} other={against?.chosen} text={signedText} />
      </td>
      <td data-name="Rejected" class="number">
        {signedText(run.rejected)}
        <Against own={run.rejected} other={against?.rejected} text={signedText} />
      </td>
      <td data-name="Accuracy" class="number">
        {percentText(accuracy)}
        <Against own={accuracy} other={against?.accuracy} text={pointsText} />
        {accuracy !== null && alone !== null && <small class="soft">length alone {percentText(alone)}</small>}
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

function Marks({ run: { tags, isBaseline, isArchived } }: { run: Summary }): JSX.Element | null {
  if (tags.length === 0 && !isBaseline && !isArchived) return null;
  return (
    <span class="marks">
      {isBaseline && <span class="mark">baseline</span>}
      {isArchived && <span class="mark">archived</span>}
      {tags.map((tag) => (
        <button key={tag} type="button" class="mark" onClick={() => setQuery({ filter: `tag:${tag}` })}>
          {tag}
        </button>
      ))}
    </span>
  );
}

interface AgainstProps {
  own: WireNumber | null;
  /** Of the baseline. */
  other: WireNumber | null | undefined;
  text: (difference: number) => string;
}

/** How far a figure is from the baseline's; nothing where one of them has none. */
function Against({ own, other, text }: AgainstProps): JSX.Element | null {
  if (typeof own !== "number" || typeof other !== "number") return null;
  return <small class="soft">Δ {text(own - other)}</small>;
}

function pointsText(difference: number): string {
  return `${signedText(Number((100 * difference).toFixed(1)))} points`;
}

/** The reward, the chosen answers' log-likelihood since the start, or the loss, without axes. */
function SmallCurve({ run }: { run: Summary }): JSX.Element | null {
  const { points, curve } = run;
  if (curve === null) return null;
  const [low, high] = [Math.min(...points), Math.max(...points)];
  const x = (i: number): string => ((96 * i) / (points.length - 1) + 2).toFixed(1);
  const y = (value: number): string =>
    high === low ? "14" : (26 - (24 * (value - low)) / (high - low)).toFixed(1);
  const last = numberText(points.at(-1) ?? 0);
  return (
    <>
      <svg
        class="small c1"
        viewBox="0 0 100 28"
        role="img"
        aria-label={`${curve} from ${numberText(points[0] ?? 0)} to ${last}`}
      >
        <path class="line" d={`M${points.map((value, i) => `${x(i)} ${y(value)}`).join("L")}`} />
      </svg>
      <small class="soft">
        {curve} {last}
      </small>
    </>
  );
}
