/** The manual's table of contents: page by name, in the order of reading. */

/** A group of pages, each with its title and its name without an ending. */
export interface Group {
  title: string;
  pages: readonly (readonly [title: string, name: string])[];
}

/** All groups. A test compares their pages with those of docs. */
export const contents: readonly Group[] = [
  {
    title: "Start",
    pages: [
      ["Start here", "index"],
      ["My data to Ollama", "tutorial"],
      ["Choosing an objective", "choosing"],
      ["From TRL, LLaMA-Factory, Axolotl", "coming-from"],
      ["Troubleshooting", "troubleshooting"],
      ["README", "readme"],
    ],
  },
  {
    title: "Train",
    pages: [
      ["Data", "data"],
      ["Labelling", "labelling"],
      ["Rounds", "rounds"],
      ["Objectives", "objectives"],
      ["Models", "models"],
      ["Planner", "planner"],
      ["Memory", "memory"],
      ["A real run", "real-run"],
      ["Several processes", "distributed"],
      ["Rehearsal for GPUs", "rehearsal"],
    ],
  },
  {
    title: "Look",
    pages: [
      ["Displacement", "displacement"],
      ["Collapse", "collapse"],
      ["Report", "report"],
      ["Dashboard", "dashboard"],
      ["Trackers", "trackers"],
      ["Scale of an adapter", "scale"],
      ["Studies and sweeps", "studies"],
      ["Judges", "judges"],
    ],
  },
  {
    title: "Rewards",
    pages: [
      ["On-policy", "online"],
      ["Rewards", "rewards"],
      ["Reward models", "reward-models"],
    ],
  },
  {
    title: "Use",
    pages: [
      ["Generation", "generation"],
      ["Serving", "serving"],
      ["GGUF", "gguf"],
      ["Container", "container"],
      ["Hub", "push"],
    ],
  },
  {
    title: "Reference",
    pages: [
      ["Command line", "commands"],
      ["Configuration", "configuration"],
      ["Metrics", "metrics"],
      ["Glossary", "glossary"],
      ["Library", "api/index"],
      ["Releases", "releases"],
      ["Changes", "changes"],
    ],
  },
  {
    title: "Evidence",
    pages: [
      ["Findings", "findings"],
      ["Guarantees", "guarantees"],
      ["Performance", "performance"],
      ["Reliability", "reliability"],
    ],
  },
  {
    title: "Work on it",
    pages: [
      ["Architecture", "architecture"],
      ["Contributing", "contributing"],
      ["Adding a method", "adding-a-method"],
      ["Adding a family", "adding-a-family"],
    ],
  },
];
