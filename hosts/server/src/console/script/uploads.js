// Images dropped anywhere on the first page, or chosen.
const drop = one("[data-drop]");
if (drop) {
  const into = one("[data-into]", drop);
  const prefix = one("[data-prefix-field]", drop);
  into.addEventListener("change", () => { prefix.value = into.selectedOptions[0].dataset.prefix; });
  const placeholder = () => rendered(
    '<li class="tile wait" data-waiting><a><img alt=""><span class="name"></span></a><progress max="100" value="0"></progress>'
    + '<p><span class="badge wait">uploading</span> <span class="help"></span></p></li>');
  const send = (address, file, spares, onProgress) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("content-type", file.type || "application/octet-stream");
    request.setRequestHeader("accept", "application/json");
    // What has come there meanwhile is not replaced unasked.
    if (spares) request.setRequestHeader("if-none-match", "*");
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) onProgress(event.loaded / event.total * 100); });
    request.addEventListener("load", () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* a proxy's page */ }
      if (request.status < 300) resolve(body); else reject(new Error(body.message || `refused with ${request.status}`));
    });
    request.addEventListener("error", () => reject(new Error("the connection broke; try again")));
    request.send(file);
  });
  const refused = (tile, file, words) => {
    tile.className = "tile bad";
    one("progress", tile)?.remove();
    one(".badge", tile).textContent = "refused";
    one(".badge", tile).className = "badge bad";
    one(".help", tile).textContent = "";
    const reason = document.createElement("p");
    reason.className = "reason";
    reason.textContent = words;
    tile.append(reason);
    delete tile.dataset.waiting;
    tile.dataset.refused = "";
    announce(`${file.name} was refused: ${words}`);
  };
  const upload = async ({ file, bucket, key, tile, replaces }) => {
    const percent = one(".help", tile);
    try {
      await send(`/upload?${new URLSearchParams({ bucket, key })}`, file, !replaces, (value) => {
        one("progress", tile).value = value;
        percent.textContent = `${Math.floor(value)} %`;
      });
      one("progress", tile)?.remove();
      one(".badge", tile).textContent = "waiting";
      percent.textContent = "";
      // Its result may have come before it was known to be uploaded.
      freshen(bucket, key);
    } catch (error) { refused(tile, file, error.message); }
  };
  const uploadAll = async (files) => {
    const { bucket } = into.selectedOptions[0].dataset;
    const under = prefix.value && !prefix.value.endsWith("/") ? `${prefix.value}/` : prefix.value;
    let items = [...files].map((file) => ({ file, bucket, key: under + file.name, replaces: false }));
    let existing = [];
    try {
      for (let at = 0; at < items.length; at += 200) {
        const fields = [["bucket", bucket], ...items.slice(at, at + 200).map(({ key }) => ["key", key])];
        existing = existing.concat((await act("/upload/check", fields)).existing);
      }
    } catch { /* Each upload is refused with the reason. */ }
    if (existing.length) {
      const taken = new Set(existing.map(({ key }) => key));
      const lines = existing.slice(0, 8).map(({ key, modified_ms }) =>
        modified_ms === undefined ? key : `${key}, of ${timeOf(new Date(modified_ms)).slice(0, 16)}`);
      if (existing.length > 8) lines.push(`and ${existing.length - 8} more`);
      const title = items.length === 1 ? "This object exists already" : `${existing.length} of ${items.length} exist already`;
      const answers = [["replace", "Replace", "danger"], ["skip", existing.length < items.length ? "Upload the others" : "Skip"], ["cancel", "Cancel"]];
      const answer = await ask(title, lines, answers);
      if (answer === "replace") items = items.map((item) => ({ ...item, replaces: taken.has(item.key) }));
      else if (answer === "skip") items = items.filter(({ key }) => !taken.has(key));
      else return;
    }
    announce(`uploading ${items.length} images`);
    for (const item of items.toReversed()) {
      const tile = item.tile = placeholder();
      tile.dataset.key = item.key;
      tile.dataset.bucket = bucket;
      one(".name", tile).textContent = item.file.name;
      const image = one("img", tile);
      image.src = URL.createObjectURL(item.file);
      image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
      for (const old of tileOf(bucket, item.key, one("#latest"))) old.remove();
      putFirst(tile);
    }
    const queue = [...items];
    await Promise.all([0, 1, 2, 3].map(async () => { for (let item = queue.shift(); item; item = queue.shift()) await upload(item); }));
  };
  drop.hidden = false;
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) uploadAll(event.dataTransfer.files);
  });
  one("[data-pick]", drop).addEventListener("change", async (event) => { await uploadAll([...event.target.files]); event.target.value = ""; });
}
