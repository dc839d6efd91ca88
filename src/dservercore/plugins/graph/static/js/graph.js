// Provenance graphs: zooming by buttons, keys and the wheel, moving by the mouse. Without it they are scrolled.
(() => {
  "use strict";

  const STEP = 1.25;
  const LEAST = 0.05;
  const MOST = 3;
  const READABLE = 0.8; // how small a picture may be at first

  function prepare(figure) {
    if (figure.dataset.prepared) return;
    figure.dataset.prepared = "yes";
    const frame = figure.querySelector(".graph-window");
    const picture = frame.querySelector("svg");
    const width = Number(picture.getAttribute("width"));
    const height = Number(picture.getAttribute("height"));
    let scale = 1;

    // Zooms so that what is at a point of the window stays there: by default at its middle.
    function zoom(wanted, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
      const before = picture.getBoundingClientRect();
      const edge = frame.getBoundingClientRect();
      const across = (edge.left + frame.clientLeft + x - before.left) / before.width;
      const down = (edge.top + frame.clientTop + y - before.top) / before.height;
      scale = Math.min(Math.max(wanted, LEAST), MOST);
      picture.setAttribute("width", String(Math.round(width * scale)));
      picture.setAttribute("height", String(Math.round(height * scale)));
      frame.scrollLeft = across * width * scale - x;
      frame.scrollTop = down * height * scale - y;
      frame.classList.toggle("is-movable", frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight);
    }

    const room = () => frame.clientWidth / width;
    const whole = () => Math.min(room(), Number.parseFloat(getComputedStyle(frame).maxHeight) / height, 1);

    // The dataset that was asked for, in the middle.
    function toCentre() {
      const centre = picture.querySelector(".centre");
      if (!centre) return;
      const place = centre.getBoundingClientRect();
      const edge = frame.getBoundingClientRect();
      frame.scrollLeft += place.left + place.width / 2 - edge.left - frame.clientWidth / 2;
      frame.scrollTop += place.top + place.height / 2 - edge.top - frame.clientHeight / 2;
    }

    const acts = {
      in: () => zoom(scale * STEP),
      out: () => zoom(scale / STEP),
      fit: () => zoom(whole()),
    };

    function act(name) {
      acts[name]();
      const said = document.getElementById("said");
      if (said) said.textContent = figure.dataset.zoomed.replace("{percent}", String(Math.round(scale * 100)));
    }

    const tools = figure.querySelector(".graph-tools");
    tools.hidden = false;
    tools.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-zoom]");
      if (button) act(button.dataset.zoom);
    });

    frame.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const name = { "+": "in", "=": "in", "-": "out", 0: "fit" }[event.key];
      if (!name) return;
      event.preventDefault();
      act(name);
    });

    // Alone, the wheel scrolls the page, which nobody wants to be caught in.
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const edge = frame.getBoundingClientRect();
      zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - edge.left, event.clientY - edge.top);
    }, { passive: false });

    // Moving by the mouse; by touch, the browser scrolls. A click on a link is one unless the mouse has moved.
    let from = null;
    let hasMoved = false;
    frame.addEventListener("dragstart", (event) => event.preventDefault());
    frame.addEventListener("pointerdown", (event) => {
      hasMoved = false;
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      if (event.offsetX > frame.clientWidth && event.target === frame) return; // the scroll bar
      from = { x: event.clientX, y: event.clientY, left: frame.scrollLeft, top: frame.scrollTop };
    });
    window.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y] = [event.clientX - from.x, event.clientY - from.y];
      if (!hasMoved && Math.hypot(x, y) < 5) return;
      hasMoved = true;
      frame.classList.add("is-moved");
      frame.scrollLeft = from.left - x;
      frame.scrollTop = from.top - y;
    });
    window.addEventListener("pointerup", () => {
      from = null;
      frame.classList.remove("is-moved");
    });
    frame.addEventListener("click", (event) => {
      if (!hasMoved) return;
      event.preventDefault();
      hasMoved = false;
    }, true);

    zoom(Math.min(Math.max(room(), READABLE), 1));
    toCentre();
  }

  const all = (part) => part.querySelectorAll("[data-graph]").forEach(prepare);
  all(document);
  document.addEventListener("htmx:load", (event) => all(event.detail.elt));
})();
