// The posterior of x_s in one dimension: prior times likelihood, and the square completed.
"use strict";

(() => {
  const {cosine, q_posterior, posterior_coef, range} = mathematics;
  const {COLOURS, fixed, short, axes} = drawing;
  const sched = cosine();

  function values({t, s, xt, x0}) {
    s = Math.min(s, t - 1);
    const [abar_t, abar_s] = [sched.abar[t], sched.abar[s]], a = abar_t/abar_s, b = 1 - a, c = 1 - abar_s;
    const [[mean], variance] = q_posterior(sched, [x0], [xt], t, s), [c0, ct] = posterior_coef(abar_t, abar_s);
    return {t, s, xt, x0, a, b, c, root: Math.sqrt(abar_s), c0, ct, mean, variance,
            prior: {mean: Math.sqrt(abar_s)*x0, variance: c}, likelihood: {mean: xt/Math.sqrt(a), variance: b/a}};
  }

  const shown = ({t, s, xt, x0}) => ({t: `${t}`, s: `${s}`, xt: fixed(xt), x0: fixed(x0)});

  // A bell of height 1; its grid is dense where it is, however narrow
  const bell = (mean, variance) => range(-120, 120).map(i => {
    const z = 3.4*(i/120)**3 + i/120*.6, sd = Math.max(Math.sqrt(variance), 1e-3);
    return [mean + z*sd, Math.exp(-z*z/2)];
  });

  function draw({bells, square}, now) {
    const {s, mean, variance, prior, likelihood} = now;
    const ax = axes(bells, {x: [-4, 4], y: [0, 1.36], xlabel: "x_s", yticks: [], title: "each drawn to the same height", margin: [22, 8, 34, 8]});
    ax.area(bell(mean, variance), COLOURS.green, .35);
    ax.curve(bell(prior.mean, prior.variance), COLOURS.blue, {width: 2});
    ax.curve(bell(likelihood.mean, likelihood.variance), COLOURS.orange, {width: 2});
    ax.curve(bell(mean, variance), COLOURS.green, {width: 2.2});
    const entries = [["prior q(x_s | x_0)", COLOURS.blue], ["likelihood q(x_t | x_s)", COLOURS.orange], ["posterior q(x_s | x_t, x_0)", COLOURS.green]];
    [prior.mean, likelihood.mean, mean].forEach((x, i) => ax.curve([[x, 0], [x, 1]], entries[i][1], {width: 1, dash: "3 3"}));
    ax.legend(entries);
    square.innerHTML = lines(now);
  }

  const over = (above, below) => `<span class="over"><span>${above}</span><span>${below}</span></span>`;
  const signed = v => `${v < 0 ? "+" : "−"} ${short(Math.abs(v))}`;
  const bracket = number => number.startsWith("−") ? `(${number})` : number;
  const x_s = "<i>x<sub>s</sub></i>";

  function lines({a, b, c, root, xt, x0, c0, ct, mean, variance}) {
    if (c === 0) return `<div>At <i>s</i> = 0 the prior leaves no doubt: <i>x</i><sub>0</sub> = ${fixed(x0)}.</div>`;
    const A = a/b + 1/c, B = Math.sqrt(a)/b*xt + root/c*x0;
    return `<div>${over(`(${fixed(xt)} − ${short(Math.sqrt(a))} ${x_s})²`, short(b))} + ${over(`(${x_s} ${signed(root*x0)})²`, short(c))}</div>
      <div>= ${short(A)} ${x_s}² − 2 · ${bracket(short(B))} ${x_s} + …</div>
      <div>= ${over(`(${x_s} ${signed(mean)})²`, short(variance))} + …</div>
      <div><i>μ̃</i> = ${short(c0)} <i>x</i><sub>0</sub> + ${short(ct)} <i>x<sub>t</sub></i> = ${short(mean)}, &ensp; <i>β̃</i> = ${short(variance)}</div>`;
  }

  const words = ({t, s, prior, likelihood, mean, variance}) => {
    const law = v => `mean ${fixed(v.mean)} and standard deviation ${fixed(Math.sqrt(v.variance))}`;
    return `From t = ${t} back to s = ${s}. The prior has ${law(prior)}, the likelihood ${law(likelihood)}, ` +
      `the posterior ${law({mean, variance})}.`;
  };

  drawing.figure("posterior", {values, shown, draw, words});
})();
