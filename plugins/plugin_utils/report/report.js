(function () {
  "use strict";
  function models(visit) {
    if (!window.Bokeh) return;
    Bokeh.documents.forEach(function (doc) { doc._all_models.forEach(visit); });
  }
  function paint() {
    var style = getComputedStyle(document.documentElement);
    var soft = style.getPropertyValue("--soft").trim(), grid = style.getPropertyValue("--grid").trim();
    var texts = ["axis_label_text_color", "major_label_text_color"];
    var lines = ["axis_line_color", "major_tick_line_color", "grid_line_color"];
    models(function (model) {
      texts.forEach(function (name) { if (name in model.properties) model[name] = soft; });
      lines.forEach(function (name) { if (name in model.properties && model[name] !== null) model[name] = grid; });
    });
  }
  document.querySelectorAll("button[data-hides]").forEach(function (button) {
    button.addEventListener("click", function () {
      var shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      models(function (model) { if (model.name === button.dataset.hides) model.visible = shown; });
    });
  });
  document.querySelectorAll("input.filter").forEach(function (field) {
    var rows = document.querySelectorAll("#" + field.dataset.rows + " tbody tr");
    field.addEventListener("input", function () {
      var words = field.value.toLowerCase().split(/\s+/);
      rows.forEach(function (row) {
        var text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
      });
    });
  });
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open]):not(#ledger)"));
    opened.forEach(function (part) { part.open = true; });
    paint();
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (part) { part.open = false; });
    paint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  var tries = 0, timer = setInterval(function () {
    if (window.Bokeh && !Bokeh.documents.length && ++tries < 200) return;
    clearInterval(timer);
    paint();
  }, 50);
})();
