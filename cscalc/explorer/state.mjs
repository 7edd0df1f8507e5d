// The page's state, and the link that holds it: plain numbers after the # of the address.

export const DEFAULT = {
  on: [true, true, true],
  alphas: [0.8, 0.55, 0.25, 0.6, 0.3, 0.35], // by target, by draft 1 of 2 and 3, by draft 2 of 3
  costs: [0.2, 0.05, 0.0005],
  oneShot: [false, false, true],
  step: 0, // V(2) - V(1)
  slope: 0, // V(m + 1) - V(m), m >= 2
  draftsPay: false, // whether drafts that review pay step and slope too
  tables: { 0: [], 1: [], 2: [] }, // measured V(1), V(2), ... by reviewer; empty: step and slope
  longest: 32,
  depth: 2,
  pair: [1, 3],
  names: ["target", "draft 1", "draft 2", "draft 3"],
};

export const PRESETS = [
  { title: "Two models and an n-gram lookup (the default)", state: {} },
  {
    title: "T5-XXL with T5-large and T5-small, T = 0 (Leviathan et al. 2023, Table 2)",
    state: {
      on: [true, true, false], alphas: [0.82, 0.75, 0.25, 0.75, 0.3, 0.35], costs: [0.11, 0.02, 0.0005],
      pair: [1, 2], names: ["T5-XXL", "T5-large", "T5-small", "draft 3"],
    },
  },
  {
    title: "Vicuna-7B with SWIFT and prompt lookup (Ning et al. 2025, Figure 1b)",
    state: {
      on: [true, false, true], alphas: [0.8, 0.55, 0.3, 0.6, 0.3, 0.35], costs: [0.586, 0.05, 0.01],
      oneShot: [false, false, false], names: ["Vicuna-7B", "SWIFT", "draft 2", "prompt lookup"],
    },
  },
  { title: "The default where verifying costs: V(2) = 1.4, then .02 a position", state: { step: 0.4, slope: 0.02 } },
];

export const withDefaults = (some) => ({ ...structuredClone(DEFAULT), ...structuredClone(some) });

const LIMITS = { rate: [0, 1], cost: [0, 10], verify: [0, 100], longest: [1, 64], depth: [0, 2] };
const NAME = 60; // characters

// Why `value` cannot be used, one sentence; empty if it can
export function problem(kind, value, what) {
  const [least, most] = LIMITS[kind];
  const whole = kind === "longest" || kind === "depth";
  if (Number.isFinite(value) && value >= least && value <= most && (!whole || Number.isInteger(value))) return "";
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
  return `${what} must be a ${whole ? "whole " : ""}number from ${least} to ${most}, got ${inBrief(shown)}.`;
}

const inBrief = (text) => (text.length > 30 ? `${text.slice(0, 30)}…` : text);

// Measured V(1), V(2), ... from text; throws a sentence
export function readTable(text, what) {
  if (!text.trim()) return [];
  const values = text.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (!values.every((value) => Number.isFinite(value) && value > 0 && value <= 1000)) {
    throw new Error(`${what} must be positive numbers such as 1, 1.4, 1.5, got ${inBrief(JSON.stringify(text))}.`);
  }
  if (Math.abs(values[0] - 1) > 1e-9) {
    throw new Error(`${what} must start with 1, the cost of one position, got ${values[0]}: divide all of it by its first value.`);
  }
  if (values.length > 512) throw new Error(`${what} must have at most 512 values, got ${values.length}.`);
  return values;
}

export function toHash(state) {
  const flags = (values) => values.map((value) => (value ? "1" : "0")).join("");
  const fields = new URLSearchParams({
    on: flags(state.on), a: state.alphas.join(), c: state.costs.join(), shot: flags(state.oneShot),
    step: state.step, slope: state.slope, dv: flags([state.draftsPay]), L: state.longest,
    depth: state.depth, pair: state.pair.join(""),
  });
  for (const model of [0, 1, 2]) if (state.tables[model].length) fields.set(`V${model}`, state.tables[model].join());
  state.names.forEach((name, model) => {
    if (name !== DEFAULT.names[model]) fields.set(`n${model}`, name);
  });
  return `#${fields}`.replaceAll("%2C", ",");
}

