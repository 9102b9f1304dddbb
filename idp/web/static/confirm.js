// The page that asks for a passkey before one operation: its answer confirms exactly that, and nothing else.

import { post, refreshWhenRestored, requirePasskeys, say, usePasskey, whileBusy } from "./passkey.js";

const form = document.getElementById("confirm");
const button = document.getElementById("confirm-with-passkey");
const operation = form.elements.namedItem("operation").value;

async function confirm() {
  say("Your device will ask for your fingerprint, face or PIN.");
  const options = await post("/passkeys/confirmation/options", { operation });
  const credential = await usePasskey(options);
  say("One moment…");
  await post("/passkeys/confirmation", { operation, credential });
  // Back to where the operation is done, as the form says; it does nothing that was not confirmed.
  form.submit();
}

function start(event) {
  event.preventDefault();
  whileBusy(button, confirm);
}

if (requirePasskeys(button)) {
  form.addEventListener("submit", start);
  // Pressed before this, the form would go where it leads with nothing confirmed.
  button.disabled = false;
  refreshWhenRestored();
}
