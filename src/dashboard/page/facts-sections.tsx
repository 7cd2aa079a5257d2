/** What a run is made of: its events, its configuration with where each value comes from, its files. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ConfigRow, EventRow, RunFile } from "../run-sections.ts";
import { bytesText } from "./pieces.tsx";
import { Table } from "./table.tsx";

/** The events, the last first. */
export function EventSection({ events }: { events: readonly EventRow[] }): JSX.Element | null {
  if (events.length === 0) return null;
  return (
    <section>
      <h2 id="events">Events</h2>
      <Table
        head={["Time, UTC", "Event", "Details"]}
        lines={events.map((cells, i) => ({ key: events.length - i, cells }))}
      />
    </section>
  );
}

/** The configuration: what was given, or all of it. */
export function ConfigSection({ run, rows }: { run: string; rows: readonly ConfigRow[] }): JSX.Element {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? rows : rows.filter(([, , from]) => from !== "default");
  return (
    <section>
      <h2 id="configuration">Configuration</h2>
      <p class="bar">
        <label>
          <input type="checkbox" checked={isAll} onChange={(event) => setAll(event.currentTarget.checked)} />{" "}
          All {rows.length} values, defaults too
        </label>
        <a href={`/api/runs/${run}/config.yaml`} target="_blank" rel="noreferrer">
          As YAML
        </a>
      </p>
      <Table
        isStacked
        head={["Key", "Value", "From"]}
        lines={shown.map(([key, value, from]) => ({
          key,
          cells: [key, <code key="value">{value}</code>, from],
        }))}
      />
    </section>
  );
}

/** The files of the run's folder. */
export function FileSection({ run, files }: { run: string; files: readonly RunFile[] }): JSX.Element {
  return (
    <section>
      <h2 id="files">Files</h2>
      <Table
        numbers={[1]}
        lines={files.map(({ name, bytes }) => ({
          key: name,
          cells: [
            name === "report.html" ? (
              <a key="report" href={`/api/runs/${run}/report`} target="_blank" rel="noreferrer">
                {name}
              </a>
            ) : (
              name
            ),
            bytes === null ? "folder" : bytesText(bytes),
          ],
        }))}
      />
    </section>
  );
}
