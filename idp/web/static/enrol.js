// The page behind a one-time link: the account that it names gets its passkey.

import { continueTo, enrolPasskey, post, requirePasskeys, say, whileBusy } from "./passkey.js";

const form = document.getElementById("enrol");
const email = document.getElementById("email");
const name = document.getElementById("name");
const button = document.getElementById("create-passkey");

async function enrol() {
  const entered = { token: form.dataset.enrolment, name: name.value.trim() };
  // An address that the account has already is text on the page, not a field.
  if (email instanceof HTMLInputElement) {
    entered.email = email.value.trim();
  }
  const { enrolment } = await post("/enrol", entered);
  say("Your device will ask for your fingerprint, face or PIN.");
  const answer = await enrolPasskey(enrolment);
  continueTo(answer.continue);
}

function start(event) {
  event.preventDefault();
  if (form.reportValidity()) {
    whileBusy(button, enrol);
  }
}

if (requirePasskeys(button)) {
  button.addEventListener("click", start);
  form.addEventListener("submit", start);
}
