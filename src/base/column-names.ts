/** Columns of data files that have a meaning, for the configuration that maps them and the layer that reads them. */

/** Every such column, in the order of the documentation. */
export const columnNames = [
  "prompt",
  "chosen",
  "rejected",
  "completion",
  "messages",
  "text",
  "system",
  "conversations",
  "question",
  "query",
  "instruction",
  "input",
  "history",
  "output",
  "response",
  "answer",
  "prompt_ids",
  "chosen_ids",
  "rejected_ids",
  "completion_ids",
  "completion_mask",
  "ref_chosen_logps",
  "ref_rejected_logps",
  "margin",
  "label",
  "rating",
  "tools",
  "chat_template_kwargs",
] as const;

/** A column with a meaning. */
export type ColumnName = (typeof columnNames)[number];

/**
 * Names that published sets give the same columns: OpenOrca (`system_prompt`), Argilla and Axolotl's `chatml.argilla`
 * (`chosen_response`), OpenAI's preference fine-tuning (`preferred_output`), LLaMA-Factory and Axolotl (`conversation`), LLaMA-Factory
 * (`kto_tag`), and Argilla a question called so (`label.responses`, `rating.responses`).
 */
export const otherSpellings: Readonly<Partial<Record<ColumnName, readonly string[]>>> = {
  system: ["system_prompt"],
  chosen: ["chosen_response", "preferred_output"],
  rejected: ["rejected_response", "non_preferred_output"],
  conversations: ["conversation"],
  label: ["kto_tag", "label.responses"],
  rating: ["rating.responses"],
};
