/** Takes rows out of a file or a version by filters, each with a count: the recipe of `preftune data clean`. */
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { Cleaning, PageFilter, VersionRows } from "../clean-routes.ts";
import { get, post } from "./api.ts";
import { bytesText, CodeWords, Options, Problem, useAnswer } from "./pieces.tsx";
import { addressOf } from "./place.ts";

/** What a cleaning found. */
interface Result {
  read: number;
  kept: number;
  filters: { code: string; taken: number }[];
  digest: string;
}

interface Said {
  text: string;
  result: Result | null;
  /** The version that was made. */
  made: string;
}

const silent: Said = { text: "", result: null, made: "" };

interface Props {
  /** The rows that are chosen; "": none yet. */
  rows: string;
  /** A version whose filters are taken over; "": none. */
  like: string;
  /** Raised when there may be other rows to choose. */
  changes: number;
  again: () => void;
}

/** The panel. */
export function CleanPanel({ rows, like, changes, again }: Props): JSX.Element {
  // asked for when it is opened, and again the next time
  const [opened, setOpened] = useState(rows === "" ? 0 : 1);
  const { value: known, problem } = useAnswer<Cleaning>(
    opened === 0 ? null : "/api/cleaning",
    0,
    changes + opened,
  );
  return (
    <details open={rows !== ""} onToggle={(event) => event.currentTarget.open && setOpened((n) => n + 1)}>
      <summary>Take rows out by filters</summary>
      {problem !== "" && <Problem text={problem} />}
      {known !== null &&
        (known.sources.length === 0 ? (
          <p class="empty">
            There are no rows to filter: make a version of what was judged, or train on a file, and its rows
            are listed here. <code>preftune data clean RECIPE</code> takes any file.
          </p>
        ) : (
          <Recipe known={known} rows={rows} like={like} again={again} />
        ))}
    </details>
  );
}

