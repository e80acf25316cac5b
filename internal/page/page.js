"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const fields = ["namespace", "gateway", "state"];
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  // choices fills the lists to choose from by what the rows have, and keeps what is chosen.
  const choices = () => {
    for (const field of fields) {
      const names = new Set();
      for (const row of all("#exits tbody tr")) {
        names.add(row.dataset[field]);
        if (field === "namespace") row.dataset.clients.split(" ").forEach((name) => names.add(name));
      }
      names.delete("");
      const select = $(field), chosen = select.value;
      if (chosen) names.add(chosen);
      select.replaceChildren(new Option("all", ""), ...Array.from(names).sort().map((name) => new Option(name, name)));
      select.value = chosen;
    }
  };

  const keeps = (row, words) => {
    const namespace = $("namespace").value, gateway = $("gateway").value, state = $("state").value;
    const text = row.textContent.toLowerCase();
    return words.every((word) => text.includes(word)) &&
      (!namespace || row.dataset.namespace === namespace || row.dataset.clients.split(" ").includes(namespace)) &&
      (!gateway || row.dataset.gateway === gateway) && (!state || row.dataset.state === state);
  };

  const apply = () => {
    const words = $("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    const rows = all("#exits tbody tr");
    for (const row of all("tr[data-state]")) {
      row.hidden = !keeps(row, words);
      if (!row.hidden && row.closest("#exits")) shown++;
    }
    $("shown").textContent = `${shown} of ${rows.length} exits`;
    for (const node of all(".node")) {
      const title = node.querySelector("title").textContent.toLowerCase();
      node.classList.toggle("dim", words.length > 0 && !words.every((word) => title.includes(word)));
    }
  };

  // nodes lets boxes of the picture be chosen, by pointer or keyboard.
  const nodes = () => {
    for (const node of all(".node")) {
      node.setAttribute("tabindex", "0");
      node.setAttribute("role", "button");
    }
  };
  const choose = (node) => {
    const name = node.querySelector("title").textContent.split("\n")[0];
    $("q").value = $("q").value === name ? "" : name;
    apply();
  };

  document.addEventListener("click", (event) => {
    const node = event.target.closest(".node"), count = event.target.closest(".counts button");
    if (node) choose(node);
    if (count) {
      $("state").value = count.dataset.state;
      apply();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      $("q").focus();
    }
    if (event.key === "Escape" && event.target === $("q")) {
      $("q").value = "";
      apply();
    }
    const node = event.target.closest(".node");
    if (node && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(node);
    }
  });
  $("filters").addEventListener("input", apply);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(apply));

  // live asks the server for what changed, and puts it in the place of what is there.
  let tag = "";
  const live = async () => {
    try {
      const answer = await fetch("main", { headers: tag ? { "If-None-Match": tag } : {} });
      $("lost").hidden = answer.ok || answer.status === 304;
      if (answer.ok) {
        tag = answer.headers.get("ETag");
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
        const open = document.querySelector("details").open, focused = document.activeElement.closest("main") !== null;
        $("main").replaceWith(next);
        document.querySelector("details").open = open;
        document.querySelector("#age time").textContent = next.dataset.at;
        if (focused) next.focus({ preventScroll: true });
        choices();
        nodes();
        apply();
      }
    } catch {
      $("lost").hidden = false;
    }
    setTimeout(live, 2000);
  };

  choices();
  nodes();
  apply();
  if ("live" in document.body.dataset) live();
})();
