// The table of all images, and one image at a time: real and virtual DES side by side, under a slider, and their error.
"use strict";

(() => {
  const data = pageData("data");
  const byId = id => document.getElementById(id);
  const state = { place: 0, model: 0, slider: 0.5, outline: true, range: 0.25, images: null, order: data.cases.map((_, place) => place) };
  const format = value => value === null || value === undefined ? "–" : typeof value === "string" ? value.replace("inf", "∞")
    : Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : Number(value.toPrecision(4)).toString();

  const mark = (row, current) => current ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");

  // ---- one image ----------------------------------------------------------------------------------------------
  // ColorBrewer RdBu, blue to red through white, as matplotlib draws it: safe for the colour-blind
  const COLOURS = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [209, 229, 240], [247, 247, 247], [253, 219, 199],
    [244, 165, 130], [214, 96, 77], [178, 24, 43], [103, 0, 31]];
  const colourOf = share => {
    const at = Math.min(0.99999, Math.max(0, share)) * (COLOURS.length - 1), low = Math.floor(at);
    return COLOURS[low].map((value, channel) => value + (at - low) * (COLOURS[low + 1][channel] - value));
  };
  const LADDER = Array.from({ length: 511 }, (_, step) => colourOf(step / 510));

  function errorMap(real, virtual, width, height, range) {
    const canvas = document.createElement("canvas");
    canvas.width = width; canvas.height = height;
    const context = canvas.getContext("2d"), map = context.createImageData(width, height);
    for (let place = 0; place < real.length; place++) {
      const difference = (virtual[place] - real[place]) / 255;
      const colour = LADDER[Math.round(255 + 255 * Math.min(1, Math.max(-1, difference / range)))];
      map.data.set([colour[0], colour[1], colour[2], 255], 4 * place);
    }
    context.putImageData(map, 0, 0);
    return canvas;
  }

  function outlineOf(seg, width, height) {
    const path = new Path2D(), inside = (row, column) => row >= 0 && column >= 0 && row < height && column < width && seg[row * width + column] > 127;
    for (let row = 0; row <= height; row++) for (let column = 0; column <= width; column++) {
      if (inside(row, column) !== inside(row - 1, column)) { path.moveTo(column, row); path.lineTo(column + 1, row); }
      if (inside(row, column) !== inside(row, column - 1)) { path.moveTo(column, row); path.lineTo(column, row + 1); }
    }
    return path;
  }

  const panels = [];
  const view = new LinkedView(() => requestAnimationFrame(draw));
  function draw() {
    for (const { canvas, paint } of panels) {
      const images = state.images;
      if (!images || !canvas.clientWidth) continue;
      view.draw(canvas, images.width, images.height, (context, where) => paint(context, where, images), (context, { scale }) => {
        if (!state.outline || !images.outline) return;
        for (const [colour, width] of [["#000000b0", 3.5], ["#ffb000", 1.6]]) {
          context.strokeStyle = colour; context.lineWidth = width * (window.devicePixelRatio || 1) / scale; context.lineCap = "square";
          context.stroke(images.outline);
        }
      });
    }
  }

  const judged = model => Boolean(data.cases[state.place].values[model]);
  const why = model => model === undefined || judged(model) ? "not kept" : "not judged by this model";
  function absent(context, { size, place }, model) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#9aa6b6"; context.font = `${Math.max(12, size / 20)}px sans-serif`; context.textAlign = "center";
    context.fillText(why(model), size / 2, size / 2);
    place();
  }
  const image = (key, model) => (context, where, images) => images.pictures[key] ? context.drawImage(images.pictures[key], 0, 0) : absent(context, where, model);

  function compare(context, where, images) {
    const virtual = images.pictures[data.pictures[state.model]], at = where.size * state.slider;
    if (!images.pictures.des || !virtual) return absent(context, where, virtual ? undefined : state.model);
    context.drawImage(images.pictures.des, 0, 0);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath(); context.rect(at, 0, where.size - at, where.size); context.clip();
    context.clearRect(at, 0, where.size - at, where.size);
    where.place();
    context.drawImage(virtual, 0, 0);
    context.restore();
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const thick = Math.max(2, where.size / 250);
    context.fillStyle = "#fff"; context.fillRect(at - thick / 2, 0, thick, where.size);
    context.beginPath(); context.arc(at, where.size / 2, 5 * thick, 0, 7); context.fill();
    context.restore();
  }

  function error(context, where, images) {
    const real = images.greys.des, key = data.pictures[state.model], virtual = images.greys[key];
    if (!real || !virtual) return absent(context, where, virtual ? undefined : state.model);
    const name = `${key} ${state.range}`;
    images.errors[name] ??= errorMap(real, virtual, images.width, images.height, state.range);
    context.drawImage(images.errors[name], 0, 0);
  }

  function addPanel(parent, caption, paint, options) {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas"), text = document.createElement("figcaption");
    figure.className = "panel"; text.textContent = caption;
    canvas.setAttribute("role", "img");
    figure.append(canvas, text); parent.insertBefore(figure, parent.querySelector(".under"));
    panels.push({ canvas, paint, text });
    view.attach(canvas, { hover, ...options });
    return { figure, canvas, text };
  }

  function hover(at) {
    const images = state.images, where = at && images && view.pixel(...at, images.width, images.height);
    if (!where) { byId("values").textContent = "Point at a picture to read its values."; return; }
    const place = where.row * images.width + where.column, key = data.pictures[state.model];
    const value = name => images.greys[name] ? (images.greys[name][place] / 255).toFixed(3) : "–";
    byId("values").textContent = `row ${where.row}, column ${where.column}: LE ${value("le")}, DES ${value("des")}, ${data.models[state.model]} ${value(key)}`;
  }

  function setSlider(share) {
    state.slider = Math.min(1, Math.max(0, share));
    byId("slider").value = Math.round(100 * state.slider);
    byId("slider").setAttribute("aria-valuetext", `${Math.round(100 * state.slider)} % real DES, the rest virtual`);
    draw();
  }

  async function show(place) {
    state.place = place;
    const one = data.cases[place], block = byId(`images-${place}`);
    const position = state.order.indexOf(place);
    byId("position").textContent = position < 0 ? "not in the filtered table" : `${position + 1} of ${state.order.length}`;
    byId("case").textContent = one.case_id;
    byId("about").textContent = `patient ${one.patient_id}, ${one.laterality} ${one.view}, fold ${format(one.fold)}, ${one.has_seg ? "with a lesion map" : "no lesion map"}`;
    for (const row of document.querySelectorAll("#rows tr")) mark(row, Number(row.dataset.place) === place);
    fillValues();
    const texts = block ? JSON.parse(block.textContent) : {};
    const entries = await Promise.all(Object.entries(texts).map(async ([key, text]) => [key, await decoded(text, key === "seg" ? "image/webp" : data.mime)]));
    if (state.place !== place) return;  // another one was asked for meanwhile
    const pictures = Object.fromEntries(entries), first = entries[0]?.[1];
    const greys = Object.fromEntries(entries.map(([key, picture]) => [key, greyOf(picture)]));
    state.images = first ? { pictures, greys, errors: {}, width: first.naturalWidth, height: first.naturalHeight } : null;
    if (state.images && greys.seg?.some(value => value > 127)) state.images.outline = outlineOf(greys.seg, first.naturalWidth, first.naturalHeight);
    byId("unkept").hidden = Boolean(first);
    byId("panels").hidden = !first;
    describe();
    draw();
    byId("viewer").dataset.shown = place;
  }

  function describe() {
    for (const { canvas, text } of panels) canvas.setAttribute("aria-label", `${text.textContent} of ${data.cases[state.place].case_id}`);
    for (const button of document.querySelectorAll("#models button")) button.title = judged(Number(button.dataset.model)) ? "" : "this image was not judged by this model";
  }

  function choose(model) {
    if (model >= data.models.length || !data.pictures[model]) return;
    state.model = model;
    document.querySelectorAll("#models button").forEach(button => button.setAttribute("aria-pressed", Number(button.dataset.model) === model));
    byId("compared").textContent = `real DES | ${data.models[model]}`;
    byId("error").textContent = `error of ${data.models[model]}`;
    describe();
    draw();
  }

  function step(by) {
    const position = state.order.indexOf(state.place), next = position < 0 ? 0 : position + by;
    if (state.order.length && next >= 0 && next < state.order.length) show(state.order[next]);
  }

  function fillValues() {
    const rows = data.models.map((name, model) => {
      const values = data.cases[state.place].values[model];
      return [values ? name : `${name} (not judged)`, ...data.shown.map(column => values ? format(values[data.columns.indexOf(column)]) : "–")];
    });
    const body = byId("one").tBodies[0];
    body.replaceChildren(...rows.map((cells, model) => rowOf(cells, data.floors.includes(data.models[model]))));
  }

  function rowOf(cells, floor) {
    const row = document.createElement("tr");
    if (floor) row.className = "floor";
    cells.forEach((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      if (column) cell.className = "number"; else cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  }

  // ---- all images ---------------------------------------------------------------------------------------------
  const FACTS = [["case_id", "image"], ["patient_id", "patient"], ["side", "side, view"], ["fold", "fold"], ["lesion", "lesion"]];
  const table = { sort: null, down: false, columns: [] };
  const LABELS = column => data.labels[column];

  function layColumns() {
    const [kind, which] = byId("mode").value.split(":");
    table.columns = FACTS.map(([key, label]) => ({ key, label, text: true, value: one => key === "side" ? `${one.laterality} ${one.view}` : key === "lesion" ? (one.has_seg ? "yes" : "no") : one[key] }));
    const value = (model, column) => one => one.values[model]?.[column] ?? null;
    if (kind === "model") for (const column of data.shown) table.columns.push({ key: column, label: LABELS(column), value: value(Number(which), data.columns.indexOf(column)) });
    else data.models.forEach((name, model) => table.columns.push({ key: `model ${model}`, label: name, value: value(model, data.columns.indexOf(which)) }));
    if (!table.columns.some(column => column.key === table.sort)) table.sort = null;
  }

  function compareValues(first, second) {  // what is not known stands last, whichever way round
    const number = value => value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
    first = number(first); second = number(second);
    if (first === null || second === null) return { unknown: (first === null) - (second === null) };
    return { order: typeof first === "number" && typeof second === "number" ? (first < second ? -1 : first > second ? 1 : 0)
      : String(first).localeCompare(String(second), "en", { numeric: true }) };
  }

  function fillTable() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean), lesion = byId("lesions").value, fold = byId("fold").value, shot = byId("view").value;
    state.order = data.cases.map((_, place) => place).filter(place => {
      const one = data.cases[place], text = `${one.case_id} ${one.patient_id}`.toLowerCase();
      return words.every(word => text.includes(word)) && (!lesion || (lesion === "yes") === one.has_seg) && (!fold || String(one.fold) === fold)
        && (!shot || `${one.laterality} ${one.view}` === shot);
    });
    const column = table.columns.find(each => each.key === table.sort);
    if (column) state.order.sort((first, second) => {
      const { unknown, order } = compareValues(column.value(data.cases[first]), column.value(data.cases[second]));
      return unknown ?? (table.down ? -order : order) ?? 0;
    });
    byId("count").textContent = `${state.order.length} of ${data.cases.length} images`;
    const head = document.createElement("tr");
    for (const each of table.columns) {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col"; cell.className = each.text ? "" : "number";
      cell.setAttribute("aria-sort", each.key !== table.sort ? "none" : table.down ? "descending" : "ascending");
      button.textContent = each.label + (each.key !== table.sort ? "" : table.down ? " ▼" : " ▲");
      button.className = "sort";
      button.dataset.column = each.key;
      button.addEventListener("click", () => {
        table.down = table.sort === each.key ? !table.down : false;
        table.sort = each.key;
        fillTable();
        document.querySelector(`#all button[data-column="${CSS.escape(each.key)}"]`).focus();
      });
      cell.append(button); head.append(cell);
    }
    byId("all").tHead.replaceChildren(head);
    byId("rows").replaceChildren(...state.order.map(place => {
      const row = document.createElement("tr"), one = data.cases[place];
      row.dataset.place = place;
      mark(row, place === state.place);
      table.columns.forEach((each, at) => {
        const cell = document.createElement(at ? "td" : "th");
        if (at) { cell.textContent = each.text ? String(each.value(one) ?? "–") : format(each.value(one)); cell.className = each.text ? "" : "number"; }
        else {
          const open = document.createElement("button");
          cell.scope = "row"; open.className = "open"; open.textContent = one.case_id;
          open.addEventListener("click", () => { show(place); byId("viewer").scrollIntoView({ block: "start" }); });
          cell.append(open);
        }
        row.append(cell);
      });
      return row;
    }));
    const position = state.order.indexOf(state.place);
    byId("position").textContent = position < 0 ? "not in the filtered table" : `${position + 1} of ${state.order.length}`;
  }

  // ---- all wired up -------------------------------------------------------------------------------------------
  function option(parent, value, text) {
    const made = document.createElement("option");
    made.value = value; made.textContent = text;
    parent.append(made);
  }
  function group(parent, label) {
    const made = document.createElement("optgroup");
    made.label = label;
    parent.append(made);
    return made;
  }

  const large = addPanel(byId("comparison"), "", compare, { grab: left => view.zoom === 1 || Math.abs(left - state.slider) < 0.04 ? setSlider : null });
  large.canvas.id = "compare"; large.text.id = "compared";
  const errors = addPanel(byId("difference"), "", error);
  errors.canvas.id = "errors"; errors.text.id = "error";
  addPanel(byId("small"), "LE", image("le")).canvas.id = "le";
  addPanel(byId("small"), "real DES", image("des")).canvas.id = "des";
  data.models.forEach((name, model) => {
    const key = data.pictures[model];
    if (!key) return;
    if (key !== "le") addPanel(byId("small"), name, image(key, model));
    const button = document.createElement("button");
    button.dataset.model = model; button.textContent = `${model + 1} ${name}`;
    button.addEventListener("click", () => choose(model));
    byId("models").append(button);
  });
  const models = group(byId("mode"), "values of one model"), metrics = group(byId("mode"), "one value of all models");
  data.models.forEach((name, model) => option(models, `model:${model}`, name));
  data.columns.forEach(column => option(metrics, `metric:${column}`, LABELS(column)));
  [...new Set(data.cases.map(one => one.fold))].sort().forEach(fold => option(byId("fold"), String(fold), `fold ${fold ?? "unknown"}`));
  [...new Set(data.cases.map(one => `${one.laterality} ${one.view}`))].sort().forEach(text => option(byId("view"), text, text));
  const head = rowOf(["model", ...data.shown.map(LABELS)]);
  for (const cell of [...head.children]) { const title = document.createElement("th"); title.scope = "col"; title.className = cell.className; title.textContent = cell.textContent; cell.replaceWith(title); }
  byId("one").tHead.replaceChildren(head);

  byId("slider").addEventListener("input", event => setSlider(event.target.value / 100));
  byId("outline").addEventListener("change", event => { state.outline = event.target.checked; draw(); });
  byId("range").addEventListener("change", event => { state.range = Number(event.target.value); scale(); draw(); });
  const scale = () => { byId("low").textContent = `−${state.range}: too dark`; byId("high").textContent = `too bright: +${state.range}`; };
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("closer").addEventListener("click", () => view.zoomBy(1.5));
  byId("further").addEventListener("click", () => view.zoomBy(1 / 1.5));
  byId("whole").addEventListener("click", () => view.reset());
  byId("ask").addEventListener("click", () => byId("help").showModal());
  for (const id of ["filter", "lesions", "fold", "view"]) byId(id).addEventListener("input", fillTable);
  byId("mode").addEventListener("input", () => { layColumns(); fillTable(); });
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), "?": () => byId("help").showModal(), "+": () => view.zoomBy(1.5), "=": () => view.zoomBy(1.5),
    "-": () => view.zoomBy(1 / 1.5), 0: () => view.reset(), o: () => byId("outline").click(), f: () => setSlider(state.slider < 0.5 ? 1 : 0),
    "[": () => setSlider(state.slider - 0.05), "]": () => setSlider(state.slider + 0.05),
  };
  document.addEventListener("keydown", event => {
    if (typing(event)) return;
    if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
    else if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
  });
  new ResizeObserver(draw).observe(byId("panels"));

  layColumns();
  fillTable();
  scale();
  setSlider(0.5);
  if (data.pictures.some(Boolean)) choose(data.pictures.findIndex(Boolean));
  const asked = data.cases.findIndex(one => `#image=${encodeURIComponent(one.case_id)}` === location.hash);
  show(asked < 0 ? 0 : asked).then(() => document.documentElement.dataset.ready = "yes");
})();