function Recipe({ known, rows, like, again }: Omit<Props, "changes"> & { known: Cleaning }): JSX.Element {
  const [source, setSource] = useState(rows === "" ? (known.sources[0]?.id ?? "") : rows);
  const [heldOut, setHeldOut] = useState("");
  const [filters, setFilters] = useState<PageFilter[]>([]);
  const [said, setSaid] = useState<Said>(silent);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    if (like === "") return;
    get<VersionRows>(`/api/versions/${like}`).then(
      ({ version }) => setFilters(version.rules as PageFilter[]),
      (error: Error) => setSaid({ ...silent, text: error.message }),
    );
  }, []);
  // what was counted was of other rows or filters
  useLayoutEffect(() => setSaid(silent), [source, heldOut, filters]);
  const send = (isTrial: boolean): void => {
    setBusy(true);
    post<Result>("/api/cleaning", { source, heldOut: heldOut === "" ? null : heldOut, filters, isTrial })
      .then((result) => {
        setSaid({
          text: `${result.read} rows read, ${result.kept} kept.`,
          result,
          made: isTrial ? "" : result.digest,
        });
        if (!isTrial) again();
      })
      .catch((error: Error) => setSaid({ ...silent, text: error.message }))
      .finally(() => setBusy(false));
  };
  const left = known.filters.filter(({ code }) => !filters.some((filter) => filter.code === code));
  return (
    <form
      class="files"
      onSubmit={(event) => {
        event.preventDefault();
        send(false);
      }}
    >
      <fieldset class="contents" disabled={isBusy}>
        <Choice id="clean-source" text="Rows of" value={source} choose={setSource}>
          <Rows of={known.sources} />
        </Choice>
        {filters.map((filter, i) => (
          <FilterLine
            key={filter.code}
            {...{ filter, known }}
            taken={said.result?.filters.find(({ code }) => code === filter.code)?.taken ?? null}
            change={(next) => setFilters(filters.with(i, next))}
            remove={() => setFilters(filters.toSpliced(i, 1))}
          />
        ))}
        <Choice
          id="clean-add"
          text="Add a filter"
          value=""
          choose={(code) => setFilters([...filters, { code, options: {} }])}
        >
          <option value="">…</option>
          <Options
            of={left.map(({ code, words }) => [code, `${code}: ${words.replaceAll("`", "")}`] as const)}
          />
        </Choice>
        {filters.some(({ code }) => code === "prompt_in_both_splits") && (
          <Choice id="clean-held-out" text="Held-out rows" value={heldOut} choose={setHeldOut}>
            <option value="">none</option>
            <Rows of={known.sources} />
          </Choice>
        )}
        <span class="bar">
          <button type="button" disabled={filters.length === 0} onClick={() => send(true)}>
            Count
          </button>
          <button class="main" type="submit" disabled={filters.length === 0}>
            Make the version
          </button>
        </span>
      </fieldset>
      <p role="status" aria-busy={isBusy}>
        {isBusy ? "Reading the rows …" : said.text}{" "}
        {said.made !== "" && <a href={addressOf(["data", said.made])}>Version {said.made.slice(0, 12)}</a>}
      </p>
      <p class="soft">
        A row is taken out by the first filter that finds something in it. The rows themselves stay as they
        are: without a filter the same rows give theirs back.
      </p>
    </form>
  );
}

/** The rows that can be chosen. */
function Rows({ of }: { of: Cleaning["sources"] }): JSX.Element {
  return <Options of={of.map(({ id, name, bytes }) => [id, `${name} (${bytesText(bytes)})`] as const)} />;
}

function Choice({
  id,
  text,
  value,
  choose,
  children,
}: {
  id: string;
  text: string;
  value: string;
  choose: (value: string) => void;
  children: JSX.Element | (JSX.Element | JSX.Element[])[] | JSX.Element[];
}): JSX.Element {
  return (
    <span class="choice">
      <label for={id}>{text}</label>
      <select id={id} value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {children}
      </select>
    </span>
  );
}

interface LineProps {
  filter: PageFilter;
  known: Cleaning;
  /** Null: not counted. */
  taken: number | null;
  change: (filter: PageFilter) => void;
  remove: () => void;
}

function FilterLine({ filter, known, taken, change, remove }: LineProps): JSX.Element {
  const kind = known.filters.find(({ code }) => code === filter.code);
  const options = Object.entries((kind?.options ?? {}) as Record<string, { default?: unknown }>);
  const set = (name: string, value: unknown): void => {
    const { [name]: _, ...others } = filter.options;
    change({ ...filter, options: value === "" ? others : { ...others, [name]: value } });
  };
  return (
    <fieldset class="filter">
      <legend>
        <code>{filter.code}</code> {taken !== null && <b>{taken} rows</b>}
      </legend>
      <span class="soft">
        <CodeWords text={kind?.words ?? "about tokens: by `preftune data clean`, with a model"} />
      </span>
      <span class="bar">
        {options.map(([name, { default: usual }]) => (
          <FilterOption
            key={name}
            id={`${filter.code}-${name}`}
            {...{ name, known }}
            value={filter.options[name] ?? usual ?? ""}
            set={(value) => set(name, value)}
          />
        ))}
        <button type="button" onClick={remove} aria-label={`Remove the filter ${filter.code}`}>
          Remove
        </button>
      </span>
    </fieldset>
  );
}

function FilterOption({
  id,
  name,
  known,
  value,
  set,
}: {
  id: string;
  name: string;
  known: Cleaning;
  value: unknown;
  set: (value: unknown) => void;
}): JSX.Element {
  if (name === "scores" || name === "files") {
    const names = name === "scores" ? known.scores : known.files;
    const folder = name === "scores" ? "scores" : "benchmarks";
    if (names.length === 0)
      return <span class="soft">Put files into the workbench's folder {folder} first.</span>;
    return (
      <Choice
        id={id}
        text={name}
        value={String(value)}
        choose={(one) => set(name === "files" && one !== "" ? [one] : one)}
      >
        <option value="">…</option>
        {names.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </Choice>
    );
  }
  return (
    <span class="choice">
      <label for={id}>{name}</label>
      <input
        id={id}
        type="number"
        step="any"
        value={String(value)}
        onChange={({ currentTarget: { value: text } }) => set(text === "" ? "" : Number(text))}
      />
    </span>
  );
}
