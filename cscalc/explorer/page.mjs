// The page: state in, numbers, charts and pictures out. The kernel does the mathematics; the search
// for the best cascade runs in a worker, so that nothing waits for it.
/* global curves, bounds, lawIfPossible, pairOf, plan, profileOf */
import { lineChart } from "./chart.mjs";
import { buildControls, make } from "./controls.mjs";
import { drawCascade } from "./diagram.mjs";
import { ENGINES, asText, describe, engineSettings, short } from "./settings.mjs";
import { fromHash, pythonCode, toHash, withDefaults } from "./state.mjs";

const PAUSE = 80; // ms without a change before the search starts
const CHART = 40; // tokens on the axis of the first chart
const TITLES = { transformers: "transformers", vllm: "vLLM", sglang: "SGLang", "llama.cpp": "llama.cpp" };
const byId = (id) => document.getElementById(id);
const start = withDefaults(JSON.parse(byId("start").textContent) ?? {});
const store = { state: structuredClone(start) };
let [drafts, found, engine] = [[], null, "transformers"];

const drawCurves = lineChart(byId("curves"), { xLabel: "tokens in front of the target", yLabel: "EWIF" });
const drawBounds = lineChart(byId("bounds"), { xLabel: "acceptance rate of the first draft", yLabel: "its cost" });

function complain(sentence) {
  byId("problem").textContent = sentence;
  byId("problem").hidden = !sentence;
}

// The last cascade that was found, judged at today's numbers, if it still can be
function shownCascade(profile) {
  const law = lawIfPossible(drafts, store.state, profile);
  if (!law) drafts = [];
  return law ?? lawIfPossible([], store.state, profile);
}

// Whether there is nothing to show but plain decoding, and the search may still find better
const notYetFound = () => !drafts.length && document.documentElement.dataset.search !== "done";

function render() {
  const began = performance.now();
  const { state } = store;
  const { names } = state;
  const profile = profileOf(state);
  const law = shownCascade(profile);
  const unknown = notYetFound();
  for (const [id, value] of [["ewif", law.ewif], ["tokens", law.tokens], ["cost", law.cost]]) {
    byId(id).textContent = unknown ? "–" : short(value);
    byId(id).value = unknown ? "–" : short(value);
  }
  byId("cascade-text").textContent =
    describe(drafts, names) || (unknown ? "searching …" : "plain decoding: no draft pays");
  byId("bar").textContent = unknown ? "searching …" : `EWIF ${short(law.ewif)} = ${short(law.tokens)} tokens / ${short(law.cost)} passes`;
  drawCascade(byId("diagram"), drafts, profile, names);
  byId("diagram").style.visibility = byId("shares").style.visibility = unknown ? "hidden" : "";
  renderShares(law, names);
  if (unknown) byId("shares-text").textContent = "searching …";
  renderCurves(state, profile, unknown ? null : law.ewif, names);
  renderBounds(state, profile, names);
  renderSettings(state, profile, names);
  document.documentElement.dataset.ms = (performance.now() - began).toFixed(1);
}

function renderShares(law, names) {
  const parts = law.costs.map((cost, model) => ({ model, share: cost / law.cost })).filter((one) => one.share > 0);
  byId("shares").replaceChildren(...parts.map(({ model, share }) => {
    const bar = make("span", { class: `m${model}` });
    bar.style.flexGrow = share;
    return bar;
  }));
  const sorted = [...parts].sort((a, b) => b.share - a.share);
  const told = sorted.map(({ model, share }) => `${names[model]} ${(100 * share).toFixed(1)} %`).join(", ");
  byId("shares-text").textContent = `Where a cycle's time goes: ${told}.`;
  byId("shares").setAttribute("aria-label", told);
}

