"use strict";
// Filters and orders the photos of each dataset. Without it the page shows everything in the order it was written.
for (const section of document.querySelectorAll("section.photos")) {
  const form = section.querySelector("form.controls");
  const list = section.querySelector(".cards");
  const cards = Array.from(list.children);
  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  const by = {
    down: (a, b) => b.dataset.iou - a.dataset.iou,
    up: (a, b) => a.dataset.iou - b.dataset.iou,
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
    objects: (a, b) => b.dataset.objects - a.dataset.objects,
  };

  function show() {
    const text = value("text").trim().toLowerCase();
    let shown = 0;
    for (const card of cards) {
      card.hidden = !(
        card.dataset.name.toLowerCase().includes(text) &&
        (!value("group") || card.dataset.group === value("group")) &&
        (!value("cluster") || card.dataset.clusters.split(" ").includes(value("cluster")))
      );
      shown += card.hidden ? 0 : 1;
    }
    list.append(...cards.slice().sort(by[value("order")]));
    form.querySelector("output").textContent = `${shown} of ${cards.length} shown`;
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();

  const number = section.id.replace("photos-", "");
  for (const link of document.querySelectorAll(`#clusters-${number} a.only`)) {
    link.hidden = false;
    link.addEventListener("click", () => {
      form.elements.cluster.value = link.dataset.cluster;
      show();
    });
  }
}
