// A picture's recipe, to be copied: parameters for `sdxl-lab run -f`, and the text that other tools read.

import { element } from "./elements.js";

/** Copy a text; where the browser does not let a page do that, show it, selected. */
async function copy(text, place, said) {
  try {
    await navigator.clipboard.writeText(text);
    place.replaceChildren(said);
  } catch {
    const area = element("textarea", { readonly: true, rows: 6, "aria-label": "To be copied by hand" });
    area.value = text;
    place.replaceChildren("This browser lets no page copy; copy it here:", area);
    area.select();
  }
}

/** The buttons that copy a picture's recipe; none for one of which no recipe is known. */
export function recipeOf(picture) {
  if (!picture.parameters) return [];
  const said = element("p", { class: "quiet", role: "status" });
  const button = (label, title, text, told) => {
    const made = element("button", { type: "button", title }, label);
    made.addEventListener("click", () => copy(text, said, told));
    return made;
  };
  return [
    element("div", { class: "controls recipe" },
      button("Copy parameters", "YAML that makes this picture again", picture.parameters, "Copied. In a file: sdxl-lab run NOTEBOOK -f FILE."),
      button("Copy for other tools", "Prompt and settings as the PNG has them for the web UI and its like", picture.infotext, "Copied, as the web UI and its like read it.")),
    said,
  ];
}
