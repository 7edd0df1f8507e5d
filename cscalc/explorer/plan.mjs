// What the page computes from its state: profile, curves, bounds, the plan and what it beat.
import { cycleLaw, effectiveBound, modelOf, speculativeEwif, verticalEwif } from "./kernel.mjs";
import { bestCascade } from "./search.mjs";

export const mostTokens = (longest) => Math.max(128, 4 * longest); // in front of one reviewer

// The profile of the kernel; verification costs long enough for every cascade searched
export function profileOf(state) {
  const [a01, a02, a03, a12, a13, a23] = state.alphas;
  const size = mostTokens(state.longest) + 2;
  const formula = (m) => (m < 2 ? m : 1 + state.step + state.slope * (m - 2));
  const free = state.step === 0 && state.slope === 0;
  const curve = (model) => {
    if (state.tables[model]?.length) return [0, ...state.tables[model]];
    if (model === 3 || free || (model > 0 && !state.draftsPay)) return null;
    return Array.from({ length: size }, (_, m) => formula(m));
  };
  return {
    alphas: [[1, a01, a02, a03], [0, 1, a12, a13], [0, 0, 1, a23], [0, 0, 0, 1]],
    costs: [1, ...state.costs],
    oneShot: [false, ...state.oneShot],
    verify: [0, 1, 2, 3].map(curve),
  };
}

export const modelsOf = (state) => [1, 2, 3].filter((model) => state.on[model - 1]);

// The best single draft: the shortest within `tie` of the best EWIF; null if none can be verified
export function bestSingle(profile, model, longest, tie = 1e-7) {
  const room = (profile.verify[0]?.length ?? Infinity) - 2;
  let best = null;
  for (let length = 1; length <= Math.min(longest, room); length++) {
    const one = { drafts: [{ draft: model, length }], law: cycleLaw([{ draft: model, length }], profile) };
    if (!best || one.law.ewif > best.law.ewif) best = one;
  }
  while (best && best.drafts[0].length > 1) {
    const drafts = [{ draft: model, length: best.drafts[0].length - 1 }];
    const law = cycleLaw(drafts, profile);
    if (law.ewif < best.law.ewif * (1 - tie)) break;
    best = { drafts, law };
  }
  return best;
}

// Best cascade of all drafts that are on, of smaller families, and without each draft.
// report(stage) is called with the best so far before the last and longest search.
export function plan(state, report = () => {}) {
  const [profile, models] = [profileOf(state), modelsOf(state)];
  const { longest, depth } = state;
  const singles = models.map((model) => bestSingle(profile, model, longest)).filter(Boolean);
  const plain = { drafts: [], law: cycleLaw([], profile) };
  const known = singles.map((one) => one.drafts);
  const search = (some, most) => {
    const found = bestCascade(profile, some, { longest, depth: most, known: known.filter((one) => fits(one, some, most)) });
    known.push(found.drafts);
    return found;
  };
  const rows = [{ what: "plain decoding", ...plain }];
  singles.forEach((one) => rows.push({ what: "one draft", ...one }));
  if (models.length > 1) rows.push({ what: "drafts in a row", ...search(models, 0) });
  const without = new Map();
  if (models.length > 1) {
    for (const model of models) {
      const found = search(models.filter((one) => one !== model), depth);
      without.set(model, found);
      rows.push({ what: "without", model, ...found });
    }
  } else models.forEach((model) => without.set(model, plain));
  if (models.length > 1 && depth > 1) rows.push({ what: "at most one review deep", ...search(models, 1) });
  const shown = (best) => ({ best, rows: ranked([...rows, { what: "best", ...best }]), singles });
  const first = rows.reduce((a, b) => (b.law.ewif > a.law.ewif ? b : a));
  report(shown({ ...first, proved: false }));
  const best = search(models, depth);
  const verdicts = models.map((model) => verdict(model, best, without.get(model), profile, rows));
  if (models.length === 1 && verdicts[0].pays) verdicts[0].anew = breakEvenAnew(profile, models[0], longest);
  return { ...shown(best), verdicts, proved: best.proved };
}

function fits(drafts, models, depth) {
  return reviewsDeep(drafts) <= depth && modelsIn(drafts).every((model) => models.includes(model));
}

export const modelsIn = (drafts) =>
  [...new Set(drafts.flatMap((one) => [modelOf(one), ...modelsIn(one.drafts ?? [])]))].sort();

export const reviewsDeep = (drafts) =>
  Math.max(0, ...drafts.map((one) => (one.review ? 1 + reviewsDeep(one.drafts) : 0)));

