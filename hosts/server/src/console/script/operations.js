// Parts of a page that the server renders again and again.
for (const element of all("[data-refresh][data-every]")) {
  const refreshPart = async () => {
    if (document.hidden) return;
    const html = await part(element.dataset.refresh);
    if (html === null || html === element.dataset.last) return;
    element.dataset.last = html;
    const stops = () => all("a, button", element);
    const focused = stops().indexOf(document.activeElement);
    element.innerHTML = html;
    showTimes(element);
    if (focused >= 0) stops()[focused]?.focus({ preventScroll: true });
  };
  setInterval(refreshPart, +element.dataset.every);
}

// Dead letters that are redriven stay in sight with what becomes of them.
{
  const form = one("[data-dead-letters]");
  const outcome = one("[data-redriven]");
  if (form && outcome) {
    const rows = (bucket, key) => all(".dead-letter", form).filter((row) => row.dataset.key === key && row.dataset.bucket === bucket);
    const counts = { total: 0, rendered: 0, failed: 0 };
    let stream = null;
    // Until the answer says how many there are; the first may end before that.
    let isAsking = false;
    const tell = () => {
      if (isAsking) return;
      const open = Math.max(0, counts.total - counts.rendered - counts.failed);
      outcome.hidden = false;
      outcome.textContent = `${counts.total} redriven: ${counts.rendered} rendered, ${counts.failed} failed again, ${open} waiting`;
      if (!open) { stream?.close(); announce(outcome.textContent); }
    };
    const mark = (row, className, words) => {
      row.classList.remove("bad");
      const badge = one(".badge", row);
      badge.className = `badge ${className}`;
      badge.textContent = words;
      const box = one("input", row);
      box.checked = false;
      box.disabled = true;
    };
    form.addEventListener("submit", async (event) => {
      if (event.submitter?.value !== "redrive" || event.defaultPrevented) return;
      event.preventDefault();
      const fields = new FormData(form);
      fields.set("action", "redrive");
      if (fields.has("all")) fields.delete("id");
      const chosen = fields.has("all") ? all(".dead-letter", form) : all(".dead-letter:has(input:checked)", form);
      // Followed before it begins, so that no end is missed.
      stream?.close();
      stream = new EventSource("/events");
      await new Promise((resolve) => { stream.addEventListener("open", resolve, { once: true }); setTimeout(resolve, 1500); });
      stream.addEventListener("result", (message) => {
        const result = JSON.parse(message.data);
        if (!result.cause?.endsWith("Redrive") || result.next === "retry") return;
        const isFailed = result.outcome === "failed";
        counts[isFailed ? "failed" : "rendered"] += 1;
        for (const row of rows(result.bucket, result.key)) mark(row, isFailed ? "bad" : "good", isFailed ? "failed again" : result.outcome.replace("made", "rendered").replace("_", " "));
        tell();
      });
      try {
        for (const row of chosen) mark(row, "wait", "queued");
        isAsking = true;
        const answer = await act("/dead-letters", fields).finally(() => { isAsking = false; });
        counts.total += answer.count;
        tell();
      } catch (error) { stream.close(); outcome.hidden = false; outcome.textContent = error.message; announce(error.message); }
    });
  }
}
