// The gallery: which cluster, which regions, which one of them. The address after `#` says it all, so that links lead
// there and the back button leads back:
//   #scenes/clusters   #scenes/regions?kind=foreground   #scenes/cluster-3?order=area&page=2   #scenes/region-17
// `#cluster-3` is a cluster of the first dataset.

const PER_PAGE = 48;
const ORDERS = { distance: "most typical first", area: "largest first", small: "smallest first", best: "best IoU of its photo first",
  worst: "worst IoU of its photo first", photo: "by photo" };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  made.append(...children); // strings become text, never markup
  return made;
}

const percent = (share) => (share < 0.0995 ? (100 * share).toFixed(1) : Math.round(100 * share)) + " %";
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// Buttons for pages; `go` is called with the page that is wanted.
function pager(nav, page, pages, go) {
  nav.hidden = pages < 2;
  const button = (text, to, label) => {
    const made = element("button", { type: "button", "aria-label": label }, text);
    made.disabled = to < 1 || to > pages || to === page;
    made.addEventListener("click", () => go(to));
    return made;
  };
  nav.replaceChildren(button("\u00ab", 1, "First page"), button("\u2039 Back", page - 1, "Previous page"),
    element("span", {}, `Page ${page} of ${pages}`),
    button("Next \u203a", page + 1, "Next page"), button("\u00bb", pages, "Last page"));
}

class Gallery {
  constructor(section) {
    this.section = section;
    this.datasets = Array.from(document.querySelectorAll("script.dataset"), (node, i) => new Dataset(node, i + 1));
    this.form = section.querySelector("form");
    this.part = (name) => section.querySelector(`.${name}`);
    this.listed = null; // the list that a region was opened from
    this.form.elements.dataset.append(...this.datasets.map((d) => element("option", { value: d.name }, d.name)));
    this.form.elements.dataset.closest("label").hidden = this.datasets.length < 2;
    this.form.elements.order.append(...Object.entries(ORDERS).map(([value, text]) => element("option", { value }, text)));
    this.form.hidden = false;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", (event) => { if (event.target.name !== "text") this.choose(event.target.name); });
    for (const kind of ["input", "change"]) this.form.elements.text.addEventListener(kind, () => this.search());
    addEventListener("hashchange", () => this.follow(true));
    addEventListener("keydown", (event) => this.key(event));
    this.state = { dataset: this.datasets[0], view: "clusters", page: 1 };
    this.follow(false);
  }

