// Laws of reviewed calls and of their stops, for search.mjs: the twin of cscalc._search_types.
// A "type" is one reviewed call: what the reviewer's drafts are, without its stop.
import { TINY, draftCost, powers } from "./bounds.mjs";

export const [ALONE, ROUNDS, UNTIL] = [1, 2, 3];

// A draft of no token: reached[m] = P(length m), alive[m] = P(length m, all accepted), longest
// length with a chance, shortest and longest draft possible, and so far E[reward] and E[cost]
export function emptyNode(cap) {
  const [reached, alive] = [new Float64Array(cap + 3), new Float64Array(cap + 3)];
  reached[0] = alive[0] = 1;
  return { reached, alive, top: 0, least: 0, most: 0, gain: 0, cost: 0 };
}

// Room for the nodes of one level of `stops`
export const roomOf = (cap) => ({ ...emptyNode(cap), above: new Float64Array(cap + 4) });

// Laws (by tokens) and costs of one round in which 2 reviews k tokens of 3
export function typesOf2(slots) {
  const { alphas, costs, curves, caps, oneShot, usable } = slots;
  const count = usable[2] && usable[3] && !oneShot[2] ? Math.min(slots.longest[2][3], caps[2]) : 0;
  const types = [null];
  const kept = powers(alphas[2][3], count + 1);
  for (let k = 1; k <= count; k++) {
    const law = new Float64Array(k + 2);
    for (let i = 1; i <= k; i++) law[i] = kept[i - 1] - kept[i];
    law[k + 1] = kept[k];
    types.push({ law, most: k + 1, cost: costs[2] * curves[2][k + 1] + draftCost(slots, 3, k) });
  }
  return types;
}

// Every number of rounds and every threshold of one type of call after `node`, to
// visit(node, kind, value); that node lives in `room` and changes after the visit.
// step: reward of the i-th accepted token; rest: most that all later rewards can be, given that
// everything was accepted; floor: what a useful prefix must still be able to reach
export function stops(node, call, { room, step, rest, floor, rate, longest, cap }, visit) {
  const { law, most: mostCall, alpha, cost: callCost } = call;
  const { reached, alive, above } = room;
  const size = law.length - 1;
  const width = reached.length;
  above[size + 1] = 0;
  for (let i = size; i > 0; i--) above[i] = above[i + 1] + law[i];
  for (let kind = ROUNDS; kind <= UNTIL; kind++) {
    for (let m = 0; m <= node.top; m++) {
      reached[m] = node.reached[m];
      alive[m] = node.alive[m];
    }
    let { top, gain, cost } = node;
    for (let value = 1; value <= longest; value++) {
      const first = kind === ROUNDS ? 0 : value - 1;
      const last = kind === ROUNDS ? top : value - 1;
      const most = Math.max(node.most, kind === ROUNDS ? node.most + value * mostCall : value - 1 + mostCall);
      if (most > cap) break;
      const newTop = Math.min(width - 1, Math.max(top, last + size));
      for (let m = top + 1; m <= newTop; m++) reached[m] = alive[m] = 0;
      let moved = false;
      for (let start = last; start >= first; start--) {
        const weight = reached[start];
        let kept = alive[start];
        if (weight <= TINY) continue;
        moved = true;
        reached[start] = alive[start] = 0;
        cost += weight * callCost;
        for (let i = 1; i <= size && start + i < width; i++) {
          kept *= alpha;
          reached[start + i] += weight * law[i];
          alive[start + i] += kept * law[i];
          gain += kept * above[i] * step[start + i];
        }
      }
      top = newTop;
      let left = 0;
      for (let m = 0; m <= top; m++) left += alive[m];
      if (gain - rate * cost + left * rest <= floor) break;
      if (!moved || (kind === UNTIL && (value <= node.least || (value === 1 && node.top === 0)))) continue;
      room.top = top;
      room.most = most;
      room.least = kind === ROUNDS ? node.least + value : value;
      room.gain = gain;
      room.cost = cost;
      visit(room, kind, value);
    }
  }
}

// Law of the tokens that a round of model 1 emits: node2 is the draft after model 2's segment
// inside the review, k tokens of model 3 follow
export function emitted(alphas, types, node2, [kind, value, k2], k) {
  const size = node2.most + k + 3;
  const passed = new Float64Array(size + 1); // P(the first i tokens exist and are accepted)
  passed[0] = 1;
  const alpha = alphas[1][2];
  if (kind === ALONE) {
    for (let i = 1; i <= value; i++) passed[i] = alpha ** i;
  } else if (kind) {
    const { law } = types[k2];
    const now = new Float64Array(size + 1);
    now[0] = 1;
    let high = 0;
    for (let call = 0; call < value; call++) {
      const [low, last] = kind === ROUNDS ? [0, high] : [call, call];
      for (let at = last; at >= low; at--) {
        let [kept, above] = [now[at], 1];
        now[at] = 0;
        for (let i = 1; i <= k2 + 1; i++) {
          kept *= alpha;
          if (kept < 1e-18) break;
          now[at + i] += kept * law[i];
          passed[at + i] += kept * above;
          above -= law[i];
        }
      }
      high = Math.max(high, last + k2 + 1);
    }
  }
  for (let m = 0; m <= node2.top; m++) {
    let kept = node2.reached[m] > 0 ? node2.alive[m] : 0;
    for (let i = 1; i <= k; i++) {
      kept *= alphas[1][3];
      if (kept < 1e-18) break;
      passed[m + i] += kept;
    }
  }
  let end = node2.top + k + 1;
  while (end > 1 && passed[end - 1] < TINY) end--;
  const law = new Float64Array(end + 1);
  for (let i = 1; i <= end; i++) law[i] = Math.max(0, passed[i - 1] - (i < end ? passed[i] : 0));
  return law;
}
