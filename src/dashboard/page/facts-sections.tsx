/** What a run is made of: its events, its configuration with where each value comes from, its files. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ConfigRow, EventRow, RunFile } from "../run-sections.ts";
import { bytesText } from "./pieces.tsx";

/** The events, the last first. */
export function EventSection({ events }: { events: readonly EventRow[] }): JSX.Element | null {
  if (events.length === 0) return null;
  return (
    <section>
      <h2 id="events">Events</h2>
      <div class="scroll">
        <table>
          <tbody>
            {events.map(([time, event, details], i) => (
              <tr key={events.length - i}>
                <th scope="row">{time}</th>
                <td>{event}</td>
                <td>{details}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
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
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">Value</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(([key, value, from]) => (
              <tr key={key}>
                <th scope="row">{key}</th>
                <td>
                  <code>{value}</code>
                </td>
                <td>{from}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** The files of the run's folder. */
export function FileSection({ run, files }: { run: string; files: readonly RunFile[] }): JSX.Element {
  return (
    <section>
      <h2 id="files">Files</h2>
      <div class="scroll">
        <table>
          <tbody>
            {files.map(({ name, bytes }) => (
              <tr key={name}>
                <th scope="row">
                  {name === "report.html" ? (
                    <a href={`/api/runs/${run}/report`} target="_blank" rel="noreferrer">
                      {name}
                    </a>
                  ) : (
                    name
                  )}
                </th>
                <td class="number">{bytes === null ? "folder" : bytesText(bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
