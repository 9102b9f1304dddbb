// A single-page app on oidc-client-ts: a public client that keeps its tokens in the browser.

const settings = await (await fetch("/settings.json")).json();
const heading = document.getElementById("heading");
const told = document.getElementById("told");
const manager = new oidc.UserManager({
  ...settings,
  redirect_uri: `${location.origin}/`,
  post_logout_redirect_uri: `${location.origin}/`,
  scope: "openid profile email offline_access",
  loadUserInfo: true,
  automaticSilentRenew: false,
});

function show(title, user) {
  heading.textContent = title;
  told.textContent = user ? JSON.stringify({ profile: user.profile, scopes: user.scopes, jti: jtiOf(user) }) : "";
}

function jtiOf(user) {
  return JSON.parse(atob(user.access_token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).jti;
}

document.getElementById("sign-in").addEventListener("click", (event) => {
  event.preventDefault();
  manager.signinRedirect();
});
document.getElementById("refresh").addEventListener("click", async () => {
  const user = await manager.signinSilent();
  show(`Refreshed, ${user.profile.name}`, user);
});
document.getElementById("sign-out").addEventListener("click", () => manager.signoutRedirect({ state: "signed out" }));

const parameters = new URLSearchParams(location.search);
if (parameters.has("code") || parameters.has("error")) {
  const user = await manager.signinRedirectCallback();
  history.replaceState(null, "", "/");
  show(`You are signed in, ${user.profile.name}`, user);
} else if (parameters.has("state")) {
  await manager.signoutRedirectCallback();
  show("You are signed out");
} else {
  show("You are not signed in");
}
