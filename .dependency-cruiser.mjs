/**
 * The layers of `src`, arrows one way. Run by `scripts/check-layers.ts`; ARCHITECTURE.md's table is made from them.
 * A folder may import itself and the folders named here; a folder that is not listed may not be imported or import.
 */
const core = ["base", "formats", "text", "methods", "config", "runs"];
const learning = [...core, "torch", "distributed", "sharding", "nn", "models", "optim", "data"];
const jobs = [
  ...learning,
  "hub",
  "report",
  "terminal",
  "generate",
  "evaluate",
  "forward",
  "gguf",
  "train",
  "rewards",
  "online",
  "setup",
];

/** @type {Record<string, string[]>} */
export const layers = {
  base: [],
  terminal: ["base"],
  process: ["base"],
  stats: ["base"],
  setup: ["terminal", "base"],
  torch: ["base", "setup"],
  formats: ["base"],
  hub: ["formats", "base"],
  text: ["base", "process", "formats"],
  gguf: ["text", "formats", "base"],
  config: ["methods", "base"],
  runs: ["config", "data", "formats", "methods", "base"],
  report: ["runs", "methods", "data", "config", "stats", "base"],
  workbench: ["runs", "config", "data", "text", "formats", "stats", "base"],
  planner: ["config", "terminal", "formats", "methods", "base"],
  distributed: ["torch", "base"],
  sharding: ["distributed", "models", "nn", "torch", "formats", "base"],
  nn: ["torch", "formats", "base"],
  models: ["nn", "torch", "formats", "base"],
  toy: ["models", "torch", "text", "formats", "base"],
  optim: ["nn", "torch", "formats", "base"],
  data: ["text", "hub", "formats", "base"],
  methods: ["torch", "base"],
  forward: ["data", "models", "nn", "torch", "setup", "base"],
  train: [...learning, "stats", "forward", "gguf", "setup"],
  generate: ["models", "nn", "torch", "text", "formats", "base"],
  evaluate: [...learning, "hub", "report", "terminal", "stats", "generate", "forward", "train"],
  rewards: ["process", "text", "formats", "config", "methods", "base"],
  online: [
    ...learning,
    "hub",
    "stats",
    "generate",
    "evaluate",
    "forward",
    "train",
    "rewards",
    "process",
    "setup",
  ],
  serve: ["generate", "forward", "models", "torch", "text", "hub", "runs", "formats", "process", "base"],
  dashboard: [
    "serve",
    "workbench",
    "text",
    "report",
    "runs",
    "data",
    "config",
    "methods",
    "text",
    "formats",
    "stats",
    "process",
    "base",
  ],
  trackers: ["runs", "config", "setup", "process", "formats", "base"],
  recipes: [...jobs, "workbench", "planner", "process", "trackers"],
  rounds: [...jobs, "stats", "workbench", "recipes"],
  quickstart: [...jobs, "process", "recipes", "toy"],
  sweep: [...jobs, "stats", "process", "recipes"],
};

const folders = Object.keys(layers).join("|");

