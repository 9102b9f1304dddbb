// What the scripts of our pages share: asking our server, asking the browser for a passkey, and saying in
// plain words how it went.

const page = document.getElementById("page");
const problem = document.getElementById("problem");
const status = document.getElementById("status");

const RELOAD = "Continue";
const UNREACHABLE = "We couldn't reach the server. Check your connection and try again.";
const CANCELLED = "Nothing happened. Try again, or use another method.";
const NO_PASSKEY_HERE =
  "This device has no passkey for this site. If yours is on your phone, choose “Use a phone” when your " +
  "browser asks, or use another method.";
const REMOVED_BUT_UNTOLD =
  "That passkey was removed from your account. Delete it from your password manager too; pick another one.";
const HAS_PASSKEY = "This device already has a passkey for your account. Use that one, or another device.";
const UNFIT_DEVICE =
  "This device can't make a passkey that works here. Try another device or a security key.";
const WRONG_ADDRESS = "Passkeys don't work at this address. Open the site at its usual address and try again.";

// No person reads a dialog and closes it in less: the browser had nothing to show.
const FASTER_THAN_A_PERSON_MS = 1000;
const PASSKEY_WAS_HERE = "passkey-was-here";

/** The id of the application's request that this page serves; empty without one. */
export const requestId = page.dataset.request ?? "";

/** A failure whose message is written for the person. */
export class Problem extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

/** Whether this browser knows passkeys; if not, the page says so and the button rests. */
export function requirePasskeys(button) {
  const isSupported = typeof window.PublicKeyCredential === "function" && Boolean(navigator.credentials?.get);
  if (!isSupported) {
    document.getElementById("unsupported").hidden = false;
    button.disabled = true;
  }
  return isSupported;
}

/** Send JSON to our server; answer its JSON, or throw a Problem. */
export async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        "X-CSRF-Token": page.dataset.csrf,
      },
      body: JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
    });
  } catch {
    throw new Problem(UNREACHABLE);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Problem(wordsFor(response.status, answer), answer.error);
  }
  return answer;
}

/** Make a passkey as the server's options say; answer it as JSON for the server. */
export async function createPasskey(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON
    ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
    : {
        ...options,
        challenge: fromBase64url(options.challenge),
        user: { ...options.user, id: fromBase64url(options.user.id) },
        excludeCredentials: (options.excludeCredentials ?? []).map(withBytes),
      };
  let credential;
  try {
    credential = await navigator.credentials.create({ publicKey });
  } catch (error) {
    throw creationProblem(error);
  }
  rememberPasskey();
  return asJson(credential);
}

/** Ask for a passkey as the server's options say; answer it as JSON for the server. */
export async function usePasskey(options, { signal, mediation } = {}) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON
    ? PublicKeyCredential.parseRequestOptionsFromJSON(options)
    : {
        ...options,
        challenge: fromBase64url(options.challenge),
        allowCredentials: (options.allowCredentials ?? []).map(withBytes),
      };
  const askedAt = performance.now();
  let credential;
  try {
    credential = await navigator.credentials.get({ publicKey, signal, ...(mediation && { mediation }) });
  } catch (error) {
    throw requestProblem(error, performance.now() - askedAt);
  }
  return asJson(credential);
}

/** Finish a sign-in; a passkey that our server no longer knows is struck from the password manager's list. */
export async function finishSignIn(credential, { rpId, request }) {
  try {
    const answer = await post("/passkeys/authentication", { credential, request });
    rememberPasskey();
    await tellPasswordManager();
    return answer;
  } catch (error) {
    if (error.code === "unknown_credential" && !(await forgetPasskey(rpId, credential.id))) {
      throw new Problem(REMOVED_BUT_UNTOLD, error.code);
    }
    throw error;
  }
}

/** Enrol: make the passkey that an enrolment allows, and be signed in. */
export async function enrolPasskey(enrolment) {
  const options = await post("/passkeys/enrolment/options", { enrolment });
  const credential = await createPasskey(options);
  say("One moment…");
  return post("/passkeys/enrolment", { enrolment, credential, request: requestId });
}

/** Tell the password manager which passkeys the signed-in person has, and what they are called now. */
export async function tellPasswordManager() {
  const { signalAllAcceptedCredentials, signalCurrentUserDetails } = window.PublicKeyCredential ?? {};
  if (!signalAllAcceptedCredentials && !signalCurrentUserDetails) {
    return;
  }
  try {
    const response = await fetch("/passkeys/accepted", {
      headers: { Accept: "application/json" },
      credentials: "same-origin",
      redirect: "error",
    });
    if (!response.ok) {
      return;
    }
    const { rpId, userId, allAcceptedCredentialIds, name, displayName } = await response.json();
    await PublicKeyCredential.signalAllAcceptedCredentials?.({ rpId, userId, allAcceptedCredentialIds });
    await PublicKeyCredential.signalCurrentUserDetails?.({ rpId, userId, name, displayName });
  } catch {
    // A courtesy to the password manager: nothing here depends on it.
  }
}