// The state of a link; a field that is not there has its default. Throws a sentence.
export function fromHash(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const state = structuredClone(DEFAULT);
  const numbers = (key, kind, count, what) => {
    const values = fields.get(key).split(",").map((part) => (part.trim() ? Number(part) : NaN));
    if (values.length !== count) throw new Error(`${what} must be ${count} numbers, got ${values.length}.`);
    for (const value of values) {
      const why = problem(kind, value, what);
      if (why) throw new Error(why);
    }
    return values;
  };
  const flags = (key, count, what) => {
    const text = fields.get(key);
    if (!new RegExp(`^[01]{${count}}$`).test(text)) {
      throw new Error(`${what} must be ${count} of the digits 0 and 1, got ${inBrief(JSON.stringify(text))}.`);
    }
    return [...text].map((digit) => digit === "1");
  };
  const read = {
    on: () => { state.on = flags("on", 3, "Drafts in use (on)"); },
    a: () => { state.alphas = numbers("a", "rate", 6, "Acceptance rates (a)"); },
    c: () => { state.costs = numbers("c", "cost", 3, "Costs (c)"); },
    shot: () => { state.oneShot = flags("shot", 3, "One-shot drafts (shot)"); },
    step: () => { [state.step] = numbers("step", "verify", 1, "Verification step (step)"); },
    slope: () => { [state.slope] = numbers("slope", "verify", 1, "Verification slope (slope)"); },
    dv: () => { [state.draftsPay] = flags("dv", 1, "Whether drafts pay for verifying (dv)"); },
    L: () => { [state.longest] = numbers("L", "longest", 1, "Longest draft (L)"); },
    depth: () => { [state.depth] = numbers("depth", "depth", 1, "Depth of reviews (depth)"); },
    pair: () => {
      const text = fields.get("pair");
      if (!["12", "13", "23"].includes(text)) {
        throw new Error(`The pair of the charts (pair) must be 12, 13 or 23, got ${inBrief(JSON.stringify(text))}.`);
      }
      state.pair = [...text].map(Number);
    },
  };
  for (const model of [0, 1, 2]) {
    read[`V${model}`] = () => {
      state.tables[model] = readTable(fields.get(`V${model}`), `Measured verification cost (V${model})`);
    };
  }
  for (const model of [0, 1, 2, 3]) {
    read[`n${model}`] = () => { state.names[model] = fields.get(`n${model}`).slice(0, NAME); };
  }
  for (const key of new Set(fields.keys())) {
    if (!Object.hasOwn(read, key)) throw new Error(`The link holds the unknown field ${inBrief(JSON.stringify(key))}.`);
    read[key]();
  }
  return state;
}

// The same choice with the library, as Python code
export function pythonCode(state) {
  const models = [1, 2, 3].filter((model) => state.on[model - 1]);
  if (!models.length) return "from cscalc import optimal_config\n\nplan = optimal_config([], [])";
  const [a01, a02, a03, a12, a13, a23] = state.alphas;
  const alphas = [[1, a01, a02, a03], [0, 1, a12, a13], [0, 0, 1, a23], [0, 0, 0, 1]];
  const all = [0, ...models];
  const rows = all.map((i) => `    [${all.map((j) => alphas[i][j]).join(", ")}],`);
  const shots = models.flatMap((model, i) => (state.oneShot[model - 1] ? [i + 1] : []));
  const lines = ["from cscalc import optimal_config", ""];
  const curves = [];
  const free = state.step === 0 && state.slope === 0;
  const formula = all.some((model) => pays(state, model) && !state.tables[model]?.length);
  if (!free && formula) {
    lines.push("def verify(m):", `    return 1.0 if m < 2 else 1.0 + ${state.step} + ${state.slope} * (m - 2)`, "");
  }
  all.forEach((model, i) => {
    if (model > 0 && state.oneShot[model - 1]) return;
    if (state.tables[model]?.length) curves.push(`${i}: [${state.tables[model].join(", ")}]`);
    else if (!free && pays(state, model)) curves.push(`${i}: verify`);
  });
  lines.push("alphas = [", ...rows, "]", "plan = optimal_config(", "    alphas,");
  lines.push(`    [${models.map((model) => state.costs[model - 1]).join(", ")}],`);
  if (shots.length) lines.push(`    one_shot=(${shots.join(", ")},),`);
  if (curves.length) lines.push(`    verify={${curves.join(", ")}},`);
  lines.push(`    max_length=${state.longest},`, `    max_depth=${state.depth},`, ")", "print(plan.explain())");
  return lines.join("\n");
}

// Whether step and slope hold for a reviewer
const pays = (state, model) => model === 0 || (state.draftsPay && model < 3 && !state.oneShot[model - 1]);
