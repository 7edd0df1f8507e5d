// The best cascade of up to three drafts: the twin of cscalc.optimal_config's proof of optimality.
//
// Grammar: each reviewer is served by each cheaper model at most once, from dear to cheap. A model
// that serves drafts alone, or, unless it is one-shot, reviews its own drafts for a number of
// rounds or until a cumulative threshold; at most `depth` reviews stand inside one another.
// Lengths, rounds and thresholds are at most `longest`.
//
// Method (Dinkelbach): a cascade beats the EWIF r if and only if E[T] - r E[C] > 0 for it, so
// branch and bound maximises that, r rises to what it finds, and when nothing is found r is the
// maximum. A partial cascade is dropped if even a policy that may choose what remains anew at each
// call, by the lengths so far, cannot bring it above zero.
import { cycleLaw } from "./kernel.mjs";
import { EPS, TINY, cheapestLater, draftCost, freeWorth, stoppedFreely, targetTables } from "./bounds.mjs";
import { ALONE, ROUNDS, emitted, emptyNode, roomOf, stops, typesOf2 } from "./calls.mjs";

const SLACK = 1e-10; // relative EWIF by which a cascade must be better to be looked for
const TIE = 5e-10; // relative EWIF within which the shorter cascade is shown

// Best cascade of the drafts in `models` (dear to cheap): {drafts, law, proved, steps}. known:
// cascades to start from; steps: partial cascades to look at, under a million a second, before
// the search ends unproved
export function bestCascade(profile, models, { longest = 32, depth = 2, known = [], steps = 1.5e6 } = {}) {
  const work = { left: steps };
  let best = { drafts: [], law: cycleLaw([], profile) };
  const offer = (drafts) => {
    const law = cycleLaw(drafts, profile);
    if (law.ewif > best.law.ewif * (1 + 1e-13)) best = { drafts, law };
    return law.ewif;
  };
  if (!models.length) return { ...best, proved: true, steps: 0 };
  const slots = slotsOf(profile, models, longest);
  for (let model = 1; model <= 3; model++) { // one draft alone: a first EWIF to beat
    if (!slots.usable[model]) continue;
    const most = Math.min(slots.longest[0][model], slots.caps[0]);
    for (let length = 1; length <= most; length++) offer([{ draft: slots.models[model], length }]);
  }
  known.forEach(offer);
  for (let round = 0; round < 50; round++) { // in practice two to four
    const found = maximise(slots, longest, depth, best.law.ewif, work);
    if (!found) break;
    const before = best.law.ewif;
    offer(decode(found, slots.models));
    if (best.law.ewif <= before || work.left < 0) break;
  }
  return { ...shortened(best, profile), proved: work.left >= 0, steps: steps - work.left };
}

// The same within TIE, its numbers as small and its segments as few as that permits
function shortened(best, profile) {
  const floor = best.law.ewif * (1 - TIE);
  let drafts = structuredClone(best.drafts);
  const holds = () => valid(drafts) && cycleLaw(drafts, profile).ewif >= floor;
  const visit = (segments) => {
    for (let i = segments.length - 1; i >= 0; i--) {
      const [segment] = segments.splice(i, 1);
      if (holds()) continue;
      segments.splice(i, 0, segment);
      if (segment.review) visit(segment.drafts);
      const key = segment.draft ? "length" : segment.rounds ? "rounds" : "until";
      while (segment[key] > 1) {
        segment[key] -= 1;
        if (holds()) continue;
        segment[key] += 1;
        break;
      }
    }
  };
  visit(drafts);
  return { drafts, law: cycleLaw(drafts, profile) };
}

// Whether every review has drafts, and every `until` could still make a call
function valid(segments) {
  let least = 0;
  return segments.every((segment) => {
    if (segment.review && !(segment.drafts.length && valid(segment.drafts))) return false;
    if (segment.until && segment.until <= least) return false;
    least = segment.until ?? least + (segment.length ?? segment.rounds);
    return true;
  });
}

// The profile's drafts in slots 1, 2, 3; the cheapest always in slot 3, whose draft is exact
function slotsOf(profile, models, longest) {
  const place = { 1: [0, 0, 0, models[0]], 2: [0, models[0], 0, models[1]], 3: [0, ...models] }[models.length];
  const most = Math.max(128, 4 * longest); // longest draft that a reviewer may hold
  const alphas = place.map((i) => place.map((j) => (i < j ? profile.alphas[i][j] : 0)));
  // a one-shot draft that is reviewed free of charge: no longer than can matter
  const enough = (i, j) => {
    if (!profile.oneShot[place[j]] || profile.verify[place[i]] || alphas[i][j] === 1) return longest;
    const last = alphas[i][j] ? Math.ceil(Math.log(SLACK / 2) / Math.log(alphas[i][j])) : 1;
    return Math.min(longest, Math.max(1, last));
  };
  const usable = place.map((model, slot) => slot === 0 || model > 0);
  const caps = place.map((model) => Math.min(most, (profile.verify[model]?.length ?? Infinity) - 2));
  return {
    models: place,
    usable,
    longest: place.map((_, i) => place.map((_, j) => enough(i, j))), // by reviewer and model
    caps,
    alphas,
    costs: place.map((model) => profile.costs[model]),
    oneShot: place.map((model) => Boolean(profile.oneShot[model])),
    flat: !profile.verify[0],
    curves: place.map((model) => Float64Array.from({ length: most + 2 }, (_, m) => profile.verify[model]?.[m] ?? 1)),
  };
}

