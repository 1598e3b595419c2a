// A click on a picture shows it as large as the window allows; arrows walk through the pictures that are to be seen.

{
  const dialog = document.querySelector("dialog.enlarged"), image = document.createElement("img");
  let current = null;

  const show = (button) => {
    current = button;
    const from = button.querySelector("img");
    image.src = from.src;
    image.alt = from.alt;
    // As large as fits, whatever its own size; the width decides, the height follows.
    image.style.aspectRatio = `${from.getAttribute("width")} / ${from.getAttribute("height")}`;
    const card = button.closest(".card").dataset.name;
    dialog.querySelector("figcaption").textContent = `${card}: ${button.parentElement.querySelector("figcaption").textContent}`;
    dialog.querySelector("figure").prepend(image);
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const all = Array.from(document.querySelectorAll("button.enlarge")).filter((one) => one.checkVisibility());
    show(all[(all.indexOf(current) + by + all.length) % all.length]);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.enlarge");
    if (button) show(button);
  });
  dialog.addEventListener("click", (event) => {
    const name = event.target.className;
    if (name === "before" || name === "after") step(name === "before" ? -1 : 1);
    else dialog.close(); // the cross, the picture, and all around it
  });
  dialog.addEventListener("keydown", (event) => {
    event.stopPropagation(); // the gallery behind it has keys of its own
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  dialog.addEventListener("close", () => { if (current) current.focus({ preventScroll: true }); });
}

new Gallery(document.getElementById("gallery"));
document.documentElement.classList.add("ready");
