for (const block of document.querySelectorAll("pre, .table-wrapper")) block.tabIndex = 0; // what is too wide scrolls by keyboard, too
for (const formula of document.querySelectorAll(".math")) {
  katex.render(formula.textContent, formula, { displayMode: formula.classList.contains("block"), throwOnError: true });
}
