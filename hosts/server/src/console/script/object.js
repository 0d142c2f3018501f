// Addresses as they are reached from here. An object rendered with options that are tried out, beside the settings and the address that do the same.
{
  for (const address of all("[data-address]")) address.textContent = location.origin + address.textContent;
  const part = one("[data-try]");
  if (part) {
    part.hidden = false;
    const form = one("form", part);
    const image = one("[data-tried]", part);
    const outcome = one("[data-outcome]", part);
    const quoted = (text) => JSON.stringify(text);
    let address = null;
    let turn = 0;
    const render = async () => {
      const own = turn += 1;
      const chosen = Object.fromEntries(new FormData(form));
      one("output", form).textContent = chosen.quality;
      const isPadded = ["cover", "contain"].includes(chosen.fit);
      form.gravity.closest("label").hidden = !isPadded;
      const lines = ["[[trigger.rendition]]", `key = "{key}"`, `size = ${quoted(chosen.size)}`, `fit = ${quoted(chosen.fit)}`];
      if (isPadded) lines.push(`gravity = ${quoted(chosen.gravity)}`);
      lines.push(`format = ${quoted(chosen.format)}`, `quality = ${chosen.quality}`, `effort = ${quoted(chosen.effort)}`);
      if (Number(chosen.sharpen)) lines.push(`sharpen = ${Number(chosen.sharpen)}`);
      if (chosen.animate) lines.push("animate = true");
      one("[data-toml]", part).textContent = lines.join("\n");
      const place = { bucket: part.dataset.bucket, key: part.dataset.key };
      const asked = { size: chosen.size, fit: chosen.fit, format: chosen.format, quality: chosen.quality };
      if (isPadded) asked.gravity = chosen.gravity;
      if (Number(chosen.sharpen)) asked.sharpen = Number(chosen.sharpen);
      if (chosen.animate) asked.animate = "true";
      one("[data-url]", part).textContent = `${location.origin}${part.dataset.api}?${new URLSearchParams({ ...place, ...asked })}`;
      const began = performance.now();
      const answer = await fetch(`/render?${new URLSearchParams({ ...place, ...asked, effort: chosen.effort })}`).catch(() => null);
      if (own !== turn) return;
      if (!answer?.ok) {
        const body = await answer?.json().catch(() => null);
        outcome.textContent = body?.message ?? "The server does not answer.";
        outcome.className = "why";
        image.hidden = true;
        return;
      }
      const bytes = await answer.blob();
      if (own !== turn) return;
      if (address) URL.revokeObjectURL(address);
      image.src = address = URL.createObjectURL(bytes);
      image.hidden = false;
      outcome.className = "help";
      const pixels = answer.headers.get("x-tintype-pixels").replace("x", " × ");
      outcome.textContent = `${pixels} · ${bytes.type.replace("image/", "")} · ${(bytes.size / 1000).toFixed(1)} KB · ${Math.round(performance.now() - began)} ms`;
    };
    let soon = 0;
    form.addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(render, 200); });
    form.addEventListener("submit", (event) => { event.preventDefault(); render(); });
    // Not before it is looked at: it takes work.
    new IntersectionObserver((entries, sight) => {
      if (entries.some((entry) => entry.isIntersecting)) { sight.disconnect(); render(); }
    }).observe(part);
  }
}
