/**
 * chart.ts: draws the comparison as an SVG by Vega-Lite, which is fetched from npm when it is first
 * used.
 *
 * @module
 */

/** One bar. */
export interface Bar {
  readonly what: string;
  readonly peer: string;
  /** Ours over theirs. */
  readonly ratio: number;
  readonly wanted: number;
}

const VEGA = "npm:vega@6.2.0";
const VEGA_LITE = "npm:vega-lite@6.4.1";
const WIDTH = 560;

interface Vega {
  parse(spec: unknown): unknown;
  View: new (runtime: unknown, options: unknown) => { toSVG(): Promise<string> };
}

interface VegaLite {
  compile(spec: unknown): { spec: unknown };
}

/** The bars: how many times as fast as each peer, on a logarithmic scale. */
export async function drawChart(
  bars: readonly Bar[],
  subtitle: readonly string[],
): Promise<string> {
  // By variables, so that checking the types does not fetch them.
  const vega: Vega = await import(VEGA);
  const vegaLite: VegaLite = await import(VEGA_LITE);
  const values = bars.map(({ what, peer, ratio, wanted }, order) => ({
    order,
    label: `${what}, beside ${peer}`,
    ratio,
    wanted,
    text: `${ratio.toFixed(2)} ×`,
    // Beside the bar, whichever way it goes.
    textAt: Math.max(ratio, 1),
    side: ratio >= 1 ? "faster than the peer" : "slower than the peer",
  }));
  const x = {
    field: "ratio",
    type: "quantitative",
    scale: { type: "log", domain: [0.5, 50], nice: false },
    title: "times as fast as the peer (logarithmic)",
  };
  const y = {
    field: "label",
    type: "nominal",
    sort: { field: "order" },
    title: null,
    axis: { labelLimit: 600 },
  };
  const color = {
    field: "side",
    type: "nominal",
    title: null,
    scale: {
      domain: ["faster than the peer", "slower than the peer"],
      range: ["#2a7f62", "#c08a3e"],
    },
    legend: { orient: "top", labelLimit: 300 },
  };
  const { spec } = vegaLite.compile({
    width: WIDTH,
    height: { step: 26 },
    background: "white",
    padding: 12,
    title: {
      text: "deno-aio beside its peers: IOs a second, ours over theirs",
      subtitle,
      anchor: "start",
    },
    data: { values },
    encoding: { y },
    layer: [
      { mark: { type: "rule", color: "#888" }, encoding: { x: { datum: 1 }, y: null } },
      { mark: { type: "bar", height: 14 }, encoding: { x, x2: { datum: 1 }, color } },
      {
        mark: { type: "tick", color: "black", thickness: 2, size: 20 },
        encoding: { x: { ...x, field: "wanted" } },
      },
      {
        mark: { type: "text", align: "left", dx: 6 },
        encoding: { x: { ...x, field: "textAt" }, text: { field: "text" } },
      },
    ],
  });
  return await new vega.View(vega.parse(spec), { renderer: "none" }).toSVG();
}
