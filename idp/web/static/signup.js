// The sign-up page: an account begins with a passkey.

import { continueTo, enrolPasskey, post, requestId, requirePasskeys, say, whileBusy } from "./passkey.js";

const form = document.getElementById("sign-up");
const email = document.getElementById("email");
const name = document.getElementById("name");
const button = document.getElementById("create-passkey");

let begun = null; // A cancelled passkey is tried again on the account that was begun, not on a second one.

async function beginAccount() {
  const entered = { email: email.value.trim(), name: name.value.trim() };
  if (begun?.email !== entered.email || begun?.name !== entered.name) {
    const answer = await post("/signup", { ...entered, request: requestId });
    begun = { ...entered, enrolment: answer.enrolment };
  }
  return begun.enrolment;
}

async function signUp() {
  const enrolment = await beginAccount();
  say("Your device will ask for your fingerprint, face or PIN.");
  try {
    const answer = await enrolPasskey(enrolment);
    continueTo(answer.continue);
  } catch (error) {
    if (error.code === "enrolment_unavailable") {
      begun = null;
    }
    throw error;
  }
}

function start(event) {
  event.preventDefault();
  if (form.reportValidity()) {
    whileBusy(button, signUp);
  }
}

if (requirePasskeys(button)) {
  button.addEventListener("click", start);
  form.addEventListener("submit", start);
}
