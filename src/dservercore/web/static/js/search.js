// The search page: suggestions for what is typed, selects that act at once, and what htmx leaves to do.
(() => {
  "use strict";

  const home = () => document.getElementById("search");

  // -- Results as one types ------------------------------------------------------------------------------------------

  // A burst of typing is one step of the history: its first answer is a new one, the others take its place.
  let isTyping = false;

  document.addEventListener("htmx:configRequest", (event) => {
    if (!home()) return;
    const { parameters, elt } = event.detail;
    for (const name of ["free_text", "sort", "page_size", "prefix"]) {
      if (parameters[name] === "") delete parameters[name];
    }
    if (elt.id === "search-form") {
      // What was typed right before is still to be asked for, and is the same step.
      isTyping = true;
      setTimeout(() => { isTyping = false; }, 400);
    }
    if (elt.id !== "q") return;
    elt.setAttribute(isTyping ? "hx-replace-url" : "hx-push-url", "true");
    elt.setAttribute(isTyping ? "hx-push-url" : "hx-replace-url", "false");
    isTyping = true;
  });

  document.addEventListener("focusout", (event) => { if (event.target.id === "q") isTyping = false; });

  let open = [];

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!home() || !["search", "answer"].includes(event.detail.target.id)) return;
    // Another page has come, such as that to sign in, after a session has ended.
    if (!event.detail.serverResponse.includes(`id="${event.detail.target.id}"`)) {
      event.detail.shouldSwap = false;
      const path = event.detail.pathInfo.requestPath;
      const given = [...new FormData(document.getElementById("search-form"))].filter(([, value]) => value !== "");
      const query = new URLSearchParams(given).toString();
      window.location.assign(path.includes("?") ? path : `${path}?${query}`);
      return;
    }
    open = [...home().querySelectorAll("details[id][open]")].map((details) => details.id);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (!home() || !["search", "answer"].includes(event.detail.target.id)) return;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (event.detail.target.id === "search") prepare();
    openOnWideScreens();
  });

  // Who uses the keyboard goes on with the results, where what was pressed is no more.
  document.addEventListener("htmx:afterSettle", () => {
    if (home() && document.activeElement === document.body) document.getElementById("total")?.focus({ preventScroll: true });
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
  });

  // The style sheet shows what is in them anyway, in browsers that can do so.
  function openOnWideScreens() {
    if (!matchMedia("(min-width: 60rem)").matches) return;
    document.getElementById("facets")?.setAttribute("open", "");
  }

  // -- Suggestions ---------------------------------------------------------------------------------------------------

  function prepare() {
    const box = document.getElementById("q"), list = document.getElementById("suggestions");
    if (!box || !list) return;
    box.setAttribute("role", "combobox");
    box.setAttribute("aria-autocomplete", "list");
    box.setAttribute("aria-controls", list.id);
    box.setAttribute("aria-expanded", "false");

    let waiting = 0, asking = null, chosen = -1, typed = box.value;

    function show(isShown) {
      list.hidden = !isShown;
      box.setAttribute("aria-expanded", String(isShown));
      if (!isShown) choose(-1);
    }

    function choose(place) {
      chosen = place;
      [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
      if (place < 0) box.removeAttribute("aria-activedescendant");
      else box.setAttribute("aria-activedescendant", list.children[place].id);
    }

    function close() {
      clearTimeout(waiting);
      asking?.abort();
      show(false);
    }

    function fill(suggestions) {
      list.replaceChildren(...suggestions.map(({ text, kind }, place) => {
        const option = document.createElement("li"), name = document.createElement("bdi"), of = document.createElement("span");
        option.id = `suggestion-${place}`;
        option.setAttribute("role", "option");
        option.dataset.text = text;
        // What kind it is stands beside it.
        name.textContent = kind === "word" ? text : text.replace(/^[a-z]+:"?|"$/g, "");
        of.className = "kind";
        of.textContent = kind === "word" ? "" : box.dataset[kind] ?? "";
        option.append(name, of);
        return option;
      }));
      show(suggestions.length > 0 && document.activeElement === box);
      choose(-1);
    }

    async function ask() {
      asking?.abort();
      asking = new AbortController();
      const asked = new URLSearchParams({ q: box.value, limit: "6" });
      try {
        const answer = await fetch(`${box.dataset.suggestions}?${asked}`, { signal: asking.signal, headers: { Accept: "application/json" } });
        if (answer.ok && !answer.redirected) fill(await answer.json());
      } catch { /* it was typed on, or the server is away: there are just no suggestions */ }
    }

    function take(text) {
      box.value = typed = text;
      close();
      box.form.requestSubmit();
    }

    box.addEventListener("input", () => {
      if (box.value === typed) return;
      typed = box.value;
      clearTimeout(waiting);
      if (box.value.trim() && box.value.length <= 1000) waiting = setTimeout(ask, 120);
      else close();
    });

    box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape" && !list.hidden) { event.preventDefault(); close(); }
      if (event.key === "Enter") {
        if (chosen >= 0) { event.preventDefault(); take(list.children[chosen].dataset.text); } else close();
      }
      if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !list.hidden) {
        event.preventDefault();
        const number = list.children.length + 1; // one place is the box itself
        choose((chosen + 1 + (event.key === "ArrowDown" ? 1 : number - 1)) % number - 1);
      }
    });

    box.addEventListener("blur", close);
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the box keeps the focus
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) take(option.dataset.text);
    });
  }

  prepare();
  openOnWideScreens();
})();
