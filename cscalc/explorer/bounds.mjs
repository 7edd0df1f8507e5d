// What the rest of a cascade can be worth at most, for search.mjs: the twin of
// cscalc._search_bounds. m1, m2 count the tokens of models 1 and 2 in front of the target, so the
// chance that all of them are accepted is a1^m1 a2^m2.

export const EPS = 1e-11; // tokens: a smaller advantage is rounding
export const TINY = 1e-16; // chances below this are dropped
const LOW = -1e300;

// 1, base, base^2, ...
export function powers(base, size) {
  const out = new Float64Array(size).fill(1);
  for (let i = 1; i < size; i++) out[i] = out[i - 1] * base;
  return out;
}

// Cost of `length` unreviewed tokens
export const draftCost = (slots, model, length) =>
  slots.costs[model] * (slots.oneShot[model] ? Math.min(length, 1) : length);

// Least V(m' + 1) over m' >= m
export function cheapestLater(curve, cap) {
  const out = new Float64Array(cap + 2).fill(Infinity);
  for (let m = cap; m >= 0; m--) out[m] = Math.min(out[m + 1], curve[m + 1]);
  return out;
}

// Upper bounds on what follows model 1's segment, given m1 tokens of it.
// after2[m1][m2]: model 3 alone, or stop: exact. byType[k][m1]: a review by 2 of k tokens of 3,
// stopped at the best moment, then after2. after1[m1]: best of these, of model 2 alone, and of
// neither. small: m1 from which on no call can pay. rests: most tokens that can follow, if
// everything before is accepted: of models 1 to 3, 2 to 3, and of 3. cheapest[m]: least V(m' + 1).
export function targetTables(slots, types, rate) {
  const { alphas, costs, curves, caps, usable, longest } = slots;
  const cap = caps[0];
  const rests = [1, 2, 3].map((first) => {
    const rates = [1, 2, 3].filter((j) => j >= first && usable[j]).map((j) => alphas[0][j]);
    const most = Math.max(0, ...rates);
    return most < 1 ? Math.min(cap, most / (1 - most)) : cap;
  });
  const rest = rests[0];
  const cheapest = cheapestLater(curves[0], cap);
  let rises = true;
  for (let m = 0; m < cap; m++) rises &&= curves[0][m + 1] <= curves[0][m + 2];
  let leastCost = Infinity;
  for (let j = 1; j < 4; j++) {
    if (usable[j]) leastCost = Math.min(leastCost, costs[j] * cheapestLater(curves[j], caps[j])[0]);
  }
  const [over1, over2] = [powers(alphas[0][1], cap + 1), powers(alphas[0][2], cap + 1)];
  const after2 = [];
  for (let m1 = 0; m1 <= cap; m1++) {
    const row = new Float64Array(cap + 1).fill(LOW);
    for (let m2 = 0; m2 <= cap - m1; m2++) {
      const [y, m] = [over1[m1] * over2[m2], m1 + m2];
      if (rises && y * rest <= rate * leastCost) {
        row[m2] = -rate * curves[0][m + 1]; // no call can pay
        continue;
      }
      if (y * rest <= 0.1 * EPS) {
        row[m2] = y * rest - rate * cheapest[m];
        continue;
      }
      let [best, gain, kept] = [-rate * curves[0][m + 1], 0, y];
      for (let k = 1; usable[3] && k <= Math.min(longest[0][3], cap - m); k++) {
        kept *= alphas[0][3];
        gain += kept;
        best = Math.max(best, gain - rate * (draftCost(slots, 3, k) + curves[0][m + k + 1]));
        if (kept < TINY) break;
      }
      row[m2] = best;
    }
    after2.push(row);
  }
  const little = Math.max(rises ? rate * leastCost : 0, 0.1 * EPS);
  let small = cap;
  while (small > 0 && over1[small] * rest <= little) small--;
  small = Math.min(cap, small + 1);
  const byType = types.map(() => new Float64Array(cap + 1).fill(LOW));
  const after1 = new Float64Array(cap + 1);
  const line = new Float64Array(cap + 1);
  for (let m1 = 0; m1 <= cap; m1++) {
    let best = after2[m1][0];
    if (m1 < small && usable[2]) {
      let [gain, kept] = [0, over1[m1]];
      for (let k = 1; k <= Math.min(longest[0][2], cap - m1); k++) {
        kept *= alphas[0][2];
        gain += kept;
        best = Math.max(best, gain - rate * draftCost(slots, 2, k) + after2[m1][k]);
      }
      for (let k = 1; k < types.length; k++) {
        const { law, cost } = types[k];
        let [call, above, reach] = [0, 1, 1];
        for (let i = 1; i <= k + 1; i++) {
          reach *= alphas[0][2];
          call += reach * above;
          above -= law[i];
        }
        for (let m2 = cap - m1; m2 >= 0; m2--) {
          const y = over1[m1] * over2[m2];
          line[m2] = after2[m1][m2];
          if (m1 + m2 + k + 1 > cap || y * rest <= 0.1 * EPS) continue;
          if (y * rest - rate * cost - rate * cheapest[m1 + m2] <= line[m2]) continue;
          let now = y * call - rate * cost;
          for (let i = 1; i <= k + 1; i++) now += law[i] * line[m2 + i];
          line[m2] = Math.max(line[m2], now);
        }
        byType[k][m1] = line[0];
        best = Math.max(best, line[0]);
      }
    }
    after1[m1] = best;
  }
  return { after2, byType, after1, small, rests, cheapest };
}

