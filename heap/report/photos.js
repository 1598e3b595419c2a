// Filters, orders and pages the chosen photos of each dataset. Without it the page shows them all, as they were written.

const CARDS_PER_PAGE = 12;

for (const section of document.querySelectorAll("section.photos")) {
  const form = section.querySelector("form.controls"), list = section.querySelector(".cards");
  const cards = Array.from(list.children), nav = section.querySelector(".pager");
  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  const by = {
    down: (a, b) => b.dataset.iou - a.dataset.iou,
    up: (a, b) => a.dataset.iou - b.dataset.iou,
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, { numeric: true }),
    objects: (a, b) => b.dataset.objects - a.dataset.objects,
  };

  function show(page) {
    const text = value("text").trim().toLowerCase();
    const fits = (card) => card.dataset.name.toLowerCase().includes(text)
      && (!value("group") || card.dataset.group === value("group"))
      && (!value("cluster") || card.dataset.clusters.split(" ").includes(value("cluster")));
    const found = cards.filter(fits).sort(by[value("order")]);
    const shown = new Set(found.slice((page - 1) * CARDS_PER_PAGE, page * CARDS_PER_PAGE));
    for (const card of cards) card.hidden = !shown.has(card);
    list.append(...found);
    form.querySelector("output").textContent = `${found.length} of ${cards.length}`;
    pager(nav, page, Math.ceil(found.length / CARDS_PER_PAGE), (to) => { show(to); section.scrollIntoView(); });
  }

  for (const kind of ["input", "change"]) form.addEventListener(kind, () => show(1)); // some browsers fill forms in without `input`
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show(1);

  for (const link of document.querySelectorAll(`.overview[data-name="${section.dataset.name}"] a.only`)) {
    link.hidden = false;
    link.addEventListener("click", () => {
      form.elements.cluster.value = link.dataset.cluster;
      show(1);
    });
  }
}