  // What an address asks for, or null where it is none of the gallery's.
  read(hash) {
    const [path, query] = hash.replace(/^#/, "").split("?");
    const found = /^(?:(\w+)\/)?(clusters|regions|cluster-(\d+)|region-(\d+))$/.exec(path);
    if (!found) return null;
    const dataset = found[1] ? this.datasets.find((d) => d.name === found[1]) : this.datasets[0];
    if (!dataset) return null;
    const asked = new URLSearchParams(query || ""), own = (name, known) => (known.includes(asked.get(name)) ? asked.get(name) : known[0]);
    const state = { dataset, view: found[2].split("-")[0], cluster: null, region: null,
      kind: own("kind", ["", "foreground", "background"]), order: own("order", Object.keys(ORDERS)),
      text: asked.get("text") || "", page: Math.max(1, parseInt(asked.get("page"), 10) || 1) };
    if (found[3] !== undefined) {
      state.cluster = Number(found[3]);
      if (state.cluster >= dataset.counts.length) return null;
    }
    if (found[4] !== undefined) {
      state.region = dataset.place.get(Number(found[4]));
      if (state.region === undefined) return null;
    }
    return state;
  }

  address({ dataset, view, cluster, region, kind, order, text, page }) {
    const asked = new URLSearchParams();
    if (view === "cluster" || view === "regions") {
      if (kind && view === "regions") asked.set("kind", kind);
      if (order && order !== "distance") asked.set("order", order);
      if (text) asked.set("text", text);
      if (page > 1) asked.set("page", page);
    }
    const path = view === "cluster" ? `cluster-${cluster}` : view === "region" ? `region-${dataset.id[region]}` : view;
    return `#${dataset.name}/${path}${asked.size ? "?" + asked : ""}`;
  }

  go(change) { location.hash = this.address({ ...this.state, ...change }); }

  follow(scroll) {
    const asked = this.read(location.hash);
    if (!asked && location.hash && location.hash !== "#gallery") return this.show(this.state);
    this.state = asked || { ...this.state, view: "clusters", page: 1, kind: "", text: "", order: "distance", cluster: null };
    this.show(this.state);
    if (asked) this.section.scrollIntoView();
    if (scroll && asked) this.part("title").focus({ preventScroll: true });
  }

  choose(name) {
    const { dataset, cluster, kind, order } = this.form.elements;
    if (name === "dataset") return this.go({ dataset: this.datasets.find((d) => d.name === dataset.value), view: "clusters" });
    const one = name === "kind" ? "" : cluster.value;
    const view = one !== "" ? "cluster" : "regions";
    this.go({ view, cluster: one === "" ? null : Number(one), kind: kind.value, order: order.value, text: this.form.elements.text.value, page: 1 });
  }

  // Typing changes the page as it goes and leaves one entry in the history, not one a letter.
  search() {
    const text = this.form.elements.text.value.trim();
    if (text === (this.state.text || "")) return;
    const view = this.state.cluster === null ? "regions" : "cluster";
    const address = this.address({ ...this.state, view, text, page: 1 });
    if (this.state.view === view) history.replaceState(null, "", address); else history.pushState(null, "", address);
    this.state = this.read(address);
    this.show(this.state);
  }

  show(state) {
    const { dataset, view } = state;
    for (const overview of this.section.querySelectorAll(".overview"))
      overview.hidden = view !== "clusters" || overview.dataset.name !== dataset.name;
    this.part("intro").hidden = view !== "clusters"; // on a phone it would push the regions off the screen
    this.part("list").hidden = view !== "cluster" && view !== "regions";
    this.part("one").hidden = view !== "region";
    this.fill(state);
    if (view === "region") this.showRegion(state);
    else if (view !== "clusters") this.showList(state);
    else this.title([], `${dataset.name}: clusters`, "");
  }

  fill({ dataset, view, cluster, kind, order, text }) {
    const { elements } = this.form, numbers = Array.from(dataset.counts.keys()).filter((c) => dataset.counts[c]);
    const option = (c) => element("option", { value: c }, `${c} (${dataset.counts[c].toLocaleString("en")})`);
    const group = (label, from) => element("optgroup", { label }, ...from.map(option));
    if (this.filled !== dataset) elements.cluster.replaceChildren(element("option", { value: "" }, "all"),
      group("foreground", numbers.filter((c) => c < dataset.foreground)), group("background", numbers.filter((c) => c >= dataset.foreground)));
    this.filled = dataset;
    elements.dataset.value = dataset.name;
    elements.cluster.value = view === "region" || cluster === null || cluster === undefined ? "" : String(cluster);
    elements.kind.value = view === "cluster" ? (cluster < dataset.foreground ? "foreground" : "background") : kind || "";
    elements.order.value = order || "distance";
    if (elements.text !== document.activeElement) elements.text.value = text || "";
  }

  // A heading with the way back to it, and a line that says what is shown.
  title(way, text, line, colour) {
    this.part("crumbs").replaceChildren(...way.flatMap(([name, href]) => [element("a", { href }, name), " \u203a "]));
    this.part("title").replaceChildren(...(colour ? [element("i", { class: "key", style: `background: ${colour}` })] : []), text);
    this.part("summary").textContent = line;
  }

  // The regions that a state asks for, in its order.
  find({ dataset, view, cluster, kind, order, text }) {
    const wanted = (text || "").toLowerCase(), named = wanted && dataset.photos.map((name) => name.toLowerCase().includes(wanted));
    const places = [];
    for (let r = 0; r < dataset.regions; r++) {
      if (view === "cluster" ? dataset.cluster[r] !== cluster : kind && dataset.isForeground(r) !== (kind === "foreground")) continue;
      if (named && !named[dataset.photo[r]]) continue;
      if (dataset.area[r]) places.push(r); // what lies in the padding alone has nothing to show
    }
    const iou = (r, none) => { const value = dataset.iou[dataset.photo[r]]; return value === NO_IOU ? none : value; };
    const by = {
      distance: (a, b) => dataset.distance[a] - dataset.distance[b],
      area: (a, b) => dataset.area[b] - dataset.area[a],
      small: (a, b) => dataset.area[a] - dataset.area[b],
      best: (a, b) => iou(b, -1) - iou(a, -1),
      worst: (a, b) => iou(a, NO_IOU) - iou(b, NO_IOU),
      photo: () => 0,
    }[order || "distance"];
    return places.sort((a, b) => by(a, b) || a - b);
  }

  showList(state) {
    const { dataset, view, cluster } = state, found = this.find(state), pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    const page = Math.min(state.page, pages), shown = found.slice((page - 1) * PER_PAGE, page * PER_PAGE);
    this.listed = { address: this.address(state), regions: found, name: view === "cluster" ? `cluster ${cluster}` : "regions" };
    const photos = new Set(found.map((r) => dataset.photo[r])).size;
    const kind = view === "cluster" ? (cluster < dataset.foreground ? "Foreground. " : "Background. ") : "";
    this.title([[`${dataset.name}: clusters`, `#${dataset.name}/clusters`]], view === "cluster" ? `Cluster ${cluster}` : "Regions",
      `${kind}${plural(found.length, "region")} in ${plural(photos, "photo")}.`, view === "cluster" ? css(dataset.colours[cluster]) : null);
    this.part("empty").hidden = found.length > 0;
    this.part("tiles").replaceChildren(...shown.map((r) => this.tile(dataset, r, `${percent(dataset.areaOf(r))} \u00b7 ${dataset.distanceOf(r).toFixed(2)}`)));
    for (const nav of this.section.querySelectorAll(".list .pager")) pager(nav, page, pages, (to) => this.go({ page: to }));
  }

  // A region as a link: its picture, its photo's name, and a line about it.
  tile(dataset, region, line) {
    const name = dataset.nameOf(region), cluster = dataset.cluster[region], size = 2 * 136;
    const words = `Region of ${name}, cluster ${cluster}, ${percent(dataset.areaOf(region))} of the photo`;
    const canvas = element("canvas", { width: size, height: size, role: "img", "aria-label": words });
    draw(canvas, dataset, dataset.photo[region], { region, crop: true });
    return element("li", {}, element("a", { href: this.address({ dataset, view: "region", region }), title: name },
      canvas, element("span", { class: "name" }, name), element("span", { class: "line" }, line)));
  }

  showRegion({ dataset, region }) {
    const photo = dataset.photo[region], name = dataset.nameOf(region), cluster = dataset.cluster[region], iou = dataset.iouOf(photo);
    if (!this.listed || !this.listed.regions.includes(region)) {
      const state = { dataset, view: "cluster", cluster, order: "distance", page: 1 };
      this.listed = { address: this.address(state), regions: this.find(state), name: `cluster ${cluster}` };
    }
    this.title([[`${dataset.name}: clusters`, `#${dataset.name}/clusters`], [this.listed.name, this.listed.address]], name,
      `Region ${this.listed.regions.indexOf(region) + 1} of ${this.listed.regions.length.toLocaleString("en")}`, css(dataset.colours[cluster]));
    const facts = [["cluster", element("a", { href: this.address({ dataset, view: "cluster", cluster }) }, `${cluster}, ${dataset.isForeground(region) ? "foreground" : "background"}`)],
      ["size", `${percent(dataset.areaOf(region))} of the photo`], ["foreground score", (dataset.score[region] / FULL).toFixed(2)],
      ["distance to the cluster's centre", dataset.distanceOf(region).toFixed(3)],
      ["IoU of the photo's mask", iou === null ? "no ground truth" : iou.toFixed(3)]];
    this.part("facts-of-region").replaceChildren(...facts.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]));
    const big = (look, words) => {
      const canvas = element("canvas", { width: 720, height: 540, role: "img", "aria-label": words });
      draw(canvas, dataset, photo, { region, look });
      return canvas;
    };
    this.part("views").replaceChildren(
      element("figure", {}, big("lit", `Photo ${name} with the region set off`), element("figcaption", {}, "the region")),
      element("figure", {}, big("coloured", `Regions of ${name} coloured by cluster`), element("figcaption", {}, "all regions, by cluster")));
    const others = [];
    for (let r = dataset.start[photo]; r < dataset.start[photo + 1]; r++) if (dataset.area[r]) others.push(r);
    this.part("siblings").replaceChildren(...others.map((r) => element("a", { class: "chip", href: this.address({ dataset, view: "region", region: r }), "aria-current": r === region ? "true" : undefined },
      element("i", { class: "key", style: `background: ${css(dataset.colours[dataset.cluster[r]])}` }), `cluster ${dataset.cluster[r]}, ${percent(dataset.areaOf(r))}`)));
    const near = dataset.near(region);
    this.part("nearest").replaceChildren(...near.map(([place, similarity]) => this.tile(dataset, place, `cosine ${similarity.toFixed(2)} \u00b7 cluster ${dataset.cluster[place]}`)));
    const at = this.listed.regions.indexOf(region);
    for (const [part, step] of [["before", -1], ["after", 1]]) {
      const other = this.listed.regions[at + step], link = this.part(part);
      link.hidden = other === undefined;
      if (other !== undefined) link.href = this.address({ dataset, view: "region", region: other });
    }
  }

  // Arrows walk along tiles, or from region to region; Escape goes one level up.
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const { dataset, view } = this.state;
    if (event.key === "Escape" && view !== "clusters") {
      event.preventDefault();
      location.hash = view === "region" ? this.listed.address : `#${dataset.name}/clusters`;
      return;
    }
    const tile = event.target.closest && event.target.closest(".tiles a");
    if (tile) return this.walk(event, tile);
    if (view !== "region") return;
    const link = { ArrowLeft: "before", ArrowRight: "after" }[event.key];
    if (link && !this.part(link).hidden) { event.preventDefault(); location.hash = this.part(link).hash; }
  }

  walk(event, tile) {
    const tiles = Array.from(tile.closest(".tiles").querySelectorAll("a")), at = tiles.indexOf(tile);
    const row = tiles.filter((other) => other.offsetTop === tiles[0].offsetTop).length;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - row, ArrowDown: at + row, Home: 0, End: tiles.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (tiles[to]) tiles[to].focus();
  }
}
