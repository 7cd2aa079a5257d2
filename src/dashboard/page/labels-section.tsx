/** Whose judgments a run was trained on. */
import type { JSX } from "preact";
import type { BehindRun } from "../bench-routes.ts";
import { useAnswer } from "./pieces.tsx";
import { addressOf } from "./place.ts";

/** The section; nothing where the run's data is no version of the workbench. */
export function LabelsSection({ run }: { run: string }): JSX.Element | null {
  const { value } = useAnswer<{ behind: BehindRun | null }>(`/api/runs/${run}/labels`);
  const behind = value?.behind ?? null;
  if (behind === null) return null;
  const { versions, items, people, judges, models } = behind;
  const lines = [
    ["Judged by", people],
    ["Judged by models", judges],
    ["Answers written by", models],
  ] as const;
  return (
    <section>
      <h2 id="labels">Labels</h2>
      <p>
        Trained on {items === 0 ? "rows without labels" : `${items} labelled pairs`} of version{" "}
        {versions.map((digest) => (
          <a key={digest} href={addressOf(["data", digest])}>
            {digest.slice(0, 12)}{" "}
          </a>
        ))}
      </p>
      {lines
        .filter(([, counts]) => Object.keys(counts).length > 0)
        .map(([text, counts]) => (
          <p key={text}>
            {text}{" "}
            {Object.entries(counts)
              .map(([name, count]) => `${name} (${count})`)
              .join(", ")}
          </p>
        ))}
    </section>
  );
}