function decode(code, place) {
  const segment = (slot, [kind, value], drafts) => {
    if (!kind) return [];
    if (kind === ALONE) return [{ draft: place[slot], length: value }];
    return [{ review: place[slot], drafts, ...(kind === ROUNDS ? { rounds: value } : { until: value }) }];
  };
  const cheap = (length) => (length ? [{ draft: place[3], length }] : []);
  const inside = [...segment(2, code.inner, cheap(code.inner[2])), ...cheap(code.first[2])];
  return [...segment(1, code.first, inside), ...segment(2, code.second, cheap(code.second[2])), ...cheap(code.last)];
}

// Code of the cascade with the largest E[T] - rate E[C] > 0, or null
function maximise(slots, longest, depth, rate, work) {
  const { alphas, caps, usable, oneShot, curves, costs } = slots;
  const types = depth > 0 ? typesOf2(slots) : [null];
  const targets = targetTables(slots, types, rate);
  const cap = caps[0];
  const ones = new Float64Array(cap + 4).fill(1);
  const calls = types.map((type) => ({ ...type, alpha: alphas[0][2] })); // to the target
  const state = { best: SLACK * rate, code: null, work, room: roomOf(cap), after: emptyNode(cap), ones, longest, calls };
  const none = { first: [0, 0, 0], inner: [0, 0, 0] };
  complete(slots, types, targets, emptyNode(cap), none, rate, state);
  if (!usable[1]) return state.code;
  let [gain, kept] = [0, 1];
  for (let k = 1; k <= Math.min(slots.longest[0][1], cap); k++) { // model 1 alone
    kept *= alphas[0][1];
    gain += kept;
    const cost = draftCost(slots, 1, k);
    if (1 + gain - rate * cost + targets.after1[k] <= state.best) continue;
    const node = drafted(emptyNode(cap), emptyNode(cap), k, kept, gain, cost);
    complete(slots, types, targets, node, { ...none, first: [ALONE, k, 0] }, rate, state);
  }
  if (depth < 1 || oneShot[1] || cap < 2 || caps[1] < 1) return state.code;
  const innerCap = Math.min(caps[1], cap - 1);
  const { worth, after3, value } = freeWorth(slots, types, targets, depth > 1, rate, innerCap);
  if (1 + value <= state.best) return state.code;
  const step = new Float64Array(innerCap + 4);
  let [high, low] = [worth[1], worth[1]];
  for (let i = 1; i <= innerCap; i++) {
    step[i] = worth[i + 1] - worth[i];
    [high, low] = [Math.max(high, worth[i + 1]), Math.min(low, worth[i + 1])];
  }
  const base = 1 + worth[1];
  const leastPass = rate * costs[1] * cheapestLater(curves[1], innerCap)[0];
  const [empty, outer] = [emptyNode(cap), roomOf(cap)];
  for (const [inner, node2] of innerNodes()) {
    if (work.left < 0) return state.code;
    let bound = base + node2.gain - rate * node2.cost;
    for (let m = 0; m <= node2.top; m++) if (node2.reached[m] > 0) bound += node2.reached[m] * after3[m];
    if (bound <= state.best) continue;
    let innerGain = node2.gain;
    for (let k = 0; k <= (usable[3] ? Math.min(slots.longest[1][3], innerCap - node2.most) : 0); k++) {
      let passCost = 0;
      const factor = alphas[1][3] ** k;
      for (let m = 0; m <= node2.top; m++) {
        if (node2.reached[m] <= 0) continue;
        passCost += node2.reached[m] * curves[1][m + k + 1];
        if (k) innerGain += node2.alive[m] * factor * step[m + k];
      }
      const cost = node2.cost + draftCost(slots, 3, k) + costs[1] * passCost;
      if (base + innerGain - rate * cost <= state.best || (!inner[0] && k === 0)) continue;
      work.left -= 20;
      const call = { law: emitted(alphas, types, node2, inner, k), most: node2.most + k + 1, alpha: alphas[0][1], cost };
      if (1 + stoppedFreely(slots, call, targets, rate) <= state.best) continue;
      const floor = state.best - 1 + rate * targets.cheapest[1];
      const limits = { room: outer, step: ones, rest: targets.rests[0], floor, rate, longest, cap };
      stops(empty, call, limits, (node, kind, n) => {
        let hope = 1 + node.gain - rate * node.cost;
        for (let m = 0; m <= node.top; m++) hope += node.reached[m] * targets.after1[m];
        if (hope > state.best) complete(slots, types, targets, node, { first: [kind, n, k], inner }, rate, state);
      });
    }
  }
  return state.code;

  // What model 2 may do inside model 1's review: nothing, draft alone, or review tokens of 3
  function* innerNodes() {
    const start = emptyNode(innerCap);
    yield [[0, 0, 0], start];
    if (!usable[2]) return;
    let [gain, kept] = [0, 1];
    for (let s = 1; s <= Math.min(slots.longest[1][2], innerCap); s++) {
      kept *= alphas[1][2];
      gain += kept * step[s];
      yield [[ALONE, s, 0], drafted(start, emptyNode(innerCap), s, kept, gain, draftCost(slots, 2, s))];
    }
    const room = roomOf(innerCap);
    for (let k = 1; depth > 1 && k < types.length; k++) {
      const floor = state.best - base + leastPass;
      const limits = { room, step, rest: high - low, floor, rate, longest, cap: innerCap };
      const nodes = [];
      stops(start, { ...types[k], alpha: alphas[1][2] }, limits, (node, kind, n) => {
        nodes.push([[kind, n, k], { ...node, reached: node.reached.slice(), alive: node.alive.slice() }]);
      });
      yield* nodes;
    }
  }
}

