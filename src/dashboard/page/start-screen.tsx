/** A new run: the form, then what its check, the data check and the plan say, then the start. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { FormField } from "../drafts.ts";
import { post } from "./api.ts";
import { FieldGroup, type Values } from "./field-form.tsx";
import { Problem, useAnswer, Waiting } from "./pieces.tsx";
import { goTo, type Place, setQuery } from "./place.ts";

interface Form {
  groups: { title: string; fields: FormField[] }[];
  recipes: string[];
}

interface Draft {
  id: string;
  yaml: string;
  warnings: string[];
  command: string;
}

/** The screen. The address says which recipe or run it begins with. */
export function StartScreen({ place }: { place: Place }): JSX.Element {
  const { value: form, problem } = useAnswer<Form>("/api/form");
  const [run, recipe] = [place.query.get("run"), place.query.get("recipe")];
  const base =
    run !== null ? `/api/form/runs/${run}` : recipe !== null ? `/api/form/recipes/${recipe}` : null;
  if (form === null || problem !== "") return <Waiting problem={problem}>Reading the form …</Waiting>;
  return (
    <>
      <h1>{run === null ? "New run" : "The run again, with changes"}</h1>
      <p class="bar">
        <label>
          Begin with{" "}
          <select
            value={recipe ?? ""}
            onChange={(event) => setQuery({ recipe: event.currentTarget.value, run: "" })}
          >
            <option value="">{run === null ? "nothing" : "the values of a run"}</option>
            {form.recipes.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </p>
      <Based key={base} base={base} isCopy={run !== null} form={form} />
    </>
  );
}

/** The form with the values that it begins with. */
function Based({ base, isCopy, form }: { base: string | null; isCopy: boolean; form: Form }): JSX.Element {
  const { value, problem } = useAnswer<{ values: Values }>(base);
  if ((base !== null && value === null) || problem !== "")
    return <Waiting problem={problem}>Reading its values …</Waiting>;
  const { output_dir: dir, ...rest } = value?.values ?? {};
  // a copy is another run, and needs another folder
  const first = { ...rest, ...(dir === undefined ? {} : { output_dir: isCopy ? `${dir}-2` : dir }) };
  return <Filled form={form} first={first} />;
}

function Filled({ form, first }: { form: Form; first: Values }): JSX.Element {
  const [values, setValues] = useState<Values>(first);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState("");
  // of the values as they are: an answer to earlier ones is late
  const checks = useRef(0);
  const change = (key: string, text: string): void => {
    checks.current++;
    setDraft(null);
    const { [key]: _, ...others } = values;
    setValues(text === "" ? others : { ...others, [key]: text });
  };
  const check = (event: Event): void => {
    event.preventDefault();
    setProblem("");
    const check = ++checks.current;
    const ifInTime =
      <T,>(tell: (answer: T) => void) =>
      (answer: T): void => {
        if (check === checks.current) tell(answer);
      };
    post<Draft>("/api/drafts", { values }).then(
      ifInTime(setDraft),
      ifInTime((error: Error) => setProblem(error.message)),
    );
  };
  const objective = values["objective"] ?? "slime";
  return (
    <form onSubmit={check}>
      {form.groups.map(({ title, fields }) => (
        <FieldGroup
          key={title}
          title={title}
          // a value that the objective does not take can be taken out
          fields={fields.filter(({ key, objectives }) => key in values || objectives.includes(objective))}
          values={values}
          change={change}
        />
      ))}
      <p class="bar">
        <button type="submit" class="main">
          Check
        </button>
        <span class="soft">Nothing starts yet.</span>
      </p>
      {problem !== "" && <Problem text={problem} />}
      {draft !== null && <Checked key={draft.id} draft={draft} />}
    </form>
  );
}

/** What is known before the start. */
function Checked({ draft }: { draft: Draft }): JSX.Element {
  const [problem, setProblem] = useState("");
  const start = (): void => {
    post(`/api/drafts/${draft.id}/start`, {})
      .then(() => goTo(["queue"]))
      .catch((error: Error) => setProblem(error.message));
  };
  return (
    <section>
      <h2>Before the start</h2>
      {draft.warnings.map((text) => (
        <p key={text} class="note">
          {text}
        </p>
      ))}
      <h3>config.yaml</h3>
      <pre class="answer">{draft.yaml}</pre>
      <p>
        <code>{draft.command}</code> does the same in a terminal.
      </p>
      <Said title="Data check" path={`/api/drafts/${draft.id}/data-check`} />
      <Said title="Plan" path={`/api/drafts/${draft.id}/plan`} />
      <p class="bar">
        <button type="button" class="main" onClick={start}>
          Start
        </button>
        <span class="soft">It waits in the queue while another run is on its device.</span>
      </p>
      {problem !== "" && <Problem text={problem} />}
    </section>
  );
}

/** What a command says, as it says it. */
function Said({ title, path }: { title: string; path: string }): JSX.Element {
  const [said, setSaid] = useState<{ isGood: boolean; text: string } | null>(null);
  useEffect(() => {
    post<{ isGood: boolean; text: string }>(path, {})
      .then(setSaid)
      .catch((error: Error) => setSaid({ isGood: false, text: error.message }));
  }, [path]);
  return (
    <section>
      <h3>{title}</h3>
      {said === null ? (
        <p aria-busy="true" class="soft">
          Running …
        </p>
      ) : (
        <pre class={said.isGood ? "answer" : "answer note bad"}>{said.text}</pre>
      )}
    </section>
  );
}
