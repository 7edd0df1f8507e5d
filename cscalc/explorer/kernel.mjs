// Exact law of one cycle, closed forms and effective bounds: the twin of cscalc.theory.
//
// A profile here is {alphas, costs, oneShot, verify}, each indexed by model, 0 the target:
// alphas[i][j] the acceptance rate of model j's tokens when model i reviews, costs[j] one pass
// in target passes, oneShot[j] whether a call is one pass, verify[i] null (always 1) or the
// cost of a pass over m = 0, 1, 2, ... positions in model i's own passes.
// A cascade is the list that Cascade.to_dict writes as "drafts":
// {draft, length, until?} or {review, drafts, rounds | until}.

export const modelOf = (segment) => segment.draft ?? segment.review;

// 1 + r + ... + r^(terms - 1), accurate up to and at r = 1; gap = 1 - r
export function geometricSumGap(gap, terms) {
  if (gap <= 0) return terms;
  if (gap >= 1) return Math.min(terms, 1);
  return -Math.expm1(terms * Math.log1p(-gap)) / gap;
}

export const geometricSum = (ratio, terms) => geometricSumGap(1 - ratio, terms);

// Most tokens that these segments can put in front of their reviewer
export function maxLength(drafts) {
  let most = 0;
  for (const segment of drafts) {
    const call = segment.draft ? segment.length : maxLength(segment.drafts) + 1;
    if (segment.until) most = Math.max(most, segment.until - 1 + call);
    else most += call * (segment.rounds ?? 1);
  }
  return most;
}

// Law of one cycle: {pmf, passes, costs, tokens, cost, ewif}; see cscalc.cycle_law
export function cycleLaw(drafts, profile) {
  const law = review(0, drafts, profile);
  const tokens = law.pmf.reduce((sum, p, i) => sum + p * i, 0);
  const cost = law.costs.reduce((sum, c) => sum + c, 0);
  return { ...law, tokens, cost, ewif: tokens / cost };
}

// What one call of a segment adds: {pmf (index = tokens), passes, costs (by model)}
function call(segment, profile) {
  if (segment.review) return review(segment.review, segment.drafts, profile);
  const [model, n] = [segment.draft, profile.costs.length];
  const [pmf, passes, costs] = [new Array(segment.length + 1).fill(0), zeros(n), zeros(n)];
  pmf[segment.length] = 1;
  passes[model] = profile.oneShot[model] ? 1 : segment.length;
  costs[model] = passes[model] * profile.costs[model];
  return { pmf, passes, costs };
}

// One pass of `model` over what `drafts` propose. Two weights run over the draft length l: W(l),
// that l is reached, and A(l), that it is reached with every token so far accepted.
function review(model, drafts, profile) {
  const most = maxLength(drafts);
  const n = profile.costs.length;
  const [reached, alive, pmf] = [zeros(most + 2), zeros(most + 2), zeros(most + 2)];
  const [passes, costs] = [zeros(n), zeros(n)];
  reached[0] = alive[0] = 1;
  let top = 0;
  for (const segment of drafts) {
    const alpha = profile.alphas[model][modelOf(segment)];
    const one = call(segment, profile);
    const longest = one.pmf.length - 1;
    const above = zeros(longest + 1); // P(a call adds more than i tokens)
    for (let i = longest - 1; i >= 0; i--) above[i] = above[i + 1] + one.pmf[i + 1];
    const spend = (weight) => {
      for (let m = 0; m < n; m++) {
        passes[m] += weight * one.passes[m];
        costs[m] += weight * one.costs[m];
      }
    };
    const moveFrom = (start) => {
      const weight = reached[start];
      let kept = alive[start];
      reached[start] = alive[start] = 0;
      for (let j = 0; j < longest; j++) {
        pmf[start + j + 1] += kept * above[j] * (1 - alpha); // token j is the first to fail
        kept *= alpha;
        reached[start + j + 1] += weight * one.pmf[j + 1];
        alive[start + j + 1] += kept * one.pmf[j + 1];
      }
    };
    if (segment.until) {
      for (let start = 0; start < segment.until; start++) {
        if (reached[start] > 0) {
          spend(reached[start]);
          moveFrom(start);
        }
      }
      top = Math.max(top, segment.until - 1 + longest);
    } else {
      const rounds = segment.rounds ?? 1;
      for (let round = 0; round < rounds; round++) {
        for (let start = top; start >= 0; start--) if (reached[start] > 0) moveFrom(start);
        top += longest;
      }
      spend(rounds);
    }
  }
  for (let l = 0; l <= most; l++) {
    pmf[l + 1] += alive[l]; // all accepted: the bonus token
    costs[model] += reached[l] * profile.costs[model] * verifyCost(profile, model, l + 1);
  }
  passes[model] += 1;
  return { pmf, passes, costs };
}

// V(m) of a model, in its own passes
export function verifyCost(profile, model, positions) {
  const curve = profile.verify[model];
  if (!curve) return 1;
  if (positions >= curve.length) {
    throw new RangeError(`verify of model ${model} is known up to ${curve.length - 1} positions`);
  }
  return curve[positions];
}

