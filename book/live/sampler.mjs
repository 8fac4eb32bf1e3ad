// The samplers of the book, as d2c has them: the same names, the same formulas, t = 1 … T.
//
// A picture, or a batch of them, is a Float32Array with values in [−1, 1]. A schedule is its table: abar[0] … abar[T].
// A model is a function: await denoise(xt, t) gives {x0, eps}. Coefficients are computed in double precision.

const { sqrt, log, cos, sin, PI, imul } = Math;

/** a·x + b·y, number by number. */
export const combine = (a, x, b, y) => x.map((value, i) => a * value + b * y[i]);

/** Two batches as one. */
export function concat(x, y) {
  const both = new Float32Array(x.length + y.length);
  both.set(x);
  both.set(y, x.length);
  return both;
}


// ---- chance ------------------------------------------------------------------------------------

/** Standard normal numbers, the same for the same seed and stream: sfc32 (Doty-Humphrey), then Box and Muller. */
export function generator(seed, stream = 0) {
  let mixed = seed ^ imul(stream + 1, 0x9e3779b9);        // splitmix32 fills the state
  const mix = () => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let h = mixed ^ (mixed >>> 16);
    h = imul(h, 0x21f0aaad);
    h ^= h >>> 15;
    h = imul(h, 0x735a2d97);
    return h ^ (h >>> 15);
  };
  let a = mix(), b = mix(), c = mix(), counter = 1, spare = null;
  const uniform = () => {                                 // in (0, 1)
    const out = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + out | 0;
    return ((out >>> 0) + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) uniform();
  return () => {
    if (spare !== null) {
      const last = spare;
      spare = null;
      return last;
    }
    const radius = sqrt(-2 * log(uniform())), angle = 2 * PI * uniform();
    spare = radius * sin(angle);
    return radius * cos(angle);
  };
}

/** Standard normal noise for a batch, one generator a picture, so that a picture does not depend on its neighbours. */
export function normal(size, generators) {
  const noise = new Float32Array(size * generators.length);
  generators.forEach((next, k) => {
    for (let i = 0; i < size; i++) noise[k * size + i] = next();
  });
  return noise;
}


// ---- schedule and forward process --------------------------------------------------------------

/** Python's round: halves go to the even neighbour. */
function round(x) {
  const low = Math.floor(x), rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2) ? low + 1 : low;
}

/** n times from T down to above 0, trailing. */
export const spaced = (T, n) => Array.from({ length: n }, (_, i) => round((n - i) * T / n));

/** The steps (t, s) that a list of times stands for; the last s is 0. */
export const strides = times => times.map((t, i) => [t, times[i + 1] ?? 0]);

export const q_sample = (abar, x0, t, eps) => combine(sqrt(abar[t]), x0, sqrt(1 - abar[t]), eps);

export const x0_from_eps = (abar, xt, t, eps) => combine(1 / sqrt(abar[t]), xt, -sqrt((1 - abar[t]) / abar[t]), eps);
export const eps_from_x0 = (abar, xt, t, x0) => combine(1 / sqrt(1 - abar[t]), xt, -sqrt(abar[t] / (1 - abar[t])), x0);
export const x0_from_v = (abar, xt, t, v) => combine(sqrt(abar[t]), xt, -sqrt(1 - abar[t]), v);
export const eps_from_v = (abar, xt, t, v) => combine(sqrt(1 - abar[t]), xt, sqrt(abar[t]), v);


// ---- models ------------------------------------------------------------------------------------

/** The model that a network makes, whatever it predicts: denoise(xt, t, y). */
export function denoiser(network, abar, predicts) {
  return async (xt, t, y) => {
    const out = await network(xt, t, y);
    if (predicts === "eps") return { x0: x0_from_eps(abar, xt, t, out), eps: out };
    if (predicts === "x0") return { x0: out, eps: eps_from_x0(abar, xt, t, out) };
    return { x0: x0_from_v(abar, xt, t, out), eps: eps_from_v(abar, xt, t, out) };
  };
}

/** A model that knows the range of its data; the noise is worked out again. */
export function clipped(denoise, abar, [low, high] = [-1, 1]) {
  return async (xt, t) => {
    const x0 = (await denoise(xt, t)).x0.map(value => Math.min(Math.max(value, low), high));
    return { x0, eps: eps_from_x0(abar, xt, t, x0) };
  };
}

/** Steer a model by the classifier that it contains. Scale 0: any class; 1: y, as it is. */
export function classifier_free_guidance(denoise, y, nothing, scale = 1) {
  const any = y.map(() => nothing);
  if (scale === 0 || scale === 1) return (xt, t) => denoise(xt, t, scale ? y : any);
  return async (xt, t) => {
    const both = await denoise(concat(xt, xt), t, [...any, ...y]), n = xt.length;
    const steered = answers => combine(1 - scale, answers.subarray(0, n), scale, answers.subarray(n));
    return { x0: steered(both.x0), eps: steered(both.eps) };
  };
}


// ---- samplers ----------------------------------------------------------------------------------

/** The loop of every sampler; noise() is fresh standard normal noise like x. */
export async function* walk(update, denoise, x, pairs, noise) {
  for (const [t, s] of pairs) {
    const guess = await denoise(x, t);
    x = update(guess, t, s, noise);
    yield { t, s, xs: x, x0: guess.x0 };
  }
}

/** Variance of the posterior of x_s, between x_t and x_0. */
export const reverse_var = (abar, t, s) => (1 - abar[s]) / (1 - abar[t]) * (1 - abar[t] / abar[s]);

/** What x_s is without its fresh noise. */
export const ddim_mean = ({ x0, eps }, abar_s, sigma = 0) => combine(sqrt(abar_s), x0, sqrt(1 - abar_s - sigma ** 2), eps);

/** Standard deviation of a step's fresh noise; η = 0: none, η = 1: DDPM's. */
export const ddim_sigma = (abar, t, s, eta) => eta * sqrt(reverse_var(abar, t, s));

export const ddim_update = (abar, eta) => (guess, t, s, noise) => {
  const sigma = ddim_sigma(abar, t, s, eta), mean = ddim_mean(guess, abar[s], sigma);
  return sigma > 0 ? combine(1, mean, sigma, noise()) : mean;
};

/** From noise to pictures, down a list of times. With η = 1 this is DDPM. */
export const ddim_steps = (denoise, abar, xT, times, eta, noise) =>
  walk(ddim_update(abar, eta), denoise, xT, strides(times), noise);

/** From pictures up to the noise that they come from, on the same times. At t = 0 there is no noise to predict. */
export function encode_steps(denoise, abar, x0, times) {
  const model = (x, t) => t > 0 ? denoise(x, t) : { x0: x, eps: x.map(() => 0) };
  const pairs = strides(times).reverse().map(([t, s]) => [s, t]);
  return walk((guess, t, s) => ddim_mean(guess, abar[s]), model, x0, pairs);
}
