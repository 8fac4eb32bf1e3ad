// Stands in the page behind each live figure, as a classic script; everything else is loaded by its button.
(figure => {
  const button = figure.querySelector(".live-start"), status = figure.querySelector("[role=status]");
  const film = figure.querySelector(".live-film");
  const say = text => { status.textContent = text; };
  new IntersectionObserver(([{ isIntersecting }]) => film.classList.toggle("live-seen", isIntersecting)).observe(film);

  if (location.protocol === "file:") return say("This film was recorded. Browsers run no network in a page opened from the file system; served by a web server, such as that of “make serve”, this figure draws digits live.");
  if (!window.WebAssembly || !window.Worker || !window.DecompressionStream) return say("This film was recorded. This browser lacks WebAssembly, workers or DecompressionStream, without which the network cannot run in the page.");
  button.hidden = false;
  say("This film was recorded. The button loads the network, and what runs it: 5 MB.");
  button.onclick = () => {
    button.disabled = true;
    figure.dataset.state = "loading";
    say("Loading the network, and what runs it …");
    import(new URL(figure.dataset.live + "demo.mjs", document.baseURI)).then(demo => demo.start(figure)).catch(error => {
      figure.dataset.state = "error";
      button.disabled = false;
      say(`The network could not be run here (${error.message}); the film was recorded.`);
    });
  };
})(document.currentScript.closest("figure"));
