// The graph of a mission: laid out by dagre from the JSON in #graph-data, drawn as SVG, kept in place when the page is
// refreshed.  Every task is a link, so the keyboard reaches it; the table below says the same in words.
"use strict";
(() => {
  const NS = "http://www.w3.org/2000/svg", WIDTH = 224, HEIGHT = 74, ROOM = 16;
  const LARGEST = 2.5, SMALLEST = 0.05, STEP = 1.25;
  const FAR = 0.3;   // below it no text can be read: the boxes are filled with their colours instead
  const MANY = 150;  // tasks of which a quicker layout is made
  let svg, scene, edgeLayer, boxes = new Map(), size = { width: 0, height: 0 }, shape = "", view = null, isFitted = true;

  const make = (name, attributes = {}, parent) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const holder = () => document.getElementById("graph");

  function begin() {
    svg = make("svg", { class: "graph-svg", role: "group", "aria-label": "Graph of the mission" }, holder());
    const defs = make("defs", {}, svg);
    for (const kind of ["depends", "child", "critical"]) {
      const marker = make("marker", { id: `arrow-${kind}`, class: `arrow ${kind}`, viewBox: "0 0 10 10", refX: 9, refY: 5,
        markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto" }, defs);
      make("path", { d: "M0 0L10 5L0 10z" }, marker);
    }
    scene = make("g", {}, svg);
    edgeLayer = make("g", { "aria-hidden": "true" }, scene);
    svg.addEventListener("pointerdown", drag);
    svg.addEventListener("wheel", wheel, { passive: false });
    const tools = document.querySelector("[data-graph-tools]");
    tools.hidden = false;
    tools.addEventListener("click", (event) => press(event.target.closest("button")?.dataset.graph));
    new ResizeObserver(() => { if (isFitted) fit(); }).observe(holder());
  }

  // Both ways are laid out while that is quick; the one that can be shown larger is taken.
  function layout(data, direction) {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ rankdir: direction, ranker: data.nodes.length > MANY ? "tight-tree" : "network-simplex", nodesep: 22, ranksep: direction === "TB" ? 42 : 54, marginx: ROOM, marginy: ROOM });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const node of data.nodes) graph.setNode(node.id, { width: WIDTH, height: HEIGHT });
    for (const edge of data.edges) graph.setEdge(edge.from, edge.to, {}, edge.kind);
    dagre.layout(graph);
    return graph;
  }
  function best(data) {
    const down = layout(data, "TB");
    if (data.nodes.length > MANY) return down;
    const across = layout(data, "LR");
    return scaleOf(across.graph()) > scaleOf(down.graph()) ? across : down;
  }
  const room = () => ({ width: holder().clientWidth || 800, height: Math.max(320, Math.round(window.innerHeight * 0.74)) });
  const scaleOf = ({ width, height }) => Math.min(1, room().width / width, room().height / height);

  function draw() {
    const source = document.getElementById("graph-data");
    if (!source || !holder()) return;
    if (!svg || !holder().contains(svg)) { boxes = new Map(); shape = ""; view = null; begin(); }
    const data = JSON.parse(source.textContent);
    const now = JSON.stringify([data.nodes.map((node) => node.id), data.edges.map((edge) => [edge.from, edge.to, edge.kind])]);
    if (now !== shape) arrange(data);
    shape = now;
    for (const node of data.nodes) fill(boxes.get(node.id), node);
    for (const edge of data.edges) {
      const line = edgeLayer.querySelector(`[data-edge="${edge.from} ${edge.to} ${edge.kind}"]`);
      line.setAttribute("class", `edge ${edge.kind}${edge.critical ? " critical" : ""}`);
      line.setAttribute("marker-end", `url(#arrow-${edge.critical ? "critical" : edge.kind})`);
    }
  }

  function arrange(data) {
    const graph = best(data);
    size = { width: graph.graph().width, height: graph.graph().height };
    const known = new Set(data.nodes.map((node) => node.id));
    for (const [id, box] of boxes) if (!known.has(id)) { box.link.remove(); boxes.delete(id); }
    for (const node of data.nodes) {
      const { x, y } = graph.node(node.id);
      if (!boxes.has(node.id)) boxes.set(node.id, box(node.id));
      boxes.get(node.id).link.setAttribute("transform", `translate(${x - WIDTH / 2} ${y - HEIGHT / 2})`);
    }
    edgeLayer.replaceChildren();
    for (const edge of data.edges) {
      const points = graph.edge({ v: edge.from, w: edge.to, name: edge.kind }).points;
      make("path", { d: smooth(points), "data-edge": `${edge.from} ${edge.to} ${edge.kind}` }, edgeLayer);
    }
    if (!view || isFitted) fit();
  }

  function box(id) {
    const link = make("a", { href: `/tasks/${id}`, class: "node" }, scene);
    const parts = { link, title: make("title", {}, link) };
    make("rect", { class: "card-box", width: WIDTH, height: HEIGHT, rx: 9 }, link);
    parts.stripe = make("path", { class: "stripe", d: `M9 0H6A6 6 0 0 0 0 6V${HEIGHT - 6}A6 6 0 0 0 6 ${HEIGHT}H9z` }, link);
    parts.label = make("text", { class: "name", x: 20, y: 23 }, link);
    parts.role = make("text", { class: "role", x: 20, y: 40 }, link);
    parts.state = make("text", { class: "state", x: 20, y: 60 }, link);
    parts.track = make("rect", { class: "track", x: 9, y: HEIGHT - 5, width: WIDTH - 18, height: 3, rx: 1.5 }, link);
    parts.done = make("rect", { class: "done", x: 9, y: HEIGHT - 5, height: 3, rx: 1.5 }, link);
    link.addEventListener("focus", () => show(link));
    return parts;
  }

  function fill(parts, node) {
    parts.link.dataset.status = node.status;
    parts.link.setAttribute("class", `node${node.critical ? " critical" : ""}`);
    const words = [node.label, node.role, node.state, node.note, node.critical ? "on the critical path" : ""].filter(Boolean).join(", ");
    parts.link.setAttribute("aria-label", words);
    put(parts.title, words);
    write(parts.label, node.label);
    write(parts.role, node.role || node.note);
    write(parts.state, node.state);
    const share = node.progress ?? 0;
    parts.track.setAttribute("visibility", node.progress == null ? "hidden" : "visible");
    parts.done.setAttribute("visibility", node.progress == null ? "hidden" : "visible");
    parts.done.setAttribute("width", String(Math.round((WIDTH - 18) * Math.min(Math.max(share, 0), 1))));
  }
  // As much of a text as the box is wide.
  function write(element, text) {
    if (element.dataset.text === text) return;
    element.dataset.text = element.textContent = text;
    const length = element.getComputedTextLength(), room = WIDTH - 32;
    if (length > room) element.textContent = text.slice(0, Math.max(Math.floor((text.length * room) / length) - 1, 1)).trimEnd() + "…";
  }
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function smooth(points) {
    let path = `M${points[0].x} ${points[0].y}`;
    for (let i = 1; i < points.length - 1; i++) {
      const end = i === points.length - 2 ? points[i + 1] : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 };
      path += `Q${points[i].x} ${points[i].y} ${end.x} ${end.y}`;
    }
    return points.length === 2 ? path + `L${points[1].x} ${points[1].y}` : path;
  }

  // Where we look: moved by buttons, dragging, Ctrl and wheel, and by the focus.
  function fit() {
    const { width } = room(), k = scaleOf(size);
    svg.setAttribute("height", String(Math.ceil(Math.max(size.height * k, 120))));
    view = { k, x: Math.max((width - size.width * k) / 2, 0), y: 0 };
    isFitted = true;
    place();
  }
  function place() {
    scene.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
    svg.classList.toggle("far", view.k < FAR);
  }
  const move = (x, y) => { view.x += x; view.y += y; isFitted = false; place(); };
  function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
    const k = Math.min(LARGEST, Math.max(SMALLEST, view.k * factor));
    view = { k, x: x - ((x - view.x) * k) / view.k, y: y - ((y - view.y) * k) / view.k };
    isFitted = false;
    place();
  }
  const press = (what) => ({ in: () => zoom(STEP), out: () => zoom(1 / STEP), fit, left: () => move(-80, 0), right: () => move(80, 0),
    up: () => move(0, -80), down: () => move(0, 80) })[what]?.();

  function show(link) {
    const frame = svg.getBoundingClientRect(), at = link.getBoundingClientRect();
    const x = Math.max(frame.left + ROOM - at.left, 0) || Math.min(frame.right - ROOM - at.right, 0);
    const y = Math.max(frame.top + ROOM - at.top, 0) || Math.min(frame.bottom - ROOM - at.bottom, 0);
    if (!isFitted && (x || y)) move(x, y);
  }
  function wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;   // the page scrolls
    event.preventDefault();
    const frame = svg.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - frame.left, event.clientY - frame.top);
  }
  function drag(event) {
    if (event.button || event.target.closest(".node")) return;
    let at = event;
    const follow = (next) => { move(next.clientX - at.clientX, next.clientY - at.clientY); at = next; };
    svg.setPointerCapture(event.pointerId);
    svg.addEventListener("pointermove", follow);
    for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => svg.removeEventListener("pointermove", follow), { once: true });
  }

  document.addEventListener("htmx:after:swap", draw);
  draw();
})();
