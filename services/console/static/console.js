// What the pages need of a script beside htmx. Without it all of them work; they are not live then.
"use strict";

// Whether what is shown is what is: a page says so itself, and when the line to the server breaks it says that.
// The line may stand while what it tells of can't be asked for: a page is live when both go well. Where too many pages
// are open it tells of nothing, and the page looks anew now and then.
const well = { line: false, answers: true, told: true };
const tell = (what, is) => {
  well[what] = is;
  const live = well.told ? "on" : "crowded";
  document.body.setAttribute("data-live", well.line && well.answers ? live : "broken");
};
document.addEventListener("htmx:sseOpen", () => tell("line", true));
document.addEventListener("htmx:sseError", () => tell("line", false));
for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, () => tell("answers", false));
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) tell("answers", true);
});

// Over HTTP/1.1 a browser has six connections to a host for all its tabs together, and a line holds one of them. So a page
// has its line only while somebody sees it; when they come back it connects anew, and whoever connects is told to look.
htmx.createEventSource = (url) => {
  const heard = [], ended = new AbortController();
  let source = null;
  const line = {
    get readyState() { return source ? source.readyState : EventSource.CONNECTING; },
    addEventListener(name, listener) {
      heard.push([name, listener]);
      if (source) source.addEventListener(name, listener);
    },
    removeEventListener(name, listener) {
      const at = heard.findIndex(([of, one]) => of === name && one === listener);
      if (at >= 0) heard.splice(at, 1);
      if (source) source.removeEventListener(name, listener);
    },
    close() { ended.abort(); hangUp(); },
  };
  const hangUp = () => {
    if (source) source.close();
    source = null;
  };
  const connect = () => {
    if (source || document.visibilityState !== "visible") return;
    source = new EventSource(url);
    source.addEventListener("crowded", () => tell("told", false));
    for (const [name, listener] of heard) source.addEventListener(name, listener);
    source.onopen = (event) => {
      well.told = true;
      if (line.onopen) line.onopen(event);
    };
    source.onerror = (event) => {
      // The browser has given it up, and htmx makes another line in place of this one.
      if (source && source.readyState === EventSource.CLOSED) ended.abort();
      if (line.onerror) line.onerror(event);
    };
  };
  const look = () => (document.visibilityState === "visible" ? connect() : hangUp());
  document.addEventListener("visibilitychange", look, { signal: ended.signal });
  window.addEventListener("pagehide", hangUp, { signal: ended.signal });
  window.addEventListener("pageshow", look, { signal: ended.signal });
  // Whoever asks for a line hangs up its handlers right after it.
  queueMicrotask(look);
  return line;
};

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented) return;
  for (const button of event.target.querySelectorAll("button")) {
    setTimeout(() => { button.disabled = true; });
  }
});
// The browser brings a page back as it was when people go back: with its buttons off.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("button")) button.disabled = false;
});

// Where the ways go on to the side, the one that is open is in sight.
const way = document.querySelector(".ways [aria-current]");
if (way) way.scrollIntoView({ block: "nearest", inline: "center" });

// One menu at a time, and Escape or a press elsewhere closes it.
const menus = () => document.querySelectorAll("details.menu[open]");
document.addEventListener("click", (event) => {
  for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
