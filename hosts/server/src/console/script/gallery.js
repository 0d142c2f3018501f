// The gallery: pages of images as they are scrolled to, search, selection, and what is done with what is selected.
const gallery = one("#gallery");
// Tiles whose images have changed are fetched again, many at once; those that are not shown yet are put first.
const stale = new Map();
let freshening = 0;
const freshen = (bucket, key, isNew = false) => {
  if (!stale.has(bucket)) stale.set(bucket, new Map());
  const keys = stale.get(bucket);
  keys.set(key, isNew || keys.get(key) === true);
  clearTimeout(freshening);
  freshening = setTimeout(async () => {
    const wanted = [...stale];
    stale.clear();
    for (const [of, keys] of wanted) {
      const list = [...keys];
      for (let at = 0; at < list.length; at += 40) {
        const some = list.slice(at, at + 40);
        const query = new URLSearchParams([["bucket", of], ...some.map(([name]) => ["key", name])]);
        const html = await part(`/gallery?${query}`);
        if (html === null) continue;
        const template = document.createElement("template");
        template.innerHTML = html;
        const found = new Map(all(".tile", template.content).map((tile) => [tile.dataset.key, tile]));
        for (const [name, wasNew] of some) show(of, name, found.get(name), wasNew);
      }
    }
  }, 250);
};
const LATEST = 12;
const show = (bucket, key, tile, isNew) => {
  for (const old of tileOf(bucket, key)) {
    if (old.dataset.waiting !== undefined && tile && one(".badge", tile)?.textContent === "waiting") continue;
    if (!tile) { old.remove(); continue; }
    const fresh = tile.cloneNode(true);
    const box = one("input", old);
    if (box?.checked) one("input", fresh).checked = true;
    const hadFocus = old.contains(document.activeElement) && document.activeElement.tagName;
    fresh.classList.add("new");
    old.replaceWith(fresh);
    if (hadFocus) one(hadFocus, fresh)?.focus({ preventScroll: true });
  }
  const latest = one("#latest");
  if (tile && isNew && latest && !tileOf(bucket, key, latest).length) {
    tile.classList.add("new");
    putFirst(tile);
  }
  counted();
};
const putFirst = (tile) => {
  const latest = one("#latest");
  one("[data-latest-part]").hidden = false;
  latest.prepend(tile);
  const done = all("li:not([data-waiting])", latest);
  for (const old of done.slice(LATEST)) old.remove();
};

const selected = () => {
  const seen = new Map();
  for (const box of all(".tile input:checked")) {
    const tile = box.closest(".tile");
    seen.set(`${tile.dataset.bucket}\n${tile.dataset.key}`, tile);
  }
  return [...seen.values()];
};
const counted = () => {
  const bar = one("[data-selection]");
  if (!bar) return;
  const count = selected().length;
  bar.hidden = count === 0;
  document.body.classList.toggle("selecting", count > 0);
  one("[data-count]", bar).textContent = `${count} selected`;
};

