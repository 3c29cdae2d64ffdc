// Shows what words become while they are written. A form with data-preview="address" posts itself there a moment after
// the last key; the answer is shown in sandboxed frames, which run nothing. Without this script the button does it.
"use strict";

document.querySelectorAll("form[data-preview]").forEach((form) => {
  const PAUSE_MS = 400;
  const part = (name) => document.querySelector(`[data-preview-${name}]`);
  let timer = null;
  let asked = 0;

  function escaped(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  }

  function problem(words) {
    part("problem").textContent = words;
    part("problem").hidden = !words;
  }

  function show(answer) {
    problem(Object.entries(answer.problems).map(([field, words]) => `${field}: ${words}`).join(" "));
    if (answer.html === undefined) return;
    part("subject").textContent = answer.subject;
    part("html").srcdoc = answer.html;
    part("text").srcdoc = `<pre style="white-space:pre-wrap;font:13px/1.5 monospace">${escaped(answer.text)}</pre>`;
  }

  async function ask() {
    const mine = ++asked;
    try {
      const answer = await fetch(form.dataset.preview, { method: "POST", body: new FormData(form), redirect: "manual" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const found = await answer.json();
      if (mine === asked) show(found); // an older answer must not cover a newer one
    } catch {
      if (mine === asked) problem("The preview does not answer. What you wrote is still here.");
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  });
});
