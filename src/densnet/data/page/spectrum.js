"use strict";
// A spectrum as a chart (plotly.js): curves above, harmonic lines below, one axis of wavenumbers. It draws a state of one of the `kinds` and
// tells of gestures. A state: {layers, unit, conditions, width, weights, range, limits, chosen, litBand}.
const spectrum = (() => {
  const LOWER_PANEL = [0, 0.2];
  const UPPER_PANEL = [0.29, 1];
  const FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';

  /** Curves to be drawn, in the unit of their kind: [layer, curve]. `other`: the curve of the dynamics of the other kind. */
  function curvesOf(kind, state, other) {
    const sum = kind.sum(state.weights);
    const curve = (layer) => {
      if (layer.kind === "lines") {
        const lines = kind.lines(layer.key, state.weights).map((line) => ({ place: line.place, strength: kind.strength(line) }));
        return state.width > 0 ? { axis: sum.axis, intensity: quantities.broadened(lines, sum.axis, state.width), error: null } : null;
      }
      if (layer.curve) return layer.curve.absolute ? layer.curve : kind.fitted(layer.curve, sum);
      if (layer.key === "other") return quantities.asHigh(other, sum, state.lower);
      return kind.curve(layer, state.weights);
    };
    return state.layers.filter((layer) => layer.shown).map((layer) => [layer, curve(layer)]).filter(([, c]) => c);
  }

  function traces(kind, state, other, palette) {
    const drawn = [];
    const cut = (curve, values) => values.filter((_, k) => curve.axis[k] >= state.lower);
    for (const [layer, own] of curvesOf(kind, state, other)) {
      const curve = kind.shown(own, state);
      const x = cut(curve, curve.axis);
      const thin = layer.thin || layer.kind === "lines";
      const line = { color: palette[layer.colour], width: thin ? 1.2 : 1.8, dash: layer.dotted ? "dot" : "solid" };
      if (curve.error && layer.key === "dynamics") {
        const low = cut(curve, curve.intensity.map((y, k) => y - curve.error[k]));
        const high = cut(curve, curve.intensity.map((y, k) => y + curve.error[k]));
        const edge = { x, mode: "lines", line: { width: 0 } };
        drawn.push({ ...edge, y: low }, { ...edge, y: high, fill: "tonexty", fillcolor: `${palette[layer.colour]}38` });
      }
      drawn.push({ x, y: cut(curve, curve.intensity), mode: "lines", line, name: layer.title });
    }
    for (const layer of state.layers.filter((one) => one.shown && one.kind === "lines")) {
      const sign = layer.key === "reference" ? -1 : 1;
      const lines = kind.lines(layer.key, state.weights).filter((one) => one.place >= state.lower);
      const sticks = (some) => ({ x: some.flatMap(({ place }) => [place, place, null]), y: some.flatMap(({ strength }) => [0, sign * strength, null]), yaxis: "y2" });
      drawn.push({ ...sticks(lines), mode: "lines", line: { color: palette[layer.colour], width: 2.2 }, name: layer.title });
      const lit = lines.filter(({ conformer, mode }) => conformer === state.chosen?.conformer && mode === state.chosen.mode);
      if (lit.length) drawn.push({ ...sticks(lit), mode: "lines+markers", line: { color: palette.orange, width: 4 }, marker: { color: palette.orange, size: [0, 8, 0] }, cliponaxis: false, name: `lit, ${layer.title}` });
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

  function layout(kind, state, palette, drawn, size) {
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
      xaxis: { ...axis, range: state.range, title: title(kind.axis), anchor: "y2", minallowed: state.lower },
      yaxis: {
        ...axis, domain: UPPER_PANEL, fixedrange: true, title: title(kind.units[state.unit].axis),
        range: transmits ? [0, 103] : [0, 1.06 * top || 1], exponentformat: "power", rangemode: "nonnegative", nticks: 7,
      },
      yaxis2: {
        ...axis, domain: LOWER_PANEL, fixedrange: true, title: title(kind.lineAxis), range: [down - (down < 0 ? margin : 0), up + margin],
        zeroline: true, zerolinecolor: palette.ink, zerolinewidth: 0.8, ...ticks(down, up),
      },
      shapes: shapes(kind, state, palette),
      annotations: mark(state, palette),
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
  function shapes(kind, state, palette) {
    const made = [];
    const area = (x0, x1, fillcolor) => made.push({ type: "rect", xref: "x", yref: "paper", x0, x1, y0: UPPER_PANEL[0], y1: 1, fillcolor, line: { width: 0 }, layer: "below" });
    const place = state.chosen?.place;
    const band = state.chosen ? kind.bands.find((b) => place > b.lower && place < b.upper) : state.litBand;
    if (band) area(band.lower, band.upper, `${palette.orange}1f`);
    if (state.limits) area(...state.limits, `${palette.blue}24`);
    if (state.chosen) made.push({ type: "line", xref: "x", yref: "paper", x0: place, x1: place, y0: 0, y1: 1, line: { color: palette.orange, width: 1.4, dash: "dot" } });
    return made;
  }

  function mark(state, palette) {
    if (!state.chosen || state.chosen.place > state.range[0] || state.chosen.place < state.range[1]) return [];
    return [{ x: state.chosen.place, xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "left", xshift: 3, text: `ν<sub>${state.chosen.number}</sub>`, showarrow: false, font: { color: palette.orange, size: 13 } }];
  }

  /** As an SVG of its own, in the colours of paper. */
  async function svg(kind, state, other, palette) {
    const drawn = traces(kind, state, other, palette);
    const figure = { data: drawn, layout: { ...layout(kind, state, palette, drawn, {}), paper_bgcolor: "#ffffff" } };
    const address = await Plotly.toImage(figure, { format: "svg", width: 900, height: 500 });
    return decodeURIComponent(address.slice(address.indexOf(",") + 1));
  }

  /** The chart in `place`. `draw(state, ...)` draws; gestures call `tell.zoomed(range or null)`, `tell.over(x or null)`, `tell.picked(x, cm^-1 per pixel)`. */
  function chart(place, kind, tell) {
    const drawing = place.querySelector(".chart");
    const cursor = place.querySelector(".cursor");
    const size = () => ({ width: place.clientWidth, height: place.clientWidth < 560 ? 380 : 470 });
    const settings = { displayModeBar: false, responsive: false, doubleClick: false, showTips: false };
    let started = false;

    function draw(state, other, palette, fixed) {
      const drawn = traces(kind, state, other, palette);
      Plotly.react(drawing, drawn, layout(kind, state, palette, drawn, fixed ?? size()), settings);
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
      place.addEventListener("pointermove", (event) => tell.over(inside(wavenumber(event)) ? wavenumber(event) : null));
      place.addEventListener("pointerleave", () => tell.over(null));
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

    /** The line at a wavenumber, or none. */
    function point(x) {
      cursor.hidden = x === null || !inside(x);
      if (!cursor.hidden) cursor.style.left = `${pixel(x)}px`;
    }

    return { draw, point, pixel, wavenumber, inside };
  }

  return { curvesOf, chart, svg };
})();