// The law of a cascade found for an earlier state; null if it no longer can be: one of its models
// is off, or a measured verification cost ends before it
export function lawIfPossible(drafts, state, profile) {
  const on = modelsOf(state);
  if (!modelsIn(drafts).every((model) => on.includes(model))) return null;
  if (reviewers(drafts).some((model) => profile.oneShot[model])) return null;
  try {
    return cycleLaw(drafts, profile);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const reviewers = (drafts) => drafts.flatMap((one) => (one.review ? [one.review, ...reviewers(one.drafts)] : []));

// Different cascades, best first
function ranked(rows) {
  const seen = new Map();
  for (const row of rows) seen.set(JSON.stringify(row.drafts), row);
  return [...seen.values()].sort((a, b) => b.law.ewif - a.law.ewif);
}

// Whether a draft pays, and the cost at which the chosen cascade only equals the best without it
function verdict(model, best, rival, profile, rows) {
  if (!modelsIn(best.drafts).includes(model)) {
    const uses = rows.filter((row) => modelsIn(row.drafts).includes(model));
    const use = uses.sort((a, b) => b.law.ewif - a.law.ewif)[0];
    return { model, pays: false, use };
  }
  const { law } = best;
  const cost = profile.costs[model];
  const passes = cost ? law.costs[model] / cost : law.passes[model];
  const breakEven = (law.tokens / rival.law.ewif - (law.cost - law.costs[model])) / passes;
  return { model, pays: true, rival, breakEven, cost };
}

// Largest cost at which a lone draft pays if its length is chosen anew: with verification at no
// extra cost alpha itself (Leviathan et al., ICML 2023, arXiv:2211.17192, Cor. 3.9); as
// cscalc._plan_words.break_even_anew
export function breakEvenAnew(profile, model, longest) {
  const curve = profile.verify[0];
  let best = -Infinity;
  for (let length = 1; length <= Math.min(longest, (curve?.length ?? Infinity) - 2); length++) {
    const gained = speculativeEwif(profile.alphas[0][model], 0, length) - (curve?.[length + 1] ?? 1);
    best = Math.max(best, gained / (profile.oneShot[model] ? 1 : length));
  }
  return best;
}

// EWIF by draft length 0..most: each draft alone, and the pair [dear, cheap] in a row and with a
// review, at their best with at most that many tokens in front of the target
export function curves(state, profile, most) {
  const room = Math.min(most, (profile.verify[0]?.length ?? Infinity) - 2);
  const lengths = Array.from({ length: room + 1 }, (_, k) => k);
  const pass = (positions) => profile.verify[0]?.[positions] ?? 1;
  const alone = (model) => lengths.map((k) => {
    const cost = profile.costs[model] * (profile.oneShot[model] ? Math.min(k, 1) : k);
    return speculativeEwif(profile.alphas[0][model], 0, k) / (pass(k + 1) + cost);
  });
  const out = { lengths, alone: modelsOf(state).map((model) => ({ model, ewif: alone(model) })) };
  const [dear, cheap] = pairOf(state);
  if (!cheap) return out;
  const best = (values) => values.reduce((kept, value) => [...kept, Math.max(value, kept.at(-1) ?? 0)], []);
  const [a, b] = [profile.alphas[0][dear], profile.alphas[0][cheap]];
  const spend = (model, k) => profile.costs[model] * (profile.oneShot[model] ? Math.min(k, 1) : k);
  const [tokensA, tokensB] = [a, b].map((rate) => lengths.map((k) => speculativeEwif(rate, 0, k)));
  out.row = best(lengths.map((total) => {
    let top = 0;
    for (let k = 0; k <= total; k++) {
      const tokens = tokensA[k] + a ** k * (tokensB[total - k] - 1);
      top = Math.max(top, tokens / (pass(total + 1) + spend(dear, k) + spend(cheap, total - k)));
    }
    return top;
  }));
  if (!profile.oneShot[dear]) out.review = best(reviewCurve(profile, dear, cheap, lengths));
  return out;
}

// EWIF of the best vertical cascade with exactly `most` tokens at most, by most; 1 where none is
function reviewCurve(profile, dear, cheap, lengths) {
  const out = lengths.map(() => 1);
  const [a, b, inner] = [profile.alphas[0][dear], profile.costs[cheap], profile.alphas[dear][cheap]];
  for (let k = 1; k < lengths.length - 1; k++) {
    const curve = profile.verify[dear];
    if (curve && k + 1 >= curve.length) break;
    const pass = profile.costs[dear] * (curve?.[k + 1] ?? 1);
    for (let n = 1; n * (k + 1) < lengths.length; n++) {
      const drafts = [{ review: dear, drafts: [{ draft: cheap, length: k }], rounds: n }];
      const ewif = profile.verify[0]
        ? cycleLaw(drafts, profile).ewif
        : verticalEwif(a, pass, inner, b, n, k, profile.oneShot[cheap]);
      out[n * (k + 1)] = Math.max(out[n * (k + 1)], ewif);
    }
  }
  return out;
}

// The pair of the charts: as chosen if both are on, else the first and the last draft that are on
export function pairOf(state) {
  const on = modelsOf(state);
  if (state.pair.every((model) => on.includes(model))) return state.pair;
  return on.length > 1 ? [on[0], on.at(-1)] : [on[0]];
}

// Effective bounds of the pair by the dear draft's rate, and at the current point
export function bounds(state, profile, points = 101) {
  const [dear, cheap] = pairOf(state);
  if (!cheap) return null;
  const options = { inner: profile.alphas[dear][cheap], oneShot: profile.oneShot[cheap], longest: state.longest };
  const at = (kind, alpha) => effectiveBound(kind, alpha, profile.alphas[0][cheap], profile.costs[cheap], options);
  const rates = Array.from({ length: points }, (_, i) => i / (points - 1));
  const alpha = profile.alphas[0][dear];
  return {
    dear, cheap, rates,
    vertical: rates.map((rate) => at("vertical", rate).cost),
    horizontal: rates.map((rate) => at("horizontal", rate).cost),
    here: { alpha, cost: profile.costs[dear], vertical: at("vertical", alpha), horizontal: at("horizontal", alpha) },
  };
}
