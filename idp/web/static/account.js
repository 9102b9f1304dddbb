// The account page: one more passkey for whoever confirmed it, and the password manager told what there is.

import {
  continueTo,
  createPasskey,
  post,
  refreshWhenRestored,
  requestId,
  requirePasskeys,
  say,
  tellPasswordManager,
  whileBusy,
} from "./passkey.js";

const button = document.getElementById("add-passkey");
const operation = button.dataset.operation;

let options; // Kept, so that who closed the device's dialog can try again.

async function addPasskey() {
  options ??= await post("/passkeys/addition/options", { operation });
  say("Your device will ask for your fingerprint, face or PIN.");
  const credential = await createPasskey(options);
  options = undefined;
  const answer = await post("/passkeys/addition", { credential, request: requestId });
  continueTo(answer.continue);
}

function add() {
  whileBusy(button, addPasskey);
}

refreshWhenRestored();
if (requirePasskeys(button)) {
  // Without a confirmed operation the button is a form's, and leads to the page that asks for it.
  if (operation) {
    window.history.replaceState(null, "", `${window.location.pathname}#passkeys`);
    button.addEventListener("click", (event) => {
      event.preventDefault();
      add();
    });
    add();
  } else {
    // Never beside an addition: a list read before it would strike the new passkey from the device.
    tellPasswordManager();
  }
}
