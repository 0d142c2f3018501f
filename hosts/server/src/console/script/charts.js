// Charts: values at the pointer or the arrow keys; figures and charts are refreshed.
{
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
    for (const value of all("[data-total]", graph)) value.textContent = value.dataset.total;
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
    refreshCharts = refresh;
    setInterval(refresh, 10000);
    document.addEventListener("visibilitychange", refresh);
  }
}
