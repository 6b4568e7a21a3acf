// Asks Prometheus, where this page lies, and draws what it says. No library, no build step.
const AGAIN = 10_000; // ms
const POINTS = 120;
// Okabe and Ito's palette, which the colour-blind can tell apart.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#b8a800"];
// [{what: a title, unit: how a number is written, ask: [[query, name of its line: words, of which a label's name becomes its value]]}]
const PANELS = await (await fetch("panels.json")).json();

const formats = {
  number: (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value >= 10 ? value.toFixed(0) : value.toFixed(2).replace(/\.?0+$/, "")),
  seconds: (value) => (value >= 1 ? `${value.toFixed(1)} s` : `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`),
  bytes: (value) => (value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${(value / 2 ** 20).toFixed(0)} MiB`),
};

async function ask(path, parameters) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const said = await answer.json();
  if (said.status !== "success") throw new Error(said.error);
  return said.data;
}

// [{name, points: [[time, value], …]}] of a panel.
async function lines(panel, span) {
  const end = Math.floor(Date.now() / 1000);
  const step = Math.max(5, Math.ceil(span / POINTS));
  const found = await Promise.all(panel.ask.map(async ([query, name]) => {
    const data = await ask("query_range", { query, start: end - span, end, step });
    return data.result.map((line) => ({ name: named(name, line.metric), points: line.values.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value)) }));
  }));
  return found.flat().filter((line) => line.points.length).sort((a, b) => a.name.localeCompare(b.name));
}

function named(name, metric) {
  const words = name.split(" ");
  return words.map((word) => metric[word] ?? word).join(" ");
}

// Each line on top of those before it.
function stacked(found) {
  const base = new Map();
  return found.map((line) => ({
    ...line,
    points: line.points.map(([at, value]) => {
      base.set(at, (base.get(at) ?? 0) + value);
      return [at, base.get(at), base.get(at) - value];
    }),
  }));
}

const svg = (name, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

function draw(panel, found, span) {
  const [width, height, left] = [400, 130, 46];
  const drawn = panel.stack ? stacked(found) : found;
  const top = Math.max(1e-9, ...drawn.flatMap((line) => line.points.map(([, value]) => value))) * 1.05;
  const end = Date.now() / 1000;
  const x = (at) => left + ((at - (end - span)) / span) * (width - left);
  const y = (value) => height - 14 - (value / top) * (height - 22);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": panel.what });
  for (const share of [0, 0.5, 1]) {
    picture.append(svg("line", { class: "grid", x1: left, x2: width, y1: y(top * share), y2: y(top * share) }));
    picture.append(svg("text", { x: left - 4, y: y(top * share) + 4, "text-anchor": "end" }, formats[panel.unit](top * share)));
  }
  drawn.forEach((line, number) => {
    const colour = COLOURS[number % COLOURS.length];
    const upper = line.points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    if (panel.stack) {
      const lower = line.points.map(([at, , below]) => `${x(at).toFixed(1)},${y(below).toFixed(1)}`).reverse();
      picture.append(svg("polygon", { points: [...upper, ...lower].join(" "), fill: colour, "fill-opacity": 0.75 }));
    } else {
      picture.append(svg("polyline", { points: upper.join(" "), fill: "none", stroke: colour, "stroke-width": 1.6, "vector-effect": "non-scaling-stroke" }));
    }
  });
  return picture;
}

function show(panel, found, span) {
  const figure = panel.figure ?? document.createElement("figure");
  figure.dataset.panel = panel.what;
  const caption = document.createElement("figcaption");
  caption.textContent = panel.what;
  figure.replaceChildren(caption);
  if (found.length) {
    const legend = document.createElement("ul");
    found.forEach((line, number) => {
      const item = document.createElement("li");
      const key = document.createElement("i");
      key.style.background = COLOURS[number % COLOURS.length];
      const value = document.createElement("span");
      value.textContent = ` ${formats[panel.unit](line.points.at(-1)[1])}`;
      item.append(key, line.name, value);
      legend.append(item);
    });
    figure.append(draw(panel, found, span), legend);
  } else {
    const nothing = document.createElement("p");
    nothing.className = "empty";
    nothing.textContent = "nothing in this time";
    figure.append(nothing);
  }
  if (!panel.figure) document.querySelector("#panels").append(figure);
  panel.figure = figure;
}

async function alerts() {
  const firing = (await ask("alerts", {})).alerts.filter((alert) => alert.state === "firing");
  const lines = firing.map((alert) => {
    const line = document.createElement("p");
    const runbook = document.createElement("code");
    runbook.textContent = alert.annotations.runbook;
    line.append(`${alert.labels.alertname}: ${alert.annotations.summary}. `, runbook);
    return line;
  });
  if (!lines.length) {
    const none = document.createElement("p");
    none.className = "none";
    none.textContent = "No alert.";
    lines.push(none);
  }
  document.querySelector("#alerts").replaceChildren(...lines);
}

async function refresh() {
  const state = document.querySelector("#state");
  const span = Number(document.querySelector("#span").value);
  try {
    const found = await Promise.all([alerts(), ...PANELS.map((panel) => lines(panel, span))]);
    PANELS.forEach((panel, number) => show(panel, found[number + 1], span));
    state.textContent = `as of ${new Date().toLocaleTimeString()}, again every ${AGAIN / 1000} s`;
  } catch (error) {
    state.textContent = `Prometheus does not answer (${error.message}); trying again`;
  }
}

document.querySelector("#span").addEventListener("change", refresh);
await refresh();
setInterval(refresh, AGAIN);
