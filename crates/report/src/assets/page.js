"use strict";
// The page works without this: here are the filter of findings, copying, and printing what is folded.
(() => {
  const filter = document.querySelector(".filter");
  if (filter) {
    const input = filter.querySelector("input");
    const output = filter.querySelector("output");
    const groups = [...document.querySelectorAll("details.found")];
    filter.hidden = false;
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let all = 0;
      for (const group of groups) {
        let shown = 0;
        for (const row of group.querySelectorAll("tbody tr")) {
          const text = row.textContent.toLowerCase();
          row.hidden = !words.every((word) => text.includes(word));
          shown += row.hidden ? 0 : 1;
        }
        group.hidden = shown === 0;
        all += shown;
      }
      output.textContent = all === 0 ? output.dataset.none : words.length ? String(all) : "";
    });
  }

  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.dataset.copy);
      element.classList.add("copied");
      setTimeout(() => element.classList.remove("copied"), 1200);
    } catch {
      getSelection().selectAllChildren(element);
    }
  };
  document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-copy]");
    if (element) {
      event.preventDefault();
      copy(element);
    }
  });

  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  open();

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.row)")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
})();
