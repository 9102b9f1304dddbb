// The sign-in page: passkeys among the e-mail field's suggestions from the start, and a button for everyone.

import {
  continueTo,
  finishSignIn,
  post,
  refreshWhenRestored,
  requestId,
  requirePasskeys,
  say,
  tell,
  usePasskey,
  whileBusy,
} from "./passkey.js";

// The server forgets a challenge after five minutes.
const REARM_AFTER_MS = 4 * 60 * 1000;

const form = document.getElementById("sign-in");
const email = document.getElementById("email");
const button = document.getElementById("use-passkey");

let offer = null; // The request behind the suggestions: the browser allows one request at a time.

async function signIn(options, credential) {
  say("One moment…");
  const answer = await finishSignIn(credential, { rpId: options.rpId, request: requestId });
  continueTo(answer.continue);
}

async function offerInSuggestions() {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) {
    return;
  }
  const controller = new AbortController();
  offer = controller;
  const timer = setTimeout(() => controller.abort(), REARM_AFTER_MS);
  let options;
  let credential;
  try {
    options = await post("/passkeys/authentication/options", {});
    credential = await usePasskey(options, { signal: controller.signal, mediation: "conditional" });
  } catch (error) {
    // Nobody asked for it, so nobody is told. Its time ran out: a fresh challenge takes its place.
    if (error.name === "AbortError" && offer === controller) {
      offerInSuggestions();
    }
    return;
  } finally {
    clearTimeout(timer);
  }
  offer = null;
  await whileBusy(button, () => signIn(options, credential));
  if (!button.disabled) {
    offerInSuggestions();
  }
}

function withdrawOffer() {
  const controller = offer;
  offer = null;
  controller?.abort();
}

async function signInWithButton() {
  withdrawOffer();
  await whileBusy(button, async () => {
    say("Your device will ask for your fingerprint, face or PIN.");
    const address = email.value.trim();
    const options = await post("/passkeys/authentication/options", address ? { email: address } : {});
    await signIn(options, await usePasskey(options));
  });
  if (!button.disabled) {
    offerInSuggestions();
  }
}

function start(event) {
  event.preventDefault();
  if (!button.disabled) {
    signInWithButton().catch(tell);
  }
}

if (requirePasskeys(button)) {
  button.addEventListener("click", start);
  form.addEventListener("submit", start);
  refreshWhenRestored();
  offerInSuggestions().catch(tell);
}
