// The bound's terms for Gaussian data and a model whose ε is off.
"use strict";

(() => {
  const {linear, cosine, bound, eps_error, loss_weight, model_law, entropy, nll, sum} = mathematics;
  const {GREY, COLOURS, fixed, preferred, text, axes} = drawing;
  const data = {m: .3, lam: .09};

  function values({shape, T, kind, c, b, where}) {
    T = preferred(T);
    const sched = shape === "cosine" ? cosine(T) : linear(T, .1/Math.max(T, 100), Math.min(20/T, .9));
    const wrong = {all: () => true, first: t => t <= T/10, middle: t => t > T/10 && t <= .9*T, last: t => t > .9*T}[where];
    const exact = () => [1, 0], off = t => wrong(t) ? [c, b] : exact();
    const terms = bound(sched, data, off, kind), error = eps_error(sched, data, off), floor = eps_error(sched, data, exact);
    return {T, c, b, terms, best: bound(sched, data, exact, kind), total: sum(terms), weight: loss_weight(sched, kind), error, floor,
            simple: sum(error)/T, simple_floor: sum(floor)/T, H: entropy(data.lam), nll: nll(data, ...model_law(sched, data, off, kind))};
  }

  const shown = ({T, c, b}) => ({T: `${T}`, c: fixed(c), b: fixed(b)});

  function draw({terms, weights, sum: bars, gap}, now) {
    const {T, weight, error, floor, total, H, nll} = now, t = [1, T];
    const by_t = (list, shift = 0) => list.map((v, i) => [i + shift, v]).filter(([t, v]) => t >= 2 && t <= T && v > 0);
    const span = (...lists) => {    // whole decades
      const all = lists.flat().map(p => Math.log10(p[1]));
      return [10**Math.floor(Math.min(...all)), 10**Math.ceil(Math.max(...all) + .2)];
    };

    // terms[k] is L_k; the step from t to t − 1 owns L_{t−1}
    const own = by_t(now.terms.slice(0, T), 1), best = by_t(now.best.slice(0, T), 1);
    const ax = axes(terms, {x: t, xlog: true, y: span(own, best), ylog: true, xlabel: "t", title: "terms of the steps t ≥ 2, nats"});
    ax.curve(best, GREY, {width: 1.4});
    ax.curve(own, COLOURS.blue, {width: 2});
    if (T <= 40) ax.dots(own, COLOURS.blue, {size: 5});
    ax.legend([["the model’s", COLOURS.blue], ["the exact ε’s", GREY]], true);

    const [bounds, errors] = [by_t(weight), by_t(error)];
    const ay = axes(weights, {x: t, xlog: true, y: span(bounds, errors, [[1, 1]]), ylog: true, xlabel: "t",
                              title: "weights w_t, and the error they meet"});
    ay.curve([[1, 1], [T, 1]], COLOURS.orange, {width: 2});
    ay.curve(bounds, COLOURS.blue, {width: 2});
    ay.curve(by_t(floor), GREY, {width: 1.2, dash: "4 3"});
    ay.curve(errors, COLOURS.red, {dash: "4 3"});
    ay.legend([["the bound’s", COLOURS.blue], ["L_simple’s, 1", COLOURS.orange], ["error of ε", COLOURS.red, "4 3"]], true);

    const first = now.terms[0], but_last = sum(now.terms.slice(0, T));
    waterfall(bars, "L_0 + ⋯ + L_T is the bound, nats",
      [["L_0", 0, first, COLOURS.purple], ["L_1 … L_{T−1}", first, but_last, COLOURS.blue], ["L_T", but_last, total, COLOURS.green],
       ["bound", 0, total, GREY]]);
    waterfall(gap, "what it consists of",
      [["data’s entropy", 0, H, COLOURS.sky], ["model’s fault", H, nll, COLOURS.red], ["bound’s slack", nll, total, COLOURS.orange],
       ["bound", 0, total, GREY]]);
  }

  // Bars from where the one before ended
  function waterfall(panel, title, rows) {
    const ends = rows.flatMap(([, a, b]) => [a, b]), low = Math.min(...ends), high = Math.max(...ends), room = (high - low)*.04;
    const ax = axes(panel, {x: [low - room, high + room], y: [rows.length, 0], title, yticks: [], margin: [24, 56, 22, 84]});
    ax.vertical(0, GREY);
    rows.forEach(([name, a, b, colour], i) => {
      ax.bar([a, b], [i + .2, i + .8], colour);
      if (i + 1 < rows.length) ax.curve([[b, i + .2], [b, i + 1.8]], GREY, {width: .8, dash: "2 2"});
      const y = 24 + ax.Y(i + .5) + 4;
      panel.append(text(78, y, name, {"text-anchor": "end"}), text(338, y, fixed(b - a, 4), {"text-anchor": "end", class: "title"}));
    });
  }

  const words = ({T, terms, total, H, nll, simple, simple_floor}) =>
    `The bound is <i>L</i><sub>0</sub> + … + <i>L<sub>T</sub></i> = ` +
    `${fixed(terms[0], 3)} + ${fixed(sum(terms.slice(1, T)), 3)} + ${fixed(terms[T], 4)} = ${fixed(total, 4)} nats. ` +
    `The model’s exact mean −log <i>p</i>(<i>x</i><sub>0</sub>) is ${fixed(nll, 4)}, ${fixed(nll - H, 4)} above the data’s entropy ${fixed(H, 4)}; ` +
    `the bound lies ${fixed(total - nll, 4)} above that. <i>L</i><sub>simple</sub> is ${fixed(simple, 4)}, with the exact ε ${fixed(simple_floor, 4)}.`;

  drawing.figure("bound", {values, shown, draw, words});
})();
