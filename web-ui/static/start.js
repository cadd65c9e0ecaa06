// Runs before the first paint: sets the theme, then starts the application.
"use strict";

(function setTheme() {
  let chosen = null;
  try {
    chosen = localStorage.getItem("antiphon.theme");
  } catch {
    // A browser that keeps nothing has nothing chosen.
  }
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();

(function startApplication() {
  function say(detail) {
    function show() {
      const main = document.createElement("main");
      main.className = "alone";
      const heading = document.createElement("h1");
      heading.textContent = "The dashboard cannot start";
      const text = document.createElement("p");
      text.textContent = detail;
      main.append(heading, text);
      main.setAttribute("role", "alert");
      document.body.replaceChildren(main);
    }
    if (document.body) {
      show();
    } else {
      document.addEventListener("DOMContentLoaded", show);
    }
  }

  if (typeof WebAssembly !== "object") {
    say("This browser has no WebAssembly, or it is switched off. Use a current browser, or switch it on.");
    return;
  }
  const ready = new Promise((resolve) => {
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", resolve, { once: true });
    } else {
      resolve();
    }
  });
  // The module and the program are fetched while the page is still read; the program's start needs the page.
  const wasm = fetch("{{wasm}}", { credentials: "same-origin" });
  Promise.all([import("{{module}}"), ready])
    .then(([module]) => module.default({ module_or_path: wasm }))
    .catch((error) => {
      console.error(error);
      say("A part of it could not be loaded. Reload the page; if it fails again, ask your administrator.");
    });
})();
