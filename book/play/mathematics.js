// The book's formulas in JavaScript, for its figures with sliders: the names, the index t = 1 … T and the
// double precision of `d2c`, which is why names are written with underscores. tests/test_play.py compares them.
"use strict";

const mathematics = (() => {
  const {sqrt, log, exp, cos, sin, min, max, PI} = Math;
  const sum = values => values.reduce((a, b) => a + b, 0);
  const mix = (a, x, b, y) => x.map((v, i) => a*v + b*y[i]);    // a x + b y
  const range = (a, b) => Array.from({length: b - a + 1}, (_, i) => a + i);    // a … b
  function logsumexp(values) {
    let top = -Infinity, total = 0;
    for (const v of values) if (v > top) top = v;
    for (const v of values) total += exp(v - top);
    return top + log(total);
  }
  const round = v => Math.abs(v % 1) === .5 ? 2*Math.round(v/2) : Math.round(v);    // as Python: halves to even

  // ---- schedules: d2c.schedule ---------------------------------------------------------------------

  function schedule(abar) {
    const alpha = abar.map((a, t) => t ? a/abar[t - 1] : 1);
    return {abar, T: abar.length - 1, alpha, beta: alpha.map(a => 1 - a), snr: abar.map(a => a/(1 - a))};
  }

  function from_beta(beta) {    // β_1 … β_T
    const abar = [1];
    for (const b of beta) abar.push(abar.at(-1)*(1 - b));
    return schedule(abar);
  }

  const linear = (T = 1000, beta_1 = 1e-4, beta_T = .02) =>
    from_beta(range(1, T).map(t => beta_1 + (t - 1)/(T - 1)*(beta_T - beta_1)));

  const capped = (T, abar, beta_max) => from_beta(range(1, T).map(t => min(1 - abar(t/T)/abar((t - 1)/T), beta_max)));

  const cosine = (T = 1000, s = .008, beta_max = .999) =>
    capped(T, u => cos((u + s)/(1 + s)*PI/2)**2, beta_max);

  function sigmoid(T = 1000, start = -3, end = 3, tau = 1, beta_max = .999) {
    const squash = u => 1/(1 + exp(-(start + (end - start)*u)/tau));
    return capped(T, u => (squash(1) - squash(u))/(squash(1) - squash(0)), beta_max);
  }

  function zero_terminal_snr(sched) {
    const root = sched.abar.map(sqrt), [first, last] = [root[1], root.at(-1)];
    return schedule(root.map((r, t) => t ? ((r - last)*first/(first - last))**2 : 1));
  }

  const spaced = (T, n) => range(1, n).reverse().map(k => round(k*T/n));    // “trailing”

  // ---- forward and back: d2c.forward, d2c.posterior -----------------------------------------------

  const q_sample = (sched, x0, t, eps) => mix(sqrt(sched.abar[t]), x0, sqrt(1 - sched.abar[t]), eps);

  function posterior_coef(abar_t, abar_s) {    // c_0, c_t and β̃
    const keep = abar_t/abar_s;
    return [sqrt(abar_s)*(1 - keep)/(1 - abar_t), sqrt(keep)*(1 - abar_s)/(1 - abar_t), (1 - abar_s)/(1 - abar_t)*(1 - keep)];
  }

  function q_posterior(sched, x0, xt, t, s) {    // μ̃ and β̃
    const [c0, ct, beta_tilde] = posterior_coef(sched.abar[t], sched.abar[s]);
    return [mix(c0, x0, ct, xt), beta_tilde];
  }

  function reverse_var(sched, t, s, kind = "beta_tilde") {
    const beta = 1 - sched.abar[t]/sched.abar[s];
    return kind === "beta" ? beta : (1 - sched.abar[s])/(1 - sched.abar[t])*beta;
  }

  // ---- mixtures in the plane: d2c.oracle ----------------------------------------------------------
  // A component is {w, m, lam, axis}: weight, mean, variances along its two axes, and the first axis.

  function pinwheel(K = 6, radius = 1.6, long = .45, short = .12, twist = .9) {
    const total = 1.5*K;    // the weights grow from 1 to 2
    return range(0, K - 1).map(k => {
      const a = k*2*PI/K;
      return {w: (1 + k/(K - 1))/total, m: [radius*cos(a), radius*sin(a)], lam: [long**2, short**2], axis: [cos(a + twist), sin(a + twist)]};
    });
  }

  function whiten({m, lam, axis}, x, abar) {    // coordinates along the axes, and variances there
    const root = sqrt(abar), dx = x[0] - root*m[0], dy = x[1] - root*m[1], c = axis[0], s = axis[1];
    return {u: c*dx + s*dy, v: c*dy - s*dx, s_u: abar*lam[0] + 1 - abar, s_v: abar*lam[1] + 1 - abar};
  }

  const log_joint = ({w}, {u, v, s_u, s_v}) =>    // log w N(x; √ᾱ m, S)
    log(w/(2*PI*sqrt(s_u*s_v))) - .5*(u*u/s_u + v*v/s_v);

  const log_joints = (gm, x, abar) => gm.map(part => log_joint(part, whiten(part, x, abar)));

  const log_prob = (gm, x, abar = 1) => logsumexp(log_joints(gm, x, abar));

  function classify(gm, x, abar = 1) {    // log q(y | x) of every component
    const joint = log_joints(gm, x, abar), total = logsumexp(joint);
    return joint.map(v => v - total);
  }

  function score(gm, x, abar = 1) {
    const parts = gm.map(part => whiten(part, x, abar)), joint = gm.map((part, k) => log_joint(part, parts[k]));
    const total = logsumexp(joint);
    let gx = 0, gy = 0;
    for (let k = 0; k < gm.length; k++) {
      const {u, v, s_u, s_v} = parts[k], {axis} = gm[k], claim = exp(joint[k] - total);
      gx -= claim*(axis[0]*u/s_u - axis[1]*v/s_v);
      gy -= claim*(axis[1]*u/s_u + axis[0]*v/s_v);
    }
    return [gx, gy];
  }

  const eps = (gm, x, abar) => score(gm, x, abar).map(v => -sqrt(1 - abar)*v);

  const x0_mean = (gm, x, abar) => mix(1/sqrt(abar), x, (1 - abar)/sqrt(abar), score(gm, x, abar));

  // A model: denoise(xt, t) says what x_t is made of, {x0, eps}.
  const denoiser = (gm, sched) => (xt, t) => {
    const abar = sched.abar[t], noise = eps(gm, xt, abar);
    return {x0: mix(1/sqrt(abar), xt, -sqrt(1/abar - 1), noise), eps: noise};
  };

  // One component, its weight now 1: the exact law of a class.
  const component = (gm, k) => [{...gm[k], w: 1}];

  // ---- samplers: d2c.ddpm, d2c.ddim, d2c.guidance --------------------------------------------------
  // `noise()` is fresh standard normal noise like x. The walk is a list of {t, s, xs, x0}, one for each step.

  const strides = times => times.map((t, i) => [t, times[i + 1] ?? 0]);

  function walk(update, denoise, x, times, noise) {
    return strides(times).map(([t, s]) => {
      const guess = denoise(x, t);
      x = update(guess, x, t, s, noise);
      return {t, s, xs: x, x0: guess.x0};
    });
  }

  const add = (x, noise, sigma) => sigma > 0 ? mix(1, x, sigma, noise()) : x;

  const ddpm_steps = (denoise, sched, xT, times, kind, noise) => walk((guess, x, t, s) => {
    const [mean] = q_posterior(sched, guess.x0, x, t, s);
    return add(mean, noise, s > 0 ? sqrt(reverse_var(sched, t, s, kind)) : 0);
  }, denoise, xT, times, noise);

  const ddim_mean = (x0, eps, abar_s, sigma = 0) => mix(sqrt(abar_s), x0, sqrt(1 - abar_s - sigma**2), eps);

  const ddim_sigma = (sched, t, s, eta) => eta*sqrt(reverse_var(sched, t, s));

  const ddim_steps = (denoise, sched, xT, times, eta, noise) => walk((guess, x, t, s) => {
    const sigma = ddim_sigma(sched, t, s, eta);
    return add(ddim_mean(guess.x0, guess.eps, sched.abar[s], sigma), noise, sigma);
  }, denoise, xT, times, noise);

  // Both models' answers, from without the class towards with it, and beyond for γ > 1.
  const classifier_free_guidance = (without, given, scale) => (xt, t) => {
    const [a, b] = [without(xt, t), given(xt, t)];
    return {x0: mix(1 - scale, a.x0, scale, b.x0), eps: mix(1 - scale, a.eps, scale, b.eps)};
  };

  // ---- the bound: d2c.elbo -------------------------------------------------------------------------

  const gaussian_kl = (mean1, var1, mean2, var2) => .5*((mean1 - mean2)**2/var2 + var1/var2 - 1 - log(var1/var2));

  const model_var = (sched, t, kind = "beta_tilde") =>
    kind === "beta_tilde" ? reverse_var(sched, max(t, 2), max(t, 2) - 1) : reverse_var(sched, t, t - 1, kind);

  const loss_weight = (sched, kind = "beta_tilde") => sched.abar.map((abar, t) =>
    !t ? 0 : kind === "simple" ? 1 : kind === "beta" ? sched.beta[t]/(2*sched.alpha[t]*(1 - abar)) : (sched.snr[t - 1]/sched.snr[t] - 1)/2);

  // For data N(m, λ) in one dimension and a model that is off, in closed form, means over data and noise.
  // The exact ε is k (x_t − √ᾱ m); the model says c times that, plus b, where off(t) gives [c, b].

  const exact_slope = (abar, lam) => sqrt(1 - abar)/(abar*lam + 1 - abar);

  // E (ε − ε_θ)² for every t
  const eps_error = (sched, {lam}, off) => sched.abar.map((abar, t) => {
    if (!t) return 0;
    const [c, b] = off(t), slope = c*exact_slope(abar, lam);
    return (1 - slope*sqrt(1 - abar))**2 + slope**2*abar*lam + b**2;
  });

  // The terms L_0 … L_T of the bound, nats
  function bound(sched, data, off, kind) {
    const error = eps_error(sched, data, off), weight = loss_weight(sched, kind), {abar, T} = sched;
    const terms = range(1, T).map(t => {
      const sigma2 = model_var(sched, t, kind);
      if (t === 1) return .5*(log(2*PI*sigma2) + (1 - abar[1])/abar[1]*error[1]/sigma2);
      return weight[t]*error[t] + gaussian_kl(0, reverse_var(sched, t, t - 1), 0, sigma2);
    });
    return [...terms, .5*(abar[T]*(data.lam + data.m**2) - abar[T] - log(1 - abar[T]))];
  }

  // Mean and variance of p_θ(x_0): each step back is an affine map of x_t, and noise
  function model_law(sched, {m, lam}, off, kind) {
    let mean = 0, variance = 1;
    for (let t = sched.T; t > 0; t--) {
      const abar = sched.abar[t], slope = off(t)[0]*exact_slope(abar, lam), offset = off(t)[1] - slope*sqrt(abar)*m;
      const factor = sched.beta[t]/sqrt(1 - abar), root = sqrt(sched.alpha[t]);
      mean = ((1 - factor*slope)*mean - factor*offset)/root;
      variance = ((1 - factor*slope)/root)**2*variance + model_var(sched, t, kind);
    }
    return [mean, variance];
  }

  const entropy = lam => .5*log(2*PI*Math.E*lam);

  // E −log p(x) for data N(m, λ) and p = N(mean, variance)
  const nll = ({m, lam}, mean, variance) => entropy(lam) + gaussian_kl(m, lam, mean, variance);

  // ---- chance -----------------------------------------------------------------------------------------

  // Standard normal numbers from a seed: the generator “mulberry32”, and Box and Muller's way to the normal.
  function normals(seed) {
    let state = seed*0x9E3779B1 >>> 0, spare = null;
    const uniform = () => {
      state = state + 0x6D2B79F5 >>> 0;
      let z = Math.imul(state ^ state >>> 15, state | 1);
      z ^= z + Math.imul(z ^ z >>> 7, z | 61);
      return ((z ^ z >>> 14) >>> 0)/2**32;
    };
    return () => {
      if (spare !== null) return [spare, spare = null][0];
      const r = sqrt(-2*log(1 - uniform())), a = 2*PI*uniform();
      spare = r*sin(a);
      return r*cos(a);
    };
  }

  return {sum, range, schedule, from_beta, linear, cosine, sigmoid, zero_terminal_snr, spaced, q_sample, posterior_coef, q_posterior,
          reverse_var, pinwheel, log_prob, classify, score, eps, x0_mean, denoiser, component, ddpm_steps, ddim_mean, ddim_sigma,
          ddim_steps, classifier_free_guidance, gaussian_kl, model_var, loss_weight, eps_error, bound, model_law, entropy, nll, normals};
})();
