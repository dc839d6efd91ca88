// Editing a dataset: tags and annotations in place, the README with what is to be said of it. Pages work without it.
(() => {
  "use strict";

  // Yes, no and nothing have no text beside.
  function fitType(select) {
    const value = select.form.querySelector(".of-value");
    if (value) value.hidden = ["true", "false", "null"].includes(select.value);
  }

  function fitTypes(part) {
    for (const select of part.querySelectorAll("form.annotation select[name=type]")) fitType(select);
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("form.annotation select[name=type]")) fitType(event.target);
  });

  // As a page does it, with the button that was pressed.
  function sendWithoutScript(form, button) {
    if (button && button.name) {
      const pressed = document.createElement("input");
      Object.assign(pressed, { type: "hidden", name: button.name, value: button.value });
      form.append(pressed);
    }
    form.submit();
  }

  // What answers may be no part of this page: of who has been signed out, for one, it is the page to sign in.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    const { elt } = requestConfig;
    if (!elt.closest(".edits, .readme-form") || xhr.status === 204) return;
    const asked = new URL(requestConfig.path, location).pathname;
    const isHTML = (xhr.getResponseHeader("Content-Type") || "").startsWith("text/html");
    if (isHTML && new URL(xhr.responseURL).pathname === asked) return;
    event.detail.shouldSwap = false;
    if (elt.matches("form")) sendWithoutScript(elt, requestConfig.triggeringEvent?.submitter);
    else if (elt.matches("a")) location.assign(elt.href);
  });

  document.addEventListener("htmx:sendError", (event) => {
    const section = event.target.closest("section.edits");
    const says = section && section.querySelector("[role=status]");
    if (says) says.textContent = section.querySelector("[data-offline]").dataset.offline;
  });

  // Who uses the keyboard goes on where the section is, not at the top of the page.
  document.addEventListener("htmx:afterSettle", (event) => {
    const part = event.detail.target;
    if (!part || !part.matches("#tags-now, #annotations-now")) return;
    fitTypes(part);
    if (document.activeElement === document.body) part.focus({ preventScroll: true });
  });

  const readme = document.querySelector("textarea#readme");
  if (readme) {
    const form = readme.form;
    const verdict = document.getElementById("readme-verdict");
    let isSent = false;

    function place(line, column) {
      const before = readme.value.split("\n").slice(0, line - 1);
      return before.reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    }

    // A button that leads to the mistake.
    function offerToShow() {
      const wrong = verdict.querySelector("[data-line]");
      readme.toggleAttribute("aria-invalid", false);
      if (verdict.querySelector(".wrong")) readme.setAttribute("aria-invalid", "true");
      if (!wrong) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = verdict.dataset.show;
      button.addEventListener("click", () => {
        const at = Math.min(place(Number(wrong.dataset.line), Number(wrong.dataset.column)), readme.value.length);
        readme.focus();
        readme.setSelectionRange(at, Math.min(at + 1, readme.value.length));
      });
      verdict.append(button);
    }

    offerToShow();
    document.addEventListener("htmx:afterSettle", (event) => {
      if (event.detail.target === verdict) offerToShow();
    });

    const link = form.querySelector("[data-template]");
    if (link) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        readme.value = link.dataset.template;
        readme.focus();
        readme.setSelectionRange(0, 0);
        readme.dispatchEvent(new Event("input", { bubbles: true }));
      });
    }
    const shown = readme.defaultValue;
    const offerTemplate = () => {
      if (link) link.parentElement.hidden = readme.value.trim() !== "";
    };
    readme.addEventListener("input", offerTemplate);
    offerTemplate();

    form.addEventListener("submit", () => { isSent = true; });
    window.addEventListener("beforeunload", (event) => {
      if (!isSent && (readme.value !== shown || form.hasAttribute("data-changed"))) event.preventDefault();
    });
  }

  fitTypes(document);
})();
