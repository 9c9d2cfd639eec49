// The page asks the agent how it stands, and is told by a stream when that changes. All words come from its catalogues.
const at = (id) => document.getElementById(id);
const LANGUAGES = ["en", "es"];
const BACK_MS = 2000;
const LATEST = 12;

let words = {};
let language = chosen();
let token = sessionStorage.getItem("token") || "";
let status = null;
let refusals = [];
let latest = [];
// What a person is about to give up.
let doubted = null;

function chosen() {
  const before = localStorage.getItem("language");
  if (LANGUAGES.includes(before)) return before;
  const wished = navigator.languages.map((one) => one.slice(0, 2).toLowerCase());
  return wished.find((one) => LANGUAGES.includes(one)) || "en";
}

// How numbers and times are written: by the reader's own country, where they speak the page's language.
const locale = () => navigator.languages.find((one) => one.slice(0, 2).toLowerCase() === language) || language;

function t(key, values = {}) {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const known = (prefix, name) => `${prefix}.${name}` in words;

function element(tag, className, ...parts) {
  const one = document.createElement(tag);
  if (className) one.className = className;
  one.append(...parts.filter((part) => part !== null && part !== ""));
  return one;
}

const moment = (written) => {
  const time = new Date(written);
  const today = time.toDateString() === new Date().toDateString();
  const shape = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale(), shape).format(time);
};

// The agent says how many decimals a currency has: a browser may think otherwise, and none of them is computed with.
const money = (amount) => {
  if (!amount) return "";
  const { amount_minor: minor, currency, exponent } = amount;
  const digits = String(Math.abs(minor)).padStart(exponent + 1, "0");
  const whole = digits.slice(0, digits.length - exponent);
  const text = `${minor < 0 ? "-" : ""}${whole}${exponent ? `.${digits.slice(-exponent)}` : ""}`;
  const shape = { style: "currency", currency, minimumFractionDigits: exponent, maximumFractionDigits: exponent };
  return new Intl.NumberFormat(locale(), shape).format(text);
};

async function ask(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const reply = await fetch(path, { ...options, headers, cache: "no-store" });
  if (reply.status === 401) {
    enter(Boolean(token));
    throw new Error("no token");
  }
  return reply;
}

const list = async (path) => (await (await ask(path)).json()).items;

function enter(wrong) {
  token = "";
  sessionStorage.removeItem("token");
  at("wrong-token").hidden = !wrong;
  at("all").hidden = true;
  at("enter").hidden = false;
  at("token").focus();
}

// The figures.

function figure(key, text, className) {
  return element("div", className, element("dt", "", t(key)), element("dd", "", text));
}

function showLine(state) {
  const { since, sentence } = status ? status.line : {};
  at("line").dataset.state = state;
  at("line-title").textContent = t(`line.${state}`);
  at("line-sentence").textContent = t(`line.${state}.sentence`);
  at("line-since").textContent = state !== "gone" && since ? t("line.since", { time: moment(since) }) : "";
  document.title = `${t(`line.${state}`)} · ${status?.profile_id || t("title")}`;
  return sentence;
}

function showFigures() {
  const number = new Intl.NumberFormat(locale());
  const { queued, set_aside: aside, refused, oldest_queued_at: oldest, last_answered_at: last } = status;
  at("figures").replaceChildren(
    figure("figure.queued", number.format(queued), queued ? "waits" : ""),
    ...(aside ? [figure("figure.set_aside", number.format(aside), "waits")] : []),
    ...(refused ? [figure("figure.refused", number.format(refused), "bad")] : []),
    ...(oldest ? [figure("figure.oldest", moment(oldest), "waits time")] : []),
    figure("figure.last", last ? moment(last) : "\u2013", "time"),
  );
}

function fact(key, text) {
  return element("div", "", element("dt", "", t(key)), element("dd", "", text));
}

function showFacts() {
  const { lead_s: lead, uncertainty_s: vague } = status.clock;
  const seconds = new Intl.NumberFormat(locale(), { maximumFractionDigits: 1, signDisplay: "exceptZero" });
  const clock = lead === null ? t("clock.unknown") : t("clock.lead", {
    lead: seconds.format(lead), vague: new Intl.NumberFormat(locale(), { maximumFractionDigits: 1 }).format(vague),
  });
  at("facts").replaceChildren(
    fact("fact.line", status.line.sentence),
    fact("fact.clock", clock),
    ...status.tills.map((till) =>
      fact("fact.till", `${till.store_id} / ${till.profile_id}: ${till.session_id || t("session.none")}`)),
    fact("fact.version", status.version),
  );
}

// What somebody has to look at, and what was answered.

function what(entry) {
  const kind = known("kind", entry.kind) ? t(`kind.${entry.kind}`) : t("kind.other");
  const about = known("movement", entry.about) ? t(`movement.${entry.about}`) : entry.about;
  return about ? `${kind} · ${about}` : kind;
}

function advice(entry) {
  if (known("reason", entry.reason)) return t(`reason.${entry.reason}`);
  return entry.sentence || t("reason.other");
}

function button(key, entry, work, className = "") {
  const one = element("button", className, t(key));
  one.type = "button";
  one.id = `${key}-${entry.command_id}`;
  one.setAttribute("aria-describedby", `what-${entry.command_id}`);
  one.addEventListener("click", work);
  return one;
}

