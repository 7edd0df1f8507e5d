// What to type into other engines: the twin of cscalc.export, word for word.
import { cycleLaw, modelOf } from "./kernel.mjs";

export const ENGINES = ["transformers", "vllm", "sglang", "llama.cpp"];
const LOOKUP = [1, 3]; // shortest and longest n-gram that is looked up

// One line such as "2 x [draft 1 reviews draft 2:3] + draft 3:10"; as cscalc.cascade.describe
export function describe(drafts, names) {
  const one = (segment) => {
    const stop = segment.until ? ` until ${segment.until}` : "";
    if (segment.draft) return `${names[segment.draft]}:${segment.length}${stop}`;
    const inner = `[${names[segment.review]} reviews ${describe(segment.drafts, names)}]`;
    return segment.rounds ? `${segment.rounds} x ${inner}` : inner + stop;
  };
  return drafts.map(one).join(" + ");
}

// Four significant digits, as Python's :.4g
export function short(value, digits = 4) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (power >= -4 && power < digits) return trimmed(value.toFixed(digits - 1 - power));
  return `${trimmed(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

// Text and notes that run `drafts`, or the best of `others` that the engine can run
export function engineSettings(engine, drafts, others, profile, names) {
  const single = (one) => one.length === 0 || (one.length === 1 && Boolean(one[0].draft));
  const notes = [];
  let cascade = drafts;
  if (!single(drafts)) {
    const ewif = (one) => cycleLaw(one, profile).ewif;
    const fit = others.filter(single);
    if (!fit.some((one) => one.length)) fit.push([]);
    cascade = fit.reduce((a, b) => (ewif(b) > ewif(a) ? b : a));
    notes.push(
      `${engine} drafts with one model or one n-gram lookup, so it cannot run ` +
      `${describe(drafts, names)} (EWIF ${short(ewif(drafts))}): these settings run ` +
      `${describe(cascade, names) || "plain decoding"}, the best alternative of the plan that it ` +
      `can (EWIF ${short(ewif(cascade))}).`,
    );
  }
  if (!cascade.length) {
    const text = engine === "transformers" ? "output = model.generate(**inputs)" : "";
    return { text, notes: [...notes, "Plain decoding: leave speculative decoding off."], cascade };
  }
  const [model, length] = [modelOf(cascade[0]), cascade[0].length];
  const lookup = profile.oneShot[model];
  if (lookup) {
    notes.push(
      `${names[model]} is exported as ${engine}'s n-gram lookup, which may accept more or less ` +
      "than what was measured.",
    );
  }
  if (!lookup && /^draft \d+$/.test(names[model])) {
    notes.push(`"${names[model]}" is a placeholder: put that model's checkpoint in its place.`);
  }
  const [text, more] = WRITERS[engine](lookup, length, names[model]);
  return { text, notes: [...notes, ...more], cascade };
}

export const asText = ({ text, notes }) => [text, ...notes.map((note) => `# ${note}`)].join("\n");

const WRITERS = {
  transformers(lookup, length, name) {
    if (lookup) {
      const given = `prompt_lookup_num_tokens=${length}, max_matching_ngram_size=${LOOKUP[1]}`;
      return [`output = model.generate(**inputs, ${given})`, []];
    }
    return [
      [
        `assistant = AutoModelForCausalLM.from_pretrained(${ascii(name)})`,
        `assistant.generation_config.num_assistant_tokens = ${length}`,
        'assistant.generation_config.num_assistant_tokens_schedule = "constant"',
        "assistant.generation_config.assistant_confidence_threshold = 0.0",
        "output = model.generate(**inputs, assistant_model=assistant)",
      ].join("\n"),
      ["transformers reads these from the assistant's generation_config, not the target's."],
    ];
  },
  vllm(lookup, length, name) {
    const json = lookup
      ? `{"method": "ngram", "num_speculative_tokens": ${length}, "prompt_lookup_max": ${LOOKUP[1]}, ` +
        `"prompt_lookup_min": ${LOOKUP[0]}}`
      : `{"method": "draft_model", "model": ${ascii(name)}, "num_speculative_tokens": ${length}}`;
    const note =
      "vLLM's draft models draft greedily by default: to sample at the rates that were measured " +
      'above temperature 0, add "draft_sample_method": "probabilistic" where your version has it.';
    return [`--speculative-config ${quoted(json)}`, lookup ? [] : [note]];
  },
  sglang(lookup, length, name) {
    const note =
      "SGLang's --speculative-num-draft-tokens counts the positions it verifies: the draft and the " +
      "token before it.";
    const given = lookup
      ? ["--speculative-algorithm", "NGRAM", "--speculative-num-draft-tokens", length + 1,
         "--speculative-ngram-min-match-window-size", LOOKUP[0],
         "--speculative-ngram-max-match-window-size", LOOKUP[1],
         "--speculative-ngram-max-bfs-breadth", 1]
      : ["--speculative-algorithm", "STANDALONE", "--speculative-draft-model-path", name,
         "--speculative-num-steps", length, "--speculative-eagle-topk", 1,
         "--speculative-num-draft-tokens", length + 1];
    return [given.map(quoted).join(" "), [note]];
  },
  "llama.cpp"(lookup, length, name) {
    const [n, zero] = [length, 0];
    const given = lookup
      ? ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", LOOKUP[1],
         "--spec-ngram-simple-size-m", n, "--spec-draft-n-max", n]
      : ["--spec-type", "draft-simple", "-md", name, "--spec-draft-n-max", n,
         "--spec-draft-n-min", zero, "--spec-draft-p-min", zero];
    const older = lookup
      ? ["--spec-type", "ngram-simple", "--spec-ngram-size-n", LOOKUP[1], "--spec-ngram-size-m", n,
         "--draft-max", n]
      : ["-md", name, "--draft-max", n, "--draft-min", zero, "--draft-p-min", zero];
    const note = `Builds of llama.cpp from before May 2026 spell this: ${older.map(quoted).join(" ")}.`;
    return [given.map(quoted).join(" "), [note]];
  },
};

// As shlex.quote
function quoted(value) {
  const text = String(value);
  if (text && /^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

// As json.dumps: everything beyond ASCII escaped
function ascii(text) {
  const hex = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, hex);
}
