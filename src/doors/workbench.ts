/** `preftune/workbench`: labelled pairs of several forms, people who judge, agreement, versions of data and where they went. */
import "../base/node-version.ts";

export { type Agreement, agreementOf, type Ratings } from "../stats/agreement.ts";
export { type CleanResult, clean } from "../workbench/clean/clean.ts";
export { type CleanRecipe, parseCleanRecipe, readCleanRecipe } from "../workbench/clean/clean-recipe.ts";
export { type Choice, type Comparison, itemIdOf } from "../workbench/comparison.ts";
export { type ExportRules, exportLabels } from "../workbench/export-labels.ts";
export { formNamed, type Imported, importFiles, importPasted } from "../workbench/import-comparisons.ts";
export type { LabelStore } from "../workbench/label-store.ts";
export {
  castVote,
  decide,
  flag,
  nextPair,
  noteOn,
  progressOf,
  type ShownPair,
  type SidedVote,
  undoVote,
} from "../workbench/labelling.ts";
export { itemLineage, runLineage } from "../workbench/lineage.ts";
export { type PeopleReport, peopleReport } from "../workbench/people.ts";
export { listVersions, readVersion, removedRows, saveVersion, type Version } from "../workbench/versions.ts";
export { isWorkbench, makeWorkbench, openWorkbench } from "../workbench/workbench-dir.ts";
