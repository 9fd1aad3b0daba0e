"""Clouds of points that a reader can turn: a canvas and a few lines of script, nothing to load."""

import json
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float

from physgen.plots import GENERATED, REAL

_MOST = 3000  # points of a layer that are drawn
_DIGITS = 4

_SCRIPT = """
(function (view) {
  const canvases = [...document.currentScript.parentNode.querySelectorAll("canvas")];
  let yaw = 0.6, pitch = 0.35, turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  let drag = null;
  function place(p) {
    const x = p[0] * Math.cos(yaw) + p[2] * Math.sin(yaw);
    const z = p[2] * Math.cos(yaw) - p[0] * Math.sin(yaw);
    return [x, p[1] * Math.cos(pitch) - z * Math.sin(pitch),
            z * Math.cos(pitch) + p[1] * Math.sin(pitch)];
  }
  function draw(canvas, layers) {
    const ratio = devicePixelRatio || 1, size = canvas.clientWidth;
    if (canvas.width !== Math.round(size * ratio)) {
      canvas.width = canvas.height = Math.round(size * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, size, size);
    const scale = size / 3.8, half = size / 2;
    const at = (p) => { const q = place(p); const s = scale * 5 / (5 + q[2]);
                        return [half + s * q[0], half - s * q[1], q[2]]; };
    c.strokeStyle = "#bbb";
    for (const [a, b] of EDGES) {
      const p = at(a), q = at(b);
      c.beginPath(); c.moveTo(p[0], p[1]); c.lineTo(q[0], q[1]); c.stroke();
    }
    for (const layer of layers) {
      c.fillStyle = layer.colour;
      for (const p of layer.points) {
        const [x, y, z] = at(p);
        c.globalAlpha = 0.75 - 0.3 * z / 1.8;
        const r = Math.max(0.8, size / 260) * 5 / (5 + z);
        if (layer.round) { c.beginPath(); c.arc(x, y, r, 0, 7); c.fill(); }
        else { c.fillRect(x - r, y - r, 2 * r, 2 * r); }
      }
    }
    c.globalAlpha = 1;
  }
  const EDGES = [];
  for (const s of [-1, 1]) for (const t of [-1, 1]) {
    EDGES.push([[-1, s, t], [1, s, t]], [[s, -1, t], [s, 1, t]], [[s, t, -1], [s, t, 1]]);
  }
  const show = () => canvases.forEach((canvas, i) => draw(canvas, view[i]));
  for (const canvas of canvases) {
    canvas.addEventListener("pointerdown", (e) => {
      turning = false; drag = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => {
      if (!drag) return;
      yaw += (e.clientX - drag[0]) / 150;
      pitch = Math.max(-1.5, Math.min(1.5, pitch + (e.clientY - drag[1]) / 150));
      drag = [e.clientX, e.clientY]; show();
    });
    canvas.addEventListener("pointerup", () => { drag = null; });
    canvas.addEventListener("keydown", (e) => {
      const step = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1],
                    ArrowDown: [0, 0.1]}[e.key];
      if (!step) return;
      turning = false; yaw += step[0]; pitch = Math.max(-1.5, Math.min(1.5, pitch + step[1]));
      e.preventDefault(); show();
    });
  }
  addEventListener("resize", show);
  let last = null;
  (function frame(now) {
    if (turning) {
      if (last !== null) yaw += (now - last) / 6000;
      last = now; show(); requestAnimationFrame(frame);
    }
  })(performance.now());
  show();
})(DATA);
"""


@dataclass(frozen=True, eq=False)
class CloudView:
    """Points of held-out and of generated boxes in three dimensions, with title and caption.

    real (k, 3) and generated (l, 3) share one unit. `together` draws them in one frame, otherwise
    side by side, turning together.
    """

    title: str
    caption: str
    real: Float[np.ndarray, "k 3"]
    generated: Float[np.ndarray, "l 3"]
    together: bool = False

    def to_html(self) -> str:
        """The block of a page, script and numbers inline."""
        low = np.minimum(self.real.min(axis=0), self.generated.min(axis=0))
        high = np.maximum(self.real.max(axis=0), self.generated.max(axis=0))
        half = max(float((high - low).max()) / 2, np.finfo(float).tiny)
        layers = [
            {
                "colour": style["color"],
                "round": style is GENERATED,
                "points": ((_some(points) - (low + high) / 2) / half).round(_DIGITS).tolist(),
            }
            for points, style in ((self.real, REAL), (self.generated, GENERATED))
        ]
        names = ("held-out (black squares)", "generated (orange discs)")
        panels = [layers] if self.together else [[layer] for layer in layers]
        labels = [" and ".join(names)] if self.together else list(names)
        canvases = "".join(
            f'<div><canvas tabindex="0" role="img" aria-label="{label}"></canvas>'
            f'<div class="small">{label}</div></div>'
            for label in labels
        )
        script = _SCRIPT.replace("DATA", json.dumps(panels, separators=(",", ":")))
        return (
            f'<h2>{escape(self.title)}</h2><figure><div class="clouds">{canvases}'
            f"<script>{script}</script></div><figcaption>{escape(self.caption)} Drag, or use the "
            "arrow keys, to turn.</figcaption></figure>"
        )


def _some(points: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "l 3"]:
    """At most so many points, evenly chosen."""
    if len(points) <= _MOST:
        return points
    return points[np.linspace(0, len(points) - 1, _MOST).astype(int)]
