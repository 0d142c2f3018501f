// Refreshes charts, shows live results, uploads dropped images.
"use strict";
(() => {
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
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
  document.addEventListener("error", (event) => {
    if (event.target.tagName !== "IMG") return;
    const blank = document.createElement("span");
    blank.className = "none";
    blank.textContent = "▦";
    event.target.replaceWith(blank);
  }, true);

  // Charts: the values at the pointer, or at the interval chosen by arrow keys.
  const shown = (value, unit) => {
    if (unit === "B") return value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e3).toFixed(0)} KB`;
    if (unit === "ms") return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${+value.toPrecision(3)} ms`;
    return String(+value.toPrecision(5));
  };
  const point = (graph, step) => {
    const lines = all("[data-values]", graph).map((item) => [item, item.dataset.values.split(",")]);
    const count = lines.length ? lines[0][1].length : 0;
    if (!count) return;
    const at = Math.max(0, Math.min(count - 1, step));
    graph.dataset.at = at;
    const help = one(".help", graph);
    if (help.dataset.words === undefined) help.dataset.words = help.textContent;
    const x = 52 + (at + 0.5) / count * 344;
    one(".cursor", graph).setAttribute("d", `M${x.toFixed(1)} 8V130`);
    const words = lines.map(([item, values]) => {
      const text = values[at] === "" || values[at] === undefined ? "–" : shown(+values[at], graph.dataset.in);
      one("b", item).textContent = text;
      return `${item.textContent.trim()}`;
    });
    const when = new Date((+graph.dataset.start + at * graph.dataset.step) * 1000);
    help.textContent = timeOf(when).slice(5, 16);
    return words;
  };
  const unpoint = (graph) => {
    delete graph.dataset.at;
    one(".cursor", graph).setAttribute("d", "");
    for (const value of all("[data-last]", graph)) value.textContent = value.dataset.last;
    const help = one(".help", graph);
    if (help.dataset.words !== undefined) help.textContent = help.dataset.words;
  };
  const graphOf = (event) => event.target.closest ? event.target.closest(".graph") : null;
  document.addEventListener("pointermove", (event) => {
    const graph = graphOf(event);
    for (const other of all(".graph[data-at]")) if (other !== graph && other !== document.activeElement) unpoint(other);
    if (!graph) return;
    const box = one("svg", graph).getBoundingClientRect();
    const inside = ((event.clientX - box.left) / box.width * 400 - 52) / 344;
    const count = (one("[data-values]", graph)?.dataset.values.split(",") || []).length;
    point(graph, Math.floor(inside * count));
  });
  document.addEventListener("keydown", (event) => {
    const graph = graphOf(event);
    if (!graph || !["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Escape") return unpoint(graph);
    const count = one("[data-values]", graph).dataset.values.split(",").length;
    const now = graph.dataset.at === undefined ? count : +graph.dataset.at;
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: count - 1 }[event.key];
    const words = point(graph, to);
    if (words) announce(`${one(".help", graph).textContent}: ${words.join(", ")}`);
  });
  document.addEventListener("focusout", (event) => { const graph = graphOf(event); if (graph) unpoint(graph); });

  // What is refreshed from now on is shown without a transition.
  setTimeout(() => { root.dataset.painted = ""; }, 1000);

  // Figures and charts are refreshed every ten seconds.
  const measured = one("#measured");
  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(measured.dataset.refresh, { headers: { accept: "text/html" } });
      // To the login.
      if (answer.redirected) return location.reload();
      if (!answer.ok) return;
      const html = await answer.text();
      // The pointer and the focus stay where they are.
      const stops = () => all("a, .graph", measured);
      const focused = stops().indexOf(document.activeElement);
      const pointed = all(".graph", measured).map((graph) => graph.dataset.at);
      measured.innerHTML = html;
      showTimes(measured);
      all(".graph", measured).forEach((graph, index) => { if (pointed[index] !== undefined) point(graph, +pointed[index]); });
      if (focused >= 0) stops()[focused]?.focus({ preventScroll: true });
    } catch { /* "As of" shows how old it is; the next refresh may succeed. */ }
  };
  if (measured) {
    setInterval(refresh, 10000);
    document.addEventListener("visibilitychange", refresh);
  }

  // Live results.
  const list = one("#list");
  const live = one("[data-live]");
  const filter = one("[data-filter]");
  const MOST = 30;
  const rendered = (html) => { const template = document.createElement("template"); template.innerHTML = html; return template.content.firstElementChild; };
  const query = () => filter ? new URLSearchParams([...new FormData(filter)].filter(([, value]) => value)).toString() : "";
  let refreshing = 0;
  const refreshSoon = () => { clearTimeout(refreshing); refreshing = setTimeout(refresh, 1500); };
  const put = (item) => {
    one("[data-empty]", list)?.remove();
    for (const waiting of all("[data-waiting]", list)) if (waiting.dataset.key === item.dataset.key) waiting.remove();
    item.classList.add("new");
    showTimes(item);
    list.prepend(item);
    while (list.children.length > MOST) list.lastElementChild.remove();
  };
  let stream = null;
  const follow = () => {
    stream?.close();
    const own = stream = new EventSource(`${list.dataset.events}?${query()}`);
    // Results that arrive while the list is fetched are put above it.
    let early = [];
    own.addEventListener("open", async () => {
      live.textContent = "live";
      live.classList.add("on");
      early ??= [];
      const answer = await fetch(`/results?${query()}`).catch(() => null);
      const html = answer?.ok && !answer.redirected ? await answer.text() : null;
      if (own !== stream) return;
      const arrived = early;
      early = null;
      if (html !== null) {
        const dropped = all("[data-waiting], [data-refused]", list);
        list.innerHTML = html;
        for (const item of dropped) if (!all("[data-key]", list).some((other) => other.dataset.key === item.dataset.key)) list.prepend(item);
        showTimes(list);
      }
      const mark = (item) => `${item.dataset.key} ${one("time", item)?.dateTime}`;
      const there = (item) => all("[data-key]", list).some((other) => mark(other) === mark(item));
      for (const item of arrived) if (!there(item)) put(item);
    });
    own.addEventListener("result", (event) => {
      const result = JSON.parse(event.data);
      const item = rendered(result.html);
      if (early) early.push(item);
      else put(item);
      if (result.outcome === "failed") announce(`${result.key} failed`);
      refreshSoon();
    });
    own.addEventListener("error", () => {
      live.textContent = "not live";
      live.classList.remove("on");
      // A browser reconnects by itself after a broken connection, but not after a refusal.
      if (own.readyState === EventSource.CLOSED) setTimeout(() => { if (own === stream) follow(); }, 5000);
    });
  };
  if (list) {
    follow();
    // A hidden page holds none of the few connections that a browser has for a server.
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) return follow();
      stream?.close();
      stream = null;
    });
    if (filter) {
      filter.hidden = false;
      filter.addEventListener("submit", (event) => event.preventDefault());
      filter.addEventListener("input", () => { clearTimeout(filter.soon); filter.soon = setTimeout(follow, 250); });
    }
    addEventListener("pagehide", () => stream?.close());
  }

  // Images dropped anywhere on the page.
  const drop = one("[data-drop]");
  const words = (item, text) => { one(".help", item).textContent = text; };
  const upload = async (file) => {
    const item = rendered('<li class="card result calm" data-waiting><div class="pair"><figure><img alt="source"></figure><figure><span class="none">…</span></figure></div><div class="what"><p class="name"><span class="badge">uploading</span> <b></b></p><p class="help"></p></div></li>');
    // Of several triggers one is selected.
    const into = (one("select", drop)?.selectedOptions[0] ?? drop).dataset;
    const key = into.prefix + file.name;
    item.dataset.key = key;
    one("b", item).textContent = key;
    const address = URL.createObjectURL(file);
    one("img", item).src = address;
    one("[data-empty]", list)?.remove();
    list.prepend(item);
    try {
      const answer = await fetch(`/upload?${new URLSearchParams(into.bucket ? { bucket: into.bucket, key } : { key })}`, {
        method: "POST", body: file, headers: { "content-type": file.type || "application/octet-stream" },
      });
      const uploaded = await answer.json();
      if (!answer.ok) throw new Error(uploaded.message);
      one(".badge", item).textContent = "waiting";
      words(item, `uploaded, request ${uploaded.request_id}`);
    } catch (error) {
      item.className = "card result bad";
      one(".badge", item).textContent = "refused";
      one(".badge", item).classList.add("bad");
      words(item, error.message);
      delete item.dataset.waiting;
      item.dataset.refused = "";
      announce(`${file.name} was refused: ${error.message}`);
    }
  };
  const uploadAll = async (files) => {
    announce(`uploading ${files.length} images`);
    // A filter would hide their results.
    if (filter && [...new FormData(filter).values()].some((value) => value)) { filter.reset(); follow(); }
    const queue = [...files];
    await Promise.all([0, 1, 2, 3].map(async () => { for (let file = queue.shift(); file; file = queue.shift()) await upload(file); }));
  };
  if (drop) {
    drop.hidden = false;
    addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
    addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) uploadAll(event.dataTransfer.files);
    });
    one("[data-pick]", drop).addEventListener("change", (event) => { uploadAll(event.target.files); event.target.value = ""; });
  }

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
})();
