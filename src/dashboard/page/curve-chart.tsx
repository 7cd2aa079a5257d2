/** A live chart: uPlot draws its lines on a canvas; beside it stand a legend that switches lines off, the numbers as a table, and what it means. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { at } from "../../base/at.ts";
import { formatDuration } from "../../base/number-text.ts";
import { tickTexts } from "../../report/axis.ts";
import { aligned, type Curve, type Drawing, pointsOver, smoothOver } from "./curves.ts";
import { numberText } from "./texts.ts";

/** One line of a chart. */
export interface Line {
  name: string;
  curve: Curve;
  /** Colour 1–7 of the style sheet. */
  colour: number;
  isEval: boolean;
  /** An area around the line, point by point. */
  band?: { low: readonly number[]; high: readonly number[] };
}

/** A chart. */
export interface ChartProps {
  title: string;
  unit: string;
  lines: readonly Line[];
  drawing: Drawing;
  isLog: boolean;
  /** A value that curves are to be read against. */
  marks?: readonly { value: number; name: string }[];
  /** Sentences under the picture. */
  note?: string | undefined;
  /** What "?" tells. */
  meaning?: JSX.Element | null;
  /** Where all numbers are as a file; left out: there is none. */
  csv?: string;
  /** Raised when the curves have new points. */
  version: number;
}

const height = 200;

/** The part of x that is shown by all charts; null: all of it. */
export const zoom = signal<{ min: number; max: number } | null>(null);

/** A chart as a figure. */
export function CurveChart(props: ChartProps): JSX.Element {
  const { title, unit, note, lines, meaning } = props;
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [isTable, setTable] = useState(false);
  const [isExplained, setExplained] = useState(false);
  const id = useId();
  const shown = lines.filter((line) => !hidden.has(keyOf(line)));
  const toggle = (line: Line): void => {
    const next = new Set(hidden);
    if (!next.delete(keyOf(line))) next.add(keyOf(line));
    setHidden(next);
  };
  return (
    <figure aria-labelledby={id}>
      <figcaption id={id}>
        {title} {unit !== "" && <small>{unit}</small>}
        {meaning !== undefined && meaning !== null && (
          <button
            type="button"
            class="what"
            aria-expanded={isExplained}
            aria-label={`What is ${title}?`}
            onClick={() => setExplained(!isExplained)}
          >
            ?
          </button>
        )}
      </figcaption>
      {/* the parts of figures beside each other stand in the same five rows, whatever is open */}
      <div>
        {isExplained && <div class="meaning">{meaning}</div>}
        <Legend lines={lines} hidden={hidden} toggle={toggle} drawing={props.drawing} />
      </div>
      <Plot {...props} lines={shown} />
      <p>
        {note}
        {goneText(props)}
      </p>
      <div>
        <p class="links">
          <button type="button" class="plain" aria-expanded={isTable} onClick={() => setTable(!isTable)}>
            Numbers
          </button>
          {props.csv !== undefined && (
            <a href={props.csv} download>
              CSV
            </a>
          )}
        </p>
        {isTable && <NumberTable {...props} />}
      </div>
    </figure>
  );
}

/** Tells a line from the others of its chart. */
function keyOf({ name, isEval }: Line): string {
  return `${name}${isEval ? ", held out" : ""}`;
}

/** What is not drawn, and why. */
function goneText({ lines, isLog }: ChartProps): string {
  const values = lines.flatMap(({ curve }) => curve.value);
  const gone = values.filter((value) => !Number.isFinite(value)).length;
  const below = isLog ? values.filter((value) => value <= 0 && Number.isFinite(value)).length : 0;
  return [
    [gone, "NaN or infinite"] as const,
    [below, "0 or below, which has no place on a logarithmic scale,"] as const,
  ]
    .filter(([count]) => count > 0)
    .map(([count, what]) => ` ${count === 1 ? "1 value is" : `${count} values are`} ${what} and not drawn.`)
    .join("");
}

interface LegendProps {
  lines: readonly Line[];
  hidden: ReadonlySet<string>;
  toggle: (line: Line) => void;
  drawing: Drawing;
}

