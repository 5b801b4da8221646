"use strict";
// The spectrum as a chart (plotly.js): curves above, harmonic lines below, one axis of wavenumbers. It draws a state and tells of gestures.
const spectrum = (() => {
  const LOWER_PANEL = [0, 0.2];
  const UPPER_PANEL = [0.29, 1];
  const FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';

  /** Every layer that a run has: {key, title, colour, kind: "curve" or "lines", shown at first}. */
  function layersOf(data) {
    const modes = data.conformers.flatMap((c) => c.modes);
    const functional = data.level.split("/")[0];
    const layers = [{ key: "dynamics", title: `dynamics, ${data.temperature_K} K`, colour: "blue", kind: "curve", shown: true }];
    data.measured.forEach((curve, k) => layers.push(measuredLayer(curve, `measured-${k}`)));
    if (modes.length) layers.push({ key: "model", title: "harmonic, model", colour: "green", kind: "lines", shown: true });
    if (modes.some((m) => m.reference)) layers.push({ key: "reference", title: `harmonic, ${functional}`, colour: "red", kind: "lines", shown: true });
    if (modes.some((m) => m.quantum !== null)) layers.push({ key: "quantum", title: "VPT2, model", colour: "violet", kind: "lines", shown: false });
    data.conformers.forEach((c, k) => {
      if (c.part) layers.push({ key: `part-${k}`, title: c.name, colour: ["orange", "violet", "green", "red"][k % 4], kind: "curve", shown: false });
    });
    return layers;
  }

  const measuredLayer = (curve, key) => ({ key, title: `measured, ${curve.name}`, colour: "ink", kind: "curve", shown: true, curve });

  /** Lines of one kind with their modes: {place, strength (km/mol times weight), conformer, mode}. */
  function linesOf(data, key, weights) {
    const total = weights.reduce((a, b) => a + b, 0);
    return data.conformers.flatMap((c, conformer) => c.modes.flatMap((m, mode) => {
      const share = weights[conformer] / total;
      if (key === "model") return [{ place: m.harmonic, strength: share * m.strength, conformer, mode }];
      if (key === "reference") return m.reference ? [{ place: m.reference[0], strength: share * m.reference[1], conformer, mode }] : [];
      return m.quantum === null ? [] : [{ place: m.quantum, strength: share * m.strength, conformer, mode }];
    }));
  }

  /** The spectrum of the dynamics with the weights of a state; as the run has it where these are its own. */
  function dynamics(data, state) {
    const parts = data.conformers.map((c) => c.part);
    const own = data.conformers.every((c, k) => c.weight === state.weights[k]);
    return own || !parts.every(Boolean) ? data.smoothed : quantities.mixture(parts, state.weights);
  }

  /** Curves to be drawn, km/mol per cm^-1: [layer, curve]. */
  function curvesOf(data, state) {
    const total = state.weights.reduce((a, b) => a + b, 0);
    const sum = dynamics(data, state);
    const curve = (layer) => {
      if (layer.key === "dynamics") return sum;
      if (layer.kind === "lines") {
        const lines = linesOf(data, layer.key, state.weights);
        return state.width > 0 ? { axis: sum.axis, intensity: quantities.broadened(lines, sum.axis, state.width), error: null } : null;
      }
      if (layer.curve) return layer.curve.absolute ? layer.curve : quantities.scaledTo(layer.curve, sum, data.lower);
      const place = Number(layer.key.split("-")[1]);
      const share = state.weights[place] / total;
      const { axis, intensity } = data.conformers[place].part;
      return { axis, intensity: intensity.map((y) => share * y), error: null };
    };
    return state.layers.filter((layer) => layer.shown).map((layer) => [layer, curve(layer)]).filter(([, c]) => c);
  }

  function traces(data, state, palette) {
    const drawn = [];
    const cut = (curve, values) => values.filter((_, k) => curve.axis[k] >= data.lower);
    for (const [layer, molar] of curvesOf(data, state)) {
      const curve = quantities.converted(molar, state.unit, data.units, state.cell);
      const x = cut(curve, curve.axis);
      const line = { color: palette[layer.colour], width: layer.kind === "lines" ? 1.2 : 1.8, dash: layer.key.startsWith("part") ? "dot" : "solid" };
      if (curve.error) {
        const low = cut(curve, curve.intensity.map((y, k) => y - curve.error[k]));
        const high = cut(curve, curve.intensity.map((y, k) => y + curve.error[k]));
        const edge = { x, mode: "lines", line: { width: 0 } };
        drawn.push({ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: `${palette[layer.colour]}38` });
      }
      drawn.push({ x, y: cut(curve, curve.intensity), mode: "lines", line, name: layer.title });
    }
    for (const layer of state.layers.filter((one) => one.shown && one.kind === "lines")) {
      const sign = layer.key === "reference" ? -1 : 1;
      const lines = linesOf(data, layer.key, state.weights).filter((one) => one.place >= data.lower);
      const x = lines.flatMap(({ place }) => [place, place, null]);
      const y = lines.flatMap(({ strength }) => [0, sign * strength, null]);
      drawn.push({ x, y, mode: "lines", line: { color: palette[layer.colour], width: 2.2 }, yaxis: "y2", name: layer.title });
    }
    return drawn.map((trace) => ({ type: "scatter", hoverinfo: "skip", ...trace }));
  }

  /** Highest and lowest value of the curves between the limits that are shown. */
  function reach(drawn, axis, [high, low]) {
    let [bottom, top] = [0, 0];
    for (const trace of drawn.filter((one) => (one.yaxis ?? "y") === axis)) {
      trace.x.forEach((x, k) => {
        if (x === null || x < low || x > high) return;
        top = Math.max(top, trace.y[k]);
        bottom = Math.min(bottom, trace.y[k]);
      });
    }
    return [bottom, top];
  }

  function layout(data, state, palette, drawn, size) {
    const transmits = state.unit === "transmittance";
    const [, top] = reach(drawn, "y", state.range);
    const [down, up] = reach(drawn, "y2", state.range);
    const margin = 0.12 * (up - down) || 1;
    const axis = { color: palette.ink, linecolor: palette.ink, linewidth: 0.8, ticks: "outside", ticklen: 4, showgrid: false, zeroline: false, showline: true };
    const title = (text) => ({ text, font: { size: 12.5 }, standoff: 8 });
    return {
      ...size,
      margin: { l: 64, r: 14, t: 10, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: false, dragmode: "zoom",
      font: { family: FONT, size: 12, color: palette.ink },
      xaxis: { ...axis, range: state.range, title: title("wavenumber / cm⁻¹"), anchor: "y2", minallowed: data.lower },
      yaxis: {
        ...axis, domain: UPPER_PANEL, fixedrange: true, title: title(quantities.UNITS[state.unit].axis),
        range: transmits ? [0, 103] : [0, 1.06 * top || 1], exponentformat: "power", rangemode: "nonnegative", nticks: 7,
      },
      yaxis2: {
        ...axis, domain: LOWER_PANEL, fixedrange: true, title: title("km mol⁻¹"), range: [down - (down < 0 ? margin : 0), up + margin],
        zeroline: true, zerolinecolor: palette.ink, zerolinewidth: 0.8, ...ticks(down, up),
      },
      shapes: shapes(data, state, palette),
      annotations: mark(data, state, palette),
    };
  }

  /** Of the lines, which point up and down: heights without a sign. */
  function ticks(down, up) {
    const most = Math.max(up, -down) || 1;
    const step = [1, 2, 5, 10].map((n) => n * 10 ** Math.floor(Math.log10(most))).reverse().find((n) => n <= most) ?? most;
    const tickvals = [...(down < 0 ? [-step] : []), 0, ...(up > 0 ? [step] : [])];
    return { tickvals, ticktext: tickvals.map((v) => String(Math.abs(Number(v.toPrecision(3))))) };
  }

  /** What is lit: the band that was picked from its table, and the chosen mode. */
  function shapes(data, state, palette) {
    const made = [];
    const area = (x0, x1, fillcolor) => made.push({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: UPPER_PANEL[0], y1: 1, fillcolor, line: { width: 0 }, layer: "below" });
    const chosen = state.chosen && data.conformers[state.chosen.conformer].modes[state.chosen.mode];
    const around = (place) => data.bands.find((b) => place > b.lower && place < b.upper);
    const band = chosen ? around(chosen.harmonic) : data.bands[state.litBand];
    if (band) area(band.lower, band.upper, `${palette.orange}1f`);
    if (state.limits) area(...state.limits, `${palette.blue}24`);
    if (chosen) {
      const x = chosen.harmonic;
      made.push({ type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1, line: { color: palette.orange, width: 1.4, dash: "dot" } });
    }
    return made;
  }

  function mark(data, state, palette) {
    if (!state.chosen) return [];
    const mode = data.conformers[state.chosen.conformer].modes[state.chosen.mode];
    const inside = mode.harmonic <= state.range[0] && mode.harmonic >= state.range[1];
    if (!inside) return [];
    return [{ x: mode.harmonic, xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "left", xshift: 3, text: `ν<sub>${mode.number}</sub>`, showarrow: false, font: { color: palette.orange, size: 13 } }];
  }

  /** As an SVG of its own, in the colours of paper. */
  async function svg(data, state, palette) {
    const drawn = traces(data, state, palette);
    const figure = { data: drawn, layout: { ...layout(data, state, palette, drawn, {}), paper_bgcolor: "#ffffff" } };
    const address = await Plotly.toImage(figure, { format: "svg", width: 900, height: 500 });
    return decodeURIComponent(address.slice(address.indexOf(",") + 1));
  }

  /** The chart in `place`. `draw(state)` draws; gestures call `tell.zoomed(range)`, `tell.over(x or null, pixels -> cm^-1)`, `tell.picked(x)`. */
  function chart(place, data, tell) {
    const drawing = place.querySelector(".chart");
    const cursor = place.querySelector(".cursor");
    const size = () => ({ width: place.clientWidth, height: place.clientWidth < 560 ? 380 : 470 });
    const settings = { displayModeBar: false, responsive: false, doubleClick: false, showTips: false };
    let started = false;

    function draw(state, palette, fixed) {
      const drawn = traces(data, state, palette);
      Plotly.react(drawing, drawn, layout(data, state, palette, drawn, fixed ?? size()), settings);
      if (!started) listen();
      started = true;
    }

    const axis = () => drawing._fullLayout.xaxis;
    const pixel = (x) => axis().d2p(x) + axis()._offset;
    const wavenumber = (event) => axis().p2d(event.clientX - drawing.getBoundingClientRect().left - axis()._offset);
    const perPixel = () => Math.abs(axis().p2d(1) - axis().p2d(0));
    const inside = (x) => x <= axis().range[0] && x >= axis().range[1];

    function listen() {
      // plotly covers the page while a button is down, so that what follows is heard by the window
      let pressed = null;
      let last = -Infinity;
      drawing.on("plotly_relayout", (change) => {
        if ("xaxis.range[0]" in change) tell.zoomed([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
      });
      place.addEventListener("pointermove", (event) => hover(inside(wavenumber(event)) ? wavenumber(event) : null));
      place.addEventListener("pointerleave", () => hover(null));
      place.addEventListener("pointerdown", (event) => { pressed = event.target.closest(".handle") ? null : [event.clientX, event.clientY]; }, true);
      window.addEventListener("pointerup", (event) => {
        const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4;
        pressed = null;
        if (!still || !inside(wavenumber(event))) return;
        if (event.timeStamp - last < 350) tell.zoomed(null);
        else tell.picked(wavenumber(event), perPixel());
        last = event.timeStamp;
      }, true);
    }

    function hover(x) {
      cursor.hidden = x === null;
      if (x !== null) cursor.style.left = `${pixel(x)}px`;
      tell.over(x, x === null ? 0 : perPixel());
    }

    return { draw, hover, pixel, wavenumber, inside, drawing };
  }

  return { layersOf, measuredLayer, linesOf, dynamics, curvesOf, chart, svg };
})();
