/** One version: what it was made by, its rows with what filters find in them, and those that were taken out. */
import type { JSX } from "preact";
import type { VersionRows } from "../clean-routes.ts";
import { pageRows } from "../page-rows.ts";
import { mayChange } from "./api.ts";
import { Pager } from "./pager.tsx";
import { AnswerBox, useAnswer, Waiting } from "./pieces.tsx";
import { addressOf, place, setQuery } from "./place.ts";

/** The screen. */
export function VersionScreen({ id }: { id: string }): JSX.Element {
  const { query } = place.value;
  const group = query.get("group") ?? "kept";
  const finding = query.get("finding") ?? "";
  const from = Number(query.get("from") ?? 0) || 0;
  const asked = new URLSearchParams({ group, finding, from: String(from) });
  const { value: shown, problem, isOld } = useAnswer<VersionRows>(`/api/versions/${id}?${asked}`);
  if (shown === null || problem !== "") return <Waiting problem={problem}>Reading the version …</Waiting>;
  const { version, rows } = shown;
  const total = totalOf(shown, group, finding);
  return (
    <>
      <h1>Version {version.digest.slice(0, 12)}</h1>
      <p class="soft">
        {version.rows} rows, made by {version.by} on {version.created.slice(0, 10)}. Its name is the SHA-256
        of its rows; a run that reads them keeps the same digest.
      </p>
      <Ways shown={shown} />
      <details>
        <summary>Rules and counts</summary>
        <pre class="answer">
          {JSON.stringify(
            { sources: version.sources, rules: version.rules, counts: version.counts },
            null,
            2,
          )}
        </pre>
      </details>
      <Choices shown={shown} group={group} finding={finding} />
      <AnswerBox isOld={isOld}>
        <div class="items">
          {rows.map(({ row, origin, detail }, i) => (
            <article class="bench-prompt" key={i}>
              {origin !== undefined && (
                <p class="soft">
                  {origin}
                  {detail === undefined ? "" : `: ${detail}`}
                </p>
              )}
              <Row row={row} />
            </article>
          ))}
        </div>
      </AnswerBox>
      <p class="bar">
        <Pager from={from} total={total} />
        <span class="soft" role="status">
          {total === 0 ? "no rows" : `${from + 1} to ${Math.min(total, from + pageRows)} of ${total}`}
        </span>
      </p>
    </>
  );
}

function totalOf({ groups, findings }: VersionRows, group: string, finding: string): number {
  if (group === "kept" && finding !== "") return findings.find(({ code }) => code === finding)?.rows ?? 0;
  return groups.find(({ name }) => name === group)?.rows ?? 0;
}

/** Where one goes from here: rows out, filters changed, to the runs that read it. */
function Ways({ shown: { version, source } }: { shown: VersionRows }): JSX.Element {
  const isOwner = mayChange();
  return (
    <p class="bar">
      {isOwner && <a href={addressOf(["data"], { rows: version.digest })}>Take rows out of it</a>}
      {isOwner && version.by === "clean" && source !== null && (
        <a href={addressOf(["data"], { rows: source, like: version.digest })}>
          Change its filters, or take one back
        </a>
      )}
      {version.runs.map(({ id, name }) => (
        <a key={id} href={addressOf(["runs", id])}>
          Read by {name}
        </a>
      ))}
    </p>
  );
}

function Choices({
  shown: { groups, findings },
  group,
  finding,
}: {
  shown: VersionRows;
  group: string;
  finding: string;
}): JSX.Element {
  return (
    <p class="bar">
      <label for="group">Rows</label>
      <select
        id="group"
        value={group}
        onChange={(event) => setQuery({ group: event.currentTarget.value, finding: "", from: "" })}
      >
        {groups.map(({ name, rows }) => (
          <option key={name} value={name}>
            {name === "kept" ? "kept" : `taken out: ${name}`} ({rows})
          </option>
        ))}
      </select>
      {group === "kept" && (
        <>
          <label for="finding">with the finding</label>
          <select
            id="finding"
            value={finding}
            onChange={(event) => setQuery({ finding: event.currentTarget.value, from: "" })}
          >
            <option value="">any or none</option>
            {findings.map(({ code, rows }) => (
              <option key={code} value={code}>
                {code} ({rows})
              </option>
            ))}
          </select>
        </>
      )}
    </p>
  );
}

function Row({ row }: { row: unknown }): JSX.Element {
  const columns = typeof row === "object" && row !== null ? Object.entries(row) : [["row", row] as const];
  return (
    <dl>
      {columns.map(([name, value]) => (
        <div key={name}>
          <dt class="soft">{name}</dt>
          <dd class="as-text">{typeof value === "string" ? value : JSON.stringify(value, null, 1)}</dd>
        </div>
      ))}
    </dl>
  );
}
