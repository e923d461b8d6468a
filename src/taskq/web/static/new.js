// The form of a new mission: what a role may touch, tasks that are picked, errors that are gone to.
// Without it the form does the same with a button.
"use strict";
(() => {
  const roles = () => JSON.parse(document.getElementById("roles-data").textContent);

  function chose(select) {
    const task = select.closest("[data-task]"), role = roles()[select.value];
    task.querySelector("[data-about]").textContent = role ? role.about : "What the task needs: who plays the role claims it.";
    const field = task.querySelector("[data-repository]"), input = field.querySelector("input");
    field.hidden = !role?.globs.length && !input.value;
    field.querySelector("[data-globs]").textContent = role?.globs.length
      ? `A checkout on the workers' machine: ${role.globs.join(", ")}. Without one the agent works in a directory of its own.` : "";
    field.querySelector("datalist").replaceChildren(...(role?.repositories || []).map((path) => new Option("", path)));
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-role]")) chose(event.target);
    // A task that was found and ticked stays when something else is looked for.
    if (event.target.matches(".found input") && event.target.checked) {
      const picked = event.target.closest(".depends").querySelector("[data-picked]");
      const twin = [...picked.querySelectorAll("input")].find((box) => box.value === event.target.value);
      if (twin) twin.checked = true; else picked.append(event.target.closest("label"));
    }
  });

  // What was sent comes back with its errors: go to the first, or to what was checked.
  document.addEventListener("htmx:after:swap", (event) => {
    const form = document.getElementById("new");
    if (!form || !event.target.matches?.("#new")) return;
    const wrong = form.querySelector('[aria-invalid="true"]');
    if (wrong) { for (let box = wrong.closest("details"); box; box = box.parentElement.closest("details")) box.open = true; wrong.focus(); }
    else form.querySelector("[data-outcome]")?.focus();
  });
})();
