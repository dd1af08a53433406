"use strict";
/* Draws the charts from the page's data. Everything it shows also stands in the tables. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const light = { paper: "#ffffff", ink: "#1b2230", soft: "#556074", line: "#e3e7ee", good: "#137a43", bad: "#c2252b", unsure: "#8a5a00", calm: "#2b5fb4", fault: "#d97706" };
  const night = { paper: "#181e28", ink: "#e7ebf2", soft: "#a3aec0", line: "#2c3544", good: "#5fd08f", bad: "#ff8a84", unsure: "#f1bd57", calm: "#8db8ff", fault: "#f0a040" };
  let printing = false;
  const colour = (name) => (dark.matches && !printing ? night : light)[name];
  const font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
  const moments = ["before", "during", "after"];
  const narrow = () => innerWidth <= 700;
  const charts = [];
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

  const trim = (value, digits) => String(Number(value.toPrecision(digits)));
  function amount(value, unit) {
    if (unit === "ms") return Math.abs(value) >= 1000 ? trim(value / 1000, 3) + " s" : trim(value, 3) + " ms";
    if (unit === "%") return trim(value, 3) + "%";
    return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : trim(value, 4);
  }
  function time(at) {
    if (at < 59.95) return "+" + trim(at, at < 10 ? 2 : 3) + "s";
    const whole = Math.round(at), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return hours ? `+${hours}:${two(minutes)}:${two(whole % 60)}` : `+${minutes}:${two(whole % 60)}`;
  }
  const outcome = (chart, i) => (chart.guard ? ["quiet", "hurt", "unknown"] : ["held", "broke", "unknown"])[chart.o[i]];

  /* Text that stays readable on top of a line. */
  function write(ctx, text, x, y) {
    ctx.save();
    ctx.setLineDash([]);
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * devicePixelRatio;
    ctx.strokeStyle = colour("paper");
    ctx.globalAlpha = 0.85;
    ctx.strokeText(text, x, y);
    ctx.globalAlpha = 1;
    ctx.fillText(text, x, y);
    ctx.restore();
  }

  /* What lies behind the line: the faults in place. */
  function behind(u) {
    const { ctx, bbox } = u, px = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = font.replace("12", 11 * px);
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    data.bands.forEach(([name, start, end], index) => {
      const from = u.valToPos(start, "x", true), to = u.valToPos(end, "x", true);
      ctx.globalAlpha = 0.13;
      ctx.fillStyle = colour("fault");
      ctx.fillRect(from, bbox.top, Math.max(to - from, px), bbox.height);
      ctx.globalAlpha = 0.8;
      ctx.fillRect(from, bbox.top, Math.max(to - from, px), 2.5 * px);
      const left = Math.max(from, bbox.left) + 5 * px, room = Math.min(to, bbox.left + bbox.width) - left;
      let label = name;
      while (label && ctx.measureText(label + "…").width > room) label = label.slice(0, -1);
      if (label.length > 2) {
        ctx.globalAlpha = 1;
        ctx.fillStyle = colour("soft");
        const overlaps = data.bands.slice(0, index).filter((band) => band[2] > start).length;
        ctx.fillText(label === name ? name : label + "…", left, bbox.top + (5 + 14 * overlaps) * px);
      }
    });
    ctx.restore();
  }

  /* What lies before the line: thresholds, stops, and every sample that did not hold. */
  const front = (chart) => (u) => {
    const { ctx, bbox } = u, px = devicePixelRatio;
    const right = bbox.left + bbox.width, bottom = bbox.top + bbox.height;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left - 6 * px, bbox.top, bbox.width + 12 * px, bbox.height + 1);
    ctx.clip();
    ctx.lineWidth = 1.5 * px;
    ctx.font = font.replace("12", 11 * px);
    ctx.textAlign = "right";
    for (const [operator, value] of chart.bounds) {
      const y = u.valToPos(value, "y", true);
      ctx.strokeStyle = ctx.fillStyle = colour("bad");
      ctx.setLineDash([6 * px, 4 * px]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(right, y);
      ctx.stroke();
      const above = y - bbox.top > 18 * px;
      ctx.textBaseline = above ? "bottom" : "top";
      const says = (chart.guard ? "hurts when " : "expected ") + operator + " " + amount(value, chart.unit);
      write(ctx, says, right - 4 * px, y + (above ? -3 : 3) * px);
    }
    ctx.textBaseline = "bottom";
    for (const [at, label] of data.marks) {
      const x = u.valToPos(at, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour("bad");
      ctx.lineWidth = 2 * px;
      ctx.setLineDash([2 * px, 3 * px]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bottom);
      ctx.stroke();
      ctx.textAlign = x - bbox.left > bbox.width / 2 ? "right" : "left";
      write(ctx, narrow() ? label.split(":")[0] : label, x + (ctx.textAlign === "right" ? -5 : 5) * px, bottom - 5 * px);
    }
    ctx.setLineDash([]);
    const size = 4 * px;
    chart.t.forEach((at, i) => {
      const kind = chart.o[i];
      const x = u.valToPos(at, "x", true);
      const y = chart.v[i] === null ? (chart.field ? bottom - size - px : (bbox.top + bottom) / 2) : u.valToPos(chart.v[i], "y", true);
      ctx.lineWidth = 2 * px;
      if (kind === "1") {
        ctx.strokeStyle = colour("bad");
        ctx.beginPath();
        ctx.moveTo(x - size, y - size);
        ctx.lineTo(x + size, y + size);
        ctx.moveTo(x + size, y - size);
        ctx.lineTo(x - size, y + size);
        ctx.stroke();
      } else if (kind === "2") {
        ctx.strokeStyle = colour("unsure");
        ctx.beginPath();
        ctx.moveTo(x, y - size * 1.3);
        ctx.lineTo(x + size * 1.3, y);
        ctx.lineTo(x, y + size * 1.3);
        ctx.lineTo(x - size * 1.3, y);
        ctx.closePath();
        ctx.stroke();
      } else if (!chart.field || chart.t.length < 200) {
        ctx.fillStyle = colour(chart.field ? "calm" : "good");
        ctx.beginPath();
        ctx.arc(x, y, (chart.field ? 2 : 3) * px, 0, 7);
        ctx.fill();
      }
    });
    ctx.restore();
  };

  function range(chart) {
    return (u, low, high) => {
      const values = [low, high, ...chart.bounds.map((bound) => bound[1])].filter((value) => value !== null && isFinite(value));
      if (!chart.field || !values.length) return [0, 1];
      const bottom = Math.min(0, ...values), top = Math.max(...values);
      return [bottom * 1.1, (top > bottom ? top + (top - bottom) * 0.16 : bottom + 1)];
    };
  }

  function readout(chart, box) {
    const idle = charts.length ? "" : "Point at a chart to read a sample; drag to zoom, double-click to go back.";
    box.textContent = idle;
    return (u) => {
      const i = u.cursor.idx;
      box.textContent = idle;
      if (i === null || i === undefined || u.cursor.left < 0) return;
      const value = document.createElement("b");
      value.textContent = chart.v[i] === null ? outcome(chart, i) : `${chart.field} ${amount(chart.v[i], chart.unit)}, ${outcome(chart, i)}`;
      const why = chart.r[i] ? `: ${chart.r[i]}` : "";
      box.replaceChildren(`${time(chart.t[i])}, ${moments[chart.m[i]]}: `, value, why);
    };
  }

  function draw(id, chart) {
    const place = document.getElementById(id);
    const box = document.createElement("p");
    box.className = "readout";
    const height = () => (chart.field ? (narrow() ? 170 : 210) : 92);
    const gutter = () => (narrow() ? 56 : 58);
    const axis = { font, stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    const u = new uPlot({
      width: place.clientWidth, height: height(),
      padding: [6, narrow() ? 6 : 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: Boolean(chart.field) }, sync: { key: "run", setSeries: false }, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (u, low, high) => (u.zoomed ? [low, high] : [0, data.end]) }, y: { range: range(chart) } },
      axes: [
        { ...axis, size: 26, gap: 6, space: 70, incrs: steps, values: (u, ticks) => ticks.map(time), grid: { show: false } },
        { ...axis, size: gutter, gap: 6, show: true, values: (u, ticks) => ticks.map((tick) => (chart.field ? amount(tick, chart.unit) : "")), grid: { ...axis.grid, show: Boolean(chart.field) } },
      ],
      series: [{}, { stroke: () => colour("calm"), width: 1.75, spanGaps: true, points: { show: false }, show: true }],
      hooks: {
        drawClear: [behind],
        draw: [front(chart)],
        setCursor: [readout(chart, box)],
        setSelect: [(u) => { u.zoomed = u.select.width > 0; }],
      },
    }, [chart.t, chart.v], place);
    place.nextElementSibling.append(box);
    u.over.addEventListener("dblclick", () => { u.zoomed = false; u.setScale("x", { min: 0, max: data.end }); });
    new ResizeObserver(() => {
      if (!printing && place.clientWidth && place.clientWidth !== u.width) u.setSize({ width: place.clientWidth, height: height() });
    }).observe(place);
    charts.push(u);
  }

  for (const [id, chart] of Object.entries(data.charts)) draw(id, chart);

  const again = () => charts.forEach((u) => u.redraw(false, true));
  dark.addEventListener("change", again);
  addEventListener("beforeprint", () => {
    printing = true;
    again();
    document.querySelectorAll("details").forEach((details) => { details.dataset.was = details.open; details.open = true; });
  });
  addEventListener("afterprint", () => {
    printing = false;
    again();
    document.querySelectorAll("details").forEach((details) => { details.open = details.dataset.was === "true"; });
  });
})();
