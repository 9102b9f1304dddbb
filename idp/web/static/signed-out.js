// While apps are still being told: asks how it goes, ever more seldom, and shows what changed in its place.

const FIRST_PAUSE = 2000;
const LONGEST_PAUSE = 30_000;

const list = document.getElementById("apps");
const waits = document.querySelector("[data-waits]");

async function ask(pause) {
  const next = Math.min(2 * pause, LONGEST_PAUSE);
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("apps");
    if (fresh && fresh.textContent !== list.textContent) list.replaceChildren(...fresh.children);
    if (answer.ok && !page.querySelector("[data-waits]")) {
      waits.remove();
      return;
    }
  } catch {
    // Offline for a moment: the next time tells.
  }
  setTimeout(ask, next, next);
}

setTimeout(ask, FIRST_PAUSE, FIRST_PAUSE);
