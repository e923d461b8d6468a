// Keeps an open page true: listens to what happens, fetches `main` again, and shows forms in a dialog; and the keyboard.
// Without it every page still works: links lead to pages, forms are posted.
"use strict";
(() => {
  const RETRY = [500, 1000, 2000, 5000];
  const CALM = 1;   // a page is not changed more often than once in so many seconds, or as many as it says itself
  const byId = (id) => document.getElementById(id);
  const main = () => byId("main");

  // ---- live -------------------------------------------------------------------------------------------------------
  let source = null, failures = 0, timer = null, refreshed = 0, due = null;

  function say(state, words) {
    const element = byId("live");
    if (!element || element.dataset.state === state) return;
    element.dataset.state = state;
    element.querySelector(".words").textContent = words;
  }

  // What must stay as it is in a page that is fetched again says hx-morph-skip.
  function refresh() {
    clearTimeout(due);
    const wait = refreshed + 1000 * (main()?.dataset.calm || CALM) - Date.now();
    if (wait > 0) { due = setTimeout(refresh, wait); return; }
    refreshed = Date.now();
    if (main()) htmx.trigger(main(), "refresh");
  }

  function listen() {
    clearTimeout(timer);
    if (source) source.close();
    const topics = (main()?.dataset.topics || "").split(" ").filter(Boolean);
    if (!topics.length) return say("idle", "not live");
    const page = location.pathname + location.search;   // whoever looks at the same page is told at the same moment
    source = new EventSource("/live?" + new URLSearchParams([...topics.map((topic) => ["topic", topic]), ["page", page]]));
    source.onopen = () => {
      if (failures) refresh();   // whatever was missed is in the page that is fetched now
      failures = 0;
      say("on", "live");
    };
    source.addEventListener("dirty", refresh);
    source.onerror = () => {
      source.close();
      say("lost", "reconnecting …");
      if (failures) refresh();   // the session may be over: then the answer leads to the login
      timer = setTimeout(listen, RETRY[Math.min(failures++, RETRY.length - 1)]);
    };
  }

  // Six connections are all that a browser opens to a server: a tab that nobody sees holds none.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); clearTimeout(timer); }
    else { refresh(); listen(); }
  });
  window.addEventListener("pagehide", () => source?.close());

  document.addEventListener("htmx:config:request", (event) => {
    const csrf = document.querySelector('meta[name="csrf"]')?.content;
    if (csrf) event.detail.ctx.request.headers["X-CSRF-Token"] = csrf;
  });
  // What its reader has unfolded stays unfolded; a page that could not be had leaves the one that is there.
  // (htmx tells extensions of what it morphs, and dispatches no event.)
  htmx.registerExtension("unfolded", {
    htmx_before_morph_attr: (element, { attrName }) => !(attrName === "open" && element.matches("details")),
  });
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = event.detail, to = ctx.response.headers.get("HX-Redirect");
    const there = to && new URL(to, location.href);
    if (there && there.pathname + there.search === location.pathname + location.search) {
      event.preventDefault();   // a browser does not load the page that it shows again for a place in it
      byId("dialog").close();
      if (there.hash) location.hash = there.hash;
      refresh();
    }
    if (ctx.sourceElement === main() && ctx.response.status >= 500) event.preventDefault();
    // An answer without the form (logged out, the database away) must not take what was typed.
    if (ctx.sourceElement.matches("[hx-post]") && ![200, 409, 422].includes(ctx.response.status)) {
      event.preventDefault();
      complain(ctx.sourceElement, `The server answered ${ctx.response.status}. Nothing was done, and what you typed is still here.`);
    }
  });
  // A text area that somebody pulled larger has a style of its own, which the policy does not let move to the next form.
  document.addEventListener("htmx:before:swap", (event) => {
    const target = event.detail.ctx?.target;
    if (target instanceof Element && target.closest("[data-form], dialog"))
      for (const element of target.querySelectorAll("[style]")) element.removeAttribute("style");
  });
  document.addEventListener("htmx:error", (event) =>
    complain(event.detail.ctx?.sourceElement, "The server cannot be reached. What you typed is still here: send it again."));
  function complain(form, words) {
    if (!form?.matches("form")) return;
    const there = form.querySelector("[data-complaint]") || document.createElement("p");
    Object.assign(there, { className: "alert danger", role: "alert", textContent: words });
    there.dataset.complaint = "";
    const actions = form.querySelectorAll(".actions");
    if (actions.length) actions[actions.length - 1].before(there); else form.append(there);
  }

  // ---- dialogs, menus, copying ------------------------------------------------------------------------------------
  // Links with data-dialog show their page's form in the dialog; where there is none, they lead to the page.
  async function openForm(opener) {
    const dialog = byId("dialog");
    dialog.replaceChildren();
    await htmx.ajax("GET", opener.href, { target: "#dialog", select: "[data-form]", swap: "innerHTML" });
    if (!dialog.querySelector("[data-form]")) return location.assign(opener.href);
    dialog.showModal();
    dialog.querySelector("[autofocus], input:not([type=hidden]), select, textarea")?.focus();
  }
  byId("dialog")?.addEventListener("close", (event) => event.target.replaceChildren());

  let forgetting = null;
  function tell(words) {
    byId("said").textContent = words;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => byId("said").textContent = "", 4000);
  }
  document.addEventListener("taskq:tell", (event) => tell(event.detail));

  async function copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      tell("Copied");
    } catch { tell("The browser does not let us copy"); }
  }

  function switchTheme(button) {
    const themes = ["auto", "light", "dark"];
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    document.cookie = `taskq_theme=${next}; path=/; max-age=31536000; samesite=strict`;
    button.querySelector("span").textContent = next;
    document.dispatchEvent(new Event("taskq:theme"));
  }

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    const opener = at("a[data-dialog]");
    if (opener && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); openForm(opener); }
    if (at("[data-close]") && at("dialog")) { event.preventDefault(); at("dialog").close(); }
    if (at("[data-theme-switch]")) switchTheme(at("[data-theme-switch]"));
    if (at("[data-copy]")) copy(at("[data-copy]"));
    if (at("[data-keys]")) byId("keys").showModal();
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    if (event.target.matches("dialog")) event.target.close();   // the backdrop
  });

  // ---- rows that are selected -------------------------------------------------------------------------------------
  // [data-select-all] selects the named boxes of its form; [data-selected] shows how many are,
  // and [data-for-selected] is of use only when there are any.
  function count(form) {
    const boxes = [...form.querySelectorAll('tbody input[type="checkbox"]')];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = form.querySelector("[data-select-all]");
    if (all) { all.checked = chosen > 0 && chosen === boxes.length; all.indeterminate = chosen > 0 && chosen < boxes.length; }
    for (const place of form.querySelectorAll("[data-selected]")) place.textContent = chosen ? `${chosen} selected` : "";
    for (const button of form.querySelectorAll("[data-for-selected]")) button.disabled = !chosen;
  }
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form");
    if (event.target.matches("[data-select-all]"))
      for (const box of form.querySelectorAll('tbody input[type="checkbox"]')) box.checked = event.target.checked;
    if (form?.querySelector("[data-select-all]")) count(form);
    if (form?.matches("[data-submit-on-change]") && event.target.matches("select, [type=checkbox]")) form.requestSubmit();
  });
  const recount = () => document.querySelectorAll("form:has([data-select-all])").forEach(count);
  document.addEventListener("htmx:after:swap", recount);
  recount();   // a browser that goes back has kept the boxes

  // ---- times go on counting ---------------------------------------------------------------------------------------
  const UNITS = [[172800, 86400, "d"], [7200, 3600, "h"], [120, 60, "min"], [0, 1, "s"]];   // as taskq.ago counts
  function length(seconds) {
    const [, size, unit] = UNITS.find(([from]) => seconds >= from) || UNITS[3];
    return `${Math.floor(seconds / size)} ${unit}`;
  }
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const passed = (Date.now() - Date.parse(time.dateTime)) / 1000;
      const words = time.dataset.form === "for" ? length(Math.max(passed, 0))
        : passed < 0 ? `in ${length(-passed)}` : `${length(passed)} ago`;
      if (time.textContent !== words && !Number.isNaN(passed)) time.textContent = words;
    }
  }, 5000);

  // ---- the keyboard -----------------------------------------------------------------------------------------------
  const rows = () => [...document.querySelectorAll("main tbody tr:has(a[href])")];
  function step(by) {
    const all = rows(), here = all.indexOf(document.activeElement?.closest("tr"));
    all[here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1)]?.querySelector("a[href]").focus();
  }
  function pick() {
    const box = document.activeElement?.closest("tr")?.querySelector('input[type="checkbox"]');
    if (box) { box.checked = !box.checked; box.dispatchEvent(new Event("change", { bubbles: true })); }
  }
  const KEYS = {
    "/": () => { byId("q")?.focus(); byId("q")?.select(); },
    "?": () => byId("keys").showModal(),
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), x: pick,
  };
  let chord = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (event.target.id === "q") event.target.blur();
      for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
      return;
    }
    if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (event.key.startsWith("Arrow") && !document.activeElement?.closest("main tbody tr")) return;   // the page scrolls
    const name = Date.now() - chord < 1500 ? `g ${event.key}` : event.key;
    chord = event.key === "g" ? Date.now() : 0;
    const link = [...document.querySelectorAll("[data-key]")].find((element) => element.dataset.key === name);
    const act = link ? () => link.click() : KEYS[name];
    if (act) { event.preventDefault(); act(); }
  });

  listen();
})();
