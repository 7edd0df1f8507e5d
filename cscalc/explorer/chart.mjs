// Line charts with uPlot (https://github.com/leeoniya/uPlot, MIT), in the page's colours.
/* global uPlot */

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const STYLES = { 12: "dashed", 8: "dashed", 2: "dotted" }; // of the legend, by a line's first dash

// A chart in `holder`; draw({x, series: [{label, values, colour, dash}], point}) fills it
export function lineChart(holder, { xLabel, yLabel, height = 260 }) {
  let [chart, shape, given] = [null, "", null];

  function build({ series, point }) {
    chart?.destroy();
    const axis = (label) => ({
      label, labelSize: 22, labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif",
      stroke: colour("--text"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") },
    });
    const lines = series.map((one) => ({
      label: one.label, stroke: colour(one.colour), width: 2, dash: one.dash, points: { show: false },
      value: (_, value) => (value === null || value === undefined ? "–" : value.toFixed(3)),
    }));
    const options = {
      width: holder.clientWidth, height,
      scales: { x: { time: false, range: (_, low, high) => [low, high] } },
      axes: [{ ...axis(xLabel), size: 34 }, { ...axis(yLabel), size: 48 }],
      series: [{ label: xLabel, value: (_, value) => (value === null ? "–" : String(Number(value?.toFixed(3)))) }, ...lines],
      legend: { markers: { width: 2, dash: (_, i) => STYLES[series[i - 1]?.dash?.[0]] ?? "solid" } },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      hooks: { draw: [(self) => point && mark(self, given.point)] },
    };
    chart = new uPlot(options, data(given), holder);
  }

  const data = ({ x, series }) => [x, ...series.map((one) => one.values)];

  function mark(self, { x, y }) {
    const [left, top] = [self.valToPos(x, "x", true), self.valToPos(y, "y", true)];
    const { ctx } = self;
    ctx.save();
    ctx.beginPath();
    ctx.arc(left, top, 6 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.fillStyle = colour("--point");
    ctx.strokeStyle = colour("--card");
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.fill();
    ctx.stroke();
    ctx.restore();
  }

  function draw(now) {
    given = now;
    const wanted = JSON.stringify([now.series.map(({ label, colour: name, dash }) => [label, name, dash]), Boolean(now.point)]);
    if (!chart || wanted !== shape) build(now);
    else chart.setData(data(now));
    shape = wanted;
  }

  new ResizeObserver(() => {
    if (chart && holder.clientWidth && holder.clientWidth !== chart.width) chart.setSize({ width: holder.clientWidth, height });
  }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => given && build(given));
  return draw;
}