const arrows = Object.entries(layers).map(([folder, allowed]) => ({
  name: `layer-${folder}`,
  comment: `src/${folder} may import ${allowed.join(", ") || "no other folder of src"}; its tests may use what they need.`,
  severity: "error",
  from: { path: `^src/${folder}/`, pathNot: "\\.(test|nightly)\\.ts$" },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...allowed].join("|")})/` },
}));

/** Folders that work where torch is absent. */
export const libtorchFree = [
  "base",
  "terminal",
  "process",
  "stats",
  "setup",
  "formats",
  "hub",
  "text",
  "gguf",
  "config",
  "runs",
  "report",
  "workbench",
  "data",
  "planner",
  "rewards",
  "dashboard",
  "trackers",
];

/** Nothing in `from` reaches src/torch, directly or through others. */
const withoutTorch = (name, comment, from) => ({
  name,
  comment,
  severity: "error",
  from,
  to: { path: "^src/torch/", reachable: true },
});

const withoutLibtorch = libtorchFree.map((folder) =>
  withoutTorch(
    `${folder}-without-libtorch`,
    `Nothing in src/${folder} reaches src/torch, directly or through others: it must work where torch is absent.`,
    { path: `^src/${folder}/` },
  ),
);

// the doors of package.json's exports show what others may use; the sources themselves import where it is
const doorsFromOutside = {
  name: "doors-from-outside",
  comment: "src/doors is for users of the package: import the module itself.",
  severity: "error",
  from: { path: "^src/", pathNot: "^src/doors/" },
  to: { path: "^src/doors/" },
};

const studiesUseDoors = {
  name: "studies-use-doors",
  comment: "The studies are users of the package: they import its doors. Their tests may use what they need.",
  severity: "error",
  from: { path: "^studies/", pathNot: "\\.test\\.ts$" },
  to: { path: "^(src|scripts|test)/", pathNot: "^src/(index|doors/[^/]+)\\.ts$" },
};

const libtorchFreeDoors = withoutTorch(
  "doors-without-libtorch",
  "Importing preftune/data or preftune/formats loads no libtorch.",
  { path: "^src/doors/(data|formats)\\.ts$" },
);

// configuration, planner and command line read a method's settings where torch is absent; its loss needs torch
const settingsWithoutLibtorch = withoutTorch(
  "settings-without-libtorch",
  "A method's settings.ts and the record of all of them load no libtorch; losses.ts and each loss.ts do.",
  { path: "^src/methods/(index|method|[^/]+/settings)\\.ts$" },
);

// answers in files, endpoints and judges need no libtorch; a local model that answers does, and so the jobs of the commands
const judgeWithoutLibtorch = withoutTorch(
  "judge-without-libtorch",
  "Of the benchmarks, only the jobs of the commands and what answers with a local model reach src/torch.",
  {
    path: "^src/evaluate/(endpoint|answers|judge|mt-bench|arena-hard|pairwise)/",
    pathNot: "(answers/(local-answers|answers)|/evaluate-[^/]+|\\.(test|nightly))\\.ts$",
  },
);

// what answers HTTP requests lives in another process than libtorch, and a crash there must not reach it
const httpWithoutLibtorch = withoutTorch(
  "http-without-libtorch",
  "Of src/serve only the engine's own program reaches src/torch.",
  { path: "^src/serve/", pathNot: "(^src/serve/engine-child|\\.(test|nightly))\\.ts$" },
);

export default {
  forbidden: [
    ...arrows,
    ...withoutLibtorch,
    settingsWithoutLibtorch,
    judgeWithoutLibtorch,
    httpWithoutLibtorch,
    doorsFromOutside,
    studiesUseDoors,
    libtorchFreeDoors,
    {
      name: "no-circular",
      comment: "Files that import each other in a ring cannot be read or loaded one at a time.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "unlisted-folder",
      comment: "A new folder of src needs its place among the layers in .dependency-cruiser.mjs.",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: `^src/(${folders}|cli|doors)/` },
      to: {},
    },
    {
      name: "locate-only",
      comment:
        "src/torch asks src/setup where the addon is and which library makes its products, and nothing else.",
      severity: "error",
      from: { path: "^src/torch/" },
      to: { path: "^src/setup/", pathNot: "^src/setup/(locate|matmul-choice)\\.ts$" },
    },
    {
      name: "torch-door",
      comment: "src/torch is entered by its index.ts and the generated operators.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/torch/" },
      to: { path: "^src/torch/", pathNot: "^src/torch/(index|generated/operators)\\.ts$" },
    },
    {
      name: "no-tests-in-sources",
      comment: "Sources import neither tests, their support, nor the studies.",
      severity: "error",
      from: { path: "^(src|scripts)/", pathNot: "\\.(test|nightly)\\.ts$" },
      to: { path: "(^(test|studies)/|\\.(test|nightly)\\.ts$)" },
    },
    {
      name: "declared-packages",
      comment: "A package that src imports is a runtime dependency, or a peer that its users install.",
      severity: "error",
      from: { path: "^src/", pathNot: "\\.(test|nightly)\\.ts$|^src/dashboard/page/" },
      to: {
        dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"],
        dependencyTypesNot: ["type-only", "npm-peer"],
      },
    },
    {
      name: "resolvable",
      comment: "An import that leads nowhere.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["preftune-source", "import", "node", "default", "types"],
    },
  },
};
