// Asks the browser for a passkey when a form marked data-passkey is sent, and sends the answer with it.
"use strict";

const REFUSED = "No passkey was used. Try again, or choose another way.";

async function answer(form) {
  const options = JSON.parse(form.dataset.options);
  if (form.dataset.passkey === "make") {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    return navigator.credentials.create({ publicKey });
  }
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return navigator.credentials.get({ publicKey });
}

async function send(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const problem = form.querySelector("[role=alert]");
  problem.hidden = true;
  try {
    form.elements.credential.value = JSON.stringify((await answer(form)).toJSON());
    form.submit();
  } catch {
    problem.textContent = REFUSED;
    problem.hidden = false;
  }
}

if (window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.addEventListener("submit", send);
    form.hidden = false;
  }
}