const zeros = (size) => new Array(size).fill(0);

// EWIF of one draft of `length` tokens: Leviathan et al., ICML 2023, arXiv:2211.17192, Thm 3.8
export const speculativeEwif = (alpha, cost, length) =>
  geometricSum(alpha, length + 1) / (1 + length * cost);

// d1 reviews `length` tokens of d2 in each of `rounds` rounds: CS Drafting (Chen et al., NeurIPS
// 2024, arXiv:2312.11462), Thm 4.3
export function verticalTokens(alpha, inner, rounds, length) {
  const kept = geometricSum(alpha * inner, length + 1);
  return 1 + alpha * kept * geometricSumGap(Math.min((1 - alpha) * kept, 1), rounds);
}

export function verticalEwif(alpha, costD1, inner, costD2, rounds, length, oneShot = false) {
  const round = costD1 + (oneShot ? Math.min(length, 1) : length) * costD2;
  return verticalTokens(alpha, inner, rounds, length) / (1 + rounds * round);
}

// Segments in a row, each [alpha, cost, length, oneShot]: CS Drafting, Thm 4.5
export function horizontalEwif(segments) {
  let [tokens, reach, time] = [1, 1, 1];
  for (const [alpha, cost, length, oneShot] of segments) {
    tokens += reach * alpha * geometricSum(alpha, length);
    reach *= alpha ** length;
    time += cost * (oneShot ? Math.min(length, 1) : length);
  }
  return tokens / time;
}

// Draft length with the largest speculativeEwif; the smallest on a tie
export function optimalLength(alpha, cost, longest) {
  let best = 0;
  for (let length = 0; length < longest; length++) {
    const endless = (cost === 0 && alpha > 0) || (alpha === 1 && cost < 1);
    const gain = alpha ** (length + 1) * (1 + length * cost);
    if (!endless && gain <= cost * geometricSum(alpha, length + 1) * (1 + 1e-12)) break;
    best = length + 1;
  }
  return best;
}

// Largest cost of d1 at which a cascade of d1 and d2 is no slower than d2 alone: CAS-Spec (Ning et
// al., NeurIPS 2025, arXiv:2510.26843), Eq. 3. kind: "vertical" or "horizontal"; d2 drafts at most
// `longest` tokens. Return {cost, passes, length, alone, ewif}; see cscalc.effective_bound.
export function effectiveBound(kind, alpha, cheap, cost, { inner = cheap, oneShot = false, longest }) {
  const vertical = kind === "vertical";
  const drafted = (length) => geometricSum(cheap, length + 1) / (1 + cost);
  let alone = oneShot ? longest * (drafted(longest) > 1) : optimalLength(cheap, cost, longest);
  const rival = oneShot ? Math.max(drafted(longest), 1) : speculativeEwif(cheap, cost, alone);
  const last = oneShot ? longest : lastLength(alpha, vertical ? alpha * inner : cheap, cost * rival, longest);
  const found = { cost: 0, passes: 0, length: 0, alone, ewif: rival };
  const first = vertical ? 1 : 0;
  for (let length = first; length <= last; length++) {
    if (oneShot && length > 0 && length < longest) continue; // more tokens cost nothing
    const time = cost * (oneShot ? Math.min(length, 1) : length);
    let start, step, gap, goal = rival; // T(n) = start + step (1 + r + ... + r^(n - 1)), r = 1 - gap
    if (vertical) {
      const kept = geometricSum(alpha * inner, length + 1);
      [start, step, gap] = [1, alpha * kept, Math.min((1 - alpha) * kept, 1)];
    } else {
      const tail = cheap * geometricSum(cheap, length);
      [start, step, gap] = [1 + tail, alpha - tail * (1 - alpha), 1 - alpha];
      goal = rival * (1 + time);
    }
    const passes = bestCount(start, step, gap, goal);
    const tokens = start + step * geometricSumGap(gap, passes);
    const bound = (tokens - goal) / (rival * passes) - (vertical ? time : 0);
    const ahead = bound - found.cost;
    if (ahead > 1e-14 || (ahead > -1e-14 && passes < found.passes)) {
      Object.assign(found, { cost: bound, passes, length });
    }
  }
  return found;
}

// Last length k whose own token is reached with probability first * ratio^k >= worth
function lastLength(first, ratio, worth, longest) {
  const rare = Math.max(worth, 1e-18);
  if (!(first > rare) || ratio <= 0) return 1;
  if (ratio >= 1) return longest;
  return Math.min(Math.max(Math.ceil(Math.log(rare / first) / Math.log(ratio)), 1), longest);
}

// n >= 1 with the largest (T(n) - goal) / n, which has one peak
function bestCount(start, step, gap, goal, most = 1 << 20) {
  const pays = (count) => {
    const sums = geometricSumGap(gap, count);
    return step > 0 && count * step * (1 - gap * sums) > start + step * sums - goal + 1e-14 * goal;
  };
  let [low, high] = [1, 1];
  while (high < most && pays(high)) [low, high] = [high + 1, Math.min(2 * high, most)];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (pays(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
