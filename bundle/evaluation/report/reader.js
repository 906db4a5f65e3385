// Pairs one after another, in an order for each reader; every answer goes to this browser's storage at once, and to a CSV when it is saved.
"use strict";

(() => {
  const data = pageData("data");
  const byId = id => document.getElementById(id);
  const questions = [...document.querySelectorAll("[data-question]")].map(fieldset => fieldset.dataset.question);
  const store = `cesm-reader-study ${data.study}`;
  const state = { place: 0, reader: "", answers: {}, order: [], began: 0, images: null, lasting: true };

  function keep() {
    try { localStorage.setItem(store, JSON.stringify({ reader: state.reader, answers: state.answers })); }
    catch { state.lasting = false; byId("saved").textContent = "This browser keeps nothing: save the answers before you close the page."; }
  }
  function kept() {
    try { return JSON.parse(localStorage.getItem(store)); } catch { return null; }
  }

  const complete = trial => state.answers[trial]?.real !== undefined && questions.every(question => state.answers[trial][question] !== undefined);
  const current = () => data.trials[state.order[state.place]];

  function orderFor(reader) {  // each reader has an order of her own, the same one whenever she comes back
    let mix = 2166136261;  // FNV-1a of study and name, then mulberry32
    for (const sign of `${data.study} ${reader}`) mix = Math.imul(mix ^ sign.codePointAt(0), 16777619);
    const random = () => {
      mix = (mix + 0x6d2b79f5) | 0;
      let mixed = Math.imul(mix ^ (mix >>> 15), mix | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    const order = data.trials.map((_, place) => place);
    for (let last = order.length - 1; last > 0; last--) {
      const other = Math.floor(random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    return order;
  }
  const answer = () => state.answers[current()] ??= { seconds: 0 };

  const view = new LinkedView(() => requestAnimationFrame(draw));
  for (const side of ["left", "right"]) view.attach(byId(side));
  function draw() {
    if (!state.images || byId("trial").hidden) return;
    for (const side of ["left", "right"]) {
      const image = state.images[side];
      view.draw(byId(side), image.naturalWidth, image.naturalHeight, context => context.drawImage(image, 0, 0));
    }
  }

  function clock() {  // seconds on a pair, over all visits
    if (!byId("trial").hidden && state.began) answer().seconds = Math.round(10 * (answer().seconds + (performance.now() - state.began) / 1000)) / 10;
    state.began = performance.now();
  }

  async function show(place) {
    state.place = place;
    state.images = null;
    for (const id of ["start", "end"]) byId(id).hidden = true;
    byId("trial").hidden = false;
    delete byId("trial").dataset.shown;
    const texts = pageData(`images-${state.order[place]}`);
    const [left, right] = await Promise.all(["left", "right"].map(side => decoded(texts[side], data.mime)));
    if (state.place !== place) return;
    state.images = { left, right };
    state.began = performance.now();
    view.reset();
    fill();
    byId("position").focus({ preventScroll: true });  // away from a button, which would take the next Enter for itself
    byId("trial").dataset.trial = current();
    byId("trial").dataset.shown = place;
  }

  function fill() {
    const given = state.answers[current()] ?? {};
    for (const field of byId("form").querySelectorAll("input[type=radio]")) field.checked = given[field.name] === field.value;
    const open = questions.find(question => given[question] === undefined);
    for (const fieldset of document.querySelectorAll("[data-question]")) fieldset.classList.toggle("now", fieldset.dataset.question === open);
    for (const side of ["left", "right"]) byId(`figure-${side}`).classList.toggle("chosen", given.real === side);
    const done = data.trials.filter(complete).length;
    byId("position").textContent = `Pair ${state.place + 1} of ${data.trials.length}`;
    byId("who").textContent = `reader ${state.reader}, ${done} answered`;
    byId("progress").value = done;
    byId("back").disabled = state.place === 0;
    byId("forward").disabled = !complete(current());
    draw();
  }

  function give(question, value) {
    answer()[question] = value;
    keep();
    fill();
  }

  function forward() {
    if (!complete(current())) return;
    clock();
    keep();
    if (state.place + 1 < data.trials.length) show(state.place + 1);
    else { byId("trial").hidden = true; byId("end").hidden = false; byId("save-end").focus(); }
  }
  function back() {
    if (state.place > 0) { clock(); keep(); show(state.place - 1); }
  }

  function csv() {
    const columns = ["study", "reader", "trial", "real", "seconds", ...questions.filter(question => question !== "real")];
    const rows = data.trials.filter(trial => state.answers[trial]).map(trial => columns.map(column =>
      column === "study" ? data.study : column === "reader" ? state.reader : column === "trial" ? trial : state.answers[trial][column] ?? ""));
    return [columns, ...rows].map(row => row.join(",")).join("\r\n") + "\r\n";  // ids, numbers and sides: nothing needs quotes
  }

  function save() {
    const link = document.createElement("a"), address = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.href = address;
    link.download = `answers_${state.reader}_${data.study}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    const done = data.trials.filter(complete).length;
    for (const id of ["saved", "saved-end"]) byId(id).textContent = `${done} of ${data.trials.length} pairs went into ${link.download} in your downloads.`;
  }

  byId("begin").addEventListener("click", () => {
    const reader = byId("reader").value.trim();
    if (!/^[A-Za-z0-9_.-]{1,32}$/.test(reader)) { byId("kept").textContent = "Type letters, digits, _ . or - first: the answers need a name."; byId("reader").focus(); return; }
    if (reader !== state.reader && Object.keys(state.answers).length
      && !confirm(`Answers of reader ${state.reader} are kept here. Begin anew as ${reader} and forget them?`)) return;
    if (reader !== state.reader) state.answers = {};
    state.reader = reader;
    keep();
    state.order = orderFor(reader);
    const open = state.order.findIndex(place => !complete(data.trials[place]));
    show(open < 0 ? 0 : open);
  });
  byId("reader").addEventListener("keydown", event => { if (event.key === "Enter") byId("begin").click(); });
  byId("form").addEventListener("change", event => give(event.target.name, event.target.value));
  byId("form").addEventListener("submit", event => { event.preventDefault(); forward(); });
  byId("back").addEventListener("click", back);
  for (const id of ["save", "save-end"]) byId(id).addEventListener("click", save);
  byId("look-back").addEventListener("click", () => show(0));
  byId("forget").addEventListener("click", () => {
    if (!confirm("Forget all answers on this computer? What was not saved is lost.")) return;
    try { localStorage.removeItem(store); } catch { /* nothing was kept */ }
    location.reload();
  });
  document.addEventListener("keydown", event => {
    if (byId("trial").hidden || !state.images || typing(event)) return;
    const given = state.answers[current()] ?? {}, open = questions.find(question => given[question] === undefined);
    const act = {
      ArrowLeft: () => give("real", "left"), ArrowRight: () => give("real", "right"), Enter: forward, z: () => view.zoomBy(1.5), x: () => view.zoomBy(1 / 1.5),
      Backspace: () => { const last = questions.findLast(question => given[question] !== undefined); if (last) { delete given[last]; keep(); fill(); } },
    }[event.key];
    if (event.key === "Enter" && event.target.closest("button")) return;  // the button's own key
    if (act) act();
    else if (/^[1-5-]$/.test(event.key) && open && open !== "real") give(open, event.key === "-" ? "" : event.key);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(draw).observe(byId("trial"));

  const former = kept();
  if (former?.reader) {
    Object.assign(state, { reader: former.reader, answers: former.answers ?? {} });
    byId("reader").value = former.reader;
    byId("kept").textContent = `${data.trials.filter(complete).length} answers of reader ${former.reader} are kept here: Begin goes on with them.`;
  }
  byId("reader").focus();
  document.documentElement.dataset.ready = "yes";
})();