function renderCurves(state, profile, ewif, names) {
  const found = curves(state, profile, Math.min(CHART, Math.max(state.longest, 2)));
  const [dear, cheap] = pairOf(state);
  const series = found.alone.map(({ model, ewif }) => ({ label: `${names[model]} alone`, values: ewif, colour: `--m${model}` }));
  if (found.row) series.push({ label: `${names[dear]}, then ${names[cheap]}`, values: found.row, colour: "--row", dash: [8, 4] });
  if (found.review) series.push({ label: `${names[dear]} reviews ${names[cheap]}`, values: found.review, colour: "--review", dash: [2, 3] });
  series.push({ label: "best cascade", values: found.lengths.map(() => ewif), colour: "--quiet", dash: [12, 6] });
  drawCurves({ x: found.lengths, series });
  const told = series.slice(0, -1).map(({ label, values }) => {
    const best = Math.max(...values);
    return `${label}: at most ${short(best)} with ${values.indexOf(best)} token${values.indexOf(best) === 1 ? "" : "s"}`;
  });
  byId("curves-text").textContent = `${told.join("; ")}. Pairs: the best split or rounds with at most so many tokens.`;
}

function renderBounds(state, profile, names) {
  const found = bounds(state, profile);
  byId("bounds").hidden = !found;
  if (!found) {
    byId("bounds-text").textContent = "Use two drafts to see from which cost on the first no longer pays.";
    return;
  }
  const { here, dear, cheap } = found;
  drawBounds({
    x: found.rates,
    series: [
      { label: "vertical (VC)", values: found.vertical, colour: "--m1" },
      { label: "horizontal (HC)", values: found.horizontal, colour: "--m2", dash: [8, 4] },
      { label: `${names[dear]} now`, values: found.rates.map((_, i) => (i === 0 ? here.cost : null)), colour: "--point" },
    ],
    point: { x: here.alpha, y: here.cost },
  });
  const upTo = (bound) => (bound.cost > 0 ? `pays up to a cost of ${short(bound.cost)}` : "pays at no cost");
  const kinds = [["vertical", here.vertical], ["horizontal", here.horizontal]];
  const pays = kinds.filter(([, bound]) => bound.cost > 0 && here.cost <= bound.cost).map(([kind]) => kind);
  const verdict = pays.length ? `so it pays in a ${pays.join(" and in a ")} cascade` : "so it pays in neither alone (a mix of both may still pay)";
  byId("bounds-text").textContent =
    `With ${names[cheap]} at hand, ${names[dear]} ${upTo(here.vertical)} if it reviews (vertical), and ` +
    `${upTo(here.horizontal)} if it drafts first (horizontal). It costs ${short(here.cost)}, ${verdict}.`;
}

function renderSettings(state, profile, names) {
  if (notYetFound()) {
    byId("settings").textContent = byId("settings").dataset.full = "searching …";
    byId("settings-notes").replaceChildren();
    byId("python").textContent = pythonCode(state);
    return;
  }
  const singles = found ? found.singles.map((one) => one.drafts) : [];
  const others = singles.filter((one) => lawIfPossible(one, state, profile));
  const settings = engineSettings(engine, drafts, others, profile, names);
  byId("settings").textContent = settings.text || "(nothing to set)";
  byId("settings").dataset.full = asText(settings);
  byId("settings-notes").replaceChildren(...settings.notes.map((note) => make("li", {}, note)));
  byId("python").textContent = pythonCode(state);
}

function renderPlan() {
  const { names } = store.state;
  byId("beat").replaceChildren(...found.rows.map((row, i) => {
    const [ewif, tokens, cost] = [row.law.ewif, row.law.tokens, row.law.cost].map((value) => make("td", {}, value.toFixed(4)));
    const words = describe(row.drafts, names) || "plain decoding";
    return make("tr", i ? {} : { class: "best" }, ewif, make("td", { class: "words" }, words), tokens, cost);
  }));
  if (found.verdicts) {
    byId("verdicts").replaceChildren(...found.verdicts.map((one) => make("li", {}, verdictText(one, names))));
  }
  const proofs = {
    true: "Proved: no cascade of this grammar is better (see below).",
    false: "The best found; the proof that nothing is better was cut short.",
  };
  byId("proof").textContent = found.verdicts ? proofs[found.proved] : "Best so far; still searching …";
}

