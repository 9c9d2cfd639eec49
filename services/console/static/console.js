// What the pages need of a script beside htmx. Without it all of them work; they are not live then.
"use strict";

// Whether what is shown is what is: a page says so itself, and when the line to the server breaks it says that.
document.addEventListener("htmx:sseOpen", () => document.body.setAttribute("data-live", "on"));
document.addEventListener("htmx:sseError", () => document.body.setAttribute("data-live", "broken"));

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