if (gallery) {
  const form = one("[data-gallery-form]");
  const isSource = (bucket) => gallery.dataset.sources.split(" ").includes(bucket);
  one("[data-scriptless]", form).hidden = true;
  const conditions = () => {
    const fields = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    return fields;
  };

  // The next page, before its place is scrolled to.
  let loading = null;
  const loadMore = async (more) => {
    if (loading) return;
    const query = conditions();
    query.set("after", more.dataset.next);
    const now = loading = {};
    more.textContent = "Loading…";
    const html = await part(`/gallery?${query}`);
    if (loading !== now) return;
    loading = null;
    if (html === null) { more.textContent = "The server does not answer."; setTimeout(() => loadMore(more), 5000); return; }
    const template = document.createElement("template");
    template.innerHTML = html;
    const folders = one(".folders", template.content);
    if (folders) {
      const there = one(".folders", gallery);
      if (there) there.append(...folders.children); else gallery.prepend(folders);
    }
    one(".tiles", gallery).append(...one(".tiles", template.content).children);
    const next = one(".more", template.content);
    if (next) { more.replaceWith(next); watch(); } else more.remove();
    if (!next && !one(".tile, .folders li", gallery)) { const empty = one("[data-empty]", template.content); if (empty) gallery.append(empty); }
  };
  const sight = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { sight.unobserve(entry.target); loadMore(entry.target); }
  }, { rootMargin: "1200px" });
  const watch = () => { const more = one(".more", gallery); if (more) sight.observe(more); };
  watch();

  // Another bucket, folder, text or status.
  const reload = async (isStep) => {
    const query = conditions();
    const now = loading = {};
    gallery.setAttribute("aria-busy", "true");
    const html = await part(`/gallery?${query}`);
    if (loading !== now) return;
    loading = null;
    gallery.removeAttribute("aria-busy");
    if (html === null) return announce("The server does not answer");
    gallery.innerHTML = html;
    gallery.dataset.bucket = form.bucket.value;
    gallery.dataset.prefix = form.prefix.value;
    const address = `/?${query}`;
    if (isStep) history.pushState(null, "", address); else history.replaceState(null, "", address);
    watch();
    counted();
    const count = all(".tile", gallery).length;
    announce(`${count}${one(".more", gallery) ? " and more" : ""} images`);
  };
  const crumbs = (prefix) => {
    const nav = one("[data-crumbs]");
    nav.textContent = "";
    const link = (to, words) => {
      const anchor = document.createElement("a");
      anchor.href = `/?${new URLSearchParams({ bucket: form.bucket.value, prefix: to })}`;
      anchor.dataset.folder = to;
      anchor.textContent = words;
      nav.append(anchor);
    };
    link("", "All");
    let above = "";
    for (const name of prefix.split("/").slice(0, -1)) {
      above += `${name}/`;
      const slash = document.createElement("span");
      slash.textContent = "/";
      slash.setAttribute("aria-hidden", "true");
      nav.append(slash);
      link(above, name);
    }
  };
  const enter = (prefix) => { form.prefix.value = prefix; crumbs(prefix); reload(true); };
  document.addEventListener("click", (event) => {
    const folder = event.target.closest?.("[data-folder]");
    if (!folder || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    enter(folder.dataset.folder);
    one("[data-crumbs] a:last-child")?.focus();
  });
  addEventListener("popstate", () => location.reload());
  form.addEventListener("submit", (event) => { event.preventDefault(); reload(false); });
  form.text.addEventListener("input", () => { clearTimeout(form.soon); form.soon = setTimeout(() => reload(false), 250); });
  form.addEventListener("change", (event) => {
    if (event.target === form.text) return;
    if (event.target === form.bucket) { form.prefix.value = ""; crumbs(""); }
    reload(event.target === form.bucket);
  });

  // Selection: by box, with Shift the range since the last one, Escape clears it.
  let last = null;
  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".tile input[type=checkbox]");
    if (!box) return;
    if (event.shiftKey && last?.isConnected) {
      const boxes = all(".tile input[type=checkbox]");
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
    }
    last = box;
    counted();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || one("dialog[open]") || !selected().length) return;
    clear();
  });
  const clear = () => { for (const box of all(".tile input:checked")) box.checked = false; counted(); };
  // Arrow keys between tiles, as in a grid.
  gallery.addEventListener("keydown", (event) => {
    const link = event.target.closest?.(".tile a");
    if (!link || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const links = all(".tile a", gallery);
    const at = links.indexOf(link);
    const top = link.getBoundingClientRect().top;
    const columns = Math.max(1, links.filter((other) => Math.abs(other.getBoundingClientRect().top - top) < 4).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    links[at + step]?.focus();
  });

  // Places of an image, each as its own text.
  const path = (key) => key.split("/").map(encodeURIComponent).join("/");
  const places = {
    url: (tile) => isSource(tile.dataset.bucket)
      ? `${location.origin}${gallery.dataset.api}?${new URLSearchParams({ bucket: tile.dataset.bucket, key: tile.dataset.key })}`
      : `${gallery.dataset.s3}/${tile.dataset.bucket}/${path(tile.dataset.key)}`,
    s3: (tile) => `s3://${tile.dataset.bucket}/${tile.dataset.key}`,
    img: (tile) => {
      const image = document.createElement("img");
      image.src = places.url(tile);
      image.alt = tile.dataset.key.split("/").pop().replace(/\.[^.]*$/, "").replace(/[-_]+/g, " ");
      image.loading = "lazy";
      return image.outerHTML;
    },
  };
  const inTurn = async (tiles, work, words) => {
    let done = 0;
    const failures = [];
    const queue = [...tiles];
    await Promise.all([0, 1, 2, 3].map(async () => {
      for (let tile = queue.shift(); tile; tile = queue.shift()) {
        try { await work(tile); done += 1; } catch (error) { failures.push(`${tile.dataset.key}: ${error.message}`); }
        one("[data-count]").textContent = `${done} of ${tiles.length} ${words}`;
      }
    }));
    announce(`${done} ${words}${failures.length ? `, ${failures.length} refused` : ""}`);
    if (failures.length) await ask(`${failures.length} of ${tiles.length} were refused`, failures.slice(0, 12), [["ok", "Close"]]);
    counted();
  };
  const actions = {
    all: () => { for (const box of all(".tile input[type=checkbox]", gallery)) box.checked = true; counted(); },
    none: clear,
    retry: (tiles) => inTurn(tiles, async ({ dataset }) => {
      await act("/retry", { bucket: dataset.bucket, key: dataset.key });
      freshen(dataset.bucket, dataset.key);
    }, "queued"),
    download: async (tiles) => {
      for (const { dataset } of tiles) {
        const anchor = document.createElement("a");
        anchor.href = `/download?${new URLSearchParams({ bucket: dataset.bucket, key: dataset.key })}`;
        anchor.download = dataset.key.split("/").pop();
        document.body.append(anchor);
        anchor.click();
        anchor.remove();
        // A browser drops downloads that begin at once.
        await new Promise((resolve) => { setTimeout(resolve, 200); });
      }
    },
    delete: async (tiles) => {
      const names = tiles.map(({ dataset }) => `${dataset.bucket}/${dataset.key}`);
      const shown = names.length > 8 ? [...names.slice(0, 7), `and ${names.length - 7} more`] : names;
      const title = names.length === 1 ? "Delete this object?" : `Delete these ${names.length} objects?`;
      if (await ask(title, shown, [["yes", "Delete", "danger"], ["no", "Cancel"]]) !== "yes") return;
      const buckets = new Map();
      for (const { dataset } of tiles) buckets.set(dataset.bucket, [...buckets.get(dataset.bucket) ?? [], dataset.key]);
      try {
        for (const [bucket, keys] of buckets) {
          for (let at = 0; at < keys.length; at += 200) {
            const some = keys.slice(at, at + 200);
            await act("/delete", [["bucket", bucket], ...some.map((key) => ["key", key])]);
            for (const key of some) for (const tile of tileOf(bucket, key)) tile.remove();
          }
        }
        announce(`${names.length} deleted`);
      } catch (error) { await ask("Not deleted", [error.message], [["ok", "Close"]]); }
      counted();
    },
  };
  for (const [name, words] of [["url", "URL"], ["img", "HTML"], ["s3", "S3 URI"]]) {
    actions[name] = (tiles) => copy(tiles.map(places[name]).join("\n"), tiles.length === 1 ? words : `${tiles.length} lines of ${words}`);
  }
  one("[data-selection]").addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) actions[button.dataset.do](selected());
  });
  counted();

  // Live: results change tiles and the strip.
  const strip = one("#strip");
  let stripping = 0;
  const refreshStrip = async () => {
    if (document.hidden) return;
    const html = await part(strip.dataset.refresh);
    if (html !== null) strip.innerHTML = html;
  };
  const stripSoon = () => { clearTimeout(stripping); stripping = setTimeout(refreshStrip, 400); };
  setInterval(refreshStrip, 10000);
  const live = one("[data-live]");
  let stream = null;
  const follow = () => {
    stream?.close();
    const own = stream = new EventSource("/events");
    own.addEventListener("open", () => { live.textContent = "live"; live.classList.add("on"); });
    own.addEventListener("result", (event) => {
      const result = JSON.parse(event.data);
      if (result.key) freshen(result.bucket, result.key, true);
      if (result.outcome === "failed") announce(`${result.key} failed`);
      stripSoon();
    });
    own.addEventListener("error", () => {
      live.textContent = "not live";
      live.classList.remove("on");
      // A browser reconnects by itself after a broken connection, but not after a refusal.
      if (own.readyState === EventSource.CLOSED) setTimeout(() => { if (own === stream) follow(); }, 5000);
    });
  };
  follow();
  // A hidden page holds none of the few connections that a browser has for a server.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { refreshStrip(); return follow(); }
    stream?.close();
    stream = null;
  });
  addEventListener("pagehide", () => stream?.close());
}
