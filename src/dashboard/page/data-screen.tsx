/** The pairs of the workbench with what was said of them, what is imported, and the versions made of it. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ListedItem } from "../bench-routes.ts";
import type { ListedVersion } from "../clean-routes.ts";
import { mayChange, post } from "./api.ts";
import { CleanPanel } from "./clean-panel.tsx";
import { verdictWords } from "./judgment-texts.ts";
import { useKeys } from "./keys.ts";
import { Pager } from "./pager.tsx";
import { AnswerBox, Empty, Options, Problem, RunLinks, useAnswer, VersionLink, Waiting } from "./pieces.tsx";
import { type Place, setQuery } from "./place.ts";
import { Table } from "./table.tsx";
import { BareTexts } from "./text-views.tsx";

const filters: Readonly<Record<string, string>> = {
  all: "All pairs",
  unjudged: "Not judged",
  judged: "Judged",
  conflicts: "Judged differently",
  flagged: "Flagged",
};

interface Items {
  items: readonly ListedItem[];
  total: number;
}

/** The screen. */
export function DataScreen({ place }: { place: Place }): JSX.Element {
  const [refused, setRefused] = useState("");
  const [changes, setChanges] = useState(0);
  const show = place.query.get("show") ?? "all";
  const find = place.query.get("find") ?? "";
  const from = Number(place.query.get("from") ?? 0) || 0;
  const fail = (error: Error): void => setRefused(error.message);
  const again = (): void => {
    setRefused("");
    setChanges((n) => n + 1);
  };
  const asked = new URLSearchParams({ show, find, from: String(from) });
  const { value, problem, isOld } = useAnswer<Items>(`/api/items?${asked}`, 0, changes);
  const versions = useAnswer<{ versions: ListedVersion[] }>("/api/versions", 0, changes);
  useKeys([{ key: "/", what: "Find", run: () => document.getElementById("find")?.focus() }], []);
  const isOwner = mayChange();
  if (value === null && problem === "") return <Waiting problem="">Reading pairs …</Waiting>;
  const { items, total } = value ?? { items: [], total: 0 };
  return (
    <>
      <h1>Data</h1>
      {[problem, versions.problem, refused].map((text) => text !== "" && <Problem text={text} />)}
      <Versions versions={versions.value?.versions ?? []} />
      {isOwner && <Making {...{ place, changes, again, fail }} />}
      <h2>Pairs</h2>
      <p class="bar">
        <label for="show">Show</label>
        <select
          id="show"
          value={show}
          onChange={(event) => setQuery({ show: event.currentTarget.value, from: "" })}
        >
          <Options of={Object.entries(filters)} />
        </select>
        <label for="find">Find</label>
        <input
          id="find"
          type="search"
          value={find}
          onChange={(event) => setQuery({ find: event.currentTarget.value, from: "" })}
        />
        <span class="soft" role="status">
          {isOld ? "…" : value !== null && `${total} pairs`}
        </span>
      </p>
      {value?.total === 0 && find === "" && show === "all" && <Empty of="pairs" />}
      <AnswerBox isOld={isOld}>
        <div class="items">
          {items.map((item) => (
            <ItemCard key={item.item} item={item} isOwner={isOwner} again={again} fail={fail} />
          ))}
        </div>
        <p class="bar">
          <Pager from={from} total={total} />
        </p>
      </AnswerBox>
    </>
  );
}

interface MakingProps {
  place: Place;
  /** Raised with each version and pair that is new. */
  changes: number;
}

/** What makes versions and pairs. */
function Making({ place: { query }, changes, again, fail }: Doing & MakingProps): JSX.Element {
  const rows = query.get("rows") ?? "";
  const like = query.get("like") ?? "";
  return (
    <>
      <MakeVersion again={again} fail={fail} />
      <CleanPanel key={`${rows} ${like}`} {...{ rows, like, changes, again }} />
      <ImportBox again={again} fail={fail} />
    </>
  );
}

function Versions({ versions }: { versions: readonly ListedVersion[] }): JSX.Element {
  return (
    <>
      <h2>Versions</h2>
      {versions.length === 0 ? (
        <Empty of="versions" />
      ) : (
        <Table
          isStacked
          head={["Version", "Made by", "Rows", "When, UTC", "Runs that read it"]}
          lines={versions.map(({ digest, by, rows, created, runs }) => ({
            key: digest,
            cells: [
              <VersionLink key="version" digest={digest} />,
              ...[by, rows, created.slice(0, 16).replace("T", " ")],
              runs.length === 0 ? "none" : <RunLinks key="runs" runs={runs} />,
            ],
          }))}
        />
      )}
    </>
  );
}

interface Doing {
  again: () => void;
  fail: (error: Error) => void;
}

