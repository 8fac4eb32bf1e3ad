// Runs the network beside the page. One task at a time: a new one ends the one before.
//
// The page sends {id, task, …}; it gets {id, kind: "frame", t, xt, x0} for each time that a sampler stops at, x0 being
// what the network makes of xt, and at the end {id, kind: "done", x, ms} or {id, kind: "stopped"}; or, at any time,
// {id, kind: "error", text}.
import * as ort from "./ort/ort.wasm.bundle.min.mjs";
import { classifier_free_guidance, clipped, concat, ddim_steps, denoiser, encode_steps, generator, normal, q_sample, spaced }
  from "./sampler.mjs";

const here = name => new URL(name, import.meta.url);
const T = () => about.abar.length - 1;
let about, session, digits, current;

async function fetched(name) {
  const response = await fetch(here(name));
  if (!response.ok) throw new Error(`${name} is missing from the site`);
  return response;
}

/** A gzipped file's content, whether or not the server has unpacked it on the way. */
async function unpacked(name) {
  const data = await (await fetched(name)).arrayBuffer(), start = new Uint8Array(data, 0, 2);
  if (start[0] !== 0x1f || start[1] !== 0x8b) return data;
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function load() {
  const [wasm, weights, facts, bytes] = await Promise.all([
    unpacked("ort/ort-wasm-simd-threaded.wasm.gz"), fetched("mnist-cond.onnx").then(r => r.arrayBuffer()),
    fetched("mnist-cond.json").then(r => r.json()), fetched("digits.bin").then(r => r.arrayBuffer())]);
  ort.env.wasm.numThreads = 1;                     // more would need headers that a plain server does not send
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(weights, { executionProviders: ["wasm"] });
  about = facts;
  digits = Float32Array.from(new Uint8Array(bytes), byte => byte * 2 / 255 - 1);
}

const size = () => about.shape.reduce((a, b) => a * b);

/** The network: a batch, one time, classes → what it predicts. */
async function network(xt, t, y) {
  const n = y.length, integers = values => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [n]);
  const out = await session.run({ xt: new ort.Tensor("float32", xt, [n, ...about.shape]),
                                  t: integers(Array(n).fill(t)), y: integers(y) });
  return out.out.data;
}

/** The frames of a sampler: x_t with what the network makes of it, and the picture at the end. */
async function* frames(steps, x) {
  for await (const { t, s, xs, x0 } of steps) {
    yield { t, xt: x, x0 };
    x = xs;
    if (s === 0) yield { t: 0, xt: x, x0: x };
  }
}

/** n pictures of one. */
const copies = (x, n) => Array(n).fill(x).reduce(concat);

const tasks = {
  async *sample({ y, steps, eta, scale, seed }) {
    const { abar, null: any, range } = about, generators = y.map((_, k) => generator(seed, k));
    const noise = () => normal(size(), generators), xT = noise();
    const model = clipped(classifier_free_guidance(denoiser(network, abar, about.predicts), y, any, scale), abar, range);
    yield* frames(ddim_steps(model, abar, xT, spaced(T(), steps), eta, noise), xT);
  },

  /** Noise a picture up to time t, each copy its own way, and go back from there. */
  async *noise({ x0, t, y, steps, eta, scale, seed }) {
    const { abar, null: any, range } = about, generators = y.map((_, k) => generator(seed, k));
    const noise = () => normal(size(), generators), eps = noise(), x = copies(x0, y.length);
    const stops = spaced(t, Math.min(8, t));
    for (const time of [0, ...stops.slice(1).reverse()]) yield { t: time, xt: q_sample(abar, x, time, eps), x0: null };
    const model = clipped(classifier_free_guidance(denoiser(network, abar, about.predicts), y, any, scale), abar, range);
    const xt = q_sample(abar, x, t, eps);
    yield* frames(ddim_steps(model, abar, xt, spaced(t, Math.min(steps, t)), eta, noise), xt);
  },

  /** Up the flow to a picture's code, and down again; without clipping, which would leave the flow. */
  async *encode({ x0, y, steps }) {
    const { abar } = about, told = denoiser(network, abar, about.predicts), model = (xt, t) => told(xt, t, y);
    const times = spaced(T(), steps);
    let code = x0;
    for await (const { t, xs, x0: guess } of encode_steps(model, abar, x0, times)) {
      yield { t, xt: code, x0: guess };
      code = xs;
    }
    yield* frames(ddim_steps(model, abar, code, times, 0), code);
  },
};

async function perform({ id, task, ...options }) {
  const start = performance.now();
  let last;
  for await (const frame of tasks[task](options)) {
    last = frame;
    postMessage({ id, kind: "frame", ...frame });
    await new Promise(resolve => setTimeout(resolve));         // so that a message can come in
    if (id !== current) return postMessage({ id, kind: "stopped" });
  }
  postMessage({ id, kind: "done", x: last.xt, ms: performance.now() - start });
}

let ready, busy = Promise.resolve();
onmessage = async ({ data }) => {
  try {
    if (data.task === "stop") current = null;
    else if (data.task === "load") {
      await (ready ??= load());
      postMessage({ id: data.id, kind: "ready", digits, T: T() });
    } else {
      current = data.id;
      await ready;
      await (busy = busy.catch(() => {}).then(() => perform(data)));    // after the one before has stopped
    }
  } catch (error) {
    postMessage({ id: data.id, kind: "error", text: String(error?.message ?? error) });
  }
};
