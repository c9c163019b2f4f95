// The study in a notebook: pictures come from the kernel as they are needed, and each answer is written beside the study by it.

import { element } from "./elements.js";
import { judge } from "./judging.js";

/** Ask the kernel, and wait for what it answers. */
function asking(model) {
  const waiting = new Map();
  let count = 0;
  const hear = ({ answers, fault, value }) => {
    const [settle, refuse] = waiting.get(answers) ?? [];
    waiting.delete(answers);
    if (fault) refuse?.(new Error(fault));
    else settle?.(value);
  };
  model.on("msg:custom", hear);
  const ask = (what, about = {}) => new Promise((settle, refuse) => {
    const number = `${Math.random()} ${count += 1}`;  // several views of one model hear each other's answers
    waiting.set(number, [settle, refuse]);
    model.send({ asks: number, what, ...about });
  });
  return [ask, () => model.off("msg:custom", hear)];
}

export async function render({ model, el }) {
  const [ask, leave] = asking(model);
  // JupyterLab takes keys before any element hears them, unless it finds this above the one that has the focus.
  const host = element("div", { "data-lm-suppress-shortcuts": "true" });
  const root = element("div", { tabindex: "-1" });
  host.attachShadow({ mode: "open" }).append(element("style", {}, STYLE), root);
  // A notebook takes what is left of them, Enter in a field too.
  host.addEventListener("keydown", (event) => event.stopPropagation());
  el.append(host);
  const keep = {
    isSafe: true,
    where: "Your answers are kept in the study's folder, so you can leave and come back.",
    goes: "All is answered, and kept in the study's folder.",
    judges: () => ask("judges"),
    load: (name) => ask("votes", { judge: name }),
    save: (name, votes) => ask("save", { judge: name, votes }),
    picture: (name) => ask("picture", { name }),
  };
  ask("study").then((study) => judge(root, study, keep)).catch((error) => { root.textContent = error.message; });
  return leave;
}
