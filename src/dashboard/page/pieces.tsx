/** Small parts that several screens have. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { EmptyTexts } from "../empty-texts.ts";
import type { Summary } from "../run-summary.ts";
import { me } from "./api.ts";
import { addressOf } from "./place.ts";
import { type Answer, Question } from "./question.ts";

/** Something that went wrong, in words. */
export function Problem({ text }: { text: string }): JSX.Element {
  return (
    <p class="note bad" role="alert">
      {text}
    </p>
  );
}

/** Stands where something is not there yet: what is done about it, or what went wrong. */
export function Waiting({
  problem,
  children,
}: {
  problem: string;
  children: ComponentChildren;
}): JSX.Element {
  return problem === "" ? <p aria-busy="true">{children}</p> : <Problem text={problem} />;
}

/** What a field of choices offers: values with their words. */
export function Options({ of }: { of: readonly (readonly [string, string])[] }): JSX.Element {
  return (
    <>
      {of.map(([value, words]) => (
        <option key={value} value={value}>
          {words}
        </option>
      ))}
    </>
  );
}

/** Leads to a version of the workbench's data. */
export function VersionLink({ digest }: { digest: string }): JSX.Element {
  return <a href={addressOf(["data", digest])}>{digest.slice(0, 12)} </a>;
}

/** Leads to runs. */
export function RunLinks({ runs }: { runs: readonly { id: string; name: string }[] }): JSX.Element {
  return (
    <>
      {runs.map(({ id, name }) => (
        <a key={id} href={addressOf(["runs", id])}>
          {name}{" "}
        </a>
      ))}
    </>
  );
}

/** Words in which names stand between backticks. */
export function CodeWords({ text }: { text: string }): JSX.Element {
  return <>{text.split("`").map((part, i) => (i % 2 === 0 ? part : <code key={i}>{part}</code>))}</>;
}

/** Stands where there is nothing yet: says which command fills it. */
export function Empty({ of }: { of: keyof EmptyTexts }): JSX.Element {
  return (
    <p class="empty as-text">
      <CodeWords text={me.value?.empty[of] ?? ""} />
    </p>
  );
}

/** The state of a run as a word with a colour. */
export function StateTag({ run }: { run: Summary }): JSX.Element {
  return (
    <span class={`state ${run.state.replace(" ", "-")}`} title={run.message}>
      {run.stateText}
    </span>
  );
}

/** HTML that the server made with the report's functions: what comes from a run is escaped in it. */
export function ServerHtml({ html, class: name }: { html: string; class?: string }): JSX.Element | null {
  if (html === "") return null;
  // see above; the page's policy lets nothing in it run or load
  return <div {...(name === undefined ? {} : { class: name })} dangerouslySetInnerHTML={{ __html: html }} />;
}

/**
 * What a path answers: asked again when `version` is another. `isOld`: the value is that of the path before, until this one answers.
 *
 * @param acts - raised with each act of the reader that may have changed it: then it is asked for at once, however slow it is
 */
export function useAnswer<T>(
  path: string | null,
  version: number = 0,
  acts: number = 0,
): Answer<T> & { isOld: boolean } {
  const [known, setKnown] = useState({ of: path, value: null as T | null, problem: "" });
  const question = useRef<Question<T> | null>(null);
  useEffect(() => {
    if (path === null) return;
    const asked = new Question<T>(path, (news) =>
      setKnown((before) => ({
        value: before.of === path ? before.value : null,
        ...{ problem: "", ...news, of: path },
      })),
    );
    question.current = asked;
    return () => {
      asked.leave();
      question.current = null;
    };
  }, [path]);
  // a version that is another says that there is something new behind the same path
  const acted = useRef(acts);
  useEffect(() => {
    question.current?.ask(acts !== acted.current);
    acted.current = acts;
  }, [path, version, acts]);
  const isOld = known.of !== path;
  return { value: known.value, problem: isOld ? "" : known.problem, isOld };
}

/** Stands around an answer of {@link useAnswer}: an old one is hidden where the new one takes its time. */
export function AnswerBox({ isOld, children }: { isOld: boolean; children: ComponentChildren }): JSX.Element {
  return (
    <div class="answer-box" aria-busy={isOld}>
      {children}
    </div>
  );
}

/** Bytes in few characters. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** unit;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit] ?? ""}`;
}
