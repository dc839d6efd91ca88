// The page of a dataset: whoever goes through its files by keyboard goes on where the new ones begin.
(() => {
  "use strict";

  document.addEventListener("htmx:afterSettle", (event) => {
    const files = document.getElementById("files");
    if (!files || event.detail.target?.id !== "files" || files.contains(document.activeElement)) return;
    document.getElementById("files-title").focus({ preventScroll: true });
  });
})();
