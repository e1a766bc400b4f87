"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const frames = JSON.parse(at("wipe-frames").textContent);
  const wipe = at("wipe"), plots = at("plots"), slider = at("frame"), closeUpButton = at("close-up");
  let shown = 0, line = 50, closeUp = false;

  // Where the line is, in per cent of the picture from the left; the plate lies left of it.
  function moveLine(percent) {
    line = Math.min(100, Math.max(0, percent));
    wipe.style.setProperty("--at", line + "%");
    wipe.setAttribute("aria-valuenow", Math.round(line));
  }

  function show(index) {
    shown = Math.min(frames.length - 1, Math.max(0, index));
    const frame = frames[shown];
    const result = closeUp ? frame.face_result : frame.result;
    at("wipe-plate").src = closeUp ? frame.face_plate : frame.plate;
    at("wipe-result").hidden = result === null;
    if (result !== null) at("wipe-result").src = result;
    at("frame-name").textContent = frame.frame;
    at("frame-note").textContent = frame.note;
    slider.value = shown;
    const { first, last, left, right } = plots.dataset;
    const along = (frame.frame - first) / (last - first);
    at("playhead").style.left = 100 * (Number(left) + along * (right - left)) + "%";
  }

  function nearest(number) {
    let best = 0;
    frames.forEach((frame, index) => {
      if (Math.abs(frame.frame - number) < Math.abs(frames[best].frame - number)) best = index;
    });
    return best;
  }

  function toggleCloseUp() {
    closeUp = !closeUp;
    wipe.classList.toggle("close-up", closeUp);
    closeUpButton.setAttribute("aria-pressed", closeUp);
    show(shown);
  }

  function drag(event) {
    const box = wipe.getBoundingClientRect();
    moveLine(100 * (event.clientX - box.left) / box.width);
  }

  wipe.addEventListener("pointerdown", (event) => {
    wipe.setPointerCapture(event.pointerId);
    wipe.focus({ preventScroll: true });
    drag(event);
  });
  wipe.addEventListener("pointermove", (event) => { if (wipe.hasPointerCapture(event.pointerId)) drag(event); });
  wipe.addEventListener("keydown", (event) => {
    const deeds = {
      ArrowLeft: () => show(shown - 1),
      ArrowRight: () => show(shown + 1),
      " ": () => moveLine(line > 50 ? 0 : 100),
      f: toggleCloseUp,
    };
    if (!(event.key in deeds)) return;
    event.preventDefault();
    deeds[event.key]();
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  at("earlier").addEventListener("click", () => show(shown - 1));
  at("later").addEventListener("click", () => show(shown + 1));
  closeUpButton.addEventListener("click", toggleCloseUp);
  plots.addEventListener("click", (event) => {
    const box = plots.getBoundingClientRect(), { first, last, left, right } = plots.dataset;
    const along = ((event.clientX - box.left) / box.width - left) / (right - left);
    show(nearest(Number(first) + along * (last - first)));
  });
  const numbers = new Set(frames.map((frame) => String(frame.frame)));
  for (const button of document.querySelectorAll(".jump")) {
    button.disabled = !numbers.has(button.dataset.frame);
    button.addEventListener("click", () => {
      show(nearest(Number(button.dataset.frame)));
      at("wipe-title").scrollIntoView({ behavior: "smooth" });
    });
  }
  moveLine(50);
  show(0);
})();