// Best E[worth(tokens emitted)] - rate E[cost] of one round of reviewer 1, model 2 free to stop at
// the best moment. after3[m2] is filled with the exact best continuation by model 3 alone.
function innerBounds(slots, types, cap, deep, rate, worth, after3) {
  const { alphas, costs, curves, usable, longest } = slots;
  const top = new Float64Array(cap + 3).fill(LOW);
  for (let i = cap + 1; i > 0; i--) top[i] = Math.max(top[i + 1], worth[i]);
  const cheapest = cheapestLater(curves[1], cap);
  const over = powers(alphas[1][2], cap + 2);
  for (let m = cap; m >= 0; m--) {
    let best = m ? -rate * costs[1] * curves[1][m + 1] : LOW;
    let [gain, kept] = [0, over[m]];
    for (let k = 1; usable[3] && k <= Math.min(longest[1][3], cap - m); k++) {
      kept *= alphas[1][3];
      gain += kept * (worth[m + k + 1] - worth[m + k]);
      best = Math.max(best, gain - rate * (draftCost(slots, 3, k) + costs[1] * curves[1][m + k + 1]));
      if (kept < TINY) break;
    }
    after3[m] = best;
  }
  let best = after3[0];
  if (!usable[2]) return worth[1] + best;
  let gain = 0;
  for (let k = 1; k <= Math.min(longest[1][2], cap); k++) {
    gain += over[k] * (worth[k + 1] - worth[k]);
    best = Math.max(best, gain - rate * draftCost(slots, 2, k) + after3[k]);
  }
  const line = new Float64Array(cap + 2);
  for (let k = 1; deep && k < types.length; k++) {
    const { law, cost } = types[k];
    for (let m = cap; m >= 0; m--) {
      line[m] = after3[m];
      if (m + k + 1 > cap || over[m] < TINY) continue;
      const hope = over[m] * Math.max(0, top[m + 1] - worth[m + 1]) - rate * (cost + costs[1] * cheapest[m]);
      if (hope <= line[m]) continue;
      let [now, above, kept] = [-rate * cost, 1, over[m]];
      for (let i = 1; i <= k + 1; i++) {
        kept *= alphas[1][2];
        now += kept * above * (worth[m + i + 1] - worth[m + i]) + law[i] * line[m + i];
        above -= law[i];
      }
      line[m] = Math.max(line[m], now);
    }
    best = Math.max(best, line[0]);
  }
  return worth[1] + best;
}

// worth: of the tokens that a first round of model 1 emits, with the value-to-go of a policy free
// to choose each call's type and the moment to stop; value: the bound on all that
export function freeWorth(slots, types, targets, deep, rate, innerCap) {
  const { alphas, caps } = slots;
  const { after1, small } = targets;
  const cap = caps[0];
  const over = powers(alphas[0][1], cap + 2);
  const free = new Float64Array(cap + 2).fill(LOW);
  const [worth, after3] = [new Float64Array(innerCap + 3), new Float64Array(innerCap + 3)];
  let value = LOW;
  for (let m1 = cap; m1 >= 0; m1--) {
    free[m1] = after1[m1];
    const longest = Math.min(caps[1], cap - m1 - 1);
    if ((m1 >= small && m1 > 0) || longest < 1) continue;
    let gain = 0;
    for (let i = 1; i <= longest + 1; i++) {
      gain += over[m1 + i];
      worth[i] = gain + free[m1 + i];
    }
    value = innerBounds(slots, types, longest, deep, rate, worth, after3);
    free[m1] = Math.max(free[m1], value);
  }
  return { worth, after3, value };
}

// Bound on cascades that begin with rounds of one type, stopped at the best moment
export function stoppedFreely(slots, { law, most, cost }, targets, rate) {
  const cap = slots.caps[0];
  const end = law.length - 1;
  const over = powers(slots.alphas[0][1], cap + 2);
  const toGo = targets.after1.slice();
  let [single, above] = [0, 1];
  for (let i = 1; i <= end; i++) {
    single += over[i] * above;
    above -= law[i];
  }
  for (let m = Math.min(targets.small, cap); m >= 0; m--) {
    if (m + most > cap) continue;
    let now = over[m] * single - rate * cost;
    for (let i = 1; i <= end; i++) now += law[i] * toGo[m + i];
    toGo[m] = Math.max(toGo[m], now);
  }
  return toGo[0];
}
