/** The weight type a `config.json` states. */
import type { JsonFields } from "./json-fields.ts";
import type { WeightDtype } from "./model-config.ts";

const dtypes: readonly WeightDtype[] = ["float32", "float16", "bfloat16"];

/** The type under `dtype` or, in older files, `torch_dtype`; of the text model first; float32 where none is stated. */
export function checkpointDtype(top: JsonFields, text: JsonFields): WeightDtype {
  for (const fields of [text, top]) {
    for (const key of ["dtype", "torch_dtype"]) {
      const name = fields.string(key)?.replace(/^torch\./, "");
      if (name === undefined) continue;
      return (
        dtypes.find((dtype) => dtype === name) ??
        fields.refuse(key, `one of ${dtypes.join(", ")}`, "Convert the weights to one of these types.")
      );
    }
  }
  return "float32";
}
