// The bound's terms for Gaussian data and a model whose ε is off.
"use strict";

(() => {
  const {linear, cosine, bound, eps_error, loss_weight, model_law, entropy, nll, sum} = mathematics;
  const {GREY, COLOURS, fixed, short, preferred, axes} = drawing;
  const data = {m: .3, lam: .09};

  function values({shape, T, kind, c, b, where}) {
    T = preferred(T);
    const sched = shape === "cosine" ? cosine(T) : linear(T, .1/Math.max(T, 100), Math.min(20/T, .9));
    const wrong = {all: () => true, first: t => t <= T/10, middle: t => t > T/10 && t <= .9*T, last: t => t > .9*T}[where];
    const off = t => wrong(t) ? [c, b] : [1, 0], exact = () => [1, 0];
    const terms = bound(sched, data, off, kind), best = bound(sched, data, exact, kind), error = eps_error(sched, data, off), floor = eps_error(sched, data, exact);
    const total = sum(terms), H = entropy(data.lam), exact_nll = nll(data, ...model_law(sched, data, off, kind));
    return {shape, T, kind, c, b, where, sched, terms, best, error, floor, total, H, nll: exact_nll, fault: exact_nll - H, loose: total - exact_nll,
            simple: sum(error)/T, simple_floor: sum(floor)/T, weight: loss_weight(sched, kind)};
  }

  const shown = ({T, c, b}) => ({T: `${T}`, c: fixed(c), b: fixed(b)});

  function draw({terms, weights, sum: bars, gap}, now) {
    const {T, sched, weight, error} = now, t = [1, T];
    const from = 2, by_t = (list, shift = 0) => list.map((v, i) => [i + shift, v]).filter(([i, v]) => i >= from && i <= T && v > 0);
    const dots = points => T <= 40 ? points : [];
    const span = (...lists) => { const all = lists.flat().map(p => p[1]); return [10**Math.floor(Math.log10(Math.min(...all))), 10**Math.ceil(Math.log10(1.5*Math.max(...all)))]; };

    // terms[k] is L_k; the step from t to t − 1 owns L_{t−1}
    const own = by_t(now.terms.slice(0, T), 1), best = by_t(now.best.slice(0, T), 1);
    const ax = axes(terms, {x: t, xlog: true, y: span(own, best), ylog: true, xlabel: "t", title: "terms of the steps t ≥ 2, nats"});
    ax.curve(best, GREY, {width: 1.4});
    ax.curve(own, COLOURS.blue, {width: 2});
    ax.dots(dots(own), COLOURS.blue, {size: 5});
    ax.put(drawing.text(ax.w - 2, 10, "grey: with the exact ε", {"text-anchor": "end"}));

    const curves = {bound: by_t(weight), error: by_t(error)};
    const ay = axes(weights, {x: t, xlog: true, y: span(curves.bound, curves.error, [[1, 1]]), ylog: true, xlabel: "t", title: "weights w_t, and the error they meet"});
    ay.curve([[1, 1], [T, 1]], COLOURS.orange, {width: 2});
    ay.curve(curves.bound, COLOURS.blue, {width: 2});
    ay.curve(by_t(now.floor), GREY, {width: 1.2, dash: "4 3"});
    ay.curve(curves.error, COLOURS.red, {width: 1.8, dash: "4 3"});
    [["the bound’s", COLOURS.blue], ["L_simple’s, 1", COLOURS.orange], ["error of ε", COLOURS.red]].forEach(([name, colour], i) => {
      const dash = i === 2 ? "4 3" : undefined, y = ay.h - 42 + 15*i;
      ay.put(drawing.element("line", {x1: 6, x2: 26, y1: y, y2: y, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash}));
      ay.put(drawing.text(31, y + 4, name));
    });

    const [first, last] = [now.terms[0], now.terms[T]], middle = sum(now.terms.slice(1, T));
    waterfall(bars, "L_0 + ⋯ + L_T is the bound, nats", [["L_0", 0, first, COLOURS.purple], ["L_1 … L_{T−1}", first, first + middle, COLOURS.blue], ["L_T", first + middle, now.total, COLOURS.green], ["bound", 0, now.total, GREY]]);
    waterfall(gap, "what it consists of", [["data’s entropy", 0, now.H, COLOURS.sky], ["model’s fault", now.H, now.nll, COLOURS.red], ["bound’s slack", now.nll, now.total, COLOURS.orange], ["bound", 0, now.total, GREY]]);
  }

  // Bars from where the one before ended
  function waterfall(panel, title, rows) {
    const ends = rows.flatMap(([, a, b]) => [a, b]), low = Math.min(...ends), high = Math.max(...ends), room = (high - low)*.04;
    const ax = axes(panel, {x: [low - room, high + room], y: [rows.length, 0], title, yticks: [], margin: [24, 56, 22, 84]});
    ax.vertical(0, GREY);
    rows.forEach(([name, a, b, colour], i) => {
      ax.bar(a, b, i + .2, i + .8, colour);
      if (i + 1 < rows.length) ax.curve([[b, i + .2], [b, i + 1.8]], GREY, {width: .8, dash: "2 2"});
      panel.append(drawing.text(78, 24 + ax.Y(i + .5) + 4, name, {"text-anchor": "end"}), drawing.text(338, 24 + ax.Y(i + .5) + 4, fixed(b - a, 4), {"text-anchor": "end", class: "title"}));
    });
  }

  const words = ({T, terms, total, H, nll, fault, loose, simple, simple_floor}) =>
    `The bound is <i>L</i><sub>0</sub> + … + <i>L<sub>T</sub></i> = ${fixed(terms[0], 3)} + ${fixed(sum(terms.slice(1, T)), 3)} + ${fixed(terms[T], 4)} = ${fixed(total, 4)} nats. The model’s exact mean −log <i>p</i>(<i>x</i><sub>0</sub>) is ${fixed(nll, 4)}, ` +
    `${fixed(fault, 4)} above the data’s entropy ${fixed(H, 4)}; the bound lies ${fixed(loose, 4)} above that. <i>L</i><sub>simple</sub> is ${fixed(simple, 4)}, with the exact ε ${fixed(simple_floor, 4)}.`;

  drawing.figure("bound", {values, shown, draw, words});
})();
