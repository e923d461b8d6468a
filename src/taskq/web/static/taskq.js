// Keeps an open page true: listens to what happens, fetches `main` again, and shows forms in a dialog.
// Without it every page still works: links lead to pages, forms are posted.
"use strict";
(() => {
  const RETRY = [500, 1000, 2000, 5000];
  const live = () => document.getElementById("live");
  const main = () => document.getElementById("main");
  let source = null, failures = 0, timer = null;

  function say(state, words) {
    const element = live();
    if (!element || element.dataset.state === state) return;
    element.dataset.state = state;
    element.querySelector(".words").textContent = words;
  }

  // A page whose form is being filled in or whose dialog is open is not changed under its reader's hands: htmx morphs,
  // and what must stay as it is says hx-morph-skip.
  function refresh() {
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

  // Links and buttons with data-dialog show their page's form in the dialog.
  document.addEventListener("click", async (event) => {
    const opener = event.target.closest("a[data-dialog]");
    const dialog = document.getElementById("dialog");
    if (opener && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      await htmx.ajax("GET", opener.href, { target: "#dialog", select: "[data-form]", swap: "innerHTML" });
      dialog.showModal();
    }
    if (event.target.closest("[data-close]")) { event.preventDefault(); dialog.close(); }
    if (event.target.closest("[data-theme-switch]")) switchTheme(event.target.closest("[data-theme-switch]"));
  });

  function switchTheme(button) {
    const themes = ["auto", "light", "dark"];
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    document.cookie = `taskq_theme=${next}; path=/; max-age=31536000; samesite=strict`;
    button.setAttribute("aria-label", `Change the colours: ${next}`);
    document.dispatchEvent(new Event("taskq:theme"));
  }

  // Times that are shown as "3 s ago" go on counting.
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function length(seconds) {
    const [size, unit] = units.find(([size]) => seconds >= size) || [1, "s"];
    return `${Math.floor(seconds / size)} ${unit}`;
  }
  setInterval(() => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const passed = (Date.now() - Date.parse(time.dateTime)) / 1000;
      if (Math.abs(passed) >= 60) time.textContent = passed < 0 ? `in ${length(-passed)}` : `${length(passed)} ago`;
    }
  }, 15000);

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault();
      document.getElementById("q")?.focus();
    }
  });

  listen();
})();
