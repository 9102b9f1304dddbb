// The account page: one more passkey, for whoever proved a moment ago who they are.

import {
  continueTo,
  createPasskey,
  finishSignIn,
  post,
  refreshWhenRestored,
  requirePasskeys,
  say,
  usePasskey,
  whileBusy,
} from "./passkey.js";

const CONFIRMED = "#confirmed";

const button = document.getElementById("add-passkey");

async function addPasskey() {
  let options;
  try {
    options = await post("/passkeys/addition/options", {});
  } catch (error) {
    if (error.code !== "confirmation_required") {
      throw error;
    }
    await confirmPerson();
    return;
  }
  say("Your device will ask for your fingerprint, face or PIN.");
  const credential = await createPasskey(options);
  const answer = await post("/passkeys/addition", { credential });
  continueTo(answer.continue);
}

async function confirmPerson() {
  say("Is this you, adding a passkey? Confirm with one that you have.");
  const options = await post("/passkeys/authentication/options", { confirm: true });
  const answer = await finishSignIn(await usePasskey(options), { rpId: options.rpId, request: "" });
  if (answer.continue !== window.location.pathname) {
    continueTo(answer.continue);
    return;
  }
  // The session is a new one, and so is every token on this page.
  window.history.replaceState(null, "", CONFIRMED);
  window.location.reload();
}

if (requirePasskeys(button)) {
  button.addEventListener("click", () => whileBusy(button, addPasskey));
  refreshWhenRestored();
  if (window.location.hash === CONFIRMED) {
    window.history.replaceState(null, "", window.location.pathname);
    say("That was you. Now add the passkey.");
    button.focus();
  }
}
