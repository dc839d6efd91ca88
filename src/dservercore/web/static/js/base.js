// What all pages share: times in the zone of the reader, and buttons that copy. Pages work without it.
(() => {
  "use strict";

  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const minute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

  function showTimes(part) {
    for (const time of part.querySelectorAll("time[datetime]:not([data-shown])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.textContent = (time.hasAttribute("data-exact") ? minute : day).format(moment);
      time.title = exactly.format(moment);
      time.dataset.shown = "";
    }
  }

  function offerCopies(part) {
    if (!navigator.clipboard) return; // only where the page came over TLS, or from this machine
    for (const button of part.querySelectorAll("button[data-copy]")) button.hidden = false;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const text = button.closest(".copyable").querySelector("code, input, textarea");
    await navigator.clipboard.writeText(text.value ?? text.textContent);
    const says = button.querySelector("span");
    const before = says.textContent;
    says.textContent = button.dataset.copied;
    tell(button.dataset.copied);
    setTimeout(() => { says.textContent = before; }, 2000);
  });

  // To who does not see it. What stays the same is said again.
  function tell(text) {
    const said = document.getElementById("said");
    said.textContent = "";
    setTimeout(() => { said.textContent = text.trim().replace(/\s+/g, " "); }, 100);
  }

  document.addEventListener("htmx:afterSwap", ({ target }) => {
    const says = target.matches?.("[data-says]") ? target : target.querySelector?.("#total[data-says]") ?? target.querySelector?.("[data-says]");
    if (says) tell(says.dataset.says || says.textContent);
  });

  const notices = [...document.querySelectorAll("main > .notice")];
  if (notices.length) tell(notices.map((notice) => notice.textContent).join(" "));

  function show(part) {
    showTimes(part);
    offerCopies(part);
  }

  show(document);
  document.addEventListener("htmx:load", (event) => show(event.detail.elt));
})();
