"use strict";
// What the spectra of the page have in common: zoom, limits, weights, the chosen mode in motion, tables, dropped files, print, and the start.
(() => {
  const held = document.getElementById("densnet-data");
  if (!held) return;
  const data = JSON.parse(held.textContent);
  const { make, dot, save } = panels;
  const highest = Math.max(0, ...data.conformers.flatMap((c) => c.modes.map((m) => m.harmonic)));
  const top = Math.min(data.smoothed.axis[data.smoothed.axis.length - 1], highest > 4000 ? Infinity : 4000);
  const shared = { weights: data.conformers.map((c) => c.weight), range: [top, data.lower], limits: null, chosen: null, litBand: null };
  const both = [kinds.infrared(data), kinds.raman(data)].filter((kind) => kind && document.getElementById(kind.figure));
  if (!both.length) return;

  const more = [
    ["xyz", () => save(quantities.xyz(data.conformers, `${data.name}, minimum of the model`), `${data.name}.xyz`, "chemical/x-xyz")],
    ["TOML", () => save(data.settings, `${data.name}.toml`, "application/toml")],
  ];
  const tell = {
    changed, zoomed, over, choose, read, palette,
    whole: () => shared.range[0] === top && shared.range[1] === data.lower,
    other: (kind) => both.find((one) => one !== kind)?.sum(shared.weights) ?? null,
  };
  const charts = both.map((kind, k) => panels.panel(document.getElementById(kind.figure), kind, data, shared, tell, k ? [] : more));

  let printing = false;

  /** The colours of the theme, on paper those of light. */
  function palette() {
    if (printing) return data.palette;
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(Object.keys(data.palette).map((name) => [name, style.getPropertyValue(`--${name}`).trim() || data.palette[name]]));
  }

  function changed(values = {}) {
    Object.assign(shared, values);
    charts.forEach((chart) => chart.draw());
  }

  function zoomed(range) {
    const wanted = range ? [Math.max(...range), Math.min(...range)] : [top, data.lower];
    changed(wanted[0] - wanted[1] > 5 ? { range: [Math.min(top, wanted[0]), Math.max(data.lower, wanted[1])] } : {});
  }

  function over(x) {
    charts.forEach((chart) => chart.over(x));
  }

  // ------------------------------------------------------------------------------------------------------------ weights of conformers

  const weights = make("div.bar.weights");

  function fillWeights() {
    if (!data.conformers.some((c) => c.part)) return;
    const share = (k) => `${((100 * shared.weights[k]) / shared.weights.reduce((a, b) => a + b, 0)).toFixed(0)} %`;
    const sliders = data.conformers.map((c, k) => {
      const slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: shared.weights[k], "aria-label": `weight of ${c.name}`, oninput: () => {
        const weighed = shared.weights.map((w, other) => (other === k ? Number(slider.value) : w));
        changed(weighed.some((w) => w > 0) ? { weights: weighed } : {});
        weights.querySelectorAll("output").forEach((out, other) => { out.textContent = share(other); });
      } });
      return make("label", {}, `${c.name} `, slider, " ", make("output", {}, share(k)));
    });
    const own = make("button", { onclick: () => { changed({ weights: data.conformers.map((c) => c.weight) }); fillWeights(); } }, "as calculated");
    weights.replaceChildren(make("span.soft", {}, "weights"), ...sliders, own);
    if (charts.length > 1) weights.append(make("span.soft", {}, "(of the Raman spectrum only the lines follow)"));
  }

  // --------------------------------------------------------------------------------------------------------------------- chosen mode

  let moving = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let view;
  let host = charts[0]; // the chart below which the mode moves
  const scene = make("div.scene");
  const play = make("button", { onclick: () => { moving = !moving; view?.move(moving); label(); } });
  const close = make("button", { onclick: () => choose(null), "aria-label": "close" }, "×");
  const words = make("div.words");
  const stage = make("aside.stage", { hidden: "", "aria-label": "normal mode" }, scene, make("div.side", {}, words, make("div.bar", {}, play, close)));

  function label() {
    play.textContent = moving ? "pause" : "play";
  }

  /** A mode, {conformer, mode}, is lit in tables and charts and moves below the `chart` that was clicked; null: none. */
  function choose(chosen, chart) {
    const mode = chosen && data.conformers[chosen.conformer].modes[chosen.mode];
    document.querySelectorAll("tr.lit").forEach((row) => row.classList.remove("lit"));
    lodge(chart ?? [host, ...charts].find(seen) ?? host);
    stage.hidden = chosen === null;
    if (chosen) {
      document.querySelector(`tr[data-key="mode-${chosen.conformer}-${chosen.mode}"]`)?.classList.add("lit");
      showMode(data.conformers[chosen.conformer], mode);
    }
    float();
    changed({ chosen: chosen && { ...chosen, place: mode.harmonic, number: mode.number }, litBand: null });
  }

  function showMode(conformer, mode) {
    const functional = data.level.split("/")[0];
    const name = data.conformers.length > 1 ? `${conformer.name}, ` : "";
    const raman = (title, pair) => pair && [title, `${pair[0].toFixed(1)} Å⁴/u`, pair[1] === null ? "" : `ρ ${pair[1].toFixed(2)}`];
    const rows = [
      ["harmonic, model", `${mode.harmonic.toFixed(1)} cm⁻¹`, `${mode.strength.toFixed(1)} km/mol`],
      mode.reference && [`harmonic, ${functional}`, `${mode.reference[0].toFixed(1)} cm⁻¹`, `${mode.reference[1].toFixed(1)} km/mol`],
      raman("Raman, model", mode.raman), raman(`Raman, ${functional}`, mode.raman_reference),
      mode.quantum !== null && ["VPT2, model", `${mode.quantum.toFixed(1)} cm⁻¹`, ""],
      mode.dynamics && ["dynamics, band", `${mode.dynamics} cm⁻¹`, ""],
      mode.measured.wavenumber && ["measured", `${mode.measured.wavenumber} cm⁻¹`, mode.measured.remark ?? ""],
    ].filter(Boolean);
    const table = make("table", {}, ...rows.map((row) => make("tr", {}, ...row.map((text, k) => make(k ? "td.number" : "td", {}, text)))));
    words.replaceChildren(
      make("h3", {}, `ν${mode.number} `, make("span.soft", {}, `${name}${mode.species}`)), make("p", {}, mode.motion), table,
      make("p.note", {}, dot("blue"), "motion of the atoms ", dot("orange"), `dipole derivative, ${Math.hypot(...mode.slope).toFixed(2)} D/(Å √u)`));
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

  /** The motion floats over the page where no chart is in sight. Nothing jumps as the page scrolls: it goes to another chart by a click only. */
  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    entries.forEach((entry) => (entry.isIntersecting ? inSight.add(entry.target) : inSight.delete(entry.target)));
    float();
  });

  function lodge(chart) {
    if (chart === host && stage.parentElement) return;
    host.dock.style.minHeight = "";
    host = chart;
    host.dock.append(stage);
  }

  const seen = (chart) => inSight.has(chart.plot) || inSight.has(chart.dock);

  function float() {
    const wanted = !charts.some(seen) && !stage.hidden;
    if (stage.classList.contains("afloat") === wanted) return;
    host.dock.style.minHeight = wanted ? `${stage.offsetHeight}px` : "";
    stage.classList.toggle("afloat", wanted);
    view?.resize();
  }

  // -------------------------------------------------------------------------------------------------------------------------- tables

  const bandOf = { band: (k) => data.bands[k], raman: (k) => data.raman?.bands[k] };

  for (const row of document.querySelectorAll("tr[data-key]")) {
    const [kind, first, second] = row.dataset.key.split("-");
    const act = () => {
      if (kind === "mode") choose({ conformer: Number(first), mode: Number(second) });
      else light(bandOf[kind](first));
    };
    row.tabIndex = 0;
    row.addEventListener("click", act);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
  }

  /** A band, in every chart, and its rows in the tables. */
  function light(band) {
    choose(null);
    for (const row of document.querySelectorAll('tr[data-key^="band-"], tr[data-key^="raman-"]')) {
      const [kind, k] = row.dataset.key.split("-");
      const { lower, upper } = bandOf[kind](k);
      row.classList.toggle("lit", lower === band.lower && upper === band.upper);
    }
    changed({ litBand: band });
  }

  // -------------------------------------------------------------------------------------------------------------------- measured files

  /** Into the chart of the kind that the file names, else into `near`. */
  async function read(file, near = charts[0]) {
    if (!file) return;
    near.say(null);
    try {
      const curve = quantities.measured(await file.text(), file.name, near.kind.name);
      const chart = charts.find((one) => one.kind.name === curve.kind);
      if (!chart) throw new Error(`${file.name} is a Raman spectrum; this run has none, because its model predicts no polarizability.`);
      chart.add(curve);
    } catch (error) {
      near.say(error.message);
    }
  }

  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    read(event.dataTransfer.files[0], charts.find((chart) => chart.live.parentElement.contains(event.target)));
  });

  // ------------------------------------------------------------------------------------------------- theme, size, print, and the start

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((fold) => { fold.open = true; });
    printing = true;
    charts.forEach((chart) => chart.draw({ palette: data.palette, size: { width: 660, height: 420 } }));
  });
  addEventListener("afterprint", () => {
    opened.forEach((fold) => { fold.open = false; });
    printing = false;
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (shared.chosen ? choose(shared.chosen) : changed()));

  const hint = "Drag to zoom, double-click for the whole. Click a line here or a row of a table to see the motion. A measured spectrum (CSV or JCAMP-DX) can be dropped onto the page.";
  const linked = " Both spectra have one zoom, one pointer and one lit mode.";
  try {
    fillWeights();
    charts[0].tools.after(weights);
    charts.forEach((chart) => {
      chart.start();
      chart.live.append(make("p.note", {}, hint + (charts.length > 1 ? linked : "")));
      [chart.plot, chart.dock].forEach((part) => { inSight.add(part); observer.observe(part); });
    });
    lodge(charts[0]);
    document.body.classList.add("alive");
  } catch (error) {
    charts.forEach((chart) => chart.stop());
    throw error;
  }
})();
