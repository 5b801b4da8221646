"use strict";
// The kinds of spectrum that a page has, infrared and Raman, in one shape: what a chart of either draws, reads out, adds up and saves.
// Curves are in the kind's own unit, an area of it per cm^-1. `settings`: {unit, conditions}; `weights`: of the conformers.
const kinds = (() => {
  const total = (values) => values.reduce((a, b) => a + b, 0);

  /** Lines of a layer: `read(mode)` tells {place, strength, ...} or nothing; strengths are times the weight of the conformer. */
  const lines = (data, readers) => (key, weights) => data.conformers.flatMap((c, conformer) => c.modes.flatMap((m, mode) => {
    const found = readers[key](m);
    return found ? [{ ...found, strength: (weights[conformer] / total(weights)) * found.strength, conformer, mode }] : [];
  }));

  const LINES = {
    model: { title: () => "harmonic, model", colour: "green", shown: true },
    reference: { title: (functional) => `harmonic, ${functional}`, colour: "red", shown: true },
    quantum: { title: () => "VPT2, model", colour: "violet", shown: false },
  };

  /** Layers of lines, where any mode has them. A layer: {key, title, colour, kind: "curve" or "lines", shown at first, ...}. */
  function lineLayers(data, readers) {
    const modes = data.conformers.flatMap((c) => c.modes);
    const known = Object.keys(readers).filter((key) => modes.some(readers[key]));
    return known.map((key) => ({ ...LINES[key], key, title: LINES[key].title(data.level.split("/")[0]), kind: "lines" }));
  }

  const measured = (curve, key) => ({ key, title: `measured, ${curve.name}`, colour: "ink", kind: "curve", shown: true, curve });
  const dynamics = (data) => ({ key: "dynamics", title: `dynamics, ${data.temperature_K} K`, colour: "blue", kind: "curve", shown: true });
  const other = (name) => ({ key: "other", title: `${name}, same height`, colour: "blue", kind: "curve", shown: false, dotted: true });

  // --------------------------------------------------------------------------------------------------------------------- infrared

  function infrared(data) {
    const readers = {
      model: (m) => ({ place: m.harmonic, strength: m.strength }),
      reference: (m) => m.reference && { place: m.reference[0], strength: m.reference[1] },
      quantum: (m) => m.quantum !== null && { place: m.quantum, strength: m.strength },
    };
    const parts = data.conformers.map((c) => c.part);
    const partLayers = data.conformers.flatMap((c, k) => (c.part
      ? [{ key: `part-${k}`, title: c.name, colour: ["orange", "violet", "green", "red"][k % 4], kind: "curve", shown: false, dotted: true, part: k }] : []));

    /** With the weights of the run as the run has it. */
    function sum(weights) {
      const own = data.conformers.every((c, k) => c.weight === weights[k]);
      return own || !parts.every(Boolean) ? data.smoothed : quantities.mixture(parts, weights);
    }

    function curve(layer, weights) {
      if (layer.part === undefined) return sum(weights);
      const share = weights[layer.part] / total(weights);
      return { axis: parts[layer.part].axis, intensity: parts[layer.part].intensity.map((y) => share * y), error: null };
    }

    const shown = (one, { unit, conditions }) => quantities.converted(one, unit, data.units, conditions);

    function labels({ unit, conditions: { pressure, path } }) {
      if (!quantities.UNITS[unit].cell) return {};
      return { partial_pressure: `${pressure} Pa`, "path length": `${path} m`, temperature: `${data.temperature_K} K` };
    }

    function csv(settings, weights) {
      const shares = data.conformers.map((c, k) => `${c.name} ${(weights[k] / total(weights)).toFixed(4)}`).join(", ");
      const header = { ...data.smoothed.header, ...(data.conformers.length > 1 ? { weights: shares } : {}), ...labels(settings) };
      return quantities.csv(shown(sum(weights), settings), quantities.UNITS[settings.unit].file, header);
    }

    function jdx(settings, weights) {
      const told = Object.fromEntries(Object.entries(labels(settings)).map(([key, value]) => [key.toUpperCase(), value]));
      const words = { "DATA TYPE": "INFRARED SPECTRUM", ...told, RESOLUTION: data.width };
      return quantities.jdx(shown(sum(weights), settings), quantities.UNITS[settings.unit].file, `${data.name}, infrared from dynamics`, words);
    }

    function told(limits, settings, weights) {
      const { lower, upper, integral, centroid, error } = quantities.band(sum(weights), ...limits);
      return `${lower.toFixed(0)}–${upper.toFixed(0)} cm⁻¹: ${integral.toFixed(1)}${error === null ? "" : ` ± ${error.toFixed(1)} (at most)`} km/mol, centroid ${centroid.toFixed(1)} cm⁻¹`;
    }

    return {
      name: "infrared", file: "", figure: "spectrum", units: quantities.UNITS, area: "km/mol", curveArea: "km/mol",
      axis: "wavenumber / cm⁻¹", lineAxis: "km mol⁻¹",
      layers: [dynamics(data), ...data.measured.map((one, k) => measured(one, `measured-${k}`)), ...lineLayers(data, readers), ...partLayers,
        ...(data.raman ? [other("Raman")] : [])],
      bands: data.bands, lines: lines(data, readers), strength: (line) => line.strength, sum, curve, shown, csv, jdx, told,
      fitted: (one, whole) => quantities.scaledTo(one, whole, data.lower), fit: "scaled to the same integral",
      amount: (line) => `${line.strength.toFixed(1)} km/mol`,
      remark: () => "",
      conditions: { pressure: data.units.pressure_Pa, path: data.units.path_m },
      inputs: [{ key: "pressure", name: "p", symbol: "mbar", scale: 0.01 }, { key: "path", name: "l", symbol: "cm", scale: 100 }],
      asks: (unit) => quantities.UNITS[unit].cell,
    };
  }

  // ------------------------------------------------------------------------------------------------------------------------ Raman

  /** Null for a run without. Dynamics is with the weights of the run; lines follow those of a state. */
  function raman(data) {
    if (!data.raman) return null;
    const { light, axis, columns } = data.raman;
    const readers = {
      model: (m) => m.raman && { place: m.harmonic, strength: m.raman[0], ratio: m.raman[1] },
      reference: (m) => m.raman_reference && { place: m.reference[0], strength: m.raman_reference[0], ratio: m.raman_reference[1] },
    };
    const [both, parallel, perpendicular] = ["total", "parallel", "perpendicular"].map((name) => ({ axis, ...columns[name] }));
    const curves = { dynamics: both, parallel, perpendicular };
    const polarised = [["parallel", "of it, parallel", "orange", false], ["perpendicular", "of it, crossed", "violet", true]];
    const shown = (one, { unit, conditions }) => quantities.scattered(one, unit, light, conditions.laser);
    const activity = (one) => quantities.scattered(one, "activity", light, light.laser_nm);

    function csv({ unit, conditions }) {
      const spectra = Object.fromEntries(Object.keys(columns).map((name) => [name, shown({ axis, ...columns[name] }, { unit, conditions })]));
      return quantities.table(spectra, quantities.RAMAN_UNITS[unit].file, { ...data.raman.header, laser_nm: conditions.laser });
    }

    function jdx(settings) {
      const title = `${data.name}, Raman from dynamics, ${settings.conditions.laser} nm, ${light.temperature_K} K`;
      const words = { "DATA TYPE": "RAMAN SPECTRUM", RESOLUTION: data.width };
      return quantities.jdx(shown(both, settings), quantities.RAMAN_UNITS[settings.unit].file, title, words);
    }

    /** The ratio at a point; nothing where there is no intensity beyond its error. */
    function remark(x) {
      const [y, error, across, along] = [both.intensity, both.error, perpendicular.intensity, parallel.intensity].map((values) => (values ? quantities.interpolated(axis, values, x) : 0));
      return y > 2 * error ? `ρ ${(across / along).toFixed(2)}` : "";
    }

    function told(limits, settings) {
      const of = (one) => quantities.band(one, ...limits);
      const [whole, along, across, scattered] = [activity(both), activity(parallel), activity(perpendicular), shown(both, { ...settings, unit: "cross_section" })].map(of);
      const sigma = (error) => (error === null ? "" : ` ± ${error.toFixed(1)}`);
      return `${whole.lower.toFixed(0)}–${whole.upper.toFixed(0)} cm⁻¹: ${whole.integral.toFixed(1)}${sigma(whole.error)} Å⁴/u, depolarisation ${(across.integral / along.integral).toFixed(3)}, `
        + `(${scattered.integral.toFixed(1)}${sigma(scattered.error)}) × 10⁻³⁶ m²/sr${whole.error === null ? "" : " (errors at most)"}, centroid ${whole.centroid.toFixed(1)} cm⁻¹`;
    }

    return {
      name: "Raman", file: "-raman", figure: "raman", units: quantities.RAMAN_UNITS, area: "Å⁴/u", curveArea: "× 10⁻³⁶ m²/sr",
      axis: "Raman shift / cm⁻¹", lineAxis: "Å⁴ u⁻¹",
      layers: [dynamics(data), ...polarised.map(([key, title, colour, first]) => ({ key, title, colour, kind: "curve", shown: first, thin: true })),
        ...data.raman.measured.map((one, k) => measured(one, `measured-${k}`)), ...lineLayers(data, readers), other("infrared")],
      bands: data.raman.bands, lines: lines(data, readers), sum: () => both, curve: (layer) => curves[layer.key], shown, csv, jdx, told, remark,
      strength: (line) => (line.strength * quantities.perActivity(line.place, light, light.laser_nm)) / 45,
      fitted: (one, whole) => quantities.asHigh(one, whole, data.lower), fit: "scaled to the largest band",
      amount: (line) => `${line.strength.toFixed(1)} Å⁴/u${line.ratio === null ? "" : `, ρ ${line.ratio.toFixed(2)}`}`,
      conditions: { laser: light.laser_nm }, inputs: [{ key: "laser", name: "laser", symbol: "nm", scale: 1, least: 100, most: 2000 }],
      asks: (unit) => unit === "cross_section",
    };
  }

  return { infrared, raman, measured };
})();