function Legend({ lines, hidden, toggle }: LegendProps): JSX.Element {
  return (
    <ul class="legend">
      {lines.map((line) => (
        <li key={keyOf(line)}>
          <button
            type="button"
            class="plain"
            aria-pressed={!hidden.has(keyOf(line))}
            onClick={() => toggle(line)}
          >
            <svg class={`c${line.colour}`} viewBox="0 0 22 10" aria-hidden="true">
              <path class={line.isEval ? "line eval" : "line"} d="M1 5H21" />
            </svg>
            {keyOf(line)} <b>{numberText(line.curve.value.at(-1) ?? null)}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The picture. It is made when it comes into view, and again when its lines or colours are others. */
function Plot(props: ChartProps): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [isSeen, setSeen] = useState(false);
  const [scheme, setScheme] = useState(0);
  const { lines, isLog, drawing, version } = props;
  const form = `${lines.map((line) => keyOf(line) + line.colour + (line.band === undefined ? "" : "~")).join()}|${isLog}|${drawing.smoothing > 0}|${drawing.over}|${scheme}`;

  useEffect(() => watchBox(box.current, plot, setSeen), []);
  useEffect(() => onSchemeChange(() => setScheme((n) => n + 1)), []);
  // the form says all that the picture is made of
  useEffect(() => {
    if (!isSeen || box.current === null) return;
    const made = new uPlot(optionsOf(props, box.current.clientWidth), dataOf(props), box.current);
    plot.current = made;
    const stop = zoom.subscribe((range) => follow(made, range));
    return () => {
      stop();
      made.destroy();
      plot.current = null;
    };
  }, [isSeen, form]);
  // the version says that there are new points
  useEffect(() => {
    const made = plot.current;
    if (made === null) return;
    made.setData(dataOf(props), zoom.value === null);
    if (zoom.value !== null) made.redraw();
  }, [version, drawing.smoothing]);
  return <div ref={box} class="plot" role="img" aria-label={summaryOf(props)} />;
}

/** Says when the picture comes into view, and keeps it as wide as its place. */
function watchBox(
  box: HTMLDivElement | null,
  plot: { current: uPlot | null },
  setSeen: (isSeen: boolean) => void,
): () => void {
  if (box === null) return () => {};
  const seen = new IntersectionObserver((entries) => {
    if (entries.some(({ isIntersecting }) => isIntersecting)) {
      setSeen(true);
      seen.disconnect();
    }
  });
  const sized = new ResizeObserver(() => {
    // a picture on a tab that is hidden has no width
    if (box.clientWidth > 0) plot.current?.setSize({ width: box.clientWidth, height });
  });
  seen.observe(box);
  sized.observe(box);
  return () => {
    seen.disconnect();
    sized.disconnect();
  };
}

function onSchemeChange(listener: () => void): () => void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", listener);
  return () => dark.removeEventListener("change", listener);
}

/** Shows the part of x that all charts show. */
function follow(made: uPlot, range: { min: number; max: number } | null): void {
  const { min, max } = made.scales["x"] ?? {};
  if (range === null) {
    // all of it, as the picture finds it itself: of a single point that is more than from x to x
    if (made.status !== 0) made.setData(made.data, true);
  } else if (min !== range.min || max !== range.max) made.setScale("x", range);
}

function dataOf({ lines, drawing, isLog }: ChartProps): uPlot.AlignedData {
  // a logarithmic scale has no place for 0 and below
  const shown = (y: readonly number[]): readonly number[] =>
    isLog ? y.map((value) => (value > 0 ? value : Number.NaN)) : y;
  const over = (points: typeof pointsOver) =>
    lines.map(({ curve }) => points(curve, drawing)).map(({ x, y }) => ({ x, y: shown(y) }));
  const raw = over(pointsOver);
  const smooth = drawing.smoothing === 0 ? [] : over(smoothOver);
  const edges = lines.flatMap(({ curve, band }) =>
    [band?.high, band?.low].flatMap((y) =>
      y === undefined ? [] : [{ x: pointsOver(curve, drawing).x, y: shown(y) }],
    ),
  );
  return aligned([...raw, ...smooth, ...edges]) as uPlot.AlignedData;
}

/** A colour of the style sheet. */
function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function optionsOf(props: ChartProps, width: number): uPlot.Options {
  const { lines, drawing, isLog, marks = [] } = props;
  const isSmooth = drawing.smoothing > 0;
  const axis = {
    stroke: colourOf("soft"),
    grid: { stroke: colourOf("grid"), width: 1 },
    ticks: { show: false },
  };
  const series = lines.map((line) => seriesOf(line, isSmooth ? 0.25 : 1));
  const smooth = isSmooth ? lines.map((line) => seriesOf(line, 1)) : [];
  const banded = lines.filter(({ band }) => band !== undefined);
  const edge: uPlot.Series = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true };
  const bands = banded.map(({ colour }, i): uPlot.Band => {
    const upper = 1 + series.length + smooth.length + 2 * i;
    return { series: [upper, upper + 1], fill: `${colourOf(`c${colour}`)}26` };
  });
  return {
    width: Math.max(width, 50),
    height,
    legend: { show: false },
    cursor: { sync: { key: "run", scales: ["x", null] }, points: { size: 6 }, drag: { x: true, y: false } },
    scales: { x: { time: false }, y: isLog ? { distr: 3 } : { range: rangeWith(marks) } },
    axes: [
      {
        ...axis,
        size: 28,
        values: (_, ticks) => (drawing.over === "seconds" ? ticks.map(formatDuration) : textsOf(ticks)),
      },
      // as wide as its longest text, each of whose characters has 7 pixels
      {
        ...axis,
        size: (_, texts) => Math.max(56, 7 * widest(texts) + 8),
        values: (_, ticks) => textsOf(ticks),
      },
    ],
    series: [{}, ...series, ...smooth, ...banded.flatMap(() => [edge, edge])],
    bands,
    hooks: {
      draw: [(made) => drawMarks(made, marks)],
      setScale: [(made, key) => key === "x" && noteZoom(made)],
      setCursor: [(made) => showValues(made, props)],
    },
  };
}

/** Texts of ticks. A logarithmic axis has null for those that stand too near to others. */
function textsOf(ticks: readonly (number | null)[]): string[] {
  const texts = tickTexts(ticks.filter((tick) => tick !== null));
  return ticks.map((tick) => (tick === null ? "" : (texts.shift() ?? "")));
}

/** Characters of the longest text; before there are any, none. */
function widest(texts: readonly string[] | null): number {
  return Math.max(0, ...(texts ?? []).map(({ length }) => length));
}

/** What y reaches over: the values, and what they are to be read against. */
function rangeWith(marks: NonNullable<ChartProps["marks"]>): uPlot.Range.Function {
  return (_, low, high) => {
    const reached = [low, high, ...marks.map(({ value }) => value)].filter(Number.isFinite);
    return uPlot.rangeNum(Math.min(...reached), Math.max(...reached), 0.1, true);
  };
}

function seriesOf({ colour, isEval }: Line, alpha: number): uPlot.Series {
  return {
    stroke: colourOf(`c${colour}`),
    width: isEval ? 1.6 : 2,
    alpha,
    spanGaps: true,
    ...(isEval ? { dash: [5, 4] } : {}),
    points: { show: isEval, size: 5, fill: colourOf("card") },
  };
}

/** Where a point stands: no step or token is any other, so they are not shortened. */
function xText(value: number, over: Drawing["over"]): string {
  if (over === "seconds") return formatDuration(value);
  return over === "epoch" ? numberText(value) : String(value);
}

/** The charts beside this one show the same part; all of it is shown when all of it was chosen. */
function noteZoom(made: uPlot): void {
  const { min, max } = made.scales["x"] ?? {};
  const x = made.data[0];
  if (typeof min !== "number" || typeof max !== "number") return;
  const before = zoom.peek();
  // it follows, maybe with all of its points in the part
  if (before?.min === min && before.max === max) return;
  const [first, last] = [x[0] ?? min, x.at(-1) ?? max];
  // as the picture finds it itself; a drag that happens to have all of its points is a part
  const isAll = first === last ? min <= first && max >= last : min === first && max === last;
  // of the first drawing, and of new points while all of x is shown
  if ((isAll && before === null) || made.status === 0) return;
  zoom.value = isAll ? null : { min, max };
}

function drawMarks(made: uPlot, marks: NonNullable<ChartProps["marks"]>): void {
  const { ctx, bbox } = made;
  for (const { value, name } of marks) {
    const y = made.valToPos(value, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) continue;
    ctx.save();
    ctx.strokeStyle = colourOf("note-line");
    ctx.fillStyle = colourOf("soft");
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.textAlign = "right";
    ctx.fillText(name, bbox.left + bbox.width - 4, y - 4 * devicePixelRatio);
    ctx.restore();
  }
}

/** The values under the pointer, in the place that the stylesheet keeps for them. */
function showValues(made: uPlot, { lines, drawing }: ChartProps): void {
  const { idx } = made.cursor;
  const box = made.root.querySelector<HTMLElement>(".values") ?? addValues(made);
  if (idx === null || idx === undefined) {
    box.textContent = "";
    return;
  }
  const x = made.data[0][idx];
  const parts = lines.flatMap((line, i) => {
    const value = made.data[i + 1]?.[idx];
    return typeof value === "number"
      ? [`${lines.length > 1 ? `${keyOf(line)} ` : ""}${numberText(value)}`]
      : [];
  });
  box.textContent = x === undefined ? "" : `${xText(x, drawing.over)}: ${parts.join(", ")}`;
}

function addValues(made: uPlot): HTMLElement {
  const box = document.createElement("div");
  box.className = "values";
  made.root.append(box);
  return box;
}

/** The picture in words. */
function summaryOf({ title, unit, lines }: ChartProps): string {
  const parts = lines.map((line) => {
    const { value } = line.curve;
    return `${keyOf(line)} from ${numberText(value[0] ?? null)} to ${numberText(value.at(-1) ?? null)}`;
  });
  return `${title}${unit === "" ? "" : ` in ${unit}`}: ${parts.join("; ")}`;
}

/** Most rows of the table; a file has all. */
const mostRows = 200;

function NumberTable({ title, lines, drawing }: ChartProps): JSX.Element {
  const [x, ...ys] = aligned(lines.map(({ curve }) => pointsOver(curve, drawing)));
  const from = Math.max(0, x.length - mostRows);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by the keyboard
    <section class="scroll numbers" tabIndex={0} aria-label={`Numbers of ${title}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">{drawing.over}</th>
            {lines.map((line) => (
              <th key={keyOf(line)} scope="col" class="number">
                {keyOf(line)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {x.slice(from).map((place, i) => (
            <tr key={place}>
              <th scope="row">{xText(place, drawing.over)}</th>
              {ys.map((y, n) => (
                <td key={keyOf(at(lines, n))} class="number">
                  {numberText(y[from + i] ?? null)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {from > 0 && (
        <p class="soft">
          The last {mostRows} of {x.length} points; the file has all.
        </p>
      )}
    </section>
  );
}
