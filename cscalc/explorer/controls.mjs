// The form: sliders with number fields, built from a list; it reads and writes the page's state.
import { PRESETS, problem, readTable, withDefaults } from "./state.mjs";
import { short } from "./settings.mjs";

const STEPS = 200; // of a cost slider, logarithmic from 1e-4 to 1; 0 is cost 0

const costAt = (position) => (position ? Number((10 ** (-4 + (4 * position) / STEPS)).toPrecision(3)) : 0);
const positionOf = (cost) =>
  cost > 0 ? Math.round(Math.min(Math.max((STEPS * (Math.log10(cost) + 4)) / 4, 1), STEPS)) : 0;

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(key, "");
    else if (value !== false) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Fill `form`; store: {state}; changed() after each change; complain(sentence) if one is refused
export function buildControls(form, store, changed, complain) {
  const writers = []; // each writes the state to its field
  const refresh = () => writers.forEach((write) => write());
  const apply = (set) => {
    complain("");
    set();
    refresh();
    changed();
  };

  function slider(label, kind, get, set, { id, least = 0, most = 1, step = 0.01 }) {
    const log = kind === "cost";
    const range = make("input", { type: "range", id, ...(log ? { min: 0, max: STEPS, step: 1 } : { min: least, max: most, step }) });
    const number = make("input", { type: "number", min: least, step: "any", "aria-label": `${label}${log ? ", in target passes" : ""}, number`, id: `${id}-number` });
    range.addEventListener("input", () => apply(() => set(log ? costAt(Number(range.value)) : Number(range.value))));
    number.addEventListener("input", () => {
      const value = number.value.trim() === "" ? NaN : Number(number.value);
      const why = problem(kind, value, label);
      number.setAttribute("aria-invalid", String(Boolean(why)));
      if (why) complain(why);
      else apply(() => set(value));
    });
    number.addEventListener("change", refresh);
    writers.push(() => {
      const value = get();
      range.value = String(log ? positionOf(value) : value);
      range.setAttribute("aria-valuetext", short(value));
      if (document.activeElement !== number || Number(number.value) !== value) number.value = String(value);
      number.setAttribute("aria-invalid", "false");
    });
    return make("div", { class: "row" }, make("label", { for: id }, label), range, number);
  }

  function check(label, get, set, id) {
    const box = make("input", { type: "checkbox", id });
    box.addEventListener("change", () => apply(() => set(box.checked)));
    writers.push(() => { box.checked = get(); });
    return make("label", { class: "check", for: id }, box, ` ${label}`);
  }

  function choice(label, options, get, set, id) {
    const select = make("select", { id }, ...options.map(([value, text]) => make("option", { value }, text)));
    select.addEventListener("change", () => apply(() => set(select.value)));
    writers.push(() => { select.value = get(); });
    return make("div", { class: "pick" }, make("label", { for: id }, label), select);
  }

  function text(label, get, set, id, hint = "") {
    const field = make("input", { type: "text", id, placeholder: hint, spellcheck: "false", maxlength: 4000 });
    field.addEventListener("input", () => {
      try {
        const value = field.value;
        set(value);
        field.setAttribute("aria-invalid", "false");
        complain("");
        changed();
      } catch (error) {
        field.setAttribute("aria-invalid", "true");
        complain(error.message);
      }
    });
    writers.push(() => {
      if (document.activeElement === field) return;
      field.value = get();
      field.setAttribute("aria-invalid", "false");
    });
    return make("div", { class: "pick" }, make("label", { for: id }, label), field);
  }

  const state = () => store.state;
  const alpha = (label, index, id) =>
    slider(label, "rate", () => state().alphas[index], (value) => { state().alphas[index] = value; }, { id });

  function draft(model, rates) {
    const body = make("div", { class: "body" },
      text("name", () => state().names[model], (value) => { state().names[model] = value.slice(0, 60) || `draft ${model}`; }, `name${model}`),
      ...rates.map(([label, index, id], reviewer) => {
        const row = alpha(label, index, id);
        if (reviewer) writers.push(() => { row.hidden = !state().on[reviewer - 1]; });
        return row;
      }),
      slider("cost", "cost", () => state().costs[model - 1], (value) => { state().costs[model - 1] = value; }, { id: `cost${model}` }),
      check("one-shot (n-gram lookup)", () => state().oneShot[model - 1], (value) => { state().oneShot[model - 1] = value; }, `shot${model}`));
    const use = check(`Draft ${model}`, () => state().on[model - 1], (value) => { state().on[model - 1] = value; }, `on${model}`);
    use.querySelector("input").after(make("span", { class: `dot m${model}` }));
    writers.push(() => { body.hidden = !state().on[model - 1]; });
    return make("fieldset", {}, make("legend", {}, use), body);
  }

  const table = (model, label) => text(label, () => state().tables[model].join(", "), (value) => {
    state().tables[model] = readTable(value, `Measured cost, ${label},`);
  }, `table${model}`, "1, 1.4, 1.45, 1.5");

  form.append(
    make("fieldset", {}, make("legend", {}, "Start from"),
      choice("example", [["", "– as set below –"], ...PRESETS.map((one, i) => [String(i), one.title])], () => "", (value) => {
        if (value !== "") store.state = withDefaults(PRESETS[Number(value)].state);
      }, "preset")),
    draft(1, [["target accepts", 0, "a01"]]),
    draft(2, [["target accepts", 1, "a02"], ["draft 1 accepts", 3, "a12"]]),
    draft(3, [["target accepts", 2, "a03"], ["draft 1 accepts", 4, "a13"], ["draft 2 accepts", 5, "a23"]]),
    make("fieldset", {}, make("legend", {}, "Verification cost V(m)"),
      slider("step: V(2) − V(1)", "verify", () => state().step, (value) => { state().step = value; }, { id: "step", most: 2, step: 0.05 }),
      slider("slope after that", "verify", () => state().slope, (value) => { state().slope = value; }, { id: "slope", most: 0.2, step: 0.005 }),
      check("drafts that review pay it too", () => state().draftsPay, (value) => { state().draftsPay = value; }, "dv"),
      make("details", {}, make("summary", {}, "Measured instead: V(1), V(2), …"),
        table(0, "target"), table(1, "draft 1"), table(2, "draft 2"))),
    make("fieldset", {}, make("legend", {}, "Search and charts"),
      slider("longest draft", "longest", () => state().longest, (value) => { state().longest = value; }, { id: "longest", least: 1, most: 64, step: 1 }),
      choice("reviews", [["0", "none: drafts in a row"], ["1", "one deep"], ["2", "two deep: nested"]],
        () => String(state().depth), (value) => { state().depth = Number(value); }, "depth"),
      choice("pair in the charts", [["12", "draft 1 and draft 2"], ["13", "draft 1 and draft 3"], ["23", "draft 2 and draft 3"]],
        () => state().pair.join(""), (value) => { state().pair = [...value].map(Number); }, "pair")),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  refresh();
  return refresh;
}
