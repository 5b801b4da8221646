"use strict";
// One spectrum of the page: its chart with layers, read-out, unit, width of lines, limits of a band, downloads. Its state is its own; zoom,
// limits, weights and the chosen mode are `shared` with the other.
const panels = (() => {
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

  const digits = (value) => (value !== 0 && (Math.abs(value) < 0.01 || Math.abs(value) >= 1e5) ? value.toExponential(2).replace("e", " × 10^").replace("+", "") : value.toPrecision(3));

  /** With its error, to the second digit of that. */
  function told(value, error) {
    if (!(error > 1e-3 && error < 1e4)) return digits(value) + (error ? ` ± ${digits(error)}` : "");
    const decimals = Math.max(0, 1 - Math.floor(Math.log10(error)));
    return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
  }

  const dot = (colour) => make("i.dot", { style: `--colour: var(--${colour})` });

  /** Saves as the reader's file `name`. */
  function save(text, name, type) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  /** `figure` becomes alive. `tell`: what concerns both: changed(values of shared), zoomed(range), over(x), choose(chosen, panel),
      read(file, panel), palette(), other(kind): the dynamics of the other kind, or nothing. `more`: further downloads, [name, function]. */
  function panel(figure, kind, data, shared, tell, more) {
    const own = { layers: kind.layers, unit: Object.keys(kind.units)[0], conditions: { ...kind.conditions }, width: 0, lower: data.lower };
    const state = () => ({ ...shared, ...own });

    const layers = make("div.bar.layers", { role: "group", "aria-label": "what is shown" });
    const readout = make("div.readout", { role: "status" });
    const handles = [0, 1].map((side) => make("div.handle", {
      role: "slider", tabindex: "0", hidden: "", "aria-label": side ? "upper limit of the band" : "lower limit of the band",
      onpointerdown: (event) => pull(event, side), onkeydown: (event) => nudge(event, side),
    }));
    const plot = make("div.plot", {}, make("div.chart"), make("div.cursor", { hidden: "" }), ...handles);
    const sum = make("output.sum");
    const unit = make("select", { "aria-label": "unit", onchange: () => change({ unit: unit.value }) },
      ...Object.entries(kind.units).map(([key, { title }]) => make("option", { value: key }, title)));
    const conditions = make("span.cell", { hidden: "" }, ...kind.inputs.map(condition));
    const width = make("input", { type: "range", min: 0, max: 80, step: 2, value: 0, "aria-label": "width of harmonic lines", oninput: () => change({ width: Number(width.value) }) });
    const widthTold = make("output");
    const integrate = make("button", { "aria-pressed": "false", onclick: () => toggleLimits() }, "integrate a band");
    const whole = make("button", { onclick: () => tell.zoomed(null), hidden: "" }, "whole spectrum");
    const tools = make("div.bar.tools", {},
      make("label", {}, "unit ", unit), conditions, make("label", {}, "width of lines ", width, " ", widthTold), integrate, whole);
    const file = make("input", { type: "file", hidden: "", onchange: () => tell.read(file.files[0], self) });
    const saved = [["CSV", "csv", "text/csv"], ["JDX", "jdx", "chemical/x-jcamp-dx"]].map(([name, ending, type]) =>
      [name, () => save(kind[ending](own, shared.weights), `${data.name}${kind.file}.${ending}`, type)]);
    const saveSvg = async () => save(await spectrum.svg(kind, state(), tell.other(kind), data.palette), `${data.name}${kind.file}.svg`, "image/svg+xml");
    const files = make("div.bar.files", { role: "group", "aria-label": "downloads" }, make("span.soft", {}, "download"),
      ...[...saved, ["SVG", saveSvg], ...more].map(([name, act]) => make("button", { onclick: act }, name)),
      make("span.grow"), make("button.add", { onclick: () => file.click() }, "add a measured spectrum"), file);
    const message = make("p.message", { role: "alert", hidden: "" });
    const dock = make("div.dock");
    const live = make("div.live", {}, layers, readout, plot, dock, tools, sum, files, message);
    const chart = spectrum.chart(plot, kind, { zoomed: tell.zoomed, over: tell.over, picked });

    function condition({ key, name, symbol, scale, least = 0, most = Infinity }) {
      const input = make("input", { type: "number", min: least, max: most === Infinity ? false : most, step: "any", value: scale * own.conditions[key], oninput: () => {
        if (input.valueAsNumber > least && input.valueAsNumber <= most) own.conditions[key] = input.valueAsNumber / scale;
        draw();
      } });
      return make("label", {}, `${name} `, input, ` ${symbol} `);
    }

    function fillLayers() {
      layers.replaceChildren(...own.layers.map((layer) => make("button.chip", {
        "aria-pressed": String(layer.shown), "data-layer": layer.key, style: `--colour: var(--${layer.colour})`,
        onclick: () => { layer.shown = !layer.shown; fillLayers(); draw(); },
      }, layer.title)));
    }

    /** `paper`: for printing, in colours and size of their own. */
    function draw(paper) {
      chart.draw(state(), tell.other(kind), paper?.palette ?? tell.palette(), paper?.size);
      conditions.hidden = !kind.asks(own.unit);
      widthTold.textContent = own.width ? `${own.width} cm⁻¹` : "lines";
      whole.hidden = tell.whole();
      placeHandles();
      over(null);
    }

    function change(values) {
      Object.assign(own, values);
      draw();
    }

    // --------------------------------------------------------------------------------------------------------------- hover and click

    /** Modes near a wavenumber, nearest first. */
    function nearby(x, most) {
      const known = own.layers.filter((layer) => layer.kind === "lines");
      const shown = known.filter((layer) => layer.shown);
      const all = (shown.length ? shown : known.slice(0, 1)).flatMap((layer) =>
        kind.lines(layer.key, shared.weights).map((line) => ({ ...line, colour: layer.colour, far: Math.abs(line.place - x) })));
      const seen = new Set();
      return all.filter((line) => line.far < most).sort((a, b) => a.far - b.far).filter(({ conformer, mode }) => {
        const key = `${conformer}-${mode}`;
        return !seen.has(key) && seen.add(key);
      });
    }

    /** Reads out a wavenumber, to which this chart or the other is pointed; null: none. */
    function over(x) {
      chart.point(x);
      if (x === null) {
        readout.replaceChildren(make("div", {}, make("span.soft", {}, "point at the spectrum")), make("div"));
        return;
      }
      const values = spectrum.curvesOf(kind, state(), tell.other(kind)).filter(([layer]) => layer.key !== "other").map(([layer, curve]) => {
        const at = (numbers) => numbers && [quantities.interpolated(curve.axis, numbers, x)];
        const shown = kind.shown({ axis: [x], intensity: at(curve.intensity), error: at(curve.error) }, own);
        if (Number.isNaN(shown.intensity[0])) return null;
        return make("span.value", {}, dot(layer.colour), told(shown.intensity[0], shown.error && shown.error[0]));
      }).filter(Boolean);
      const near = nearby(x, 150).slice(0, 3).map((line) => {
        const { number, species, motion } = data.conformers[line.conformer].modes[line.mode];
        const name = data.conformers.length > 1 ? `, ${data.conformers[line.conformer].name}` : "";
        return make("span.value", {}, dot(line.colour), `ν${number} ${species} ${motion.replace(/\s?\d+\s%.*/, "")}${name}: ${line.place.toFixed(1)}, ${kind.amount(line)}`);
      });
      const remark = make("span.value", {}, kind.remark(x));
      readout.replaceChildren(make("div", {}, make("b", {}, `${x.toFixed(1)} cm⁻¹`), ...values, remark), make("div.near", {}, ...near));
    }

    function picked(x, perPixel) {
      const near = nearby(x, 14 * perPixel);
      if (!near.length) return;
      const close = near.filter((line) => line.far < near[0].far + 3 * perPixel);
      const { conformer, mode } = close.reduce((a, b) => (b.strength > a.strength ? b : a));
      tell.choose({ conformer, mode }, self);
    }

    // ------------------------------------------------------------------------------------------------------------- limits of a band

    function toggleLimits() {
      const [high, low] = shared.range;
      const { axis, intensity } = kind.sum(shared.weights);
      let [peak, best] = [0.5 * (high + low), -1];
      axis.forEach((x, k) => { if (x > low && x < high && intensity[k] > best) [peak, best] = [x, intensity[k]]; });
      const half = Math.min(80, 0.1 * (high - low));
      tell.changed({ limits: shared.limits ? null : [Math.max(low, peak - half), Math.min(high, peak + half)] });
    }

    function placeHandles() {
      handles.forEach((handle, side) => {
        handle.hidden = !shared.limits || !chart.inside(shared.limits[side]);
        if (handle.hidden) return;
        handle.style.left = `${chart.pixel(shared.limits[side])}px`;
        handle.setAttribute("aria-valuenow", shared.limits[side].toFixed(0));
      });
      integrate.setAttribute("aria-pressed", String(shared.limits !== null));
      sum.hidden = !shared.limits;
      if (!shared.limits) return;
      const [lower, upper] = shared.limits;
      const curves = spectrum.curvesOf(kind, state(), tell.other(kind)).filter(([layer]) => layer.curve?.absolute);
      const measured = curves.map(([layer, curve]) => [layer, quantities.band(curve, lower, upper)]);
      const total = (key) => {
        const inside = kind.lines(key, shared.weights).filter((line) => line.place > lower && line.place < upper);
        return inside.length ? inside.reduce((s, line) => s + line.strength, 0).toFixed(1) : null;
      };
      const known = own.layers.filter((layer) => ["model", "reference"].includes(layer.key)).map((layer) => [layer.title, total(layer.key)]);
      sum.textContent = kind.told(shared.limits, own, shared.weights)
        + known.filter(([, area]) => area).map(([title, area]) => `; ${title} ${area} ${kind.area}`).join("")
        + measured.filter(([, band]) => band).map(([layer, band]) => `; ${layer.title} ${band.integral.toFixed(1)} ${kind.curveArea}`).join("");
    }

    function setLimit(side, x) {
      const limits = [...shared.limits];
      limits[side] = Math.min(shared.range[0], Math.max(shared.range[1], x));
      if (limits[1] - limits[0] >= 2) tell.changed({ limits });
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
      setLimit(side, shared.limits[side] + step);
    }

    // ---------------------------------------------------------------------------------------------------------------- measured, start

    /** A measured curve becomes a layer. */
    function add(curve) {
      const layer = kinds.measured(curve, `added-${own.layers.length}`);
      if (!curve.absolute) layer.title += ` (${kind.fit})`;
      own.layers.push(layer);
      fillLayers();
      draw();
    }

    /** What went wrong, or null. */
    function say(text) {
      message.textContent = text ?? "";
      message.hidden = !text;
    }

    function start() {
      figure.prepend(live);
      fillLayers();
      draw();
      figure.classList.add("alive");
      let breadth = plot.clientWidth;
      new ResizeObserver(() => { if (plot.clientWidth !== breadth) { breadth = plot.clientWidth; draw(); } }).observe(plot);
    }

    /** Static again. */
    function stop() {
      live.remove();
      figure.classList.remove("alive");
    }

    const self = { kind, live, plot, dock, tools, start, stop, draw, over, add, say };
    return self;
  }

  return { make, dot, save, panel };
})();
