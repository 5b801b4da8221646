"use strict";
// The molecule and how it moves in a normal mode (3Dmol.js): arrows along the motion, one for the dipole derivative, and the motion itself.
const molecule = (() => {
  const FRAMES = 40;
  const PERIOD = 1400; // ms
  const REACH = 0.45; // Angstrom, largest displacement of an atom
  const COLOURS = { H: "#e8eaed", C: "#6b747d", N: "#3d6fe0", O: "#e0442e", F: "#57b447", S: "#e3b81f", P: "#e8852a", Cl: "#35b04a" };

  /** A view in `place`, or null where there is no WebGL. */
  function view(place) {
    try {
      const canvas = document.createElement("canvas");
      if (!(canvas.getContext("webgl2") || canvas.getContext("webgl"))) return null;
      const viewer = $3Dmol.createViewer(place, { backgroundAlpha: 0, antialias: true, disableFog: true });
      return viewer ? new View(viewer) : null;
    } catch {
      return null;
    }
  }

  class View {
    constructor(viewer) {
      this.viewer = viewer;
      this.shown = null;
    }

    /** `colours`: {motion, slope}; `longest`: the largest |dmu/dQ| of the conformer, which gets an arrow of 1.6 Angstrom. */
    show(conformer, mode, colours, longest, moving) {
      const { viewer } = this;
      const same = this.shown === conformer;
      cancelAnimationFrame(this.ticking);
      viewer.removeAllModels();
      viewer.removeAllShapes();
      const rows = conformer.symbols.map((s, k) => `${s} ${conformer.positions[k].join(" ")}`);
      const model = viewer.addModel(`${rows.length}\n\n${rows.join("\n")}\n`, "xyz");
      const rest = model.selectedAtoms({});
      for (let step = 0; step < FRAMES; step += 1) {
        const phase = REACH * Math.sin((2 * Math.PI * step) / FRAMES);
        const moved = ([dx, dy, dz], atom) => ({ ...atom, x: atom.x + phase * dx, y: atom.y + phase * dy, z: atom.z + phase * dz });
        model.addFrame(rest.map((atom, k) => moved(mode.motions[k], atom)));
      }
      model.setFrame(0);
      Object.assign(this, { model, frame: 0 });
      viewer.setStyle({}, { stick: { radius: 0.1, color: "#9aa4ae" }, sphere: { scale: 0.24 } });
      for (const [symbol, color] of Object.entries(COLOURS)) {
        viewer.setStyle({ elem: symbol }, { stick: { radius: 0.1, color: "#9aa4ae" }, sphere: { scale: 0.24, color } });
      }
      this.arrows(conformer, mode, colours, longest);
      if (!same) {
        viewer.zoomTo();
        viewer.zoom(1.35);
      }
      this.shown = conformer;
      viewer.render();
      this.move(moving);
    }

    arrows(conformer, mode, colours, longest) {
      const point = ([x, y, z]) => ({ x, y, z });
      const along = (start, way, length) => start.map((x, k) => x + length * way[k]);
      conformer.positions.forEach((start, k) => {
        const size = Math.hypot(...mode.motions[k]);
        if (size < 0.08) return;
        const end = along(start, mode.motions[k], 1.1);
        this.viewer.addArrow({ start: point(start), end: point(end), radius: 0.05, radiusRatio: 2.2, mid: 0.7, color: colours.motion });
      });
      const size = Math.hypot(...mode.slope);
      if (size < 0.03 * longest) return;
      const middle = [0, 1, 2].map((axis) => conformer.positions.reduce((sum, x) => sum + x[axis], 0) / conformer.positions.length);
      const end = along(middle, mode.slope, 1.6 / longest);
      this.viewer.addArrow({ start: point(middle), end: point(end), radius: 0.08, radiusRatio: 2, mid: 0.75, color: colours.slope });
    }

    /** Moves, or stands still at the minimum; a frame is drawn when the last one is done, so that slow machines stay responsive. */
    move(moving) {
      cancelAnimationFrame(this.ticking);
      const draw = (frame) => {
        if (frame === this.frame) return;
        this.frame = frame;
        this.model.setFrame(frame);
        this.viewer.render();
      };
      const tick = (time) => {
        draw(Math.floor((FRAMES * time) / PERIOD) % FRAMES);
        this.ticking = requestAnimationFrame(tick);
      };
      if (moving) this.ticking = requestAnimationFrame(tick);
      else draw(0);
    }

    resize() {
      this.viewer.resize();
      this.viewer.render();
    }
  }

  return { view };
})();
