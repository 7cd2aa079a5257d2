/** How all charts of a screen are drawn: over what, how smooth, on which scale, which part. The address keeps it. */
import type { JSX } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { zoom } from "./curve-chart.tsx";
import type { Drawing, Over } from "./curves.ts";
import { Options } from "./pieces.tsx";
import { place, setQuery } from "./place.ts";

const overs: readonly (readonly [Over, string])[] = [
  ["step", "steps"],
  ["pairs", "pairs"],
  ["tokens", "tokens"],
  ["epoch", "epochs"],
  ["seconds", "time"],
];

/** A part of x. */
interface Range {
  min: number;
  max: number;
}

/** The drawing that the address asks for. @param epochRows - rows of an epoch; null: charts over pairs cannot be drawn */
export function drawingOf(epochRows: number | null): Drawing & { isLog: boolean } {
  const { query } = place.value;
  const asked = overs.find(([over]) => over === query.get("over"))?.[0] ?? "step";
  const smoothing = Number(query.get("smooth") ?? 0);
  return {
    over: asked === "pairs" && epochRows === null ? "step" : asked,
    epochRows,
    smoothing: smoothing > 0 && smoothing < 1 ? smoothing : 0,
    isLog: query.get("log") === "1",
  };
}

/** The fields for it. A part of x is one of these runs, over this: it is left with them. */
export function ChartOptions({
  drawing,
  whole,
}: {
  drawing: Drawing & { isLog: boolean };
  whole: Range;
}): JSX.Element {
  const { over, epochRows, smoothing, isLog } = drawing;
  const shown = overs.filter(([name]) => name !== "pairs" || epochRows !== null);
  // before charts over something else are drawn
  useLayoutEffect(
    () => () => {
      zoom.value = null;
    },
    [over],
  );
  return (
    <div class="bar options">
      <label>
        Over{" "}
        <select
          value={over}
          onChange={(event) =>
            setQuery({ over: event.currentTarget.value === "step" ? "" : event.currentTarget.value })
          }
        >
          <Options of={shown} />
        </select>
      </label>
      <label>
        Smoothing{" "}
        <input
          type="range"
          min="0"
          max="0.98"
          step="0.02"
          value={smoothing}
          onInput={(event) =>
            setQuery({ smooth: event.currentTarget.value === "0" ? "" : event.currentTarget.value })
          }
        />
      </label>
      <label>
        <input
          type="checkbox"
          checked={isLog}
          onChange={(event) => setQuery({ log: event.currentTarget.checked ? "1" : "" })}
        />{" "}
        Logarithmic
      </label>
      <ZoomButtons whole={whole} />
    </div>
  );
}

/** What dragging over a chart does, for fingers and keyboards. */
function ZoomButtons({ whole }: { whole: Range }): JSX.Element {
  const range = zoom.value;
  return (
    <span class="group">
      <button type="button" onClick={() => zoomIn(range ?? whole)}>
        Zoom in
      </button>
      <button type="button" onClick={() => move(-0.5)} disabled={range === null}>
        ‹ Earlier
      </button>
      <button type="button" onClick={() => move(0.5)} disabled={range === null}>
        Later ›
      </button>
      <button type="button" onClick={() => (zoom.value = null)} disabled={range === null}>
        All
      </button>
    </span>
  );
}

/** The later half: what is new is at the end. */
function zoomIn({ min, max }: Range): void {
  zoom.value = { min: (min + max) / 2, max };
}

function move(by: number): void {
  const range = zoom.value;
  if (range === null) return;
  const far = (range.max - range.min) * by;
  zoom.value = { min: range.min + far, max: range.max + far };
}