function MakeVersion({ again, fail }: Doing): JSX.Element {
  const [said, setSaid] = useState("");
  const make = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const rules = Object.fromEntries(
      ["rows", "ties", "bad", "conflicts"].map((name) => [name, form.get(name)]),
    );
    post<{ digest: string; counts: Record<string, number> }>("/api/versions", rules)
      .then(({ digest, counts }) => {
        const parts = Object.entries(counts).filter(([, count]) => count > 0);
        setSaid(
          `Version ${digest.slice(0, 12)}: ${parts.map(([name, count]) => `${count} ${name}`).join(", ")}`,
        );
        again();
      })
      .catch(fail);
  };
  return (
    <details>
      <summary>Make a version of what was judged</summary>
      <form class="bar" onSubmit={make}>
        <Rule name="rows" text="Rows" values={{ pairs: "pairs (DPO)", kto: "single answers (KTO)" }} />
        <Rule
          name="conflicts"
          text="Judged differently"
          values={{ drop: "leave out", majority: "what most said", error: "refuse" }}
        />
        <Rule name="ties" text="Equal" values={{ drop: "leave out", good: "both good (KTO)" }} />
        <Rule name="bad" text="Both bad" values={{ drop: "leave out", bad: "both bad (KTO)" }} />
        <button class="main" type="submit">
          Make it
        </button>
      </form>
      <p role="status">{said}</p>
    </details>
  );
}

function Rule({
  name,
  text,
  values,
}: {
  name: string;
  text: string;
  values: Readonly<Record<string, string>>;
}): JSX.Element {
  return (
    <>
      <label for={`rule-${name}`}>{text}</label>
      <select id={`rule-${name}`} name={name}>
        <Options of={Object.entries(values)} />
      </select>
    </>
  );
}

interface ImportAnswer {
  rows: number;
  items: number;
  known: number;
  votes: number;
  left: Readonly<Record<string, number>>;
}

function ImportBox({ again, fail }: Doing): JSX.Element {
  const [text, setText] = useState("");
  const [said, setSaid] = useState("");
  const send = (body: { name?: string; text: string }): void => {
    post<ImportAnswer>("/api/import", body)
      .then(({ rows, items, known, votes, left }) => {
        const others = Object.entries(left).map(([reason, count]) => `; ${count} left out: ${reason}`);
        setSaid(`${rows} rows: ${items} new pairs, ${known} known, ${votes} judgments${others.join("")}`);
        setText("");
        again();
      })
      .catch(fail);
  };
  return (
    <details>
      <summary>Import pairs</summary>
      <div class="files">
        <label for="import-file">
          A file: TRL's pairs, Chatbot Arena, Label Studio, Argilla, Open WebUI, a table
        </label>
        <input
          id="import-file"
          type="file"
          accept=".jsonl,.ndjson,.json,.csv,.tsv"
          onChange={(event) => {
            const [file] = event.currentTarget.files ?? [];
            file?.text().then((sent) => send({ name: file.name, text: sent }), fail);
          }}
        />
        <label for="import-text">Or a table from a spreadsheet: prompt, answer_a, answer_b, better</label>
        <textarea id="import-text" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <span>
          <button type="button" disabled={text.trim() === ""} onClick={() => send({ text })}>
            Read the table
          </button>
        </span>
        <p role="status">{said}</p>
      </div>
    </details>
  );
}

function ItemCard({
  item,
  isOwner,
  again,
  fail,
}: Doing & { item: ListedItem; isOwner: boolean }): JSX.Element {
  const decide = (choice: string): void => {
    post("/api/decisions", { item: item.item, choice: choice === "" ? null : choice })
      .then(again)
      .catch(fail);
  };
  return (
    <article class="bench-prompt">
      <BareTexts {...item} />
      <p class="bar">
        <span>
          {item.votes.length === 0
            ? "Not judged."
            : item.votes
                .map(({ person, verdict }) => `${person}: ${verdictWords[verdict] ?? verdict}`)
                .join("; ")}
        </span>
        {item.isFlagged && <b>Flagged</b>}
        {isOwner && (
          <>
            <label for={`decide-${item.item}`}>Decision</label>
            <select
              id={`decide-${item.item}`}
              value={item.decision ?? ""}
              onChange={(event) => decide(event.currentTarget.value)}
            >
              <option value="">what was judged</option>
              <Options
                of={["a", "b", "tie", "bad"].map((choice) => [choice, verdictWords[choice] ?? choice])}
              />
            </select>
          </>
        )}
      </p>
      {item.notes.map((note, i) => (
        <p class="soft as-text" key={i}>
          {note}
        </p>
      ))}
      <WhereItWent item={item.item} />
    </article>
  );
}

interface Lineage {
  versions: { digest: string }[];
  runs: { id: string; name: string }[];
}

function WhereItWent({ item }: { item: string }): JSX.Element {
  // where it went since, when it is opened again
  const [opened, setOpened] = useState(0);
  const { value: went, problem } = useAnswer<Lineage>(opened === 0 ? null : `/api/items/${item}`, 0, opened);
  return (
    <details onToggle={(event) => event.currentTarget.open && setOpened((n) => n + 1)}>
      <summary>Where it went</summary>
      {problem !== "" && <Problem text={problem} />}
      {went !== null && (
        <p>
          {went.versions.length === 0 ? "Into no version yet." : "Versions: "}
          {went.versions.map(({ digest }) => (
            <VersionLink key={digest} digest={digest} />
          ))}
          {went.runs.length > 0 && "Runs: "}
          <RunLinks runs={went.runs} />
        </p>
      )}
    </details>
  );
}
