// The approvals: the page stands still while somebody writes, and whoever has answered is at the next question.
"use strict";
(() => {
  const items = () => [...document.querySelectorAll(".item")];
  const main = document.getElementById("main");

  // What was just done is said once; the address is that of the inbox again.
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done");
    history.replaceState(null, "", address);
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.focus();

  function isWriting() {
    return [...document.querySelectorAll(".item textarea")].some((area) => area.value !== area.defaultValue || area === document.activeElement);
  }
  let held = false, place = -1;
  document.addEventListener("htmx:before:request", (event) => {
    if (event.detail.ctx.sourceElement !== main) return;
    if (isWriting()) {
      event.preventDefault();
      held = true;
      document.getElementById("held").hidden = false;
    }
  });
  document.addEventListener("focusout", () => setTimeout(() => {
    if (!held || isWriting()) return;
    held = false;
    document.getElementById("held").hidden = true;
    htmx.trigger(main, "refresh");
  }));

  // Where the focus was in a question that somebody else has answered, it goes on to the next one.
  document.addEventListener("focusin", (event) => { place = items().indexOf(event.target.closest(".item")); });
  document.addEventListener("htmx:after:swap", () => {
    if (document.activeElement === document.body && place >= 0) {
      const left = items();
      left[Math.min(place, left.length - 1)]?.focus();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, textarea, select")) return;
    const by = { j: 1, k: -1 }[event.key];
    if (!by) return;
    const all = items(), here = all.indexOf(document.activeElement?.closest(".item"));
    const next = all[here < 0 ? 0 : Math.min(Math.max(here + by, 0), all.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  });
})();
