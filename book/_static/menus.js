// What the theme asks of Bootstrap: menus, the heading that is being read, the way back to the top.
{
  const menuOf = button => button.parentElement.querySelector(".dropdown-menu");

  function show(button, open) {
    const menu = menuOf(button);
    for (const e of [button, menu]) e.classList.toggle("show", open);
    button.setAttribute("aria-expanded", open);
    Object.assign(menu.style, {top: "100%", left: 0, right: "auto"});
    if (menu.getBoundingClientRect().right > document.documentElement.clientWidth) Object.assign(menu.style, {left: "auto", right: 0});
  }

  function menus() {
    const buttons = [...document.querySelectorAll("[data-bs-toggle=dropdown]")], opened = () => buttons.find(b => b.matches(".show"));
    document.addEventListener("click", event => {
      const button = event.target.closest("[data-bs-toggle=dropdown]"), open = button && !button.matches(".show");
      for (const b of buttons) show(b, b == button && open);
    });
    document.addEventListener("keydown", event => {
      const button = event.target.closest?.("[data-bs-toggle=dropdown]") || opened(), step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (!button) return;
      if (event.key == "Escape" && opened()) { show(button, false); button.focus(); }
      if (!step || !button.parentElement.contains(event.target)) return;
      event.preventDefault();
      show(button, true);
      const items = [...menuOf(button).querySelectorAll(".dropdown-item")], at = items.indexOf(document.activeElement);
      items.at(at < 0 && step < 0 ? -1 : (at + step) % items.length).focus();
    });
  }

  function follow() {
    const links = [...document.querySelectorAll("#pst-page-toc-nav a[href^='#']")], top = document.getElementById("pst-back-to-top");
    const headings = links.map(a => document.getElementById(decodeURIComponent(a.hash.slice(1))));
    let before = scrollY, waiting = false;
    const look = () => {
      waiting = false;
      const here = headings.findLastIndex(e => e && e.getBoundingClientRect().top < .4*innerHeight);
      links.forEach((a, i) => [a, a.parentElement].forEach(e => e.classList.toggle("active", i == here)));
      if (top && scrollY != before) top.style.display = scrollY < before && scrollY > innerHeight ? "block" : "none";
      before = scrollY;
    };
    addEventListener("scroll", () => waiting ||= requestAnimationFrame(look), {passive: true});
    top?.addEventListener("click", () => scrollTo(0, 0));
    look();
  }

  addEventListener("DOMContentLoaded", () => {
    for (const e of document.querySelectorAll("[data-bs-title]")) e.title ||= e.dataset.bsTitle;
    menus();
    follow();
  });
}