function verdictText({ model, pays, rival, breakEven, anew, cost, use }, names) {
  const shown = (one) => describe(one.drafts, names) || "plain decoding";
  if (!pays && !use) return `${names[model]} does not pay.`;
  if (!pays) return `${names[model]} does not pay: its best use, ${shown(use)}, gives ${short(use.law.ewif)}.`;
  return `${names[model]} pays: without it the best is ${shown(rival)} at EWIF ${short(rival.law.ewif)}; with these ` +
    `lengths unchanged, it pays up to a cost of ${short(breakEven)} (now ${short(cost)})` +
    `${anew === undefined ? "" : `; with the length chosen anew, up to ${short(anew)}`}.`;
}

// The search, in a worker made of the page's own kernel; without workers, in the page
const source = `${byId("engine").textContent}
onmessage = ({ data }) => { postMessage(plan(data, postMessage)); };`;
let [worker, busy, timer, frame] = [null, false, 0, 0];

function search() {
  document.documentElement.dataset.search = "running";
  if (busy) worker?.terminate();
  if (busy || !worker) worker = makeWorker();
  busy = true;
  if (worker) worker.postMessage(store.state);
  else setTimeout(() => receive(plan(store.state)));
}

function makeWorker() {
  try {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const made = new Worker(address);
    URL.revokeObjectURL(address);
    made.onmessage = ({ data }) => receive(data);
    return made;
  } catch {
    return null;
  }
}

function receive(result) {
  found = result;
  const now = lawIfPossible(drafts, store.state, profileOf(store.state));
  if (found.verdicts || !(now?.ewif >= found.best.law.ewif)) drafts = found.best.drafts;
  const done = Boolean(found.verdicts);
  if (done) document.documentElement.dataset.search = "done"; // before it is shown
  render();
  renderPlan();
  if (done) busy = false;
}

function changed() {
  document.documentElement.dataset.search = "waiting";
  byId("proof").textContent = "Searching …";
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(render);
  clearTimeout(timer);
  timer = setTimeout(() => {
    search();
    writeLink();
  }, PAUSE);
}

function writeLink() {
  const hash = toHash(store.state);
  try {
    history.replaceState(null, "", hash);
  } catch { // some browsers refuse this for files: the field below still holds the link
  }
  byId("link").value = location.href.split("#")[0] + hash;
}

function readLink() {
  complain("");
  if (location.hash.length < 2 || location.hash === toHash(store.state)) return;
  try {
    store.state = fromHash(location.hash);
  } catch (error) {
    store.state = structuredClone(start);
    complain(`The link cannot be used, so the page starts as it was made: ${error.message}`);
  }
}

ENGINES.forEach((name, i) => {
  const radio = make("input", { type: "radio", name: "engine", value: name, id: `engine${i}`, checked: i === 0 });
  radio.addEventListener("change", () => {
    engine = name;
    render();
  });
  byId("engines").append(make("label", { for: `engine${i}` }, radio, make("span", {}, TITLES[name])));
});

document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
  const from = byId(button.dataset.copy);
  const text = from.value ?? from.dataset.full ?? from.textContent;
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(text.trimStart());
    button.textContent = "Copied";
  } catch {
    if (from.select) from.select();
    else getSelection().selectAllChildren(from);
    button.textContent = "Selected: copy it now";
  }
  setTimeout(() => { button.textContent = said; }, 1500);
}));

readLink();
const refresh = buildControls(byId("controls"), store, changed, complain);
addEventListener("hashchange", () => {
  readLink();
  refresh();
  changed();
});
render();
search();
byId("link").value = location.href.split("#")[0] + toHash(store.state);
