/** Columns of data files that have a meaning, for the configuration that maps them and the layer that reads them. */

/** Every such column, in the order of the documentation. */
export const columnNames = [
  "prompt",
  "chosen",
  "rejected",
  "completion",
  "messages",
  "text",
  "prompt_ids",
  "chosen_ids",
  "rejected_ids",
  "completion_ids",
  "completion_mask",
  "ref_chosen_logps",
  "ref_rejected_logps",
  "tools",
  "chat_template_kwargs",
] as const;

/** A column with a meaning. */
export type ColumnName = (typeof columnNames)[number];
