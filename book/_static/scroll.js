// What scrolls sideways can be reached by the keyboard.
{
  const wide = ".bd-content table, .bd-content pre, .bd-content div.math, .bd-content div.cell_output";
  const mark = () => document.querySelectorAll(wide).forEach(e => {
    if (e.scrollWidth > e.clientWidth) e.tabIndex = 0; else e.removeAttribute("tabindex");
  });
  addEventListener("DOMContentLoaded", () => new ResizeObserver(mark).observe(document.querySelector("article") || document.body));
}
