// The curves of the overview.  Their figures come with the page (#curves-data) and are drawn again when it changes.
"use strict";
(() => {
  const plots = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const soft = (name, share) => `color-mix(in srgb, ${colour(name)} ${share}%, transparent)`;
  const solid = (name) => `color-mix(in srgb, ${colour(name)} 72%, ${colour("card")})`;
  const read = () => JSON.parse(document.getElementById("curves-data").textContent);
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  function length(seconds) {
    if (seconds == null) return "–";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    return seconds < 120 ? `${+seconds.toPrecision(2)} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
  }

  // What the pointer is at, in words.
  function tip(words) {
    let element;
    return { hooks: {
      init: (u) => { element = document.createElement("div"); element.className = "tip"; element.hidden = true; u.over.append(element); },
      setCursor: (u) => {
        const at = u.cursor.idx;
        element.hidden = at == null || u.cursor.left < 0;
        if (element.hidden) return;
        element.textContent = `${clock(u.data[0][at])}  ${words(u, at)}`;
        element.style.left = `${Math.min(u.cursor.left + 12, u.over.clientWidth - element.clientWidth - 4)}px`;
        element.style.top = "4px";
      } } };
  }

  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];
  const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 1000000];

  function axes(values, incrs) {
    const about = { stroke: colour("faint"), font: "11px system-ui", grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    return [
      { ...about, grid: { show: false }, space: 60, size: 26, gap: 6, values: (u, splits) => splits.map(clock) },
      { ...about, size: 50, space: 30, incrs, values: (u, splits) => splits.map(values) },
    ];
  }

  const CURVES = {
    // one on top of the other: all that ended in the colour of failure, what was completed drawn over it
    throughput: {
      data: (d) => [d.at, d.at.map((_, i) => d.completed[i] + d.failed[i]), d.completed],
      series: () => [["failed"], ["completed"]].map(([name]) => ({
        fill: solid(name), stroke: solid(name), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 30], radius: 0.15 }) })),
      axis: (value) => value.toLocaleString(), steps: COUNTS,
      words: (u, at) => `${u.data[2][at]} completed, ${u.data[1][at] - u.data[2][at]} failed`,
    },
    wait: {
      data: (d) => [d.at, d.wait_p95, d.wait_p50],
      series: () => [["awaiting_approval", 10], ["queued", 16]].map(([name, share]) => ({
        stroke: colour(name), width: 1.5, fill: soft(name, share), spanGaps: true, points: { show: false }, paths: uPlot.paths.spline() })),
      axis: length, steps: STEPS,
      words: (u, at) => `half ${length(u.data[2][at])}, 95 % ${length(u.data[1][at])}`,
    },
  };

  function draw(name) {
    const place = document.getElementById(`plot-${name}`), curve = CURVES[name];
    plots.get(name)?.destroy();
    if (!place) return plots.delete(name);
    place.replaceChildren();
    plots.set(name, new uPlot({
      width: place.clientWidth, height: place.clientHeight, padding: [8, 6, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: true }, y: { range: (u, low, high) => [0, Math.max(high * 1.1, name === "wait" ? 0.1 : 4)] } },
      axes: axes(curve.axis, curve.steps), series: [{}, ...curve.series()], plugins: [tip(curve.words)],
    }, curve.data(read()), place));
  }
  const drawAll = () => { if (document.getElementById("curves-data")) Object.keys(CURVES).forEach(draw); };

  drawAll();
  document.addEventListener("taskq:theme", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.addEventListener("htmx:after:swap", () => {
    if (!document.getElementById("curves-data")) return;
    for (const [name, plot] of plots)
      if (plot.root.isConnected) plot.setData(CURVES[name].data(read())); else draw(name);
    if (!plots.size) drawAll();
  });
  new ResizeObserver(() => {
    for (const [name, plot] of plots) {
      const place = document.getElementById(`plot-${name}`);
      if (place && Math.abs(place.clientWidth - plot.width) > 1) plot.setSize({ width: place.clientWidth, height: place.clientHeight });
    }
  }).observe(document.body);
})();
