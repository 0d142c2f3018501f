// What every page has: dark or light, times, placeholders, forms, questions, copying.
"use strict";
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
// The rows and tiles of an object.
const tileOf = (bucket, key, from = document) => all("[data-key]", from).filter((tile) => tile.dataset.key === key && tile.dataset.bucket === bucket);
const root = document.documentElement;
const announce = (words) => { const status = one("[data-status]"); if (status) status.textContent = words; };
const stored = {
  get(name) { try { return localStorage.getItem(name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(name, value); } catch { /* no storage */ } },
};

// Dark or light: the system's choice until another is made.
const setTheme = (theme) => { if (theme) root.dataset.theme = theme; };
setTheme(stored.get("theme"));
const themeSwitch = one("[data-theme-switch]");
if (themeSwitch) {
  themeSwitch.hidden = false;
  themeSwitch.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    setTheme(dark ? "light" : "dark");
    stored.set("theme", root.dataset.theme);
  });
}

// UTC or local time.
let local = stored.get("zone") === "local";
const two = (number) => String(number).padStart(2, "0");
const parts = (at) => local
  ? [at.getFullYear(), at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()]
  : [at.getUTCFullYear(), at.getUTCMonth() + 1, at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()];
const clock = (at) => { const [, , , h, m] = parts(at); return `${two(h)}:${two(m)}`; };
const timeOf = (at) => {
  const [y, mo, d, h, m, s] = parts(at);
  return `${y}-${two(mo)}-${two(d)} ${two(h)}:${two(m)}:${two(s)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
};
const showTimes = (from = document) => {
  for (const time of all("time[datetime]", from)) time.textContent = timeOf(new Date(time.dateTime)) + (local ? "" : " UTC");
  for (const label of all("text[data-at]", from)) {
    if (label.textContent.includes(":")) label.textContent = clock(new Date(label.dataset.at * 1000));
  }
};
const zone = one("[data-zone]");
const nameZone = () => {
  zone.textContent = local ? "Local" : "UTC";
  zone.setAttribute("aria-label", local ? "Times are local; switch to UTC" : "Times in UTC; switch to local time");
};
if (zone) {
  zone.hidden = false;
  nameZone();
  zone.addEventListener("click", () => {
    local = !local;
    stored.set("zone", local ? "local" : "utc");
    nameZone();
    showTimes();
  });
}
showTimes();

// An image that cannot be shown leaves a placeholder.
const leaveBlank = (image) => {
  const blank = document.createElement("span");
  blank.className = "none";
  blank.textContent = "▦";
  image.replaceWith(blank);
};
document.addEventListener("error", (event) => { if (event.target.tagName === "IMG") leaveBlank(event.target); }, true);
// Those that failed before this script came.
for (const image of all("img[src]")) if (image.complete && !image.naturalWidth) leaveBlank(image);

// Forms that lead nowhere, and actions that cannot be undone.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) return event.preventDefault();
  if (form.dataset.quiet === undefined) return;
  event.preventDefault();
  const button = one("button", form);
  button.disabled = true;
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  button.textContent = answer.ok ? "Queued again" : body.message || "Refused";
  announce(button.textContent);
});

// Has the charts refreshed, where there are any.
let refreshCharts = () => {};

// A question with answers; the answer's value, or null.
const ask = (title, lines, answers) => new Promise((resolve) => {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "ask-title");
  const heading = document.createElement("h2");
  heading.id = "ask-title";
  heading.textContent = title;
  const list = document.createElement("ul");
  for (const line of lines) {
    const item = document.createElement("li");
    item.textContent = line;
    list.append(item);
  }
  const buttons = document.createElement("div");
  buttons.className = "row actions";
  let chosen = null;
  for (const [value, words, className] of answers) {
    const button = document.createElement("button");
    button.textContent = words;
    button.className = className || "";
    button.dataset.answer = value;
    button.addEventListener("click", () => { chosen = value; dialog.close(); });
    buttons.append(button);
  }
  dialog.append(heading, list, buttons);
  dialog.addEventListener("close", () => { dialog.remove(); resolve(chosen); });
  document.body.append(dialog);
  dialog.showModal();
});

// Text into the clipboard; where a browser gives none (plain HTTP), the text is shown to be copied by hand.
const copy = async (text, what) => {
  try {
    await navigator.clipboard.writeText(text);
    announce(`${what} copied`);
    return true;
  } catch {
    const dialog = document.createElement("dialog");
    const field = document.createElement("textarea");
    field.setAttribute("aria-label", what);
    field.value = text;
    field.rows = Math.min(12, text.split("\n").length + 1);
    const done = document.createElement("button");
    done.textContent = "Done";
    done.addEventListener("click", () => dialog.close());
    dialog.append(field, done);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    field.select();
    return false;
  }
};
for (const button of all("[data-copy]")) button.hidden = false;
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  const from = one(button.dataset.copy);
  if (await copy(from.dataset.value ?? from.textContent, "It is")) {
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = button.dataset.words ?? "Copy"; }, 2000);
  }
});

const rendered = (html) => { const template = document.createElement("template"); template.innerHTML = html; return template.content.firstElementChild; };
// HTML that the server renders; null if it cannot be had. After the end of a session the page leads to the login.
const part = async (address) => {
  const answer = await fetch(address, { headers: { accept: "text/html" } }).catch(() => null);
  if (answer?.redirected) { location.reload(); return null; }
  return answer?.ok ? await answer.text() : null;
};
// An action: the answer's JSON, or an error with its message.
const act = async (address, fields = {}) => {
  const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields), headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.message || `refused with ${answer.status}`);
  return body;
};
