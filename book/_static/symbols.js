// Point at, tap, or reach by Tab and arrow keys any symbol of a formula: a card says what it is.
// An equation's number opens the code that implements it. Cards are in cards.js, loaded at the first use.
(() => {
  const here = document.currentScript.src, symbol = "math [data-s]";
  let card, shown, pinned = false, timer, names;

  const load = () => load.done ??= new Promise(done => {
    const script = document.createElement("script");
    script.src = new URL("cards.js", here);
    script.onload = () => {
      names = new Map();
      CARDS.forEach((cells, row) => (cells[1].match(/\w+/g) || []).forEach(word => !/^(code|span|class|pre|docutils|literal|notranslate|sched|of|gm)$/.test(word)
        && names.set(word, [...(names.get(word) || []), String(row)])));
      done();
    };
    document.head.append(script);
  });

  function make() {
    card = document.createElement("div");
    Object.assign(card, {className: "symbol-card", id: "symbol-card", hidden: true, tabIndex: -1});
    card.setAttribute("role", "status");
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", () => pinned || later(close));
    document.body.append(card);
  }

  const later = (act, wait = 250) => { clearTimeout(timer); timer = setTimeout(act, wait); };

  function place(box) {
    card.style.left = card.style.top = "0";
    const {width, height} = card.getBoundingClientRect(), edge = 8;
    const left = Math.max(edge, Math.min(box.left + box.width / 2 - width / 2, document.documentElement.clientWidth - width - edge));
    const tall = document.documentElement.clientHeight, below = box.bottom + 2 * edge + height <= tall;
    card.style.left = `${left}px`;
    const top = below ? box.bottom + edge : box.top - edge - height;
    card.style.top = `${Math.max(edge, Math.min(top, tall - height - edge))}px`;
  }

  async function open(element, pin = false) {
    await load();
    card || make();
    close();
    const [sign, code, meaning, shape, where] = CARDS[element.dataset.s];
    card.innerHTML = `<p class="what"><b>${sign}</b> ${meaning}</p>`
      + (shape ? `<p><span>Shape, range</span> ${shape}</p>` : "") + (code ? `<p><span>In code</span> ${code}</p>` : "")
      + `<p><span>See</span> ${where || ""}${where ? ", " : ""}<a href="../book/notation.html">Notation</a></p>`;
    shown = element; pinned = pin; card.hidden = false;
    light([element.dataset.s]);
    element.classList.add("symbol-here");
    place(element.getBoundingClientRect());
    document.fonts.ready.then(() => shown == element && place(element.getBoundingClientRect()));
  }

  function light(rows) {
    for (const row of rows) document.querySelectorAll(`math [data-s="${row}"]`).forEach(e => e.classList.add("symbol-lit"));
    document.querySelectorAll(".highlight .n, .highlight .nb").forEach(e => names.get(e.textContent)?.some(r => rows.includes(r)) && e.classList.add("symbol-lit"));
  }

  function close() {
    document.querySelectorAll(".symbol-lit, .symbol-here").forEach(e => e.classList.remove("symbol-lit", "symbol-here"));
    shown = null; pinned = false;
    if (card) card.hidden = true;
  }

  document.addEventListener("pointerover", event => {
    if (event.pointerType == "touch" || pinned) return;
    const element = event.target.closest?.(symbol), name = event.target.closest?.(".highlight .n");
    if (element) later(() => open(element), 150);
    else if (name) later(async () => { await load(); close(); names.has(name.textContent) && light(names.get(name.textContent)); }, 150);
    else if (!event.target.closest?.(".symbol-card")) later(close);
  });
  document.addEventListener("click", event => {
    const element = event.target.closest?.(symbol), number = event.target.closest?.("button.eq-open");
    if (number) return panel(number);
    if (element) return open(element, true);
    if (!event.target.closest?.(".symbol-card")) close();
  });
  addEventListener("scroll", () => shown && place(shown.getBoundingClientRect()), {passive: true});

  // One tab stop a displayed equation or paragraph; arrows walk its symbols.
  const stops = () => document.querySelectorAll("div.math > .formula, p:has(span.math [data-s]), li > span.math, td:has(span.math [data-s])");
  const walk = stop => [...stop.querySelectorAll(symbol)].filter(e => !e.closest(".symbol-card"));
  document.addEventListener("keydown", event => {
    const stop = event.target.closest?.("[data-symbols]"), step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1}[event.key];
    if (event.key == "Escape") { const back = card?.contains(document.activeElement) && shown?.closest("[data-symbols]"); close(); back?.focus(); return; }
    if (!stop || event.target != stop) return;
    const all = walk(stop), at = all.indexOf(shown);
    if (step && (at >= 0 || event.key == "ArrowRight")) { event.preventDefault(); const next = all[(at + step + all.length) % all.length]; next.scrollIntoView({block: "nearest", inline: "nearest"}); open(next); }
    else if (event.key == "Enter" && at < 0) open(all[0]);
    else if (event.key == "Enter") { pinned = true; card.querySelector("a")?.focus(); }
  });

  // The function that implements an equation and the check that guards it: cells of this page, or of another.
  const cellsOf = chapter => cellsOf[chapter] ??= new Promise(done => {
    const script = document.createElement("script");
    script.src = new URL(`cells/${chapter}.js`, here);
    script.onload = () => done(CELLS[chapter]);
    script.onerror = () => done({});
    document.head.append(script);
  });

  async function code(link) {
    const page = link.pathname, id = decodeURIComponent(link.hash.slice(1));
    if (page == location.pathname) return document.getElementById(id)?.nextElementSibling?.closest(".cell")?.querySelector(".highlight")?.cloneNode(true);
    const box = document.createElement("div");
    box.innerHTML = (await cellsOf(page.match(/(\w+)\.html$/)?.[1]))[id] || "";
    return box.firstElementChild;
  }

  async function panel(button) {
    const line = button.closest(".eq-entry > p") || button.closest("div.math").nextElementSibling, old = line.nextElementSibling;
    const open = !old?.classList.contains("eq-panel");
    button.setAttribute("aria-expanded", open);
    if (!open) return old.remove();
    const box = document.createElement("div"), seen = new Set();
    box.className = "eq-panel";
    line.after(box);
    for (const link of line.querySelectorAll("a[href*='#cell-']")) {
      const cell = !seen.has(link.href) && await code(link), title = document.createElement("p");
      seen.add(link.href);
      title.append(link.querySelector("code") ? "Code: " : "Check: ", link.cloneNode(true));
      box.append(title);
      if (!cell) continue;
      cell.querySelectorAll("button").forEach(e => e.remove());
      cell.querySelectorAll("[id]").forEach(e => e.removeAttribute("id"));
      box.append(cell);
    }
  }

  addEventListener("DOMContentLoaded", () => {
    for (const stop of stops()) if (stop.querySelector(symbol)) stop.tabIndex = 0, stop.dataset.symbols = "", stop.setAttribute("aria-describedby", "symbols-help");
    const help = document.createElement("p");
    Object.assign(help, {id: "symbols-help", hidden: true, textContent: "Right arrow walks the symbols, Enter pins a card, Escape closes it."});
    document.body.append(help);
    for (const number of document.querySelectorAll("div.math > .eqno")) {
      if (!number.parentElement.nextElementSibling?.matches(".eq-links")) continue;
      const button = document.createElement("button");
      Object.assign(button, {type: "button", className: "eq-open", textContent: number.firstChild.textContent.trim(), title: "Show the code and the check of this equation"});
      button.setAttribute("aria-expanded", "false");
      number.firstChild.replaceWith(button);
    }
    for (const line of document.querySelectorAll(".eq-entry > p:has(a[href*='#cell-'])")) {
      const button = document.createElement("button");
      Object.assign(button, {type: "button", className: "eq-open", textContent: "Show"});
      button.setAttribute("aria-label", `Show the code and the check of ${line.firstChild.textContent}`);
      button.setAttribute("aria-expanded", "false");
      line.append(" · ", button);
    }
  });
})();
