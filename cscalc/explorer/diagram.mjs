// The cascade as a picture: one row a segment, who drafts, who reviews, how many tokens.
import { maxLength } from "./kernel.mjs";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, INDENT, CHIP] = [330, 20, 13];
const [LOW_ROW, HIGH_ROW] = [30, 44]; // without chips, with chips
const LETTER = 6.1; // mean width of one
const MOST = 16; // chips drawn; more are told in words

function element(name, attributes, text = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

const clipped = (name) => (name.length > 18 ? `${name.slice(0, 17)}…` : name);

const tokens = (count) => `${count} token${count === 1 ? "" : "s"}`;

// Rows of text, outer before inner: {level, model, says, chips, cheap}
export function rowsOf(drafts, profile) {
  const most = maxLength(drafts);
  const verifies = most ? `verifies up to ${tokens(most)} in one pass` : "decodes alone, one token a pass";
  const rows = [{ level: 0, model: 0, says: verifies, chips: [] }];
  const visit = (segments, level) => {
    for (const one of segments) {
      if (one.draft) {
        const passes = profile.oneShot[one.draft] ? " in one pass" : one.length > 1 ? " one by one" : "";
        const chips = new Array(one.length).fill(one.draft);
        rows.push({ level, model: one.draft, says: `drafts ${tokens(one.length)}${passes}`, chips });
        continue;
      }
      const stop = one.until
        ? `until ${tokens(one.until)} stand${one.until === 1 ? "s" : ""}`
        : one.rounds === 1 ? "once" : `${one.rounds} times`;
      rows.push({ level, model: one.review, says: `reviews ${stop}`, chips: [] });
      visit(one.drafts, level + 1);
    }
  };
  visit(drafts, 1);
  return rows;
}

export function drawCascade(holder, drafts, profile, names) {
  const rows = rowsOf(drafts, profile);
  let height = 0;
  const tops = rows.map((row) => {
    height += row.chips.length ? HIGH_ROW : LOW_ROW;
    return height - (row.chips.length ? HIGH_ROW : LOW_ROW);
  });
  const ends = rows.map((row) => row.level * INDENT + 24 + LETTER * (clipped(names[row.model]).length + row.says.length + 1));
  const svg = element("svg", { viewBox: `0 0 ${Math.ceil(Math.max(WIDTH, ...ends))} ${height}`, role: "img", class: "cascade" });
  const told = rows.map((row) => `${names[row.model]} ${row.says}`).join("; ");
  svg.append(element("title", {}, told));
  const last = []; // row of the last segment at each level, for the lines that join them
  rows.forEach((row, i) => {
    const [x, y] = [row.level * INDENT + 8, tops[i] + 15];
    if (row.level) {
      const from = tops[last[row.level - 1]] + 24;
      svg.append(element("path", { d: `M${x - INDENT} ${from}V${y}H${x - 8}`, class: "join" }));
    }
    last[row.level] = i;
    svg.append(element("circle", { cx: x, cy: y, r: 7, class: `m${row.model}` }));
    const text = element("text", { x: x + 14, y: y + 4 });
    const bold = document.createElementNS(SVG, "tspan");
    bold.setAttribute("class", "name");
    bold.textContent = clipped(names[row.model]);
    text.append(bold, ` ${row.says}`);
    svg.append(text);
    row.chips.slice(0, MOST).forEach((model, j) => {
      const at = { x: x + 14 + j * (CHIP + 2), y: y + 11, width: CHIP, height: CHIP - 2, rx: 3 };
      svg.append(element("rect", { ...at, class: `m${model}` }));
    });
    if (row.chips.length > MOST) {
      const at = { x: x + 18 + MOST * (CHIP + 2), y: y + 21, class: "more" };
      svg.append(element("text", at, `+${row.chips.length - MOST}`));
    }
  });
  holder.replaceChildren(svg);
}
