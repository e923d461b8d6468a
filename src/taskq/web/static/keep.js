// What a reader has folded or unfolded stays so when the page is refreshed.
"use strict";
document.addEventListener("htmx:before:morph:attr", (event) => {
  if (event.target.tagName === "DETAILS" && event.detail.attrName === "open") event.preventDefault();
});
