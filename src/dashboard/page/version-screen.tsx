/** One version: what it was made by, its rows, and those that were taken out. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { VersionRows } from "../bench-routes.ts";
import { get } from "./api.ts";
import { Problem } from "./pieces.tsx";
import { place, setQuery } from "./place.ts";

/** The screen. */
export function VersionScreen({ id }: { id: string }): JSX.Element {
  const [shown, setShown] = useState<VersionRows | null>(null);
  const [problem, setProblem] = useState("");
  const group = place.value.query.get("group") ?? "kept";
  useEffect(() => {
    get<VersionRows>(`/api/versions/${id}?${new URLSearchParams({ group })}`)
      .then(setShown)
      .catch((error: Error) => setProblem(error.message));
  }, [id, group]);
  if (problem !== "") return <Problem text={problem} />;
  if (shown === null) return <p aria-busy="true">Reading the version …</p>;
  const { version, groups, rows } = shown;
  return (
    <>
      <h1>Version {version.digest.slice(0, 12)}</h1>
      <p class="soft">
        {version.rows} rows, made by {version.by} on {version.created.slice(0, 10)}. Its name is the SHA-256
        of its rows; a run that reads them keeps the same digest.
      </p>
      <details>
        <summary>Rules and counts</summary>
        <pre class="as-text">
          {JSON.stringify(
            { rules: version.rules, counts: version.counts, sources: version.sources },
            null,
            2,
          )}
        </pre>
      </details>
      <p class="bar">
        <label for="group">Rows</label>
        <select id="group" value={group} onChange={(event) => setQuery({ group: event.currentTarget.value })}>
          {groups.map(({ name, rows: count }) => (
            <option key={name} value={name}>
              {name === "kept" ? "kept" : `taken out: ${name}`} ({count})
            </option>
          ))}
        </select>
      </p>
      <div class="items">
        {rows.map(({ row, origin, detail }, i) => (
          <article class="bench-prompt" key={i}>
            {origin !== undefined && (
              <p class="soft">
                {origin.split("/").at(-1)}
                {detail === undefined ? "" : `: ${detail}`}
              </p>
            )}
            <Row row={row} />
          </article>
        ))}
      </div>
    </>
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
