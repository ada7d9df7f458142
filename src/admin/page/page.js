// The page's script: keeps it up to date, and asks the API for what people click on.
"use strict";

const LOOK_AGAIN = 2000;
const byId = (id) => document.getElementById(id);

// Puts news where screen readers hear them.
function say(text) {
  byId("news").textContent = text;
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + ".";

async function call(method, path, content) {
  const headers = { "Bankside-Admin": "1" };
  if (content) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: content && JSON.stringify(content) });
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error([told.detail, told.remedy].filter(Boolean).map(sentence).join(" "));
  return told;
}

const path = (bank, grant, action) =>
  `/api/banks/${encodeURIComponent(bank)}/grants/${encodeURIComponent(grant)}${action}`;

// What has changed, in place. Whoever has the focus keeps it.
async function refresh() {
  const answer = await fetch("/");
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (next.querySelectorAll("main > section").length !== document.querySelectorAll("main > section").length) {
    location.reload();
    return;
  }
  const before = states();
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = next.getElementById(part.id);
    if (!other || other.outerHTML === part.outerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceWith(document.adoptNode(other));
    if (focused) byId(focused)?.focus();
  }
  for (const [grant, state] of states()) {
    if (before.get(grant) !== state) say(`${grant}: ${state}`);
  }
}

function states() {
  const rows = document.querySelectorAll("tr[data-grant]");
  return new Map([...rows].map((row) => [row.dataset.grant, row.dataset.state]));
}

async function watch() {
  if (!document.hidden) {
    try {
      await refresh();
      byId("lost").hidden = true;
    } catch {
      byId("lost").hidden = false;
    }
  }
  setTimeout(watch, LOOK_AGAIN);
}

function show(dialog) {
  complain(dialog, "");
  dialog.showModal();
}

function complain(dialog, text) {
  const problem = dialog.querySelector(".problem");
  problem.textContent = text;
  problem.hidden = !text;
}

async function authorize(bank, grant, endsHere) {
  const begun = await call("POST", path(bank, grant, "/authorize"));
  if (endsHere) {
    location.assign(begun.authorization_url);
    return;
  }
  const dialog = byId("authorize");
  byId("authorize-title").textContent = `Authorize ${grant}`;
  byId("authorize-open").href = begun.authorization_url;
  byId("authorize-time").textContent = `${Math.round(begun.expires_in / 60)} minutes`;
  byId("authorize-url").value = "";
  byId("authorize-form").dataset.bank = bank;
  show(dialog);
}

async function finish(event) {
  event.preventDefault();
  const dialog = byId("authorize");
  const bank = byId("authorize-form").dataset.bank;
  try {
    await call("POST", `/api/banks/${encodeURIComponent(bank)}/callback`, { url: byId("authorize-url").value });
    dialog.close();
    await refresh();
  } catch (error) {
    complain(dialog, error.message);
  }
}

async function renew(bank, grant) {
  say(`Renewing ${grant}…`);
  await call("POST", path(bank, grant, "/renew"));
  await refresh();
  say(`${grant} has a fresh token`);
}

function askToRemove(bank, grant, revokes) {
  const dialog = byId("remove");
  byId("remove-told").hidden = !revokes;
  byId("remove-untold").hidden = revokes;
  byId("remove-title").textContent = `Remove ${grant}?`;
  byId("remove-yes").onclick = async () => {
    try {
      await call("DELETE", path(bank, grant, ""));
      dialog.close();
      await refresh();
      say(`${grant} is removed`);
    } catch (error) {
      complain(dialog, error.message);
    }
  };
  show(dialog);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.hasAttribute("data-close")) button.closest("dialog").close();
  if (!button?.dataset.do) return;
  const { do: does, bank, grantName: grant, endsHere, revokes } = button.dataset;
  button.disabled = true;
  try {
    if (does === "authorize") await authorize(bank, grant, endsHere === "true");
    if (does === "renew") await renew(bank, grant);
    if (does === "remove") askToRemove(bank, grant, revokes === "true");
  } catch (error) {
    say(error.message);
  }
  button.disabled = false;
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.classList.contains("another")) return;
  event.preventDefault();
  try {
    await authorize(form.dataset.bank, form.elements.grant.value, form.dataset.endsHere === "true");
    form.reset();
  } catch (error) {
    say(error.message);
  }
});

byId("authorize-form")?.addEventListener("submit", finish);
setTimeout(watch, LOOK_AGAIN);
