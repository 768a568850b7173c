// What stands around the sections of any page: the head with the theme, and the way around.

const themed = new Set();
const onTheme = (paint) => themed.add(paint);
let prints = false;
addEventListener("beforeprint", () => { prints = true; });
addEventListener("afterprint", () => { prints = false; });

/** Paper is light. */
const isDark = () => {
  if (prints) return false;
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

function repaint() {
  themed.forEach((paint) => paint());
}

/** Follows the system until it is pressed. */
function themeButton() {
  const name = () => (isDark() ? "Light theme" : "Dark theme");
  const button = el("button", { type: "button", id: "theme", text: name() });
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    button.textContent = name();
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    button.textContent = name();
    repaint();
  });
  return button;
}

/** A section that cannot be made from what the file holds must not take the others with it. */
function build(make, run) {
  try {
    return { made: make(run) };
  } catch (error) {
    console.warn(error);
    return { failed: true };
  }
}

/** Makes the head; what it returns is told the sections whenever there are others. */
function frame(title, ...controls) {
  const navigation = el("nav", { "aria-label": "Sections" });
  const head = document.getElementById("head");
  head.append(title, el("div", { class: "controls" }, controls, themeButton()));
  head.after(navigation);
  return (sections) => navigation.replaceChildren(el("ul", {}, sections.map((one) =>
    el("li", {}, el("a", { href: `#${one.id}`, text: one.querySelector("h2").textContent })))));
}
