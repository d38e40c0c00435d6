// Reads the page again when the tip changes. Without it the page is the same, as of its loading.
"use strict";
(() => {
  const PAUSE = 1000;
  let timer = null;
  const update = async () => {
    timer = null;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    // A parsed document runs nothing.
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (fresh) document.querySelector("main").replaceWith(fresh);
  };
  const soon = () => { timer ??= setTimeout(update, PAUSE); };
  const events = new EventSource("/events");
  for (const name of ["tip", "reorg", "tx_added", "peer_connected", "peer_disconnected", "gap"]) {
    events.addEventListener(name, soon);
  }
})();
