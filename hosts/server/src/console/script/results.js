// The list of results, as they come.
{
  // Live results.
  const list = one("#list");
  const live = one("[data-live]");
  const filter = one("[data-filter]");
  const MOST = 30;
  const query = () => filter ? new URLSearchParams([...new FormData(filter)].filter(([, value]) => value)).toString() : "";
  let refreshing = 0;
  const refreshSoon = () => { clearTimeout(refreshing); refreshing = setTimeout(refreshCharts, 1500); };
  const put = (item) => {
    one("[data-empty]", list)?.remove();
    item.classList.add("new");
    showTimes(item);
    // What is known now decides whether trying again may help.
    for (const old of tileOf(item.dataset.bucket, item.dataset.key, list)) one("form", old)?.remove();
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
        list.innerHTML = html;
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
}
