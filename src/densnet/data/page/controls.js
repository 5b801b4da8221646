"use strict";
// What the reader touches: layers, units, widths, limits, weights, files, the chosen mode. One state, drawn anew after every change.
(() => {
  const figure = document.getElementById("spectrum");
  const held = document.getElementById("densnet-data");
  if (!figure || !held) return;
  const data = JSON.parse(held.textContent);
  const top = Math.min(data.smoothed.axis[data.smoothed.axis.length - 1], 4000 < highest() ? Infinity : 4000);
  const state = {
    layers: spectrum.layersOf(data), unit: "molar", cell: { pressure: data.units.pressure_Pa, path: data.units.path_m }, width: 0,
    weights: data.conformers.map((c) => c.weight), range: [top, data.lower], limits: null, chosen: null, litBand: null,
  };

  function highest() {
    return Math.max(0, ...data.conformers.flatMap((c) => c.modes.map((m) => m.harmonic)));
  }

  /** An element: "tag.class", attributes (on...: listeners), children. */
  function make(kind, attributes = {}, ...children) {
    const [tag, ...classes] = kind.split(".");
    const made = document.createElement(tag);
    made.className = classes.join(" ");
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let moving = !still;
  let view;

  // ------------------------------------------------------------------------------------------------------------------- the furniture

  const layers = make("div.bar.layers", { role: "group", "aria-label": "what is shown" });
  const readout = make("div.readout", { role: "status" });
  const handles = [0, 1].map((side) => make("div.handle", {
    role: "slider", tabindex: "0", hidden: "", "aria-label": side ? "upper limit of the band" : "lower limit of the band",
    onpointerdown: (event) => pull(event, side), onkeydown: (event) => nudge(event, side),
  }));
  const plot = make("div.plot", {}, make("div.chart"), make("div.cursor", { hidden: "" }), ...handles);
  const sum = make("output.sum");
  const unit = make("select", { "aria-label": "unit", onchange: () => change({ unit: unit.value }) },
    ...Object.entries(quantities.UNITS).map(([key, { title }]) => make("option", { value: key }, title)));
  const cell = make("span.cell", { hidden: "" },
    quantity("p", "mbar", state.cell.pressure / 100, (value) => { state.cell.pressure = 100 * value; }),
    quantity("l", "cm", 100 * state.cell.path, (value) => { state.cell.path = value / 100; }));
  const width = make("input", { type: "range", min: 0, max: 80, step: 2, value: 0, "aria-label": "width of harmonic lines", oninput: () => change({ width: Number(width.value) }) });
  const widthTold = make("output");
  const integrate = make("button", { "aria-pressed": "false", onclick: () => toggleLimits() }, "integrate a band");
  const whole = make("button", { onclick: () => zoomed(null), hidden: "" }, "whole spectrum");
  const tools = make("div.bar.tools", {},
    make("label", {}, "unit ", unit), cell, make("label", {}, "width of lines ", width, " ", widthTold), integrate, whole);
  const weights = make("div.bar.weights");
  const file = make("input", { type: "file", hidden: "", onchange: () => read(file.files[0]) });
  const files = make("div.bar.files", { role: "group", "aria-label": "downloads" }, make("span.soft", {}, "download"),
    ...[["CSV", saveCsv], ["JDX", saveJdx], ["SVG", saveSvg], ["xyz", saveXyz], ["TOML", saveToml]].map(([name, save]) => make("button", { onclick: save }, name)),
    make("span.grow"), make("button.add", { onclick: () => file.click() }, "add a measured spectrum"), file);
  const message = make("p.message", { role: "alert", hidden: "" });
  const hint = make("p.note", {}, "Drag to zoom, double-click for the whole. Click a line here or a row of a table to see the motion. A measured spectrum (CSV or JCAMP-DX) can be dropped onto the page.");
  const scene = make("div.scene");
  const play = make("button", { onclick: () => { moving = !moving; view?.move(moving); label(); } });
  const close = make("button", { onclick: () => choose(null), "aria-label": "close" }, "×");
  const words = make("div.words");
  const stage = make("aside.stage", { hidden: "", "aria-label": "normal mode" }, scene, make("div.side", {}, words, make("div.bar", {}, play, close)));
  const dock = make("div.dock", {}, stage);
  const live = make("div.live", {}, layers, readout, plot, dock, tools, sum, weights, files, message, hint);

  function quantity(name, symbol, value, take) {
    const input = make("input", { type: "number", min: 0, step: "any", value, oninput: () => {
      if (input.valueAsNumber > 0) take(input.valueAsNumber);
      draw();
    } });
    return make("label", {}, `${name} `, input, ` ${symbol} `);
  }

  function label() {
    play.textContent = moving ? "pause" : "play";
  }

  function fillLayers() {
    layers.replaceChildren(...state.layers.map((layer) => make("button.chip", {
      "aria-pressed": String(layer.shown), "data-layer": layer.key, style: `--colour: var(--${layer.colour})`,
      onclick: () => { layer.shown = !layer.shown; fillLayers(); draw(); },
    }, layer.title)));
  }

  function fillWeights() {
    if (!data.conformers.some((c) => c.part)) return;
    const total = state.weights.reduce((a, b) => a + b, 0);
    const sliders = data.conformers.map((c, k) => {
      const told = make("output", {}, `${((100 * state.weights[k]) / total).toFixed(0)} %`);
      const slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: state.weights[k], "aria-label": `weight of ${c.name}`, oninput: () => {
        const weighed = state.weights.map((w, other) => (other === k ? Number(slider.value) : w));
        if (weighed.some((w) => w > 0)) state.weights = weighed;
        const all = state.weights.reduce((a, b) => a + b, 0);
        weights.querySelectorAll("output").forEach((out, other) => { out.textContent = `${((100 * state.weights[other]) / all).toFixed(0)} %`; });
        draw();
      } });
      return make("label", {}, `${c.name} `, slider, " ", told);
    });
    const own = make("button", { onclick: () => { state.weights = data.conformers.map((c) => c.weight); fillWeights(); draw(); } }, "as calculated");
    weights.replaceChildren(make("span.soft", {}, "weights"), ...sliders, own);
  }

  // ------------------------------------------------------------------------------------------------------------------------ drawing

  const chart = spectrum.chart(plot, data, { zoomed, over, picked });

  let printing = false;

  /** The colours of the theme, on paper those of light. */
  function palette() {
    if (printing) return data.palette;
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(Object.keys(data.palette).map((name) => [name, style.getPropertyValue(`--${name}`).trim() || data.palette[name]]));
  }

  function draw() {
    chart.draw(state, palette());
    cell.hidden = !quantities.UNITS[state.unit].cell;
    widthTold.textContent = state.width ? `${state.width} cm⁻¹` : "lines";
    whole.hidden = state.range[0] === top && state.range[1] === data.lower;
    placeHandles();
    over(null);
  }

  function change(values) {
    Object.assign(state, values);
    draw();
  }

  function zoomed(range) {
    const wanted = range ? [Math.max(...range), Math.min(...range)] : [top, data.lower];
    if (wanted[0] - wanted[1] > 5) change({ range: [Math.min(top, wanted[0]), Math.max(data.lower, wanted[1])] });
    else draw();
  }

  // ------------------------------------------------------------------------------------------------------- hover, and the chosen mode

  const digits = (value) => (value !== 0 && (Math.abs(value) < 0.01 || Math.abs(value) >= 1e5) ? value.toExponential(2).replace("e", " × 10^").replace("+", "") : value.toPrecision(3));
  /** With its error, to the second digit of that. */
  function told(value, error) {
    if (!(error > 1e-3 && error < 1e4)) return digits(value) + (error ? ` ± ${digits(error)}` : "");
    const decimals = Math.max(0, 1 - Math.floor(Math.log10(error)));
    return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
  }

  const dot = (colour) => make("i.dot", { style: `--colour: var(--${colour})` });

  /** Modes near a wavenumber, nearest first; of those closer than a few pixels the strongest. */
  function nearby(x, most) {
    const kinds = state.layers.filter((layer) => layer.kind === "lines" && layer.shown);
    const all = (kinds.length ? kinds : [{ key: "model", colour: "green" }]).flatMap((layer) =>
      spectrum.linesOf(data, layer.key, state.weights).map((line) => ({ ...line, colour: layer.colour, far: Math.abs(line.place - x) })));
    const seen = new Set();
    return all.filter((line) => line.far < most).sort((a, b) => a.far - b.far).filter(({ conformer, mode }) => {
      const key = `${conformer}-${mode}`;
      return !seen.has(key) && seen.add(key);
    });
  }

  function over(x) {
    if (x === null) {
      readout.replaceChildren(make("div", {}, make("span.soft", {}, "point at the spectrum")), make("div"));
      return;
    }
    const values = spectrum.curvesOf(data, state).map(([layer, molar]) => {
      const one = (values_) => values_ && [quantities.interpolated(molar.axis, values_, x)];
      const shown = quantities.converted({ intensity: one(molar.intensity), error: one(molar.error) }, state.unit, data.units, state.cell);
      if (Number.isNaN(shown.intensity[0])) return null;
      return make("span.value", {}, dot(layer.colour), told(shown.intensity[0], shown.error && shown.error[0]));
    }).filter(Boolean);
    const near = nearby(x, 150).slice(0, 3).map(({ conformer, mode, place, strength, colour }) => {
      const { number, species, motion } = data.conformers[conformer].modes[mode];
      const name = data.conformers.length > 1 ? `, ${data.conformers[conformer].name}` : "";
      return make("span.value", {}, dot(colour), `ν${number} ${species} ${motion.replace(/\s?\d+\s%.*/, "")}${name}: ${place.toFixed(1)}, ${strength.toFixed(1)} km/mol`);
    });
    readout.replaceChildren(make("div", {}, make("b", {}, `${x.toFixed(1)} cm⁻¹`), ...values), make("div.near", {}, ...near));
  }

  function picked(x, perPixel) {
    const near = nearby(x, 14 * perPixel);
    if (!near.length) return;
    const close_ = near.filter((line) => line.far < near[0].far + 3 * perPixel);
    const { conformer, mode } = close_.reduce((a, b) => (b.strength > a.strength ? b : a));
    choose({ conformer, mode });
  }

  function choose(chosen) {
    Object.assign(state, { chosen, litBand: null });
    document.querySelectorAll("tr.lit").forEach((row) => row.classList.remove("lit"));
    stage.hidden = chosen === null;
    if (chosen) {
      document.querySelector(`tr[data-key="mode-${chosen.conformer}-${chosen.mode}"]`)?.classList.add("lit");
      showMode(data.conformers[chosen.conformer], data.conformers[chosen.conformer].modes[chosen.mode]);
    }
    float();
    draw();
  }

  function showMode(conformer, mode) {
    const functional = data.level.split("/")[0];
    const name = data.conformers.length > 1 ? `${conformer.name}, ` : "";
    const rows = [
      ["harmonic, model", `${mode.harmonic.toFixed(1)} cm⁻¹`, `${mode.strength.toFixed(1)} km/mol`],
      mode.reference && [`harmonic, ${functional}`, `${mode.reference[0].toFixed(1)} cm⁻¹`, `${mode.reference[1].toFixed(1)} km/mol`],
      mode.quantum !== null && ["VPT2, model", `${mode.quantum.toFixed(1)} cm⁻¹`, ""],
      mode.dynamics && ["dynamics, band", `${mode.dynamics} cm⁻¹`, ""],
      mode.measured.wavenumber && ["measured", `${mode.measured.wavenumber} cm⁻¹`, mode.measured.remark ?? ""],
    ].filter(Boolean);
    const table = make("table", {}, ...rows.map((row) => make("tr", {}, ...row.map((text, k) => make(k ? "td.number" : "td", {}, text)))));
    words.replaceChildren(
      make("h3", {}, `ν${mode.number} `, make("span.soft", {}, `${name}${mode.species}`)), make("p", {}, mode.motion), table,
      make("p.note", {}, make("i.dot", { style: "--colour: var(--blue)" }), "motion of the atoms ", make("i.dot", { style: "--colour: var(--orange)" }),
        `dipole derivative, ${Math.hypot(...mode.slope).toFixed(2)} D/(Å √u)`));
    view ??= molecule.view(scene) ?? null;
    if (!view) {
      scene.replaceChildren(make("p.note", {}, "The motion is drawn with WebGL, which this browser does not offer here."));
      play.hidden = true;
      return;
    }
    const { blue, orange } = palette();
    const ground = getComputedStyle(document.documentElement).getPropertyValue("--panel").trim();
    const longest = Math.max(...conformer.modes.map((m) => Math.hypot(...m.slope)));
    view.resize();
    view.show(conformer, mode, { motion: blue, slope: orange, ground }, longest, moving);
    label();
  }

  /** The motion floats over the page where neither its place nor the chart above that is in sight. */
  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    entries.forEach((entry) => (entry.isIntersecting ? inSight.add(entry.target) : inSight.delete(entry.target)));
    float();
  });
  [plot, dock].forEach((part) => { inSight.add(part); observer.observe(part); });

  function float() {
    const wanted = inSight.size === 0 && !stage.hidden;
    if (stage.classList.contains("afloat") === wanted) return;
    dock.style.minHeight = wanted ? `${stage.offsetHeight}px` : "";
    stage.classList.toggle("afloat", wanted);
    view?.resize();
  }

  for (const row of document.querySelectorAll("tr[data-key]")) {
    const [kind, first, second] = row.dataset.key.split("-");
    const act = () => {
      if (kind === "mode") choose({ conformer: Number(first), mode: Number(second) });
      else light(row, Number(first));
    };
    row.tabIndex = 0;
    row.addEventListener("click", act);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
  }

  function light(row, band) {
    choose(null);
    row.classList.add("lit");
    change({ litBand: band });
  }

  // ------------------------------------------------------------------------------------------------------------------ limits of a band

  function toggleLimits() {
    const [high, low] = state.range;
    const middle = 0.5 * (high + low);
    const tallest = spectrum.dynamics(data, state);
    let peak = middle;
    let best = -1;
    tallest.axis.forEach((x, k) => { if (x > low && x < high && tallest.intensity[k] > best) [peak, best] = [x, tallest.intensity[k]]; });
    const half = Math.min(80, 0.1 * (high - low));
    change({ limits: state.limits ? null : [Math.max(low, peak - half), Math.min(high, peak + half)] });
    integrate.setAttribute("aria-pressed", String(state.limits !== null));
  }

  function placeHandles() {
    handles.forEach((handle, side) => {
      handle.hidden = !state.limits || !chart.inside(state.limits[side]);
      if (handle.hidden) return;
      handle.style.left = `${chart.pixel(state.limits[side])}px`;
      handle.setAttribute("aria-valuenow", state.limits[side].toFixed(0));
    });
    sum.hidden = !state.limits;
    if (!state.limits) return;
    const found = quantities.band(spectrum.dynamics(data, state), ...state.limits);
    const shown = spectrum.curvesOf(data, state).filter(([layer]) => layer.curve?.absolute).map(([layer, curve]) => [layer, quantities.band(curve, ...state.limits)]);
    const inside = ["model", "reference"].map((key) => spectrum.linesOf(data, key, state.weights).filter((l) => l.place > state.limits[0] && l.place < state.limits[1]));
    const total = (lines) => lines.reduce((s, line) => s + line.strength, 0).toFixed(1);
    sum.textContent = `${found.lower.toFixed(0)}–${found.upper.toFixed(0)} cm⁻¹: ${found.integral.toFixed(1)}${found.error === null ? "" : ` ± ${found.error.toFixed(1)} (at most)`} km/mol, centroid ${found.centroid.toFixed(1)} cm⁻¹`
      + (inside[0].length ? `; harmonic, model ${total(inside[0])}` : "") + (inside[1].length ? `, ${data.level.split("/")[0]} ${total(inside[1])} km/mol` : "")
      + shown.filter(([, b]) => b).map(([layer, b]) => `; ${layer.title} ${b.integral.toFixed(1)} km/mol`).join("");
  }

  function setLimit(side, x) {
    const limits = [...state.limits];
    limits[side] = Math.min(state.range[0], Math.max(state.range[1], x));
    if (limits[1] - limits[0] >= 2) change({ limits });
  }

  function pull(event, side) {
    event.preventDefault();
    event.stopPropagation();
    handles[side].setPointerCapture(event.pointerId);
    const follow = (moved) => setLimit(side, chart.wavenumber(moved));
    handles[side].addEventListener("pointermove", follow);
    handles[side].addEventListener("pointerup", () => handles[side].removeEventListener("pointermove", follow), { once: true });
  }

  function nudge(event, side) {
    const step = { ArrowLeft: 1, ArrowRight: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!step) return;
    event.preventDefault();
    setLimit(side, state.limits[side] + step);
  }

  // -------------------------------------------------------------------------------------------------------------------------- files

  function save(text, ending, type) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    make("a", { href: address, download: `${data.name}.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  const current = () => quantities.converted(spectrum.dynamics(data, state), state.unit, data.units, state.cell);

  function conditions() {
    if (!quantities.UNITS[state.unit].cell) return {};
    return { partial_pressure: `${state.cell.pressure} Pa`, "path length": `${state.cell.path} m`, temperature: `${data.temperature_K} K` };
  }

  function header() {
    const total = state.weights.reduce((a, b) => a + b, 0);
    const shares = data.conformers.map((c, k) => `${c.name} ${(state.weights[k] / total).toFixed(4)}`).join(", ");
    return { ...data.smoothed.header, ...(data.conformers.length > 1 ? { weights: shares } : {}), ...conditions() };
  }

  function saveCsv() { save(quantities.csv(current(), state.unit, header()), "csv", "text/csv"); }
  function saveJdx() {
    const labels = Object.fromEntries(Object.entries(conditions()).map(([key, value]) => [key.toUpperCase(), value]));
    save(quantities.jdx(current(), state.unit, `${data.name}, infrared from dynamics`, { RESOLUTION: data.width, ...labels }), "jdx", "chemical/x-jcamp-dx");
  }
  async function saveSvg() { save(await spectrum.svg(data, state, data.palette), "svg", "image/svg+xml"); }
  function saveXyz() { save(quantities.xyz(data.conformers, `${data.name}, minimum of the model`), "xyz", "chemical/x-xyz"); }
  function saveToml() { save(data.settings, "toml", "application/toml"); }

  async function read(chosen) {
    if (!chosen) return;
    message.hidden = true;
    try {
      const curve = quantities.measured(await chosen.text(), chosen.name);
      state.layers.push(spectrum.measuredLayer(curve, `added-${state.layers.length}`));
      if (!curve.absolute) state.layers[state.layers.length - 1].title += " (scaled to the same integral)";
      fillLayers();
      draw();
    } catch (error) {
      message.textContent = error.message;
      message.hidden = false;
    }
  }

  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    read(event.dataTransfer.files[0]);
  });

  // ------------------------------------------------------------------------------------------------- theme, size, print, and the start

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((fold) => { fold.open = true; });
    printing = true;
    chart.draw(state, data.palette, { width: 660, height: 420 });
  });
  addEventListener("afterprint", () => {
    opened.forEach((fold) => { fold.open = false; });
    printing = false;
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => choose(state.chosen));

  figure.prepend(live);
  try {
    fillLayers();
    fillWeights();
    draw();
    figure.classList.add("alive");
    document.body.classList.add("alive");
    let breadth = plot.clientWidth;
    new ResizeObserver(() => { if (plot.clientWidth !== breadth) { breadth = plot.clientWidth; draw(); } }).observe(plot);
  } catch (error) {
    live.remove();
    throw error;
  }
})();
