// Follows work while a page is open. An element with data-live="address" asks that address every data-every
// seconds; each [data-part] of the answer replaces the one of the same name here. Nothing is asked while the page
// is hidden, and no more once the answer has a [data-live-end].
"use strict";

(() => {
  const MOST_SECONDS = 60; // between tries while the server does not answer

  function localise(root) {
    root.querySelectorAll("time[datetime]").forEach((time) => {
      const moment = new Date(time.dateTime);
      if (time.dataset.localised || Number.isNaN(moment.getTime())) return;
      time.dataset.localised = "1";
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
      time.title = `${time.title}\n${moment.toLocaleString()} here (${zone})`;
    });
  }

  // A list that is read again must not take the keyboard's place away.
  function replace(target, fresh) {
    if (target.dataset.was === undefined) target.dataset.was = "";
    if (target.dataset.was === fresh.innerHTML) return;
    const focused = target.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const open = [...target.querySelectorAll("details[open][id]")].map((details) => details.id);
    target.dataset.was = fresh.innerHTML;
    target.innerHTML = fresh.innerHTML;
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    if (focused) [...target.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused)?.focus();
    localise(target);
  }

  // Said only when it changes: figures that move every two seconds are for the eyes.
  function say(words) {
    const line = document.querySelector("[data-say-here]");
    if (line && words && line.textContent !== words) line.textContent = words;
  }

  function note(words) {
    const place = document.querySelector("[data-live-note]");
    if (!place) return;
    place.textContent = words;
    place.hidden = !words;
  }

  function follow(marker) {
    const every = Number(marker.dataset.every || 2);
    let wait = every;
    let timer = null;
    let ended = false;

    async function ask() {
      timer = null;
      try {
        const answer = await fetch(marker.dataset.live, { credentials: "same-origin", redirect: "manual" });
        if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
          ended = true;
          note("This page no longer follows the work: sign in again.");
          return;
        }
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        page.querySelectorAll("[data-part]").forEach((fresh) => {
          const target = document.querySelector(`[data-part="${fresh.dataset.part}"]`);
          if (target) replace(target, fresh);
          if (fresh.dataset.say) say(fresh.dataset.say);
        });
        ended = page.querySelector("[data-live-end]") !== null;
        wait = every;
        note("");
      } catch {
        wait = Math.min(wait * 2, MOST_SECONDS);
        note("Sysops does not answer; the figures below are not fresh. Trying again.");
      }
      plan();
    }

    function plan() {
      if (!ended && timer === null && !document.hidden) timer = setTimeout(ask, wait * 1000);
    }

    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        clearTimeout(timer);
        timer = null;
      } else if (!ended && timer === null) {
        wait = every;
        ask();
      }
    });
    plan();
  }

  function copyFrom(event) {
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      button.textContent = "Copied";
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    localise(document);
    document.querySelectorAll("[data-live]").forEach(follow);
    document.addEventListener("click", copyFrom);
  });
})();
