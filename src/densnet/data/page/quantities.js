"use strict";
// Spectra as numbers: units, line shapes, integrals, files. Nothing here touches the page. Curves are {axis, intensity, error or null}.
const quantities = (() => {
  const UNITS = {
    molar: { title: "km mol⁻¹ per cm⁻¹", axis: "absorption / km mol⁻¹ per cm⁻¹", file: "km/mol per cm^-1" },
    decadic: { title: "L mol⁻¹ cm⁻¹ (decadic)", axis: "absorption coefficient / L mol⁻¹ cm⁻¹", file: "L/(mol cm), decadic" },
    cross_section: { title: "cm² per molecule", axis: "cross section / cm² per molecule", file: "cm^2/molecule" },
    absorbance: { title: "absorbance of a cell", axis: "absorbance (decadic)", file: "absorbance", cell: true },
    transmittance: { title: "transmittance of a cell", axis: "transmittance / %", file: "percent transmittance", cell: true },
  };

  /** What a curve in km/mol per cm^-1 is in another unit; `cell`: {pressure (Pa), path (m)}. */
  function converted(curve, unit, known, cell) {
    const thick = known.absorbance * cell.pressure * cell.path;
    if (unit === "transmittance") {
      const intensity = curve.intensity.map((y) => 100 * 10 ** (-thick * y));
      const error = curve.error && curve.error.map((e, k) => intensity[k] * Math.LN10 * thick * e);
      return { ...curve, intensity, error };
    }
    const factor = unit === "absorbance" ? thick : known[unit];
    return { ...curve, intensity: curve.intensity.map((y) => factor * y), error: curve.error && curve.error.map((e) => factor * e) };
  }

  const RAMAN_UNITS = {
    cross_section: { title: "10⁻³⁶ m² sr⁻¹ per cm⁻¹", axis: "cross section / 10⁻³⁶ m² sr⁻¹ per cm⁻¹", file: "1e-36 m^2/sr per cm^-1" },
    activity: { title: "Å⁴ u⁻¹ per cm⁻¹", axis: "activity / Å⁴ u⁻¹ per cm⁻¹", file: "A^4/amu per cm^-1" },
  };

  /** K of a Raman shift and a laser (nm): cross section, 1e-36 m^2/sr per A^4/amu; `light` as the page holds it. */
  function perActivity(shift, light, laser) {
    const scattered = Math.max(1e7 / laser - shift, 0);
    return (light.constant * scattered ** 4) / (shift * -Math.expm1(-shift / light.thermal));
  }

  /** What a curve of Raman cross sections for the run's laser is in another unit, or for another `laser` (nm). */
  function scattered(curve, unit, light, laser) {
    const own = (x) => perActivity(x, light, light.laser_nm);
    const factors = curve.axis.map((x) => (unit === "activity" ? 45 : perActivity(x, light, laser)) / own(x));
    const times = (values) => values && values.map((y, k) => factors[k] * y);
    return { ...curve, intensity: times(curve.intensity), error: times(curve.error) };
  }

  /** Linear between the points of an ascending axis; NaN beyond it. */
  function interpolated(axis, values, x) {
    if (!(x >= axis[0] && x <= axis[axis.length - 1])) return NaN;
    let low = 0;
    let high = axis.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (axis[middle] <= x) low = middle;
      else high = middle;
    }
    return values[low] + ((x - axis[low]) / (axis[high] - axis[low])) * (values[high] - values[low]);
  }

  /** A(nu) = sum_k I_k g(nu - nu_k) with Gaussians of full width `width` at half height; lines are {place, strength}. */
  function broadened(lines, axis, width) {
    const sigma = width / Math.sqrt(8 * Math.LN2);
    const height = 1 / (sigma * Math.sqrt(2 * Math.PI));
    return axis.map((x) => {
      let sum = 0;
      for (const { place, strength } of lines) {
        const far = (x - place) / sigma;
        if (Math.abs(far) < 8) sum += strength * height * Math.exp(-0.5 * far * far);
      }
      return sum;
    });
  }

  /** sum_c w_c A_c, weights normalised; errors of conformers are independent. */
  function mixture(parts, weights) {
    const total = weights.reduce((a, b) => a + b, 0);
    const shares = weights.map((w) => w / total);
    const sum = (value) => parts[0].axis.map((_, k) => parts.reduce((s, part, c) => s + value(part, shares[c], k), 0));
    return {
      axis: parts[0].axis,
      intensity: sum((part, w, k) => w * part.intensity[k]),
      error: parts.every((part) => part.error) ? sum((part, w, k) => (w * part.error[k]) ** 2).map(Math.sqrt) : null,
    };
  }

  /** Integral (trapezoids) and centroid between two limits, which become points; the error is that of fully correlated points, at most. */
  function band(curve, lower, upper) {
    const { axis } = curve;
    const first = Math.max(lower, axis[0]);
    const last = Math.min(upper, axis[axis.length - 1]);
    if (!(first < last)) return null;
    const grid = [first, ...axis.filter((x) => x > first && x < last), last];
    const area = (values, weight) => {
      const y = grid.map((x) => interpolated(axis, values, x) * weight(x));
      return grid.slice(1).reduce((sum, x, k) => sum + 0.5 * (x - grid[k]) * (y[k] + y[k + 1]), 0);
    };
    const integral = area(curve.intensity, () => 1);
    return {
      lower: first, upper: last, integral, centroid: area(curve.intensity, (x) => x) / integral,
      error: curve.error ? area(curve.error, () => 1) : null,
    };
  }

  /** A curve in other units times a factor, so that both have one integral where both are known. */
  function scaledTo(curve, other, lower) {
    const from = Math.max(lower, curve.axis[0], other.axis[0]);
    const to = Math.min(curve.axis[curve.axis.length - 1], other.axis[other.axis.length - 1]);
    const [mine, wanted] = [band(curve, from, to), band(other, from, to)];
    const factor = mine && wanted && mine.integral > 0 ? wanted.integral / mine.integral : 1;
    return { ...curve, intensity: curve.intensity.map((y) => factor * y) };
  }

  /** A curve in other units times a factor, so that both are equally high where both are known. */
  function asHigh(curve, other, lower) {
    const from = Math.max(lower, curve.axis[0], other.axis[0]);
    const to = Math.min(curve.axis[curve.axis.length - 1], other.axis[other.axis.length - 1]);
    const highest = (one) => one.intensity.reduce((top, y, k) => (one.axis[k] >= from && one.axis[k] <= to ? Math.max(top, y) : top), 0);
    const factor = highest(other) / highest(curve) || 1;
    return { ...curve, intensity: curve.intensity.map((y) => factor * y), error: null };
  }

  // ------------------------------------------------------------------------------------------------------------------------ files

  /** CSV as densnet writes it: the first line, a header, columns {title: values}. */
  function rows(first, header, columns) {
    const lines = [first, ...Object.entries(header).map(([key, value]) => `# ${key}: ${JSON.stringify(value)}`), Object.keys(columns).join(",")];
    const values = Object.values(columns);
    return `${[...lines, ...values[0].map((_, k) => values.map((column) => column[k]).join(","))].join("\n")}\n`;
  }

  function csv(curve, unit, header) {
    const columns = { "wavenumber_cm-1": curve.axis, intensity: curve.intensity, ...(curve.error ? { standard_error: curve.error } : {}) };
    return rows("# densnet spectrum, format 1", { unit, ...header }, columns);
  }

  /** Several curves over one axis, by name. */
  function table(curves, unit, header) {
    const units = Object.fromEntries(Object.keys(curves).map((name) => [name, unit]));
    const pair = ([name, { intensity, error }]) => [[name, intensity], ...(error ? [[`${name}_standard_error`, error]] : [])];
    const columns = { "wavenumber_cm-1": Object.values(curves)[0].axis, ...Object.fromEntries(Object.entries(curves).flatMap(pair)) };
    return rows("# densnet spectra, format 1", { units, ...header }, columns);
  }

  /** JCAMP-DX 4.24, uncompressed (X++(Y..Y)), of an evenly spaced curve; `words`: its data type and other labels. */
  function jdx(curve, unit, title, words) {
    const { axis } = curve;
    const count = axis.length;
    const largest = Math.max(...curve.intensity.map(Math.abs));
    const factor = largest / 1e9 || 1;
    const written = curve.intensity.map((y) => Math.round(y / factor));
    const labels = {
      TITLE: title, "JCAMP-DX": "4.24", ORIGIN: "densnet", OWNER: "not stated", ...words,
      XUNITS: "1/CM", YUNITS: unit.toUpperCase(), FIRSTX: axis[0], LASTX: axis[count - 1],
      DELTAX: (axis[count - 1] - axis[0]) / (count - 1), MAXY: Math.max(...curve.intensity), MINY: Math.min(...curve.intensity),
      FIRSTY: written[0] * factor, XFACTOR: 1, YFACTOR: factor, NPOINTS: count,
    };
    const lines = Object.entries(labels).map(([label, value]) => `##${label}=${value}`);
    lines.push("##XYDATA=(X++(Y..Y))");
    for (let start = 0; start < count; start += 5) lines.push(`${axis[start]} ${written.slice(start, start + 5).join(" ")}`);
    return `${lines.join("\n")}\n##END=\n`;
  }

  /** All conformers, one after the other, Angstrom. */
  function xyz(conformers, title) {
    return conformers.map(({ name, weight, symbols, positions }) => {
      const rows = symbols.map((s, k) => s.padEnd(3) + positions[k].map((x) => x.toFixed(6).padStart(13)).join(""));
      return `${symbols.length}\n${title}, ${name}, weight ${weight.toFixed(4)}\n${rows.join("\n")}\n`;
    }).join("");
  }

  const NUMBER = /[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/g;
  const ELSEWHERE = "Give it to densnet as `spectrum.experiment`, which reads more.";

  /** What the words of a file say that it is: "Raman", "infrared" or nothing. */
  function named(words) {
    if (/infrared|absor|transm|km\s*\/\s*mol/i.test(words)) return "infrared";
    return /raman|^# densnet spectra/i.test(words) ? "Raman" : null;
  }

  /** A measured spectrum, simple CSV or uncompressed JCAMP-DX, as an ascending curve with `absolute` and its `kind`, which is `likely` where
      the file tells none; an Error says in a sentence why not. A Raman curve is over its shift, and loses what a quarter of it lies below. */
  function measured(text, name, likely) {
    const read = /^\s*##/.test(text) ? fromJcamp(text, name) : fromColumns(text, name);
    const { words, abscissa } = read;
    const kind = named(words) ?? likely;
    const place = (x) => (kind === "Raman" ? x : wavenumber(x, abscissa));
    let pairs = read.x.map((x, k) => [place(x), read.y[k]]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    if (/reflect|emiss|kubelka|interferog/i.test(words)) throw new Error(`${name} is neither an absorption nor a Raman spectrum (${words.trim()}).`);
    const absolute = kind === "Raman" ? /m\^2\s*\/\s*sr/i.test(words) : /km\s*\/\s*mol/i.test(words);
    if (kind === "Raman" && !absolute) {
      const ranked = pairs.map(([, y]) => y).sort((a, b) => a - b);
      const ground = ranked[Math.floor(0.25 * (ranked.length - 1))];
      pairs = pairs.map(([x, y]) => [x, y - ground]);
    }
    if (kind !== "Raman" && !absolute && /transm|%\s*t\b/i.test(words)) {
      const top = Math.max(...pairs.map(([, y]) => y));
      const full = /%|percent/i.test(words) || top > 2 ? 100 : 1;
      pairs = pairs.filter(([, y]) => y > 0).map(([x, y]) => [x, -Math.log10(y / full)]);
    }
    pairs = pairs.sort((a, b) => a[0] - b[0]).filter(([x], k, all) => k === 0 || x > all[k - 1][0]);
    if (pairs.length < 10) throw new Error(`${name} has ${pairs.length} points that can be read; a curve is needed. ${ELSEWHERE}`);
    if (pairs[pairs.length - 1][0] < 200) throw new Error(`${name} ends at ${pairs[pairs.length - 1][0]} and says no unit; wavenumbers in cm⁻¹ are needed.`);
    return { name, kind, absolute, axis: pairs.map(([x]) => x), intensity: pairs.map(([, y]) => y), error: null };
  }

  function wavenumber(x, words) {
    if (/micro|µm|\bum\b/i.test(words)) return 1e4 / x;
    if (/nano|\bnm\b/i.test(words)) return 1e7 / x;
    return x;
  }

  function fromJcamp(text, name) {
    const blocks = text.split(/^\s*##/m).slice(1).map((part) => part.match(/^([^=]*)=([\s\S]*)$/)).filter(Boolean);
    const labels = Object.fromEntries(blocks.map(([, label, value]) => [label.toUpperCase().replace(/[\s_/-]/g, ""), value.replace(/\$\$.*$/gm, "").trim()]));
    const body = labels.XYDATA ?? labels.XYPOINTS;
    if (body === undefined || labels.NTUPLES !== undefined) throw new Error(`${name} has no plain ##XYDATA= or ##XYPOINTS=. ${ELSEWHERE}`);
    const rows = body.split(/\r?\n/).slice(1).filter((row) => row.trim());
    if (rows.some((row) => /[A-DF-Za-df-z@%]/.test(row))) throw new Error(`${name} is compressed. ${ELSEWHERE}`);
    const factor = (label) => Number(labels[label] ?? 1) || 1;
    const lists = rows.map((row) => (row.match(NUMBER) ?? []).map(Number));
    const words = `${labels.YUNITS ?? ""} ${labels.DATATYPE ?? ""}`;
    if (labels.XYPOINTS !== undefined) {
      const flat = lists.flat();
      const take = (odd, scale) => flat.filter((_, k) => k % 2 === odd).map((v) => v * scale);
      return { x: take(0, factor("XFACTOR")), y: take(1, factor("YFACTOR")), words, abscissa: labels.XUNITS ?? "" };
    }
    const y = lists.flatMap((list) => list.slice(1)).map((v) => v * factor("YFACTOR"));
    const [first, last, count] = [Number(labels.FIRSTX), Number(labels.LASTX), Number(labels.NPOINTS ?? y.length)];
    if (!Number.isFinite(first + last) || count !== y.length) {
      throw new Error(`${name}: ${y.length} points, where its labels say ${labels.NPOINTS ?? "no number"} from ${labels.FIRSTX} to ${labels.LASTX}.`);
    }
    return { x: y.map((_, k) => first + (k * (last - first)) / (count - 1)), y, words, abscissa: labels.XUNITS ?? "" };
  }

  function fromColumns(text, name) {
    const lines = text.split(/\r?\n/).filter((line) => line.trim());
    const semicolons = lines.some((line) => line.includes(";"));
    const split = (line) => {
      if (semicolons || line.includes("\t")) return line.split(/[;\t]/).map((field) => field.replace(",", "."));
      return line.split(line.includes(",") ? "," : /\s+/);
    };
    const table = lines.map((line) => split(line.trim()).map((field) => (field.trim() === "" ? NaN : Number(field))));
    const good = table.filter((row) => Number.isFinite(row[0]) && Number.isFinite(row[1]));
    const words = lines.filter((_, k) => !Number.isFinite(table[k][0])).join(" ");
    if (!good.length) throw new Error(`${name} has no two columns of numbers. ${ELSEWHERE}`);
    return { x: good.map((row) => row[0]), y: good.map((row) => row[1]), words, abscissa: words };
  }

  return { UNITS, RAMAN_UNITS, converted, perActivity, scattered, interpolated, broadened, mixture, band, scaledTo, asHigh, csv, table, jdx, xyz, measured };
})();