// Write the draft `node` with k unreviewed tokens behind it, accepted with chance `kept`, to `into`
function drafted(node, into, k, kept, gain, cost) {
  for (let m = 0; m < k; m++) into.reached[m] = into.alive[m] = 0;
  for (let m = 0; m <= node.top; m++) {
    into.reached[m + k] = node.reached[m];
    into.alive[m + k] = node.alive[m] * kept;
  }
  return Object.assign(into, { top: node.top + k, least: node.least + k, most: node.most + k, gain, cost });
}

// Best value over all that may follow model 1's segment
function complete(slots, types, targets, node, code, rate, state) {
  const { alphas, usable, caps } = slots;
  const { after2, byType, rests, cheapest } = targets;
  const { reached, alive, top, least, most, gain, cost } = node;
  const [cap, rest] = [caps[0], rests[1]];
  if (most > cap || state.work.left < 0) return;
  const leastPass = rate * cheapest[least];
  lastDraft(slots, targets, node, code, 0, 0, 0, rate, state);
  if (!usable[2]) return;
  let [kept, more, left] = [1, gain, 0];
  for (let m = 0; m <= top; m++) left += alive[m];
  for (let k = 1; k <= Math.min(slots.longest[0][2], cap - most); k++) {
    kept *= alphas[0][2];
    more += left * kept;
    const spend = cost + draftCost(slots, 2, k);
    if (1 + gain + left * rest - rate * spend - leastPass <= state.best) break; // longer ones cost no less
    let bound = 1 + more - rate * spend;
    for (let m = 0; m <= top; m++) if (reached[m] > 0) bound += reached[m] * after2[m][k];
    if (bound <= state.best) continue;
    const after = drafted(node, state.after, k, kept, more, spend);
    lastDraft(slots, targets, after, code, ALONE, k, 0, rate, state);
  }
  const limits = { room: state.room, step: state.ones, rest, floor: 0, rate, longest: state.longest, cap };
  for (let k = 1; k < types.length; k++) {
    let bound = 1 + gain - rate * cost;
    for (let m = 0; m <= top; m++) if (reached[m] > 0) bound += reached[m] * Math.max(byType[k][m], after2[m][0]);
    if (bound <= state.best) continue;
    limits.floor = state.best - 1 + leastPass;
    stops(node, state.calls[k], limits, (after, kind, n) => {
      lastDraft(slots, targets, after, code, kind, n, k, rate, state);
    });
  }
}

// Best value over the length of model 3's draft, none included; exact
function lastDraft(slots, targets, node, code, kind, n, k2, rate, state) {
  const { alphas, curves, caps, usable, flat } = slots;
  const { reached, alive, top, most, cost } = node;
  const { cheapest, rests } = targets;
  state.work.left -= 1;
  let [gain, kept, leastPass] = [node.gain, 0, 0];
  for (let m = 0; m <= top; m++) {
    kept += alive[m];
    if (reached[m] > 0) leastPass += reached[m] * cheapest[m];
  }
  const longest = usable[3] ? Math.min(slots.longest[0][3], caps[0] - most) : 0;
  for (let k = 0; k <= longest; k++) {
    if (k) {
      kept *= alphas[0][3];
      gain += kept;
    }
    const spend = cost + draftCost(slots, 3, k);
    if (1 + gain + kept * rests[2] - rate * (spend + leastPass) <= state.best) return; // nor any longer one
    let passCost = 1;
    if (!flat) {
      passCost = 0;
      for (let m = 0; m <= top; m++) if (reached[m] > 0) passCost += reached[m] * curves[0][m + k + 1];
    }
    const now = 1 + gain - rate * (spend + passCost);
    if (now > state.best + EPS) Object.assign(state, { best: now, code: { ...code, second: [kind, n, k2], last: k } });
    if (kept < TINY) return;
  }
}