function card(entry) {
  const head = element("h3", "", what(entry));
  head.id = `what-${entry.command_id}`;
  const time = element("span", "soft", moment(entry.taken_at));
  const waits = entry.state === "queued" ? "state.held" : "state.set_aside";
  const state = element("p", `state ${entry.refused ? "bad" : "wait"}`, t(entry.refused ? "state.refused" : waits));
  const details = element("details", "", element("summary", "", t("details")), element("dl", "facts",
    fact("fact.said", entry.sentence || "\u2013"),
    fact("fact.till", `${entry.store_id} / ${entry.profile_id}`),
    fact("fact.id", entry.command_id)));
  const act = entry.refused
    ? button("do.see", entry, () => change(entry, "see"), "main")
    : button("do.give_up", entry, () => doubt(entry), "grave");
  return element("li", entry.refused ? "refused" : "",
    element("div", "head", head, element("span", "amount", money(entry.money))),
    element("p", "", advice(entry)), element("div", "head", state, time),
    details, element("p", "buttons", act));
}

function row(entry) {
  let key = "accepted";
  if (entry.refused) key = "refused";
  else if (entry.state !== "answered") key = entry.state;
  const look = { accepted: "good", refused: "bad" }[key] || "wait";
  return element("li", "",
    element("span", "", what(entry)), element("span", "amount", money(entry.money)),
    element("span", `state ${look}`, t(`state.${key}`)),
    element("span", "soft amount", moment(entry.answered_at || entry.taken_at)));
}

// A list is written anew where it changed; who was on one of its buttons, or had one of its details open, still is.
function fill(id, items, make) {
  const box = at(id), text = JSON.stringify([language, items]);
  if (box.dataset.shows === text) return;
  box.dataset.shows = text;
  const focused = box.contains(document.activeElement) ? document.activeElement.id : "";
  const open = new Set([...box.querySelectorAll("details[open]")].map((one) => one.closest("li").dataset.id));
  box.replaceChildren(...items.map((entry) => {
    const one = make(entry);
    one.dataset.id = entry.command_id;
    if (open.has(entry.command_id)) one.querySelector("details").open = true;
    return one;
  }));
  if (focused) (at(focused) || at("people-title")).focus();
}

function showAll() {
  if (!status) return;
  showLine(status.line.state);
  showFigures();
  showFacts();
  fill("refusals", refusals, card);
  fill("latest", latest, row);
  at("people-none").hidden = refusals.length > 0;
  const { held, refused, set_aside: aside } = status;
  at("people-more").hidden = held + refused + aside <= refusals.length;
  at("people-more").textContent = t("people.more", { count: refusals.length });
  at("latest-none").hidden = latest.length > 0;
  at("till").textContent = status.profile_id || t("title");
  at("all").hidden = false;
  at("enter").hidden = true;
}

async function change(entry, way) {
  let detail = "";
  try {
    const reply = await ask(`/commands/${entry.command_id}/${way}`, { method: "POST", body: "{}" });
    if (!reply.ok) detail = (await reply.json()).detail;
  } catch (error) {
    detail = String(error);
  }
  at("failed").hidden = !detail;
  at("failed").textContent = detail ? t("do.failed", { what: what(entry), detail }) : "";
  await look().catch(() => {});
}

function doubt(entry) {
  doubted = entry;
  at("sure-what").textContent = [what(entry), money(entry.money)].filter(Boolean).join(" · ");
  at("sure").showModal();
}

at("sure-no").addEventListener("click", () => at("sure").close());
at("sure-yes").addEventListener("click", () => {
  at("sure").close();
  change(doubted, "give-up");
});

// The words.

async function speak(which) {
  words = await (await fetch(`/assets/${which}.json`, { cache: "no-store" })).json();
  language = which;
  document.documentElement.lang = which;
  for (const one of document.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of document.querySelectorAll("[data-language]")) {
    one.setAttribute("aria-pressed", String(one.dataset.language === which));
  }
  showAll();
}

for (const one of document.querySelectorAll("[data-language]")) {
  one.addEventListener("click", () => {
    localStorage.setItem("language", one.dataset.language);
    speak(one.dataset.language);
  });
}

// The line to the agent.

async function look() {
  [refusals, latest] = await Promise.all([list("/refusals"), list(`/answers/latest?limit=${LATEST}`)]);
  showAll();
}

async function follow(signal) {
  const reply = await ask("/live", { signal });
  if (reply.status === 503) {
    // As many pages as may be are told already: this one looks by itself, now and then.
    status = await (await ask("/status")).json();
    await look();
    return;
  }
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the stream ended");
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((one) => one.startsWith("data: "));
      if (!data) continue;
      status = JSON.parse(data.slice(6));
      await look();
      document.body.dataset.live = "on";
    }
  }
}

// A browser has six connections to a host for all its tabs together: a page holds one only while somebody sees it.
const seen = () => new Promise((done) => {
  const check = () => {
    if (document.visibilityState !== "visible") return;
    document.removeEventListener("visibilitychange", check);
    done();
  };
  document.addEventListener("visibilitychange", check);
  check();
});

async function live() {
  for (;;) {
    await seen();
    const hangUp = new AbortController();
    const leave = () => document.visibilityState === "visible" || hangUp.abort();
    document.addEventListener("visibilitychange", leave);
    try {
      await follow(hangUp.signal);
    } catch {
      document.body.dataset.live = "off";
      if (!at("enter").hidden) return;
      if (!hangUp.signal.aborted) {
        // The agent is not there: nothing that the till says is taken now.
        at("all").hidden = false;
        showLine("gone");
      }
    } finally {
      document.removeEventListener("visibilitychange", leave);
    }
    await new Promise((done) => { setTimeout(done, BACK_MS); });
  }
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim();
  sessionStorage.setItem("token", token);
  at("token").value = "";
  at("enter").hidden = true;
  live();
});

await speak(language);
live();
