/** The fields of a configuration, made from the table of keys: type, default, meaning, and who else has the default. */
import type { JSX } from "preact";
import { useId, useState } from "preact/hooks";
import type { FormField } from "../drafts.ts";

/** Values by key, as text. */
export type Values = Readonly<Record<string, string>>;

interface GroupProps {
  title: string;
  fields: readonly FormField[];
  values: Values;
  change: (key: string, text: string) => void;
}

/** Fields that a run must have, or that most runs change, stand open. */
const openGroups = ["Model and machine", "Data"];

/** A group of fields; closed while none of them is given. */
export function FieldGroup({ title, fields, values, change }: GroupProps): JSX.Element {
  const count = fields.filter(({ key }) => key in values).length;
  // later it is open or closed as a person left it
  const [isOpen] = useState(count > 0 || openGroups.includes(title));
  return (
    <details open={isOpen}>
      <summary>
        {title} <small class="soft">{count === 0 ? "" : `${count} given`}</small>
      </summary>
      <div class="fields">
        {fields.map((field) => (
          <Field key={field.key} field={field} value={values[field.key] ?? ""} change={change} />
        ))}
      </div>
    </details>
  );
}

interface FieldProps {
  field: FormField;
  value: string;
  change: (key: string, text: string) => void;
}

function Field({ field, value, change }: FieldProps): JSX.Element {
  const id = useId();
  const [isExplained, setExplained] = useState(false);
  const { key, choices } = field;
  const attributes = { id, name: key, value, "aria-describedby": `${id}-doc` };
  return (
    <div class="field">
      <label for={id}>{key}</label>
      <button
        type="button"
        class="what"
        aria-expanded={isExplained}
        aria-label={`What is ${key}?`}
        onClick={() => setExplained(!isExplained)}
      >
        ?
      </button>
      {choices === null ? (
        <input
          {...attributes}
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder={field.default}
          onInput={(event) => change(key, event.currentTarget.value)}
        />
      ) : (
        <select {...attributes} onChange={(event) => change(key, event.currentTarget.value)}>
          <option value="">{field.default}</option>
          {choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      )}
      <small id={`${id}-doc`} class="soft" hidden={!isExplained}>
        {field.doc} Expected: {field.expected}. Default: {field.default} ({field.source}).
      </small>
    </div>
  );
}
