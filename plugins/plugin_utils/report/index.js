(function () {
  "use strict";
  var runs = JSON.parse(document.getElementById("data").textContent);
  if (!runs.length) return;
  var SIGNS = { pass: "✓ pass", fail: "✗ fail" }, BOX = { left: 52, right: 990, top: 12, bottom: 226 };
  var picks = [document.getElementById("a"), document.getElementById("b")];
  var measure = document.getElementById("measure"), plot = document.getElementById("plot");
  var reading = document.getElementById("reading");

  function make(parent, name, text, attributes) {
    var spaced = parent.namespaceURI, made = document.createElementNS(spaced, name);
    if (text !== undefined && text !== null) made.textContent = text;
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    return parent.appendChild(made);
  }
  function chosen() { return picks.map(function (pick) { return runs[pick.value]; }); }
  function known(value) { return typeof value === "number" && isFinite(value); }
  function short(value) { return known(value) ? String(+value.toPrecision(4)) : "–"; }

  function row(body, name, first, second, change) {
    var line = make(body, "tr");
    make(line, "td", name, { class: "first" });
    [[first, "first"], [second, "second"]].forEach(function (side) {
      make(line, "td", side[0].measured, { class: "n", "data-h": side[1] });
      var mark = make(line, "td", null, { "data-h": "" });
      if (side[0].verdict) make(mark, "span", SIGNS[side[0].verdict] || "? unknown", { class: "mark " + side[0].verdict });
    });
    make(line, "td", change, { class: "n", "data-h": "change" });
  }
  function change(first, second, unit) {
    if (!known(first) || !known(second)) return "–";
    if (first === second) return "none";
    if (unit === "ratio") return signed((second - first) * 100) + " points";
    if (first === 0) return signed(second);
    var percent = (second - first) / Math.abs(first) * 100;
    return signed(percent) + " %";
  }
  function signed(value) { return (value > 0 ? "+" : "−") + (+Math.abs(value).toPrecision(3)); }
  function sides() {
    var body = document.querySelector("#sides tbody"), both = chosen(), none = { measured: "–", verdict: null };
    body.replaceChildren();
    var names = [];
    both.forEach(function (run) {
      run.criteria.forEach(function (item) { if (names.indexOf(item.name) < 0) names.push(item.name); });
    });
    names.forEach(function (name) {
      var found = both.map(function (run) { return run.criteria.filter(function (item) { return item.name === name; })[0] || none; });
      row(body, name, found[0], found[1], change(found[0].actual, found[1].actual, found[0].unit || found[1].unit));
    });
    Object.keys(both[0].latency).forEach(function (name) {
      var found = both.map(function (run) { return run.latency[name]; });
      row(body, "latency " + name, { measured: short(found[0]) + " ms" }, { measured: short(found[1]) + " ms" }, change(found[0], found[1]));
    });
    var box = document.getElementById("sentences");
    box.replaceChildren();
    both.forEach(function (run, place) {
      var line = make(box, "p");
      make(line, "span", "", { class: "swatch " + "ab"[place] });
      make(line, "span", SIGNS[run.verdict] || "? unknown", { class: "mark " + run.verdict });
      make(line, "span", " " + run.sentence + " ");
      make(line, "a", "report", { href: encodeURIComponent(run.run) + "/report.html" });
    });
  }
  function nice(top) {
    var power = Math.pow(10, Math.floor(Math.log10(top)));
    return [1, 2, 2.5, 5, 10].map(function (one) { return one * power; }).filter(function (one) { return one >= top; })[0];
  }
  var scale = null;
  function draw() {
    plot.replaceChildren();
    var width = Math.max(300, plot.clientWidth);
    BOX.right = width - 12;
    plot.setAttribute("viewBox", "0 0 " + width + " 260");
    reading.textContent = "";
    var name = measure.value, both = chosen();
    var lines = both.map(function (run) { return run.series[name] ? { t: run.series.t, v: run.series[name] } : { t: [], v: [] }; });
    var values = [].concat(lines[0].v, lines[1].v).filter(known), times = [].concat(lines[0].t, lines[1].t);
    scale = null;
    if (!values.length) {
      make(plot, "text", "Neither run has a record over time; playbooks/report.yml makes one.", { x: BOX.left, y: 120 });
      return;
    }
    var top = nice(Math.max.apply(null, values.concat(1e-9))), end = Math.max.apply(null, times);
    var x = function (at) { return BOX.left + (BOX.right - BOX.left) * at / end; };
    var y = function (value) { return BOX.bottom - (BOX.bottom - BOX.top) * value / top; };
    [0, 0.25, 0.5, 0.75, 1].forEach(function (share) {
      make(plot, "line", null, { x1: BOX.left, x2: BOX.right, y1: y(top * share), y2: y(top * share) });
      make(plot, "text", short(top * share), { x: BOX.left - 8, y: y(top * share) + 4, "text-anchor": "end" });
    });
    for (var at = 0, step = nice(end / Math.max(2, Math.round(width / 160))); at <= end; at += step) {
      make(plot, "text", short(at) + " s", { x: x(at), y: BOX.bottom + 20, "text-anchor": x(at) > BOX.right - 30 ? "end" : "middle" });
    }
    lines.forEach(function (line, place) {
      var path = "", open = false;
      line.t.forEach(function (at, index) {
        if (!known(line.v[index])) { open = false; return; }
        path += (open ? "L" : "M") + x(at).toFixed(1) + " " + y(line.v[index]).toFixed(1);
        open = true;
      });
      make(plot, "path", null, { d: path, class: "ab"[place] });
    });
    var cursor = make(plot, "line", null, { class: "cursor", y1: BOX.top, y2: BOX.bottom, visibility: "hidden" });
    scale = { lines: lines, end: end, x: x, cursor: cursor };
  }
  plot.addEventListener("pointermove", function (event) {
    if (!scale) return;
    var box = plot.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * (BOX.right + 12);
    var seconds = Math.min(scale.end, Math.max(0, (at - BOX.left) / (BOX.right - BOX.left) * scale.end));
    scale.cursor.setAttribute("x1", scale.x(seconds));
    scale.cursor.setAttribute("x2", scale.x(seconds));
    scale.cursor.setAttribute("visibility", "visible");
    reading.textContent = "at " + seconds.toFixed(1) + " s: " + scale.lines.map(function (line, place) {
      var best = -1;
      line.t.forEach(function (one, index) { if (best < 0 || Math.abs(one - seconds) < Math.abs(line.t[best] - seconds)) best = index; });
      return ["first ", "second "][place] + short(best < 0 ? null : line.v[best]);
    }).join(", ");
  });
  plot.addEventListener("pointerleave", function () {
    if (scale) scale.cursor.setAttribute("visibility", "hidden");
    reading.textContent = "";
  });
  function show() { sides(); draw(); }
  picks.forEach(function (pick) {
    runs.forEach(function (run, index) {
      make(pick, "option", (run.started || run.run) + " · " + run.scenario + " · " + run.verdict, { value: index });
    });
    pick.addEventListener("change", show);
  });
  measure.addEventListener("change", draw);
  window.addEventListener("resize", draw);
  var before = runs.findIndex(function (run, index) { return index > 0 && run.scenario === runs[0].scenario; });
  picks[0].value = before > 0 ? before : Math.min(1, runs.length - 1);
  picks[1].value = 0;
  show();
})();
