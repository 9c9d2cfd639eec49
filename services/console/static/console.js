// What the pages need of a script beside htmx. Without it all of them work; they are not live then.
"use strict";

// Whether what is shown is what is: a page says so itself, and when the line to the server breaks it says that.
// The line may stand while what it tells of can't be asked for: a page is live when both go well.
const well = { line: false, answers: true };
const tell = (what, is) => {
  well[what] = is;
  document.body.setAttribute("data-live", well.line && well.answers ? "on" : "broken");
};
document.addEventListener("htmx:sseOpen", () => tell("line", true));
document.addEventListener("htmx:sseError", () => tell("line", false));
for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(failure, () => tell("answers", false));
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) tell("answers", true);
});

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
