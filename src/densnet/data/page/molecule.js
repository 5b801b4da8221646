"use strict";
// The molecule and how it moves in a normal mode (3Dmol.js): arrows along the motion, one for the dipole derivative, and the motion itself.
const molecule = (() => {
  const FRAMES = 40;
  const PERIOD = 1400; // ms
  const REACH = 0.45; // Angstrom, largest displacement of an atom
  const COLOURS = { H: "#e8eaed", C: "#6b747d", N: "#3d6fe0", O: "#e0442e", F: "#57b447", S: "#e3b81f", P: "#e8852a", Cl: "#35b04a" };
  const TILT = 0.35; // radians, so that motions towards the eye are seen

  /** As it is looked at: a vector turned to face the eye, and a little beyond. */
  function turned(facing, vector) {
    const [x, y, z] = facing.map((row) => row.reduce((sum, r, k) => sum + r * vector[k], 0));
    const [c, s] = [Math.cos(TILT), Math.sin(TILT)];
    const [up, near] = [c * y + s * z, c * z - s * y];
    return [c * x + s * near, up, c * near - s * x];
  }

  /** A view in `place`, or null where there is no WebGL. */
  function view(place) {
    try {
      const canvas = document.createElement("canvas");
      if (!(canvas.getContext("webgl2") || canvas.getContext("webgl"))) return null;
      const viewer = $3Dmol.createViewer(place, { backgroundAlpha: 0, antialias: true, disableFog: true });
      return viewer ? new View(viewer, place) : null;
    } catch {
      return null;
    }
  }

  class View {
    constructor(viewer, place) {
      Object.assign(this, { viewer, place });
      this.shown = null;
    }

    /** `colours`: {motion, slope, ground}; `longest`: the largest |dmu/dQ| of the conformer, which gets an arrow of 1.6 Angstrom. */
    show(conformer, mode, colours, longest, moving) {
      const { viewer } = this;
      const same = this.shown === conformer;
      const look = (vector) => turned(conformer.facing, vector);
      const [positions, motions] = [conformer.positions.map(look), mode.motions.map(look)];
      cancelAnimationFrame(this.ticking);
      viewer.setBackgroundColor(colours.ground, 1);
      viewer.removeAllModels();
      viewer.removeAllShapes();
      const rows = conformer.symbols.map((s, k) => `${s} ${positions[k].join(" ")}`);
      const model = viewer.addModel(`${rows.length}\n\n${rows.join("\n")}\n`, "xyz");
      const rest = model.selectedAtoms({});
      for (let step = 0; step < FRAMES; step += 1) {
        const phase = REACH * Math.sin((2 * Math.PI * step) / FRAMES);
        const moved = ([dx, dy, dz], atom) => ({ ...atom, x: atom.x + phase * dx, y: atom.y + phase * dy, z: atom.z + phase * dz });
        model.addFrame(rest.map((atom, k) => moved(motions[k], atom)));
      }
      model.setFrame(0);
      Object.assign(this, { model, frame: 0 });
      viewer.setStyle({}, { stick: { radius: 0.1, color: "#9aa4ae" }, sphere: { scale: 0.24 } });
      for (const [symbol, color] of Object.entries(COLOURS)) {
        viewer.setStyle({ elem: symbol }, { stick: { radius: 0.1, color: "#9aa4ae" }, sphere: { scale: 0.24, color } });
      }
      this.arrows(positions, motions, colours.motion);
      this.slope(positions, look(mode.slope), colours.slope, longest);
      if (!same) {
        viewer.zoomTo();
        viewer.zoom(1.5);
      }
      this.shown = conformer;
      viewer.render();
      this.move(moving);
    }

    arrow(start, way, length, rest) {
      const point = ([x, y, z]) => ({ x, y, z });
      this.viewer.addArrow({ start: point(start), end: point(start.map((x, k) => x + length * way[k])), radiusRatio: 2, mid: 0.72, ...rest });
    }

    arrows(positions, motions, color) {
      positions.forEach((start, k) => {
        if (Math.hypot(...motions[k]) > 0.08) this.arrow(start, motions[k], 1.1, { radius: 0.1, color });
      });
    }

    slope(positions, way, color, longest) {
      if (Math.hypot(...way) < 0.03 * longest) return;
      const middle = [0, 1, 2].map((axis) => positions.reduce((sum, x) => sum + x[axis], 0) / positions.length);
      this.arrow(middle, way, 1.6 / longest, { radius: 0.1, color });
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
      if (!this.place.offsetWidth) return;
      this.viewer.resize();
      this.viewer.render();
    }
  }

  return { view };
})();
