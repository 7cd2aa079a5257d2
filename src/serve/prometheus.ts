/** Counters, gauges and histograms in Prometheus's text format (exposition format 0.0.4). */

type Labels = Readonly<Record<string, string>>;

interface Family {
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  lines(): string[];
}

/** Families of metrics, written in the order in which they were made. */
export class MetricsRegistry {
  readonly #families: Family[] = [];

  /** A number that only grows, one for each set of labels. */
  counter(name: string, help: string): { add(labels: Labels, by?: number): void } {
    const values = new Map<string, number>();
    this.#families.push({ name, type: "counter", help, lines: () => sampleLines(name, values) });
    return { add: (labels, by = 1) => addTo(values, labelText(labels), by) };
  }

  /** A number that is asked for when metrics are read; null: it is not known now. */
  gauge(name: string, help: string, read: () => number | null): void {
    this.#readable(name, "gauge", help, read);
  }

  /** A counter that is kept elsewhere. */
  counterOf(name: string, help: string, read: () => number): void {
    this.#readable(name, "counter", help, read);
  }

  /** How often a value was at most each of `bounds`. */
  histogram(name: string, help: string, bounds: readonly number[]): { observe(value: number): void } {
    const counts = new Array<number>(bounds.length + 1).fill(0);
    let sum = 0;
    const lines = () => {
      let total = 0;
      const buckets = counts.map((count, i) => {
        total += count;
        return `${name}_bucket{le="${bounds[i] ?? "+Inf"}"} ${total}`;
      });
      return [...buckets, `${name}_sum ${sum}`, `${name}_count ${total}`];
    };
    this.#families.push({ name, type: "histogram", help, lines });
    return {
      observe: (value) => {
        const bucket = bounds.findIndex((bound) => value <= bound);
        const at = bucket < 0 ? bounds.length : bucket;
        counts[at] = (counts[at] ?? 0) + 1;
        sum += value;
      },
    };
  }

  /** All metrics as text. */
  text(): string {
    const blocks = this.#families.map(({ name, type, help, lines }) => {
      return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines()].join("\n");
    });
    return `${blocks.join("\n")}\n`;
  }

  #readable(name: string, type: "counter" | "gauge", help: string, read: () => number | null): void {
    const lines = () => {
      const value = read();
      return value === null ? [] : [`${name} ${value}`];
    };
    this.#families.push({ name, type, help, lines });
  }
}

function addTo(values: Map<string, number>, key: string, by: number): void {
  values.set(key, (values.get(key) ?? 0) + by);
}

function sampleLines(name: string, values: ReadonlyMap<string, number>): string[] {
  return [...values].map(([labels, value]) => `${name}${labels} ${value}`);
}

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`,
  );
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