/** Go where the server says, within our own site. */
export function continueTo(address) {
  const target = new URL(address, window.location.origin);
  if (target.origin === window.location.origin) {
    window.location.assign(target);
  }
}

/** Run an act once at a time with the button showing it; a Problem is told to the person. */
export async function whileBusy(button, act) {
  if (button.disabled) {
    return;
  }
  const hadFocus = document.activeElement === button;
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  problem.hidden = true;
  problem.replaceChildren();
  try {
    await act();
    // The next page is on its way: the button stays busy until it is here.
  } catch (error) {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    say("");
    tell(error);
    if (hadFocus) {
      button.focus();
    }
  }
}

/** Say what is going on. */
export function say(text) {
  status.textContent = text;
}

/** Tell the person what went wrong and what to do. */
export function tell(error) {
  if (!(error instanceof Problem)) {
    console.error(error);
  }
  problem.replaceChildren(
    error instanceof Problem ? error.message : "Something went wrong on this page. Load it again.",
  );
  if (error.code === "forged_request") {
    const link = document.createElement("a");
    link.href = window.location.href;
    link.textContent = RELOAD;
    problem.append(" ", link);
  }
  problem.hidden = false;
}

/** A page from the browser's back-and-forward cache holds tokens of a session that may be over. */
export function refreshWhenRestored() {
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      window.location.reload();
    }
  });
}

function wordsFor(httpStatus, answer) {
  if (httpStatus === 429) {
    return "There were too many tries from your network. Wait a minute, then try again.";
  }
  if (answer.error === "forged_request") {
    return "This page waited too long.";
  }
  return answer.message ?? "We can't answer just now. Try again in a moment.";
}

function creationProblem(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "AbortError":
      return new Problem(CANCELLED, "cancelled");
    case "InvalidStateError":
      return new Problem(HAS_PASSKEY);
    case "NotSupportedError":
    case "ConstraintError":
      return new Problem(UNFIT_DEVICE);
    default:
      return commonProblem(error);
  }
}

function requestProblem(error, milliseconds) {
  if (error.name === "AbortError") {
    return error; // Ours: another way in took over.
  }
  if (error.name === "NotAllowedError") {
    const isEmpty = milliseconds < FASTER_THAN_A_PERSON_MS && !hadPasskey();
    return new Problem(isEmpty ? NO_PASSKEY_HERE : CANCELLED, "cancelled");
  }
  return commonProblem(error);
}

function commonProblem(error) {
  if (error.name === "SecurityError") {
    return new Problem(WRONG_ADDRESS);
  }
  return error;
}

async function forgetPasskey(rpId, credentialId) {
  if (!PublicKeyCredential.signalUnknownCredential) {
    return false;
  }
  try {
    await PublicKeyCredential.signalUnknownCredential({ rpId, credentialId });
    return true;
  } catch {
    return false;
  }
}

// Whether a passkey ever worked in this browser: all that tells "cancelled" from "none here" where the browser,
// rightly, says neither. Storage may be switched off; then nothing is remembered.
function rememberPasskey() {
  try {
    window.localStorage.setItem(PASSKEY_WAS_HERE, "1");
  } catch {
    // Nothing depends on it but a choice of words.
  }
}

function hadPasskey() {
  try {
    return window.localStorage.getItem(PASSKEY_WAS_HERE) !== null;
  } catch {
    return false;
  }
}

function asJson(credential) {
  try {
    return credential.toJSON();
  } catch {
    // Older browsers have no toJSON, and some extensions hand over an object on which it throws.
    return spelledOut(credential);
  }
}

function spelledOut({ rawId, type, authenticatorAttachment, response }) {
  const id = toBase64url(rawId);
  const members = response.attestationObject
    ? {
        attestationObject: toBase64url(response.attestationObject),
        transports: response.getTransports?.() ?? [],
      }
    : {
        authenticatorData: toBase64url(response.authenticatorData),
        signature: toBase64url(response.signature),
        ...(response.userHandle && { userHandle: toBase64url(response.userHandle) }),
      };
  return {
    id,
    rawId: id,
    type,
    authenticatorAttachment,
    clientExtensionResults: {},
    response: { clientDataJSON: toBase64url(response.clientDataJSON), ...members },
  };
}

function withBytes(descriptor) {
  return { ...descriptor, id: fromBase64url(descriptor.id) };
}

function fromBase64url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function toBase64url(buffer) {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
