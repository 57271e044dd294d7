// The cloud with its boxes, drawn by three.js when something changes: coarsely while it moves where
// that is too slow (see pace.js), sharply when it has stopped.
"use strict";
(() => {
  const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4],
    [0, 4], [1, 5], [2, 6], [3, 7], [0, 7], [3, 4]]; // the last two cross the front
  const DASHES = [[0.3, 0.2], null, [0.08, 0.12], [0.6, 0.15], [0.15, 0.3]]; // metres, by set
  const GROUND = "#12161c", RING = "#39434f", FAINT = [0.36, 0.4, 0.45];
  const RAMP = ["#3f66b8", "#6b84a6", "#a3a58c", "#d6c763", "#fff04a"]; // dark to light, blue to yellow
  const REST_MS = 150; // without a movement, then it is drawn sharply
  const TURN = Math.PI / 36, NEARER = 0.9; // of one press of a key
  const OVERVIEW = { fov_deg: [50], aspect: 0 }; // what is seen where no image is
  const UNIT = new THREE.BoxGeometry(); // of all boxes that a pointer may meet
  THREE.ColorManagement.enabled = false; // colours as they are written

  const bytes = (text) => {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  };

  function positions(points) {
    const grid = new DataView(bytes(points.xyz).buffer);
    const out = new Float32Array(3 * points.shown);
    for (let i = 0; i < out.length; i++) {
      out[i] = points.origin[i % 3] + points.step * grid.getInt16(2 * i, true);
    }
    return out;
  }

  // All numbers below `count`, in an order whose beginnings lie evenly among them.
  function spread(count) {
    const divisor = (a, b) => (b ? divisor(b, a % b) : a);
    let step = Math.max(Math.round(0.618034 * count), 1);
    while (divisor(step, count) > 1) step += 1;
    return Uint32Array.from({ length: count }, (_, i) => i * step % count);
  }

  const stops = RAMP.map((text) => new THREE.Color(text).toArray());
  function ramp(share) {
    const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const low = Math.min(Math.floor(place), stops.length - 2);
    return stops[low].map((value, i) => value + (place - low) * (stops[low + 1][i] - value));
  }
  View.RAMP = RAMP;

  // What points can be coloured by: values or colours, and what the legend says.
  View.COLORINGS = {
    height: { title: "height", of: (frame, xyz) => {
      const z = Float32Array.from({ length: xyz.length / 3 }, (_, i) => xyz[3 * i + 2]);
      const sorted = z.slice().sort();
      const low = sorted[Math.floor(0.02 * z.length)] ?? 0;
      const high = sorted[Math.floor(0.98 * (z.length - 1))] ?? 1;
      return { color: (i) => ramp((z[i] - low) / Math.max(high - low, 1e-6)),
        ends: [`${low.toFixed(1)} m`, `${high.toFixed(1)} m`] };
    } },
    intensity: { title: "intensity", has: (p) => p.intensity, of: (frame) => {
      const values = bytes(frame.points.intensity);
      return { color: (i) => ramp(Math.sqrt(values[i] / 255)), ends: ["0", "the frame's largest"] };
    } },
    camera: { title: "camera colour", has: (p) => p.colors, of: (frame) => {
      const values = bytes(frame.points.colors);
      return { color: (i) => [0, 1, 2].map((c) => values[3 * i + c] / 255) };
    } },
    label: { title: "class of the labelled box", has: (p) => p.owner, of: (frame, xyz, classes) => {
      const owner = new Uint16Array(bytes(frame.points.owner).buffer);
      const truth = View.boxesOf(frame, 0);
      const colors = truth.map((box) => new THREE.Color(classes[box.name]).toArray());
      return { color: (i) => owner[i] ? colors[owner[i] - 1] : FAINT, text: "grey: in no box" };
    } },
    gate: { title: "gate (reads of the camera)", has: (p) => p.gate, of: (frame) => {
      const values = bytes(frame.points.gate);
      const known = Array.from(values.filter((v) => v < 255)).sort((a, b) => a - b);
      const low = known[Math.floor(0.02 * known.length)] ?? 0;
      const high = Math.max(known[Math.floor(0.98 * (known.length - 1))] ?? 254, low + 1);
      return { color: (i) => values[i] === 255 ? FAINT : ramp((values[i] - low) / (high - low)),
        ends: [low, high].map((v) => (v / 254).toFixed(2)), text: "grey: reads nothing" };
    } },
  };

  View.Cloud = class {
    // onPick(index, isClick): a box, or null, was met; onTurn(): somebody turned or moved the cloud.
    constructor(canvas, onPick, onTurn) {
      this.canvas = canvas;
      this.onTurn = onTurn;
      this.framed = OVERVIEW;
      this.renderer = new THREE.WebGLRenderer({ canvas });
      this.renderer.outputColorSpace = "srgb-linear";
      this.scene = new THREE.Scene();
      this.scene.background = new THREE.Color(GROUND);
      this.camera = new THREE.PerspectiveCamera(50, 1, 0.1, 2000);
      this.camera.up.set(0, 0, 1);
      this.controls = new THREE.OrbitControls(this.camera, canvas);
      this.controls.addEventListener("start", () => { this.isHeld = true; });
      this.controls.addEventListener("end", () => { this.isHeld = false; });
      this.controls.addEventListener("change", () => {
        this.moved = true;
        if (this.isHeld) onTurn();
        this.ask();
      });
      this.pace = new View.Pace();
      this.geometry = new THREE.BufferGeometry();
      const material = new THREE.PointsMaterial({ size: 2, sizeAttenuation: false, vertexColors: true });
      this.points = new THREE.Points(this.geometry, material);
      this.points.frustumCulled = false;
      this.scene.add(this.points);
      this.lines = [];
      this.rings = [];
      this.meshes = [];
      this.lit = null;
      new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
      canvas.addEventListener("pointermove", (event) => { if (!event.buttons) onPick(this.pick(event), false); });
      canvas.addEventListener("click", (event) => onPick(this.pick(event), true));
    }

    resize() {
      const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
      if (!width || !height) return;
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.fit();
      this.ask();
    }

    // The whole of what is framed, whatever the shape of the canvas.
    fit() {
      const { fov_deg: [angle], aspect } = this.framed;
      const tan = Math.tan(angle * Math.PI / 360);
      this.camera.fov = 360 / Math.PI * Math.atan(tan * Math.max(1, aspect / this.camera.aspect));
    }

    ask() {
      this.isStale = true;
      this.wait();
    }

    wait() {
      if (this.isWaiting) return;
      this.isWaiting = true;
      requestAnimationFrame((now) => { this.isWaiting = false; this.tick(now); });
    }

    // One frame of the screen. `drawnAt` is when the last one was drawn in this movement.
    tick(now) {
      if (this.drawnAt) this.pace.note(now - this.drawnAt);
      if (this.moved) this.movedAt = now;
      else if (this.isMoving && now - this.movedAt > REST_MS) this.rest();
      this.isMoving = this.isMoving || this.moved;
      this.moved = false;
      this.drawnAt = this.isStale && this.isMoving ? now : 0;
      if (this.isStale) this.render();
      if (this.isMoving) this.wait();
    }

    rest() {
      this.isMoving = false;
      this.isStale = true;
      this.pace.forget();
    }

    render() {
      this.isStale = false;
      const ratio = Math.min(devicePixelRatio, 2) * (this.isMoving ? this.pace.ratio : 1);
      if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
      const share = this.isMoving ? this.pace.share : 1;
      this.geometry.setIndex(share < 1 ? this.spread : null); // at rest in the file's own order
      this.geometry.setDrawRange(0, share < 1 ? Math.ceil(share * this.spread.count) : Infinity);
      this.camera.updateProjectionMatrix();
      this.renderer.render(this.scene, this.camera);
    }

    setPoints(frame, kind, classes) {
      const xyz = positions(frame.points);
      const { color, ...legend } = View.COLORINGS[kind].of(frame, xyz, classes);
      const colors = new Uint8Array(xyz.length);
      for (let i = 0; i < xyz.length / 3; i++) {
        const rgb = color(i);
        for (let c = 0; c < 3; c++) colors[3 * i + c] = Math.round(255 * rgb[c]);
      }
      this.geometry.setIndex(this.spread || null).dispose(); // what it holds, the index too
      this.geometry.setAttribute("position", new THREE.BufferAttribute(xyz, 3));
      this.geometry.setAttribute("color", new THREE.BufferAttribute(colors, 3, true));
      this.spread = new THREE.BufferAttribute(spread(xyz.length / 3), 1);
      this.measure(xyz);
      this.ask();
      return legend;
    }

    // Size of the scene, and rings around the sensor at steps that suit it.
    measure(xyz) {
      const far = Float32Array.from({ length: xyz.length / 3 },
        (_, i) => Math.hypot(xyz[3 * i], xyz[3 * i + 1])).sort();
      const low = Float32Array.from({ length: xyz.length / 3 }, (_, i) => xyz[3 * i + 2]).sort();
      this.radius = Math.max(far[Math.floor(0.95 * far.length)] ?? 20, 2);
      const floor = low[Math.floor(0.02 * low.length)] ?? 0;
      this.ringStep = this.radius > 12 ? 10 : 1;
      this.rings.forEach((ring) => { this.scene.remove(ring); ring.geometry.dispose(); });
      const count = Math.min(Math.ceil(this.radius / this.ringStep), 8);
      this.rings = Array.from({ length: count }, (_, n) => {
        const turn = (k) => 2 * Math.PI * k / 128;
        const circle = Array.from({ length: 128 }, (_, k) => new THREE.Vector3(
          (n + 1) * this.ringStep * Math.cos(turn(k)), (n + 1) * this.ringStep * Math.sin(turn(k)), floor));
        const material = new THREE.LineBasicMaterial({ color: RING });
        return new THREE.LineLoop(new THREE.BufferGeometry().setFromPoints(circle), material);
      });
      this.scene.add(...this.rings);
    }

    outline(boxes, colors, width, dash) {
      const scale = this.ringStep === 1 ? 0.3 : 1;
      const geometry = new THREE.LineSegmentsGeometry();
      geometry.setPositions(boxes.flatMap((box) => EDGES.flatMap(([a, b]) => [...box.corners[a], ...box.corners[b]])));
      geometry.setColors(boxes.flatMap((_, i) => EDGES.flatMap(() => [...colors[i], ...colors[i]])));
      const options = dash ? { dashed: true, dashSize: scale * dash[0], gapSize: scale * dash[1] } : {};
      const line = new THREE.LineSegments2(geometry,
        new THREE.LineMaterial({ linewidth: width, vertexColors: true, ...options }));
      line.computeLineDistances();
      line.frustumCulled = false;
      return line;
    }

    setBoxes(boxes, color) {
      this.drop(this.lines);
      this.boxes = boxes;
      const sets = [...new Set(boxes.map((box) => box.set))];
      this.lines = sets.map((set) => {
        const mine = boxes.filter((box) => box.set === set);
        const colors = mine.map((box) => new THREE.Color(color(box)).toArray());
        return this.outline(mine, colors, 2.2, DASHES[set % DASHES.length]);
      });
      if (this.lines.length) this.scene.add(...this.lines);
      this.meshes = boxes.map(({ corners }) => {
        const at = corners.map((corner) => new THREE.Vector3(...corner));
        const middle = at[0].clone().add(at[6]).multiplyScalar(0.5);
        const mesh = new THREE.Mesh(UNIT);
        mesh.matrixWorld.makeBasis(at[0].clone().sub(at[1]), at[1].clone().sub(at[2]), at[4].clone().sub(at[0]));
        mesh.matrixWorld.setPosition(middle);
        return mesh;
      });
      this.light(null);
    }

    light(index) {
      if (this.lit) this.drop([this.lit]);
      this.lit = index === null ? null
        : this.outline([this.boxes[index]], [new THREE.Color("#f0e442").toArray()], 5, null);
      if (this.lit) this.scene.add(this.lit);
      this.ask();
    }

    drop(lines) {
      lines.forEach((line) => { this.scene.remove(line); line.geometry.dispose(); line.material.dispose(); });
    }

    // Number of the nearest box under the pointer, or null.
    pick(event) {
      const { left, top, width, height } = this.canvas.getBoundingClientRect();
      const place = new THREE.Vector2(2 * (event.clientX - left) / width - 1, 1 - 2 * (event.clientY - top) / height);
      const ray = new THREE.Raycaster();
      ray.setFromCamera(place, this.camera);
      const hit = ray.intersectObjects(this.meshes, false)[0];
      return hit ? this.meshes.indexOf(hit.object) : null;
    }

    // view: "orbit" from behind, "top", or "camera": what the camera of `pose` sees.
    look(view, pose, ahead) {
      const front = new THREE.Vector3(...ahead).setZ(0).normalize();
      const at = (forward, up) => front.clone().multiplyScalar(forward).setZ(up);
      const r = Math.min(this.radius, 50);
      this.framed = view === "camera" && pose ? pose : OVERVIEW;
      this.fit();
      if (this.framed === pose) {
        this.camera.position.set(...pose.position);
        this.controls.target.set(...pose.position)
          .addScaledVector(new THREE.Vector3(...pose.forward), Math.max(1, r / 4));
      } else if (view === "top") {
        this.camera.position.copy(at(r / 2 - 0.001 * r, 1.35 * r));
        this.controls.target.copy(at(r / 2, 0));
      } else {
        this.camera.position.copy(at(-0.3 * r, 0.3 * r));
        this.controls.target.copy(at(0.4 * r, -0.05 * r));
      }
      this.controls.update();
      this.ask();
    }

    // Turn around what is looked at, by so many steps to the side and up, or come nearer.
    turn(side, up, nearer) {
      const { position, up: pole } = this.camera, { target } = this.controls;
      const offset = position.clone().sub(target).applyAxisAngle(pole, side * TURN);
      const steep = offset.angleTo(pole), least = 0.01;
      const to = Math.min(Math.max(steep - up * TURN, least), Math.PI - least);
      offset.applyAxisAngle(pole.clone().cross(offset).normalize(), to - steep);
      position.copy(target).addScaledVector(offset, NEARER ** nearer);
      this.controls.update();
      this.onTurn();
    }
  };
})();
